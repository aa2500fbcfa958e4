//! What the types forbid does not compile. `TRYBUILD=overwrite cargo test -p recover-engine --test compile` renews the texts.

#[path = "compile_pass/only_if_absent_with_probe.rs"]
mod with_probe;

#[test]
fn an_effect_that_is_only_redone_if_absent_needs_a_probe() {
    with_probe::main();
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
