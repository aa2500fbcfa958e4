//! The mark at the target: another state directory finds it there, and does not act beside the first.

use std::path::Path;
use std::process::{Output, Stdio};
use std::time::Duration;

use crate::sandbox::Sandbox;
use crate::{assert_error, code, result, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

fn elsewhere(sandbox: &Sandbox, state: &Path, words: &[&str]) -> Output {
    sandbox.recovering(&["--state-dir", state.to_str().unwrap()]).args(words).output().unwrap()
}

/// Killed as soon as it has put its mark at the target.
fn killed_at_its_mark(sandbox: &Sandbox) {
    let mark = sandbox.dir().join(".recover-mark-data");
    let mut child = sandbox.recovering(GO).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !std::fs::read_to_string(&mark).is_ok_and(|mark| mark.contains("run_")) {
        assert!(child.try_wait().unwrap().is_none(), "it ended without a mark");
        std::thread::sleep(Duration::from_millis(1));
    }
    child.kill().unwrap();
    child.wait().unwrap();
}

#[test]
fn another_state_directory_does_not_act_on_a_target_that_is_marked() {
    let sandbox = Sandbox::up();
    let other = tempfile::tempdir().unwrap();
    let other = other.path().join("state");
    sandbox.lose(false);
    killed_at_its_mark(&sandbox);
    let before = sandbox.ledger();

    let refused = elsewhere(&sandbox, &other, GO);
    assert_error(&refused, "RCV0013", 6);
    assert!(stderr(&refused).contains(sandbox.state().to_str().unwrap()), "{}", stderr(&refused));
    assert_eq!(sandbox.ledger(), before, "nothing was done beside the one that holds it");
    let listed = elsewhere(&sandbox, &other, &["list"]);
    assert_eq!(String::from_utf8_lossy(&listed.stdout).lines().count(), 0, "and no run was begun");

    let resumed = sandbox.recover(&["resume", "--all"]);
    assert_eq!(code(&resumed), 0, "{}", stderr(&resumed));
    assert_eq!(sandbox.ledger()["pairs"], 1);
    let late = elsewhere(&sandbox, &other, GO);
    assert_eq!(result(&late)["verdict"], "not-applicable", "{}", stderr(&late));
    assert_eq!(sandbox.ledger()["pairs"], 1);

    // The next loss is whoever's comes first.
    sandbox.command(&["up"]);
    sandbox.lose(false);
    let next = elsewhere(&sandbox, &other, GO);
    assert_eq!(code(&next), 0, "{}", stderr(&next));
    assert_eq!(sandbox.ledger()["pairs"], 1);
}

#[test]
fn a_mark_that_cannot_be_read_is_never_taken_for_nobodys() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let mark = sandbox.dir().join(".recover-mark-data");
    std::fs::write(&mark, "garbage").unwrap();
    let before = sandbox.ledger();
    assert_error(&sandbox.recover(GO), "RCV0013", 6);
    assert_eq!(sandbox.ledger(), before);
    std::fs::remove_file(&mark).unwrap();
    let recovered = sandbox.recover(GO);
    assert_eq!(code(&recovered), 0, "{}", stderr(&recovered));
}
