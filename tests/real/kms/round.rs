//! One round of a case: break, recover with kills, do what a person is asked for, and ask everybody else.

use std::collections::BTreeMap;
use std::fmt;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::bench::{Bench, TARGET};
use super::cases::{Case, Ends};
use crate::random::Random;

/// In one round no more is killed, so that kills meet the run at many places.
pub const KILLS_MOST: u32 = 5;
/// More questions and resumes than this are no recovery.
const TURNS_MOST: u32 = 40;

#[derive(Default)]
pub struct Told {
    pub ending: String,
    pub rounds: u32,
    pub kills: u32,
    pub resumed: u32,
    pub asked: u32,
    pub took: Duration,
    pub problems: Vec<String>,
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}; {} rounds, {} kills, {} resumed, {} questions answered; {:.1} s without a kill",
            self.ending,
            self.rounds,
            self.kills,
            self.resumed,
            self.asked,
            self.took.as_secs_f64()
        )
    }
}

/// Runs it to its end, or kills it after that long. Says whether it was killed. What it says goes to a file.
fn run(bench: &Bench, mut command: Command, killed_after: Option<Duration>) -> bool {
    let said = std::fs::File::create(bench.said()).unwrap();
    let mut child = command.stdout(Stdio::null()).stderr(said).spawn().unwrap();
    let mut killed = false;
    if let Some(after) = killed_after {
        std::thread::sleep(after);
        killed = child.try_wait().unwrap().is_none();
        child.kill().unwrap();
    }
    child.wait().unwrap();
    killed
}

/// One round, added to what is told of the case.
pub fn one(bench: &Bench, case: &Case, kills: u32, took: Duration, random: &mut Random, told: &mut Told) {
    told.rounds += 1;
    told.ending = "it was not broken".into();
    let before = bench.created();
    (case.breaks)(bench);
    // A key that is gone or another has no times to compare with; what was before is what must be again.
    let created = before.into_iter().chain(if case.keeps_key { bench.created() } else { BTreeMap::new() }).collect();
    told.ending = "it did not end".into();
    let begun = Instant::now();
    let mut left = kills;
    let mut moment = |left: &mut u32| {
        (*left > 0).then(|| {
            *left -= 1;
            took.mul_f64(random.below(1_000) as f64 / 1_000.0 / 2.0)
        })
    };
    let go = || bench.recovering(&["--scenario", case.scenario, "--target", TARGET, "--yes"]);
    let runs = bench.runs();
    // Killed before its first commit, nothing was begun. Killed after its last one, all is done.
    while run(bench, go(), moment(&mut left)) {
        told.kills += 1;
        if bench.runs() > runs {
            break;
        }
    }
    for turn in 0..=TURNS_MOST {
        let Some(open) = bench.open_run() else { break };
        if turn == TURNS_MOST {
            told.problems.push(format!("it does not end: {open}"));
            let run = open["run"].as_str().unwrap_or_default().to_owned();
            bench.recover(&["abandon", &run, "--reason", "the lane gives up"]);
            break;
        }
        let word = |name: &str| open[name].as_str().unwrap_or_default().to_owned();
        let (run_id, state) = (word("run"), word("state"));
        if word("status") == "operator-needed" {
            let topic = state.strip_prefix("asking-").unwrap_or(&state);
            let choice = (case.person)(bench, topic);
            let question = open["question"]["id"].as_str().unwrap_or_default().to_owned();
            let words = ["approve", &run_id, "--reason", "done by hand", "--question", &question, "--choice", choice];
            // Whoever answers goes on with the run, and can be killed like anybody.
            let killed = run(bench, bench.recovering(&words), moment(&mut left));
            told.kills += u32::from(killed);
            if !killed && bench.open_run().is_some_and(|now| now["question"]["id"] == question.as_str()) {
                let said = std::fs::read_to_string(bench.said()).unwrap_or_default();
                told.problems.push(format!("{topic} was not answered with {choice}: {}", said.trim()));
                bench.recover(&["abandon", &run_id, "--reason", "the lane gives up"]);
                break;
            }
            told.asked += 1;
        } else {
            told.resumed += 1;
            told.kills += u32::from(run(bench, bench.recovering(&["resume", "--all", "--yes"]), moment(&mut left)));
        }
    }
    told.took = begun.elapsed();
    told.ending = bench.last_ending();
    match case.ends {
        Ends::Recovered => {
            if !told.ending.contains("recovered") {
                let said = std::fs::read_to_string(bench.said()).unwrap_or_default();
                told.problems.push(format!("it ended as {}: {}", told.ending, said.trim()));
            }
            told.problems.extend(bench.problems(&created));
        }
        Ends::Lost => {
            if told.ending.contains("recovered") {
                told.problems.push(format!("it ended as {}", told.ending));
            }
            if !bench.created().is_empty() {
                told.problems.push("a key was made".into());
            }
        }
    }
    (case.afterwards)(bench);
}
