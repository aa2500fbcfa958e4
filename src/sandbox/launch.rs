//! Starting a process that outlives us, so that whoever looks for it finds it.
//!
//! The discipline, which whoever starts or stops the workload follows:
//! 1. Take `flock(LOCK_EX)` on `PIDFILE.lock`. Under it, a pid file that names a live process means: it runs already.
//! 2. Fork. The child makes a session of its own, writes the pid file (temporary file, then rename) and only then calls
//!    `exec`. It holds the inherited lock until `exec` closes it.
//! 3. Release the lock.
//!
//! If the starter is killed at any point, the lock stays held until the child has either written the pid file and become
//! the program, or is gone. So whoever has the lock sees every process that was started.
//!
//! A pid file is `{"pid":N,"start":TICKS,"boot":"UUID"}`: the start time of `/proc/PID/stat` and the boot id make it
//! name one process for ever, and not whichever has the number later.

use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Stdio};

use rustix::fs::{Mode, OFlags};

use crate::sandbox::process::{self, BOOT_ID, Stat};
use crate::sandbox::{error::Error, files};

/// Where the limit on descriptors is higher, those beyond are not looked for one by one.
const DESCRIPTORS_MAX: i32 = 1 << 16;

/// Starts `command`, detached, unless the process of the pid file lives. Gives its pid either way.
pub(crate) fn launch(command: &[String], pidfile: &Path, log: &Path) -> Result<i32, Error> {
    let failed = || Error::io(format!("start the process of {}", pidfile.display()));
    let lock = process::lock(pidfile).map_err(failed())?;
    if let Some(running) = process::find(pidfile).map_err(failed())? {
        return Ok(running.pid());
    }
    let Some((program, arguments)) = command.split_first() else {
        return Err(Error::Usage("the command is empty".to_owned()));
    };
    let output = files::appender(log).map_err(failed())?;
    let errors = output.try_clone().map_err(failed())?;
    let birth = Birth::prepare(pidfile).map_err(failed())?;
    let mut command = Command::new(program);
    command.args(arguments).env_clear().current_dir("/").stdin(Stdio::null()).stdout(output).stderr(errors);
    #[expect(
        unsafe_code,
        reason = "between fork and exec: Birth::enter only makes system calls, on memory made before"
    )]
    unsafe {
        command.pre_exec(move || birth.enter());
    }
    let spawned = command.spawn();
    let mut child = match spawned {
        Ok(child) => child,
        Err(error) => {
            // The child may have written the pid file and then failed to become the program.
            files::remove_if_there(pidfile).map_err(failed())?;
            return Err(failed()(error));
        }
    };
    drop(lock);
    let pid = i32::try_from(child.id()).unwrap_or(i32::MAX);
    // Reaped if it ends before us; if we end first, init does it.
    std::thread::spawn(move || child.wait());
    Ok(pid)
}

/// What the child needs between `fork` and `exec`, where nothing may be allocated.
struct Birth {
    pidfile: CString,
    tmp: CString,
    boot: String,
    /// No descriptor has this number or a higher one.
    descriptors: i32,
}

impl Birth {
    fn prepare(pidfile: &Path) -> io::Result<Self> {
        let path = pidfile.as_os_str().as_bytes();
        let mut tmp = path.to_vec();
        tmp.extend_from_slice(b".tmp");
        let boot = fs::read_to_string(BOOT_ID)?.trim().to_owned();
        let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptors = limit.and_then(|limit| i32::try_from(limit).ok()).unwrap_or(DESCRIPTORS_MAX);
        let descriptors = descriptors.min(DESCRIPTORS_MAX);
        Ok(Self { pidfile: CString::new(path)?, tmp: CString::new(tmp)?, boot, descriptors })
    }

    fn enter(&self) -> io::Result<()> {
        rustix::process::setsid()?;
        close_on_exec(self.descriptors);
        let pid = rustix::process::getpid().as_raw_nonzero();
        let mut buffer = [0; 1024];
        let start = own_stat(&mut buffer)?.start;
        let mut text = [0; 256];
        let mut rest = text.as_mut_slice();
        writeln!(rest, r#"{{"pid":{pid},"start":{start},"boot":"{}"}}"#, self.boot)?;
        let left = rest.len();
        let written = text.get(..text.len() - left).unwrap_or_default();
        self.write(written)
    }

    fn write(&self, text: &[u8]) -> io::Result<()> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = rustix::fs::open(self.tmp.as_c_str(), flags, Mode::RUSR | Mode::WUSR)?;
        if rustix::io::write(&file, text)? != text.len() {
            return Err(rustix::io::Errno::IO.into());
        }
        // Or a power cut leaves the name with nothing in it, and nobody can say whom it named.
        rustix::fs::fsync(&file)?;
        rustix::fs::rename(self.tmp.as_c_str(), self.pidfile.as_c_str())?;
        Ok(())
    }
}

fn own_stat(buffer: &mut [u8]) -> io::Result<Stat> {
    const STAT: &CStr = c"/proc/self/stat";
    let file = rustix::fs::open(STAT, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let len = rustix::io::read(&file, &mut *buffer)?;
    let bad: io::Error = rustix::io::Errno::INVAL.into();
    Stat::parse(buffer.get(..len).unwrap_or_default()).ok_or(bad)
}

/// Lets nothing but standard input, output and error into the program, whatever our own starter left open.
fn close_on_exec(limit: i32) {
    let from: libc::c_uint = 3;
    #[expect(unsafe_code, reason = "a system call on numbers; no library function of it is safe")]
    let done = unsafe { libc::syscall(libc::SYS_close_range, from, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    if done != 0 {
        // A kernel before 5.11, or a filter that does not know the call.
        close_each_on_exec(limit);
    }
}

fn close_each_on_exec(limit: i32) {
    for fd in 3..limit {
        #[expect(unsafe_code, reason = "sets a flag; on a number that is no descriptor it fails and changes nothing")]
        let _set = unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;

    use super::*;

    #[test]
    fn descriptors_are_kept_from_a_program_also_without_close_range() {
        let file = fs::File::open("/proc/self/stat").expect("opens");
        let copy = rustix::io::dup(&file).expect("is copied");
        let kept = |fd| rustix::io::fcntl_getfd(fd).expect("is open").contains(rustix::io::FdFlags::CLOEXEC);
        assert!(!kept(&copy), "a copy made so is inherited");
        close_each_on_exec(copy.as_raw_fd());
        assert!(!kept(&copy), "the limit itself is left out");
        close_each_on_exec(copy.as_raw_fd() + 1);
        assert!(kept(&copy));
    }
}
