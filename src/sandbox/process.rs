//! Finding and ending the process that a pid file names, and no other that has its number.

use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec};
use rustix::process::{Pid, PidfdFlags, Signal};
use serde::{Deserialize, Serialize};

use crate::sandbox::files;

/// Where the kernel says which boot this is.
pub(crate) const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// What a pid file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PidRecord {
    pid: i32,
    start: u64,
    boot: String,
}

/// What matters of `/proc/PID/stat`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Stat {
    /// When it started, in clock ticks since the boot.
    pub(crate) start: u64,
    /// Whether it has ended and was not waited for.
    pub(crate) is_dead: bool,
}

impl Stat {
    /// Reads the file's text. Allocates nothing, since a child calls it between `fork` and `exec`.
    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        // The name in parentheses may hold anything, also parentheses and spaces.
        let name_end = text.iter().rposition(|byte| *byte == b')')?;
        let mut fields = text.get(name_end + 2..)?.split(|byte| *byte == b' ');
        let state = fields.next()?;
        // Field 22 of the file: the state is field 3, so 18 lie between.
        let start = std::str::from_utf8(fields.nth(18)?).ok()?.parse().ok()?;
        Some(Self { start, is_dead: matches!(state, b"Z" | b"X") })
    }
}

/// A live process, held by a descriptor that can never come to mean another.
#[derive(Debug)]
pub(crate) struct Running {
    pid: Pid,
    fd: OwnedFd,
}

impl Running {
    /// Its number.
    pub(crate) fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// Asks it to end, and after `grace` makes it end.
    fn end(&self, grace: Duration) -> io::Result<()> {
        self.signal(Signal::TERM)?;
        if !self.is_gone_within(grace)? {
            self.signal(Signal::KILL)?;
            if !self.is_gone_within(grace)? {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        Ok(())
    }

    fn signal(&self, signal: Signal) -> io::Result<()> {
        match rustix::process::pidfd_send_signal(&self.fd, signal) {
            Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
            Err(errno) => Err(errno.into()),
        }
    }

    fn is_gone_within(&self, limit: Duration) -> io::Result<bool> {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let left = Timespec::try_from(left).map_err(|_| io::ErrorKind::InvalidInput)?;
            match rustix::event::poll(&mut [PollFd::new(&self.fd, PollFlags::IN)], Some(&left)) {
                Ok(ready) => return Ok(ready > 0),
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

/// Takes the lock of a pid file: see [`super::launch`].
pub(crate) fn lock(pidfile: &Path) -> io::Result<File> {
    let mut path = pidfile.as_os_str().to_owned();
    path.push(".lock");
    files::lock(&PathBuf::from(path))
}

/// The process of a pid file, if it lives.
pub(crate) fn find(pidfile: &Path) -> io::Result<Option<Running>> {
    let Some(text) = files::read_if_there(pidfile)? else { return Ok(None) };
    let record: PidRecord = serde_json::from_str(&text)?;
    let pid = Pid::from_raw(record.pid).ok_or(io::ErrorKind::InvalidData)?;
    if fs::read_to_string(BOOT_ID)?.trim() != record.boot {
        return Ok(None);
    }
    let fd = match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => fd,
        Err(rustix::io::Errno::SRCH) => return Ok(None),
        Err(errno) => return Err(errno.into()),
    };
    // Compared after the descriptor was opened: if the number changes hands now, the descriptor does not.
    let stat = files::read_if_there(Path::new(&format!("/proc/{}/stat", record.pid)))?;
    let stat = stat.and_then(|text| Stat::parse(text.as_bytes()));
    let same = stat.is_some_and(|stat| stat.start == record.start && !stat.is_dead);
    Ok(same.then_some(Running { pid, fd }))
}

/// Ends the process of a pid file and removes the file. Says whether there was one to end.
pub(crate) fn stop(pidfile: &Path, grace: Duration) -> io::Result<bool> {
    let _lock = lock(pidfile)?;
    let found = find(pidfile)?;
    if let Some(running) = &found {
        running.end(grace)?;
    }
    files::remove_if_there(pidfile)?;
    Ok(found.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(pid: u32) -> PidRecord {
        let stat = fs::read(format!("/proc/{pid}/stat")).expect("is readable");
        let boot = fs::read_to_string(BOOT_ID).expect("is readable").trim().to_owned();
        PidRecord { pid: pid as i32, start: Stat::parse(&stat).expect("is a stat").start, boot }
    }

    fn found(record: &PidRecord) -> bool {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("pid");
        fs::write(&path, serde_json::to_vec(record).expect("encodes")).expect("is written");
        find(&path).expect("is looked for").is_some()
    }

    #[test]
    fn a_stat_is_read_whatever_the_program_is_called() {
        let text = b"12 (a) R (b)) S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4711 20";
        assert_eq!(Stat::parse(text), Some(Stat { start: 4711, is_dead: false }));
        assert_eq!(Stat::parse(b"12 (x) Z 1 2 3"), None);
    }

    #[test]
    fn only_the_very_process_is_found() {
        let own = record(std::process::id());
        assert!(found(&own));
        assert!(!found(&PidRecord { start: own.start + 1, ..own.clone() }), "another that has its number");
        assert!(!found(&PidRecord { boot: "another".into(), ..own.clone() }), "another boot");
        assert!(!found(&PidRecord { pid: i32::MAX, ..own }), "nobody");
    }

    #[test]
    fn stopping_twice_is_stopping_once() {
        let dir = tempfile::tempdir().expect("a temporary directory");
        let path = dir.path().join("pid");
        let mut child = std::process::Command::new("sleep").arg("60").spawn().expect("starts");
        fs::write(&path, serde_json::to_vec(&record(child.id())).expect("encodes")).expect("is written");
        assert!(stop(&path, Duration::from_secs(5)).expect("stops"));
        assert!(!child.wait().expect("is reaped").success());
        assert!(!stop(&path, Duration::from_secs(5)).expect("stops again"));
    }
}
