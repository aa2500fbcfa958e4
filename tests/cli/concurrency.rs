//! Many commands at once on one state directory, as an outage starts them: all work, and none acts twice.

use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, Output};

use crate::sandbox::{RECOVER, Sandbox};
use crate::{code, result, stderr};

fn go(config: &Path, target: &str) -> Output {
    Command::new(RECOVER)
        .arg("--config")
        .arg(config)
        .args(["--scenario", "identity-loss", "--target", target, "--output", "json"])
        .output()
        .unwrap()
}

/// One configuration with the targets of several sandboxes, `edge-1` to `edge-N`, and a state directory of its own.
fn combined(sandboxes: &[Sandbox], state: &Path) -> String {
    let mut text = String::new();
    for (sandbox, number) in sandboxes.iter().zip(1..) {
        let config = std::fs::read_to_string(sandbox.config()).unwrap();
        let (head, target) = config.split_once("[target.edge-1]\n").unwrap();
        if number == 1 {
            for line in head.lines().filter(|line| !line.starts_with("state_dir")) {
                writeln!(text, "{line}").unwrap();
            }
            text = format!("state_dir = {:?}\n{text}", state.to_str().unwrap());
        }
        writeln!(text, "[target.edge-{number}]\n{}", target.replace("default = true\n", "")).unwrap();
    }
    text
}

#[test]
fn five_targets_at_once_with_one_state_directory() {
    let sandboxes: Vec<Sandbox> = (0..5).map(|_| Sandbox::up()).collect();
    sandboxes.iter().for_each(|sandbox| sandbox.lose(false));
    let home = tempfile::tempdir().unwrap();
    let config = home.path().join("recover.toml");
    std::fs::write(&config, combined(&sandboxes, &home.path().join("state"))).unwrap();

    let targets: Vec<String> = (1..=5).map(|number| format!("edge-{number}")).collect();
    let outputs: Vec<Output> = std::thread::scope(|scope| {
        let started: Vec<_> = targets.iter().map(|target| scope.spawn(|| go(&config, target))).collect();
        started.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let mut runs = std::collections::BTreeSet::new();
    for ((output, target), sandbox) in outputs.iter().zip(&targets).zip(&sandboxes) {
        let line = result(output);
        assert_eq!((line["verdict"].as_str(), code(output)), (Some("recovered"), 0), "{target}: {}", stderr(output));
        assert_eq!(line["target"], target.as_str(), "each command hears of its own run");
        runs.insert(line["run"].as_str().unwrap().to_owned());
        let ledger = sandbox.ledger();
        assert_eq!((&ledger["pairs"], &ledger["mints"]), (&1.into(), &1.into()), "{target}: {ledger}");
    }
    assert_eq!(runs.len(), 5, "one run for each");
    let verified = Command::new(RECOVER).arg("--config").arg(&config).args(["verify", "--all"]).output().unwrap();
    assert_eq!(code(&verified), 0, "{}", stderr(&verified));
}

#[test]
fn of_twenty_commands_on_one_target_one_acts() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let config = sandbox.config();
    let outputs: Vec<Output> = std::thread::scope(|scope| {
        let started: Vec<_> = (0..20).map(|_| scope.spawn(|| go(&config, "edge-1"))).collect();
        started.into_iter().map(|one| one.join().unwrap()).collect()
    });
    let acted: Vec<&Output> = outputs.iter().filter(|output| code(output) == 0).collect();
    assert_eq!(acted.len(), 1, "{:?}", outputs.iter().map(code).collect::<Vec<_>>());
    assert_eq!(result(acted[0])["verdict"], "recovered");
    for output in outputs.iter().filter(|output| code(output) != 0) {
        // Held by the one that acts, or so late that nothing is wrong any more.
        assert!([6, 8].contains(&code(output)), "{}: {}", code(output), stderr(output));
    }
    let ledger = sandbox.ledger();
    assert_eq!((&ledger["pairs"], &ledger["mints"]), (&1.into(), &1.into()), "{ledger}");
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
}
