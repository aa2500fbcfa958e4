//! Copies the records of some runs, frame by frame, into a new journal with small segments: how `tests/frozen` is made.
//!
//! `cargo run --example freeze -- SRC DST RUN…`, once for each format that was released. SRC is only read.

use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use recover_engine::{Entry, RunId};
use recover_journal::{CommitLog, DiskStorage, Options, Reader};

/// Small enough for a repository and for a run to reach over segments, long enough for the longest frame.
const OPTIONS: Options = Options { segment_len: 32 << 10 };

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let [from, to, runs @ ..] = words.as_slice() else {
        eprintln!("usage: freeze SRC DST RUN…");
        return ExitCode::from(64);
    };
    match freeze(Path::new(from), Path::new(to), runs) {
        Ok((frames, head)) => {
            println!("{frames} frames, head {head}");
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("not frozen: {error}");
            ExitCode::FAILURE
        }
    }
}

fn freeze(from: &Path, to: &Path, runs: &[String]) -> Result<(u64, String), Box<dyn std::error::Error>> {
    let wanted = runs.iter().map(|run| run.parse()).collect::<Result<Vec<RunId>, _>>()?;
    std::fs::create_dir(to)?;
    let mut log = CommitLog::open(Arc::new(DiskStorage::open(to)?), OPTIONS)?;
    for frame in Reader::open(from)?.follow(0).poll(u64::MAX)? {
        // A frame may hold records of several runs; a batch is of one.
        for run in &wanted {
            let batch: Vec<Entry> = frame.entries.iter().filter(|e| e.header().run == *run).cloned().collect();
            if !batch.is_empty() {
                log.append_blocking(batch)?;
            }
        }
    }
    let head = log.head();
    log.close();
    Ok((head.frame, format!("{}:{}", head.frame, head.head)))
}
