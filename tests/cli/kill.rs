//! `kill -9` of the real command at any moment, then `recover resume`: paired exactly once.

use std::process::Stdio;
use std::time::Duration;

use crate::sandbox::Sandbox;
use crate::{code, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1"];

fn killed_after(sandbox: &Sandbox, ms: u64) -> bool {
    let mut child = sandbox.recovering(GO).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(ms));
    let ran = child.try_wait().unwrap().is_none();
    child.kill().unwrap();
    child.wait().unwrap();
    ran
}

#[test]
fn whatever_moment_it_is_killed_at_resume_finishes_the_work() {
    let sandbox = Sandbox::up();
    for ms in [5, 20, 40, 60, 90, 150, 400, 1_200, 2_000] {
        sandbox.command(&["up"]);
        sandbox.lose(false);
        killed_after(&sandbox, ms);
        let resumed = sandbox.recover(&["resume", "--all"]);
        assert_eq!(code(&resumed), 0, "killed after {ms} ms: {}", stderr(&resumed));
        if sandbox.ledger()["pairs"] == 0 {
            // Killed before the first commit: nothing was begun, so nothing was done.
            let again = sandbox.recover(GO);
            assert_eq!(code(&again), 0, "killed after {ms} ms: {}", stderr(&again));
        }
        let ledger = sandbox.ledger();
        assert_eq!(
            (&ledger["pairs"], &ledger["live_tokens"]),
            (&1.into(), &0.into()),
            "killed after {ms} ms: {ledger}"
        );
    }
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
}

#[test]
fn the_same_command_again_goes_on_with_the_run() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    assert!(killed_after(&sandbox, 600), "the run takes longer than that");
    let again = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"]);
    assert_eq!(code(&again), 0, "{}", stderr(&again));
    let runs = sandbox.recover(&["list"]);
    assert_eq!(String::from_utf8_lossy(&runs.stdout).lines().count(), 1, "one run, taken up");
    assert_eq!(sandbox.ledger()["pairs"], 1);
}

#[test]
fn a_client_takes_over_when_the_owner_is_killed() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let mut owner = sandbox.recovering(GO).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(400));
    let client = std::thread::scope(|scope| {
        let client = scope.spawn(|| {
            sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--attach", "--output", "json"])
        });
        std::thread::sleep(Duration::from_millis(300));
        owner.kill().unwrap();
        owner.wait().unwrap();
        client.join().unwrap()
    });
    assert_eq!(code(&client), 0, "{}", stderr(&client));
    assert_eq!(sandbox.ledger()["pairs"], 1);
}

#[test]
fn a_signal_stops_at_the_next_boundary_and_resume_goes_on() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let child = sandbox.recovering(GO).stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(300));
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    let stopped = child.wait_with_output().unwrap();
    assert_eq!(code(&stopped), 75, "{}", stderr(&stopped));
    let resumed = sandbox.recover(&["resume"]);
    assert_eq!(code(&resumed), 0, "{}", stderr(&resumed));
    assert_eq!(sandbox.ledger()["pairs"], 1);
}
