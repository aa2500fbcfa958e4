//! A history is believed as it was written and in no other way.

use proptest::prelude::*;
use recover_engine::{Digest, Entry, Header, Json, Key, Kind, Latch, Millis, Run, RunError, RunId};

use crate::scenario::{entry, the_charter};
use crate::sequences::{chances, history};

fn read(entries: &[Entry]) -> Result<Run, RunError> {
    Run::resume(entries, the_charter(), entry().begin(&Json::null()).unwrap(), "{}".into())
}

fn again(of: &Entry, change: impl FnOnce(&mut Header)) -> Entry {
    let mut header = *of.header();
    change(&mut header);
    Entry::encode(header, of.actor(), of.payload()).unwrap()
}

fn with_payload(of: &Entry, payload: &str) -> Entry {
    Entry::encode(*of.header(), of.actor(), payload).unwrap()
}

/// One record changed in one part of its header.
fn altered(of: &Entry) -> Vec<(&'static str, Entry)> {
    let latch = if of.header().latch == Latch::None { Latch::Consume } else { Latch::None };
    let kind = Kind::ALL[(of.header().kind as usize) % Kind::ALL.len()];
    vec![
        ("seq up", again(of, |h| h.seq += 1)),
        ("seq down", again(of, |h| h.seq -= 1)),
        ("prev", again(of, |h| h.prev = Digest::of(b"something else"))),
        ("latch", again(of, |h| h.latch = latch)),
        ("key", again(of, |h| h.key = Key([0xaa; 16]))),
        ("run", again(of, |h| h.run = RunId::new(Millis(2), [6; 10]))),
        ("kind", again(of, |h| h.kind = kind)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_prefix_is_believed_and_nothing_dropped_doubled_or_exchanged_is(chances in chances()) {
        let entries = history(&chances);
        for n in 1..=entries.len() {
            prop_assert!(read(&entries[..n]).is_ok(), "the first {n} records");
        }
        for at in 0..entries.len() {
            let mut dropped = entries.clone();
            dropped.remove(at);
            // Without its last record a history is a shorter one.
            prop_assert!(at + 1 == entries.len() || read(&dropped).is_err(), "without record {}", at + 1);
            let mut doubled = entries.clone();
            doubled.insert(at, entries[at].clone());
            prop_assert!(read(&doubled).is_err(), "record {} twice", at + 1);
            for other in at + 1..entries.len() {
                let mut exchanged = entries.clone();
                exchanged.swap(at, other);
                prop_assert!(read(&exchanged).is_err(), "records {} and {} exchanged", at + 1, other + 1);
            }
        }
    }

    #[test]
    fn no_altered_header_is_believed(chances in chances()) {
        let entries = history(&chances);
        // A beginning alone, under another id, is the beginning of another run.
        prop_assume!(entries.len() > 1);
        for (at, one) in entries.iter().enumerate() {
            for (what, changed) in altered(one) {
                let mut other = entries.clone();
                other[at] = changed;
                prop_assert!(read(&other).is_err(), "record {} with another {what}", at + 1);
            }
        }
    }

    #[test]
    fn no_altered_payload_actor_or_time_is_believed_once_a_record_follows(chances in chances()) {
        let entries = history(&chances);
        for (at, one) in entries.iter().enumerate().take(entries.len().saturating_sub(1)) {
            let header = *one.header();
            let spaced = format!("{} ", one.payload());
            for changed in [
                with_payload(one, &spaced),
                with_payload(one, "{}"),
                with_payload(one, "null"),
                again(one, |h| h.at = Millis(h.at.0 + 1)),
                Entry::encode(header, r#"{"uid":0}"#, one.payload()).unwrap(),
            ] {
                let mut other = entries.clone();
                other[at] = changed;
                prop_assert!(read(&other).is_err(), "record {}", at + 1);
            }
        }
    }

    /// With every number and hash made right again, a forger has only the rules against him: he can neither repeat what
    /// was done nor leave out what came of it. (A record that changed nothing can be left out: that is what hashes are for.)
    #[test]
    fn a_chain_that_is_forged_anew_is_still_held_to_the_rules(chances in chances()) {
        let entries = history(&chances);
        for (at, pair) in entries.windows(2).enumerate() {
            let (kind, next) = (pair[0].header().kind, pair[1].header().kind);
            if kind != Kind::Attempt {
                let mut twice = entries.clone();
                twice.insert(at, entries[at].clone());
                prop_assert!(read(&chained(&twice)).is_err(), "record {} twice ({:?})", at + 1, pair[0]);
            }
            // Whatever a person abandons, he may abandon earlier.
            if matches!(kind, Kind::Outcome | Kind::Resolved | Kind::Answered) && next != Kind::Closed {
                let mut without = entries.clone();
                without.remove(at);
                prop_assert!(read(&chained(&without)).is_err(), "without record {} ({:?})", at + 1, pair[0]);
            }
        }
    }

    #[test]
    fn arbitrary_subsets_and_bytes_are_errors_and_never_a_panic(
        chances in chances(),
        picks in proptest::collection::vec(any::<prop::sample::Index>(), 0..40),
        payloads in proptest::collection::vec("\\PC{0,40}", 1..8),
    ) {
        let entries = history(&chances);
        prop_assume!(!entries.is_empty());
        let picked: Vec<Entry> = picks.iter().map(|i| i.get(&entries).clone()).collect();
        if let Ok(run) = read(&picked) {
            prop_assert_eq!(run.position().seq as usize, picked.len());
        }
        if let Ok(run) = read(&chained(&picked)) {
            prop_assert_eq!(run.position().seq as usize, picked.len());
        }
        let last = entries.last().unwrap();
        for payload in payloads {
            for kind in Kind::ALL {
                let mut other = entries.clone();
                other.push(Entry::encode(
                    Header { kind: *kind, seq: last.header().seq + 1, prev: last.hash(), ..*last.header() },
                    "{}",
                    &payload,
                ).unwrap());
                prop_assert!(read(&other).is_err(), "{kind:?} with {payload:?}");
            }
        }
    }
}

/// The same records with numbers and hashes made to follow each other.
fn chained(entries: &[Entry]) -> Vec<Entry> {
    let mut out: Vec<Entry> = Vec::new();
    for (n, entry) in entries.iter().enumerate() {
        let prev = out.last().map_or(Digest::ZERO, Entry::hash);
        out.push(again(entry, |h| (h.seq, h.prev) = (u32::try_from(n + 1).unwrap(), prev)));
    }
    out
}
