//! Captured texts too long for a record: files that `show` names and `verify` checks, and that a kill leaves no litter of.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sandbox::{RECOVER, Sandbox};
use crate::{assert_error, code, lines, result, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];
/// Longer than what a record carries.
const LONG: usize = 16 * 1024;

/// Lines that the capture takes, together longer than a record's text may be.
fn chatter(sandbox: &Sandbox, word: &str) {
    let mut log = std::fs::OpenOptions::new().append(true).open(sandbox.dir().join("connector.log")).unwrap();
    for n in 0..20 {
        writeln!(log, "pairing {word} {n}: {}", "noise ".repeat(250)).unwrap();
    }
}

/// The long texts that a run's records name: digest and length.
fn named(sandbox: &Sandbox, run: &str) -> Vec<(String, u64)> {
    let Ok(log) = recover_journal::Reader::open(&sandbox.state()) else { return Vec::new() };
    let records = log.run(run.parse().unwrap()).unwrap();
    let payloads = records.iter().map(|stored| serde_json::from_str::<Value>(stored.entry.payload()).unwrap());
    let all = payloads.flat_map(|payload| payload["evidence"].as_array().cloned().unwrap_or_default());
    all.filter_map(|one| Some((one["sha256"].as_str()?.to_owned(), one["file"].as_u64()?))).collect()
}

fn files(sandbox: &Sandbox) -> Vec<String> {
    let entries = std::fs::read_dir(sandbox.state().join("evidence")).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A recovery whose capture is long; the run, and the file that it named.
fn recovered(sandbox: &Sandbox, word: &str) -> (String, PathBuf) {
    sandbox.lose(false);
    chatter(sandbox, word);
    let line = result(&sandbox.recover(GO));
    assert_eq!(line["verdict"], "recovered", "{line}");
    let run = line["run"].as_str().unwrap().to_owned();
    let long = named(sandbox, &run);
    let [(digest, length)] = long.as_slice() else { panic!("{long:?}") };
    let path = sandbox.state().join("evidence").join(digest);
    let text = std::fs::read_to_string(&path).unwrap();
    assert!(text.len() > LONG && text.contains(word), "{} bytes", text.len());
    assert_eq!(text.len() as u64, *length);
    (run, path)
}

fn flip(path: &Path) {
    let mut bytes = std::fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    std::fs::write(path, bytes).unwrap();
}

#[test]
fn a_long_text_is_shown_by_its_file_and_checked_by_verify() {
    let sandbox = Sandbox::up();
    let (run, path) = recovered(&sandbox, "first");
    let digest = path.file_name().unwrap().to_str().unwrap();
    let length = path.metadata().unwrap().len();

    let shown = String::from_utf8(sandbox.recover(&["show", &run]).stdout).unwrap();
    assert!(shown.contains(&format!("evidence log lines ({digest}, {length} bytes in evidence/)")), "{shown}");
    // Its beginning and its end are in the record, and not its middle.
    assert!(shown.contains("bytes …)") && (shown.len() as u64) < length, "{} bytes", shown.len());
    let replay = || sandbox.recover(&["replay", &run]);
    assert_eq!((code(&replay()), stderr(&replay()).as_str()), (0, ""));
    for words in [&["verify", &run][..], &["verify", "--all"]] {
        assert_eq!(code(&sandbox.recover(words)), 0, "{words:?}");
    }

    let whole = std::fs::read(&path).unwrap();
    let wrongs: [(&str, &dyn Fn()); 3] = [
        ("was altered", &|| flip(&path)),
        ("was altered", &|| std::fs::write(&path, &whole[..LONG]).unwrap()),
        ("is missing", &|| std::fs::remove_file(&path).unwrap()),
    ];
    for (said, wrong) in wrongs {
        wrong();
        for words in [&["verify", &run][..], &["verify", "--all"], &["verify", &run, "--output", "json"]] {
            let verified = sandbox.recover(words);
            assert_error(&verified, "RCV0018", 7);
            assert!(stderr(&verified).contains(&format!("evidence log lines ({digest}) {said}")), "{words:?}");
        }
        // The history is whole: what it did can still be told.
        assert_eq!(code(&replay()), 0);
        assert!(stderr(&replay()).contains(said), "{}", stderr(&replay()));
        std::fs::write(&path, &whole).unwrap();
        assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0, "put back");
    }
}

/// The recovery, killed at a call that it makes on the evidence's folder.
fn killed_at(sandbox: &Sandbox, call: &str) -> Option<std::process::Output> {
    let folder = sandbox.state().join("evidence");
    let inject = format!("inject={call}:signal=SIGKILL:when=1");
    let mut strace = Command::new("timeout");
    strace.args(["--signal=KILL", "60", "strace", "-f", "-qq", "-b", "execve", "-o", "/dev/null"]);
    strace.arg("-P").arg(&folder).args(["-e", &inject, RECOVER, "--config"]).arg(sandbox.config()).args(GO);
    let there = Command::new("strace").arg("-V").stdout(Stdio::null()).stderr(Stdio::null()).status().is_ok();
    there.then(|| strace.output().unwrap())
}

#[test]
fn a_text_whose_record_was_not_committed_is_swept_and_one_that_a_record_names_is_not() {
    let sandbox = Sandbox::up();
    let (first, kept) = recovered(&sandbox, "first");
    let kept = kept.file_name().unwrap().to_str().unwrap().to_owned();
    // Before the file has its name, and before the record that names it is written.
    for (call, unfinished) in [("renameat", true), ("fsync", false)] {
        sandbox.lose(false);
        chatter(&sandbox, call);
        let Some(killed) = killed_at(&sandbox, call) else {
            eprintln!("skipped: strace is not on PATH");
            return;
        };
        assert!(!killed.status.success(), "{call}: it was killed: {}", stderr(&killed));
        let before = files(&sandbox);
        let litter: Vec<&String> = before.iter().filter(|name| **name != kept && !is_named(&sandbox, name)).collect();
        let [litter] = litter.as_slice() else { panic!("{call}: {before:?}") };
        assert_eq!(litter.ends_with(".new"), unfinished, "{call}: {before:?}");
        let open = lines(&sandbox.recover(&["status", "--output", "json"]));
        assert_eq!(open.len(), 1, "{call}: the run is open: {open:?}");

        // Whoever goes on captures another text.
        chatter(&sandbox, "later");
        let resumed = sandbox.recover(&["resume", "--all"]);
        assert_eq!(code(&resumed), 0, "{call}: {}", stderr(&resumed));
        let after = files(&sandbox);
        assert!(!after.contains(litter), "{call}: {after:?}");
        assert!(after.iter().all(|name| is_named(&sandbox, name)), "{call}: {after:?}");
        assert!(after.contains(&kept), "{call}: {after:?}");
        assert_eq!(sandbox.ledger()["pairs"], 1, "{call}");
    }
    assert_eq!(code(&sandbox.recover(&["verify", &first])), 0);
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
}

fn is_named(sandbox: &Sandbox, name: &str) -> bool {
    let runs = lines(&sandbox.recover(&["list", "--output", "json"]));
    runs.iter().any(|line| named(sandbox, line["run"].as_str().unwrap()).iter().any(|(digest, _)| digest == name))
}
