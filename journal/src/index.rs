//! The index: sled beside the log, fed from the log, thrown away when in doubt. Nothing that must be right reads it.
//!
//! Everything of sled's happens on one thread that nobody waits for without a limit. sled can panic, hang and lie about what
//! it holds; none of that reaches the log.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use recover_engine::{Digest, Key, Kind, Millis, RunId};

use crate::progress::{Moved, Progress};
use crate::reader::Reader;
use crate::store::Store;

/// The folder of the index in the state directory.
pub(crate) const FOLDER: &str = "index";
/// How long sled may take to open. Longer counts as damage.
const OPEN_LIMIT: Duration = Duration::from_secs(20);
/// How long a question may take. Longer is no answer: the log is asked instead.
const ASK_LIMIT: Duration = Duration::from_secs(2);
/// How long the log must have been quiet before the index takes from it.
const QUIET: Duration = Duration::from_millis(20);

/// A run, as the index knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedRun {
    /// The run.
    pub run: RunId,
    /// What it is about.
    pub subject: Key,
    /// Whether it has not ended.
    pub open: bool,
    /// When it began.
    pub begun_at: Millis,
    /// The number of its last record.
    pub last_seq: u32,
    /// What its last record says.
    pub last_kind: Kind,
    /// The frame of its last record.
    pub last_frame: u64,
}

/// What is looked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Query {
    /// Every run, oldest first.
    All,
    /// The runs that have not ended.
    Open,
    /// The runs about a subject.
    Subject(Key),
    /// The runs that began at or after the first time and before the second.
    Begun(Millis, Millis),
}

/// Why the index has no answer. The log has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoIndex {
    /// It is opening, or has not yet applied what was acknowledged when it was asked.
    #[error("the index is behind: frame {applied} of {acked}")]
    Behind {
        /// The last frame that it holds.
        applied: u64,
        /// The last frame that the log holds.
        acked: u64,
    },
    /// It failed, and is not used until the journal is opened again.
    #[error("the index is not usable")]
    Unusable,
}

/// How the index stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexStats {
    /// The last frame that it holds.
    pub applied: u64,
    /// How many frames it is behind.
    pub lag: u64,
    /// Whether it can be asked.
    pub usable: bool,
    /// How often it was moved aside and made again since the journal was opened.
    pub rebuilt: u64,
}

#[derive(Debug, Default)]
struct Status {
    applied: AtomicU64,
    rebuilt: AtomicU64,
    /// 0 opening, 1 usable, 2 given up.
    state: AtomicU64,
    /// What waits for an answer; none when the index is closed.
    questions: Mutex<Option<Vec<Question>>>,
}

impl Status {
    fn questions(&self) -> MutexGuard<'_, Option<Vec<Question>>> {
        self.questions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Question = (Query, SyncSender<Option<Vec<IndexedRun>>>);

/// The index of an open journal. Dropped, it ends without waiting for sled.
pub struct Index {
    status: Arc<Status>,
    progress: Arc<Progress>,
    ended: Option<Mutex<Receiver<()>>>,
}

impl std::fmt::Debug for Index {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Index").field("stats", &self.stats()).finish_non_exhaustive()
    }
}

impl Index {
    /// Starts to open the index in the state directory at `path`, and returns at once.
    pub(crate) fn start(path: &Path, reader: Reader, progress: Arc<Progress>) -> std::io::Result<Self> {
        let status = Arc::new(Status { questions: Mutex::new(Some(Vec::new())), ..Status::default() });
        let (ends, ended) = sync_channel(0);
        let keeper = Keeper {
            path: path.to_owned(),
            reader,
            progress: Arc::clone(&progress),
            status: Arc::clone(&status),
            _ends: ends,
        };
        drop(std::thread::Builder::new().name("recover-index".into()).spawn(move || keeper.run())?);
        Ok(Self { status, progress, ended: Some(Mutex::new(ended)) })
    }

    /// The runs that match, oldest first, as of a moment not before the question.
    ///
    /// # Errors
    /// [`NoIndex`]: then [`Reader::runs`] has the answer.
    pub fn lookup(&self, query: Query) -> Result<Vec<IndexedRun>, NoIndex> {
        let acked = self.progress.acked();
        let applied = self.status.applied.load(Ordering::Acquire);
        match self.status.state.load(Ordering::Acquire) {
            2 => return Err(NoIndex::Unusable),
            1 if applied >= acked => {}
            _ => return Err(NoIndex::Behind { applied, acked }),
        }
        let (answer, answered) = sync_channel(1);
        if let Some(questions) = self.status.questions().as_mut() {
            questions.push((query, answer));
        }
        self.progress.call();
        match answered.recv_timeout(ASK_LIMIT) {
            Ok(Some(runs)) => Ok(runs),
            Ok(None) | Err(_) => Err(NoIndex::Unusable),
        }
    }

    /// How it stands.
    #[must_use]
    pub fn stats(&self) -> IndexStats {
        let applied = self.status.applied.load(Ordering::Acquire);
        IndexStats {
            applied,
            lag: self.progress.acked().saturating_sub(applied),
            usable: self.status.state.load(Ordering::Acquire) == 1,
            rebuilt: self.status.rebuilt.load(Ordering::Acquire),
        }
    }

    /// Waits until the index holds every frame that is acknowledged now; false if it has not within the time.
    #[must_use]
    pub fn wait(&self, limit: Duration) -> bool {
        let acked = self.progress.acked();
        let begun = Instant::now();
        while self.status.state.load(Ordering::Acquire) != 1 || self.status.applied.load(Ordering::Acquire) < acked {
            let late = limit.checked_sub(begun.elapsed()).is_none();
            if late || self.status.state.load(Ordering::Acquire) == 2 {
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        true
    }

    /// Ends the index, and waits a little for sled to let go of its files.
    pub(crate) fn close(&mut self) {
        self.status.questions().take();
        self.progress.call();
        if let Some(ended) = self.ended.take() {
            // Nothing is ever sent: what is waited for is that the keeper is gone.
            drop(ended.into_inner().map(|ended| ended.recv_timeout(ASK_LIMIT)));
        }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.close();
    }
}

/// The thread of the index.
struct Keeper {
    path: PathBuf,
    reader: Reader,
    progress: Arc<Progress>,
    status: Arc<Status>,
    /// Tells that the keeper is gone, by going with it, and last.
    _ends: SyncSender<()>,
}

/// What the keeper does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Turn {
    /// It takes what the log has and the index has not.
    Take,
    /// It waits until the log moves, or for so long.
    Rest(Option<Duration>),
}

/// When the keeper takes from the log.
struct Patience {
    /// How far the log had come when the keeper last looked.
    seen: u64,
    /// Whether the index held all that the log held, once since it was opened.
    caught_up: bool,
}

impl Patience {
    fn next(&mut self, applied: u64, acked: u64) -> Turn {
        let busy = std::mem::replace(&mut self.seen, acked) != acked;
        if applied == acked {
            self.caught_up = true;
            return Turn::Rest(None);
        }
        // The log goes first: the index goes on when it is quiet, and disturbs no sync with writes of its own.
        if busy && self.caught_up { Turn::Rest(Some(QUIET)) } else { Turn::Take }
    }
}

/// Why the keeper stops with a store.
enum Stop {
    /// The journal was closed.
    Closed,
    /// The store failed or contradicts the log.
    Bad,
}

impl Keeper {
    fn run(self) {
        // Twice: as it is found, and anew. What fails anew would fail again.
        for attempt in 0..2 {
            let Some(mut store) = self.open() else {
                self.move_aside();
                continue;
            };
            // A panic of sled's ends this store and no more.
            let served = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.serve(&mut store)));
            match served {
                // sled writes what it has, and may panic over it: this thread ends here either way, and nobody joins it.
                Ok(Stop::Closed) => return drop(store),
                Ok(Stop::Bad) | Err(_) => {
                    // Its Drop may panic or hang after a failure: it is not run.
                    std::mem::forget(store);
                    if attempt == 0 {
                        self.move_aside();
                    }
                }
            }
        }
        self.status.state.store(2, Ordering::Release);
        // Nobody is kept waiting.
        self.status.questions().take();
    }

    /// Opens the store on a thread of its own: sled can panic and hang here.
    fn open(&self) -> Option<Store> {
        let (done, opened) = sync_channel(1);
        let path = self.path.join(FOLDER);
        let spawned = std::thread::Builder::new().name("recover-index-open".into()).spawn(move || {
            let store = std::panic::catch_unwind(|| Store::open(&path).ok()).ok().flatten();
            // Nobody waits any more if it took too long; a store that came too late is not dropped either.
            if let Err(late) = done.send(store) {
                std::mem::forget(late);
            }
        });
        drop(spawned.ok()?);
        opened.recv_timeout(OPEN_LIMIT).ok().flatten()
    }

    fn move_aside(&self) {
        self.status.rebuilt.fetch_add(1, Ordering::AcqRel);
        self.status.applied.store(0, Ordering::Release);
        let from = self.path.join(FOLDER);
        // Only a few are kept: an index says nothing that the log does not say.
        const KEPT: u32 = 3;
        let aside = |n: u32| self.path.join(format!("{FOLDER}.bad-{n}"));
        drop(std::fs::remove_dir_all(aside(KEPT)));
        for n in (1..KEPT).rev() {
            drop(std::fs::rename(aside(n), aside(n + 1)));
        }
        drop(std::fs::rename(&from, aside(1)));
    }

    /// Brings the store up to the log, and answers questions, until the journal is closed.
    fn serve(&self, store: &mut Store) -> Stop {
        let Some((mut applied, mut hash)) = self.check(store) else { return Stop::Bad };
        let mut follower = self.reader.follow(applied);
        self.status.applied.store(applied, Ordering::Release);
        self.status.state.store(1, Ordering::Release);
        let mut patience = Patience { seen: self.progress.acked(), caught_up: false };
        loop {
            if let Some(stop) = self.answer(store) {
                return stop;
            }
            let acked = self.progress.acked();
            match patience.next(applied, acked) {
                Turn::Rest(limit) => {
                    self.rest(acked, limit);
                    continue;
                }
                Turn::Take => {}
            }
            // A log that cannot be read is not the index's fault: it stays behind, and says so.
            let frames = follower.poll(acked).unwrap_or_default();
            let Some((first, last)) = frames.first().zip(frames.last()) else {
                self.rest(acked, Some(QUIET));
                continue;
            };
            if (first.number == applied + 1 && first.prev != hash) || store.apply(&frames).is_err() {
                return Stop::Bad;
            }
            (applied, hash) = (last.number, last.hash);
            self.status.applied.store(applied, Ordering::Release);
        }
    }

    /// Sleeps until the log moves, somebody asks, or the time is over.
    fn rest(&self, seen: u64, limit: Option<Duration>) {
        let asked = || self.status.questions().as_ref().is_none_or(|questions| !questions.is_empty());
        let seen = if limit.is_some() { u64::MAX } else { seen };
        if self.progress.wait(seen, limit, asked) == Moved::Closed {
            self.status.questions().take();
        }
    }

    /// The last frame that the store holds, and its hash, if the log has the same frame there.
    fn check(&self, store: &Store) -> Option<(u64, Digest)> {
        let (applied, hash) = store.applied().ok()?;
        if applied == 0 {
            return store.is_empty().then_some((0, Digest::ZERO));
        }
        if applied > self.progress.acked() {
            return None;
        }
        let frame = self.reader.follow(applied - 1).poll(applied).ok()?.into_iter().next()?;
        (frame.number == applied && frame.hash == hash && store.is_whole()).then_some((applied, hash))
    }

    /// Answers what was asked.
    fn answer(&self, store: &Store) -> Option<Stop> {
        let questions = match self.status.questions().as_mut() {
            None => return Some(Stop::Closed),
            Some(questions) => std::mem::take(questions),
        };
        for (query, answer) in questions {
            let found = store.find(query).ok();
            let failed = found.is_none();
            drop(answer.send(found));
            if failed {
                return Some(Stop::Bad);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests;
