//! What the log says of its runs: from the summaries alone, from the records, and where a part of it is damaged.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use recover_engine::{Key, Kind, RunId};
use recover_journal::testing::entries::{Script, closed_run, id, run, subject};
use recover_journal::testing::sim::SimStorage;
use recover_journal::{CommitLog, Frame, Options, ReadError, RunOverview, StoredEntry, What};

use crate::common::forge::{self, seg};
use crate::common::observed::Observed;
use crate::common::{frames, open, reader, written};

/// The records of each run but the journal's own, each with its place, as whoever follows the log meets them.
fn followed(frames: &[Frame]) -> BTreeMap<RunId, Vec<StoredEntry>> {
    let mut runs: BTreeMap<RunId, Vec<StoredEntry>> = BTreeMap::new();
    for frame in frames {
        for entry in frame.entries.iter().filter(|entry| entry.header().run != RunId::JOURNAL) {
            let stored =
                StoredEntry { entry: entry.clone(), frame: frame.number, segment: frame.segment, offset: frame.offset };
            runs.entry(entry.header().run).or_default().push(stored);
        }
    }
    runs
}

fn kinds(stored: &[StoredEntry]) -> BTreeSet<u32> {
    stored.iter().map(|stored| stored.entry.header().kind as u32).collect()
}

#[test]
fn an_overview_says_of_a_run_over_many_segments_what_its_records_say() {
    let storage = written();
    let followed = followed(&frames(&storage).0);
    let listing = reader(&storage).runs().unwrap();
    assert_eq!(listing.damage, []);
    assert_eq!(listing.runs.iter().map(|run| run.run).collect::<Vec<_>>(), [id(1), id(2)]);
    for RunOverview { run, open, subject, begun_at, last_at, last_seq, last_kind, kinds: bits, frames } in listing.runs
    {
        let records = &followed[&run];
        let (first, last) = (records.first().unwrap(), records.last().unwrap());
        assert!(last.segment > first.segment);
        let (begun, end) = (first.entry.header(), last.entry.header());
        assert_eq!(open, end.kind != Kind::Closed);
        assert_eq!((subject, begun_at), (begun.key, begun.at));
        assert_eq!((last_at, last_seq, last_kind), (end.at, end.seq, end.kind));
        assert_eq!(frames, (first.frame, last.frame));
        assert_eq!((0..32).filter(|bit| bits >> bit & 1 == 1).collect::<BTreeSet<_>>(), kinds(records));
    }
}

#[test]
fn an_overview_has_the_kinds_that_occur_in_any_segment_and_no_other() {
    let storage = written();
    let listing = reader(&storage).runs().unwrap();
    let has = |at: usize| Kind::ALL.iter().copied().filter(|kind| listing.runs[at].has(*kind)).collect::<Vec<_>>();
    assert_eq!(has(0), [Kind::Begun, Kind::Intent, Kind::Outcome, Kind::Closed]);
    assert_eq!(has(1), [Kind::Begun, Kind::Intent, Kind::Outcome, Kind::Asked]);
}

#[test]
fn a_run_is_its_own_records_with_their_places() {
    let storage = written();
    let followed = followed(&frames(&storage).0);
    for n in [1, 2] {
        assert_eq!(reader(&storage).run(id(n)).unwrap(), followed[&id(n)]);
    }
    assert_eq!(reader(&storage).run(id(3)).unwrap(), [], "there is none");
}

/// Runs that share a segment, one of them with several frames in it.
fn side_by_side() -> SimStorage {
    let storage = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(storage.clone()), Options { segment_len: 8192 }).unwrap();
    for n in [4, 5, 6] {
        log.append_blocking(run(n, 1)).unwrap();
    }
    for n in [6, 5, 6] {
        let last = log.reader().run(id(n)).unwrap().pop().unwrap().entry;
        log.append_blocking(vec![Script::after(&last).outcome()]).unwrap();
    }
    log.append_blocking(closed_run(7, 2)).unwrap();
    storage
}

#[test]
fn runs_that_share_a_segment_are_told_apart() {
    let storage = side_by_side();
    let followed = followed(&frames(&storage).0);
    for n in [4, 5, 6, 7] {
        assert_eq!(reader(&storage).run(id(n)).unwrap(), followed[&id(n)], "run {n}");
    }
    let open = reader(&storage).open_runs().unwrap();
    let open: Vec<_> = open.runs.into_iter().map(|(run, records)| (run, records.unwrap())).collect();
    assert_eq!(open, [4, 5, 6].map(|n| (id(n), followed[&id(n)].clone())));
}

#[test]
fn the_open_runs_come_with_all_their_records_and_the_journals_own_is_none() {
    let storage = written();
    let followed = followed(&frames(&storage).0);
    let open = reader(&storage).open_runs().unwrap();
    assert_eq!(open.damage, []);
    let open: Vec<_> = open.runs.into_iter().map(|(run, records)| (run, records.unwrap())).collect();
    assert_eq!(open, [(id(2), followed[&id(2)].clone())], "run 1 has ended in a later segment than it began in");
}

#[test]
fn an_open_run_is_not_believed_to_be_whole_where_a_later_frame_cannot_be_read() {
    let storage = SimStorage::new();
    let log = open(&storage).unwrap();
    for n in 0..6 {
        log.append_blocking(run(n, 1)).unwrap();
    }
    drop(log);
    let all = frames(&storage).0;
    let victim = all.last().unwrap();
    assert!(victim.segment > all[0].segment);
    let mut files = storage.files();
    forge::spoil(&mut files, victim);
    let found = reader(&SimStorage::of(files)).open_runs().unwrap();
    assert_eq!(found.damage.iter().map(|damage| damage.frame).collect::<Vec<_>>(), [victim.number]);
    assert_eq!(found.runs.len(), 5, "of the sixth nothing is left");
    for (run, records) in found.runs {
        match records {
            Err(ReadError::Damage(damage)) => assert_eq!((damage.frame, damage.what), (victim.number, What::Frame)),
            other => panic!("{run} may have gone on in what is damaged: {other:?}"),
        }
    }
}

#[test]
fn of_a_damaged_segment_the_runs_that_are_left_are_listed() {
    let storage = side_by_side();
    let all = frames(&storage).0;
    assert!(all.iter().all(|frame| frame.segment == 1));
    // The only record of run 4.
    let victim = &all[0];
    let mut files = storage.files();
    forge::spoil(&mut files, victim);
    let listing = reader(&SimStorage::of(files)).runs().unwrap();
    assert_eq!(listing.damage.iter().map(|damage| damage.frame).collect::<Vec<_>>(), [victim.number]);
    let mut whole = reader(&storage).runs().unwrap().runs;
    whole.retain(|run| run.run != id(4));
    assert_eq!(listing.runs, whole);
}

#[test]
fn a_run_is_whole_where_only_a_frame_of_another_is_damaged_between_its_own() {
    let storage = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(storage.clone()), Options { segment_len: 2048 }).unwrap();
    let mut script = Script::new(id(1));
    log.append_blocking(vec![script.begin(subject(1))]).unwrap();
    let mut others = 10..;
    let mut fill = |until: u64| {
        while log.stats().unwrap().segment < until {
            log.append_blocking(closed_run(others.next().unwrap(), 2)).unwrap();
        }
    };
    fill(2);
    log.append_blocking(vec![script.outcome()]).unwrap();
    let victim = log.append_blocking(closed_run(2, 2)).unwrap().frame;
    log.append_blocking(vec![script.outcome()]).unwrap();
    fill(3);
    log.append_blocking(vec![script.close(subject(1))]).unwrap();
    drop(log);
    let all = frames(&storage).0;
    let mut files = storage.files();
    forge::spoil(&mut files, &all[victim as usize - 1]);
    let own = &followed(&all)[&id(1)];
    assert_eq!(own.iter().map(|stored| stored.segment).collect::<Vec<_>>(), [1, 2, 2, 3]);
    assert_eq!(reader(&SimStorage::of(files)).run(id(1)).unwrap(), *own);
}

#[test]
fn a_run_is_read_without_the_rest_of_its_segment() {
    let storage = SimStorage::new();
    let log = CommitLog::open_inline(Arc::new(storage.clone()), Options { segment_len: 256 << 10 }).unwrap();
    let mut long = Script::new(id(2));
    log.append_blocking(closed_run(1, 2)).unwrap();
    log.append_blocking(vec![long.begin(subject(2))]).unwrap();
    while log.stats().unwrap().segment == 1 {
        let payload = "x".repeat(16 << 10);
        log.append_blocking(vec![long.next(Kind::Outcome, recover_engine::Latch::None, Key::NONE, &payload)]).unwrap();
    }
    drop(log);
    let observed = Observed::looks([storage.clone()]);
    assert_eq!(observed.reader().run(id(1)).unwrap().len(), 2);
    let size = storage.files()[&seg(1)].len() as u64;
    let asked = observed.asked(&seg(1));
    assert!((1..size / 20).contains(&asked), "{asked} bytes were asked for, of {size}");
}
