//! The connector as a unit of systemd, whichever manager has it.

use std::path::PathBuf;
use std::process::Output;

use crate::bench::Bench;
use crate::lane::{self, System};
use crate::sandbox::Sandbox;

pub const UNIT: &str = "edge-connector.service";
/// The exit of a run that ends with everything as it was found.
pub const AS_FOUND: i32 = 2;

/// A manager of units of our own.
pub trait Manager {
    /// The folder on this host that it reads its units from.
    fn units(&self) -> PathBuf;

    fn systemctl(&self, words: &[&str]) -> Output;

    fn done(&self, words: &[&str]) {
        let output = self.systemctl(words);
        assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn property(&self, name: &str) -> String {
        let output = self.systemctl(&["show", "--value", "--property", name, UNIT]);
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn write_unit(&self, command: &[String]) {
        let quoted: Vec<String> = command.iter().map(|word| format!("{word:?}")).collect();
        let text = format!(
            "[Unit]\nDescription=the connector under test\nStartLimitIntervalSec=0\n\n[Service]\nExecStart={}\nRestart=on-failure\nRestartSec=100ms\n",
            quoted.join(" ")
        );
        std::fs::write(self.units().join(UNIT), text).unwrap();
        self.done(&["daemon-reload"]);
    }
}

pub struct Unit<M> {
    pub manager: M,
}

impl<M: Manager> System for Unit<M> {
    fn lose(&self, bench: &Bench, keep_original: bool) {
        self.manager.done(&["stop", UNIT]);
        // The sandbox pairs it anew and takes the identity away; the unit then finds what it finds in life: nothing.
        bench.sandbox().command(&["up"]);
        bench.sandbox().lose(keep_original);
        bench.end_the_sandboxs_own();
        self.manager.done(&["start", UNIT]);
    }

    fn problems(&self, bench: &Bench) -> Vec<String> {
        let mut problems = Vec::new();
        for (property, right) in
            [("ActiveState", "active"), ("SubState", "running"), ("NRestarts", "0"), ("DropInPaths", "")]
        {
            let found = self.manager.property(property);
            if found != right {
                problems.push(format!("systemd says {property}={found}, not {right}"));
            }
        }
        let processes = std::fs::read_dir("/proc").unwrap().filter(|entry| {
            let path = entry.as_ref().unwrap().path().join("cmdline");
            let words = std::fs::read(path).unwrap_or_default();
            let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
            let data = bench.sandbox().dir().join("data");
            words.get(2) == Some(&&b"connector"[..]) && words.contains(&data.as_os_str().as_encoded_bytes())
        });
        let processes = processes.count();
        if processes != 1 {
            problems.push(format!("{processes} connectors run, and not one"));
        }
        problems
    }
}

/// What the workload's name or the bus can be wrong about: each is said, and nothing is changed. `nowhere` is the variable of a bus
/// that there is not.
pub fn bad_input<M: Manager>(system: &Unit<M>, bench: &Bench, nowhere: &str) -> Vec<String> {
    let masked = "masked-connector.service";
    system.manager.done(&["mask", masked]);
    let nowhere = (nowhere, "unix:path=/nowhere/bus".to_owned());
    let cases = [
        ("a unit that there is not", bench.with_workload(UNIT, "no-connector.service", None), "there is no such unit"),
        ("a unit that is masked", bench.with_workload(UNIT, masked, None), "the unit is masked"),
        ("no bus", bench.with_workload(UNIT, UNIT, Some(nowhere)), "systemd cannot be reached"),
    ];
    system.lose(bench, true);
    let before = bench.ledger();
    let mut problems = Vec::new();
    for (what, recovering, said) in cases {
        let mut recovering = recovering;
        let output = recovering.args(lane::GO).output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        if output.status.code() != Some(AS_FOUND) || !told.contains(said) {
            problems.push(format!("{what}: exit {:?}: {told}", output.status.code()));
        }
    }
    for effect in ["mints", "pairs", "starts"] {
        if bench.ledger()[effect] != before[effect] {
            problems.push(format!("{effect} changed where nothing may: {}", bench.ledger()));
        }
    }
    problems
}

/// The sandbox's connector: its command, and where it looks for a token.
pub fn words(sandbox: &Sandbox) -> (Vec<String>, PathBuf) {
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let line = text.lines().find(|line| line.starts_with("workload = ")).unwrap();
    let list = line.split_once('[').unwrap().1.split_once(']').unwrap().0;
    let command: Vec<String> = list.split(',').map(|word| word.trim().trim_matches('"').to_owned()).collect();
    let at = command.iter().position(|word| word == "--token-file").unwrap();
    let token_file = command[at + 1].clone().into();
    (command, token_file)
}
