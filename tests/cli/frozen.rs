//! The journal of a released format, read by this build as it was read then: word for word, and nothing written.
//!
//! `examples/freeze.rs` made it from two real runs on one sandbox, one denied and one recovered. `GOLDEN=write` renews the
//! texts, never the journal.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use crate::{code, recover, stderr};

const DENIED: &str = "run_01m828bj311extxmnp02cs0kwr";
const RECOVERED: &str = "run_01m828bkm635k1vf6rrfacssk4";
/// Printed when the runs were made; whoever wrote it down can still ask for it.
const HEADS: &[&str] = &[
    "5:89055501e1821bae665813fb10559d76c7c0c1d0db4fd20d234a9e4a316b3988",
    "24:b28d9bd467cc8eeb9872f4e44553763dce067e537453f79ea0edef21fde14d00",
];

fn frozen() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/frozen/v1")
}

/// Every file below, with its bytes.
pub fn files(dir: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        match path.symlink_metadata().unwrap().file_type() {
            kind if kind.is_dir() => found.extend(files(&path)),
            kind if kind.is_file() => _ = found.insert(path.clone(), std::fs::read(&path).unwrap()),
            _ => _ = found.insert(path, Vec::new()),
        }
    }
    found
}

/// A copy of the frozen state directory that can only be read.
fn copy(to: &Path) -> PathBuf {
    let state = to.join("state");
    std::fs::create_dir_all(state.join("log")).unwrap();
    for (path, bytes) in files(&frozen().join("state")) {
        let to = state.join("log").join(path.file_name().unwrap());
        std::fs::write(&to, bytes).unwrap();
        std::fs::set_permissions(&to, std::fs::Permissions::from_mode(0o400)).unwrap();
    }
    for dir in [state.join("log"), state.clone()] {
        std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o500)).unwrap();
    }
    state
}

/// Whether this build's machine knows the scenario's version may change; that the run holds may not.
fn without_machine(text: &str) -> String {
    const SAID: [&str; 2] = [
        "this build's machine comes to the same states",
        "this build does not know the scenario's version; the run's own graph was followed",
    ];
    SAID.iter().fold(text.to_owned(), |text, said| text.replace(said, "MACHINE"))
}

#[test]
fn a_frozen_journal_reads_word_for_word_for_ever() {
    let home = tempfile::tempdir().unwrap();
    let state = copy(home.path());
    let before = files(&state);
    let cases: &[(&str, &[&str])] = &[
        ("list", &["list"]),
        ("status-denied", &["status", DENIED]),
        ("status-recovered", &["status", RECOVERED]),
        ("show-denied", &["show", DENIED]),
        ("show-recovered", &["show", RECOVERED]),
        ("events-json", &["events", "--output", "json"]),
        ("replay-denied", &["replay", DENIED]),
        ("replay-recovered", &["replay", RECOVERED]),
        ("verify-all", &["verify", "--all"]),
        ("journal-verify-json", &["journal", "verify", "--output", "json"]),
        ("graph", &["graph", "identity-loss"]),
        ("report-markdown", &["report", RECOVERED, "--markdown"]),
        ("report-denied", &["report", DENIED, "--markdown"]),
        ("report-html", &["report", RECOVERED, "--html"]),
    ];
    let write = std::env::var_os("GOLDEN").is_some_and(|v| v == "write");
    for (name, words) in cases {
        let output = recover(home.path()).arg("--state-dir").arg(&state).args(*words).output().unwrap();
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
        let printed = without_machine(&String::from_utf8(output.stdout).unwrap());
        assert!(!printed.is_empty(), "{words:?} says something");
        let path = frozen().join(format!("{name}.txt"));
        if write {
            std::fs::write(&path, &printed).unwrap();
        }
        let golden = std::fs::read_to_string(&path).unwrap_or_default();
        let differs = printed.lines().zip(golden.lines()).find(|(printed, golden)| printed != golden);
        assert!(printed == golden, "{words:?} does not print {}; first difference: {differs:#?}", path.display());
    }
    for head in HEADS {
        let expected =
            recover(home.path()).arg("--state-dir").arg(&state).args(["verify", "--expect", head]).output().unwrap();
        assert_eq!(code(&expected), 0, "{head}: {}", stderr(&expected));
    }
    assert!(files(&state) == before, "reading wrote");
}

#[test]
fn one_flipped_bit_of_a_frozen_journal_is_noticed() {
    let home = tempfile::tempdir().unwrap();
    let state = copy(home.path());
    let segment = state.join("log/00000002.seg");
    std::fs::set_permissions(&segment, std::fs::Permissions::from_mode(0o600)).unwrap();
    let mut bytes = std::fs::read(&segment).unwrap();
    bytes[1_000] ^= 1;
    std::fs::write(&segment, bytes).unwrap();
    let output = recover(home.path()).arg("--state-dir").arg(&state).args(["verify", "--all"]).output().unwrap();
    assert_eq!(code(&output), 7, "{}", stderr(&output));
}
