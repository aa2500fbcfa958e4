//! The file that names the running process: `{"pid":N,"start":TICKS,"boot":"UUID"}`.
//!
//! The start time of `/proc/PID/stat` and the boot id make it name one life for ever, and not whichever process has the
//! number later.

use std::fmt;
use std::io;
use std::path::Path;
use std::str::FromStr;

use recover_steps::Instance;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use serde::Deserialize;

use super::table;
use crate::files;

/// One life of a process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub(super) struct Life {
    pub(super) pid: i32,
    pub(super) start: u64,
    pub(super) boot: String,
}

impl Life {
    pub(super) fn instance(&self) -> Instance {
        Instance(self.to_string())
    }

    /// Whether it runs now, in this boot.
    pub(super) fn runs(&self, boot: &str) -> bool {
        self.boot == boot && table::entry(self.pid).is_some_and(|e| e.start == self.start && e.runs)
    }
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.pid, self.start, self.boot)
    }
}

impl FromStr for Life {
    type Err = ();
    fn from_str(text: &str) -> Result<Self, ()> {
        let mut parts = text.splitn(3, ':');
        let mut next = || parts.next().ok_or(());
        let (pid, start, boot) = (next()?, next()?, next()?);
        Ok(Self { pid: pid.parse().map_err(|_| ())?, start: start.parse().map_err(|_| ())?, boot: boot.to_owned() })
    }
}

/// The life that a pid file names; `None` if there is no file. The file decides whom we signal, so it must be ours or
/// root's, and nobody else's to change.
pub(super) fn read(path: &Path) -> io::Result<Option<Life>> {
    let (folder, name) = files::split(path)?;
    let folder = match files::open_dir(folder) {
        Ok(folder) => folder,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    let file = match files::open_in(&folder, name, OFlags::RDONLY, Mode::empty()) {
        Ok(file) => file,
        Err(Errno::NOENT) => return Ok(None),
        Err(e) => return Err(e.into()),
    };
    let stat = rustix::fs::fstat(&file)?;
    let owned = stat.st_uid == 0 || stat.st_uid == rustix::process::geteuid().as_raw();
    if !owned || stat.st_mode & 0o022 != 0 {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, "others may change it"));
    }
    let life: Life = serde_json::from_slice(&files::read_capped(&file, 4_096)?).map_err(|_| {
        io::Error::new(io::ErrorKind::InvalidData, "it is not {\"pid\":N,\"start\":TICKS,\"boot\":\"UUID\"}")
    })?;
    // Number 1 and below are never a workload's: signals to them go to init, to our group, or to everybody.
    if life.pid > 1 {
        Ok(Some(life))
    } else {
        Err(io::Error::new(io::ErrorKind::InvalidData, "it names no possible pid"))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_instance_is_written_as_it_is_read() {
        let life = Life { pid: 7, start: 8, boot: "a-b".into() };
        assert_eq!(life.instance().0.parse(), Ok(life));
        for bad in ["", "7", "7:8", "x:8:b", "7:-1:b"] {
            assert_eq!(bad.parse::<Life>(), Err(()));
        }
    }

    #[test]
    fn a_file_that_others_may_change_or_that_names_everybody_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pid");
        assert_eq!(read(&path).unwrap(), None);
        std::fs::write(&path, r#"{"pid":7,"start":8,"boot":"b"}"#).unwrap();
        assert_eq!(read(&path).unwrap(), Some(Life { pid: 7, start: 8, boot: "b".into() }));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666)).unwrap();
        assert!(read(&path).is_err());
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for bad in ["", "7", r#"{"pid":1,"start":8,"boot":"b"}"#, r#"{"pid":-1,"start":8,"boot":"b"}"#] {
            std::fs::write(&path, bad).unwrap();
            assert!(read(&path).is_err(), "{bad}");
        }
    }
}
