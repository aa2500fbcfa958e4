//! A storage that counts every call and makes the one it is told to go wrong, or that and those after it.

use std::fmt;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard};

use recover_journal::testing::sim::{self, SimStorage};
use recover_journal::{Access, Storage, StorageFile};

/// As often is a call interrupted that is interrupted "for ever": it is made again each time, so for ever would be a hang.
const INTERRUPTIONS: usize = 100;
/// What the system says when a call was interrupted, and when no descriptor is left.
const EINTR: i32 = 4;
const EMFILE: i32 = 24;
/// What a dead process is told, which hears nothing.
const ESRCH: i32 = 3;
const ENOSPC: i32 = 28;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wrong {
    Error(&'static str, i32),
    /// Half of the bytes are taken or given.
    Short,
    /// Half of the bytes are taken, and there is no room for the rest.
    ShortThenFull,
    /// SIGKILL before this call, which is after the one before it: nothing is done any more.
    Killed,
}

/// Every way.
pub(crate) const WRONGS: &[Wrong] = &[
    Wrong::Error("EIO", 5),
    Wrong::Error("ENOSPC", ENOSPC),
    Wrong::Error("EDQUOT", 122),
    Wrong::Error("EROFS", 30),
    Wrong::Error("EMFILE", EMFILE),
    Wrong::Error("EINTR", EINTR),
    Wrong::Short,
    Wrong::ShortThenFull,
    Wrong::Killed,
];

/// A kind of call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Open(Access),
    MakeDir,
    List,
    Rename,
    Remove,
    SyncDir,
    Read,
    Write,
    Sync,
    Size,
    Resize,
}

impl Kind {
    /// Whether it changes something, or is on the way to.
    pub(crate) const fn changes(self) -> bool {
        !matches!(self, Self::Open(Access::Read) | Self::List | Self::Read | Self::Size)
    }
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Call {
    pub kind: Kind,
    pub path: String,
    pub failed: bool,
}

impl Call {
    /// Whether it is a sync of a segment that is written, and no other file's.
    pub(crate) fn syncs_segment(&self) -> bool {
        self.kind == Kind::Sync
            && std::path::Path::new(&self.path).extension().is_some_and(|extension| extension == "seg")
    }
}

/// A call that is to go wrong.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Fault {
    /// Its number.
    pub at: usize,
    pub wrong: Wrong,
    pub for_ever: bool,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at call {}{}", self.wrong, self.at, if self.for_ever { " and for ever" } else { "" })
    }
}

impl Fault {
    /// Whether there is such a thing for this kind of call.
    pub(crate) const fn is_of(wrong: Wrong, kind: Kind) -> bool {
        match wrong {
            Wrong::Error(..) | Wrong::Killed => true,
            Wrong::Short => matches!(kind, Kind::Read | Kind::Write),
            Wrong::ShortThenFull => matches!(kind, Kind::Write),
        }
    }
}

#[derive(Debug, Default)]
struct State {
    calls: Vec<Call>,
    fault: Option<Fault>,
    /// Whether the call that is to go wrong changes something: then a fault that lasts lets readers be.
    changes: bool,
}

/// The storage. A clone is the same one.
#[derive(Clone, Debug)]
pub(crate) struct Faulty {
    pub(crate) sim: SimStorage,
    state: Arc<Mutex<State>>,
}

enum Attempt {
    Whole,
    Half,
}

impl Faulty {
    pub(crate) fn on(sim: SimStorage) -> Self {
        Self { sim, state: Arc::default() }
    }

    pub(crate) fn with(sim: SimStorage, fault: Fault) -> Self {
        let storage = Self::on(sim);
        storage.lock().fault = Some(fault);
        storage
    }

    pub(crate) fn storage(&self) -> Arc<dyn Storage> {
        Arc::new(self.clone())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// The calls so far.
    pub(crate) fn calls(&self) -> Vec<Call> {
        self.lock().calls.clone()
    }

    pub(crate) fn count(&self) -> usize {
        self.lock().calls.len()
    }

    pub(crate) fn heal(&self) {
        self.lock().fault = None;
    }

    fn attempt(&self, kind: Kind, path: &str) -> io::Result<Attempt> {
        let mut state = self.lock();
        let number = state.calls.len();
        let mut done = Ok(Attempt::Whole);
        if let Some(fault) = state.fault.filter(|fault| number >= fault.at) {
            if number == fault.at {
                state.changes = kind.changes();
            }
            done = fault.meets(number, kind, state.changes);
        }
        state.calls.push(Call { kind, path: path.to_owned(), failed: done.is_err() });
        done
    }

    fn file(&self, path: &str, file: Arc<dyn StorageFile>) -> Arc<dyn StorageFile> {
        Arc::new(FaultyFile { storage: self.clone(), path: path.to_owned(), file })
    }
}

impl Fault {
    fn meets(self, number: usize, kind: Kind, changes: bool) -> io::Result<Attempt> {
        let first = number == self.at;
        let lasts = self.for_ever && (!changes || kind.changes());
        match self.wrong {
            Wrong::Killed => Err(io::Error::from_raw_os_error(ESRCH)),
            Wrong::Error(_, EINTR) if number >= self.at + INTERRUPTIONS => Ok(Attempt::Whole),
            Wrong::Error(_, errno) if first => Err(io::Error::from_raw_os_error(errno)),
            // No descriptor is left: what is open goes on.
            Wrong::Error(_, EMFILE) if !matches!(kind, Kind::Open(_) | Kind::List) => Ok(Attempt::Whole),
            Wrong::Error(_, EMFILE) if self.for_ever => Err(io::Error::from_raw_os_error(EMFILE)),
            Wrong::Error(_, errno) if lasts => Err(io::Error::from_raw_os_error(errno)),
            Wrong::Short if first || (lasts && Self::is_of(Wrong::Short, kind)) => Ok(Attempt::Half),
            Wrong::ShortThenFull if first => Ok(Attempt::Half),
            // The rest of what was cut short is the next call.
            Wrong::ShortThenFull if number == self.at + 1 || lasts => Err(io::Error::from_raw_os_error(ENOSPC)),
            Wrong::Error(..) | Wrong::Short | Wrong::ShortThenFull => Ok(Attempt::Whole),
        }
    }
}

impl Storage for Faulty {
    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        self.attempt(Kind::Open(access), path)?;
        Ok(self.file(path, self.sim.open(path, access)?))
    }
    fn create_dir(&self, path: &str) -> io::Result<()> {
        self.attempt(Kind::MakeDir, path)?;
        self.sim.create_dir(path)
    }
    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        self.attempt(Kind::List, path)?;
        self.sim.list(path)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.attempt(Kind::Rename, from)?;
        self.sim.rename(from, to)
    }
    fn remove(&self, path: &str) -> io::Result<()> {
        self.attempt(Kind::Remove, path)?;
        self.sim.remove(path)
    }
    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.attempt(Kind::SyncDir, path)?;
        self.sim.sync_dir(path)
    }
}

struct FaultyFile {
    storage: Faulty,
    path: String,
    file: Arc<dyn StorageFile>,
}

impl FaultyFile {
    fn attempt(&self, kind: Kind) -> io::Result<Attempt> {
        self.storage.attempt(kind, &self.path)
    }
}

fn cut(attempt: &Attempt, len: usize) -> usize {
    match attempt {
        Attempt::Whole => len,
        Attempt::Half => len.div_ceil(2),
    }
}

impl StorageFile for FaultyFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let len = cut(&self.attempt(Kind::Read)?, into.len());
        self.file.read_at(&mut into[..len], offset)
    }
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let len = cut(&self.attempt(Kind::Write)?, bytes.len());
        self.file.write_at(&bytes[..len], offset)
    }
    fn sync(&self) -> io::Result<()> {
        // The disk itself fails it: what was written before is lost to later syncs.
        match self.attempt(Kind::Sync).map_err(|error| (error.raw_os_error().unwrap_or_default(), error)) {
            Err((ESRCH, error)) => return Err(error),
            Err((errno, _)) => self.storage.sim.fail(0, sim::Fault::Errno(errno), false),
            Ok(_) => {}
        }
        self.file.sync()
    }
    fn size(&self) -> io::Result<u64> {
        self.attempt(Kind::Size)?;
        self.file.size()
    }
    fn set_size(&self, size: u64) -> io::Result<()> {
        self.attempt(Kind::Resize)?;
        self.file.set_size(size)
    }
}
