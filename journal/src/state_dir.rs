//! The state directory: who may use it, which process owns it, and which machine it belongs to.

use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::{FlockOperation, Mode, OFlags};

use crate::error::{Failed, OpenError};
use crate::segment::LOG;
use crate::storage::{DiskStorage, Storage, read_file, replace};

/// The file that names the machine.
const MACHINE: &str = "machine";
const LOCK: &str = "lock";
/// Others than the owner may write.
const WRITABLE: u32 = 0o022;
/// What no file or directory of this process gives to its group or to others.
const UMASK: Mode = Mode::RWXG.union(Mode::RWXO);
/// NONBLOCK: a FIFO planted under this name must not hang the opener.
const LOCK_FLAGS: OFlags =
    OFlags::RDWR.union(OFlags::CREATE).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const LOCK_MODE: Mode = Mode::RUSR.union(Mode::WUSR);

/// Which machine this is, and since when it is up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    /// The machine id.
    pub machine: String,
    /// The boot id.
    pub boot: String,
}

impl Host {
    /// This machine, from `/etc/machine-id` and the kernel's boot id.
    ///
    /// # Errors
    /// If either cannot be read or is empty.
    pub fn read() -> Result<Self, Failed> {
        let line = |path: &str| {
            let text = std::fs::read_to_string(path).map_err(Failed::to(format!("read {path}")))?;
            match text.trim() {
                "" => Err(Failed::to(format!("read {path}"))(io::ErrorKind::UnexpectedEof.into())),
                id => Ok(id.to_owned()),
            }
        };
        Ok(Self { machine: line("/etc/machine-id")?, boot: line("/proc/sys/kernel/random/boot_id")? })
    }
}

/// A state directory that was found fit to be used.
#[derive(Debug)]
pub struct StateDir {
    path: PathBuf,
    storage: Arc<DiskStorage>,
}

/// The ownership of a state directory, given up when dropped.
#[derive(Debug)]
pub struct Owned {
    _lock: File,
}

impl StateDir {
    /// Opens the directory, made if it is not there (mode 0700).
    ///
    /// The umask of the process is set to 077, so that whatever is made in it is its owner's alone.
    ///
    /// # Errors
    /// If it is a link or no directory, or another user owns it or may write in it.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        // Without a slash at the end, which would follow a link.
        let path: PathBuf = path.components().collect();
        rustix::process::umask(UMASK);
        let failed = |doing: &str| Failed::to(format!("{doing} {}", path.display()));
        match std::fs::symlink_metadata(&path) {
            Ok(found) if found.is_symlink() => return Err(OpenError::Link(path)),
            Ok(found) if !found.is_dir() => return Err(OpenError::NotADirectory(path)),
            Ok(_) => settle(&path).map_err(failed("sync the folder of"))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(&path).map_err(failed("make"))?,
            Err(error) => return Err(failed("look at")(error).into()),
        }
        let storage = DiskStorage::open(&path).map_err(failed("open"))?;
        // What is judged is what was opened, whatever has the name by now.
        let found =
            File::from(storage.root().try_clone().map_err(failed("open"))?).metadata().map_err(failed("look at"))?;
        if found.uid() != rustix::process::geteuid().as_raw() {
            return Err(OpenError::Owner { path, owner: found.uid() });
        }
        if found.mode() & WRITABLE != 0 {
            return Err(OpenError::Writable { path, mode: found.mode() & 0o7777 });
        }
        Ok(Self { path, storage: Arc::new(storage) })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory that was judged, as a path for what only takes paths: it leads there whatever has the name by now, for as
    /// long as the directory's files are held. Without /proc it is the name.
    #[must_use]
    pub fn anchored(&self) -> PathBuf {
        use std::os::fd::AsRawFd as _;
        let anchored = PathBuf::from(format!("/proc/self/fd/{}", self.storage.root().as_raw_fd()));
        if anchored.is_dir() { anchored } else { self.path.clone() }
    }

    /// Its files.
    #[must_use]
    pub fn storage(&self) -> Arc<dyn Storage> {
        Arc::clone(&self.storage) as Arc<dyn Storage>
    }

    /// Becomes the owner.
    ///
    /// # Errors
    /// [`OpenError::Locked`] if another process is.
    pub fn lock(&self, host: &Host) -> Result<Owned, OpenError> {
        let failed = || Failed::to(format!("lock {}", self.path.display()));
        let lock =
            rustix::fs::openat(self.storage.root(), LOCK, LOCK_FLAGS, LOCK_MODE).map_err(|e| failed()(e.into()))?;
        let mut lock = File::from(lock);
        match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let mut text = String::new();
                // The holder's words are a courtesy: whatever they are, it holds the lock.
                drop(lock.read_to_string(&mut text));
                let mut words = text.split_whitespace();
                let pid = words.next().and_then(|pid| pid.parse().ok());
                return Err(OpenError::Locked { pid, boot: words.next().map(str::to_owned) });
            }
            Err(error) => return Err(failed()(error.into()).into()),
        }
        let write = |lock: &mut File| {
            lock.set_len(0)?;
            lock.rewind()?;
            lock.write_all(format!("{} {}\n", std::process::id(), host.boot).as_bytes())
        };
        write(&mut lock).map_err(failed())?;
        Ok(Owned { _lock: lock })
    }

    /// The machine it belongs to; none if it belongs to none yet.
    ///
    /// # Errors
    /// If that cannot be read.
    pub fn machine(&self) -> Result<Option<String>, OpenError> {
        Ok(machine(&*self.storage)?)
    }

    /// Binds it to a machine, durably. Only its owner may.
    ///
    /// # Errors
    /// The system's.
    pub fn bind(&self, _owned: &Owned, host: &Host) -> Result<(), OpenError> {
        Ok(bind(&*self.storage, &host.machine)?)
    }
}

pub(crate) fn machine(storage: &dyn Storage) -> Result<Option<String>, Failed> {
    let mut bytes = Vec::new();
    match read_file(storage, MACHINE, &mut bytes) {
        Ok(()) => Ok(Some(String::from_utf8_lossy(&bytes).trim_end().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let log = storage.list(LOG).map_err(Failed::to("list the log"))?;
            // A log without an owner was taken from somewhere.
            Ok((!log.is_empty()).then(|| "unknown".to_owned()))
        }
        Err(error) => Err(Failed::to("read the machine id")(error)),
    }
}

/// The old machine or the new one is named, whole, whenever the power goes.
pub(crate) fn bind(storage: &dyn Storage, machine: &str) -> Result<(), Failed> {
    replace(storage, "", MACHINE, format!("{machine}\n").as_bytes()).map_err(Failed::to("write the machine id"))
}

/// Makes the directory and those above it, each durable in the one above before the next: what is synced in it later would
/// go with any of their names. One that is there already may be visible without being durable.
fn make(path: &Path) -> io::Result<()> {
    match std::fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make(above(path))?;
            std::fs::DirBuilder::new().mode(0o700).create(path)?;
        }
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => {}
        other => other?,
    }
    settle(path)
}

/// Makes the directory's own name durable, where the one above may be opened at all.
fn settle(path: &Path) -> io::Result<()> {
    use io::ErrorKind::{InvalidInput, PermissionDenied, ReadOnlyFilesystem};
    match File::open(above(path)).and_then(|parent| parent.sync_all()) {
        // Not for this user to open, or of a kind that keeps no names to be synced.
        Err(error) if matches!(error.kind(), PermissionDenied | InvalidInput | ReadOnlyFilesystem) => Ok(()),
        other => other,
    }
}

fn above(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_another_made_meanwhile_is_as_good_if_it_is_a_directory() {
        let dir = tempfile::tempdir().unwrap();
        let (made, file) = (dir.path().join("made"), dir.path().join("file"));
        std::fs::create_dir(&made).unwrap();
        std::fs::write(&file, "").unwrap();
        make(&made).unwrap();
        assert_eq!(make(&file).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(make(&file.join("below")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }

    #[test]
    fn a_name_that_cannot_be_made_durable_is_told_unless_the_directory_above_keeps_no_names() {
        let dir = tempfile::tempdir().unwrap();
        settle(dir.path()).unwrap();
        assert_eq!(settle(&dir.path().join("missing/state")).unwrap_err().kind(), io::ErrorKind::NotFound);
        // The kernel syncs nothing in /proc, and says that it is not for syncing.
        assert_eq!(File::open("/proc").unwrap().sync_all().unwrap_err().kind(), io::ErrorKind::InvalidInput);
        settle(Path::new("/proc/self")).unwrap();
    }
}
