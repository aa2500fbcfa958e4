//! The storage on a real directory, by descriptor: nothing below it is reached through a symbolic link.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{self, Mode, OFlags};

use super::{Access, Storage, StorageFile};

/// A directory of the file system.
#[derive(Debug)]
pub struct DiskStorage {
    root: OwnedFd,
}

const DIR: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);
/// A directory that is not reached through a link.
const REAL_DIR: OFlags = DIR.union(OFlags::NOFOLLOW);
/// NONBLOCK: a FIFO planted under this name must not hang the opener.
const FILE: OFlags = OFlags::NOFOLLOW.union(OFlags::CLOEXEC).union(OFlags::NONBLOCK);
const PRIVATE_DIR: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

impl DiskStorage {
    /// Opens an existing directory. The last part of the path may not be a symbolic link.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { root: fs::open(path, REAL_DIR, Mode::empty())? })
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &OwnedFd {
        &self.root
    }

    fn dir(&self, path: &str) -> io::Result<OwnedFd> {
        let mut dir = fs::openat(&self.root, ".", DIR, Mode::empty())?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            dir = fs::openat(&dir, checked(part)?, REAL_DIR, Mode::empty())?;
        }
        Ok(dir)
    }

    fn place<'a>(&self, path: &'a str) -> io::Result<(OwnedFd, &'a str)> {
        let (dir, name) = path.rsplit_once('/').unwrap_or(("", path));
        Ok((self.dir(dir)?, checked(name)?))
    }
}

fn checked(part: &str) -> io::Result<&str> {
    if part.is_empty() || part == "." || part == ".." || part.contains(['/', '\0']) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(part)
}

impl Storage for DiskStorage {
    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StorageFile>> {
        let (dir, name) = self.place(path)?;
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Create => OFlags::RDWR.union(OFlags::CREATE).union(OFlags::TRUNC),
        };
        let file = File::from(fs::openat(&dir, name, FILE.union(flags), PRIVATE_FILE)?);
        if !file.metadata()?.is_file() {
            return Err(io::Error::other("not a regular file"));
        }
        Ok(Arc::new(DiskFile(file)))
    }

    fn create_dir(&self, path: &str) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        match fs::mkdirat(&dir, name, PRIVATE_DIR) {
            Ok(()) => Ok(()),
            // Whatever has the name must be a directory, and no link to one.
            Err(rustix::io::Errno::EXIST) => self.dir(path).map(drop),
            Err(error) => Err(error.into()),
        }
    }

    fn list(&self, path: &str) -> io::Result<Vec<String>> {
        let dir = match self.dir(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            dir => dir?,
        };
        let mut names = Vec::new();
        for entry in fs::Dir::read_from(dir.as_fd())? {
            let entry = entry?;
            // A name that is not UTF-8 is none of ours.
            if let Ok(name) = entry.file_name().to_str()
                && name != "."
                && name != ".."
            {
                names.push(name.to_owned());
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let (from_dir, from) = self.place(from)?;
        let (to_dir, to) = self.place(to)?;
        Ok(fs::renameat(&from_dir, from, &to_dir, to)?)
    }

    fn remove(&self, path: &str) -> io::Result<()> {
        let (dir, name) = self.place(path)?;
        Ok(fs::unlinkat(&dir, name, fs::AtFlags::empty())?)
    }

    fn sync_dir(&self, path: &str) -> io::Result<()> {
        Ok(fs::fsync(self.dir(path)?)?)
    }
}

#[derive(Debug)]
struct DiskFile(File);

impl StorageFile for DiskFile {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(&self.0, into, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(&self.0, bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        Ok(fs::fdatasync(&self.0)?)
    }

    fn size(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn set_size(&self, size: u64) -> io::Result<()> {
        self.0.set_len(size)
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn storage() -> (tempfile::TempDir, DiskStorage) {
        let dir = tempfile::tempdir().unwrap();
        let storage = DiskStorage::open(dir.path()).unwrap();
        (dir, storage)
    }

    fn kind<T>(result: io::Result<T>) -> io::ErrorKind {
        result.err().unwrap().kind()
    }

    #[test]
    fn only_a_directory_that_is_no_link_is_opened() {
        let (dir, storage) = storage();
        std::fs::create_dir(dir.path().join("real")).unwrap();
        std::fs::write(dir.path().join("real/file"), "").unwrap();
        symlink("real", dir.path().join("link")).unwrap();
        for name in ["link", "real/file", "nowhere"] {
            assert!(DiskStorage::open(&dir.path().join(name)).is_err(), "{name}");
        }
        assert_eq!(storage.list("real").unwrap(), ["file"]);
        assert_eq!(storage.list("nowhere").unwrap(), [""; 0]);
        for name in ["link", "real/file"] {
            assert!(storage.list(name).is_err(), "{name} is not taken for a directory that is not there");
            assert!(storage.create_dir(name).is_err(), "{name} is not taken for one that was made before");
            assert!(storage.sync_dir(name).is_err(), "{name}");
            assert!(storage.remove(&format!("{name}/file")).is_err(), "{name}");
        }
        assert!(dir.path().join("real/file").exists());
    }

    #[test]
    fn only_a_regular_file_is_opened_and_only_one_that_is_created_is_emptied() {
        let (dir, storage) = storage();
        std::fs::create_dir(dir.path().join("folder")).unwrap();
        std::fs::write(dir.path().join("file"), "text").unwrap();
        symlink("file", dir.path().join("link")).unwrap();
        for access in [Access::Read, Access::Write, Access::Create] {
            for name in ["folder", "link"] {
                assert!(storage.open(name, access).is_err(), "{name}, {access:?}");
            }
        }
        for access in [Access::Read, Access::Write] {
            assert_eq!(kind(storage.open("nowhere", access)), io::ErrorKind::NotFound, "{access:?}");
            assert_eq!(storage.open("file", access).unwrap().size().unwrap(), 4, "{access:?}");
        }
        assert!(storage.open("file", Access::Read).unwrap().write_at(b"x", 0).is_err());
        storage.open("file", Access::Write).unwrap().write_at(b"x", 1).unwrap();
        assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"txxt");
        assert_eq!(storage.open("file", Access::Create).unwrap().size().unwrap(), 0);
    }

    #[test]
    fn no_path_leads_out_of_the_directory_or_is_the_directory_itself() {
        let (_dir, storage) = storage();
        storage.create_dir("log").unwrap();
        for name in ["", ".", "..", "a\0b"] {
            for path in [name.to_owned(), format!("log/{name}")] {
                assert_eq!(kind(storage.open(&path, Access::Create)), io::ErrorKind::InvalidInput, "{path:?}");
                assert_eq!(kind(storage.create_dir(&path)), io::ErrorKind::InvalidInput, "{path:?}");
                assert_eq!(kind(storage.remove(&path)), io::ErrorKind::InvalidInput, "{path:?}");
                assert_eq!(kind(storage.rename("log", &path)), io::ErrorKind::InvalidInput, "{path:?}");
            }
        }
        for path in [".", "..", "log/..", "log/.", "a\0b"] {
            assert_eq!(kind(storage.list(path)), io::ErrorKind::InvalidInput, "{path:?}");
            assert_eq!(kind(storage.sync_dir(path)), io::ErrorKind::InvalidInput, "{path:?}");
        }
    }

    #[test]
    fn what_is_removed_is_gone_and_only_what_is_there_can_be() {
        let (dir, storage) = storage();
        std::fs::write(dir.path().join("file"), "").unwrap();
        storage.remove("file").unwrap();
        assert!(!dir.path().join("file").exists());
        assert_eq!(kind(storage.remove("file")), io::ErrorKind::NotFound);
    }

    #[test]
    fn what_the_system_says_of_a_sync_is_told() {
        let (dir, storage) = storage();
        storage.open("file", Access::Create).unwrap().sync().unwrap();
        // A device that keeps nothing is not for syncing.
        assert_eq!(kind(DiskFile(File::open("/dev/null").unwrap()).sync()), io::ErrorKind::InvalidInput);
        storage.sync_dir("").unwrap();
        assert_eq!(kind(storage.sync_dir("nowhere")), io::ErrorKind::NotFound);
        drop(dir);
    }
}
