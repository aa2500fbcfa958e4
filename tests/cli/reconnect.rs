//! `reconnect-failure`, end to end: a connector that has its identity is repaired once and never paired.

use std::process::Stdio;
use std::time::Duration;

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::{code, result, stderr};

const GO: &[&str] = &["--scenario", "reconnect-failure", "--target", "edge-1", "--output", "json"];

/// What is offline for longer than this is said to be.
const NOTICED: Duration = Duration::from_millis(900);

fn signal(pid: &Value, signal: rustix::process::Signal) {
    let pid = pid.as_i64().and_then(|pid| i32::try_from(pid).ok()).and_then(rustix::process::Pid::from_raw).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

/// The connector hangs: it lives, holds its place, and says nothing until somebody restarts it.
fn hang(sandbox: &Sandbox) {
    signal(&sandbox.command(&["up"])["pids"]["connector"], rustix::process::Signal::STOP);
    std::thread::sleep(NOTICED);
}

fn kill(sandbox: &Sandbox, which: &str) {
    signal(&sandbox.command(&["up"])["pids"][which], rustix::process::Signal::KILL);
    std::thread::sleep(NOTICED);
}

/// Mints, tokens presented, pairings, revocations.
fn credentials(sandbox: &Sandbox) -> [Value; 4] {
    let ledger = sandbox.ledger();
    ["mints", "pair_attempts", "pairs", "revokes"].map(|name| ledger[name].clone())
}

fn starts(sandbox: &Sandbox) -> u64 {
    sandbox.ledger()["starts"].as_u64().unwrap()
}

fn identity(sandbox: &Sandbox) -> String {
    std::fs::read_to_string(sandbox.dir().join("data/identity.json")).unwrap()
}

#[test]
fn c7_a_connector_that_hangs_is_restarted_once_and_once_to_validate() {
    let sandbox = Sandbox::up();
    let (before, found, begun) = (credentials(&sandbox), identity(&sandbox), starts(&sandbox));
    hang(&sandbox);
    let output = sandbox.recover(GO);
    assert_eq!((result(&output)["verdict"].as_str(), code(&output)), (Some("recovered"), 0), "{}", stderr(&output));
    assert_eq!(starts(&sandbox), begun + 2, "one repair, one validation");
    assert_eq!((credentials(&sandbox), identity(&sandbox)), (before, found), "nothing was minted or paired");

    let again = sandbox.recover(GO);
    assert_eq!(code(&again), 8, "it is online: {}", stderr(&again));
    assert_eq!(starts(&sandbox), begun + 2);
    let run = result(&output)["run"].as_str().unwrap().to_owned();
    for words in [&["replay", run.as_str()][..], &["verify", "--all"]] {
        let output = sandbox.recover(words);
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn c1_a_workload_that_does_not_run_is_started_once() {
    let sandbox = Sandbox::up();
    let (before, begun) = (credentials(&sandbox), starts(&sandbox));
    kill(&sandbox, "connector");
    let output = sandbox.recover(GO);
    let line = result(&output);
    assert_eq!((line["verdict"].as_str(), code(&output)), (Some("recovered"), 0), "{}", stderr(&output));
    assert_eq!(
        (line["workload"]["found"].as_str(), line["workload"]["left"].as_str()),
        (Some("stopped"), Some("running"))
    );
    assert_eq!((starts(&sandbox), credentials(&sandbox)), (begun + 2, before), "one start, one validation");
}

#[test]
fn c2_an_unreachable_control_plane_is_a_persons_matter_and_nothing_is_restarted() {
    let sandbox = Sandbox::up();
    let (before, begun) = (credentials(&sandbox), starts(&sandbox));
    kill(&sandbox, "control_plane");
    let output = sandbox.recover(GO);
    let line = result(&output);
    assert_eq!((line["verdict"].as_str(), code(&output)), (Some("given-up"), 2), "{}", stderr(&output));
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("firewall") && reason.contains("nothing was restarted"), "{reason}");
    assert_eq!((starts(&sandbox), credentials(&sandbox)), (begun, before));
}

#[test]
fn c7_what_one_repair_does_not_mend_is_escalated_and_not_repaired_again() {
    let sandbox = Sandbox::up();
    let (before, begun) = (credentials(&sandbox), starts(&sandbox));
    kill(&sandbox, "connector");
    // The serial is as it was, and the control plane refuses what is proven with another key.
    let mut other: Value = serde_json::from_str(&identity(&sandbox)).unwrap();
    let secret: String = other["secret_key"].as_str().unwrap().chars().rev().collect();
    other["secret_key"] = secret.into();
    std::fs::write(sandbox.dir().join("data/identity.json"), other.to_string()).unwrap();

    let output = sandbox.recover(&[GO, &["--set", "online_within_ms=2000"]].concat());
    let line = result(&output);
    assert_eq!((line["verdict"].as_str(), code(&output)), (Some("given-up"), 3), "{}", stderr(&output));
    assert!(line["reason"].as_str().unwrap().contains("after its one repair"), "{line}");
    assert!(line["residue"][0].as_str().unwrap().contains("started once"), "{line}");
    assert_eq!(starts(&sandbox), begun + 1);

    // The outage is the same, and it had its repair.
    let again = sandbox.recover(GO);
    assert_eq!((result(&again)["verdict"].as_str(), code(&again)), (Some("guard-refused"), 5), "{}", stderr(&again));
    assert_eq!((starts(&sandbox), credentials(&sandbox)), (begun + 1, before));
}

#[test]
fn c7_a_lost_identity_is_named_as_the_other_scenarios_case() {
    let sandbox = Sandbox::up();
    sandbox.lose(true);
    let begun = starts(&sandbox);
    let output = sandbox.recover(GO);
    let line = result(&output);
    assert_eq!((code(&output), line["suggested_scenario"].as_str()), (8, Some("identity-loss")), "{line}");
    assert_eq!(starts(&sandbox), begun);
}

#[test]
fn c7_whatever_moment_it_is_killed_at_an_outage_gets_one_repair_and_one_validation() {
    let sandbox = Sandbox::up();
    let before = credentials(&sandbox);
    for ms in [30, 300, 1_100, 1_400, 2_500, 4_000] {
        let begun = starts(&sandbox);
        hang(&sandbox);
        let mut child = sandbox.recovering(GO).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(ms));
        child.kill().unwrap();
        child.wait().unwrap();
        let resumed = sandbox.recover(&["resume", "--all"]);
        assert_eq!(code(&resumed), 0, "killed after {ms} ms: {}", stderr(&resumed));
        if starts(&sandbox) == begun {
            // Killed before the first commit: nothing was begun, so nothing was done.
            let again = sandbox.recover(GO);
            assert_eq!(code(&again), 0, "killed after {ms} ms: {}", stderr(&again));
        }
        assert_eq!(starts(&sandbox), begun + 2, "killed after {ms} ms");
        assert_eq!(credentials(&sandbox), before, "killed after {ms} ms");
    }
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
}

#[test]
fn c8_what_is_degraded_is_left_to_heal_and_never_restarted() {
    let sandbox = Sandbox::up();
    let (before, begun) = (credentials(&sandbox), starts(&sandbox));
    sandbox.command(&["fault", "degraded", "--on", "status", "--times", "1000"]);
    let output = sandbox.recover(GO);
    let line = result(&output);
    assert_eq!((line["verdict"].as_str(), code(&output)), (Some("given-up"), 2), "{line}");
    let reason = line["reason"].as_str().unwrap();
    assert!(reason.contains("left to heal") && line["residue"].as_array().unwrap().is_empty(), "{line}");

    // It heals while it is watched.
    sandbox.command(&["fault", "clear"]);
    sandbox.command(&["fault", "degraded", "--on", "status"]);
    let healed = sandbox.recover(GO);
    let line = result(&healed);
    assert_eq!(code(&healed), 8, "{line}");
    assert!(line["reason"].as_str().unwrap().contains("came back by itself"), "{line}");
    assert_eq!((starts(&sandbox), credentials(&sandbox)), (begun, before));
}

#[test]
fn c13_what_lives_is_no_crash_loop_and_what_does_not_run_is_a_reconnect_failure() {
    let sandbox = Sandbox::up();
    let (before, begun) = (credentials(&sandbox), starts(&sandbox));
    let go = ["--scenario", "crash-loop", "--target", "edge-1", "--output", "json"];
    let steady = sandbox.recover(&go);
    assert_eq!((result(&steady)["suggested_scenario"].as_str(), code(&steady)), (None, 8), "{}", stderr(&steady));
    kill(&sandbox, "connector");
    let stopped = sandbox.recover(&go);
    assert_eq!((result(&stopped)["suggested_scenario"].as_str(), code(&stopped)), (Some("reconnect-failure"), 8));
    assert_eq!((starts(&sandbox), credentials(&sandbox)), (begun, before));
}
