//! The connector as a unit of systemd, whichever manager has it.

use std::cell::Cell;
use std::path::PathBuf;
use std::process::Output;
use std::time::{Duration, Instant};

use crate::bench::Bench;
use crate::lane::{self, System};
use crate::sandbox::Sandbox;

pub const UNIT: &str = "edge-connector.service";
/// A property that says nothing of where the files are: they are moved, and the unit is not told.
pub const NOTHING: &str = "Description";
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

    /// Writes the connector's unit, with these lines besides, and forgets every drop-in, as a deployment does.
    fn write_unit(&self, command: &[String], lines: &str) {
        let quoted: Vec<String> = command.iter().map(|word| format!("{word:?}")).collect();
        let text = format!(
            "[Unit]\nDescription=the connector under test\nStartLimitIntervalSec=0\n\n[Service]\nExecStart={}\nRestart=on-failure\nRestartSec=100ms\n{lines}",
            quoted.join(" ")
        );
        std::fs::write(self.units().join(UNIT), text).unwrap();
        self.forget_drop_ins();
    }

    fn forget_drop_ins(&self) {
        drop(std::fs::remove_dir_all(self.units().join(format!("{UNIT}.d"))));
        self.done(&["daemon-reload"]);
    }
}

/// The unit, and what has to be known of it to judge a recovery.
pub struct Unit<M> {
    pub manager: M,
    /// The property by which it is told where its files are, and what stands before the path in it.
    told_by: (&'static str, String),
    kept: Cell<bool>,
}

impl<M: Manager> Unit<M> {
    pub fn new(manager: M, property: &'static str, before: &str) -> Self {
        Self { manager, told_by: (property, before.to_owned()), kept: Cell::new(false) }
    }

    /// Where its files are, as the manager says.
    fn data(&self, bench: &Bench) -> PathBuf {
        let (property, before) = &self.told_by;
        let told = if *property == NOTHING { String::new() } else { self.manager.property(property) };
        let of = |word: &str| Some(PathBuf::from(word.strip_prefix(before.as_str())?.split(':').next()?));
        told.split_whitespace().rev().find_map(of).unwrap_or_else(|| bench.sandbox().dir().join("data"))
    }
}

impl<M: Manager> System for Unit<M> {
    fn lose(&self, bench: &Bench, keep_original: bool) {
        self.manager.done(&["stop", UNIT]);
        // Where the unit has its identity elsewhere, the sandbox does not know it.
        let (identity, own) = (self.identity(bench), bench.sandbox().dir().join("data/identity.json"));
        if !identity.is_empty() && !own.exists() {
            std::fs::write(own, identity).unwrap();
        }
        // The sandbox pairs it anew and takes the identity away; the unit then finds what it finds in life: nothing.
        bench.sandbox().command(&["up"]);
        bench.sandbox().lose(keep_original);
        bench.end_the_sandboxs_own();
        self.manager.forget_drop_ins();
        self.kept.set(keep_original);
        self.manager.done(&["start", UNIT]);
    }

    fn identity(&self, bench: &Bench) -> Vec<u8> {
        std::fs::read(self.data(bench).join("identity.json")).unwrap_or_default()
    }

    fn problems(&self, bench: &Bench) -> Vec<String> {
        let mut problems = Vec::new();
        for (property, right) in [("ActiveState", "active"), ("SubState", "running"), ("NRestarts", "0")] {
            let found = self.manager.property(property);
            if found != right {
                problems.push(format!("systemd says {property}={found}, not {right}"));
            }
        }
        // One for the original, that is to stay; none for a token, which is withdrawn.
        let drop_ins = self.manager.property("DropInPaths");
        let right = |path: &str| path.contains("/90-recover-run_");
        let drop_ins: Vec<&str> = drop_ins.split_whitespace().collect();
        if drop_ins.len() != usize::from(self.kept.get() && self.told_by.0 != NOTHING)
            || !drop_ins.iter().all(|path| right(path))
        {
            problems.push(format!("the drop-ins are {drop_ins:?}"));
        }
        let plane = words(bench.sandbox()).0;
        let plane = &plane[plane.iter().position(|word| word == "--control-plane").unwrap() + 1];
        let processes = std::fs::read_dir("/proc").unwrap().filter(|entry| {
            let path = entry.as_ref().unwrap().path().join("cmdline");
            let words = std::fs::read(path).unwrap_or_default();
            let words: Vec<&[u8]> = words.split(|byte| *byte == 0).collect();
            words.get(2) == Some(&&b"connector"[..]) && words.contains(&plane.as_bytes())
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
    let alias = "same-connector.service";
    let link = system.manager.units().join(alias);
    drop(std::fs::remove_file(&link));
    std::os::unix::fs::symlink(UNIT, &link).unwrap();
    let nowhere = (nowhere, "unix:path=/nowhere/bus".to_owned());
    let cases = [
        ("a unit that there is not", bench.with_workload(UNIT, "no-connector.service", None), "there is no such unit"),
        ("a unit that is masked", bench.with_workload(UNIT, masked, None), "the unit is masked"),
        (
            "a unit by its other name",
            bench.with_workload(UNIT, alias, None),
            "same-connector.service is another name of edge-connector.service",
        ),
        ("no bus", bench.with_workload(UNIT, UNIT, Some(nowhere)), "systemd cannot be reached"),
    ];
    // With it the manager reads the units again.
    system.lose(bench, true);
    // The unit counts as started a moment before the connector notes it.
    let until = Instant::now() + Duration::from_secs(5);
    while bench.ledger()["starts"] == 0 && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
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
    std::fs::remove_file(&link).unwrap();
    system.manager.done(&["daemon-reload"]);
    for effect in ["mints", "pairs", "starts"] {
        if bench.ledger()[effect] != before[effect] {
            problems.push(format!("{effect} changed where nothing may: {}", bench.ledger()));
        }
    }
    problems
}

/// The command with another word behind one of its flags.
pub fn with(mut command: Vec<String>, flag: &str, value: &str) -> Vec<String> {
    let at = command.iter().position(|word| word == flag).unwrap();
    value.clone_into(&mut command[at + 1]);
    command
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
