//! A new file that is there whole or not at all, and never in the place of another.

use std::fs::File;
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::fault::{Code, Fault};

/// Writes a file that its owner alone may read. It is written beside its name, made durable, and gets the name once everything is in
/// it. What a kill leaves beside it carries that process's number, so that it is in nobody's way.
///
/// # Errors
/// [`io::ErrorKind::AlreadyExists`] if something is there; it stays as it is.
pub(crate) fn write_new(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    // Unlike a rename, a link overwrites nothing.
    let (beside, written) = write_beside(path, fill)?;
    let written = written.and_then(|()| std::fs::hard_link(&beside, path));
    let removed = std::fs::remove_file(&beside);
    written.and(removed)
}

/// As [`write_new`], in the place of what is there; durable when it returns.
pub(crate) fn replace(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<()> {
    let (beside, written) = write_beside(path, fill)?;
    if let Err(e) = written.and_then(|()| std::fs::rename(&beside, path)) {
        let _unused = std::fs::remove_file(&beside);
        return Err(e);
    }
    File::open(path.parent().unwrap_or(path))?.sync_all()
}

/// The file beside its name, and whether everything is in it and durable.
fn write_beside(path: &Path, fill: impl FnOnce(&mut File) -> io::Result<()>) -> io::Result<(PathBuf, io::Result<()>)> {
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}.part", std::process::id()));
    let beside = PathBuf::from(beside);
    let mut file = File::options().write(true).create_new(true).mode(0o600).open(&beside)?;
    let written = fill(&mut file).and_then(|()| file.sync_all());
    Ok((beside, written))
}

/// The fault that a file which could not be written is for a person.
pub(crate) fn fault(path: &Path, e: &io::Error) -> Fault {
    let fault = Fault::caused(Code::BundleNotWritten, &format!("{} cannot be written", path.display()), e);
    if e.kind() == io::ErrorKind::AlreadyExists { fault.hint("name another file with --out") } else { fault }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    #[test]
    fn a_file_is_there_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        let full = |_: &mut File| Err(io::ErrorKind::StorageFull.into());
        assert_eq!(write_new(&path, full).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        write_new(&path, |file| file.write_all(b"first")).unwrap();
        let again = write_new(&path, |file| file.write_all(b"second"));
        assert_eq!(again.unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        assert_eq!(replace(&path, full).unwrap_err().kind(), io::ErrorKind::StorageFull);
        assert_eq!(std::fs::read(&path).unwrap(), b"first");
        replace(&path, |file| file.write_all(b"third")).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"third");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
