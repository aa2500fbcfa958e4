//! Skipping, repeating and forging a transition do not compile. `TRYBUILD=overwrite cargo test -p recover-scenarios --test
//! compile` renews the texts.
#![expect(clippy::panic, reason = "helpers of tests may say what must hold in the shortest words")]

#[path = "compile_pass/doors.rs"]
mod doors;

#[test]
fn a_state_is_left_through_its_own_doors_and_once() {
    doors::main();
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
