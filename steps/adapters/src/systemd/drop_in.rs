//! A drop-in: a file of a few lines beside a unit, which the manager reads after the unit's own. It is there whole or not at all.
//!
//! Facts: systemd.unit(5). A directory `UNIT.d` is looked for in every folder that units are read from; files in it are read in
//! the order of their names, and a later assignment of one variable wins.

use std::io;
use std::os::fd::{AsFd as _, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use crate::config::Manager;
use crate::files;

/// How long a drop-in is to be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lasting {
    /// Until somebody takes it away.
    Always,
    /// Until the host is started again, at most.
    UntilBoot,
}

/// One drop-in of one unit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct DropIn {
    folder: PathBuf,
    name: String,
}

impl DropIn {
    /// The drop-in of that name.
    pub(crate) fn of(manager: Manager, unit: &str, lasting: Lasting, name: String) -> io::Result<Self> {
        let variable = |name: &str| {
            let value = std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
            value.ok_or_else(|| io::Error::other(format!("{name} is not set, so the manager's folder is not known")))
        };
        let base = match (manager, lasting) {
            (Manager::System, Lasting::Always) => "/etc/systemd/system".into(),
            (Manager::System, Lasting::UntilBoot) => "/run/systemd/system".into(),
            (Manager::User, Lasting::Always) => variable("XDG_CONFIG_HOME")
                .or_else(|_| Ok::<_, io::Error>(variable("HOME")?.join(".config")))?
                .join("systemd/user"),
            (Manager::User, Lasting::UntilBoot) => variable("XDG_RUNTIME_DIR")?.join("systemd/user"),
        };
        Ok(Self { folder: base.join(format!("{unit}.d")), name })
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join(&self.name)
    }

    /// Writes it, durably where it is to last.
    pub(crate) fn write(&self, text: &str) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let folder = files::open_dir(&self.folder)?;
        let fresh = self.fresh();
        remove(&folder, &fresh)?;
        let mode = Mode::RUSR | Mode::WUSR | Mode::RGRP | Mode::ROTH;
        let file = files::open_in(&folder, &fresh, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL, mode)?;
        files::write_all(&file, text.as_bytes())?;
        rustix::fs::fsync(&file)?;
        rustix::fs::renameat(&folder, &fresh, &folder, Path::new(&self.name))?;
        rustix::fs::fsync(&folder)?;
        // The directory itself may be new.
        let above = files::split(&self.folder)?.0;
        Ok(rustix::fs::fsync(files::open_dir(above)?)?)
    }

    /// Takes it away, and its directory if nothing else is in it. Whether it was there.
    pub(crate) fn remove(&self) -> io::Result<bool> {
        let folder = match files::open_dir(&self.folder) {
            Ok(folder) => folder,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(e) => return Err(e),
        };
        remove(&folder, &self.fresh())?;
        let was = files::stat_in(folder.as_fd(), Path::new(&self.name))?.is_some();
        remove(&folder, Path::new(&self.name))?;
        rustix::fs::fsync(&folder)?;
        let (above, name) = files::split(&self.folder)?;
        // Somebody else's drop-ins keep it there.
        let _kept = rustix::fs::unlinkat(files::open_dir(above)?, name, AtFlags::REMOVEDIR);
        Ok(was)
    }

    fn fresh(&self) -> PathBuf {
        format!(".{}.new", self.name).into()
    }
}

fn remove(folder: &OwnedFd, name: &Path) -> io::Result<()> {
    match rustix::fs::unlinkat(folder, name, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Whether a text means itself wherever it stands in a unit's text: nothing in it is expanded, quoted or split.
pub(crate) fn is_plain_word(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"/._-+@,".contains(&b))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drop_in_is_written_whole_and_goes_with_its_directory() {
        let home = tempfile::tempdir().unwrap();
        let drop_in = DropIn { folder: home.path().join("x.service.d"), name: "90-recover-r.conf".into() };
        assert!(!drop_in.remove().unwrap(), "there is none yet");
        for text in ["[Service]\n", "[Service]\nEnvironment=A=b\n"] {
            drop_in.write(text).unwrap();
            assert_eq!(std::fs::read_to_string(drop_in.path()).unwrap(), text);
            assert_eq!(std::fs::read_dir(&drop_in.folder).unwrap().count(), 1);
        }
        // What a kill left of a write is in nobody's way.
        std::fs::write(drop_in.folder.join(drop_in.fresh()), "half").unwrap();
        std::fs::write(drop_in.folder.join("10-owner.conf"), "[Service]\n").unwrap();
        assert!(drop_in.remove().unwrap());
        assert!(drop_in.folder.join("10-owner.conf").exists(), "another's stays");
        std::fs::remove_file(drop_in.folder.join("10-owner.conf")).unwrap();
        drop_in.write("[Service]\n").unwrap();
        assert!(drop_in.remove().unwrap() && !drop_in.folder.exists());
    }

    #[test]
    fn a_drop_in_is_not_written_through_a_link() {
        let home = tempfile::tempdir().unwrap();
        std::fs::create_dir(home.path().join("elsewhere")).unwrap();
        std::os::unix::fs::symlink(home.path().join("elsewhere"), home.path().join("x.service.d")).unwrap();
        let drop_in = DropIn { folder: home.path().join("x.service.d"), name: "90-recover-r.conf".into() };
        assert!(drop_in.write("[Service]\n").is_err());
        assert_eq!(std::fs::read_dir(home.path().join("elsewhere")).unwrap().count(), 0);
    }

    #[test]
    fn what_a_unit_would_expand_is_no_plain_word() {
        for plain in ["/var/lib/vaultpam", "/srv/a-b_c.d+e@f,g"] {
            assert!(is_plain_word(plain), "{plain}");
        }
        for other in ["", "/a b", "/a%n", "/a\\x", "/a:b", "/a\"", "/a\n", "/ä"] {
            assert!(!is_plain_word(other), "{other:?}");
        }
    }
}
