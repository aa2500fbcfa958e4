//! Opening and reading files so that nobody can make us touch another one.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;

use rustix::fs::{CWD, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;

/// Opens an existing file; links are followed, those of `/proc` only where the path itself names one.
pub(crate) fn open_any(path: &Path, flags: OFlags) -> io::Result<OwnedFd> {
    Ok(rustix::fs::open(path, flags | OFlags::CLOEXEC | OFlags::NOCTTY, Mode::empty())?)
}

/// Opens a directory whose path has no link in it.
pub(crate) fn open_dir(path: &Path) -> io::Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let resolve = ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS;
    Ok(again(|| rustix::fs::openat2(CWD, path, flags, Mode::empty(), resolve))?)
}

/// Opens a name directly in a directory: never through a link, never out of it, never onto another file system.
pub(crate) fn open_in(dir: impl AsFd, name: &Path, flags: OFlags, mode: Mode) -> Result<OwnedFd, Errno> {
    let resolve =
        ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS | ResolveFlags::NO_MAGICLINKS | ResolveFlags::NO_XDEV;
    let flags = flags | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    again(|| rustix::fs::openat2(dir.as_fd(), name, flags, mode, resolve))
}

/// `openat2` gives up with `EAGAIN` where something is renamed beneath it meanwhile.
fn again(mut open: impl FnMut() -> Result<OwnedFd, Errno>) -> Result<OwnedFd, Errno> {
    for _ in 0..64 {
        match open() {
            Err(Errno::AGAIN | Errno::INTR) => {}
            done => return done,
        }
    }
    Err(Errno::AGAIN)
}

/// The whole file, or an error if it is longer than `most`.
pub(crate) fn read_capped(file: impl AsFd, most: usize) -> io::Result<Vec<u8>> {
    // Of its final size from the beginning: growing would leave copies of a secret behind.
    let mut bytes = vec![0; most + 1];
    let mut length = 0;
    while let Some(rest) = bytes.get_mut(length..).filter(|r| !r.is_empty()) {
        match rustix::io::read(file.as_fd(), rest) {
            Ok(0) => break,
            Ok(n) => length += n,
            Err(Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    if length > most {
        zeroize::Zeroize::zeroize(&mut bytes);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is longer than {most} bytes")));
    }
    bytes.truncate(length);
    Ok(bytes)
}

/// Writes all of it.
pub(crate) fn write_all(file: impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match rustix::io::write(file.as_fd(), bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => bytes = bytes.get(n..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

/// A name's own metadata, not that of what it links to; `None` if there is no such name.
pub(crate) fn stat_in(dir: BorrowedFd<'_>, name: &Path) -> Result<Option<Stat>, Errno> {
    match rustix::fs::statat(dir, name, rustix::fs::AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(stat)),
        Err(Errno::NOENT) => Ok(None),
        Err(e) => Err(e),
    }
}

/// Whether this directory or file is in memory and nowhere else.
pub(crate) fn in_memory(fd: impl AsFd) -> io::Result<bool> {
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    let kind = rustix::fs::fstatfs(fd)?.f_type;
    #[expect(clippy::useless_conversion, reason = "the type differs between architectures")]
    let kind = i64::from(kind);
    Ok(kind == TMPFS || kind == RAMFS)
}

/// A path split into the folder that holds it and its name there.
pub(crate) fn split(path: &Path) -> io::Result<(&Path, &Path)> {
    let parts = path.parent().zip(path.file_name().map(Path::new));
    parts.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the path names no file"))
}

/// The end of a regular file, at most so many bytes, in whole lines: the first may have been cut, and is then none.
pub(crate) fn tail(path: &Path, most: u64) -> io::Result<String> {
    let (folder, name) = split(path)?;
    let file = open_in(open_dir(folder)?, name, OFlags::RDONLY, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let length = u64::try_from(stat.st_size).unwrap_or_default();
    let from = length.saturating_sub(most);
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(from))?;
    // It may grow meanwhile: no more than was there is read.
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or_default()];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|r| !r.is_empty()) {
        match rustix::io::read(&file, rest)? {
            0 => break,
            n => read += n,
        }
    }
    bytes.truncate(read);
    let text = String::from_utf8_lossy(&bytes);
    if from == 0 {
        return Ok(text.into_owned());
    }
    Ok(text.split_once('\n').map(|(_, whole)| whole.to_owned()).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_lead_nowhere() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::create_dir(at("real")).unwrap();
        std::fs::write(at("victim"), "v").unwrap();
        symlink(at("real"), at("alias")).unwrap();
        symlink(at("victim"), at("real/link")).unwrap();
        assert!(open_dir(&at("real")).is_ok());
        assert!(open_dir(&at("alias")).is_err());
        let real = open_dir(&at("real")).unwrap();
        assert_eq!(open_in(&real, Path::new("link"), OFlags::RDONLY, Mode::empty()).unwrap_err(), Errno::LOOP);
        assert_eq!(open_in(&real, Path::new("../victim"), OFlags::RDONLY, Mode::empty()).unwrap_err(), Errno::XDEV);
    }

    #[test]
    fn a_name_that_is_swapped_for_a_link_all_the_time_never_shows_its_victim() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        std::fs::write(at("victim"), "victim").unwrap();
        std::fs::create_dir(at("d")).unwrap();
        std::fs::write(at("d/own"), "own").unwrap();
        symlink(at("victim"), at("d/link")).unwrap();
        std::fs::hard_link(at("d/own"), at("d/name")).unwrap();
        let folder = at("d");
        let stop = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let exchange = rustix::fs::RenameFlags::EXCHANGE;
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    rustix::fs::renameat_with(CWD, folder.join("name"), CWD, folder.join("link"), exchange).unwrap();
                }
            });
            let dir = open_dir(&folder).unwrap();
            let mut read = 0;
            for _ in 0..20_000 {
                if let Ok(file) = open_in(&dir, Path::new("name"), OFlags::RDONLY, Mode::empty()) {
                    assert_eq!(read_capped(&file, 10).unwrap(), b"own");
                    read += 1;
                }
            }
            stop.store(true, std::sync::atomic::Ordering::Relaxed);
            assert!(read > 0);
        });
    }

    #[test]
    fn a_long_file_is_an_error_and_not_a_part_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        std::fs::write(&path, "12345").unwrap();
        let open = || open_any(&path, OFlags::RDONLY).unwrap();
        assert_eq!(read_capped(open(), 5).unwrap(), b"12345");
        assert_eq!(read_capped(open(), 4).unwrap_err().kind(), io::ErrorKind::FileTooLarge);
    }

    #[test]
    fn memory_is_told_from_disk() {
        assert!(in_memory(open_dir(Path::new("/dev/shm")).unwrap()).unwrap());
        assert!(
            !in_memory(open_dir(Path::new("/proc/self")).or_else(|_| open_dir(Path::new("/proc"))).unwrap()).unwrap()
        );
    }

    #[test]
    fn the_end_of_a_log_is_whole_lines_of_a_regular_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        std::fs::write(&path, "first\nsecond\nthird").unwrap();
        assert_eq!(tail(&path, 100).unwrap(), "first\nsecond\nthird");
        assert_eq!(tail(&path, 10).unwrap(), "third", "a line that was cut is none");
        assert_eq!(tail(&path, 2).unwrap(), "");
        std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
        assert!(tail(&dir.path().join("link"), 100).is_err());
        assert!(tail(dir.path(), 100).is_err());
        assert!(tail(&dir.path().join("none"), 100).is_err());
    }
}
