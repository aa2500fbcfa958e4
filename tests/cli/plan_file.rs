//! A plan that is a file is carried out as it stands, or not at all.

use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::{assert_error, code, lines, result, stderr};

fn planned(sandbox: &Sandbox) -> PathBuf {
    let path = sandbox.dir().join("case.plan.json");
    let words = ["plan", "--scenario", "identity-loss", "--target", "edge-1", "--out", path.to_str().unwrap()];
    let output = sandbox.recover(&[&words[..], &["--output", "json"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    let last = lines(&output).pop().unwrap();
    assert_eq!(last["schema"], "recover.plan-file/v1");
    assert_eq!(last["digest"], read(&path)["digest"]);
    path
}

fn read(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

fn carry_out(sandbox: &Sandbox, path: &Path, also: &[&str]) -> std::process::Output {
    sandbox.recover(&[&["--plan", path.to_str().unwrap(), "--output", "json"], also].concat())
}

/// What was done at the target.
fn done(sandbox: &Sandbox) -> [Value; 4] {
    let ledger = sandbox.ledger();
    ["mints", "pairs", "revokes", "starts"].map(|effect| ledger[effect].clone())
}

#[test]
fn a_plan_is_carried_out_and_the_run_says_which() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let before = done(&sandbox);
    let path = planned(&sandbox);
    let plan = read(&path);
    assert_eq!(done(&sandbox), before);
    assert_eq!((&plan["schema"], &plan["scenario"]), (&"recover.plan/v1".into(), &"identity-loss".into()));
    let steps = plan["steps"].as_array().unwrap();
    let minting = steps.iter().find(|step| step["state"] == "minting").unwrap();
    assert_eq!((&minting["changes"], &minting["redo"]), (&true.into(), &"only-if-absent".into()));
    assert_eq!((&steps[0]["changes"], &steps[0]["how"]), (&false.into(), &"observed".into()));
    let behind = plan["point_of_no_return"].as_u64().unwrap();
    assert!(steps.iter().filter(|step| step["number"].as_u64() >= Some(behind)).all(|s| s["past_no_return"] == true));
    let rests_on = plan["rests_on"].as_object().unwrap();
    assert_eq!(rests_on["observing.observe.ending"], "lost", "{rests_on:?}");
    assert!(plan["guards"].as_array().is_some_and(|guards| !guards.is_empty()));

    let run = carry_out(&sandbox, &path, &["--ticket", "4711"]);
    assert_eq!(result(&run)["verdict"], "recovered", "{}", stderr(&run));
    let id = result(&run)["run"].as_str().unwrap().to_owned();
    let report = sandbox.recover(&["report", &id, "--markdown"]);
    assert!(String::from_utf8_lossy(&report.stdout).contains(plan["digest"].as_str().unwrap()));
    assert_eq!(code(&sandbox.recover(&["verify", &id])), 0);

    // What the plan saw is no more: it is mended.
    let again = carry_out(&sandbox, &path, &[]);
    assert_error(&again, "RCV0045", 5);
    assert!(stderr(&again).contains("observing.observe.ending was lost and is usable"), "{}", stderr(&again));
    assert_eq!(done(&sandbox)[1], 1, "paired once");
}

#[test]
fn a_plan_of_something_else_or_changed_or_old_does_nothing() {
    let sandbox = Sandbox::up();
    sandbox.lose(true);
    let before = done(&sandbox);
    let path = planned(&sandbox);
    let text = std::fs::read_to_string(&path).unwrap();
    let refused = |text: &str, error: &str, exit: i32, also: &[&str]| {
        std::fs::write(&path, text).unwrap();
        assert_error(&carry_out(&sandbox, &path, also), error, exit);
    };
    refused(&text.replace("\"edge-1\"", "\"sandbox\""), "RCV0047", 64, &[]);
    refused(&text[..text.len() / 2], "RCV0047", 64, &[]);
    refused("{}", "RCV0047", 64, &[]);
    refused(&text, "RCV0048", 64, &["--plan-age", "0s"]);
    refused(&text, "RCV0002", 64, &["--scenario", "identity-loss"]);
    // Another way to the same connector, and another policy.
    let config = std::fs::read_to_string(sandbox.config()).unwrap();
    let slower = config.replace("observe = ", "stop_within = \"7s\", observe = ");
    assert_ne!(slower, config);
    std::fs::write(sandbox.config(), slower).unwrap();
    refused(&text, "RCV0046", 64, &[]);
    let asks = config.replace("reprovision = \"allow\"", "reprovision = \"ask\"");
    assert_ne!(asks, config);
    std::fs::write(sandbox.config(), asks).unwrap();
    refused(&text, "RCV0046", 64, &[]);
    std::fs::write(sandbox.config(), &config).unwrap();
    // The original that was to be reattached is gone.
    std::fs::rename(sandbox.dir().join("original"), sandbox.dir().join("taken")).unwrap();
    refused(&text, "RCV0045", 5, &[]);
    assert_eq!(done(&sandbox), before);
    // It is back, so the plan holds again.
    std::fs::rename(sandbox.dir().join("taken"), sandbox.dir().join("original")).unwrap();
    let run = carry_out(&sandbox, &path, &[]);
    assert_eq!(result(&run)["verdict"], "recovered", "{}", stderr(&run));
    assert_eq!(done(&sandbox)[1], before[1], "nothing was paired anew");
}

#[test]
fn the_same_plan_again_goes_on_with_its_own_run() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    sandbox.asks();
    let path = planned(&sandbox);
    assert_eq!(read(&path)["approvals"].as_array().unwrap().len(), 1, "the question is named beforehand");
    let asked = carry_out(&sandbox, &path, &[]);
    assert_eq!((code(&asked), &result(&asked)["verdict"]), (4, &"operator-needed".into()), "{}", stderr(&asked));
    let again = carry_out(&sandbox, &path, &["--plan-age", "0s"]);
    assert_eq!(code(&again), 4, "{}", stderr(&again));
    assert_eq!(result(&again)["run"], result(&asked)["run"]);
    // It is another run's target for any other plan.
    let other = sandbox.dir().join("other.plan.json");
    let words = ["plan", "--scenario", "reconnect-failure", "--target", "edge-1", "--out", other.to_str().unwrap()];
    assert_eq!(code(&sandbox.recover(&words)), 0);
    let other = carry_out(&sandbox, &other, &[]);
    assert!(matches!(code(&other), 5 | 6), "{} {}", code(&other), stderr(&other));
    let run = result(&asked)["run"].as_str().unwrap().to_owned();
    let approved = sandbox.recover(&["approve", &run, "--reason", "as planned", "--output", "json"]);
    assert_eq!(result(&approved)["verdict"], "recovered", "{}", stderr(&approved));
    assert_eq!(done(&sandbox)[1], 1);
}
