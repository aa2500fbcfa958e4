//! What was begun or recovered shortly before holds the next run back: nothing is asked of the target then, and a person is told.

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::{code, result, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

/// The sandbox with this policy, and a second target that has an agent of its own at the same control plane.
fn with(policy: &str) -> Sandbox {
    let sandbox = Sandbox::up();
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let text = text.replace("[policy]\n", &format!("[policy]\n{policy}\n"));
    let (head, target) = text.split_once("[target.edge-1]").unwrap();
    let second = target.replace("default = true\n", "").replace("\"edge-1\"", "\"edge-2\"");
    assert_ne!(second, target);
    std::fs::write(sandbox.config(), format!("{head}[target.edge-1]{target}\n[target.edge-2]{second}")).unwrap();
    sandbox
}

fn calls(sandbox: &Sandbox) -> usize {
    sandbox.ledger()["calls"].as_array().unwrap().len()
}

#[test]
fn the_same_symptom_on_many_targets_stops_none_of_them_further() {
    let sandbox = with("brake = { targets = 1, within = \"1h\" }");
    sandbox.lose(false);
    let first = sandbox.recover(GO);
    assert_eq!(code(&first), 0, "{}", stderr(&first));
    let (before, go) = (calls(&sandbox), |words: &[&str]| {
        sandbox.recover(&[&["--scenario", "identity-loss", "--target", "edge-2", "--output", "json"], words].concat())
    });
    let held = go(&[]);
    assert_eq!(code(&held), 4, "a person is needed: {}", stderr(&held));
    assert!(stderr(&held).contains("RCV0044") && stderr(&held).contains("1 other targets"), "{}", stderr(&held));
    assert!(stderr(&held).contains("--despite REASON"), "it says how to go on: {}", stderr(&held));
    assert_eq!(calls(&sandbox), before, "nothing was asked of the target");
    let list = |sandbox: &Sandbox| String::from_utf8(sandbox.recover(&["list"]).stdout).unwrap().lines().count();
    assert_eq!(list(&sandbox), 1, "and no run was begun");

    // A person says why it is none of theirs, and that is journaled.
    let begun = go(&["--despite", "the other one was unplugged"]);
    let run = result(&begun)["run"].as_str().unwrap().to_owned();
    let events = sandbox.recover(&["events", &run, "--output", "json"]);
    let events = String::from_utf8(events.stdout).unwrap();
    let line: Value = serde_json::from_str(events.lines().next().unwrap()).unwrap();
    assert_eq!(line["despite"], "the other one was unplugged", "{line}");
}

#[test]
fn a_target_that_was_recovered_a_moment_ago_is_left_alone() {
    for (policy, says) in
        [("rest = \"1h\"", "a moment ago"), ("flaps = { times = 1, within = \"1h\" }", "1 times within 60 min")]
    {
        let sandbox = with(policy);
        sandbox.lose(false);
        let first = sandbox.recover(GO);
        assert_eq!(code(&first), 0, "{}", stderr(&first));
        sandbox.lose(false);
        let held = sandbox.recover(GO);
        assert_eq!(code(&held), 4, "{}", stderr(&held));
        assert!(stderr(&held).contains("RCV0044") && stderr(&held).contains(says), "{}", stderr(&held));
        assert_eq!(sandbox.ledger()["pairs"], 0, "since this loss");
        let again = sandbox.recover(&[GO, &["--despite", "the disk was changed"]].concat());
        assert_eq!(code(&again), 0, "{}", stderr(&again));
        assert_eq!(sandbox.ledger()["pairs"], 1);
    }
}
