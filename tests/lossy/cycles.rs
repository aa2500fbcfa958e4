//! Recoveries of the real binary, cut again and again: killed, what was not synced forgotten, and carried on.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::disk::Kept;
use crate::mount::Lossy;
use crate::random::Random;
use crate::sandbox::{RECOVER, Sandbox};

/// As often is one recovery cut at most.
const CUTS_MAX: u64 = 12;
/// A recovery that is not over by then goes in circles.
const TRIES_MAX: u32 = 8;

#[derive(Default)]
pub struct Count {
    pub cuts: u64,
    pub recoveries: u64,
    pub reboots: u64,
    pub looked_for: u64,
    pub lost: u64,
    pub duplicates: u64,
    pub problems: Vec<String>,
}

/// One recovery on the lossy disk.
pub struct Recovery<'a> {
    sandbox: &'a Sandbox,
    state: PathBuf,
    out: PathBuf,
    /// Every record that was told to be durable, as it was told.
    pub acked: BTreeSet<String>,
}

pub fn run(lossy: &Lossy, at: &Path, cuts: u64, seed: u64) -> Count {
    let begun = Instant::now();
    let mut random = Random::new(seed);
    let mut count = Count::default();
    let beside = tempfile::tempdir().unwrap();
    let mut sandbox = fresh();
    while count.cuts < cuts && count.problems.len() < 5 {
        lose_anew(lossy, &mut sandbox);
        let mut recovery = Recovery::new(&sandbox, at, beside.path());
        recovery.cut_and_resume(lossy, &mut random, &mut count);
        recovery.finish(&mut count);
        if count.recoveries.is_multiple_of(10) {
            println!(
                "lossy: {} cuts in {} recoveries so far, {} problems, {} s",
                count.cuts,
                count.recoveries,
                count.problems.len(),
                begun.elapsed().as_secs()
            );
        }
    }
    count
}

/// An empty disk, and a sandbox that has lost its identity.
pub fn lose_anew(lossy: &Lossy, sandbox: &mut Sandbox) {
    lossy.clear();
    sandbox.command(&["up"]);
    if !sandbox.has_identity() {
        // The recovery before left it lost, and that was counted.
        *sandbox = fresh();
    }
    sandbox.lose(false);
}

/// A sandbox that observes for a shorter time, so that more of a recovery is work.
pub fn fresh() -> Sandbox {
    let sandbox = Sandbox::up();
    let config = fs::read_to_string(sandbox.config()).unwrap();
    let quick = config.replace(r#"observe = "1s""#, r#"observe = "200ms""#);
    assert!(quick != config);
    fs::write(sandbox.config(), quick).unwrap();
    sandbox
}

impl<'a> Recovery<'a> {
    pub fn new(sandbox: &'a Sandbox, at: &Path, beside: &Path) -> Self {
        Self { sandbox, state: at.join("deep/er/state"), out: beside.join("out"), acked: BTreeSet::new() }
    }
    pub fn command(&self) -> Command {
        let mut command = Command::new(RECOVER);
        command.arg("--config").arg(self.sandbox.config()).arg("--state-dir").arg(&self.state);
        command
    }

    pub fn start(&self) -> std::process::Child {
        self.command()
            .args(["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"])
            .stdout(File::create(&self.out).unwrap())
            .stderr(File::create(self.out.with_extension("err")).unwrap())
            .stdin(Stdio::null())
            .spawn()
            .unwrap()
    }

    /// The records that the process has told to be durable.
    fn told(&self) -> Vec<String> {
        let said = fs::read_to_string(&self.out).unwrap();
        // A line that was cut short was not said.
        let lines = said.split_inclusive('\n').filter(|line| line.ends_with('\n')).map(str::trim_end);
        lines.filter(|line| line.contains("recover.event/v1")).map(str::to_owned).collect()
    }

    /// How many there are so far.
    pub fn said(&self) -> usize {
        self.told().len()
    }

    /// Remembers what the process said before it ended.
    pub fn listen(&mut self) {
        let told = self.told();
        self.acked.extend(told);
    }

    /// Nothing has happened outside whose intent is not in the log.
    pub fn nothing_without_its_intent(&self, count: &mut Count) {
        let events = self.command().args(["events", "--output", "json"]).output().unwrap();
        let events = String::from_utf8_lossy(&events.stdout).into_owned();
        let ledger = self.sandbox.ledger();
        for (effect, step) in [("mints", "mint"), ("pairs", "pair")] {
            let intent = |line: &&str| {
                serde_json::from_str::<Value>(line).is_ok_and(|line| line["kind"] == "intent" && line["step"] == step)
            };
            let intended = events.lines().filter(intent).count() as u64;
            if ledger[effect].as_u64().unwrap() > intended {
                count.problems.push(format!("{effect} without an intent: {ledger}, {intended} intended"));
            }
        }
    }

    fn cut_and_resume(&mut self, lossy: &Lossy, random: &mut Random, count: &mut Count) {
        for _ in 0..1 + random.below(CUTS_MAX) {
            let mut child = self.start();
            std::thread::sleep(Duration::from_millis(random.below(700)));
            if child.try_wait().unwrap().is_some() {
                return self.listen();
            }
            child.kill().unwrap();
            child.wait().unwrap();
            lossy.cut(if random.below(2) == 0 { Kept::Nothing } else { Kept::Some }, random);
            count.cuts += 1;
            self.listen();
            if random.below(4) == 0 {
                // With the power goes what was on tmpfs.
                count.reboots += 1;
                self.forget_secrets();
            }
            self.look(count);
        }
    }

    fn forget_secrets(&self) {
        let config = fs::read_to_string(self.sandbox.config()).unwrap();
        let dir = config.lines().find_map(|line| line.strip_prefix("secrets_dir = ")).unwrap().trim_matches('"');
        if let Ok(runs) = fs::read_dir(dir) {
            runs.flatten().for_each(|run| drop(fs::remove_dir_all(run.path())));
        }
    }

    /// Whatever was said to be durable is there.
    pub fn look(&self, count: &mut Count) {
        let mut there = BTreeSet::new();
        let mut runs = BTreeSet::new();
        for line in &self.acked {
            let run = serde_json::from_str::<Value>(line).unwrap()["run"].as_str().unwrap().to_owned();
            runs.insert(run);
        }
        for run in runs {
            let events = self.command().args(["events", &run, "--output", "json"]).output().unwrap();
            there.extend(String::from_utf8_lossy(&events.stdout).lines().map(str::to_owned));
        }
        count.looked_for += self.acked.len() as u64;
        let lost: Vec<&String> = self.acked.difference(&there).collect();
        if let Some(first) = lost.first() {
            count.lost += lost.len() as u64;
            count.problems.push(format!("{} of {} acknowledged records lost: {first}", lost.len(), self.acked.len()));
        }
    }

    pub fn finish(&mut self, count: &mut Count) {
        count.recoveries += 1;
        let mut code = None;
        for _ in 0..TRIES_MAX {
            code = self.start().wait().unwrap().code();
            self.listen();
            // 8: it is healthy, since the recovery had ended before the last cut.
            if matches!(code, Some(0 | 8)) {
                break;
            }
        }
        self.look(count);
        let ledger = self.sandbox.ledger();
        let mut problem = |what: String| {
            let said = fs::read_to_string(self.out.with_extension("err")).unwrap_or_default();
            count.problems.push(format!("recovery {}: {what}: {} {ledger}", count.recoveries, said.trim()));
        };
        if !matches!(code, Some(0 | 8)) {
            problem(format!("not recovered, exit {code:?}"));
        }
        let pairs = ledger["pairs"].as_u64().unwrap_or(u64::MAX);
        if pairs == 0 {
            problem("no pairing".to_owned());
        }
        if ledger["live_tokens"] != 0 {
            problem("a token still works".to_owned());
        }
        let verified = self.command().args(["verify", "--all"]).output().unwrap();
        if !verified.status.success() {
            problem(format!("verify: {}", String::from_utf8_lossy(&verified.stderr).trim()));
        }
        if pairs > 1 {
            problem(format!("{pairs} pairings"));
            count.duplicates += pairs - 1;
        }
    }
}
