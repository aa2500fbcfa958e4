//! Real power cuts of a real kernel: the real binary in a guest of user-mode Linux, its state on ext4, the guest killed. After
//! the next boot ext4 replays its own journal, the run is resumed, and the control plane's ledger is asked.
//!
//! What is lost is what the guest had in memory and had not written to its disk. What is outside, and survives: the files of
//! the control plane, which stand on the host and are written through. The connector's data and our state are on the guest's
//! ext4. `RECOVER_LANE=full` makes 50 cuts, any other form 10; `RECOVER_CUTS=n` says how many. Only in the night lane: it needs
//! root and the programs linux.uml, busybox and mkfs.ext4 (Debian: user-mode-linux, busybox-static, e2fsprogs).
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    unreachable_pub,
    missing_docs,
    reason = "a program for developers: what does not hold ends it, and nobody links against it"
)]

mod cycles;
mod guest;
#[path = "../lossy/random.rs"]
mod random;

use std::path::PathBuf;
use std::process::ExitCode;

/// What is needed of the system.
pub struct Programs {
    pub kernel: PathBuf,
    pub busybox: PathBuf,
    pub mkfs: PathBuf,
}

impl Programs {
    fn found() -> Result<Self, String> {
        let path = std::env::var_os("PATH").unwrap_or_default();
        let dirs: Vec<PathBuf> = std::env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).collect();
        let find = |name: &str| {
            let found = dirs.iter().map(|dir| dir.join(name)).find(|path| path.is_file());
            found.ok_or_else(|| format!("there is no {name} here"))
        };
        if !rustix::process::geteuid().is_root() {
            return Err("the guest needs the host's files as root".to_owned());
        }
        Ok(Self { kernel: find("linux.uml")?, busybox: find("busybox")?, mkfs: find("mkfs.ext4")? })
    }
}

fn main() -> ExitCode {
    if std::env::args().nth(1).as_deref() == Some("--list") {
        println!("uml: test");
        return ExitCode::SUCCESS;
    }
    let home = tempfile::tempdir().unwrap();
    let ready = Programs::found().and_then(|programs| guest::works(&programs, home.path()).map(|()| programs));
    let programs = match ready {
        Ok(programs) => programs,
        Err(why) => {
            println!("uml: NOT RUN: {why}");
            println!("test result: ok. 0 passed; 0 failed; 1 ignored");
            return ExitCode::SUCCESS;
        }
    };
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let full = std::env::var("RECOVER_LANE").is_ok_and(|lane| lane == "full");
    let cuts = number("RECOVER_CUTS").unwrap_or(if full { 50 } else { 10 });
    let seed = number("RECOVER_SEED").unwrap_or(1);
    let count = cycles::run(&programs, home.path(), cuts, seed);
    count.problems.iter().for_each(|problem| println!("uml: PROBLEM {problem}"));
    println!(
        "uml: {} cuts, {} acknowledged lost, {} duplicate effects; {} recoveries, {} boots, after {} of the cuts ext4 replayed its journal, {} \
         acknowledged records looked for; {} cuts over a disk with O_SYNC; seed {seed}",
        count.cuts,
        count.lost,
        count.duplicates,
        count.recoveries,
        count.boots,
        count.replayed,
        count.looked_for,
        count.synchronous,
    );
    let failed = u32::from(!count.problems.is_empty() || count.lost + count.duplicates > 0);
    let word = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {word}. {} passed; {failed} failed; 0 ignored", 1 - failed);
    ExitCode::from(u8::from(failed > 0))
}
