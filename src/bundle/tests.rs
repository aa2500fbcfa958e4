//! A bundle is what was exported, or it is refused: whatever bit is changed.

use std::os::unix::fs::PermissionsExt as _;

use recover_engine::{Header, Key, Kind, Latch, Millis, Record};

use super::*;

/// A run of two records, which is all that a bundle needs to hold: begun, and cancelled by a person.
fn entries() -> Vec<Entry> {
    let scenario = &recover_scenarios::SCENARIOS[0];
    let run = RunId::new(Millis(1_000), [7; 10]);
    let charter = scenario.charter(|begun| recover_engine::Begun {
        target: "edge-1".into(),
        subject: "http://127.0.0.1:1/edge-1".into(),
        params: recover_engine::Json::of(&recover_scenarios::bootstrap_failure::Params::default()),
        ..begun
    });
    let first = Header {
        run,
        seq: 1,
        kind: Kind::Begun,
        latch: Latch::Claim,
        key: Key::subject("http://127.0.0.1:1/edge-1"),
        at: Millis(1_000),
        prev: Digest::ZERO,
    };
    let payload = Record::Begun(Box::new(charter.begun)).payload();
    vec![Entry::encode(first, "{}", payload.as_str()).unwrap()]
}

fn key(dir: &Path) -> SigningKey {
    SigningKey::of_state(dir).unwrap().0
}

fn bundle(key: &SigningKey) -> Vec<u8> {
    let entries = entries();
    let run = entries[0].header().run;
    Bundle::of(run, entries, Vec::new(), "2026-11-23T12:00:00Z".into()).unwrap().signed(key).unwrap()
}

#[test]
fn what_was_exported_is_read_back_with_the_key_that_signed_it() {
    let dir = tempfile::tempdir().unwrap();
    let key = key(dir.path());
    let (read, by) = Bundle::parse(&bundle(&key)).unwrap();
    assert_eq!((read.entries, by, read.closed), (entries(), key.public(), false));
}

#[test]
fn a_changed_bit_anywhere_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let whole = bundle(&key(dir.path()));
    let payload = whole.windows(11).position(|at| at == b"\"payload\":\"").unwrap();
    let end = payload + whole[payload..].windows(14).position(|at| at == b"\",\"signatures\":").unwrap_or(0);
    let mut flipped = 0;
    for at in 0..whole.len() {
        // Of what is long, every so many: `cargo xtask flip` is for the journal's own bytes, which these are.
        let inside = at > payload + 100 && at + 50 < end;
        if inside && at % 503 != 0 {
            continue;
        }
        for bit in (0..8).step_by(if at < end { 1 } else { 3 }) {
            let mut changed = whole.clone();
            changed[at] ^= 1 << bit;
            assert!(Bundle::parse(&changed).is_err(), "byte {at} bit {bit}");
            flipped += 1;
        }
    }
    assert!(flipped > 1_000, "{flipped}");
    for len in (0..whole.len() - 1).step_by(397) {
        assert!(Bundle::parse(&whole[..len]).is_err(), "{len} bytes");
    }
}

#[test]
fn what_was_changed_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let key = key(dir.path());
    let resigned = |change: &dyn Fn(&mut Statement)| {
        let envelope: Envelope = serde_json::from_slice(&bundle(&key)).unwrap();
        let mut statement: Statement = serde_json::from_slice(&envelope.payload().unwrap()).unwrap();
        change(&mut statement);
        let envelope = Envelope::signed(&serde_json::to_vec(&statement).unwrap(), &key);
        match Bundle::parse(&serde_json::to_vec(&envelope).unwrap()) {
            Ok(_) => panic!("it is believed"),
            Err(fault) => fault.message,
        }
    };
    let record = |change: fn(&mut Vec<u8>)| {
        resigned(&move |s| {
            let mut bytes = BASE64.decode(&s.predicate.records[0]).unwrap();
            change(&mut bytes);
            s.predicate.records[0] = BASE64.encode(bytes);
        })
    };
    assert!(record(|bytes| bytes.truncate(50)).contains("record 1"));
    assert!(record(|bytes| bytes[60] ^= 1).contains("record 1"), "its predecessor's hash");
    assert!(resigned(&|s| s.predicate.records.clear()).contains("no record"));
    assert!(resigned(&|s| s.predicate.closed = true).contains("had ended"));
    assert!(resigned(&|s| s.subject[0].name = "run_other".into()).contains("subject"));
    assert!(resigned(&|s| s.predicate.texts.push("x".into())).contains("no record names it"));
    assert!(resigned(&|s| s.predicate.public_key = BASE64.encode([1; 32])).contains("another key"));
    assert!(resigned(&|s| s.predicate_type = "urn:recover:run:v2".into()).contains("later version"));
}

#[test]
fn a_key_is_private_and_made_once() {
    let dir = tempfile::tempdir().unwrap();
    let (first, made) = SigningKey::of_state(dir.path()).unwrap();
    let (again, made_again) = SigningKey::of_state(dir.path()).unwrap();
    assert_eq!((first.public(), made, made_again), (again.public(), true, false));
    let path = dir.path().join("export-key.pem");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    let public = dir.path().join("public.pem");
    std::fs::write(&public, first.public().pem()).unwrap();
    assert_eq!(PublicKey::read(&public).unwrap(), first.public());

    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
    assert!(SigningKey::read(&path).is_err(), "others may read it");
    for text in ["", "garbage", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"] {
        let other = dir.path().join("other.pem");
        std::fs::write(&other, text).unwrap();
        std::fs::set_permissions(&other, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert!(SigningKey::read(&other).is_err() && PublicKey::read(&other).is_err(), "{text:?}");
    }
}
