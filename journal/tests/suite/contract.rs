//! The contract suite on every journal of this crate.

use std::sync::Arc;

use recover_journal::testing::{contract, sim::SimStorage};
use recover_journal::{CommitLog, DiskStorage, FileJournal, Host, MemoryJournal, Options};

#[test]
fn the_memory_journal_keeps_the_contract() {
    contract::run_all(MemoryJournal::new);
}

#[test]
fn the_log_keeps_the_contract_on_a_simulated_disk() {
    contract::run_all(|| CommitLog::open(Arc::new(SimStorage::new()), Options { segment_len: 1 << 16 }).unwrap());
}

#[test]
fn the_log_keeps_the_contract_on_a_real_disk() {
    let mut dirs = Vec::new();
    contract::run_all(|| {
        let dir = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open(dir.path()).unwrap();
        dirs.push(dir);
        CommitLog::open(Arc::new(storage), Options { segment_len: 1 << 16 }).unwrap()
    });
}

#[test]
fn the_journal_of_a_state_directory_keeps_the_contract() {
    let mut dirs = Vec::new();
    contract::run_all(|| {
        let dir = tempfile::tempdir().unwrap();
        let host = Host { machine: "m".into(), boot: "b".into() };
        let journal = FileJournal::open(dir.path(), &host, Options { segment_len: 1 << 16 }).unwrap();
        dirs.push(dir);
        journal
    });
}
