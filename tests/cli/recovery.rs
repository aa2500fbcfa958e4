//! The main job, end to end: a connector that has really lost its identity gets it back, paired exactly once.

use std::time::Duration;

use crate::sandbox::Sandbox;
use crate::{code, lines, recover, result, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

#[test]
fn a_lost_identity_is_replaced_and_paired_exactly_once() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let output = sandbox.recover(GO);
    let result = result(&output);
    assert_eq!((result["verdict"].as_str(), code(&output)), (Some("recovered"), 0), "{}", stderr(&output));
    assert_eq!(result["workload"]["left"], "running");
    // One durable commit for each boundary: as many as steps, and the closing one.
    assert_eq!(result["commits"].as_u64(), result["steps"].as_u64().map(|n| n + 1));
    let ledger = sandbox.ledger();
    assert_eq!(
        (&ledger["pairs"], &ledger["mints"], &ledger["live_tokens"]),
        (&1.into(), &1.into(), &0.into()),
        "{ledger}"
    );

    // The same again finds nothing to do, and says so.
    let again = sandbox.recover(GO);
    assert_eq!(code(&again), 8, "{}", stderr(&again));

    let run = result["run"].as_str().unwrap();
    for words in
        [&["replay", run][..], &["verify", "--all"], &["show", run], &["journal", "verify"], &["journal", "stats"]]
    {
        let output = sandbox.recover(words);
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
    }
    let head = result["head"].as_str().unwrap();
    assert_eq!(code(&sandbox.recover(&["verify", "--expect", head])), 0);
    let other = format!("1:{}", "0".repeat(64));
    assert_eq!(code(&sandbox.recover(&["verify", "--expect", &other])), 7);
}

/// The head goes where whoever edits the state directory later does not reach.
#[test]
fn the_head_of_a_run_that_ended_goes_to_syslog() {
    let sandbox = Sandbox::up();
    let home = tempfile::tempdir().unwrap();
    let socket = home.path().join("log");
    let syslog = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    let output = sandbox.recovering(GO).env("RECOVER_SYSLOG", &socket).output().unwrap();
    assert_eq!(code(&output), 8, "{}", stderr(&output));
    let line = result(&output);
    let mut message = [0; 512];
    let length = syslog.recv(&mut message).unwrap();
    let message = String::from_utf8_lossy(&message[..length]);
    for word in ["run", "head", "verdict"] {
        assert!(message.contains(line[word].as_str().unwrap()), "{message}: {line}");
    }
    // Nobody listens: that changes nothing.
    let alone = sandbox.recovering(GO).env("RECOVER_SYSLOG", home.path().join("none")).output().unwrap();
    assert_eq!(code(&alone), 8, "{}", stderr(&alone));
}

#[test]
fn a_kept_original_is_reattached_and_nothing_is_minted() {
    let sandbox = Sandbox::up();
    sandbox.lose(true);
    let output = sandbox.recover(GO);
    assert_eq!(result(&output)["verdict"], "recovered", "{}", stderr(&output));
    let ledger = sandbox.ledger();
    assert_eq!((&ledger["pairs"], &ledger["mints"]), (&0.into(), &0.into()), "{ledger}");
}

#[test]
fn a_question_ends_the_command_and_an_approval_carries_on() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let config = std::fs::read_to_string(sandbox.config()).unwrap().replace("\"allow\"", "\"ask\"");
    std::fs::write(sandbox.config(), config).unwrap();

    let starts = sandbox.ledger()["starts"].clone();
    let asked = sandbox.recover(GO);
    let line = result(&asked);
    assert_eq!((line["verdict"].as_str(), code(&asked)), (Some("operator-needed"), 4));
    let (run, question) = (line["run"].as_str().unwrap(), line["question"]["id"].as_str().unwrap());
    // Asked before anything is stopped: the wait costs no one.
    let ledger = sandbox.ledger();
    assert_eq!((&ledger["starts"], &ledger["mints"], &ledger["revokes"]), (&starts, &0.into(), &0.into()));

    let wrong = sandbox.recover(&["approve", run, "--question", "q999", "--reason", "x"]);
    crate::assert_error(&wrong, "RCV0010", 64);
    let unknown = sandbox.recover(&["approve", run, "--choice", "perhaps", "--reason", "x"]);
    crate::assert_error(&unknown, "RCV0011", 64);

    let approved = sandbox.recover(&["approve", run, "--question", question, "--reason", "seen", "--output", "json"]);
    assert_eq!(result(&approved)["verdict"], "recovered", "{}", stderr(&approved));
    assert_eq!(sandbox.ledger()["pairs"], 1);
    let late = sandbox.recover(&["deny", run, "--reason", "x"]);
    crate::assert_error(&late, "RCV0008", 64);
}

#[test]
fn a_denial_gives_up_and_changes_nothing() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let config = std::fs::read_to_string(sandbox.config()).unwrap().replace("\"allow\"", "\"ask\"");
    std::fs::write(sandbox.config(), config).unwrap();
    let run = result(&sandbox.recover(GO))["run"].as_str().unwrap().to_owned();
    let starts = sandbox.ledger()["starts"].clone();
    let denied = sandbox.recover(&["deny", &run, "--reason", "not now", "--output", "json"]);
    assert_eq!((result(&denied)["verdict"].as_str(), code(&denied)), (Some("given-up"), 2), "{}", stderr(&denied));
    let ledger = sandbox.ledger();
    assert_eq!((&ledger["mints"], &ledger["revokes"], &ledger["starts"]), (&0.into(), &0.into(), &starts));
}

#[test]
fn yes_answers_what_is_routine() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let config = std::fs::read_to_string(sandbox.config()).unwrap().replace("\"allow\"", "\"ask\"");
    std::fs::write(sandbox.config(), config).unwrap();
    let output = sandbox.recover(&[GO, &["--yes"]].concat());
    assert_eq!(result(&output)["verdict"], "recovered", "{}", stderr(&output));
}

#[test]
fn yes_answers_a_routine_question_that_was_asked_before() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let config = std::fs::read_to_string(sandbox.config()).unwrap().replace("\"allow\"", "\"ask\"");
    std::fs::write(sandbox.config(), config).unwrap();
    let asked = result(&sandbox.recover(GO));
    assert_eq!(asked["verdict"], "operator-needed");
    let run = asked["run"].as_str().unwrap();
    assert_eq!(code(&sandbox.recover(&["resume", run])), 4, "without it the question stays");
    let output = sandbox.recover(&["resume", run, "--yes", "--output", "json"]);
    assert_eq!(result(&output)["verdict"], "recovered", "{}", stderr(&output));
    assert_eq!(sandbox.ledger()["pairs"], 1);
}

#[test]
fn two_commands_on_one_target_make_one_run() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let both: Vec<_> = std::thread::scope(|scope| {
        let handles: Vec<_> = (0..2).map(|_| scope.spawn(|| sandbox.recover(GO))).collect();
        handles.into_iter().map(|h| h.join().unwrap()).collect()
    });
    let mut codes: Vec<i32> = both.iter().map(code).collect();
    codes.sort_unstable();
    // The second is told who holds the subject, or comes so late that nothing is wrong any more.
    assert!(codes == [0, 6] || codes == [0, 8], "{codes:?} {} {}", stderr(&both[0]), stderr(&both[1]));
    assert_eq!(sandbox.ledger()["pairs"], 1);
}

#[test]
fn the_second_of_two_may_follow_the_first() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let (first, second) = std::thread::scope(|scope| {
        let first = scope.spawn(|| sandbox.recover(GO));
        std::thread::sleep(Duration::from_millis(300));
        let second = sandbox.recover(&[GO, &["--attach"]].concat());
        (first.join().unwrap(), second)
    });
    assert_eq!(result(&first)["run"], result(&second)["run"], "{}", stderr(&second));
    assert_eq!(sandbox.ledger()["pairs"], 1);
}

#[test]
fn a_request_id_begins_one_run_for_ever() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let words = [GO, &["--request-id", "alert-7"]].concat();
    let first = result(&sandbox.recover(&words));
    let again = sandbox.recover(&words);
    assert_eq!(result(&again)["run"], first["run"]);
    assert_eq!(code(&again), 0);
    let other = sandbox.recover(&[&words[..], &["--set", "token_ttl_s=60"]].concat());
    crate::assert_error(&other, "RCV0029", 64);
}

#[test]
fn the_sandbox_needs_no_configuration() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    let mut command = recover(home.path());
    command.arg("--state-dir").arg(&state).args([
        "--scenario",
        "identity-loss",
        "--target",
        "sandbox",
        "--output",
        "json",
    ]);
    let output = command.output().unwrap();
    assert_eq!(result(&output)["verdict"], "recovered", "{}", stderr(&output));
    let events = lines(&output);
    assert!(events.iter().filter(|line| line["kind"] == "intent" && line["step"] == "pair").count() == 1);
    assert!(stderr(&output).contains("1 pairing"), "{}", stderr(&output));
}

#[test]
fn whoever_wants_quiet_hears_errors_and_whoever_wants_more_hears_more() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let wrong = sandbox.recover(&["--quiet", "status", "run_00000000000000000000000000"]);
    assert!(stderr(&wrong).contains("error[RCV0007]"), "{}", stderr(&wrong));
    let quiet = sandbox.recover(&["--quiet", "--scenario", "identity-loss", "--target", "edge-1"]);
    assert_eq!((code(&quiet), stderr(&quiet).as_str()), (0, ""));
    assert!(String::from_utf8_lossy(&quiet.stdout).starts_with("recovered: "), "the result is data");
    sandbox.lose(true);
    let more = sandbox.recover(&["-vv", "--scenario", "identity-loss", "--target", "edge-1"]);
    assert!(stderr(&more).contains("DEBUG") && code(&more) == 0, "{}", stderr(&more));
    assert_eq!(code(&sandbox.recover(&["-q", "-v", "list"])), 64, "one or the other");
}
