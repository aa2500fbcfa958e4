//! `recover cancel` where it cannot be confirmed: an owner that stands still, one that dies, and a way back that leaves something behind.

use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::sandbox::Sandbox;
use crate::served::Served;
use crate::{assert_error, code, lines, result, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1"];

fn signal(child: &Child, signal: Signal) {
    let pid = i32::try_from(child.id()).ok().and_then(Pid::from_raw).unwrap();
    kill_process(pid, signal).unwrap();
}

/// Waits until the log has a record of that kind, or of that step; gives its run.
fn soon(sandbox: &Sandbox, wanted: impl Fn(&Value) -> bool) -> String {
    let until = Instant::now() + Duration::from_secs(120);
    loop {
        let events = lines(&sandbox.recover(&["events", "--output", "json"]));
        if let Some(event) = events.iter().find(|event| wanted(event)) {
            return event["run"].as_str().unwrap().to_owned();
        }
        assert!(Instant::now() < until, "it does not come: {events:?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// An owner in the middle of a mint, which takes long, and its run.
fn minting(sandbox: &Sandbox) -> (Child, String) {
    sandbox.command(&["fault", "delay=8000", "--on", "mint"]);
    let owner = sandbox.recovering(GO).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let run = soon(sandbox, |event| event["kind"] == "intent" && event["step"] == "mint");
    (owner, run)
}

fn cancels(sandbox: &Sandbox, run: &str) -> usize {
    let events = lines(&sandbox.recover(&["events", run, "--output", "json"]));
    events.iter().filter(|event| event["kind"] == "cancel-requested").count()
}

#[test]
fn an_owner_that_stands_still_leaves_a_cancel_unconfirmed_and_hears_it_later() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    sandbox.asks();
    let served = Served::start(&sandbox);
    let run = served.begin();
    served.until(&run, "operator-needed");
    signal(&served.child, Signal::STOP);
    let cancel = sandbox.recover(&["cancel", &run, "--reason", "the wrong one"]);
    assert_error(&cancel, "RCV0022", 75);
    let said = stderr(&cancel);
    assert!(said.contains("cancel unconfirmed") && said.contains(&served.child.id().to_string()), "{said}");
    assert!(said.contains("recover events"), "what tells: {said}");
    assert_eq!(cancels(&sandbox, &run), 0, "nothing says that it was cancelled");
    // It was never taken back: whoever reads it later does it, and the log tells.
    signal(&served.child, Signal::CONT);
    served.until(&run, "closed");
    assert_eq!(cancels(&sandbox, &run), 1);
    let shown = sandbox.recover(&["show", &run]);
    assert!(String::from_utf8_lossy(&shown.stdout).contains("cancel confirmed"), "{shown:?}");
    assert_eq!(sandbox.ledger()["mints"], 0);
}

#[test]
fn a_cancel_whose_owner_dies_on_the_way_back_is_carried_on_by_who_asked() {
    // On a busy machine the cancel may come too late.
    assert!((0..4).any(|_| is_carried_on()), "it was never cancelled before it paired");
}

/// Whether it was cancelled while it minted; then its owner is killed while it goes back.
fn is_carried_on() -> bool {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    // Long enough to be killed while it goes back.
    sandbox.command(&["fault", "delay=2500", "--on", "revoke", "--times", "9"]);
    let (mut owner, run) = minting(&sandbox);
    let cancel = sandbox.recovering(&["cancel", &run, "--reason", "the wrong one", "--output", "json"]);
    let mut cancel = { cancel }.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().map(Some).unwrap();
    soon(&sandbox, |event| event["kind"] == "cancel-requested" || event["kind"] == "closed");
    if cancels(&sandbox, &run) == 0 {
        owner.wait().unwrap();
        cancel.take().unwrap().wait().unwrap();
        return false;
    }
    owner.kill().unwrap();
    owner.wait().unwrap();
    let ended = cancel.take().unwrap().wait_with_output().unwrap();
    assert!(stderr(&ended).contains("is gone; taking over"), "{}", stderr(&ended));
    let line = result(&ended);
    assert_eq!((&line["verdict"], &line["cancel"]), (&json!("cancelled"), &json!("confirmed")), "{line}");
    assert_eq!(code(&ended), 2);
    assert_eq!(cancels(&sandbox, &run), 1, "it is not asked for twice");
    let ledger = sandbox.ledger();
    assert_eq!((&ledger["pairs"], &ledger["live_tokens"]), (&json!(0), &json!(0)), "{ledger}");
    true
}

#[test]
fn a_way_back_that_leaves_something_behind_is_no_confirmed_cancel() {
    assert!((0..4).any(|_| is_unconfirmed()), "it was never cancelled before it paired");
}

/// Whether it was cancelled while it minted; then its token cannot be ended.
fn is_unconfirmed() -> bool {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let (mut owner, run) = minting(&sandbox);
    // While it mints, somebody takes the right away that ends a token.
    sandbox.command(&["rights", "mint"]);
    let cancel = sandbox.recover(&["cancel", &run, "--reason", "the wrong one", "--output", "json"]);
    if stderr(&cancel).contains("RCV0027") {
        owner.wait().unwrap();
        return false;
    }
    let line = result(&cancel);
    assert_eq!((&line["verdict"], &line["cancel"]), (&json!("cancelled"), &json!("unconfirmed")), "{line}");
    assert_eq!(code(&cancel), 3, "{line}");
    assert!(line["residue"].to_string().contains("token"), "{line}");
    owner.wait().unwrap();
    let shown = String::from_utf8(sandbox.recover(&["show", &run]).stdout).unwrap();
    assert!(shown.contains("cancel unconfirmed") && shown.contains("left behind: "), "{shown}");
    assert_eq!(sandbox.ledger()["live_tokens"], 1, "so it is");
    true
}
