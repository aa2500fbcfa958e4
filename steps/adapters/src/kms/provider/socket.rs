//! The provider's socket as the API server meets it, and the one mending there is: the recorded group, the documented modes.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::Path;

use rustix::fs::{AtFlags, CWD, Gid, Mode, OFlags, Stat};
use rustix::io::Errno;

use crate::files;
use crate::kms::users::Who;

/// The documented modes of the folder and of the socket.
const FOLDER: u32 = 0o2750;
const SOCKET: u32 = 0o660;

/// What bars the way to the socket, before anybody is asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kms) enum Obstacle {
    /// There is none, or it is something else.
    None(String),
    /// It cannot be opened by that user.
    Barred(String),
}

/// Looks at the way to the socket for a user, by the modes of the folder and of the socket.
pub(in crate::kms) fn way(socket: &Path, who: &Who) -> Result<(), Obstacle> {
    let shown = socket.display();
    let none = |e: io::Error| Obstacle::None(format!("{shown}: {e}"));
    let (folder, name) = files::split(socket).map_err(none)?;
    let folder = files::open_dir(folder).map_err(none)?;
    let about = rustix::fs::fstat(&folder).map_err(|e| none(e.into()))?;
    let stat = match files::stat_in(folder.as_fd(), name) {
        Ok(Some(stat)) => stat,
        Ok(None) => return Err(Obstacle::None(format!("there is no {shown}"))),
        Err(e) => return Err(none(e.into())),
    };
    if !is_socket(&stat) {
        return Err(Obstacle::None(format!("{shown} is no socket")));
    }
    let barred = |what: &str, stat: &Stat, want: u32| {
        let (uid, gid, mode) = (stat.st_uid, stat.st_gid, stat.st_mode & 0o7777);
        let may = who.may(uid, gid, mode, want);
        (!may).then(|| Obstacle::Barred(format!("user {} may not use {what} {shown}: {uid}:{gid} {mode:04o}", who.uid)))
    };
    barred("the folder of", &about, 1).or_else(|| barred("the socket", &stat, 2)).map_or(Ok(()), Err)
}

fn is_socket(stat: &Stat) -> bool {
    rustix::fs::FileType::from_raw_mode(stat.st_mode).is_socket()
}

/// Gives folder and socket the group and the documented modes; says what was changed. A socket that is not there yet is the provider's
/// to make.
pub(in crate::kms) fn mend(socket: &Path, group: u32) -> Result<Vec<String>, String> {
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", socket.display());
    let (folder, name) = files::split(socket).map_err(|e| failed(&e))?;
    let folder = files::open_dir(folder).map_err(|e| failed(&e))?;
    let mut changed = Vec::new();
    give(&folder, group, FOLDER, "folder", &mut changed).map_err(|e| failed(&e))?;
    // A handle to the socket itself: what its owner puts in its place meanwhile is not touched.
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    match rustix::fs::openat(&folder, name, flags, Mode::empty()) {
        Err(Errno::NOENT) => {}
        Err(e) => return Err(failed(&e)),
        Ok(handle) => {
            let stat = rustix::fs::fstat(&handle).map_err(|e| failed(&e))?;
            if !is_socket(&stat) {
                return Err(failed(&"it is no socket"));
            }
            give(&handle, group, SOCKET, "socket", &mut changed).map_err(|e| failed(&e))?;
        }
    }
    Ok(changed)
}

/// Group first: a change of group takes bits off the mode.
fn give(handle: &OwnedFd, group: u32, mode: u32, what: &str, changed: &mut Vec<String>) -> Result<(), Errno> {
    use std::os::fd::AsRawFd as _;
    let stat = rustix::fs::fstat(handle)?;
    if stat.st_gid != group {
        let empty = AtFlags::EMPTY_PATH | AtFlags::SYMLINK_NOFOLLOW;
        rustix::fs::chownat(handle, "", None, Some(Gid::from_raw(group)), empty)?;
        changed.push(format!("group of the {what}: {} to {group}", stat.st_gid));
    }
    let now = rustix::fs::fstat(handle)?.st_mode & 0o7777;
    if now != mode {
        rustix::fs::chmodat(
            CWD,
            format!("/proc/self/fd/{}", handle.as_raw_fd()).as_str(),
            Mode::from_raw_mode(mode),
            AtFlags::empty(),
        )?;
        changed.push(format!("mode of the {what}: {:04o} to {mode:04o}", stat.st_mode & 0o7777));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};

    use super::*;

    fn site() -> (tempfile::TempDir, std::path::PathBuf, std::os::unix::net::UnixListener) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("kms.sock");
        let listener = std::os::unix::net::UnixListener::bind(&path).unwrap();
        (dir, path, listener)
    }

    #[test]
    fn modes_bar_the_way_and_are_mended_to_what_is_documented() {
        let (dir, path, _listener) = site();
        let group = std::fs::metadata(dir.path()).unwrap().gid();
        let apiserver = Who { uid: 64_202, gid: 64_202, groups: vec![group] };
        let mode = |at: &Path, mode: u32| std::fs::set_permissions(at, std::fs::Permissions::from_mode(mode)).unwrap();
        for (folder, socket) in [(0o700, 0o660), (0o2750, 0o600)] {
            mode(dir.path(), folder);
            mode(&path, socket);
            assert!(matches!(way(&path, &apiserver), Err(Obstacle::Barred(_))), "{folder:o} {socket:o}");
            assert_eq!(mend(&path, group).unwrap().len(), 1);
            assert_eq!(way(&path, &apiserver), Ok(()));
            assert_eq!(mend(&path, group).unwrap(), Vec::<String>::new(), "it is so already");
        }
        mode(&path, 0o666);
        mend(&path, group).unwrap();
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().mode() & 0o777, 0o660);
    }

    #[test]
    fn what_is_no_socket_is_none_and_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (victim, path) = (dir.path().join("victim"), dir.path().join("kms.sock"));
        std::fs::write(&victim, "v").unwrap();
        std::fs::set_permissions(&victim, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(matches!(way(&path, &Who::here()), Err(Obstacle::None(_))));
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(matches!(way(&path, &Who::here()), Err(Obstacle::None(_))));
        assert!(mend(&path, std::fs::metadata(&victim).unwrap().gid()).is_err());
        assert_eq!(std::fs::metadata(&victim).unwrap().mode() & 0o777, 0o600);
    }
}
