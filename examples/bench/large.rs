//! A journal of a million records: opened after a kill, verified, its index rebuilt.

use std::path::Path;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::Instant;

use recover_engine::{Digest, Entry, Header, Journal as _, Key, Kind, Latch, Millis, Run, RunId};
use recover_journal::Reader;

use crate::Row;
use crate::work::{ACTOR, Plan, journal};

/// Writes runs of the workflow straight as records, many to a frame; the last one is left open in the middle of a step.
pub fn fill(state: &Path, runs: u64, records: u32) {
    let plan = Plan::new();
    let journal = journal(state);
    std::thread::scope(|scope| {
        for part in 0..50_u64 {
            let (plan, journal) = (&plan, &journal);
            scope.spawn(move || {
                for number in (part..runs).step_by(50) {
                    let open = number + 1 == runs;
                    journal.append_blocking(entries(plan, number, records, open)).unwrap();
                }
            });
        }
    });
}

fn entries(plan: &Plan, number: u64, records: u32, open: bool) -> Vec<Entry> {
    let subject = format!("large/{number}");
    let key = Key::subject(&subject);
    let charter = plan.charter(subject.clone());
    let mut entropy = [0; 10];
    entropy[..8].copy_from_slice(&number.to_le_bytes());
    let run = RunId::new(Millis(1_000_000 + i64::try_from(number).unwrap()), entropy);
    let mut prev = Digest::ZERO;
    let mut out = Vec::new();
    for seq in 1..=records {
        let last = seq == records;
        let step = recover_engine::Key::effect(&subject, "", "nothing", 0);
        let (kind, latch, key, payload) = match seq {
            1 => (Kind::Begun, Latch::Claim, key, recover_engine::Json::of(&charter.begun)),
            _ if last && !open => (
                Kind::Closed,
                Latch::Release,
                key,
                recover_engine::Json::of(&recover_engine::Ending::new(recover_engine::Verdict::Abandoned, "filled")),
            ),
            2 => (
                Kind::Intent,
                Latch::None,
                Key::NONE,
                recover_engine::Json::of(&recover_engine::Intent {
                    state: "one".into(),
                    step: "nothing".into(),
                    body: recover_engine::Json::parse("{\"number\":0}".into()).unwrap(),
                    redo: recover_engine::Redo::Idempotent,
                    fence: false,
                    epoch: None,
                    ordinal: 0,
                    key: step,
                }),
            ),
            _ => (
                Kind::Attempt,
                Latch::None,
                Key::NONE,
                recover_engine::Json::of(&recover_engine::Attempt {
                    attempt: seq - 1,
                    failed: 0,
                    why: "it was tried before and did not come to an end in its time".into(),
                    not_before: Millis(0),
                    doubt: false,
                }),
            ),
        };
        let header = Header { run, seq, kind, latch, key, at: Millis(1_000_000), prev };
        let entry = Entry::encode(header, ACTOR, payload.as_str()).unwrap();
        prev = entry.hash();
        out.push(entry);
    }
    out
}

pub fn all(dir: &Path) -> Vec<Row> {
    const RUNS: u64 = 100_000;
    let state = dir.join("large");
    fill(&state, RUNS, 10);
    let output = Command::new(std::env::current_exe().unwrap()).arg("resume-child").arg(&state).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let number = |name: &str| {
        text.lines().find_map(|line| line.strip_prefix(name)).and_then(|n| n.trim().parse::<f64>().ok()).unwrap_or(-1.0)
    };
    let (open_ms, rss_mib) = (number("open_ms"), number("rss_mib"));
    let begun = Instant::now();
    let report = Reader::open(&state).unwrap().verify().unwrap();
    let verify = report.records as f64 / begun.elapsed().as_secs_f64();
    assert_eq!((report.records, report.damage.len()), (RUNS * 10, 0));
    let rebuild = rebuild(&state, RUNS * 10);
    vec![
        Row {
            what: "open for writing and resume with 10⁶ records",
            measured: format!("{open_ms:.0} ms, RSS {rss_mib:.0} MiB"),
            wanted: "≤ 600 ms, ≤ 64 MiB",
            reached: (0.0..=600.0).contains(&open_ms) && (0.0..=64.0).contains(&rss_mib),
        },
        Row {
            what: "rebuild of the index",
            measured: format!("{rebuild:.0} records/s"),
            wanted: "≥ 60,000 records/s",
            reached: rebuild >= 60_000.0,
        },
        Row {
            what: "verify",
            measured: format!("{verify:.0} records/s"),
            wanted: "≥ 100,000 records/s",
            reached: verify >= 100_000.0,
        },
    ]
}

fn rebuild(state: &Path, records: u64) -> f64 {
    drop(std::fs::remove_dir_all(state.join("index")));
    let begun = Instant::now();
    let journal = journal(state);
    assert!(journal.index().expect("an index").wait(std::time::Duration::from_secs(120)), "the index is not rebuilt");
    records as f64 / begun.elapsed().as_secs_f64()
}

/// What a process does that takes up the open run, in a process of its own so that its memory is its own.
pub fn child(state: &Path) -> ExitCode {
    let plan = Plan::new();
    let begun = Instant::now();
    let journal = journal(state);
    let (id, _) = journal.open_runs()[0];
    let entries = journal.read(id).unwrap();
    let machine = plan.entry.begin(&recover_engine::Json::of(&0)).unwrap();
    let charter = Arc::new(plan.charter(format!("large/{}", 99_999)));
    let run = Run::resume(&entries, charter, machine, ACTOR.into()).unwrap();
    println!("open_ms {}", begun.elapsed().as_millis());
    drop(run);
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap_or("0");
    let kib: f64 = peak.trim().trim_end_matches(" kB").trim().parse().unwrap_or(0.0);
    println!("rss_mib {}", kib / 1024.0);
    ExitCode::SUCCESS
}
