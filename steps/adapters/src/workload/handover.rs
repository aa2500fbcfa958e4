//! The file through which the workload gets its token: on tmpfs, whole or not there, and taken away again.

use std::io;
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};

use recover_engine::Millis;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::{files, secrets};

fn folder(token_file: &Path) -> io::Result<(std::os::fd::OwnedFd, &Path)> {
    let (folder, name) = files::split(token_file)?;
    Ok((files::open_dir(folder)?, name))
}

/// Proves that a token can be handed over, before there is one. Makes the folder, if only its last part is missing.
pub(super) fn prove(token_file: &Path) -> io::Result<()> {
    secrets::private(files::split(token_file)?.0)?;
    let (folder, _) = folder(token_file)?;
    let stat = rustix::fs::fstat(&folder)?;
    let denied = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    if !files::in_memory(&folder)? {
        return denied("it is on a disk, not on tmpfs or ramfs");
    }
    // Whoever can rename in it could take the token before the workload does.
    let sticky = stat.st_mode & 0o1000 != 0;
    if stat.st_mode & 0o022 != 0 && !sticky {
        return denied("others can change its folder");
    }
    Ok(())
}

/// Puts the token within the workload's sight, whole or not at all.
pub(super) fn write(token_file: &Path, label: &str, secret: &SecretString) -> io::Result<()> {
    prove(token_file)?;
    let (folder, name) = folder(token_file)?;
    let fresh = fresh_name(name, label);
    remove_name(&folder, &fresh)?;
    let file =
        files::open_in(&folder, &fresh, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, Mode::RUSR | Mode::WUSR)?;
    files::write_all(&file, secret.expose_secret().as_bytes())?;
    Ok(rustix::fs::renameat(&folder, &fresh, &folder, name)?)
}

/// Takes our token out of the workload's sight. A token that somebody else put there stays.
///
/// It is ours if it is this secret. Where the secret is no longer known, it is ours if we own the file and it was written
/// since the run began.
pub(super) fn remove(token_file: &Path, label: &str, secret: Option<&SecretString>, begun: Millis) -> io::Result<()> {
    let (folder, name) = match folder(token_file) {
        Ok(opened) => opened,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(e) => return Err(e),
    };
    remove_name(&folder, &fresh_name(name, label))?;
    let file = match files::open_in(folder.as_fd(), name, OFlags::RDONLY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(()),
        Err(e) => return Err(e.into()),
    };
    let stat = rustix::fs::fstat(&file)?;
    let content = Zeroizing::new(files::read_capped(&file, 64 * 1024)?);
    let own = rustix::process::geteuid().as_raw() == stat.st_uid;
    let ours = match secret {
        Some(secret) => content.trim_ascii() == secret.expose_secret().as_bytes(),
        None => own && stat.st_mtime.saturating_mul(1_000).saturating_add(999) >= begun.0,
    };
    if ours { remove_name(&folder, name) } else { Ok(()) }
}

fn fresh_name(name: &Path, label: &str) -> PathBuf {
    format!(".{}.{label}", name.display()).into()
}

fn remove_name(folder: &std::os::fd::OwnedFd, name: &Path) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    const NOW: Millis = Millis(0);
    const LATER: Millis = Millis(i64::MAX);

    #[test]
    fn a_token_is_handed_over_whole_and_only_ours_is_taken_away() {
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        let file = shm.path().join("handover/token");
        let secret = SecretString::from("s3cr3t");
        write(&file, "l", &secret).unwrap();
        assert_eq!(std::fs::read_to_string(&file).unwrap(), "s3cr3t");
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1);
        for _ in 0..2 {
            remove(&file, "l", Some(&secret), NOW).unwrap();
            assert!(!file.exists());
        }
        std::fs::write(&file, "somebody else's").unwrap();
        remove(&file, "l", Some(&secret), NOW).unwrap();
        remove(&file, "l", None, LATER).unwrap();
        assert!(file.exists());
        remove(&file, "l", None, NOW).unwrap();
        assert!(!file.exists(), "ours, written in this run, though its secret is forgotten");
    }

    #[test]
    fn what_was_cut_off_before_the_rename_is_taken_away_too() {
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        let file = shm.path().join("token");
        std::fs::write(shm.path().join(".token.l"), "s3cr").unwrap();
        write(&file, "l", &SecretString::from("s3cr3t")).unwrap();
        std::fs::write(shm.path().join(".token.l"), "s3cr").unwrap();
        remove(&file, "l", Some(&SecretString::from("s3cr3t")), NOW).unwrap();
        assert_eq!(std::fs::read_dir(shm.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_disk_or_an_open_folder_is_no_place_for_a_token() {
        let disk = crate::fake::on_disk();
        assert!(write(&disk.path().join("token"), "l", &SecretString::from("s3cr3t")).is_err());
        assert_eq!(std::fs::read_dir(disk.path()).unwrap().count(), 0);
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        std::fs::set_permissions(shm.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
        assert!(prove(&shm.path().join("token")).is_err());
    }
}
