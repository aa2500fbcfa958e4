//! A loop that writes, is told "durable", says so, and is killed: over sled alone, and over the journal alone.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use recover_engine::{Digest, Entry, Header, Key, Kind, Latch, Millis, RunId};
use recover_journal::{FileJournal, Host, Options, Reader};

use crate::disk::Kept;
use crate::mount::Lossy;
use crate::random::Random;

#[derive(Clone, Copy)]
pub enum Who {
    Sled,
    Journal,
}

/// How many of so many runs lost what was acknowledged.
pub fn losses(lossy: &Lossy, at: &Path, who: Who, runs: u32, seed: u64) -> u32 {
    let word = match who {
        Who::Sled => "sled",
        Who::Journal => "journal",
    };
    let mut random = Random::new(seed);
    let mut lost = 0;
    for run in 0..runs {
        lossy.clear();
        // Two folders deep, neither made by us. The upper one's name was once not synced, and everything acknowledged went with it.
        let dir = at.join("deep").join(format!("run-{run}"));
        if let Who::Sled = who {
            // Its folders and files are there, durably: what is lost is what `flush` said was not.
            child_command(word, &dir, "count").output().unwrap();
            lossy.sync_all();
        }
        let mut acked = 0;
        for _ in 0..1 + random.below(3) {
            let mut child = child_command(word, &dir, "write").spawn().unwrap();
            let lines = BufReader::new(child.stdout.take().unwrap()).lines();
            let until = random.below(40) as usize;
            let before = acked;
            for line in lines.map_while(Result::ok) {
                acked = acked.max(line.parse::<u64>().unwrap());
                if (acked - before) as usize > until {
                    break;
                }
            }
            child.kill().unwrap();
            child.wait().unwrap();
            lossy.cut(if random.below(2) == 0 { Kept::Nothing } else { Kept::Some }, &mut random);
        }
        let counted = child_command(word, &dir, "count").output().unwrap();
        let text = String::from_utf8_lossy(&counted.stdout);
        let found: u64 = text.trim().parse().unwrap_or(0);
        lost += u32::from(found < acked);
    }
    lost
}

fn child_command(who: &str, dir: &Path, verb: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["child", who, verb]).arg(dir).stdout(Stdio::piped()).stderr(Stdio::null());
    command
}

/// The process that is killed, or the one that counts what is left. Without gaps, from 1.
pub fn child(words: &[String]) {
    let dir = Path::new(&words[2]);
    match (words[0].as_str(), words[1].as_str()) {
        ("sled", verb) => {
            let db = sled::Config::new().path(dir).flush_every_ms(None).open().unwrap();
            let there = (1..).take_while(|n: &u64| db.get(n.to_be_bytes()).unwrap().is_some()).count() as u64;
            if verb == "count" {
                return say(there);
            }
            for n in there + 1.. {
                db.insert(n.to_be_bytes(), [7; 100].as_slice()).unwrap();
                db.flush().unwrap();
                say(n);
            }
        }
        (_, "count") => say(Reader::open(dir).unwrap().verify().map(|report| report.frames).unwrap()),
        _ => {
            let host = Host { machine: "m".into(), boot: "b".into() };
            let journal = FileJournal::open(dir, &host, Options { segment_len: 8192 }).unwrap();
            for n in journal.log().head().frame + 1.. {
                journal.append_blocking(vec![record(n)]).unwrap();
                say(n);
            }
        }
    }
}

/// Before anything else is written: whoever reads it may rely on it.
fn say(n: u64) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{n}").unwrap();
    out.flush().unwrap();
}

fn record(n: u64) -> Entry {
    let mut entropy = [0; 10];
    entropy[..8].copy_from_slice(&n.to_be_bytes());
    let header = Header {
        run: RunId::new(Millis(1), entropy),
        seq: 1,
        kind: Kind::Begun,
        latch: Latch::Claim,
        key: Key::subject(&n.to_string()),
        at: Millis(1),
        prev: Digest::ZERO,
    };
    Entry::encode(header, "{}", "{}").unwrap()
}
