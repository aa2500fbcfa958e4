//! How large a journal is.

use crate::error::{Failed, ReadError};
use crate::index::IndexStats;
use crate::segment::{LOG, SegmentFile};
use crate::storage::Storage;
use crate::survey::open;

/// Sizes and counts of an open journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stats {
    /// How many segment files there are, prepared and damaged ones included.
    pub segments: u64,
    /// The length of all of them in bytes.
    pub log_bytes: u64,
    /// The number of the last acknowledged frame.
    pub frames: u64,
    /// How many records the log holds.
    pub records: u64,
    /// The number of the segment that is written.
    pub segment: u64,
    /// How the index stands, if there is one.
    pub index: Option<IndexStats>,
}

/// How many segment files there are, and their length.
pub(crate) fn sizes(storage: &dyn Storage) -> Result<(u64, u64), ReadError> {
    let names = storage.list(LOG).map_err(Failed::to("list the log"))?;
    let (mut segments, mut bytes) = (0, 0);
    for file in names.iter().filter_map(|name| SegmentFile::from_name(name)) {
        segments += 1;
        bytes += open(storage, &file)?.size().map_err(Failed::to(format!("look at {}", file.path())))?;
    }
    Ok((segments, bytes))
}
