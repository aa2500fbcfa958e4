//! Arbitrary bytes as a record: nothing panics, and what is accepted is exactly what was written.
#![no_main]

use libfuzzer_sys::fuzz_target;
use recover_engine::{Entry, HEADER_LEN, Header, RECORD_LEN_MAX, Record, charter};

fuzz_target!(|bytes: &[u8]| {
    let header = Header::decode(bytes);
    let entry = match Entry::decode(bytes) {
        Ok(entry) => entry,
        // Bytes that are not a record may still hold a payload: every kind's reader is given them as text.
        Err(_) => return parse_as_every_kind(bytes),
    };
    // The scan without parsing and the full read agree.
    assert_eq!(header.as_ref(), Ok(entry.header()));
    assert_eq!(Header::record_len(bytes), Ok(entry.bytes().len()));
    assert!(entry.bytes().len() <= RECORD_LEN_MAX && bytes.starts_with(entry.bytes()));
    assert_eq!(entry.bytes().len(), HEADER_LEN + entry.actor().len() + entry.payload().len());
    // Decode, encode: the identity.
    let again = Entry::encode(*entry.header(), entry.actor(), entry.payload()).expect("it had this length");
    assert_eq!(again.bytes(), entry.bytes());
    assert_eq!(again.hash(), entry.hash());
    // One byte less is never a record.
    assert!(Entry::decode(&entry.bytes()[..entry.bytes().len() - 1]).is_err());

    let Ok(record) = Record::parse(entry.header().kind, entry.payload()) else { return };
    assert_round_trip(&record);
});

/// What a record says survives being written and read; a charter is checked and never believed.
fn assert_round_trip(record: &Record) {
    let payload = record.payload();
    let read = Record::parse(record.kind(), payload.as_str()).expect("our own JSON is read back");
    assert_eq!(&read, record);
    if let Record::Begun(begun) = read {
        let _ = charter(*begun);
    }
}

fn parse_as_every_kind(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    for kind in recover_engine::Kind::ALL {
        if let Ok(record) = Record::parse(*kind, text) {
            assert_eq!(record.kind(), *kind);
            assert_round_trip(&record);
        }
    }
}
