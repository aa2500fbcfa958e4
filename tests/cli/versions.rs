//! A journal or a run of a later build: refused by name where it cannot be understood, read where it can, never changed.

use std::path::{Path, PathBuf};
use std::process::Output;

use recover_engine::{Entry, Header, Kind, Latch, RunId};
use recover_journal::{FileJournal, Host, Options, Reader};

use crate::frozen::files;
use crate::sandbox::Sandbox;
use crate::{assert_error, code, result, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

fn recovered() -> (Sandbox, String) {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let line = result(&sandbox.recover(GO));
    assert_eq!(line["verdict"], "recovered");
    let run = line["run"].as_str().unwrap().to_owned();
    (sandbox, run)
}

/// Writes another format's number into a header, and its checksum anew: CRC32C over the bytes around the checksum itself.
fn of_format(path: &Path, at: usize, len: usize, crc_at: usize, format: u16) {
    let mut bytes = std::fs::read(path).unwrap();
    let header = &mut bytes[at..at + len];
    header[8..10].copy_from_slice(&format.to_le_bytes());
    let crc = crc32c::crc32c_append(crc32c::crc32c(&header[..crc_at]), &header[crc_at + 4..]);
    header[crc_at..crc_at + 4].copy_from_slice(&crc.to_le_bytes());
    std::fs::write(path, bytes).unwrap();
}

fn first_segment(sandbox: &Sandbox) -> PathBuf {
    sandbox.state().join("log/00000001.seg")
}

/// The log alone: the lock holds the last owner's process id, and is no part of what was journaled.
fn log(sandbox: &Sandbox) -> impl PartialEq {
    files(&sandbox.state().join("log"))
}

fn each_is_refused(sandbox: &Sandbox, cases: &[&[&str]]) {
    let before = log(sandbox);
    for words in cases {
        let output = sandbox.recover(words);
        assert_error(&output, "RCV0019", 7);
        // It is whole, and a person who reads "damaged" would salvage it.
        let said = stderr(&output);
        assert!(said.contains("written by a later build") && !said.contains("damaged"), "{words:?}: {said}");
    }
    assert!(log(sandbox) == before, "nothing on the disk was changed");
}

#[test]
fn a_segment_of_a_later_format_is_refused_by_name() {
    let (sandbox, run) = recovered();
    of_format(&first_segment(&sandbox), 0, 128, 12, 2);
    let looks: &[&[&str]] = &[&["list"], &["status"], &["events"], &["show", &run], &["replay", &run]];
    each_is_refused(&sandbox, looks);
    each_is_refused(&sandbox, &[&["verify", "--all"], &["verify", &run], GO, &["resume", "--all"]]);
    // It is whole: sealing it as damage would block subjects for nothing.
    each_is_refused(&sandbox, &[&["journal", "salvage", "--reason", "x"]]);
    let verified = sandbox.recover(&["journal", "verify"]);
    assert_eq!(code(&verified), 7);
    assert!(String::from_utf8_lossy(&verified.stdout).contains("format 2 is not supported"));
}

#[test]
fn a_frame_of_a_later_format_is_refused_by_name() {
    let (sandbox, run) = recovered();
    let path = first_segment(&sandbox);
    let bytes = std::fs::read(&path).unwrap();
    let len = u32::from_le_bytes(bytes[128 + 12..128 + 16].try_into().unwrap()) as usize;
    of_format(&path, 128, len, 16, 2);
    each_is_refused(&sandbox, &[&["replay", &run], &["verify", &run], GO, &["journal", "salvage", "--reason", "x"]]);
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 7);
}

/// Appends a run like another one, of which nothing but the beginning is kept, of the scenario's next version.
fn begun_by_a_later_build(state: &Path, like: &str) -> RunId {
    let run = RunId::new(recover_engine::Millis(1_900_000_000_000), [7; 10]);
    let first = Reader::open(state).unwrap().run(like.parse().unwrap()).unwrap().remove(0).entry;
    let mut begun: serde_json::Value = serde_json::from_str(first.payload()).unwrap();
    begun["version"] = (begun["version"].as_u64().unwrap() + 1).into();
    begun["target"] = "edge-1".into();
    begun["subject"] = "http://192.0.2.1/edge-9".into();
    let parsed: recover_engine::Begun = serde_json::from_value(begun).unwrap();
    let parsed = recover_engine::Begun {
        digest: recover_engine::charter_digest(
            &parsed.scenario,
            parsed.version,
            parsed.graph.as_str(),
            parsed.guards.as_str(),
        ),
        ..parsed
    };
    let header = Header {
        run,
        seq: 1,
        kind: Kind::Begun,
        latch: Latch::Claim,
        key: recover_engine::Key::subject(&parsed.subject),
        ..*first.header()
    };
    let payload = recover_engine::Json::of(&parsed);
    let entry = Entry::encode(header, first.actor(), payload.as_str()).unwrap();
    let journal = FileJournal::open(state, &Host::read().unwrap(), Options::default()).unwrap();
    journal.append_blocking(vec![entry]).unwrap();
    run
}

#[test]
fn a_run_of_a_later_version_is_read_and_not_resumed() {
    let (sandbox, known) = recovered();
    let later = begun_by_a_later_build(&sandbox.state(), &known).to_string();
    let ok = |words: &[&str]| -> Output {
        let output = sandbox.recover(words);
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
        output
    };
    let before = log(&sandbox);
    assert_error(&sandbox.recover(&["resume", &later]), "RCV0019", 7);
    assert_error(&sandbox.recover(&["resume", "--all"]), "RCV0019", 7);
    assert!(log(&sandbox) == before, "nothing was journaled for it");

    let replayed = String::from_utf8(ok(&["replay", &later]).stdout).unwrap();
    assert!(replayed.contains("the run's own graph was followed"), "{replayed}");
    for words in [&["verify", &later][..], &["verify", "--all"], &["status", &later], &["show", &later], &["list"]] {
        ok(words);
    }
    // The others go on as ever: what is closed replays, what is lost is recovered.
    ok(&["replay", &known]);
    sandbox.lose(false);
    assert_eq!(result(&sandbox.recover(GO))["verdict"], "recovered");
    assert_eq!(sandbox.ledger()["pairs"], 1);
}
