//! What is printed, word for word where time and ids are frozen.

use crate::{code, recover};

#[test]
fn every_error_code_is_explained_and_documented() {
    let home = tempfile::tempdir().unwrap();
    let docs = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/errors");
    for number in 1..=50 {
        let name = format!("RCV{number:04}");
        let output = recover(home.path()).args(["explain", &name]).output().unwrap();
        assert_eq!(code(&output), 0, "{name}");
        let text = String::from_utf8(output.stdout).unwrap();
        let (title, page) = text.split_once("\n\n").unwrap();
        let wanted = format!("# {title}\n\n{page}");
        let path = docs.join(format!("{name}.md"));
        if std::env::var_os("GOLDEN").is_some_and(|v| v == "write") {
            std::fs::create_dir_all(&docs).unwrap();
            std::fs::write(&path, &wanted).unwrap();
        }
        assert!(
            std::fs::read_to_string(&path).unwrap_or_default() == wanted,
            "{} is not what is printed",
            path.display()
        );
    }
    let beyond = recover(home.path()).args(["explain", "RCV0051"]).output().unwrap();
    assert_eq!(code(&beyond), 64, "a new code needs its page");
}

#[test]
fn help_teaches_and_the_schema_is_a_schema() {
    let home = tempfile::tempdir().unwrap();
    let help = recover(home.path()).arg("--help").output().unwrap();
    let text = String::from_utf8(help.stdout).unwrap();
    for word in ["--scenario", "--target sandbox", "resume", "Exit codes"] {
        assert!(text.contains(word), "{word}");
    }
    let schema = recover(home.path()).args(["config", "schema"]).output().unwrap();
    let schema: serde_json::Value = serde_json::from_slice(&schema.stdout).unwrap();
    assert!(schema["properties"]["target"].is_object());
}

#[test]
fn the_scenario_draws_and_checks_itself() {
    let home = tempfile::tempdir().unwrap();
    for words in [&["scenarios"][..], &["graph", "identity-loss"], &["graph", "identity-loss", "--format", "matrix"]] {
        let output = recover(home.path()).args(words).output().unwrap();
        assert_eq!(code(&output), 0);
        assert!(!output.stdout.is_empty());
    }
}
