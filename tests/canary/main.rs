//! Canaries in the place of every secret, and a scan of everything that outlives a run or can be seen while it goes on: the
//! state directory, every export, stdout and stderr at the most talkative, command lines and environments, core dumps;
//! killed at seeded moments and after the resume. The control plane repeats every secret that it is sent, in every encoding.
//!
//! A panic cannot be forced without a hook in production code, so panic texts are not among the places; that none happens
//! is checked.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::wildcard_enum_match_arm,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod encodings;
mod guard;
mod plane;
#[path = "../harness/sandbox.rs"]
mod sandbox;
mod site;
mod surroundings;

use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use plane::Manner;
use site::Site;

const KILLS: u64 = 20;
const SITES: usize = 4;
const CANARIES: usize = 32;
const TOKENS: std::ops::Range<usize> = 1..17;

/// The canaries: the credential, tokens, and what stands in the caller's environment and in wrong keys.
fn canaries() -> Vec<String> {
    let word = |number: usize, salt: u64| {
        let mut state = (number as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt;
        let mut letter = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b"abcdefghijkmnpqrstuvwxyz23456789"[(state >> 59) as usize])
        };
        (0..12).map(|_| letter()).collect::<String>()
    };
    let token = |number: usize| {
        let hex: String =
            word(number, 3).bytes().chain(word(number, 4).bytes()).map(|byte| format!("{byte:02x}")).collect();
        format!("rst_{hex}")
    };
    let one = |number: usize| match number {
        n if TOKENS.contains(&n) => token(n),
        // A URL's user part and a TOML key's value take no more than this.
        n if n > 16 => format!("{}-{}", word(n, 1), word(n, 2)),
        n => format!("{}+\"\\/=%&{}", word(n, 1), word(n, 2)),
    };
    (0..CANARIES).map(one).collect()
}

/// What was found out.
#[derive(Default)]
pub struct Report {
    pub hits: Mutex<Vec<String>>,
    pub places: AtomicUsize,
    pub samples: AtomicUsize,
    /// How often a token was seen where it may be.
    pub kept: AtomicUsize,
}

impl Report {
    pub fn problem(&self, what: String) {
        let mut hits = self.hits.lock().unwrap();
        if hits.len() < 2_000 && !hits.contains(&what) {
            println!("canary: PROBLEM {what}");
        }
        hits.push(what);
    }
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--list") {
        println!("canaries: test");
        return ExitCode::SUCCESS;
    }
    let canaries = canaries();
    if let Err(why) = encodings::check_scanner(&canaries, &encodings::Scanner::new(&canaries)) {
        println!("canary: the scanner itself fails: {why}\ntest result: FAILED. 0 passed; 1 failed; 0 ignored");
        return ExitCode::FAILURE;
    }
    let report = Report::default();
    let minted = Arc::new(AtomicUsize::new(0));
    let trials: Vec<Trial> = [
        Trial::Manner(Manner::Refusing(403)),
        Trial::Manner(Manner::Refusing(400)),
        Trial::Manner(Manner::Refusing(500)),
        Trial::Manner(Manner::SecretCode),
        Trial::Manner(Manner::Redirecting),
        Trial::Manner(Manner::SecretSerial),
        Trial::Manner(Manner::Garbage),
        Trial::Chatty,
        Trial::Reason,
        Trial::Abort,
        Trial::Config,
    ]
    .into_iter()
    .chain((0..KILLS).map(|n| Trial::Kill(moment(n))))
    .collect();
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for number in 0..SITES {
            let (canaries, report, minted, next, trials) = (&canaries, &report, &minted, &next, &trials);
            scope.spawn(move || {
                let mut site = Site::new(canaries, minted);
                while let Some(trial) = trials.get(next.fetch_add(1, Ordering::SeqCst)) {
                    let begun = std::time::Instant::now();
                    trial.run(&mut site, report);
                    if std::env::var_os("CANARY_TIMES").is_some() {
                        println!("canary: {trial:?} took {} ms", begun.elapsed().as_millis());
                    }
                }
                if number == 0 {
                    site.token_as_serial(report);
                }
            });
        }
    });
    for (name, check) in guard::CHECKS {
        match check() {
            Ok(said) => println!("canary: {name}: {said}"),
            Err(why) => report.problem(format!("{name}: {why}")),
        }
    }
    if minted.load(Ordering::SeqCst) < TOKENS.len() {
        report.problem(format!("only {} tokens were minted", minted.load(Ordering::SeqCst)));
    }
    if report.kept.load(Ordering::SeqCst) == 0 {
        report.problem("a token was never seen where it is kept: the samples are too rare".to_owned());
    }
    let hits = report.hits.into_inner().unwrap().len();
    println!(
        "canary: {CANARIES} canaries x {} encodings over {} places and {} samples of processes, {KILLS} kills, {hits} hits",
        encodings::ENCODINGS,
        report.places.into_inner(),
        report.samples.into_inner(),
    );
    let failed = usize::from(hits > 0);
    println!(
        "test result: {}. {} passed; {failed} failed; 0 ignored",
        if failed == 0 { "ok" } else { "FAILED" },
        1 - failed
    );
    ExitCode::from(u8::from(failed > 0))
}

/// Seeded, and denser where a run does most.
fn moment(number: u64) -> u64 {
    let draw = (number + 17).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    20 + number * 190 + draw % 190
}

#[derive(Debug)]
enum Trial {
    Manner(Manner),
    Chatty,
    Reason,
    Abort,
    Config,
    Kill(u64),
}

impl Trial {
    fn run(&self, site: &mut Site<'_>, report: &Report) {
        match self {
            Self::Manner(manner) => site.refused(*manner, report),
            Self::Chatty => site.recovered(None, report),
            Self::Kill(after) => site.recovered(Some(*after), report),
            Self::Reason => site.reason(report),
            Self::Abort => site.aborted(report),
            Self::Config => site.wrong_keys(report),
        }
    }
}
