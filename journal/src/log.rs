//! The commit log open for writing: group commit, and the ledger that admits what is written.
//!
//! One writes at a time: whoever has the pen. A task whose run is the only open one writes by itself, so that no thread has to
//! be woken for it. Where several runs are open, and for those who block, the writer thread does: while it waits for the disk
//! the tasks go on, and what they leave meanwhile is the next frame, together with what those bring who were just answered: see `pace`.

use std::io;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use std::task::Poll;
use std::thread::JoinHandle;
use std::time::Instant;

use recover_engine::{BadEntry, Consumed, Entry, Journal, JournalError, Key, Kind, Ledger, OpenRun, Receipt, RunId};

use crate::admission::Waiting;
use crate::core::{Core, room};
use crate::error::{Failed, OpenError, ReadError};
use crate::handover::{Promise, Queue, Ticket, lead, promise};
use crate::open::{self, Found, Purpose};
use crate::pace::{Crowd, Pace};
use crate::progress::Progress;
use crate::reader::Reader;
use crate::stats::Stats;
use crate::storage::Storage;
use crate::summary::footprint;
use crate::supply::{Helper, RETRY, Supply};

/// How a log is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// The length of a segment's file in bytes. A batch must fit in one segment.
    pub segment_len: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_len: 8 << 20 }
    }
}

/// A frame holds no more records than this, unless one batch is longer. Bytes.
const GROUP_LEN_MAX: usize = 1 << 20;

type Answer = Result<Written, JournalError>;

/// What an appender is told. Its records go back to it: memory is best freed by the thread that took it.
struct Written {
    receipt: Receipt,
    _batch: Vec<Entry>,
}

struct Request {
    batch: Vec<Entry>,
    promise: Promise<Answer>,
    /// A thread blocks until it is written.
    blocks: bool,
}

impl Request {
    /// Whether whoever is answered may soon bring the next.
    fn comes_back(&self) -> bool {
        !self.blocks && self.batch.last().is_some_and(|entry| entry.header().kind != Kind::Closed)
    }
}

impl AsRef<[Entry]> for Request {
    fn as_ref(&self) -> &[Entry] {
        &self.batch
    }
}

/// What the writer thread, the appenders and the index share.
pub(crate) struct Shared {
    queue: Queue<Request>,
    pen: Mutex<Writer>,
    ledger: RwLock<Ledger>,
    poisoned: OnceLock<String>,
    pub(crate) progress: Arc<Progress>,
    pub(crate) counts: Counts,
}

/// What was done since the log was opened, and what it holds.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) records: AtomicU64,
    pub(crate) segment: AtomicU64,
    /// Runs that are open.
    open: AtomicUsize,
}

/// A log that is open for writing. Dropped, it writes what waits and ends its threads.
pub struct CommitLog {
    shared: Arc<Shared>,
    storage: Arc<dyn Storage>,
    batch_max: usize,
    writer: Option<JoinHandle<()>>,
}

impl std::fmt::Debug for CommitLog {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CommitLog").field("head", &self.shared.progress.head()).finish_non_exhaustive()
    }
}

impl CommitLog {
    /// Opens the log in this storage, or begins one. Every frame in it is durable when this returns.
    ///
    /// # Errors
    /// Damage, or whatever the system says. Reading repairs nothing: only a torn tail is wiped.
    pub fn open(storage: Arc<dyn Storage>, options: Options) -> Result<Self, OpenError> {
        Self::open_for(storage, options, Purpose::Write)
    }

    pub(crate) fn open_for(storage: Arc<dyn Storage>, options: Options, purpose: Purpose) -> Result<Self, OpenError> {
        let len = options.segment_len;
        let for_supply = Arc::clone(&storage);
        Self::open_with(storage, options, purpose, |ready| Ok(Box::new(Helper::start(for_supply, len, ready, RETRY)?)))
    }

    /// Opens the log so that nothing but its writer thread touches the storage, in an order that is always the same.
    ///
    /// # Errors
    /// As [`CommitLog::open`].
    #[cfg(any(test, feature = "testing"))]
    pub fn open_inline(storage: Arc<dyn Storage>, options: Options) -> Result<Self, OpenError> {
        let inline = crate::supply::Inline { storage: Arc::clone(&storage), len: options.segment_len };
        Self::open_with(storage, options, Purpose::Write, |_| Ok(Box::new(inline)))
    }

    fn open_with(
        storage: Arc<dyn Storage>,
        options: Options,
        purpose: Purpose,
        supply: impl FnOnce(u64) -> io::Result<Box<dyn Supply>>,
    ) -> Result<Self, OpenError> {
        let len = options.segment_len;
        let (core, found) = open::open(&storage, len, purpose, supply)?;
        Self::start(storage, len, core, found).map_err(|e| Failed::to("start the writer")(e).into())
    }

    fn start(storage: Arc<dyn Storage>, segment_len: u64, core: Core, found: Found) -> io::Result<Self> {
        let batch_max = room(segment_len);
        let (segment, head) = (core.segment(), core.head());
        let shared = Arc::new(Shared {
            queue: Queue::new(),
            pen: Mutex::new(Writer { core, group_max: GROUP_LEN_MAX.min(batch_max), waiting: Waiting::default() }),
            ledger: RwLock::new(found.ledger),
            poisoned: OnceLock::new(),
            progress: Arc::default(),
            counts: Counts::default(),
        });
        shared.counts.records.store(found.records, Ordering::Relaxed);
        shared.counts.open.store(shared.ledger().open_count(), Ordering::Relaxed);
        shared.counts.segment.store(segment, Ordering::Relaxed);
        shared.progress.set(head);
        let at_work = Arc::clone(&shared);
        let writer = std::thread::Builder::new().name("recover-journal".into()).spawn(move || at_work.write_on())?;
        Ok(Self { shared, storage, batch_max, writer: Some(writer) })
    }

    fn submit(
        &self,
        batch: Vec<Entry>,
        blocks: bool,
        give: impl FnOnce(&Queue<Request>, Request) -> Result<(), Request>,
    ) -> Result<Ticket<Answer>, JournalError> {
        if let Some(why) = self.shared.poisoned.get() {
            return Err(JournalError::Poisoned(why.clone()));
        }
        if footprint(&batch) > self.batch_max {
            return Err(BadEntry::Lengths.into());
        }
        let (promise, ticket) = promise();
        match give(&self.shared.queue, Request { batch, promise, blocks }) {
            Ok(()) => Ok(ticket),
            Err(_) => Err(self.shared.ended()),
        }
    }

    /// As [`Journal::append`], for a caller that may block.
    ///
    /// # Errors
    /// As [`Journal::append`].
    pub fn append_blocking(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        let answer = self.submit(batch, true, Queue::push)?.wait();
        answer.unwrap_or_else(|| Err(self.shared.ended())).map(|written| written.receipt)
    }

    /// The last acknowledged frame and its hash; frame 0 if there is none.
    #[must_use]
    pub fn head(&self) -> Receipt {
        self.shared.progress.head()
    }

    /// Why the journal takes no more, if it does not.
    #[must_use]
    pub fn poisoned(&self) -> Option<&str> {
        self.shared.poisoned.get().map(String::as_str)
    }

    /// Looks at the ledger. The writer waits meanwhile, so be quick.
    pub fn with_ledger<T>(&self, look: impl FnOnce(&Ledger) -> T) -> T {
        look(&self.shared.ledger())
    }

    /// A reader of the same log.
    #[must_use]
    pub fn reader(&self) -> Reader {
        Reader::new(Arc::clone(&self.storage))
    }

    /// Sizes and counts.
    ///
    /// # Errors
    /// If the log's folder cannot be read.
    pub fn stats(&self) -> Result<Stats, ReadError> {
        let (segments, log_bytes) = crate::stats::sizes(&*self.storage)?;
        let counts = &self.shared.counts;
        Ok(Stats {
            segments,
            log_bytes,
            frames: self.head().frame,
            records: counts.records.load(Ordering::Relaxed),
            segment: counts.segment.load(Ordering::Relaxed),
            index: None,
        })
    }

    /// Waits until nobody has the pen: what is done after an acknowledgement is done then.
    #[cfg(any(test, feature = "testing"))]
    pub fn settled(&self) {
        drop(self.shared.pen.lock());
    }

    pub(crate) fn progress(&self) -> Arc<Progress> {
        Arc::clone(&self.shared.progress)
    }

    /// Takes no more, writes what waits, and ends the writer.
    pub fn close(&mut self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.take() {
            drop(writer.join());
        }
        self.shared.progress.end();
    }
}

impl Drop for CommitLog {
    fn drop(&mut self) {
        self.close();
    }
}

impl Journal for CommitLog {
    async fn append(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        let begins = batch.first().is_some_and(|entry| entry.header().kind == Kind::Begun);
        let ticket = self.submit(batch, false, Queue::leave)?;
        if begins && self.shared.queue.len() < 2 {
            // Runs that begin together are counted together: whether there are several is known when the others had their turn.
            let left = Left(&self.shared);
            turn().await;
            std::mem::forget(left);
        }
        // With several runs, the thread writes while the tasks go on; with one there is nobody to go on.
        if self.shared.counts.open.load(Ordering::Relaxed) > 1 || self.shared.queue.len() > 1 {
            if self.shared.queue.nudge() {
                // It may have been put on this very processor, where it would wait until the last task has had its turn.
                std::thread::yield_now();
            }
        } else {
            lead(&self.shared.queue, &self.shared.pen, |writer| writer.write_all(&self.shared, None));
        }
        match ticket.await {
            Some(answer) => answer.map(|written| written.receipt),
            None => Err(self.shared.ended()),
        }
    }

    fn read(&self, run: RunId) -> Result<Vec<Entry>, JournalError> {
        let acked = self.shared.progress.acked();
        let stored = self.reader().run(run)?;
        // What is visible and not yet durable is nobody's business.
        Ok(stored.into_iter().take_while(|stored| stored.frame <= acked).map(|stored| stored.entry).collect())
    }

    fn open_runs(&self) -> Vec<(RunId, OpenRun)> {
        self.shared.ledger().open().collect()
    }

    fn holder(&self, subject: Key) -> Option<RunId> {
        self.shared.ledger().holder(subject)
    }

    fn effect(&self, key: Key) -> Option<Consumed> {
        self.shared.ledger().effect(key)
    }
}

impl Shared {
    fn ledger(&self) -> RwLockReadGuard<'_, Ledger> {
        self.ledger.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ledger_mut(&self) -> RwLockWriteGuard<'_, Ledger> {
        self.ledger.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn ended(&self) -> JournalError {
        match self.poisoned.get() {
            Some(why) => JournalError::Poisoned(why.clone()),
            None => JournalError::Closed,
        }
    }
}

/// A batch that was left for whoever writes next. If its task is dropped before that is settled, the thread writes it.
struct Left<'a>(&'a Shared);

impl Drop for Left<'_> {
    fn drop(&mut self) {
        self.0.queue.nudge();
    }
}

/// Lets whoever else is ready go first, once.
async fn turn() {
    let mut waited = false;
    std::future::poll_fn(|context| {
        if std::mem::replace(&mut waited, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

impl Shared {
    /// The writer thread: writes whatever nobody else does, until the queue is closed.
    fn write_on(&self) {
        let mut pace = Pace::default();
        while self.queue.wait(&mut pace) {
            match self.pen.lock() {
                Ok(mut writer) => writer.write_all(self, Some(&mut pace)),
                // Nobody panics with the pen in hand: see `write_all`.
                Err(_) => break,
            }
        }
        self.queue.take_now(&mut Vec::new());
        self.progress.end();
    }
}

/// What writes, and what it has in hand.
struct Writer {
    core: Core,
    group_max: usize,
    waiting: Waiting<Request>,
}

impl Writer {
    /// Writes everything that waits, frame by frame; the thread, which has a pace, only what waits now. A panic on the way
    /// poisons the journal and strands nobody.
    fn write_all(&mut self, shared: &Shared, pace: Option<&mut Pace>) {
        let written = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.write_frames(shared, pace)));
        if written.is_err() {
            let why = shared.poisoned.get_or_init(|| "the writer panicked".into());
            shared.queue.close();
            shared.queue.take_now(&mut self.waiting.later);
            self.refuse(why);
        }
    }

    fn write_frames(&mut self, shared: &Shared, mut pace: Option<&mut Pace>) {
        loop {
            shared.queue.take_now(&mut self.waiting.later);
            if self.waiting.later.is_empty() {
                return;
            }
            if let Some(why) = shared.poisoned.get() {
                return self.refuse(why);
            }
            let refuse = |request: Request, why| request.promise.keep(Err(why));
            self.waiting.select(&shared.ledger(), self.group_max, footprint, refuse);
            if !self.waiting.group.is_empty()
                && let Err(error) = self.write(shared, pace.as_deref_mut())
            {
                let why = shared.poisoned.get_or_init(|| error.to_string());
                shared.queue.close();
                shared.queue.take_now(&mut self.waiting.later);
                return self.refuse(why);
            }
            if pace.is_some() && self.waiting.later.is_empty() {
                return;
            }
        }
    }

    fn refuse(&mut self, why: &str) {
        for request in self.waiting.group.drain(..).chain(self.waiting.later.drain(..)) {
            request.promise.keep(Err(JournalError::Poisoned(why.to_owned())));
        }
    }

    /// Writes a frame, tells the ledger, then those who wait. On an error the requests are still in the group.
    fn write(&mut self, shared: &Shared, pace: Option<&mut Pace>) -> io::Result<()> {
        let begun = pace.is_some().then(Instant::now);
        let receipt = self.core.commit(&self.waiting.group)?;
        let mut records = 0;
        {
            let mut ledger = shared.ledger_mut();
            for request in &self.waiting.group {
                request.batch.iter().for_each(|entry| ledger.note(entry.header(), entry.hash()));
                records += request.batch.len() as u64;
            }
            shared.counts.open.store(ledger.open_count(), Ordering::Relaxed);
        }
        shared.counts.records.fetch_add(records, Ordering::Relaxed);
        shared.counts.segment.store(self.core.segment(), Ordering::Relaxed);
        shared.progress.set(receipt);
        if let Some((pace, begun)) = pace.zip(begun) {
            let back = self.waiting.group.iter().filter(|request| request.comes_back()).count() as u64;
            let (come, waiting) = shared.queue.counts();
            let now = Instant::now();
            pace.answered(Crowd { come, waiting, back }, now - begun, now);
        }
        for Request { batch, promise, .. } in self.waiting.group.drain(..) {
            promise.keep(Ok(Written { receipt, _batch: batch }));
        }
        shared.progress.ring();
        self.core.settle()
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
