//! Whether what is left holds all that was promised, can be read, and is written on by the next owner.

use recover_engine::Entry;
use recover_journal::testing::entries::run;
use recover_journal::testing::sim::{Fate, SimStorage};
use recover_journal::{CommitLog, Evidence, Reader};

use crate::common::{entries, frames, reader};
use crate::faulty::Faulty;
use crate::life::{Life, MACHINE, Told};

/// The run that the next owner appends.
const NEXT: u64 = 900;

/// What a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Nothing that was not synced.
    Synced,
    /// All that was written.
    All,
    /// There was no cut: the process was killed.
    Killed,
}

impl Left {
    pub(crate) const ALL: [Self; 3] = [Self::Synced, Self::All, Self::Killed];

    pub(crate) fn of(self, storage: &SimStorage) -> SimStorage {
        match self {
            Self::Synced => storage.power_cut(storage.len(), |_, _| Fate::Lost),
            Self::All => storage.power_cut(storage.len(), |_, _| Fate::Kept),
            Self::Killed => storage.clone(),
        }
    }
}

/// Judges what is left of a life, and lets the next owner go on with it.
pub(crate) fn judge(life: &Life, written: &[Vec<Entry>], told: &Told, left: &SimStorage, case: &str) {
    let report = reader(left).verify().unwrap_or_else(|error| panic!("{case}: verify: {error}"));
    assert_eq!(report.damage, [], "{case}");
    let found = is_prefix(left, written, told.acked, case);
    let evidence = Evidence::new(std::sync::Arc::new(left.clone()));
    for digest in &told.evidence {
        assert!(evidence.get(*digest).is_ok(), "{case}: evidence {digest}");
    }
    let machine = left.files().get("machine").cloned();
    let named = machine.as_deref() == Some(format!("{MACHINE}\n").as_bytes());
    assert!(named || (!told.bound && machine.is_none()), "{case}: machine {machine:?}");
    next_owner(life, &written[..found], left, case);
}

/// Makes what it found durable before it acts on it, and goes on.
fn next_owner(life: &Life, found: &[Vec<Entry>], left: &SimStorage, case: &str) {
    let storage = Faulty::on(left.clone());
    let log = CommitLog::open_inline(storage.storage(), life.options)
        .unwrap_or_else(|error| panic!("{case}: the next owner: {error:?}"));
    assert_eq!(log.head().frame, found.len() as u64, "{case}: what it shows is what can be read");
    assert!(storage.calls().iter().any(super::faulty::Call::syncs_segment), "{case}: nothing was synced on opening");
    let shown = Left::Synced.of(left);
    is_prefix(&shown, found, found.len() as u64, &format!("{case}, a power cut after it was opened again"));
    log.append_blocking(run(NEXT, 1)).unwrap_or_else(|error| panic!("{case}: the next owner: {error:?}"));
    log.settled();
    let mut more = found.to_vec();
    more.push(run(NEXT, 1));
    is_prefix(&Left::Synced.of(left), &more, more.len() as u64, &format!("{case}, a power cut after the next record"));
    drop(log);
    let again = CommitLog::open_inline(storage.storage(), life.options);
    assert_eq!(again.map(|log| log.head().frame).ok(), Some(more.len() as u64), "{case}: opened once more");
    assert_eq!(reader(left).verify().unwrap().damage, [], "{case}: written on");
}

/// How many frames can be read: no fewer than were promised, and none that was not written.
fn is_prefix(left: &SimStorage, written: &[Vec<Entry>], acked: u64, case: &str) -> usize {
    let (read, error) = frames(left);
    assert!(error.is_none(), "{case}: {error:?}");
    let read = entries(read);
    assert!(read.len() as u64 >= acked, "{case}: lost: {} of {acked} acknowledged frames are left", read.len());
    assert!(read.len() <= written.len() && read == written[..read.len()], "{case}: invented");
    read.len()
}

/// What only reads works while nothing can be written, and says all that was promised.
pub(crate) fn can_be_read(storage: &Faulty, acked: u64, case: &str) {
    let reader = Reader::new(storage.storage());
    let head = reader.head().unwrap_or_else(|error| panic!("{case}: head: {error:?}"));
    assert!(head.frame >= acked, "{case}: head {} of {acked}", head.frame);
    let listing = reader.runs().unwrap_or_else(|error| panic!("{case}: runs: {error:?}"));
    assert_eq!(listing.damage, [], "{case}");
    for found in &listing.runs {
        let records = reader.run(found.run).unwrap_or_else(|error| panic!("{case}: run: {error:?}"));
        assert_eq!(records.len() as u64, u64::from(found.last_seq), "{case}: {}", found.run);
    }
    let report = reader.verify().unwrap_or_else(|error| panic!("{case}: verify: {error:?}"));
    assert_eq!((report.damage.as_slice(), report.frames >= acked), ([].as_slice(), true), "{case}");
}
