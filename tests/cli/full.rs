//! A state directory on a disk that is full or read-only: nothing is done that is not journaled, everything can be read,
//! and once there is room the work is finished.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Output;

use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, mount_remount, unmount};

use crate::sandbox::Sandbox;
use crate::{assert_error, code, lines, result, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

/// A small disk of its own.
struct Disk {
    at: tempfile::TempDir,
}

impl Disk {
    #[expect(clippy::explicit_write, reason = "past the test harness, which keeps what a test that passes prints")]
    /// `None`, and said aloud, where this process may not mount.
    fn mount(options: &str) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(options).unwrap();
        if let Err(e) = mount("tmpfs", at.path(), "tmpfs", MountFlags::empty(), Some(options.as_c_str())) {
            writeln!(std::io::stderr(), "skipped: a full disk needs a tmpfs, which cannot be mounted here: {e}")
                .unwrap();
            return None;
        }
        let _ = mount_change(at.path(), MountPropagationFlags::PRIVATE);
        Some(Self { at })
    }

    fn state(&self) -> PathBuf {
        self.at.path().join("state")
    }

    fn filler(&self) -> PathBuf {
        self.at.path().join("filler")
    }

    /// Not a byte is free.
    fn fill(&self) {
        let mut file = std::fs::File::create(self.filler()).unwrap();
        for size in [1 << 20, 4096, 1] {
            let block = vec![0x55; size];
            while file.write_all(&block).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.filler()).unwrap();
    }

    fn remount(&self, flags: MountFlags) {
        mount_remount(self.at.path(), flags, "").unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if let Err(e) = unmount(self.at.path(), UnmountFlags::DETACH) {
            eprintln!("{} was not unmounted: {e}", self.at.path().display());
        }
    }
}

/// The sandbox with its journal on that disk, and with this policy.
fn on(sandbox: &Sandbox, state: &Path, policy: &str) {
    let text = std::fs::read_to_string(sandbox.config()).unwrap().replace("\"allow\"", policy);
    let moved = text.lines().map(|line| match line.starts_with("state_dir") {
        true => format!("state_dir = {:?}\n", state.to_str().unwrap()),
        false => format!("{line}\n"),
    });
    std::fs::write(sandbox.config(), moved.collect::<String>()).unwrap();
}

fn everything_can_be_read(sandbox: &Sandbox, run: &str) {
    let verbs: &[&[&str]] = &[
        &["status"],
        &["status", run],
        &["list"],
        &["events"],
        &["events", run],
        &["show", run],
        &["replay", run],
        &["verify", run],
        &["verify", "--all"],
        &["journal", "verify"],
        &["journal", "stats"],
    ];
    for words in verbs {
        let output = sandbox.recover(words);
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
        // Without a run it shows what is open, which may be nothing.
        assert!(*words == ["status"] || !output.stdout.is_empty(), "{words:?} says nothing");
    }
}

/// What happened at the other side had an intent that was acknowledged before, which the log still has.
fn nothing_without_its_intent(sandbox: &Sandbox, run: &str, said: &Output) {
    assert!(!stderr(said).contains("panicked"), "{}", stderr(said));
    let events = lines(&sandbox.recover(&["events", run, "--output", "json"]));
    let ledger = sandbox.ledger();
    for (effect, step) in [("mints", "mint"), ("pairs", "pair")] {
        let intended = events.iter().filter(|line| line["kind"] == "intent" && line["step"] == step).count() as u64;
        assert!(ledger[effect].as_u64().unwrap() <= intended, "{effect}: {ledger}, {intended} intended");
    }
}

#[test]
fn where_there_was_never_room_nothing_is_begun() {
    let Some(disk) = Disk::mount("size=1m,mode=0700") else { return };
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    on(&sandbox, &disk.state(), "\"allow\"");
    let before = sandbox.ledger();
    let output = sandbox.recover(GO);
    assert_error(&output, "RCV0020", 74);
    assert!(stderr(&output).contains("No space left"), "{}", stderr(&output));
    assert_eq!(sandbox.ledger(), before, "nothing was asked, let alone done");
    disk.remount_size();
    assert_eq!(result(&sandbox.recover(GO))["verdict"], "recovered");
    assert_eq!(sandbox.ledger()["pairs"], 1);
}

impl Disk {
    fn remount_size(&self) {
        mount_remount(self.at.path(), MountFlags::empty(), "size=64m").unwrap();
    }
}

#[test]
fn a_disk_that_fills_up_is_read_and_what_was_begun_is_finished_once() {
    let Some(disk) = Disk::mount("size=40m,mode=0700") else { return };
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    on(&sandbox, &disk.state(), "\"ask\"");
    let asked = result(&sandbox.recover(GO));
    assert_eq!(asked["verdict"], "operator-needed");
    let run = asked["run"].as_str().unwrap();
    disk.fill();
    everything_can_be_read(&sandbox, run);

    // The log has its room beforehand, so either the run is finished on it, or it stops before what it cannot write down.
    let approved = sandbox.recover(&["approve", run, "--reason", "full", "--output", "json"]);
    nothing_without_its_intent(&sandbox, run, &approved);
    if code(&approved) != 0 {
        assert_error(&approved, "RCV0020", 74);
    }
    everything_can_be_read(&sandbox, run);
    disk.free();
    if code(&approved) != 0 {
        let finished = sandbox.recover(&["resume", run, "--yes", "--output", "json"]);
        assert_eq!(result(&finished)["verdict"], "recovered", "{}", stderr(&finished));
    }
    assert_eq!(sandbox.ledger()["pairs"], 1);
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
}

#[test]
fn a_log_without_room_for_another_record_stops_the_run_before_its_next_effect() {
    let Some(disk) = Disk::mount("size=40m,mode=0700") else { return };
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    on(&sandbox, &disk.state(), "\"ask\"");
    let asked = result(&sandbox.recover(GO));
    let run = asked["run"].as_str().unwrap();
    let before = sandbox.ledger();
    // The log's blocks are given back, as a sparse copy or a snapshot gives them: writing needs room that is not there.
    for entry in std::fs::read_dir(disk.state().join("log")).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ext| ext == "seg") {
            let file = std::fs::OpenOptions::new().write(true).open(&path).unwrap();
            let written = std::fs::read(&path).unwrap().iter().rposition(|byte| *byte != 0).map_or(0, |at| at + 1);
            let (from, len) = (written.next_multiple_of(4096) as u64, file.metadata().unwrap().len());
            rustix::fs::fallocate(
                &file,
                rustix::fs::FallocateFlags::PUNCH_HOLE | rustix::fs::FallocateFlags::KEEP_SIZE,
                from,
                len - from,
            )
            .unwrap();
        }
    }
    disk.fill();
    let approved = sandbox.recover(&["approve", run, "--reason", "full", "--output", "json"]);
    assert_error(&approved, "RCV0020", 74);
    nothing_without_its_intent(&sandbox, run, &approved);
    assert_eq!(sandbox.ledger()["mints"], before["mints"]);
    everything_can_be_read(&sandbox, run);
    disk.free();
    let finished = sandbox.recover(&["resume", run, "--yes", "--output", "json"]);
    assert_eq!(result(&finished)["verdict"], "recovered", "{}", stderr(&finished));
    assert_eq!(sandbox.ledger()["pairs"], 1);
}

#[test]
fn a_read_only_disk_is_read_and_not_acted_on() {
    let Some(disk) = Disk::mount("size=40m,mode=0700") else { return };
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    on(&sandbox, &disk.state(), "\"ask\"");
    let asked = result(&sandbox.recover(GO));
    let run = asked["run"].as_str().unwrap();
    let before = sandbox.ledger();
    disk.remount(MountFlags::RDONLY);
    everything_can_be_read(&sandbox, run);
    for words in [&["approve", run, "--reason", "x"][..], &["resume", run], &["cancel", run, "--reason", "x"], GO] {
        let output = sandbox.recover(words);
        assert_error(&output, "RCV0020", 74);
        assert!(stderr(&output).contains("Read-only file system"), "{words:?}: {}", stderr(&output));
    }
    assert_eq!(sandbox.ledger(), before, "nothing happened");
    disk.remount(MountFlags::empty());
    let finished = sandbox.recover(&["approve", run, "--reason", "writable again", "--output", "json"]);
    assert_eq!(result(&finished)["verdict"], "recovered", "{}", stderr(&finished));
    assert_eq!(sandbox.ledger()["pairs"], 1);
}
