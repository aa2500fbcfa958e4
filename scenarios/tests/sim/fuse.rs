//! Crashes at exact boundaries: every call of the journal and of the world burns a fuse before and after. When it is burnt
//! down the process is never polled again.

use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::task::{Context, Poll, Waker};

use recover_engine::{
    Act, Consumed, Entry, FenceRaised, Journal, JournalError, Key, OpenRun, Performed, Probed, Receipt, RunId, World,
};

/// Burns at every boundary.
#[derive(Debug)]
pub(crate) struct Fuse {
    burnt: AtomicU32,
    length: u32,
    out: AtomicBool,
}

impl Fuse {
    /// The process dies at this boundary, counted from 0.
    pub(crate) const fn new(length: u32) -> Self {
        Self { burnt: AtomicU32::new(0), length, out: AtomicBool::new(false) }
    }

    async fn burn(&self) {
        if self.burnt.fetch_add(1, Relaxed) == self.length {
            self.out.store(true, Relaxed);
            std::future::pending::<()>().await;
        }
    }
}

/// Polls a future to its end, or drops it when the fuse is burnt down. Nothing in the simulation waits for anything else.
pub(crate) fn block_on<T>(fuse: &Fuse, future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    match future.as_mut().poll(&mut context) {
        Poll::Ready(out) => Some(out),
        Poll::Pending => {
            assert!(fuse.out.load(Relaxed), "the run waits for something that never comes");
            None
        }
    }
}

/// A journal whose process can die at its boundaries.
pub(crate) struct FusedJournal<'a, J>(pub(crate) &'a J, pub(crate) &'a Fuse);

impl<J: Journal + Sync> Journal for FusedJournal<'_, J> {
    async fn append(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        self.1.burn().await;
        let done = self.0.append(batch).await;
        self.1.burn().await;
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

/// A world whose caller can die at its boundaries.
pub(crate) struct FusedWorld<'a, W>(pub(crate) &'a W, pub(crate) &'a Fuse);

impl<W: World> World for FusedWorld<'_, W> {
    async fn perform(&self, act: &Act) -> Performed {
        self.1.burn().await;
        let done = self.0.perform(act).await;
        self.1.burn().await;
        done
    }
    async fn fence(&self, act: &Act) -> FenceRaised {
        self.1.burn().await;
        let done = self.0.fence(act).await;
        self.1.burn().await;
        done
    }
    async fn probe(&self, act: &Act) -> Probed {
        self.1.burn().await;
        let done = self.0.probe(act).await;
        self.1.burn().await;
        done
    }
}
