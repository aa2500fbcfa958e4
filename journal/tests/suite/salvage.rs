//! After damage one command carries on: bytes are kept, subjects are blocked, and a person answers for them.

use std::fs;
use std::path::Path;

use recover_engine::{Conflict, Journal, JournalError, Key, Kind, Latch, Millis, RunId};
use recover_journal::testing::entries::{self, Script, closed_run, id, run, subject};
use recover_journal::{Author, FileJournal, Frame, Host, OpenError, Options, Reader, Salvage, What, salvage};

const OPTIONS: Options = Options { segment_len: 2048 };
const AUTHOR: Author<'static> = Author { actor: entries::ACTOR, at: Millis(7) };

fn host() -> Host {
    Host { machine: "m".into(), boot: "b".into() }
}

fn open(path: &Path) -> Result<FileJournal, OpenError> {
    FileJournal::open(path, &host(), OPTIONS)
}

fn mend(path: &Path) -> Salvage {
    salvage(path, &host(), OPTIONS, AUTHOR, "a disk went bad").unwrap()
}

/// Twenty runs of two records; run 3 stays open.
fn filled() -> (tempfile::TempDir, Vec<Frame>) {
    let dir = tempfile::tempdir().unwrap();
    let journal = open(dir.path()).unwrap();
    for n in 0..20 {
        journal.append_blocking(if n == 3 { run(n, 2) } else { closed_run(n, 2) }).unwrap();
    }
    drop(journal);
    let mut follower = Reader::open(dir.path()).unwrap().follow(0);
    let mut frames = Vec::new();
    loop {
        let more = follower.poll(u64::MAX).unwrap();
        if more.is_empty() {
            return (dir, frames);
        }
        frames.extend(more);
    }
}

fn flip(dir: &Path, segment: u64, at: u64) {
    let path = dir.join(format!("log/{segment:08}.seg"));
    let mut bytes = fs::read(&path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1;
    fs::write(&path, bytes).unwrap();
}

/// Opens, is clean, and can be written on.
fn carries_on(dir: &Path, n: u64) -> FileJournal {
    let report = Reader::open(dir).unwrap().verify().unwrap();
    assert_eq!(report.damage, []);
    let journal = open(dir).unwrap();
    journal.append_blocking(run(n, 1)).unwrap();
    assert_eq!(journal.read(id(n)).unwrap(), run(n, 1));
    journal
}

#[test]
fn nothing_is_done_where_nothing_is_damaged() {
    let (dir, _) = filled();
    assert_eq!(mend(dir.path()), Salvage::default());
    carries_on(dir.path(), 50);
}

#[test]
fn a_frame_in_a_summarised_segment_blocks_the_subjects_of_that_frame_alone() {
    let (dir, frames) = filled();
    let victim = &frames[4];
    assert!(frames.last().unwrap().segment > victim.segment, "its segment has its summary");
    flip(dir.path(), victim.segment, victim.offset + 80);
    let before = fs::read(dir.path().join(format!("log/{:08}.seg", victim.segment))).unwrap();
    let done = mend(dir.path());
    assert_eq!(done.sealed, [victim.segment]);
    assert_eq!((done.blocked.as_slice(), done.all_blocked), ([subject(4)].as_slice(), false));
    let kept = fs::read(dir.path().join(format!("log/{:08}.damaged", victim.segment))).unwrap();
    assert_eq!(kept, before, "its bytes are kept");
    let journal = carries_on(dir.path(), 50);
    let again = Script::new(id(60)).begin(subject(4));
    let refused = journal.append_blocking(vec![again.clone()]);
    assert_eq!(refused, Err(JournalError::Conflict(Conflict::Blocked)));
    journal.clear(subject(4), AUTHOR, "looked at the target").unwrap();
    journal.append_blocking(vec![again]).unwrap();
    for n in 0..20 {
        assert_eq!(journal.reader().run(id(n)).is_ok(), n != 4, "run {n}");
    }
    let own = journal.read(RunId::JOURNAL).unwrap();
    let said: Vec<_> = own.iter().map(|e| (e.header().kind, e.header().latch)).collect();
    assert_eq!(said, [(Kind::Salvaged, Latch::None), (Kind::Salvaged, Latch::Block), (Kind::Cleared, Latch::Clear)]);
    assert!(own[0].payload().contains(r#""lost_frames":[[5,5]]"#), "{}", own[0].payload());
}

#[test]
fn a_frame_in_the_last_segment_blocks_everyone_it_cannot_rule_out() {
    let (dir, frames) = filled();
    let victim = frames.last().unwrap();
    flip(dir.path(), victim.segment, victim.offset + 80);
    assert!(matches!(open(dir.path()), Err(OpenError::Damage(_))));
    let done = mend(dir.path());
    assert!(done.all_blocked);
    let journal = open(dir.path()).unwrap();
    assert!(journal.log().head().frame > victim.number, "no number is used twice");
    assert_eq!(journal.append_blocking(run(70, 1)), Err(JournalError::Conflict(Conflict::Blocked)));
    let open_run = Script::after(&run(3, 2)[1]).intend(entries::effect(3, 9));
    assert_eq!(journal.append_blocking(vec![open_run]), Err(JournalError::Conflict(Conflict::Blocked)));
    assert!(journal.reader().run(id(3)).is_err(), "it may have gone on in what is lost");
    let open_runs = journal.reader().open_runs().unwrap().runs;
    let of_3: Vec<_> = open_runs.iter().filter(|(run, _)| *run == id(3)).map(|(_, records)| records.is_err()).collect();
    assert_eq!(of_3, [true], "and so it is told among those that are open");
    assert_eq!(journal.reader().run(id(5)).unwrap().len(), 2);
    journal.clear(subject(70), AUTHOR, "looked").unwrap();
    journal.append_blocking(run(70, 1)).unwrap();
    assert_eq!(journal.append_blocking(run(71, 1)), Err(JournalError::Conflict(Conflict::Blocked)));
    journal.clear(Key::NONE, AUTHOR, "looked at every target").unwrap();
    journal.append_blocking(run(71, 1)).unwrap();
    let known = Script::new(id(72)).begin(subject(5));
    let refused = journal.append_blocking(vec![known]);
    assert_eq!(refused, Err(JournalError::Conflict(Conflict::Blocked)), "a known one is answered for by name");
    drop(journal);
    carries_on(dir.path(), 80);
}

#[test]
fn a_summary_alone_costs_nobody_anything() {
    let (dir, _) = filled();
    let path = dir.path().join("log/00000001.seg");
    let bytes = fs::read(&path).unwrap();
    let at = bytes.windows(8).position(|w| w == b"rcvsummy").unwrap();
    flip(dir.path(), 1, at as u64 + 50);
    let done = mend(dir.path());
    assert_eq!((done.sealed.as_slice(), done.blocked.len(), done.all_blocked), ([1].as_slice(), 0, false));
    let journal = carries_on(dir.path(), 50);
    for n in 0..20 {
        assert!(journal.reader().run(id(n)).is_ok(), "run {n}");
    }
}

#[test]
fn a_missing_segment_a_bad_header_and_a_lost_mark_are_salvaged() {
    for (what, all) in [("missing", true), ("header", false), ("mark", true), ("last", true), ("everything", true)] {
        let (dir, frames) = filled();
        let log = |segment: u64| dir.path().join(format!("log/{segment:08}.seg"));
        let last = frames.last().unwrap().segment;
        match what {
            "missing" => fs::remove_file(log(2)).unwrap(),
            "header" => flip(dir.path(), 2, 20),
            "mark" => fs::remove_file(dir.path().join("log/acked")).unwrap(),
            "last" => fs::remove_file(log(last)).unwrap(),
            _ => (1..=last + 1).for_each(|segment| drop(fs::remove_file(log(segment)))),
        }
        assert!(matches!(open(dir.path()), Err(OpenError::Damage(_))), "{what}");
        let done = mend(dir.path());
        assert_eq!(done.all_blocked, all, "{what}: {done:?}");
        let report = Reader::open(dir.path()).unwrap().verify().unwrap();
        assert_eq!(report.damage, [], "{what}");
        let journal = open(dir.path()).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        journal.clear(Key::NONE, AUTHOR, "looked").unwrap();
        journal.append_blocking(run(90, 1)).unwrap();
        drop(journal);
        assert_eq!(mend(dir.path()), Salvage::default(), "{what}: once is enough");
    }
}

#[test]
fn what_was_sealed_is_watched_too() {
    let (dir, frames) = filled();
    let victim = &frames[4];
    flip(dir.path(), victim.segment, victim.offset + 80);
    mend(dir.path());
    let path = dir.path().join(format!("log/{:08}.damaged", victim.segment));
    let mut bytes = fs::read(&path).unwrap();
    bytes[200] ^= 1;
    fs::write(&path, bytes).unwrap();
    let report = Reader::open(dir.path()).unwrap().verify().unwrap();
    assert!(report.damage.iter().any(|d| d.what == What::Altered && d.segment == victim.segment), "{report:?}");
}

#[test]
fn an_interrupted_salvage_is_not_forgotten() {
    let (dir, frames) = filled();
    let victim = &frames[4];
    flip(dir.path(), victim.segment, victim.offset + 80);
    // As it is when the power goes after the first step.
    let log = dir.path().join("log");
    fs::rename(log.join(format!("{:08}.seg", victim.segment)), log.join(format!("{:08}.salvaging", victim.segment)))
        .unwrap();
    match open(dir.path()) {
        Err(OpenError::Damage(damage)) => assert_eq!(damage.what, What::Unfinished),
        other => panic!("{other:?}"),
    }
    let done = mend(dir.path());
    assert_eq!(done.blocked, [subject(4)]);
    carries_on(dir.path(), 50);
}

/// A frame whose number somebody made up was taken for the head, and the mark that a salvage wrote for it was out of every mark's
/// reach: damage was left, however often it was salvaged.
#[test]
fn a_number_that_no_mark_reaches_is_salvaged_too() {
    let found = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/import/a-number-out-of-a-marks-reach");
    let dir = tempfile::tempdir().unwrap();
    drop(open(dir.path()).unwrap());
    fs::remove_dir_all(dir.path().join("log")).unwrap();
    fs::create_dir(dir.path().join("log")).unwrap();
    // What precedes the one file in the fuzzer's input is its length; its checksums are made right, as somebody would on purpose.
    let mut bytes = fs::read(found).unwrap()[4..].to_vec();
    bytes.resize(1280, 0);
    let seal = |part: &mut [u8], at: usize| {
        let crc = crc32c::crc32c_append(crc32c::crc32c(&part[..at]), &part[at + 4..]);
        part[at..at + 4].copy_from_slice(&crc.to_le_bytes());
    };
    seal(&mut bytes[..128], 12);
    for at in (0..bytes.len()).filter(|at| bytes[*at..].starts_with(b"rcvframe")).collect::<Vec<_>>() {
        let len = u32::from_le_bytes(bytes[at + 12..at + 16].try_into().unwrap()) as usize;
        seal(&mut bytes[at..at + len], 16);
    }
    fs::write(dir.path().join("log/00000001.seg"), &bytes).unwrap();
    let damaged: Vec<What> =
        Reader::open(dir.path()).unwrap().verify().unwrap().damage.iter().map(|d| d.what).collect();
    assert!(damaged.contains(&What::Mark), "{damaged:?}");
    mend(dir.path());
    assert_eq!(Reader::open(dir.path()).unwrap().verify().unwrap().damage, []);
    open(dir.path()).unwrap().clear(Key::NONE, AUTHOR, "looked at").unwrap();
    drop(carries_on(dir.path(), 70));
    drop(carries_on(dir.path(), 71));
}
