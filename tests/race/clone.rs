//! A copy of a state directory on another machine: it can be read, and nothing is done with it.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::sandbox::{RECOVER, Sandbox};
use crate::{GO, said};

/// The binary where `/etc/machine-id` is another file: in a mount namespace of its own.
fn elsewhere(machine: &Path, config: &Path, words: &[&str]) -> Output {
    let script = "mount --bind \"$0\" /etc/machine-id && shift 0 && exec \"$@\"";
    let mut command = Command::new("unshare");
    command.args(["-m", "/bin/sh", "-c", script]).arg(machine).arg(RECOVER).arg("--config").arg(config).args(words);
    command.stdin(Stdio::null()).output().unwrap()
}

pub fn on_another_machine() -> Result<String, String> {
    let home = tempfile::tempdir().unwrap();
    let machine = home.path().join("machine-id");
    std::fs::write(&machine, "00112233445566778899aabbccddeeff\n").unwrap();
    let mut probe = Command::new("unshare");
    probe.args(["-m", "mount", "--bind"]).arg(&machine).arg("/etc/machine-id");
    if !probe.stderr(Stdio::null()).status().is_ok_and(|status| status.success()) {
        return Ok("clone: NOT RUN: no mount namespaces here".to_owned());
    }
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    // A run that is open in the middle.
    crate::crowd::killed_midway(&sandbox)?;
    let copied = Command::new("cp").arg("-a").arg(sandbox.state()).arg(home.path()).status().unwrap();
    assert!(copied.success());

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&calls);
    std::thread::spawn(move || listener.incoming().for_each(|_| _ = counted.fetch_add(1, Ordering::SeqCst)));
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let real = text.split("base = \"").nth(1).unwrap().split('"').next().unwrap();
    let text = text
        .replace(real, &base)
        .replace(sandbox.state().to_str().unwrap(), home.path().join("state").to_str().unwrap());
    let config = home.path().join("recover.toml");
    std::fs::write(&config, text).unwrap();

    let run = sandbox.recover(&["list", "--output", "json"]);
    let run: serde_json::Value = serde_json::from_slice(&run.stdout).map_err(|e| e.to_string())?;
    let run = run["run"].as_str().unwrap_or_default();
    let before = sandbox.ledger();
    for words in [GO, &["resume", "--all"], &["resume", run], &["cancel", run], &["abandon", run, "--reason", "r"]] {
        let output = elsewhere(&machine, &config, words);
        if output.status.code() != Some(64) || !said(&output).contains("error[RCV0017]") {
            return Err(format!("{words:?}: {}", said(&output)));
        }
    }
    for words in [&["verify", "--all"][..], &["list"], &["replay", run]] {
        let output = elsewhere(&machine, &config, words);
        if !output.status.success() {
            return Err(format!("{words:?}: {}", said(&output)));
        }
    }
    if calls.load(Ordering::SeqCst) > 0 {
        return Err(format!("{} calls", calls.load(Ordering::SeqCst)));
    }
    if sandbox.ledger() != before {
        return Err("something changed at the target".to_owned());
    }
    Ok("clone: a copy on another machine is refused (RCV0017) by 5 verbs that act, read by 3, 0 calls".to_owned())
}
