//! FORMAT.md and the frozen journals: what is written there is what is read here.

use std::path::PathBuf;
use std::sync::Arc;

use recover_engine::{Key, Kind, Latch, Millis, RunId};
use recover_journal::testing::entries::{closed_run, id, subject};
use recover_journal::testing::sim::SimStorage;
use recover_journal::{CommitLog, Options, Reader};

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The bytes of the worked example.
fn example(text: &str) -> Vec<u8> {
    let block = text.split("```hex\n").nth(1).unwrap().split("```").next().unwrap();
    block
        .lines()
        .flat_map(|line| line.split_whitespace().skip(1))
        .map(|byte| u8::from_str_radix(byte, 16).unwrap())
        .collect()
}

#[test]
fn the_worked_example_is_a_journal_and_says_what_the_text_says() {
    let text = std::fs::read_to_string(root().join("../FORMAT.md")).unwrap();
    let mut bytes = example(&text);
    assert_eq!(bytes.len(), 0x142);
    bytes.resize(2560, 0);
    let mark = 1_u64.to_le_bytes().to_vec();
    let storage = SimStorage::of([("log/00000001.seg".into(), bytes), ("log/acked".into(), mark)]);
    let reader = Reader::new(Arc::new(storage));
    let report = reader.verify().unwrap();
    assert_eq!((report.damage.len(), report.frames, report.records, report.runs), (0, 1, 1, 1));
    assert!(text.contains(&format!("`{}`", report.head.head)), "the hash of the frame");
    let frame = reader.follow(0).poll(u64::MAX).unwrap().remove(0);
    assert_eq!((frame.number, frame.offset), (1, 0x80));
    let entry = &frame.entries[0];
    let header = entry.header();
    assert_eq!((header.seq, header.kind, header.latch), (1, Kind::Begun, Latch::Claim));
    assert_eq!((header.at, entry.bytes().len()), (Millis(1_700_000_000_001), 130));
    assert_eq!((entry.actor().len(), entry.payload().len()), (23, 19));
    for said in [header.run.to_string(), header.key.to_string(), entry.actor().into(), entry.payload().into()] {
        assert!(text.contains(&format!("`{said}`")), "{said}");
    }
}

#[test]
fn every_kind_and_latch_is_in_the_text_under_its_number() {
    let text = std::fs::read_to_string(root().join("../FORMAT.md")).unwrap().replace('\n', " ");
    for kind in Kind::ALL {
        assert!(text.contains(&format!("{} {}", *kind as u8, kind.as_str())), "{}", kind.as_str());
    }
    for latch in Latch::ALL {
        assert!(text.contains(&format!("{} {}", *latch as u8, latch.as_str())), "{}", latch.as_str());
    }
}

fn frozen() -> Vec<(String, Vec<u8>)> {
    let folder = root().join("tests/frozen/v1/log");
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| {
            let entry = entry.unwrap();
            (format!("log/{}", entry.file_name().to_string_lossy()), std::fs::read(entry.path()).unwrap())
        })
        .collect()
}

#[test]
fn the_frozen_journal_of_format_1_is_read_for_ever() {
    let reader = Reader::open(&root().join("tests/frozen/v1")).unwrap();
    let report = reader.verify().unwrap();
    assert_eq!(report.damage, []);
    assert_eq!((report.frames, report.records, report.runs), (11, 31, 7));
    assert_eq!(report.head.head.to_string(), "d18828e3186b6c42d616814cad778cabcf642f48eb87081fb6abefa9d20b2729");
    assert_eq!(reader.head().unwrap(), report.head);
    let runs = reader.runs().unwrap().runs;
    assert_eq!(runs.iter().filter(|run| run.open).map(|run| run.run).collect::<Vec<_>>(), [id(7)]);
    for n in 0..6 {
        let entries: Vec<_> = reader.run(id(n)).unwrap().into_iter().map(|stored| stored.entry).collect();
        assert_eq!(entries, closed_run(n, 4));
    }
    assert_eq!(reader.run(id(7)).unwrap().len(), 5);
    assert_eq!(reader.run(RunId::JOURNAL).unwrap().len(), 2);
}

#[test]
fn the_frozen_journal_can_be_written_on() {
    let storage = SimStorage::of(frozen());
    let log = CommitLog::open(Arc::new(storage), Options::default()).unwrap();
    log.with_ledger(|ledger| {
        assert_eq!(ledger.open().map(|(run, at)| (run, at.seq)).collect::<Vec<_>>(), [(id(7), 5)]);
        assert_eq!(ledger.holder(subject(7)), Some(id(7)));
        assert_eq!(ledger.blocked().collect::<Vec<Key>>(), []);
        assert_eq!(ledger.own().unwrap().0, 2);
        assert_eq!(ledger.effects().count(), 8);
        assert_eq!(ledger.effects().filter(|(_, effect)| effect.restored).count(), 1);
    });
    assert_eq!(log.append_blocking(closed_run(100, 3)).unwrap().frame, 12);
    assert_eq!(log.reader().verify().unwrap().damage, []);
}
