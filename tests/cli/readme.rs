//! README's worked examples: each configuration can be used as it stands, and each command has the words that the binary knows.

use std::path::Path;

use serde_json::Value;

use crate::{code, recover, stderr};

/// What is in README in fences of this kind.
fn blocks(kind: &str) -> Vec<String> {
    let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
    let fence = format!("```{kind}\n");
    text.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

/// How `doctor` finds the configuration and its target.
fn doctor(home: &Path, text: &str) -> Vec<(String, String, String)> {
    let config = home.join("recover.toml");
    std::fs::write(&config, text).unwrap();
    std::fs::set_permissions(&config, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let output = recover(home).arg("--config").arg(&config).args(["doctor", "--output", "json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    let about = found["checks"].as_array().unwrap().iter();
    let about = about.filter(|c| matches!(c["check"].as_str(), Some("configuration" | "target")));
    about.map(|c| ["check", "is", "text"].map(|name| c[name].as_str().unwrap_or_default().to_owned()).into()).collect()
}

#[test]
fn each_workload_has_an_example_and_each_configuration_can_be_used() {
    let blocks = blocks("toml");
    let home = tempfile::tempdir().unwrap();
    for workload in ["systemd", "docker", "kubernetes", "process"] {
        let named = format!("workload = {{ {workload} = ");
        assert!(blocks.iter().any(|block| block.contains("[target.") && block.contains(&named)), "{workload}");
    }
    let mut tried = 0;
    for block in blocks {
        // A variant of the example above it shows the lines that differ alone.
        let whole = match block.contains("workload = ") {
            true if block.contains("[target.") => block.clone(),
            true => format!(
                "[target.edge-1]\nkind = \"connector\"\n{block}authority = {{ http = {{ base = \"https://c.example\", agent = \"e\", \
                 credential = \"file:/etc/recover/credential\" }} }}\n"
            ),
            false => continue,
        };
        // Its state is to be here, and nowhere on this machine.
        let own: String =
            whole.lines().filter(|line| !line.starts_with("state_dir")).map(|l| format!("{l}\n")).collect();
        let text = format!("state_dir = {:?}\n{own}", home.path().join("state"));
        let found = doctor(home.path(), &text);
        assert!(found.iter().any(|(check, ..)| check == "target"), "{found:?}: {block}");
        assert!(found.iter().all(|(_, is, _)| is == "ok"), "{found:?}: {block}");
        tried += 1;
    }
    assert!(tried >= 6, "{tried}");
}

#[test]
fn each_command_has_words_that_are_known() {
    let home = tempfile::tempdir().unwrap();
    let mut tried = 0;
    for block in blocks("console") {
        for line in block.replace("\\\n", " ").lines() {
            // A comment ends the words; what is left out in an example is not asked.
            let words = line.split(" #").next().unwrap().split(" > ").next().unwrap();
            let Some(words) = words.strip_prefix("$ recover ").filter(|words| !words.contains('…')) else { continue };
            let script = format!("\"$0\" {words} --help");
            let mut shell = std::process::Command::new("/bin/sh");
            shell
                .args(["-c", &script, crate::sandbox::RECOVER])
                .current_dir(&home)
                .env_clear()
                .env("HOME", home.path());
            let output = shell.output().unwrap();
            assert_eq!(code(&output), 0, "{line}: {}", stderr(&output));
            tried += 1;
        }
    }
    assert!(tried >= 15, "{tried}");
    assert_eq!(std::fs::read_dir(&home).unwrap().count(), 0, "help leaves nothing behind");
}
