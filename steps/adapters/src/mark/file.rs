//! The mark as a file beside the storage: read and written whole, by one at a time, never through a link.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

use super::{FORMAT, Stands};
use crate::files;
use crate::trouble::{Trouble, code};

/// More than this is none of ours.
const MOST: usize = 64 * 1024;
const PAUSE: Duration = Duration::from_millis(20);

/// Where it is: `.recover-mark-NAME` beside the directory NAME.
#[derive(Debug)]
pub(super) struct FileMark {
    path: PathBuf,
}

impl FileMark {
    pub(super) fn beside(storage: &Path) -> Self {
        let mut name = OsString::from(".recover-mark-");
        name.push(storage.file_name().unwrap_or_default());
        Self { path: storage.with_file_name(name) }
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// What stands there.
    pub(super) async fn look(&self) -> Result<Stands, Trouble> {
        let (folder, name) = match self.folder() {
            Ok(found) => found,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Stands::default()),
            Err(e) => return Err(self.refused("read", &e)),
        };
        read(&folder, name).map_err(|e| self.refused("read", &e))
    }

    /// Changes what stands there, while nobody else does. Nothing is written where nothing changes.
    pub(super) async fn change(&self, change: impl FnOnce(Stands) -> Result<Stands, Trouble>) -> Result<(), Trouble> {
        let (folder, name) = self.folder().map_err(|e| self.refused("written", &e))?;
        loop {
            match rustix::fs::flock(&folder, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::WOULDBLOCK | Errno::INTR) => tokio::time::sleep(PAUSE).await,
                Err(e) => return Err(self.refused("locked", &e.into())),
            }
        }
        let before = read(&folder, name).map_err(|e| self.refused("read", &e))?;
        let after = change(before.clone())?;
        if after == before {
            return Ok(());
        }
        write(&folder, name, &after).map_err(|e| self.refused("written", &e))
    }

    fn folder(&self) -> io::Result<(OwnedFd, &Path)> {
        let (folder, name) = files::split(&self.path)?;
        Ok((files::open_dir(folder)?, name))
    }

    fn refused(&self, what: &str, why: &io::Error) -> Trouble {
        Trouble::refused(
            code::MARKED,
            format!("the mark at the target, {}, cannot be {what}: {why}", self.path.display()),
        )
    }
}

fn read(folder: &OwnedFd, name: &Path) -> io::Result<Stands> {
    let file = match files::open_in(folder, name, OFlags::RDONLY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(Stands::default()),
        Err(e) => return Err(e.into()),
    };
    let bytes = files::read_capped(&file, MOST)?;
    // A guess could be that nobody holds it.
    let stands = serde_json::from_slice(&bytes).ok().filter(|stands: &Stands| stands.format == FORMAT);
    stands.ok_or_else(|| {
        let why = "it is no mark that this build knows; remove it if nobody acts on the target";
        io::Error::new(io::ErrorKind::InvalidData, why)
    })
}

fn write(folder: &OwnedFd, name: &Path, stands: &Stands) -> io::Result<()> {
    let mut fresh = name.as_os_str().to_owned();
    fresh.push(".new");
    let fresh = Path::new(&fresh);
    // Left by one that was killed: nobody else writes now.
    match rustix::fs::unlinkat(folder, fresh, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(e.into()),
    }
    let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
    let file = files::open_in(folder, fresh, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)?;
    files::write_all(&file, &serde_json::to_vec(stands)?)?;
    rustix::fs::fsync(&file)?;
    rustix::fs::renameat(folder, fresh, folder, name)?;
    Ok(rustix::fs::fsync(folder)?)
}

#[cfg(test)]
mod tests {
    use recover_engine::Redo;

    use super::super::{Holder, Mark};
    use super::*;
    use crate::config::{DirectoryConfig, ProcessConfig, StorageConfig, WorkloadConfig};

    fn mark(dir: &Path, state_dir: &str) -> Mark {
        let path = dir.join("data");
        let config = DirectoryConfig { path, originals: Vec::new(), identity: "identity.json".into() };
        let holder = Holder { machine: "m".into(), host: "h".into(), state_dir: state_dir.into() };
        let at = |name: &str| dir.join(name);
        let (pidfile, log, token_file) = (at("pid"), at("log"), at("token"));
        let process =
            ProcessConfig { command: Vec::new(), pidfile, log, token_file, token_arguments: Vec::new(), cwd: None };
        Mark::new(holder, &WorkloadConfig::Process(process), &StorageConfig::Directory(config))
    }

    async fn stop(mark: &Mark) -> Result<(), Trouble> {
        mark.claim("run_1", "stop", Redo::Idempotent, Some("s1")).await
    }

    #[tokio::test]
    async fn one_holds_the_target_until_it_is_given_free() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (mark(dir.path(), "/a"), mark(dir.path(), "/b"));
        a.claim("run_1", "observe", Redo::Pure, None).await.unwrap();
        assert!(!Path::new(&a.place()).exists(), "a look leaves nothing");
        stop(&a).await.unwrap();
        let held = stop(&b).await.unwrap_err();
        assert!(held.text().contains("held by run run_1"), "{held:?}");
        assert_eq!(b.other().await.unwrap().map(|claim| claim.run).as_deref(), Some("run_1"));
        b.release().await.unwrap();
        assert!(stop(&b).await.is_err(), "what another holds is not given free");
        assert_eq!(a.other().await, Ok(None));
        a.release().await.unwrap();
        stop(&b).await.unwrap();
        assert!(stop(&a).await.is_err());
    }

    #[tokio::test]
    async fn a_paired_loss_stays_marked_after_the_target_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (mark(dir.path(), "/a"), mark(dir.path(), "/b"));
        a.claim("run_1", "pair", Redo::OnlyIfAbsent, Some("s1")).await.unwrap();
        a.release().await.unwrap();
        assert!(b.claim("run_2", "mint", Redo::OnlyIfAbsent, Some("s1")).await.is_err());
        a.unpaired(Some("s1")).await.unwrap();
        b.claim("run_2", "mint", Redo::OnlyIfAbsent, Some("s1")).await.unwrap();
    }

    #[tokio::test]
    async fn what_cannot_be_read_is_never_taken_for_nobodys() {
        let dir = tempfile::tempdir().unwrap();
        let a = mark(dir.path(), "/a");
        for bytes in
            [&b""[..], b"garbage", b"[]", b"{}", br#"{"format":2,"claim":null,"paired":[]}"#, &[b'{'; MOST + 1]]
        {
            std::fs::write(a.place(), bytes).unwrap();
            assert!(stop(&a).await.is_err() && a.other().await.is_err() && a.release().await.is_err());
        }
        std::fs::remove_file(a.place()).unwrap();
        std::fs::write(dir.path().join("elsewhere"), "{}").unwrap();
        std::os::unix::fs::symlink(dir.path().join("elsewhere"), a.place()).unwrap();
        assert!(stop(&a).await.is_err(), "a link is not followed");
        assert_eq!(std::fs::read(dir.path().join("elsewhere")).unwrap(), b"{}");
        let nowhere = mark(&dir.path().join("nowhere"), "/a");
        assert!(stop(&nowhere).await.is_err(), "nothing is changed where no mark can be put");
        assert_eq!(nowhere.other().await, Ok(None));
    }

    #[tokio::test]
    async fn a_write_that_was_killed_is_in_nobodys_way() {
        let dir = tempfile::tempdir().unwrap();
        let a = mark(dir.path(), "/a");
        std::fs::write(dir.path().join(".recover-mark-data.new"), "{").unwrap();
        stop(&a).await.unwrap();
        let names: Vec<_> = std::fs::read_dir(dir.path()).unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(names, [".recover-mark-data"]);
    }

    #[tokio::test]
    async fn of_many_who_claim_at_once_one_holds_it() {
        let dir = tempfile::tempdir().unwrap();
        let marks: Vec<Mark> = (0..16).map(|n| mark(dir.path(), &format!("/{n}"))).collect();
        let mut held = 0;
        let claims = marks.into_iter().map(|mark| tokio::spawn(async move { stop(&mark).await }));
        for claim in claims.collect::<Vec<_>>() {
            held += usize::from(claim.await.unwrap().is_ok());
        }
        assert_eq!(held, 1);
    }
}
