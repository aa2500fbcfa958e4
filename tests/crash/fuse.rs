//! Fuses around the engine's two traits: each call burns one before and one after, and the last one kills the process.

use std::sync::atomic::{AtomicU64, Ordering};

use recover_engine::{
    Act, Consumed, Entry, FenceRaised, Journal, JournalError, Key, OpenRun, Performed, Probed, Receipt, RunId, World,
};

/// How many burns are left; 0 is a fuse that never burns down.
static LEFT: AtomicU64 = AtomicU64::new(0);
/// How many were burnt, for the parent that counts the points.
static BURNT: AtomicU64 = AtomicU64::new(0);

pub fn light(length: u64) {
    LEFT.store(length, Ordering::SeqCst);
}

pub fn burnt() -> u64 {
    BURNT.load(Ordering::SeqCst)
}

fn burn() {
    BURNT.fetch_add(1, Ordering::SeqCst);
    if LEFT.load(Ordering::SeqCst) > 0 && LEFT.fetch_sub(1, Ordering::SeqCst) == 1 {
        rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL).unwrap();
    }
}

pub struct FusedJournal<'a, J>(pub &'a J);

impl<J: Journal + Sync> Journal for FusedJournal<'_, J> {
    async fn append(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        burn();
        let done = self.0.append(batch).await;
        burn();
        done
    }
    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        self.0.read(run)
    }
    fn open_runs(&self) -> Vec<(RunId, OpenRun)> {
        self.0.open_runs()
    }
    fn holder(&self, subject: Key) -> Option<RunId> {
        self.0.holder(subject)
    }
    fn effect(&self, key: Key) -> Option<Consumed> {
        self.0.effect(key)
    }
}

pub struct FusedWorld<W>(pub W);

impl<W: World> World for FusedWorld<W> {
    async fn perform(&self, act: &Act) -> Performed {
        burn();
        let done = self.0.perform(act).await;
        burn();
        done
    }
    async fn fence(&self, act: &Act) -> FenceRaised {
        burn();
        let done = self.0.fence(act).await;
        burn();
        done
    }
    async fn probe(&self, act: &Act) -> Probed {
        burn();
        let done = self.0.probe(act).await;
        burn();
        done
    }
}
