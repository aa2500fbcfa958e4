//! A run that is handed to a person: what is left can be typed as it stands, and what was done by hand is not done again.

use std::process::{Command, Output};

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::{code, result, stderr};

/// A run that waits for a person's word before anything is replaced, and its id.
fn asked(sandbox: &Sandbox) -> String {
    sandbox.lose(false);
    sandbox.asks();
    let run = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"]);
    assert_eq!(code(&run), 4, "{}", stderr(&run));
    result(&run)["run"].as_str().unwrap().to_owned()
}

fn handed(sandbox: &Sandbox, run: &str) -> Value {
    let output = sandbox.recover(&["handoff", run, "--output", "json"]);
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn commands(left: &Value) -> Vec<String> {
    let all = left["left"].as_array().unwrap().iter().flat_map(|left| left["commands"].as_array().unwrap());
    all.map(|command| command.as_str().unwrap().to_owned()).collect()
}

fn shell(script: &str, words: &[&str]) -> Output {
    Command::new("/bin/sh").args(words).arg("-c").arg(script).output().unwrap()
}

#[test]
fn what_is_left_is_said_with_the_targets_names_and_without_a_secret() {
    let sandbox = Sandbox::up();
    let run = asked(&sandbox);
    let handed = handed(&sandbox, &run);
    assert_eq!((&handed["schema"], &handed["past_no_return"]), (&"recover.handoff/v1".into(), &false.into()));
    let first = &handed["left"][0];
    assert!(first["what"].as_str().unwrap().starts_with("decide: ") && first["changes"] == false, "{first}");
    let states: Vec<&str> = handed["left"].as_array().unwrap().iter().filter_map(|l| l["state"].as_str()).collect();
    let at = |state: &str| states.iter().position(|s| *s == state).unwrap_or(usize::MAX);
    assert!(at("stopping") < at("minting") && at("minting") < at("pairing") && at("pairing") < at("validating"));
    assert!(handed["must_not"].as_array().unwrap().iter().any(|deed| deed == "pair twice for one loss"), "{handed}");
    for command in commands(&handed) {
        assert!(command.starts_with('#') || shell(&command, &["-n"]).status.success(), "{command}");
    }
    let data = sandbox.dir().join("data");
    assert!(commands(&handed).iter().any(|command| command.contains(data.to_str().unwrap())));
    let secret = std::fs::read_to_string(sandbox.dir().join("credential")).unwrap();
    for form in [&["handoff", &run][..], &["handoff", &run, "--markdown"], &["handoff", &run, "--output", "json"]] {
        let output = sandbox.recover(form);
        let text = String::from_utf8(output.stdout.clone()).unwrap();
        assert_eq!(code(&output), 0, "{}", stderr(&output));
        assert!(text.contains(&run) && text.contains("recover resume") && !text.contains(secret.trim()), "{text}");
    }
    let out = sandbox.dir().join("handoff.md");
    let words = ["handoff", &run, "--markdown", "--out", out.to_str().unwrap()];
    assert_eq!(code(&sandbox.recover(&words)), 0);
    assert!(std::fs::read_to_string(&out).unwrap().starts_with("# Handoff"));
    crate::assert_error(&sandbox.recover(&words), "RCV0040", 74);
    crate::assert_error(&sandbox.recover(&["handoff", "run_01m83zgpyv8qxec6a1r5yg88nm"]), "RCV0007", 64);
}

#[test]
fn what_is_left_can_be_typed_and_is_not_done_again() {
    if !["curl", "jq"].iter().all(|tool| shell(&format!("command -v {tool}"), &[]).status.success()) {
        eprintln!("SKIPPED: curl and jq are needed to type what is handed over");
        return;
    }
    let sandbox = Sandbox::up();
    let run = asked(&sandbox);
    let before = sandbox.ledger();
    let typed: Vec<String> = commands(&handed(&sandbox, &run)).into_iter().filter(|c| !c.starts_with('#')).collect();
    for step in typed.split_inclusive(|command| command.starts_with("printf '{")) {
        // `p` is the process that the line before started.
        let output = shell(&step.join("\n"), &[]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!said.contains("curl: (22)") && !said.contains("rror:"), "{step:#?}: {said}");
        std::thread::sleep(std::time::Duration::from_millis(700));
    }
    let ledger = sandbox.ledger();
    let more = |what: &str| ledger[what].as_u64().unwrap() - before[what].as_u64().unwrap();
    assert_eq!((more("mints"), more("pairs")), (1, 1), "{ledger}");
    assert!(sandbox.has_identity());
    // The run does nothing of it again: what it did not make it takes for a stranger's, and asks.
    let approved = sandbox.recover(&["approve", &run, "--reason", "done by hand", "--output", "json"]);
    assert_eq!(result(&approved)["question"]["name"], "set-aside", "{}", stderr(&approved));
    let denied = sandbox.recover(&["deny", &run, "--reason", "it is the one that I paired", "--output", "json"]);
    assert_eq!(result(&denied)["workload"]["left"], "running", "{} {}", result(&denied), stderr(&denied));
    for effect in ["mints", "pairs"] {
        assert_eq!(sandbox.ledger()[effect], ledger[effect], "{effect}");
    }
    let after = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"]);
    assert_eq!(result(&after)["verdict"], "not-applicable", "{}", stderr(&after));
    // A run that is over leaves nothing to do.
    let over = handed(&sandbox, &run);
    assert_eq!((over["left"].as_array().unwrap().len(), over["ended"].is_string()), (0, true), "{over}");
}
