//! Appends, reopenings and crashes in any order, beside a model that is a list.

use std::collections::BTreeMap;

use crate::common::{entries, frames, open, reader};
use proptest::prelude::*;
use recover_engine::{Entry, Journal, JournalError, Key, Ledger, RunId};
use recover_journal::testing::entries::{Script, effect, id, subject};
use recover_journal::testing::sim::{Fate, SimStorage};

#[derive(Clone, Debug)]
enum Act {
    /// A run begins on a subject.
    Begin(u64, u64),
    /// A run intends an effect.
    Intend(u64, u32),
    Outcome(u64),
    Close(u64),
    /// The owner ends and another begins.
    Reopen,
    /// The power goes, and what was not synced goes with it.
    PowerCut,
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (0..4_u64, 0..3_u64).prop_map(|(n, s)| Act::Begin(n, s)),
        4 => (0..4_u64, 0..6_u32).prop_map(|(n, e)| Act::Intend(n, e)),
        3 => (0..4_u64).prop_map(Act::Outcome),
        2 => (0..4_u64).prop_map(Act::Close),
        1 => Just(Act::Reopen),
        1 => Just(Act::PowerCut),
    ]
}

/// The record that the act would write, if its run can go on.
fn record(act: &Act, heads: &BTreeMap<RunId, Entry>, subjects: &BTreeMap<RunId, Key>) -> Option<Entry> {
    let script = |n: u64| heads.get(&id(n)).map(Script::after);
    match act {
        Act::Begin(n, s) => Some(script(*n).unwrap_or_else(|| Script::new(id(*n))).begin(subject(*s))),
        Act::Intend(n, e) => Some(script(*n)?.intend(effect(0, *e))),
        Act::Outcome(n) => Some(script(*n)?.outcome()),
        Act::Close(n) => Some(script(*n)?.close(*subjects.get(&id(*n))?)),
        Act::Reopen | Act::PowerCut => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_log_is_a_list_with_a_ledger(acts in proptest::collection::vec(act(), 1..60)) {
        let mut storage = SimStorage::new();
        let mut log = open(&storage).unwrap();
        let mut model: Vec<Vec<Entry>> = Vec::new();
        let mut ledger = Ledger::default();
        let mut heads = BTreeMap::new();
        let mut subjects = BTreeMap::new();
        for act in &acts {
            match act {
                Act::Reopen => {
                    drop(log);
                    log = open(&storage).unwrap();
                }
                Act::PowerCut => {
                    drop(log);
                    storage = storage.power_cut(storage.len(), |_, _| Fate::Lost);
                    log = open(&storage).unwrap();
                }
                Act::Begin(..) | Act::Intend(..) | Act::Outcome(_) | Act::Close(_) => {
                    let Some(entry) = record(act, &heads, &subjects) else { continue };
                    let expected = ledger.admit(std::slice::from_ref(&entry));
                    let got = log.append_blocking(vec![entry.clone()]);
                    match expected {
                        Ok(()) => {
                            prop_assert_eq!(got.unwrap().frame as usize, model.len() + 1);
                            ledger.note(entry.header(), entry.hash());
                            if matches!(act, Act::Begin(..)) {
                                subjects.insert(entry.header().run, entry.header().key);
                            }
                            heads.insert(entry.header().run, entry.clone());
                            model.push(vec![entry]);
                        }
                        Err(conflict) => prop_assert_eq!(got, Err(JournalError::Conflict(conflict))),
                    }
                }
            }
            prop_assert_eq!(log.open_runs(), ledger.open().collect::<Vec<_>>());
            for s in 0..3 {
                prop_assert_eq!(log.holder(subject(s)), ledger.holder(subject(s)));
            }
            for e in 0..6 {
                prop_assert_eq!(log.effect(effect(0, e)), ledger.effect(effect(0, e)));
            }
        }
        drop(log);
        let (read, error) = frames(&storage);
        prop_assert!(error.is_none());
        prop_assert_eq!(&entries(read), &model);
        let report = reader(&storage).verify().unwrap();
        prop_assert_eq!(report.damage, []);
        prop_assert_eq!(report.frames as usize, model.len());
    }
}
