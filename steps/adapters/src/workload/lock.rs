//! The lock of one workload: a file that whoever starts or ends it holds, on this host.

use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use rustix::fs::{FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use crate::files;
use crate::trouble::{Trouble, code};

const PAUSE: Duration = Duration::from_millis(20);

/// Whoever has it is the only one on this host who starts or ends the workload, and no start is under way.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the lock is held as long as the descriptor is")] Option<OwnedFd>);

impl Lock {
    /// Of a workload that is on no host: the mark at the target is what keeps others from it.
    pub(super) const fn of_a_cluster() -> Self {
        Self(None)
    }

    /// Waits for it. The caller's own limit ends the waiting.
    pub(super) async fn take(path: &Path) -> Result<Self, Trouble> {
        let failed = |e: &dyn Display| {
            Trouble::refused(code::WORKLOAD, format!("the lock {} cannot be had: {e}", path.display()))
        };
        let (folder, name) = files::split(path).map_err(|e| failed(&e))?;
        make_folder(folder).map_err(|e| failed(&e))?;
        let folder = files::open_dir(folder).map_err(|e| failed(&e))?;
        let file = files::open_in(&folder, name, OFlags::RDWR | OFlags::CREATE, Mode::RUSR | Mode::WUSR)
            .map_err(|e| failed(&e))?;
        loop {
            match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Self(Some(file))),
                Err(Errno::WOULDBLOCK | Errno::INTR) => tokio::time::sleep(PAUSE).await,
                Err(e) => return Err(failed(&e)),
            }
        }
    }
}

/// Makes a folder, if only its last part is missing.
pub(super) fn make_folder(folder: &Path) -> io::Result<()> {
    match rustix::fs::mkdir(folder, Mode::from_raw_mode(0o755)) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}
