//! A call that fails while the log is read is an error: it is never taken for damage, nor for the end.

use recover_journal::Reader;
use recover_journal::testing::entries::id;
use recover_journal::{Follower, ReadError};

use crate::common::written;
use crate::faulty::{Fault, Faulty, WRONGS, Wrong};

type Verb = fn(&Reader) -> Result<String, ReadError>;

/// All that a reader can be asked, in words that two answers can be compared by.
const VERBS: [Verb; 6] = [
    |reader| reader.head().map(|head| format!("{head:?}")),
    |reader| reader.runs().map(|listing| format!("{listing:?}")),
    |reader| reader.open_runs().map(|open| format!("{:?} {:?}", open.runs.len(), open.damage)),
    |reader| reader.run(id(1)).map(|records| format!("{records:?}")),
    |reader| reader.verify().map(|report| format!("{report:?}")),
    |reader| follow(&mut reader.follow(0)),
];

fn follow(follower: &mut Follower) -> Result<String, ReadError> {
    let mut all = Vec::new();
    loop {
        let frames = follower.poll(u64::MAX)?;
        if frames.is_empty() {
            return Ok(format!("{all:?}"));
        }
        all.extend(frames.into_iter().map(|frame| frame.number));
    }
}

#[test]
fn a_call_that_fails_while_reading_is_an_error_and_no_damage_and_no_end() {
    let sim = written();
    let mut refused = 0;
    for (verb, ask) in VERBS.iter().enumerate() {
        let healthy = Faulty::on(sim.clone());
        let whole = ask(&Reader::new(healthy.storage())).unwrap();
        let calls = healthy.calls();
        assert!(calls.iter().all(|call| !call.kind.changes()), "reading changes nothing");
        for (at, call) in calls.iter().enumerate() {
            for &wrong in WRONGS.iter().filter(|wrong| Fault::is_of(**wrong, call.kind) && **wrong != Wrong::Killed) {
                for for_ever in [false, true] {
                    let fault = Fault { at, wrong, for_ever };
                    let storage = Faulty::with(sim.clone(), fault);
                    match ask(&Reader::new(storage.storage())) {
                        Ok(said) => assert_eq!(said, whole, "verb {verb}, {fault} ({:?}): another answer", call.kind),
                        Err(ReadError::Failed(_)) => refused += 1,
                        Err(ReadError::Damage(damage)) => {
                            panic!("verb {verb}, {fault} ({:?}): taken for damage: {damage}", call.kind)
                        }
                    }
                    assert!(
                        !matches!(wrong, Wrong::Short) || storage.calls().iter().all(|call| !call.failed),
                        "a short read is no failure"
                    );
                }
            }
        }
    }
    assert!(refused > 500, "{refused}");
}
