//! The raw limit: append and `fdatasync` on a preallocated file.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

/// A file whose blocks are written, so that a sync touches no metadata.
pub struct Raw {
    file: File,
    at: u64,
    len: u64,
}

impl Raw {
    pub fn new(path: &Path, len: u64) -> Self {
        let file = File::options().create(true).truncate(true).write(true).read(true).open(path).unwrap();
        let zeros = vec![0; 1 << 20];
        let mut at = 0;
        while at < len {
            file.write_all_at(&zeros, at).unwrap();
            at += zeros.len() as u64;
        }
        file.sync_all().unwrap();
        Self { file, at: 0, len }
    }

    /// The time of one durable append for each length.
    pub fn appends(&mut self, lengths: &[usize]) -> Duration {
        let bytes = vec![7; lengths.iter().copied().max().unwrap_or(0)];
        let begun = Instant::now();
        lengths.iter().for_each(|len| self.append(&bytes[..*len]));
        begun.elapsed()
    }

    /// One durable append.
    pub fn append(&mut self, bytes: &[u8]) {
        if self.at + bytes.len() as u64 > self.len {
            self.at = 0;
        }
        self.file.write_all_at(bytes, self.at).unwrap();
        rustix::fs::fdatasync(&self.file).unwrap();
        self.at += bytes.len() as u64;
    }
}
