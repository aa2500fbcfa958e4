//! Captured texts too long for a record become files before the record that names them is committed.

use recover_engine::{Act, Evidence, FenceRaised, Performed, Probed, Seen, World};

/// What a record carries of one text, in bytes. Longer ones are files.
const TEXT_MOST: usize = 16 * 1024;
/// How much of a longer one the record shows of its beginning, and twice of its end.
const SHOWN: usize = 1024;

/// A world whose long texts are kept in the state directory. A crash between a file and the commit that names it leaves a
/// file that nothing names, and nothing worse: the effect is asked for again, or probed, and the next owner sweeps the file.
pub(crate) struct Keeping<W> {
    pub(crate) world: W,
    pub(crate) files: recover_journal::Evidence,
}

impl<W: World> World for Keeping<W> {
    async fn perform(&self, act: &Act) -> Performed {
        match self.world.perform(act).await {
            Performed::Happened(seen) => Performed::Happened(self.keep(seen)),
            other @ (Performed::Refused(_) | Performed::Retry { .. } | Performed::Unknown { .. }) => other,
        }
    }

    async fn fence(&self, act: &Act) -> FenceRaised {
        self.world.fence(act).await
    }

    async fn probe(&self, act: &Act) -> Probed {
        match self.world.probe(act).await {
            Probed::Happened(seen) => Probed::Happened(self.keep(seen)),
            other @ (Probed::Absent(_) | Probed::Unknown(_)) => other,
        }
    }
}

impl<W> Keeping<W> {
    fn keep(&self, seen: Seen) -> Seen {
        Seen { evidence: seen.evidence.into_iter().map(|one| self.keep_one(one)).collect(), ..seen }
    }

    fn keep_one(&self, one: Evidence) -> Evidence {
        let Some(text) = one.text.as_ref().filter(|text| text.len() > TEXT_MOST) else { return one };
        match self.files.put(text.as_bytes()) {
            Ok(sha256) => Evidence { file: Some(text.len() as u64), text: Some(excerpt(text)), sha256, ..one },
            // The effect has happened and is journaled all the same; its evidence says what is missing of it.
            Err(error) => {
                tracing::warn!(name = one.name, %error, "a captured text could not be kept");
                let text = format!("(the whole could not be kept: {error})\n{}", excerpt(text));
                let sha256 = recover_engine::Digest::of(text.as_bytes());
                Evidence { text: Some(text), sha256, ..one }
            }
        }
    }
}

/// The beginning and the end of a long text.
fn excerpt(text: &str) -> String {
    let boundary = |at: &usize| text.is_char_boundary(*at);
    let head = (0..=SHOWN.min(text.len())).rev().find(boundary).unwrap_or_default();
    let tail = (text.len().saturating_sub(2 * SHOWN)..=text.len()).find(boundary).unwrap_or_default();
    let (head, end) = (text.get(..head).unwrap_or_default(), text.get(tail..).unwrap_or_default());
    format!("{head}\n(… {} bytes …)\n{end}", text.len().saturating_sub(head.len() + end.len()))
}

/// The captured texts that a record names.
pub(crate) fn named(entry: &recover_engine::Entry) -> Vec<Evidence> {
    match recover_engine::Record::parse(entry.header().kind, entry.payload()) {
        Ok(recover_engine::Record::Outcome(outcome)) => outcome.evidence,
        Ok(_) | Err(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::DirBuilderExt as _;

    use recover_engine::Digest;

    use super::*;

    #[test]
    fn a_long_text_is_a_file_and_a_short_one_stays_in_the_record() {
        let home = tempfile::tempdir().unwrap();
        let state = home.path().join("state");
        std::fs::DirBuilder::new().mode(0o700).create(&state).unwrap();
        let host = recover_journal::Host::read().unwrap();
        let journal = recover_journal::FileJournal::open(&state, &host, recover_journal::Options::default()).unwrap();
        let keeping = Keeping { world: (), files: journal.evidence() };
        let one = |text: &str| Evidence {
            name: "n".into(),
            sha256: Digest::of(text.as_bytes()),
            text: Some(text.into()),
            file: None,
            cut: None,
        };
        let short = one("short");
        assert_eq!(keeping.keep_one(short.clone()), short);
        let long = format!("begins{}ends", "é".repeat(20_000));
        let kept = keeping.keep_one(one(&long));
        assert_eq!((kept.sha256, kept.file), (Digest::of(long.as_bytes()), Some(long.len() as u64)));
        let shown = kept.text.clone().unwrap();
        assert!(shown.starts_with("begins") && shown.ends_with("ends") && shown.len() < 4 * SHOWN, "{}", shown.len());
        let path = state.join("evidence").join(kept.sha256.to_string());
        assert_eq!(std::fs::read_to_string(&path).unwrap(), long);

        // What `verify` says of it, by the record that names it.
        let resulted = serde_json::json!({ "label": "a:b", "event": {}, "to": "c", "evidence": [kept] }).to_string();
        let header = recover_engine::Header {
            run: recover_engine::RunId::new(recover_engine::Millis(1), [1; 10]),
            seq: 2,
            kind: recover_engine::Kind::Outcome,
            latch: recover_engine::Latch::None,
            key: recover_engine::Key::NONE,
            at: recover_engine::Millis(1),
            prev: Digest::ZERO,
        };
        let entries = [recover_engine::Entry::encode(header, "{}", &resulted).unwrap()];
        drop(keeping);
        drop(journal);
        let records = crate::records::Records::open(&state).unwrap();
        assert_eq!(records.wrong_files(&entries), [""; 0]);
        std::fs::write(&path, "altered").unwrap();
        assert!(records.wrong_files(&entries)[0].ends_with("was altered"));
        std::fs::remove_file(&path).unwrap();
        assert!(records.wrong_files(&entries)[0].ends_with("is missing"));
    }
}
