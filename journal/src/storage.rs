//! All input and output of the log goes through these two traits, so that a test can record it, fail it, or cut the power.

use std::io;
use std::sync::Arc;

use crate::bytes::is_zero;

mod disk;

pub use disk::DiskStorage;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// It is there and only read.
    Read,
    /// It is there and written.
    Write,
    /// It is made, empty; what was there is gone.
    Create,
}

/// A directory of files. Paths are relative, with `/`, and never leave it.
pub trait Storage: Send + Sync {
    /// Opens a file. A symbolic link is refused.
    ///
    /// # Errors
    /// The system's.
    fn open(&self, path: &str, access: Access) -> io::Result<Arc<dyn StorageFile>>;
    /// Makes a directory, if it is not there.
    ///
    /// # Errors
    /// The system's.
    fn create_dir(&self, path: &str) -> io::Result<()>;
    /// The names in a directory, sorted; none if it is not there.
    ///
    /// # Errors
    /// The system's.
    fn list(&self, path: &str) -> io::Result<Vec<String>>;
    /// Renames a file within its directory, over what had the name.
    ///
    /// # Errors
    /// The system's.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    ///
    /// # Errors
    /// The system's.
    fn remove(&self, path: &str) -> io::Result<()>;
    /// Makes the names in a directory durable. The empty path is the directory itself.
    ///
    /// # Errors
    /// The system's.
    fn sync_dir(&self, path: &str) -> io::Result<()>;
}

/// An open file.
pub trait StorageFile: Send + Sync {
    /// Reads at an offset; 0 is the end.
    ///
    /// # Errors
    /// The system's.
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes at an offset, once; says how much was taken.
    ///
    /// # Errors
    /// The system's.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;
    /// Makes contents and length durable (`fdatasync`).
    ///
    /// # Errors
    /// The system's.
    fn sync(&self) -> io::Result<()>;
    /// The length in bytes.
    ///
    /// # Errors
    /// The system's.
    fn size(&self) -> io::Result<u64>;
    /// Sets the length.
    ///
    /// # Errors
    /// The system's.
    fn set_size(&self, size: u64) -> io::Result<()>;
}

/// Writes all of `bytes`. One write, unless the system takes less.
pub(crate) fn write_all(file: &dyn StorageFile, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
    while !bytes.is_empty() {
        match file.write_at(bytes, offset) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(n) => {
                bytes = bytes.get(n..).unwrap_or_default();
                offset += n as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Reads up to `len` bytes at `offset` into `into`, which is emptied first; fewer at the end of the file.
pub(crate) fn read_into(file: &dyn StorageFile, into: &mut Vec<u8>, offset: u64, len: usize) -> io::Result<()> {
    into.clear();
    into.resize(len, 0);
    let mut filled = 0;
    while let Some(rest) = into.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        match file.read_at(rest, offset + filled as u64) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    into.truncate(filled);
    Ok(())
}

/// A whole file.
pub(crate) fn read_file(storage: &dyn Storage, path: &str, into: &mut Vec<u8>) -> io::Result<()> {
    let file = storage.open(path, Access::Read)?;
    let size = usize::try_from(file.size()?).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?;
    read_into(&*file, into, 0, size)
}

/// So much is read at once where most of it may be zeros: it stays in the processor's cache. Bytes.
const BLOCK: usize = 262_144;

/// A file but for the zeros at its end, as far as they fill whole blocks; and its length. Most of a segment that is written on is
/// zeros, and whoever looks at the log reads it: they are seen through, and not kept.
pub(crate) fn read_but_zeros(storage: &dyn Storage, path: &str, into: &mut Vec<u8>) -> io::Result<u64> {
    let file = storage.open(path, Access::Read)?;
    let size = file.size()?;
    let at_once = usize::try_from(size).map_or(BLOCK, |size| size.min(BLOCK));
    let (mut block, mut len) = (Vec::new(), 0);
    into.clear();
    while len < size {
        read_into(&*file, &mut block, len, at_once)?;
        if block.is_empty() {
            // It was cut off meanwhile.
            break;
        }
        if !is_zero(&block) {
            into.resize(usize::try_from(len).map_err(|_| io::Error::from(io::ErrorKind::FileTooLarge))?, 0);
            into.extend_from_slice(&block);
        }
        len += block.len() as u64;
    }
    Ok(len)
}

/// Writes a small file so that after a crash the old or the new contents are there, whole.
pub(crate) fn replace(storage: &dyn Storage, dir: &str, name: &str, bytes: &[u8]) -> io::Result<()> {
    let path = if dir.is_empty() { name.to_owned() } else { format!("{dir}/{name}") };
    let new = format!("{path}.new");
    let file = storage.open(&new, Access::Create)?;
    write_all(&*file, bytes, 0)?;
    file.sync()?;
    storage.rename(&new, &path)?;
    storage.sync_dir(dir)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::testing::sim::SimStorage;

    /// A file that gives and takes three bytes at a time, and says something else first, once.
    struct Reluctant {
        bytes: Mutex<Vec<u8>>,
        first: Mutex<Option<io::ErrorKind>>,
    }

    fn reluctant(bytes: &[u8], first: Option<io::ErrorKind>) -> Reluctant {
        Reluctant { bytes: Mutex::new(bytes.to_vec()), first: Mutex::new(first) }
    }

    impl Reluctant {
        fn at(&self, offset: u64, len: usize) -> io::Result<std::ops::Range<usize>> {
            if let Some(kind) = self.first.lock().unwrap().take() {
                return Err(kind.into());
            }
            let at = usize::try_from(offset).unwrap();
            Ok(at..self.bytes.lock().unwrap().len().min(at + len.min(3)))
        }
    }

    impl StorageFile for Reluctant {
        fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
            let range = self.at(offset, into.len())?;
            let bytes = &self.bytes.lock().unwrap()[range];
            into[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }

        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
            let range = self.at(offset, bytes.len())?;
            let taken = range.len();
            self.bytes.lock().unwrap()[range].copy_from_slice(&bytes[..taken]);
            Ok(taken)
        }

        fn sync(&self) -> io::Result<()> {
            Ok(())
        }

        fn size(&self) -> io::Result<u64> {
            Ok(self.bytes.lock().unwrap().len() as u64)
        }

        fn set_size(&self, size: u64) -> io::Result<()> {
            self.bytes.lock().unwrap().resize(usize::try_from(size).unwrap(), 0);
            Ok(())
        }
    }

    /// What a call may say first that is no failure.
    const FIRST: [Option<io::ErrorKind>; 2] = [None, Some(io::ErrorKind::Interrupted)];

    #[test]
    fn zeros_at_the_end_are_seen_through_and_those_before_are_kept() {
        for len in [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7] {
            for last in [None, Some(0), Some(len / 2), len.checked_sub(1)] {
                let mut bytes = vec![0; len];
                last.and_then(|at| bytes.get_mut(at)).into_iter().for_each(|byte| *byte = 1);
                let storage = SimStorage::of([("file".to_owned(), bytes.clone())]);
                let mut read = b"what was there".to_vec();
                assert_eq!(read_but_zeros(&storage, "file", &mut read).unwrap(), len as u64);
                let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
                assert!((used..=used.next_multiple_of(BLOCK)).contains(&read.len()), "{} of {used}", read.len());
                read.resize(len, 0);
                assert!(read == bytes, "{len}, {last:?}");
            }
        }
    }

    #[test]
    fn what_is_taken_in_pieces_or_interrupted_is_written_whole_and_where_it_belongs() {
        for first in FIRST {
            let file = reluctant(b"....................", first);
            write_all(&file, b"eleven here", 5).unwrap();
            assert_eq!(*file.bytes.lock().unwrap(), b".....eleven here....", "{first:?}");
        }
    }

    #[test]
    fn what_is_given_in_pieces_or_interrupted_is_read_whole_from_where_it_is() {
        for first in FIRST {
            let file = reluctant(b"0123456789abcdefghij", first);
            let mut read = b"what was read before".to_vec();
            read_into(&file, &mut read, 5, 11).unwrap();
            assert_eq!(read, b"56789abcdef", "{first:?}");
            read_into(&file, &mut read, 15, 11).unwrap();
            assert_eq!(read, b"fghij", "the file ends before");
        }
    }

    #[test]
    fn an_error_ends_it_and_so_does_a_file_that_takes_nothing_more() {
        let full = || reluctant(b"0123456789", Some(io::ErrorKind::StorageFull));
        assert_eq!(write_all(&full(), b"text", 0).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(read_into(&full(), &mut Vec::new(), 0, 4).unwrap_err().kind(), io::ErrorKind::StorageFull);
        let error = write_all(&reluctant(b"0123", None), b"text and more", 0).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WriteZero);
    }
}
