//! A directory that another machine had is adopted: what is written of it, and what a power cut leaves.

use std::sync::Arc;

use recover_engine::{Entry, Kind, Millis, RunId};
use recover_journal::testing::entries::{ACTOR, run};
use recover_journal::testing::sim::{Fate, SimStorage};
use recover_journal::testing::{adopt, bind};
use recover_journal::{Author, Host, Storage};

use crate::common::{SMALL, entries, frames, open};

const AUTHOR: Author<'static> = Author { actor: ACTOR, at: Millis(7) };

fn adopted_by(storage: &SimStorage, machine: &str) {
    let storage: Arc<dyn Storage> = Arc::new(storage.clone());
    let host = Host { machine: machine.into(), boot: "boot".into() };
    adopt(&storage, &host, SMALL, AUTHOR, "the disk was moved").unwrap();
}

/// What the journal says of itself.
fn own(storage: &SimStorage) -> Vec<Entry> {
    let (frames, damage) = frames(storage);
    assert_eq!(damage.map(|damage| damage.to_string()), None);
    entries(frames).into_iter().flatten().filter(|entry| entry.header().run == RunId::JOURNAL).collect()
}

fn of_machine(machine: &str) -> SimStorage {
    let storage = SimStorage::new();
    bind(&storage, machine).unwrap();
    open(&storage).unwrap().append_blocking(run(1, 2)).unwrap();
    storage
}

#[test]
fn another_machines_directory_is_adopted_once_with_a_record_and_for_good() {
    let storage = of_machine("first");
    assert_eq!(storage.files()["machine"], b"first\n");
    adopted_by(&storage, "second");
    adopted_by(&storage, "second");
    let left = storage.power_cut(storage.len(), |_, _| Fate::Lost);
    assert_eq!(left.files()["machine"], b"second\n");
    let own = own(&left);
    assert_eq!(own.len(), 1, "what is its own already is not adopted again");
    assert_eq!(own[0].header().kind, Kind::Adopted);
    assert_eq!(own[0].payload(), r#"{"from":"first","reason":"the disk was moved","to":"second"}"#);
}

#[test]
fn whenever_the_power_goes_a_directory_that_is_bound_to_the_new_machine_has_the_record() {
    let storage = of_machine("first");
    let before = storage.len();
    adopted_by(&storage, "second");
    let mut seen = [0, 0];
    for ops in before..=storage.len() {
        for fate in [Fate::Kept, Fate::Lost] {
            let left = storage.power_cut(ops, |_, _| fate);
            match left.files()["machine"].as_slice() {
                b"first\n" => seen[0] += 1,
                b"second\n" => {
                    seen[1] += 1;
                    assert_eq!(own(&left).len(), 1, "after {ops} operations, {fate:?}");
                }
                other => panic!("after {ops} operations, {fate:?}: {other:?}"),
            }
        }
    }
    assert!(seen[0] > 2 && seen[1] >= 2, "{seen:?}");
}
