//! Makes segments ahead of need: zeros are written and synced, so that a steady-state commit changes no metadata.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::segment::{LOG, PREPARING, SEGMENT_HEADER, SegmentFile};
use crate::storage::{Access, Storage, read_into, write_all};

/// How long to wait before a failed preparation is tried again on its own.
pub(crate) const RETRY: Duration = Duration::from_secs(1);

/// Makes the file of segment `number`, `len` zeros long and durable under its name, unless it is there.
pub(crate) fn prepare(storage: &dyn Storage, number: u64, len: u64) -> io::Result<()> {
    let path = SegmentFile::sound(number).path();
    match is_ready(storage, &path, len) {
        // Its name may be visible without being durable, as any name after a kill.
        Ok(true) => return storage.sync_dir(LOG),
        Ok(false) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let made = make(storage, &path, len);
    if made.is_err() {
        // What was taken of a full disk is given back; it may not be there at all.
        drop(storage.remove(PREPARING));
    }
    made
}

fn is_ready(storage: &dyn Storage, path: &str, len: u64) -> io::Result<bool> {
    let file = storage.open(path, Access::Read)?;
    let mut header = Vec::new();
    read_into(&*file, &mut header, 0, SEGMENT_HEADER)?;
    Ok(file.size()? == len && crate::bytes::is_zero(&header))
}

fn make(storage: &dyn Storage, path: &str, len: u64) -> io::Result<()> {
    let file = storage.open(PREPARING, Access::Create)?;
    let zeros = vec![0; usize::try_from(len.min(1 << 20)).unwrap_or(1 << 20)];
    let mut at = 0;
    while at < len {
        let n = usize::try_from(len - at).map_or(zeros.len(), |left| left.min(zeros.len()));
        write_all(&*file, zeros.get(..n).unwrap_or_default(), at)?;
        at += n as u64;
    }
    file.sync()?;
    storage.rename(PREPARING, path)?;
    storage.sync_dir(LOG).inspect_err(|_| {
        // A second sync of the same change can succeed without doing anything: the next attempt is to change the folder anew.
        drop(storage.remove(path));
    })
}

/// Where the writer gets its next segment from.
pub(crate) trait Supply: Send {
    /// Returns when the segment is there.
    ///
    /// # Errors
    /// If there is no room for it, now.
    fn take(&mut self, number: u64) -> io::Result<()>;
    /// Says that the segment will be needed.
    fn ahead(&mut self, number: u64);
}

/// Makes a segment when it is asked for, on the caller's thread.
#[cfg(any(test, feature = "testing"))]
pub(crate) struct Inline {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) len: u64,
}

#[cfg(any(test, feature = "testing"))]
impl Supply for Inline {
    fn take(&mut self, number: u64) -> io::Result<()> {
        prepare(&*self.storage, number, self.len)
    }

    fn ahead(&mut self, number: u64) {
        // Not needed yet: `take` tries again and is the one to fail.
        drop(prepare(&*self.storage, number, self.len));
    }
}

/// Makes segments on a thread of its own.
pub(crate) struct Helper {
    desk: Arc<Desk>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Desk {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// The last segment that is wanted.
    wanted: u64,
    /// The last segment that was made.
    ready: u64,
    /// Why the last attempt failed, and which it was.
    failed: Option<(u64, io::Error)>,
    attempts: u64,
    /// Whether the writer waits: then there is no pause before the next attempt.
    urgent: bool,
    closed: bool,
}

impl Desk {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wait<'a>(&self, state: MutexGuard<'a, State>) -> MutexGuard<'a, State> {
        self.changed.wait(state).unwrap_or_else(PoisonError::into_inner)
    }
}

impl Helper {
    /// Starts the thread. `ready` is a segment that is there; after a failure it pauses for `retry`, unless somebody waits.
    pub(crate) fn start(storage: Arc<dyn Storage>, len: u64, ready: u64, retry: Duration) -> io::Result<Self> {
        let desk = Arc::new(Desk { state: Mutex::new(State { ready, ..State::default() }), ..Desk::default() });
        let at_work = Arc::clone(&desk);
        let thread = std::thread::Builder::new()
            .name("recover-segments".into())
            .spawn(move || work(&at_work, &*storage, len, retry))?;
        Ok(Self { desk, thread: Some(thread) })
    }
}

fn work(desk: &Desk, storage: &dyn Storage, len: u64, retry: Duration) {
    let mut state = desk.lock();
    loop {
        if state.closed {
            return;
        }
        if state.ready >= state.wanted {
            state = desk.wait(state);
            continue;
        }
        let number = state.ready + 1;
        drop(state);
        let made = prepare(storage, number, len);
        state = desk.lock();
        state.attempts += 1;
        match made {
            Ok(()) => (state.ready, state.failed) = (number, None),
            Err(error) => state.failed = Some((state.attempts, error)),
        }
        state.urgent = false;
        desk.changed.notify_all();
        if state.failed.is_some() {
            state = desk
                .changed
                .wait_timeout_while(state, retry, |state| !state.closed && !state.urgent)
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
    }
}

impl Supply for Helper {
    fn take(&mut self, number: u64) -> io::Result<()> {
        let mut state = self.desk.lock();
        state.wanted = state.wanted.max(number);
        // An attempt that begins from now on decides; one that is under way may have seen the disk full before.
        let attempts = state.attempts;
        state.urgent = true;
        self.desk.changed.notify_all();
        loop {
            if state.ready >= number {
                return Ok(());
            }
            match state.failed.take() {
                Some((attempt, error)) if attempt > attempts + 1 => return Err(error),
                other => state.failed = other,
            }
            state.urgent = true;
            self.desk.changed.notify_all();
            state = self.desk.wait(state);
        }
    }

    fn ahead(&mut self, number: u64) {
        let mut state = self.desk.lock();
        state.wanted = state.wanted.max(number);
        self.desk.changed.notify_all();
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.desk.lock().closed = true;
        self.desk.changed.notify_all();
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

#[cfg(test)]
#[cfg(not(loom))]
mod tests;
