//! What every lane does: a loss, a kill at a random moment, a resume, and the questions afterwards.

use std::fmt;
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::bench::Bench;
use crate::random::Random;

pub const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--yes"];

/// The exit of a run that is held by another one.
const HELD: i32 = 6;
pub const NOT_APPLICABLE: i32 = 8;

/// What came of a lane.
pub enum Ran {
    Done {
        figures: Figures,
        problems: Vec<String>,
    },
    /// Its system cannot be had here.
    Not(String),
}

/// What a lane did.
#[derive(Default)]
pub struct Figures {
    pub losses: u32,
    pub kills: u32,
    pub resumed: u32,
    pub pairings: u64,
    pub repairs: u32,
    pub duplicates: u32,
    /// The longest recovery that was not killed, without the time that the runbook asks to watch.
    pub overhead: Duration,
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} losses, {} kills, {} resumed, {} paired, {} repaired from the original, {} duplicates; {:.1} s beside the watching",
            self.losses,
            self.kills,
            self.resumed,
            self.pairings,
            self.repairs,
            self.duplicates,
            self.overhead.as_secs_f64()
        )
    }
}

/// A system that runs the connector.
pub trait System {
    /// Breaks it: the identity is gone, or it is kept aside.
    fn lose(&self, bench: &Bench, keep_original: bool);
    /// The identity that the connector has now; nothing where it has none.
    fn identity(&self, bench: &Bench) -> Vec<u8> {
        bench.identity()
    }
    /// What is not as it must be after a recovery, as the system tells it.
    fn problems(&self, bench: &Bench) -> Vec<String>;
}

/// So many kills for each branch, and one recovery of each that is not killed.
pub fn run(system: &impl System, bench: &Bench, kills: u32, seed: u64) -> Ran {
    let mut random = Random::new(seed);
    let (mut figures, mut problems) = (Figures::default(), Vec::new());
    for keep_original in [true, false] {
        let mut took = Duration::from_secs(3);
        for round in 0..=kills {
            let killed_after = (round > 0).then(|| took.mul_f64(random.below(1_000) as f64 / 1_000.0));
            let what = format!("original {}, round {round}", if keep_original { "kept" } else { "gone" });
            let spent = one(system, bench, keep_original, killed_after, &mut figures, &mut problems);
            if round == 0 {
                took = spent;
                figures.overhead = figures.overhead.max(spent.saturating_sub(bench.watched()));
            }
            if !problems.is_empty() {
                // What comes after would only tell of the same.
                problems.iter_mut().for_each(|problem| *problem = format!("{what}: {problem}"));
                return Ran::Done { figures, problems };
            }
        }
    }
    Ran::Done { figures, problems }
}

fn one(
    system: &impl System,
    bench: &Bench,
    keep_original: bool,
    killed_after: Option<Duration>,
    figures: &mut Figures,
    problems: &mut Vec<String>,
) -> Duration {
    system.lose(bench, keep_original);
    let original = keep_original.then(|| bench.original());
    figures.losses += 1;
    let begun = Instant::now();
    let mut child = bench.recovering(GO).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    if let Some(after) = killed_after {
        std::thread::sleep(after);
        figures.kills += u32::from(child.try_wait().unwrap().is_none());
        bench.kill(&mut child);
    }
    let ended = child.wait().unwrap();
    let spent = begun.elapsed();
    if !ended.success() {
        let resumed = bench.recover(&["resume", "--all"]);
        if !resumed.status.success() {
            problems.push(format!("it was not resumed: {}", String::from_utf8_lossy(&resumed.stderr)));
        }
        figures.resumed += 1;
    }
    // Killed before the first commit, nothing was begun.
    if system.identity(bench).is_empty() {
        let again = bench.recover(GO);
        if !again.status.success() {
            problems.push(format!("it did not recover: {}", String::from_utf8_lossy(&again.stderr)));
        }
    }
    // A recovered connector is healthy, and there is nothing to do for it.
    let healthy = bench.recover(GO);
    if healthy.status.code() != Some(NOT_APPLICABLE) {
        problems.push(format!("it is not healthy afterwards: {}", String::from_utf8_lossy(&healthy.stderr)));
    }
    let ledger = bench.ledger();
    let count = |what: &str| ledger[what].as_u64().unwrap_or(u64::MAX);
    let pairs = u64::from(!keep_original);
    figures.pairings += count("pairs");
    figures.repairs += u32::from(keep_original);
    if count("pairs") > pairs {
        figures.duplicates += 1;
    }
    // Each life of the connector is noted by itself. One was there at the loss; a repair or pairing and a validation follow.
    let starts = 3 + 2 * u64::from(killed_after.is_some());
    for (what, found, most) in [
        ("pairings", count("pairs"), pairs),
        ("mints", count("mints"), 3 * pairs),
        // The stale ones that the sandbox leaves at each loss are revoked where a token is made in their place.
        ("tokens that work", if keep_original { 0 } else { count("live_tokens") }, 0),
        ("starts", count("starts"), starts),
    ] {
        if found > most {
            problems.push(format!("{found} {what}, at most {most} are right: {ledger}"));
        }
    }
    if count("pairs") < pairs {
        problems.push("it did not pair".to_owned());
    }
    if let Some(original) = original
        && system.identity(bench) != original
    {
        problems.push("the identity is not the original one".to_owned());
    }
    problems.extend(system.problems(bench));
    spent
}

/// Another state directory finds the mark of the first at the target, and does nothing beside the one that holds it.
pub fn two_at_once(system: &impl System, bench: &Bench, is_marked: impl Fn() -> bool) -> Vec<String> {
    let mut problems = Vec::new();
    system.lose(bench, false);
    let mut first = bench.recovering(GO).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !is_marked() {
        assert!(Instant::now() < until && first.try_wait().unwrap().is_none(), "no mark was seen");
    }
    let elsewhere = tempfile::tempdir().unwrap();
    let state = elsewhere.path().join("state");
    let second = bench.recovering(&["--state-dir", state.to_str().unwrap()]).args(GO).output().unwrap();
    if second.status.code() != Some(HELD) || !told(&second).contains("RCV0013") {
        problems.push(format!("the second was not refused: exit {:?}: {}", second.status.code(), told(&second)));
    }
    if !first.wait().unwrap().success() {
        problems.push("the first did not recover".to_owned());
    }
    let ledger = bench.ledger();
    if (&ledger["pairs"], &ledger["mints"]) != (&1.into(), &1.into()) {
        problems.push(format!("there was not one pairing: {ledger}"));
    }
    problems.extend(system.problems(bench));
    problems
}

/// What a command said to a person.
pub fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What is wrong with a diagnosis that is to name this class, so surely. A status outlives its connector for a moment.
pub fn diagnosed(bench: &Bench, words: &[&str], class: &str, sureness: &str) -> Option<String> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let output = bench.recovering(&["diagnose", "--target", "edge-1", "--output", "json"]).args(words).output();
        let text = String::from_utf8_lossy(&output.unwrap().stdout).into_owned();
        let line: Value = text.lines().last().and_then(|line| serde_json::from_str(line).ok()).unwrap_or_default();
        if line["class"] == class && line["sureness"] == sureness {
            return None;
        }
        if Instant::now() > until {
            return Some(format!("it is not told as {class}, {sureness}: {text}"));
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
