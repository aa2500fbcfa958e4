//! What the types forbid does not compile. `TRYBUILD=overwrite cargo test -p recover-engine --test compile` renews the texts.

#[test]
fn an_effect_that_is_only_redone_if_absent_needs_a_probe() {
    let cases = trybuild::TestCases::new();
    cases.pass("tests/compile_pass/*.rs");
    cases.compile_fail("tests/compile_fail/*.rs");
}
