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
const PRIVATE_DIR: Mode = Mode::RWXU;
const PRIVATE_FILE: Mode = Mode::RUSR.union(Mode::WUSR);

impl DiskStorage {
    /// Opens an existing directory. The last part of the path may not be a symbolic link.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { root: fs::open(path, DIR | OFlags::NOFOLLOW, Mode::empty())? })
    }

    /// The directory itself.
    #[must_use]
    pub fn root(&self) -> &OwnedFd {
        &self.root
    }

    fn dir(&self, path: &str) -> io::Result<OwnedFd> {
        let mut dir = fs::openat(&self.root, ".", DIR, Mode::empty())?;
        for part in path.split('/').filter(|part| !part.is_empty()) {
            dir = fs::openat(&dir, checked(part)?, DIR | OFlags::NOFOLLOW, Mode::empty())?;
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
        // NONBLOCK: a FIFO planted under this name must not hang the opener.
        let base = OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let flags = match access {
            Access::Read => OFlags::RDONLY,
            Access::Write => OFlags::RDWR,
            Access::Create => OFlags::RDWR | OFlags::CREATE | OFlags::TRUNC,
        };
        let file = File::from(fs::openat(&dir, name, base | flags, PRIVATE_FILE)?);
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
