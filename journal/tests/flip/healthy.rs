//! A damaged run leaves the others usable: readable and listed at once, and carried on with after a salvage.

use std::sync::Arc;

use recover_engine::{Conflict, Journal, JournalError, Key, Kind, Latch, Millis, RunId};
use recover_journal::testing::entries::{ACTOR, Script, closed_run, effect, id, run, subject};
use recover_journal::testing::salvage;
use recover_journal::testing::sim::SimStorage;
use recover_journal::{Author, Storage};

use crate::common::{SMALL, frames, open, reader};

/// Open runs first, in the summarised segments, closed ones after them.
fn written() -> SimStorage {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    for n in 0..10 {
        log.append_blocking(run(n, 2)).unwrap();
    }
    for n in 10..20 {
        log.append_blocking(closed_run(n, 2)).unwrap();
    }
    drop(log);
    storage
}

#[test]
fn whichever_run_is_damaged_the_others_are_read_listed_and_carried_on() {
    let sound = written();
    let all = frames(&sound).0;
    let last = all.last().unwrap().segment;
    for (victim, frame) in all.iter().enumerate().take(10).filter(|(_, frame)| frame.segment < last) {
        let mut files = sound.files();
        files.get_mut(&format!("log/{:08}.seg", frame.segment)).unwrap()[frame.offset as usize + 90] ^= 4;
        let storage = SimStorage::of(files);
        let intact = |n: &u64| *n != victim as u64;
        let check = |when: &str| {
            for n in (0..20).filter(intact) {
                let written = if n < 10 { run(n, 2) } else { closed_run(n, 2) };
                let read: Vec<_> = reader(&storage).run(id(n)).unwrap().into_iter().map(|s| s.entry).collect();
                assert_eq!(read, written, "{when}: run {n}, damaged {victim}");
            }
            let listed = reader(&storage).runs().unwrap().runs;
            assert!((0..20).filter(intact).all(|n| listed.iter().any(|run| run.run == id(n))), "{when}: {victim}");
        };
        check("damaged");
        assert!(reader(&storage).run(id(victim as u64)).is_err(), "{victim}");
        let author = Author { actor: ACTOR, at: Millis(7) };
        let shared: Arc<dyn Storage> = Arc::new(storage.clone());
        let done = salvage(&shared, SMALL, author, "a bit flipped").unwrap();
        assert_eq!((done.blocked.as_slice(), done.all_blocked), ([subject(victim as u64)].as_slice(), false));
        let log = open(&storage).unwrap();
        for n in (0..10).filter(intact) {
            let more = Script::after(&run(n, 2)[1]).intend(effect(n, 9));
            log.append_blocking(vec![more]).unwrap_or_else(|error| panic!("run {n}, damaged {victim}: {error:?}"));
        }
        // Nobody begins on its subject, and it does not go on itself, until a person has answered for it.
        let again = Script::new(id(50)).begin(subject(victim as u64));
        let refused = log.append_blocking(vec![again]);
        let held = Err(JournalError::Conflict(Conflict::Held { by: id(victim as u64) }));
        assert!(refused == held || refused == Err(JournalError::Conflict(Conflict::Blocked)), "{victim}: {refused:?}");
        let more = Script::after(&run(victim as u64, 2)[1]).intend(effect(victim as u64, 9));
        assert_eq!(log.append_blocking(vec![more]), Err(JournalError::Conflict(Conflict::Blocked)), "{victim}");
        let own = log.read(RunId::JOURNAL).unwrap();
        assert!(own.iter().all(|entry| entry.header().kind == Kind::Salvaged && entry.header().latch != Latch::Clear));
        assert!(own.iter().any(|entry| entry.header().key != Key::NONE));
        drop(log);
        for n in (0..10).filter(intact) {
            assert_eq!(reader(&storage).run(id(n)).unwrap().len(), 3, "resumed: {n}, damaged {victim}");
        }
    }
}
