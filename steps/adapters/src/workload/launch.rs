//! Starting a process that outlives us, so that whoever looks for it finds it, whenever we are killed.
//!
//! 1. Take `flock(LOCK_EX)` on `PIDFILE.lock`.
//! 2. Fork. The child makes a session of its own, writes the pid file (temporary file, then rename) and only then calls
//!    `exec`. Until then it holds the inherited lock, which `exec` closes.
//! 3. Release the lock.
//!
//! So whoever has the lock sees every process that was started, although its starter may be long gone.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use crate::files;

/// Forks and starts the program. The caller holds the lock. An error means that nothing of it runs.
pub(super) fn launch(command: &[String], cwd: &Path, pidfile: &Path, log: OwnedFd, boot: &str) -> io::Result<Child> {
    let (program, arguments) = command.split_first().ok_or(Errno::INVAL)?;
    let birth = Birth::prepare(pidfile, boot)?;
    let errors = log.try_clone()?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    command.current_dir(cwd).stdin(Stdio::null()).stdout(Stdio::from(log)).stderr(Stdio::from(errors));
    #[expect(unsafe_code, reason = "between fork and exec `enter` only makes system calls, on memory prepared before")]
    unsafe {
        command.pre_exec(move || Ok(birth.enter()?));
    }
    // Returns once the child has called `exec`, or has failed to and is gone.
    command.spawn()
}

/// What the child needs where nothing may be allocated.
struct Birth {
    pidfile: CString,
    fresh: CString,
    boot: Vec<u8>,
}

impl Birth {
    fn prepare(pidfile: &Path, boot: &str) -> io::Result<Self> {
        let path = pidfile.as_os_str().as_bytes();
        let fresh = [path, b".new"].concat();
        Ok(Self { pidfile: CString::new(path)?, fresh: CString::new(fresh)?, boot: boot.as_bytes().to_vec() })
    }

    fn enter(&self) -> Result<(), Errno> {
        rustix::process::setsid()?;
        close_on_exec()?;
        let mut stat = [0; 1_024];
        let start = own_start(&mut stat)?;
        let mut number = [0; 10];
        let pid = decimal(rustix::process::getpid().as_raw_nonzero().get().unsigned_abs(), &mut number);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(self.fresh.as_c_str(), flags, Mode::RUSR | Mode::WUSR)?;
        for part in [b"{\"pid\":".as_slice(), pid, b",\"start\":", start, b",\"boot\":\"", &self.boot, b"\"}\n"] {
            files::write_all(&file, part)?;
        }
        rustix::fs::fsync(&file)?;
        rustix::fs::rename(self.fresh.as_c_str(), self.pidfile.as_c_str())
    }
}

/// Our own start time as the digits in `/proc/self/stat`.
fn own_start(buffer: &mut [u8]) -> Result<&[u8], Errno> {
    const STAT: &CStr = c"/proc/self/stat";
    let file = rustix::fs::open(STAT, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let length = rustix::io::read(&file, &mut *buffer)?;
    start_of(buffer.get(..length).unwrap_or_default()).ok_or(Errno::INVAL)
}

fn start_of(stat: &[u8]) -> Option<&[u8]> {
    let name_end = stat.iter().rposition(|b| *b == b')')?;
    // Behind the name and a space stands field 3; the start time is field 22.
    let start = stat.get(name_end + 2..)?.split(|b| *b == b' ').nth(19)?;
    (!start.is_empty() && start.iter().all(u8::is_ascii_digit)).then_some(start)
}

/// A number's decimal digits, without the standard library's formatting, which may allocate.
fn decimal(mut number: u32, buffer: &mut [u8; 10]) -> &[u8] {
    let mut from = buffer.len();
    for digit in buffer.iter_mut().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
        from -= 1;
        if number == 0 {
            break;
        }
    }
    buffer.get(from..).unwrap_or_default()
}

/// Lets nothing but standard input, output and error into the program, whatever is open in us.
fn close_on_exec() -> Result<(), Errno> {
    let from: libc::c_uint = 3;
    #[expect(unsafe_code, reason = "a system call on three numbers; no safe function makes it")]
    let done = unsafe { libc::syscall(libc::SYS_close_range, from, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done == 0 {
        return Ok(());
    }
    // A kernel before 5.11, or a filter that does not know the call: each one, up to the limit.
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current.unwrap_or(1 << 16).min(1 << 16);
    for fd in 3..i32::try_from(limit).unwrap_or(1 << 16) {
        #[expect(unsafe_code, reason = "sets a flag; on a number that is no descriptor it fails and changes nothing")]
        let _ = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_written_as_usual() {
        for number in [0, 7, 10, 4_194_304, u32::MAX] {
            assert_eq!(decimal(number, &mut [0; 10]), number.to_string().as_bytes());
        }
    }

    #[test]
    fn the_start_time_is_found_behind_any_name() {
        let stat = b"12 (a) R (b)) S 1 12 11 5 6 7 8 9 10 11 12 13 14 15 16 17 1 18 4711 20";
        assert_eq!(start_of(stat), Some(b"4711".as_slice()));
        assert_eq!(start_of(b"12 (a) S 1 2"), None);
        let own = own_start(&mut [0; 1_024]).unwrap().to_vec();
        assert_eq!(
            String::from_utf8(own).unwrap(),
            super::super::table::entry(std::process::id() as i32).unwrap().start.to_string()
        );
    }
}
