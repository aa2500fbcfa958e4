//! What an owner that serves hears of every run, whoever asked for it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use recover_engine::RunId;
use tokio::sync::mpsc;

use crate::owner::ask::Tell;

/// The listener to all runs, and which of them are executed.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    listener: mpsc::UnboundedSender<Tell>,
    live: Arc<Mutex<BTreeSet<RunId>>>,
}

impl Watch {
    pub(crate) fn new() -> (Self, mpsc::UnboundedReceiver<Tell>) {
        let (listener, heard) = mpsc::unbounded_channel();
        (Self { listener, live: Arc::default() }, heard)
    }

    fn set(&self) -> MutexGuard<'_, BTreeSet<RunId>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn listener(&self) -> mpsc::UnboundedSender<Tell> {
        self.listener.clone()
    }

    pub(super) fn begins(&self, run: RunId) {
        self.set().insert(run);
    }

    pub(super) fn ends(&self, run: RunId) {
        self.set().remove(&run);
    }

    /// Whether the run is executed now.
    pub(crate) fn is_live(&self, run: RunId) -> bool {
        self.set().contains(&run)
    }

    /// How many runs are executed now.
    pub(crate) fn live(&self) -> u64 {
        self.set().len() as u64
    }
}
