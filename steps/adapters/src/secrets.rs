//! Secrets on their way: in files that are proven to be in memory, in folders that are ours alone.

use std::fmt;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use recover_engine::Millis;
use recover_steps::Token;
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::files;
use crate::trouble::{Trouble, code};

/// The folders in which runs keep secrets: the first that is in memory and ours is used, all are looked through.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretsDir {
    places: Vec<PathBuf>,
}

impl SecretsDir {
    /// The configured folder, and no other; or `/run/recover`, or `recover` in the user's runtime directory, or a folder of
    /// the user's own on `/dev/shm`.
    #[must_use]
    pub fn new(configured: Option<PathBuf>, xdg_runtime_dir: Option<PathBuf>) -> Self {
        let places = configured.map_or_else(
            || {
                let user = rustix::process::geteuid().as_raw();
                let own = xdg_runtime_dir.filter(|p| p.is_absolute()).map(|p| p.join("recover"));
                [Some("/run/recover".into()), own, Some(format!("/dev/shm/recover-{user}").into())]
                    .into_iter()
                    .flatten()
                    .collect()
            },
            |one| vec![one],
        );
        Self { places }
    }

    /// Opens the run's own folder and proves what it is, before there is a secret to put into it.
    pub(crate) fn open(&self, run: &str) -> Result<Folder, Trouble> {
        let mut why = String::new();
        for place in &self.places {
            match Folder::make(place, run) {
                Ok(folder) => return Ok(folder),
                Err(e) => why.push_str(&format!("{}{}: {e}", if why.is_empty() { "" } else { "; " }, place.display())),
            }
        }
        Err(Trouble::refused(
            code::SECRETS,
            format!("no place for secrets: {why}; set secrets_dir to a folder on tmpfs"),
        ))
    }

    /// Where a run's secrets would be kept, without making anything.
    ///
    /// # Errors
    /// With a sentence that says of each place why not.
    pub fn look(&self) -> Result<PathBuf, String> {
        self.first(|place| match ours(place) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => {
                let (parent, _) = files::split(place)?;
                if !files::in_memory(&files::open_dir(parent)?)? {
                    return Err(io::Error::other("it would be on a disk, not on tmpfs or ramfs"));
                }
                Ok(rustix::fs::access(parent, rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK)?)
            }
            found => found.map(drop),
        })
    }

    /// As [`Self::look`], and seen to work: a folder is made there and taken away again.
    ///
    /// # Errors
    /// As [`Self::look`].
    pub fn prove(&self) -> Result<PathBuf, String> {
        /// No run has this name, and no label either.
        const NOBODY: &str = "rehearsal";
        self.first(|place| Folder::make(place, NOBODY).and_then(|folder| folder.remove(NOBODY)))
    }

    fn first(&self, fits: impl Fn(&Path) -> io::Result<()>) -> Result<PathBuf, String> {
        let mut why = Vec::new();
        for place in &self.places {
            match fits(place) {
                Ok(()) => return Ok(place.clone()),
                Err(e) => why.push(format!("{}: {e}", place.display())),
            }
        }
        Err(why.join("; "))
    }

    /// What is kept under the label. What was cut off while being written is lost, and so `None`.
    pub(crate) fn find(&self, run: &str, label: &str) -> Result<Option<Sealed>, Trouble> {
        for folder in self.existing(run)? {
            if let Some(sealed) = folder.read(label).map_err(|e| unreadable(&folder.path, &e))? {
                return Ok(Some(sealed));
            }
        }
        Ok(None)
    }

    /// Everything that is kept for a run and can be read.
    pub(crate) fn kept(&self, run: &str) -> Vec<Sealed> {
        let mut kept = Vec::new();
        for folder in self.existing(run).into_iter().flatten() {
            for entry in rustix::fs::Dir::read_from(&folder.folder).into_iter().flatten().flatten() {
                let label = entry.file_name().to_str().ok().and_then(|name| name.strip_suffix(".json"));
                kept.extend(label.and_then(|label| folder.read(label).ok().flatten()));
            }
        }
        kept
    }

    /// Removes what is kept under the label, wherever it is.
    pub(crate) fn remove(&self, run: &str, label: &str) -> Result<(), Trouble> {
        self.existing(run)?.iter().try_for_each(|f| f.remove(label).map_err(|e| unreadable(&f.path, &e)))
    }

    fn existing(&self, run: &str) -> Result<Vec<Folder>, Trouble> {
        let mut found = Vec::new();
        for place in &self.places {
            match Folder::existing(place, run) {
                Ok(folder) => found.extend(folder),
                Err(e) if self.places.len() > 1 && e.kind() == io::ErrorKind::PermissionDenied => {}
                Err(e) => return Err(unreadable(place, &e)),
            }
        }
        Ok(found)
    }
}

fn unreadable(path: &Path, why: &dyn fmt::Display) -> Trouble {
    Trouble::retry(format!("secrets in {}: {why}", path.display()))
}

/// A secret with what names it.
#[derive(Clone, Debug)]
pub(crate) struct Sealed {
    pub(crate) token: Token,
    pub(crate) secret: SecretString,
}

#[derive(Serialize)]
struct Written<'a> {
    label: &'a str,
    accessor: &'a str,
    expires_at: Millis,
    secret: &'a str,
}

#[derive(Deserialize)]
struct Read {
    label: String,
    accessor: String,
    expires_at: Millis,
    secret: SecretString,
}

/// One run's folder, open.
#[derive(Debug)]
pub(crate) struct Folder {
    place: OwnedFd,
    folder: OwnedFd,
    run: PathBuf,
    path: PathBuf,
}

impl Folder {
    fn make(place: &Path, run: &str) -> io::Result<Self> {
        private(place)?;
        let outer = ours(place)?;
        match rustix::fs::mkdirat(&outer, run, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(e) => return Err(e.into()),
        }
        let path = place.join(run);
        Ok(Self { folder: ours(&path)?, place: outer, run: run.into(), path })
    }

    fn existing(place: &Path, run: &str) -> io::Result<Option<Self>> {
        let path = place.join(run);
        match ours(&path) {
            Ok(folder) => Ok(Some(Self { folder, place: ours(place)?, run: run.into(), path })),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Puts a secret under its token's label, where there is none yet.
    pub(crate) fn put(&self, sealed: &Sealed) -> io::Result<()> {
        let Sealed { token, secret } = sealed;
        let written = Written {
            label: &token.label,
            accessor: &token.accessor,
            expires_at: token.expires_at,
            secret: secret.expose_secret(),
        };
        let mut bytes = Zeroizing::new(Vec::with_capacity(32 * 1024));
        serde_json::to_writer(&mut *bytes, &written)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
        let file = files::open_in(&self.folder, &name(&token.label), flags, Mode::RUSR | Mode::WUSR)?;
        Ok(files::write_all(&file, &bytes)?)
    }

    pub(crate) fn holds(&self, label: &str) -> io::Result<bool> {
        Ok(files::stat_in(self.folder.as_fd(), &name(label))?.is_some())
    }

    fn read(&self, label: &str) -> io::Result<Option<Sealed>> {
        let file = match files::open_in(&self.folder, &name(label), OFlags::RDONLY, Mode::empty()) {
            Ok(file) => file,
            Err(Errno::NOENT) => return Ok(None),
            Err(e) => return Err(e.into()),
        };
        let bytes = Zeroizing::new(files::read_capped(&file, 64 * 1024)?);
        let read = serde_json::from_slice::<Read>(&bytes).ok().filter(|r| r.label == label);
        Ok(read.map(|Read { label, accessor, expires_at, secret }| Sealed {
            token: Token { accessor, label, expires_at },
            secret,
        }))
    }

    fn remove(&self, label: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.folder, name(label), AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        match rustix::fs::unlinkat(&self.place, &self.run, AtFlags::REMOVEDIR) {
            // Another label's secret is still in it.
            Ok(()) | Err(Errno::NOENT | Errno::NOTEMPTY | Errno::EXIST) => Ok(()),
            Err(e) => Err(e.into()),
        }
    }
}

fn name(label: &str) -> PathBuf {
    format!("{label}.json").into()
}

/// Whether a folder is on tmpfs or ramfs.
///
/// # Errors
/// If that cannot be told.
pub fn is_in_memory(folder: &Path) -> io::Result<bool> {
    files::in_memory(&files::open_dir(folder)?)
}

/// Makes a folder that only we enter, if only its last part is missing.
pub(crate) fn private(path: &Path) -> io::Result<()> {
    let (parent, name) = files::split(path)?;
    match rustix::fs::mkdirat(files::open_dir(parent)?, name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Opens a folder that is in memory and that nobody but us can enter.
fn ours(path: &Path) -> io::Result<OwnedFd> {
    let folder = files::open_dir(path)?;
    let stat = rustix::fs::fstat(&folder)?;
    let denied = |why: &str| Err(io::Error::new(io::ErrorKind::PermissionDenied, why.to_owned()));
    if !files::in_memory(&folder)? {
        return denied("it is on a disk, not on tmpfs or ramfs");
    }
    if stat.st_uid != rustix::process::geteuid().as_raw() || stat.st_mode & 0o077 != 0 {
        return denied("it is not ours alone (mode 0700)");
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn sealed() -> Sealed {
        let token = Token { accessor: "acc-1".into(), label: "recover-run_1-0".into(), expires_at: Millis(7) };
        Sealed { token, secret: SecretString::from("s3cr3t") }
    }

    #[test]
    fn a_secret_is_kept_once_found_and_removed() {
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        let dir = SecretsDir::new(Some(shm.path().join("secrets")), None);
        assert!(dir.find("run_1", "recover-run_1-0").unwrap().is_none());
        let folder = dir.open("run_1").unwrap();
        folder.put(&sealed()).unwrap();
        assert!(folder.put(&sealed()).is_err(), "nothing is overwritten");
        let path = shm.path().join("secrets/run_1/recover-run_1-0.json");
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let found = dir.find("run_1", "recover-run_1-0").unwrap().unwrap();
        assert_eq!((found.token.clone(), found.secret.expose_secret()), (sealed().token, "s3cr3t"));
        assert!(!format!("{found:?} {folder:?} {dir:?}").contains("s3cr3t"));
        for _ in 0..2 {
            dir.remove("run_1", "recover-run_1-0").unwrap();
            assert!(!shm.path().join("secrets/run_1").exists());
        }
    }

    #[test]
    fn one_that_was_cut_off_while_written_is_lost_and_removable() {
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        let dir = SecretsDir::new(Some(shm.path().join("secrets")), None);
        let folder = dir.open("run_1").unwrap();
        folder.put(&sealed()).unwrap();
        let path = shm.path().join("secrets/run_1/recover-run_1-0.json");
        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() {
            std::fs::write(&path, &whole[..length]).unwrap();
            assert!(dir.find("run_1", "recover-run_1-0").unwrap().is_none(), "{length}");
        }
        assert!(folder.holds("recover-run_1-0").unwrap());
        dir.remove("run_1", "recover-run_1-0").unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn a_look_at_the_place_makes_nothing_and_a_proof_leaves_nothing() {
        let (disk, shm) = (crate::fake::on_disk(), tempfile::tempdir_in("/dev/shm").unwrap());
        let place = shm.path().join("secrets");
        let dir = SecretsDir::new(Some(place.clone()), None);
        assert_eq!(dir.look(), Ok(place.clone()));
        assert!(!place.exists());
        assert_eq!(dir.prove(), Ok(place.clone()));
        assert_eq!(std::fs::read_dir(&place).unwrap().count(), 0);
        assert_eq!(dir.look(), Ok(place));
        for wrong in [disk.path().join("s"), shm.path().join("a/b"), "/proc/1/s".into()] {
            let dir = SecretsDir::new(Some(wrong.clone()), None);
            assert!(dir.look().is_err() && dir.prove().is_err(), "{}", wrong.display());
        }
        assert!(is_in_memory(shm.path()).unwrap() && !is_in_memory(disk.path()).unwrap());
    }

    #[test]
    fn a_disk_a_link_and_an_open_folder_are_no_place() {
        let disk = crate::fake::on_disk();
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        std::os::unix::fs::symlink(shm.path(), disk.path().join("link")).unwrap();
        std::fs::create_dir(shm.path().join("open")).unwrap();
        std::fs::set_permissions(shm.path().join("open"), std::fs::Permissions::from_mode(0o750)).unwrap();
        for place in
            [disk.path().join("s"), disk.path().join("link"), shm.path().join("open"), shm.path().join("a/b/c")]
        {
            let refused = SecretsDir::new(Some(place.clone()), None).open("run_1");
            assert!(matches!(refused, Err(Trouble::Refused(_))), "{}", place.display());
        }
        let dir = SecretsDir { places: vec![disk.path().join("s"), shm.path().join("ours")] };
        dir.open("run_1").unwrap().put(&sealed()).unwrap();
        assert!(shm.path().join("ours/run_1").exists());
    }
}
