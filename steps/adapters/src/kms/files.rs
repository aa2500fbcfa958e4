//! Files of a node: read without a link on the way, and replaced whole, with what was there kept beside it.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use recover_engine::Digest;
use rustix::fs::{AtFlags, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;
use zeroize::Zeroizing;

use crate::files;

/// No file of configuration or state is longer. Bytes.
const LONGEST: usize = 4 << 20;

/// A file as it was read.
#[derive(Debug)]
pub(super) struct Held {
    pub(super) bytes: Zeroizing<Vec<u8>>,
    pub(super) stat: Stat,
}

impl Held {
    pub(super) fn sha256(&self) -> String {
        Digest::of(&self.bytes).to_string()
    }

    pub(super) fn text(&self) -> Result<&str, String> {
        std::str::from_utf8(&self.bytes).map_err(|_| "it is not text".to_owned())
    }
}

/// Reads a regular file by a path without a link. `None` if there is none.
pub(super) fn read(path: &Path) -> io::Result<Option<Held>> {
    let (folder, name) = files::split(path)?;
    let folder = match files::open_dir(folder) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        folder => folder?,
    };
    match files::open_in(&folder, name, OFlags::RDONLY, Mode::empty()) {
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e.into()),
        Ok(file) => held(&file).map(Some),
    }
}

/// The same of a file that must be there, in words.
pub(super) fn read_there(path: &Path) -> Result<Held, String> {
    match read(path) {
        Ok(Some(held)) => Ok(held),
        Ok(None) => Err(format!("{} is not there", path.display())),
        Err(e) => Err(format!("{}: {e}", path.display())),
    }
}

fn held(file: &OwnedFd) -> io::Result<Held> {
    let stat = rustix::fs::fstat(file)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    Ok(Held { bytes: Zeroizing::new(files::read_capped(file, LONGEST)?), stat })
}

/// The folder's own metadata, by a path without a link.
pub(super) fn folder_of(path: &Path) -> io::Result<Stat> {
    Ok(rustix::fs::fstat(files::open_dir(files::split(path)?.0)?)?)
}

/// How a file is to be put in place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Like {
    pub(super) uid: u32,
    pub(super) gid: u32,
    pub(super) mode: u32,
}

impl Like {
    /// As the file that is there.
    pub(super) const fn of(stat: &Stat) -> Self {
        Self { uid: stat.st_uid, gid: stat.st_gid, mode: stat.st_mode & 0o777 }
    }
}

/// Puts these bytes in the place of a file: whole or not at all. What was there gets another name first, if one is given, and never
/// ceases to be there. The other name is that of the run, so that doing it again is no second copy.
pub(super) fn replace(path: &Path, bytes: &[u8], like: Like, aside: Option<&str>) -> Result<Option<String>, String> {
    let failed = |what: &str, e: &dyn std::fmt::Display| format!("{} cannot be {what}: {e}", path.display());
    let (folder, name) = files::split(path).map_err(|e| failed("replaced", &e))?;
    let folder = files::open_dir(folder).map_err(|e| failed("replaced", &e))?;
    let fresh = PathBuf::from(format!(".{}.recover-new", name.display()));
    match rustix::fs::unlinkat(&folder, &fresh, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(e) => return Err(failed("written", &e)),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let file = files::open_in(&folder, &fresh, flags, Mode::RUSR | Mode::WUSR).map_err(|e| failed("written", &e))?;
    files::write_all(&file, bytes).map_err(|e| failed("written", &e))?;
    own(&file, like).map_err(|e| failed("given its owner and mode", &e))?;
    rustix::fs::fsync(&file).map_err(|e| failed("made durable", &e))?;
    let kept = aside.map(|suffix| format!("{}.{suffix}", name.display()));
    let kept = match &kept {
        None => None,
        Some(kept) => match rustix::fs::linkat(&folder, name, &folder, kept.as_str(), AtFlags::empty()) {
            Ok(()) | Err(Errno::EXIST) => Some(kept.clone()),
            Err(Errno::NOENT) => None,
            Err(e) => return Err(failed("kept under another name", &e)),
        },
    };
    rustix::fs::renameat(&folder, &fresh, &folder, name).map_err(|e| failed("put in place", &e))?;
    rustix::fs::fsync(folder.as_fd()).map_err(|e| failed("made durable", &e))?;
    Ok(kept)
}

/// Owner first: a change of owner takes bits off the mode.
fn own(file: &OwnedFd, like: Like) -> Result<(), Errno> {
    let stat = rustix::fs::fstat(file)?;
    if (stat.st_uid, stat.st_gid) != (like.uid, like.gid) {
        rustix::fs::fchown(file, Some(Uid::from_raw(like.uid)), Some(Gid::from_raw(like.gid)))?;
    }
    rustix::fs::fchmod(file, Mode::from_raw_mode(like.mode))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn what_was_there_is_kept_and_mode_stays() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "old").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let like = Like::of(&read(&path).unwrap().unwrap().stat);
        for _ in 0..2 {
            assert_eq!(replace(&path, b"new", like, Some("aside-r1")).unwrap().as_deref(), Some("f.aside-r1"));
        }
        let now = read(&path).unwrap().unwrap();
        assert_eq!((now.text().unwrap(), now.stat.st_mode & 0o777), ("new", 0o640));
        assert_eq!(std::fs::read_to_string(dir.path().join("f.aside-r1")).unwrap(), "old");
    }

    #[test]
    fn a_link_is_neither_read_nor_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let victim = dir.path().join("victim");
        std::fs::write(&victim, "v").unwrap();
        symlink(&victim, dir.path().join("link")).unwrap();
        assert!(read(&dir.path().join("link")).is_err());
        let like = Like::of(&read(&victim).unwrap().unwrap().stat);
        replace(&dir.path().join("link"), b"new", like, None).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "v");
        assert!(read(dir.path()).is_err(), "a folder is no file");
        assert!(read(&dir.path().join("none")).unwrap().is_none());
    }
}
