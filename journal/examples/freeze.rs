//! Writes the frozen journal of the current format, with fixed times and ids: `freeze DIR`. The one in `tests/frozen` was
//! made by it once and is not made again: a build that cannot read it has broken the format.

use std::path::Path;
use std::sync::Arc;

use recover_engine::{Digest, Entry, Key, Kind, Latch, RunId};
use recover_journal::testing::entries::{Script, closed_run, effect, id, subject};
use recover_journal::testing::sim::SimStorage;
use recover_journal::{CommitLog, Options};

fn batches() -> Vec<Vec<Entry>> {
    let mut open = Script::new(id(7));
    let mut own = Script::new(RunId::JOURNAL);
    let begun = vec![open.begin(subject(7)), open.intend(effect(7, 1))];
    let restored = open.next(Kind::Outcome, Latch::Restore, effect(7, 1), r#"{"refused":"absent"}"#);
    let mut batches: Vec<Vec<Entry>> = vec![begun];
    batches.extend((0..6).map(|n| closed_run(n, 4)));
    batches.push(vec![restored, open.intend(effect(7, 2))]);
    batches.push(vec![own.next(Kind::Salvaged, Latch::Block, subject(9), r#"{"reason":"frozen"}"#)]);
    batches.push(vec![own.next(Kind::Cleared, Latch::Clear, subject(9), r#"{"why":"frozen"}"#)]);
    batches.push(vec![open.next(Kind::Asked, Latch::None, Key::NONE, "{\"question\":\"caf\u{e9}?\"}")]);
    batches
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let dir = std::env::args().nth(1).ok_or("freeze DIR")?;
    let storage = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(storage.clone()), Options { segment_len: 2560 })?;
    for batch in batches() {
        log.append_blocking(batch)?;
    }
    let head = log.head();
    drop(log);
    for (path, bytes) in storage.files() {
        let path = Path::new(&dir).join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(Path::new(".")))?;
        std::fs::write(path, bytes)?;
    }
    // One record in one frame, for the worked example of FORMAT.md.
    let example = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(example.clone()), Options { segment_len: 2560 })?;
    log.append_blocking(vec![Script::new(id(1)).begin(subject(1))])?;
    let example_head = log.head();
    drop(log);
    let files = example.files();
    let segment = files.get("log/00000001.seg").ok_or("no segment")?;
    let end = segment.iter().rposition(|b| *b != 0).map_or(0, |last| last + 1);
    for (at, line) in segment[..end].chunks(16).enumerate() {
        let hex: Vec<String> = line.iter().map(|b| format!("{b:02x}")).collect();
        println!("{:04x}  {}", at * 16, hex.join(" "));
    }
    println!("example head {} {}", example_head.frame, example_head.head);
    println!("frozen head {} {}", head.frame, head.head);
    println!("digest of nothing {}", Digest::of(b""));
    Ok(())
}
