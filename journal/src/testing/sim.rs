//! A storage in memory that records every operation, fails the one it is told to, and shows what a power cut would leave.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::storage::{Access, Storage, StorageFile};

/// One operation that changes something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Op {
    /// A directory was made.
    MakeDir {
        /// Its path.
        path: String,
    },
    /// A file was made.
    Make {
        /// Its path.
        path: String,
        /// The file behind the name, which a rename keeps.
        inode: usize,
    },
    /// Bytes were written.
    Write {
        /// The file.
        inode: usize,
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// The length was set.
    Resize {
        /// The file.
        inode: usize,
        /// The new length.
        size: u64,
    },
    /// A file was synced.
    Sync {
        /// The file.
        inode: usize,
    },
    /// A sync of a file failed: the system takes what was written for clean from then on, and a later sync does nothing for it.
    SyncFailed {
        /// The file.
        inode: usize,
    },
    /// A file was renamed.
    Rename {
        /// The old path.
        from: String,
        /// The new one.
        to: String,
    },
    /// A file was removed.
    Remove {
        /// Its path.
        path: String,
    },
    /// A directory was synced.
    SyncDir {
        /// Its path.
        path: String,
    },
}

/// What becomes of an operation that was not synced when the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is on the disk.
    Kept,
    /// It is not.
    Lost,
    /// The first bytes of a write are; anything else counts as lost.
    Torn(usize),
    /// The first bytes of a write are not, what follows them is; anything else counts as lost.
    Front(usize),
}

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error with this number of the system's.
    Errno(i32),
    /// A write takes half of its bytes; anything else is not affected.
    Short,
}

#[derive(Clone, Debug, Default)]
struct Image {
    inodes: Vec<Vec<u8>>,
    names: BTreeMap<String, usize>,
    dirs: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct State {
    /// What was there, durably, before the first operation.
    base: Image,
    live: Image,
    ops: Vec<Op>,
    /// How many operations were attempted, whether they succeeded or not.
    attempts: usize,
    fault: Option<(usize, Fault, bool)>,
    /// How many bytes all files may have together.
    room: Option<u64>,
}

/// The storage. A clone is the same one.
#[derive(Clone, Debug, Default)]
pub struct SimStorage {
    state: Arc<Mutex<State>>,
}

fn parent(path: &str) -> &str {
    path.rsplit_once('/').map_or("", |(dir, _)| dir)
}

impl Image {
    fn apply(&mut self, op: &Op, limit: usize) {
        match op {
            Op::MakeDir { path } => {
                self.dirs.insert(path.clone());
            }
            Op::Make { path, inode } => {
                self.names.insert(path.clone(), *inode);
            }
            Op::Write { inode, offset, bytes } => {
                let bytes = bytes.get(..limit).unwrap_or(bytes);
                let at = usize::try_from(*offset).unwrap_or(usize::MAX);
                let file = self.inode(*inode);
                if file.len() < at + bytes.len() {
                    file.resize(at + bytes.len(), 0);
                }
                file[at..at + bytes.len()].copy_from_slice(bytes);
            }
            Op::Resize { inode, size } => self.inode(*inode).resize(usize::try_from(*size).unwrap_or(usize::MAX), 0),
            Op::Rename { from, to } => {
                if let Some(inode) = self.names.remove(from) {
                    self.names.insert(to.clone(), inode);
                }
            }
            Op::Remove { path } => {
                self.names.remove(path);
            }
            Op::Sync { .. } | Op::SyncFailed { .. } | Op::SyncDir { .. } => {}
        }
    }

    /// What is on the disk of an operation that has this fate.
    fn settle(&mut self, op: &Op, fate: Fate) {
        match (fate, op) {
            (Fate::Kept, _) => self.apply(op, usize::MAX),
            (Fate::Torn(bytes), Op::Write { .. }) => self.apply(op, bytes),
            (Fate::Front(bytes), Op::Write { inode, offset, bytes: all }) => {
                let (offset, bytes) = (offset + bytes as u64, all.get(bytes..).unwrap_or_default().to_vec());
                self.apply(&Op::Write { inode: *inode, offset, bytes }, usize::MAX);
            }
            (Fate::Torn(_) | Fate::Front(_) | Fate::Lost, _) => {}
        }
    }

    fn inode(&mut self, inode: usize) -> &mut Vec<u8> {
        if self.inodes.len() <= inode {
            self.inodes.resize(inode + 1, Vec::new());
        }
        &mut self.inodes[inode]
    }
}

impl Op {
    /// The file whose contents it changes.
    fn contents_of(&self) -> Option<usize> {
        match self {
            Self::Write { inode, .. } | Self::Resize { inode, .. } => Some(*inode),
            Self::MakeDir { .. }
            | Self::Make { .. }
            | Self::Sync { .. }
            | Self::SyncFailed { .. }
            | Self::Rename { .. }
            | Self::Remove { .. }
            | Self::SyncDir { .. } => None,
        }
    }

    /// The directory whose names it changes.
    fn names_in(&self) -> Option<&str> {
        match self {
            Self::MakeDir { path } | Self::Make { path, .. } | Self::Remove { path } => Some(parent(path)),
            Self::Rename { to, .. } => Some(parent(to)),
            Self::Write { .. }
            | Self::Resize { .. }
            | Self::Sync { .. }
            | Self::SyncFailed { .. }
            | Self::SyncDir { .. } => None,
        }
    }
}

impl SimStorage {
    /// An empty storage.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// A storage of these files, all durable.
    #[must_use]
    pub fn of(files: impl IntoIterator<Item = (String, Vec<u8>)>) -> Self {
        let mut image = Image::default();
        for (path, bytes) in files {
            if !parent(&path).is_empty() {
                image.dirs.insert(parent(&path).to_owned());
            }
            image.names.insert(path, image.inodes.len());
            image.inodes.push(bytes);
        }
        Self::from_image(image)
    }

    fn from_image(image: Image) -> Self {
        let state = State { base: image.clone(), live: image, ..State::default() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Every file as a process sees it.
    #[must_use]
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut state = self.lock();
        let names = state.live.names.clone();
        names.into_iter().map(|(path, inode)| (path, state.live.inode(inode).clone())).collect()
    }

    /// The operations that succeeded so far, and the syncs that did not.
    #[must_use]
    pub fn ops(&self) -> Vec<Op> {
        self.lock().ops.clone()
    }

    /// How many of them there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.lock().ops.len()
    }

    /// Whether nothing was changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes the operation after `after` more attempts go wrong, and, if `forever`, every one after it.
    pub fn fail(&self, after: usize, fault: Fault, forever: bool) {
        let mut state = self.lock();
        state.fault = Some((state.attempts + after, fault, forever));
    }

    /// Takes back the fault and the limit.
    pub fn heal(&self) {
        let mut state = self.lock();
        state.fault = None;
        state.room = None;
    }

    /// Limits how many bytes all files may have together.
    pub fn limit(&self, bytes: u64) {
        self.lock().room = Some(bytes);
    }

    /// What is on the disk when the power goes after the first `ops` operations. `fate` says what became of each
    /// operation that was not synced, by its number.
    #[must_use]
    pub fn power_cut(&self, ops: usize, mut fate: impl FnMut(usize, &Op) -> Fate) -> Self {
        let state = self.lock();
        let mut durable = state.base.clone();
        let mut pending: Vec<(usize, &Op)> = Vec::new();
        for (number, op) in state.ops.iter().enumerate().take(ops) {
            let synced = |other: &Op| match op {
                Op::Sync { inode } | Op::SyncFailed { inode } => other.contents_of() == Some(*inode),
                Op::SyncDir { path } => other.names_in() == Some(path),
                Op::MakeDir { .. }
                | Op::Make { .. }
                | Op::Write { .. }
                | Op::Resize { .. }
                | Op::Rename { .. }
                | Op::Remove { .. } => false,
            };
            // A failed sync is the last chance that what was written before it had.
            let failed = matches!(op, Op::SyncFailed { .. });
            for (other_number, other) in pending.extract_if(.., |(_, other)| synced(other)) {
                durable.settle(other, if failed { fate(other_number, other) } else { Fate::Kept });
            }
            pending.push((number, op));
        }
        for (number, op) in pending {
            durable.settle(op, fate(number, op));
        }
        // A directory that is lost takes its names with it.
        let Image { names, dirs, .. } = &mut durable;
        names.retain(|path, _| parent(path).is_empty() || dirs.contains(parent(path)));
        Self::from_image(durable)
    }
}

impl State {
    /// Whether this attempt goes on; and whether it is to be cut in half.
    fn attempt(&mut self) -> io::Result<bool> {
        let number = self.attempts;
        self.attempts += 1;
        match self.fault {
            Some((at, fault, forever)) if number == at || (forever && number > at) => match fault {
                Fault::Errno(errno) => Err(io::Error::from_raw_os_error(errno)),
                Fault::Short => Ok(true),
            },
            _ => Ok(false),
        }
    }

    fn run(&mut self, op: Op) -> io::Result<()> {
        self.attempt()?;
        self.live.apply(&op, usize::MAX);
        self.ops.push(op);
        Ok(())
    }

    fn grow(&self, inode: usize, end: usize) -> io::Result<()> {
        let used: usize = self.live.names.values().filter_map(|inode| self.live.inodes.get(*inode)).map(Vec::len).sum();
        let more = end.saturating_sub(self.live.inodes.get(inode).map_or(0, Vec::len));
        match self.room {
            Some(room) if more > 0 && (used + more) as u64 > room => Err(io::ErrorKind::StorageFull.into()),
            _ => Ok(()),
        }
    }
}

impl Storage for SimStorage {
    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let mut state = self.lock();
        let inode = match (state.live.names.get(path).copied(), access) {
            (Some(inode), Access::Create) => {
                state.run(Op::Resize { inode, size: 0 })?;
                inode
            }
            (Some(inode), Access::Read | Access::Write) => inode,
            (None, Access::Create) if parent(path).is_empty() || state.live.dirs.contains(parent(path)) => {
                let inode = state.live.inodes.len();
                state.live.inodes.push(Vec::new());
                state.run(Op::Make { path: path.to_owned(), inode })?;
                inode
            }
            (None, _) => return Err(io::ErrorKind::NotFound.into()),
        };
        Ok(Arc::new(SimFile { state: Arc::clone(&self.state), inode }))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        if state.live.dirs.contains(path) {
            return Ok(());
        }
        state.run(Op::MakeDir { path: path.to_owned() })
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let state = self.lock();
        let inside = state.live.names.keys().filter_map(|name| name.strip_prefix(path)?.strip_prefix('/'));
        Ok(inside.map(str::to_owned).collect())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut state = self.lock();
        if !state.live.names.contains_key(from) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.run(Op::Rename { from: from.to_owned(), to: to.to_owned() })
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let mut state = self.lock();
        if !state.live.names.contains_key(path) {
            return Err(io::ErrorKind::NotFound.into());
        }
        state.run(Op::Remove { path: path.to_owned() })
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        self.lock().run(Op::SyncDir { path: path.to_owned() })
    }
}

#[derive(Debug)]
struct SimFile {
    state: Arc<Mutex<State>>,
    inode: usize,
}

impl SimFile {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StorageFile for SimFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut state = self.lock();
        let file = state.live.inode(self.inode);
        let rest = file.get(usize::try_from(offset).unwrap_or(usize::MAX)..).unwrap_or_default();
        let n = rest.len().min(into.len());
        into[..n].copy_from_slice(&rest[..n]);
        Ok(n)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        let mut state = self.lock();
        let half = state.attempt()?;
        let n = if half { bytes.len().div_ceil(2) } else { bytes.len() };
        state.grow(self.inode, usize::try_from(offset).unwrap_or(usize::MAX) + n)?;
        let op = Op::Write { inode: self.inode, offset, bytes: bytes[..n].to_vec() };
        state.live.apply(&op, usize::MAX);
        state.ops.push(op);
        Ok(n)
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.lock();
        let synced = state.run(Op::Sync { inode: self.inode });
        if synced.is_err() {
            state.ops.push(Op::SyncFailed { inode: self.inode });
        }
        synced
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.lock().live.inode(self.inode).len() as u64)
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.lock().run(Op::Resize { inode: self.inode, size })
    }
}
