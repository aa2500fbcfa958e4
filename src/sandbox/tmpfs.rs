//! A private folder on tmpfs: where a token may lie without ever reaching a disk.

use std::env;
use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use recover_engine::Digest;

use crate::sandbox::error::Error;

const TMPFS_MAGIC: i64 = 0x0102_1994;
const RAMFS_MAGIC: i64 = 0x8584_58f6;

/// Makes the folder of the sandbox in `dir`, in the first place that is memory and lets us.
pub(crate) fn choose(dir: &Path) -> Result<PathBuf, Error> {
    let name = Digest::of(dir.as_os_str().as_encoded_bytes()).to_string();
    let name = format!("recover-sandbox-{}", name.get(..16).unwrap_or_default());
    let places = places();
    for place in &places {
        if is_memory(place) && private(&place.join(&name)).is_ok() {
            return Ok(place.join(&name));
        }
    }
    let tried: Vec<String> = places.iter().map(|place| place.display().to_string()).collect();
    Err(Error::NoTmpfs(tried.join(", ")))
}

/// Makes the folder that was chosen before, as it is gone after a reboot.
pub(crate) fn again(folder: &Path) -> Result<PathBuf, Error> {
    if folder.parent().is_some_and(is_memory) && private(folder).is_ok() {
        return Ok(folder.to_owned());
    }
    Err(Error::NoTmpfs(folder.display().to_string()))
}

fn places() -> Vec<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let session = env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from).filter(|path| path.is_absolute());
    let fixed = [PathBuf::from(format!("/run/user/{uid}")), PathBuf::from("/run"), PathBuf::from("/dev/shm")];
    session.into_iter().chain(fixed).collect()
}

fn is_memory(path: &Path) -> bool {
    let kind = rustix::fs::statfs(path).map(|stat| stat.f_type);
    kind.is_ok_and(|kind| kind == TMPFS_MAGIC || kind == RAMFS_MAGIC)
}

/// Makes a folder that is ours alone, or finds that it is: `/dev/shm` lets anybody make it first.
fn private(path: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let found = fs::symlink_metadata(path)?;
    let ours = found.uid() == rustix::process::geteuid().as_raw() && found.mode() & 0o077 == 0;
    if found.is_dir() && ours { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn a_folder_that_is_not_ours_alone_is_not_taken() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let (open, link, new) = (dir.path().join("open"), dir.path().join("link"), dir.path().join("new"));
        fs::create_dir(&open).expect("is made");
        fs::set_permissions(&open, fs::Permissions::from_mode(0o755)).expect("is opened");
        symlink("/", &link).expect("is linked");
        assert!(private(&open).is_err() && private(&link).is_err());
        assert!(private(&new).is_ok() && private(&new).is_ok());
    }

    #[test]
    fn what_is_not_memory_is_not_taken_for_it() {
        assert!(!is_memory(Path::new("/proc")) && !is_memory(Path::new("/does/not/exist")));
    }
}
