//! A disk that fails: the process ends at once, does nothing whose intent is not durable, and the work is finished later.

use std::process::{Command, Output, Stdio};

use crate::sandbox::{RECOVER, Sandbox};
use crate::{assert_error, code, lines, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

/// The command with the Nth sync of one of its threads failing. `timeout` is there for a tracer that does not let go.
fn with_failing_sync(sandbox: &Sandbox, nth: u32) -> Output {
    // Detached at `execve`: the connector that it starts lives on, and is none of the tracer's business.
    Command::new("timeout")
        .args(["60", "strace", "-f", "-qq", "-b", "execve", "-o", "/dev/null", "-e", "trace=fdatasync,fsync,execve"])
        .args(["-e", &format!("inject=fdatasync:error=EIO:when={nth}"), RECOVER, "--config"])
        .arg(sandbox.config())
        .args(GO)
        .output()
        .unwrap()
}

fn on_path(tool: &str) -> bool {
    Command::new(tool).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok()
}

#[test]
fn a_sync_that_fails_ends_the_process_and_nothing_undurable_is_done() {
    if !on_path("strace") {
        eprintln!("skipped: strace is not on PATH");
        return;
    }
    let sandbox = Sandbox::up();
    for nth in [1, 2, 4, 8, 12] {
        sandbox.command(&["up"]);
        sandbox.lose(false);
        let output = with_failing_sync(&sandbox, nth);
        assert!(!stderr(&output).contains("panicked"), "sync {nth}: {}", stderr(&output));
        assert_error(&output, "RCV0020", 74);

        // What was acknowledged was printed; nothing beyond it has happened at the other side.
        let intended = |step: &str| {
            lines(&output).iter().filter(|line| line["kind"] == "intent" && line["step"] == step).count() as u64
        };
        let ledger = sandbox.ledger();
        for (effect, step) in [("mints", "mint"), ("pairs", "pair")] {
            let done = ledger[effect].as_u64().unwrap();
            assert!(done <= intended(step), "sync {nth}: {effect} {done}, acknowledged {}: {ledger}", intended(step));
        }

        let resumed = sandbox.recover(&["resume", "--all"]);
        assert_eq!(code(&resumed), 0, "sync {nth}: {}", stderr(&resumed));
        if sandbox.ledger()["pairs"] == 0 {
            let again = sandbox.recover(GO);
            assert_eq!(code(&again), 0, "sync {nth}: {}", stderr(&again));
        }
        assert_eq!(sandbox.ledger()["pairs"], 1, "sync {nth}");
    }
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
}
