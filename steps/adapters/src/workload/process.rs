//! A process on this host: whether it runs, ending it with everything it started, starting it once.

use std::fmt::Display;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::process::Child;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use recover_steps::Instance;
use recover_steps::examined::{Look, WorkloadSeen};
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;
use rustix::process::{Pid, PidfdFlags, Signal};

use super::launch::launch;
use super::lock::{Lock, make_folder};
use super::pidfile::{self, Life};
use super::{LOG_TAIL, table};
use crate::config::ProcessConfig;
use crate::facts::{Facts, digest_of, digest_of_words};
use crate::files;
use crate::trouble::{Trouble, code};

/// How long what is killed has to vanish.
const KILLED_WITHIN: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(20);

/// One workload that is a process.
#[derive(Debug)]
pub(crate) struct Process {
    config: ProcessConfig,
    lock: PathBuf,
    stop_within: Duration,
    /// What we started and may have to reap: a zombie of ours would keep its number.
    children: Mutex<Vec<Child>>,
}

impl Process {
    pub(crate) fn new(config: ProcessConfig, stop_within: Duration) -> Self {
        let mut lock = config.pidfile.clone().into_os_string();
        lock.push(".lock");
        Self { config, lock: lock.into(), stop_within, children: Mutex::new(Vec::new()) }
    }

    /// What it is, for a baseline. Its arguments may hold what is nobody's business, so they are told by a digest.
    pub(crate) fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        let program = self.config.command.first().map_or("", String::as_str);
        let digest = digest_of(Path::new(program)).map_err(|e| format!("{program}: {e}"))?;
        let mut note = |name: &str, value: String| facts.insert(format!("workload.{name}"), value);
        note("kind", "process".into());
        note("program", program.into());
        note("program.sha256", digest);
        note("command.sha256", digest_of_words(&self.config.command));
        Ok(())
    }

    /// The end of its log.
    pub(crate) fn log_tail(&self) -> io::Result<String> {
        files::tail(&self.config.log, LOG_TAIL)
    }

    pub(crate) fn token_file(&self) -> &Path {
        &self.config.token_file
    }

    /// Waits for the lock.
    pub(crate) async fn lock(&self) -> Result<Lock, Trouble> {
        Lock::take(&self.lock).await
    }

    /// The life that runs, if the pid file names one. Says nothing of processes that it does not name.
    pub(crate) fn running(&self) -> Result<Option<Instance>, Trouble> {
        Ok(self.recorded()?.filter(|(life, boot)| life.runs(boot)).map(|(life, _)| life.instance()))
    }

    /// What runs, by the pid file and by the process table.
    pub(crate) fn seen(&self) -> Look<WorkloadSeen> {
        let from = format!("{} and the process table", self.config.pidfile.display());
        let seen = self.running().and_then(|running| match running {
            Some(instance) => Ok(WorkloadSeen::Running { instance, restarts: None }),
            None if table::is_hidden() => Err(Trouble::retry("other users' processes are hidden; run as root")),
            // Somebody may have started it by hand.
            None => Ok(self.strangers()?.first().map_or(WorkloadSeen::Stopped, |pid| WorkloadSeen::Running {
                instance: Instance(format!("pid {pid}, which its pid file does not name")),
                restarts: None,
            })),
        });
        match seen {
            Ok(seen) => Look::seen(from, seen),
            Err(why) => Look::not_read(from, why.text()),
        }
    }

    pub(crate) fn log_place(&self) -> String {
        self.config.log.display().to_string()
    }

    /// What of the workload runs, in words; `None` if nothing does.
    pub(crate) fn traces(&self, _lock: &Lock) -> Result<Option<String>, Trouble> {
        if table::is_hidden() {
            return Err(Trouble::refused(
                code::WORKLOAD,
                "the process table hides other users' processes, so what runs cannot be told; run as root",
            ));
        }
        if let Some((life, boot)) = self.recorded()? {
            let left = members(&life, &boot)?;
            if let Some(first) = left.first() {
                let what = if life.runs(&boot) { "the workload" } else { "what the workload started" };
                return Ok(Some(format!("{what}: pid {}{}", first.pid, more(left.len()))));
            }
        }
        let strangers = self.strangers()?;
        Ok(strangers
            .first()
            .map(|pid| format!("the same command, started by somebody else: pid {pid}{}", more(strangers.len()))))
    }

    /// Ends the workload and everything in its session, and proves it.
    pub(crate) async fn stop(&self, lock: &Lock) -> Result<(), Trouble> {
        if let Some((life, boot)) = self.recorded()? {
            self.end(&life, &boot).await?;
            match std::fs::remove_file(&self.config.pidfile) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::NotFound => {}
                Err(e) => return Err(self.failed("the pid file cannot be removed", &e)),
            }
        }
        match self.traces(lock)? {
            None => Ok(()),
            Some(what) => Err(Trouble::refused(
                code::WORKLOAD,
                format!("still running after the stop: {what}; it is not ours to end, so end it by hand"),
            )),
        }
    }

    /// Starts the workload unless it runs. An error means that it was surely not started.
    pub(crate) fn start(&self, lock: &Lock) -> Result<Instance, Trouble> {
        self.start_as(lock, &self.config.command)
    }

    /// The same, as one that is told where its token is.
    pub(crate) fn start_with_token(&self, lock: &Lock) -> Result<Instance, Trouble> {
        self.start_as(lock, &self.told())
    }

    /// The command of a life that is told where its token is.
    fn told(&self) -> Vec<String> {
        self.config.command.iter().chain(&self.config.token_arguments).cloned().collect()
    }

    fn start_as(&self, lock: &Lock, command: &[String]) -> Result<Instance, Trouble> {
        if let Some(instance) = self.running()? {
            return Ok(instance);
        }
        if let Some(what) = self.traces(lock)? {
            return Err(Trouble::refused(code::WORKLOAD, format!("a second one will not be started beside {what}")));
        }
        let boot = table::boot_id().map_err(|e| self.failed("the boot id cannot be read", &e))?;
        let log = self.open_log().map_err(|e| self.failed("its log cannot be opened", &e))?;
        let cwd = self.config.cwd.as_deref().unwrap_or(Path::new("/"));
        let child = match launch(command, cwd, &self.config.pidfile, log, &boot) {
            Ok(child) => child,
            Err(e) => {
                // The child may have written the pid file and then failed to become the program. It names a dead process.
                let _ = std::fs::remove_file(&self.config.pidfile);
                return Err(self.failed("it cannot be started", &e));
            }
        };
        let pid = i32::try_from(child.id()).unwrap_or_default();
        self.children.lock().unwrap_or_else(PoisonError::into_inner).push(child);
        match pidfile::read(&self.config.pidfile) {
            Ok(Some(life)) if life.pid == pid => Ok(life.instance()),
            _ => Err(Trouble::Unknown(format!("started as pid {pid}, and the pid file does not say so"))),
        }
    }

    /// Ends that life, if it is the one that runs, and begins the next, unless another one has begun.
    pub(crate) async fn restart(&self, lock: &Lock, from: &Instance) -> Result<Instance, Trouble> {
        if self.running()?.as_ref() == Some(from) {
            self.stop(lock).await?;
        }
        self.start(lock)
    }

    fn failed(&self, what: &str, why: &dyn Display) -> Trouble {
        let program = self.config.command.first().map_or("", String::as_str);
        Trouble::refused(code::WORKLOAD, format!("{program}: {what}: {why}"))
    }

    /// What the pid file says, and the id of this boot.
    fn recorded(&self) -> Result<Option<(Life, String)>, Trouble> {
        // Whatever of ours has ended is reaped here, so that its number is free and no zombie is taken for it.
        self.children
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .retain_mut(|child| matches!(child.try_wait(), Ok(None)));
        let path = self.config.pidfile.display();
        let life = pidfile::read(&self.config.pidfile)
            .map_err(|e| self.failed(&format!("its pid file {path} cannot be used"), &e))?;
        let boot = table::boot_id().map_err(|e| self.failed("the boot id cannot be read", &e))?;
        Ok(life.map(|life| (life, boot)))
    }

    fn open_log(&self) -> io::Result<OwnedFd> {
        let (folder, name) = files::split(&self.config.log)?;
        make_folder(folder)?;
        let folder = files::open_dir(folder)?;
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE;
        let file = files::open_in(&folder, name, flags, Mode::RUSR | Mode::WUSR | Mode::RGRP)?;
        // Opened without waiting, in case it is a pipe; the program is to write as usual.
        rustix::fs::fcntl_setfl(&file, OFlags::APPEND)?;
        Ok(file)
    }

    /// Processes that run the same command and that the pid file does not name.
    fn strangers(&self) -> Result<Vec<i32>, Trouble> {
        let own = i32::try_from(std::process::id()).unwrap_or_default();
        let all = table::entries().map_err(|e| self.failed("the process table cannot be read", &e))?;
        let told = self.told();
        let is_it = |pid| [&self.config.command, &told].into_iter().any(|command| table::runs_command(pid, command));
        let runs = |e: &&table::Entry| e.runs && e.pid != own && is_it(e.pid);
        Ok(all.iter().filter(runs).map(|e| e.pid).collect())
    }

    async fn end(&self, life: &Life, boot: &str) -> Result<(), Trouble> {
        let Some(leader) = self.hold(life, boot)? else { return self.kill(life, boot).await };
        signal(&leader, Signal::TERM).map_err(|e| self.failed("it cannot be signalled", &e))?;
        let until = Instant::now() + self.stop_within;
        let mut told = false;
        while Instant::now() < until && !members(life, boot)?.is_empty() {
            if !told && !life.runs(boot) {
                // What it left behind may end in order too.
                told = true;
                for left in members(life, boot)? {
                    signal_entry(left, Signal::TERM);
                }
            }
            tokio::time::sleep(PAUSE).await;
            self.recorded()?;
        }
        self.kill(life, boot).await
    }

    /// The leader, held by a descriptor that can never come to mean another process; `None` if it has ended.
    fn hold(&self, life: &Life, boot: &str) -> Result<Option<OwnedFd>, Trouble> {
        if !life.runs(boot) {
            return Ok(None);
        }
        let fd = match open(life.pid) {
            Ok(Some(fd)) => fd,
            Ok(None) => return Ok(None),
            Err(e) => return Err(self.failed("it cannot be held", &e)),
        };
        // Looked at again now that the descriptor is open: if the number changed hands before, it shows.
        match table::entry(life.pid) {
            Some(entry) if entry.start == life.start && entry.session != life.pid => Err(self.failed(
                "it does not lead a session of its own, so it was not started by this discipline",
                &format!("pid {}", life.pid),
            )),
            Some(entry) if entry.start == life.start && entry.runs => Ok(Some(fd)),
            _ => Ok(None),
        }
    }

    /// Kills what is left of the session until two looks in a row find nothing.
    async fn kill(&self, life: &Life, boot: &str) -> Result<(), Trouble> {
        let until = Instant::now() + KILLED_WITHIN;
        let mut empty = 0;
        loop {
            self.recorded()?;
            let left = members(life, boot)?;
            empty = if left.is_empty() { empty + 1 } else { 0 };
            if empty == 2 {
                return Ok(());
            }
            if Instant::now() > until {
                return Err(Trouble::retry(format!("{} processes of the workload survive SIGKILL", left.len())));
            }
            for entry in left {
                signal_entry(entry, Signal::KILL);
            }
            if empty == 0 {
                tokio::time::sleep(PAUSE).await;
            }
        }
    }
}

fn more(count: usize) -> String {
    if count > 1 { format!(" and {} more", count - 1) } else { String::new() }
}

/// What runs in the session or the group that this life leads or led.
///
/// The kernel gives a number to no new process while a session or a group is called by it. So if the number now belongs to
/// a process that started at another time, everything of this life is gone.
fn members(life: &Life, boot: &str) -> Result<Vec<table::Entry>, Trouble> {
    if life.boot != boot {
        return Ok(Vec::new());
    }
    let all = table::entries().map_err(|e| Trouble::retry(format!("the process table cannot be read: {e}")))?;
    if all.iter().any(|e| e.pid == life.pid && e.start != life.start) {
        return Ok(Vec::new());
    }
    let ours = |e: &table::Entry| {
        e.runs && e.start >= life.start && (e.session == life.pid || e.group == life.pid || e.pid == life.pid)
    };
    Ok(all.into_iter().filter(ours).collect())
}

fn open(pid: i32) -> Result<Option<OwnedFd>, Errno> {
    let Some(pid) = Pid::from_raw(pid) else { return Ok(None) };
    match rustix::process::pidfd_open(pid, PidfdFlags::empty()) {
        Ok(fd) => Ok(Some(fd)),
        Err(Errno::SRCH) => Ok(None),
        Err(e) => Err(e),
    }
}

fn signal(process: &OwnedFd, signal: Signal) -> Result<(), Errno> {
    match rustix::process::pidfd_send_signal(process, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(e) => Err(e),
    }
}

/// Signals the process of this entry and no other that has its number since. Whether it worked shows in the next look.
fn signal_entry(entry: table::Entry, what: Signal) {
    if let Ok(Some(fd)) = open(entry.pid)
        && table::entry(entry.pid).is_some_and(|now| now.start == entry.start && now.session == entry.session)
    {
        let _ = signal(&fd, what);
    }
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
