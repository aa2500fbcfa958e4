//! Changes to the files of a log, with the checksums made right again: what an error of ours or a person might leave.

use std::collections::BTreeMap;

use recover_journal::testing::sim::SimStorage;
use recover_journal::{Frame, What};

use super::reader;

pub type Files = BTreeMap<String, Vec<u8>>;

/// FORMAT.md: the length of a segment's header.
pub const HEADER: usize = 128;

/// The file of a segment.
pub fn seg(number: u64) -> String {
    format!("log/{number:08}.seg")
}

/// The file of a segment that a salvage sealed.
pub fn sealed(number: u64) -> String {
    format!("log/{number:08}.damaged")
}

pub fn set_mark(files: &mut Files, frame: u64) {
    files.insert("log/acked".into(), frame.to_le_bytes().to_vec());
}

/// Makes a checksum right that stands at `at` of what it is about.
pub fn seal(part: &mut [u8], at: usize) {
    let crc = crc32c::crc32c_append(crc32c::crc32c(&part[..at]), &part[at + 4..]);
    part[at..at + 4].copy_from_slice(&crc.to_le_bytes());
}

/// Changes a segment's header.
pub fn header(files: &mut Files, segment: u64, change: impl FnOnce(&mut [u8])) {
    let header = &mut files.get_mut(&seg(segment)).unwrap()[..HEADER];
    change(header);
    seal(header, 12);
}

/// Where a segment's summary begins, as its trailer says.
pub fn summary_at(bytes: &[u8]) -> usize {
    let trailer = &bytes[bytes.len() - 16..];
    assert!(trailer.ends_with(b"rcvtrail"), "it has a summary, and nothing after it");
    u64::from_le_bytes(trailer[..8].try_into().unwrap()) as usize
}

/// Changes a segment's summary.
pub fn summary(files: &mut Files, segment: u64, change: impl FnOnce(&mut [u8])) {
    let bytes = files.get_mut(&seg(segment)).unwrap();
    let at = summary_at(bytes);
    change(&mut bytes[at..]);
    seal(&mut bytes[at..], 16);
}

/// Wipes a segment's summary; the file is as long again as it was made.
pub fn without_summary(files: &mut Files, segment: u64) {
    let bytes = files.get_mut(&seg(segment)).unwrap();
    let (at, made) = (summary_at(bytes), u64::from_le_bytes(bytes[32..40].try_into().unwrap()) as usize);
    bytes.truncate(at);
    bytes.resize(made, 0);
}

/// Where a frame stands in its segment's file.
pub fn place(files: &Files, frame: &Frame) -> std::ops::Range<usize> {
    let at = frame.offset as usize;
    let bytes = &files[&seg(frame.segment)][at..];
    assert!(bytes.starts_with(b"rcvframe"));
    at..at + u32::from_le_bytes(bytes[12..16].try_into().unwrap()) as usize
}

/// Flips a bit in the records of a frame.
pub fn spoil(files: &mut Files, frame: &Frame) {
    let at = place(files, frame).end - 1;
    files.get_mut(&seg(frame.segment)).unwrap()[at] ^= 1;
}

/// Everything that verification finds: segment, offset, frame, and what is wrong.
pub fn found(files: &Files) -> Vec<(u64, u64, u64, What)> {
    let report = reader(&SimStorage::of(files.clone())).verify().unwrap();
    report.damage.iter().map(|d| (d.segment, d.offset, d.frame, d.what)).collect()
}
