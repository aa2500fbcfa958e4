//! Skipping, repeating and forging a transition do not compile. `TRYBUILD=overwrite cargo test -p recover-scenarios --test
//! compile` renews the texts.

#[test]
fn a_state_is_left_through_its_own_doors_and_once() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_pass/*.rs");
    cases.compile_fail("tests/compile_fail/*.rs");
}
