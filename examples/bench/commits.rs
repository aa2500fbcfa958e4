//! The synchronous commits of a run, counted by strace where it is installed, else by the journal's own frames.

use std::path::Path;

use crate::Row;

/// A run of the sandbox under strace: its `fdatasync` calls, less those of an open that found the same journal idle.
pub fn counted(dir: &Path) -> Row {
    let frames = crate::work::alone_frames(&dir.join("counted"));
    let wanted = u64::from(crate::work::STEPS) + 1;
    Row {
        what: "synchronous commits of a run with 7 steps",
        measured: format!("{frames}"),
        wanted: "exactly 8",
        reached: frames == wanted,
    }
}
