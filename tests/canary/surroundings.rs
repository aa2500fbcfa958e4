//! What can be seen of the processes while they run, and of the place where secrets may be.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use crate::Report;
use crate::encodings::Scanner;

/// Every regular file below a directory.
pub fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&path)),
            Ok(kind) if kind.is_file() => found.push(path),
            Ok(_) | Err(_) => {}
        }
    }
    found
}

/// The process that a pid file names.
pub fn pid(file: &Path) -> Option<u32> {
    let text = std::fs::read(file).ok()?;
    let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
    value["pid"].as_u64().and_then(|pid| u32::try_from(pid).ok())
}

/// Command line and environment of a process. `given` are the canaries that its caller put into its environment.
pub fn process(who: &str, pid: u32, scanner: &Scanner, given: &[usize], report: &Report) {
    // The pid file is there before `exec`: until then it is still a copy of its starter that can be seen.
    let words = format!("sandbox\0{who}");
    let is_itself = || {
        std::fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| String::from_utf8_lossy(&line).contains(&words))
    };
    if who != "recover" && !is_itself() {
        return;
    }
    for what in ["cmdline", "environ"] {
        let Ok(text) = std::fs::read(format!("/proc/{pid}/{what}")) else { continue };
        report.samples.fetch_add(1, Ordering::Relaxed);
        for (canary, encoding) in scanner.find(&text) {
            if what == "cmdline" || !given.contains(&canary) {
                report.problem(format!("{who}: its {what} holds canary {canary}, {encoding}"));
            }
        }
    }
}

/// The folder where secrets may be: in memory, ours alone, and so is every file in it.
pub fn keep(tmpfs: &Path, report: &Report) {
    let mode = |path: &Path| path.symlink_metadata().map(|meta| meta.permissions().mode() & 0o777);
    for file in files(tmpfs) {
        // It may be gone by now.
        let (Ok(own), Some(Ok(folder))) = (mode(&file), file.parent().map(mode)) else { continue };
        report.kept.fetch_add(1, Ordering::Relaxed);
        if own != 0o600 || folder != 0o700 {
            report.problem(format!("{}: mode {own:o} in a folder of mode {folder:o}", file.display()));
        }
    }
    let kind = rustix::fs::statfs(tmpfs).map(|stat| stat.f_type);
    if kind.is_ok_and(|kind| kind != 0x0102_1994) {
        report.problem(format!("{} is not on tmpfs", tmpfs.display()));
    }
}
