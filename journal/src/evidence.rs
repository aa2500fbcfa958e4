//! Captured texts too large for a record, by their SHA-256. They are durable before the record that names them is written.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use recover_engine::{Digest, Kind, Receipt};

use crate::error::{Failed, ReadError};
use crate::follow::Follower;
use crate::storage::{Access, Storage, read_file, replace};

const FOLDER: &str = "evidence";

/// The evidence of a state directory.
#[derive(Clone)]
pub struct Evidence {
    storage: Arc<dyn Storage>,
}

impl std::fmt::Debug for Evidence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Evidence").finish_non_exhaustive()
    }
}

/// Why evidence could not be had.
#[derive(Debug, thiserror::Error)]
pub enum EvidenceError {
    /// There is none with this digest.
    #[error("there is no evidence {0}")]
    Missing(Digest),
    /// The file is not what its name says.
    #[error("evidence {0} was altered")]
    Altered(Digest),
    /// The system said no.
    #[error(transparent)]
    Failed(#[from] Failed),
}

impl Evidence {
    /// The evidence in this storage.
    #[must_use]
    pub fn new(storage: Arc<dyn Storage>) -> Self {
        Self { storage }
    }

    /// Keeps a text, which must hold no secret. When this returns it survives a power cut.
    ///
    /// # Errors
    /// The system's.
    pub fn put(&self, bytes: &[u8]) -> Result<Digest, Failed> {
        let digest = Digest::of(bytes);
        let failed = || Failed::to(format!("keep evidence {digest}"));
        self.storage.create_dir(FOLDER).map_err(failed())?;
        self.storage.sync_dir("").map_err(failed())?;
        // Written again even if it is there: it may be visible without being durable.
        replace(&*self.storage, FOLDER, &digest.to_string(), bytes).map_err(failed())?;
        Ok(digest)
    }

    /// A text that was kept, checked against its digest.
    ///
    /// # Errors
    /// If it is not there, was altered, or cannot be read.
    pub fn get(&self, digest: Digest) -> Result<Vec<u8>, EvidenceError> {
        let mut bytes = Vec::new();
        match read_file(&*self.storage, &format!("{FOLDER}/{digest}"), &mut bytes) {
            Ok(()) if Digest::of(&bytes) == digest => Ok(bytes),
            Ok(()) => Err(EvidenceError::Altered(digest)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Err(EvidenceError::Missing(digest)),
            Err(error) => Err(Failed::to(format!("read evidence {digest}"))(error).into()),
        }
    }

    /// Every digest that a text is kept under.
    ///
    /// # Errors
    /// The system's.
    pub fn list(&self) -> Result<Vec<Digest>, Failed> {
        let names = self.storage.list(FOLDER).map_err(Failed::to("list the evidence"))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Whether one can be read without reading it.
    #[must_use]
    pub fn has(&self, digest: Digest) -> bool {
        self.storage.open(&format!("{FOLDER}/{digest}"), Access::Read).is_ok()
    }
}

/// The length of a digest in hexadecimal.
const DIGEST_LEN: usize = 64;
/// What a text is called while it is written.
const UNFINISHED: &str = ".new";

/// Removes every text that no record names, and gives their names. See [`crate::FileJournal::sweep`].
pub(crate) fn sweep(storage: &Arc<dyn Storage>, head: Receipt) -> Result<Vec<String>, ReadError> {
    let names = storage.list(FOLDER).map_err(Failed::to("list the evidence"))?;
    let digest_of = |name: &str| -> Option<Digest> { name.strip_suffix(UNFINISHED).unwrap_or(name).parse().ok() };
    let mut nameless: BTreeSet<Digest> =
        names.iter().filter(|name| !name.ends_with(UNFINISHED)).filter_map(|name| digest_of(name)).collect();
    if !names.iter().any(|name| digest_of(name).is_some()) || !strike_named(storage, head, &mut nameless)? {
        return Ok(Vec::new());
    }
    let mut swept = Vec::new();
    // What else is in the folder is none of ours.
    for name in names {
        let Some(digest) = digest_of(&name) else { continue };
        if name.ends_with(UNFINISHED) || nameless.contains(&digest) {
            storage.remove(&format!("{FOLDER}/{name}")).map_err(Failed::to(format!("remove evidence {name}")))?;
            swept.push(name);
        }
    }
    Ok(swept)
}

/// Takes away every digest that stands in a record, whatever the record means by it. False if not every frame was there, or if
/// there was a salvage: where records were lost, nobody can tell what they named, and not always that they were there.
fn strike_named(storage: &Arc<dyn Storage>, head: Receipt, all: &mut BTreeSet<Digest>) -> Result<bool, ReadError> {
    let mut follower = Follower::new(Arc::clone(storage), 0);
    let mut read = 0;
    loop {
        let frames = follower.poll(head.frame)?;
        if frames.is_empty() {
            return Ok(read == head.frame);
        }
        for frame in frames {
            read += 1;
            if frame.entries.iter().any(|entry| entry.header().kind == Kind::Salvaged) {
                return Ok(false);
            }
            for digest in frame.entries.iter().flat_map(|entry| digests_in(entry.payload())) {
                all.remove(&digest);
            }
        }
    }
}

/// Every word of a text that can be a digest.
fn digests_in(text: &str) -> impl Iterator<Item = Digest> {
    text.split(|c: char| !c.is_ascii_hexdigit())
        .filter(|word| word.len() == DIGEST_LEN)
        .filter_map(|word| word.parse().ok())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use recover_engine::{Key, Latch};

    use super::*;
    use crate::DiskStorage;
    use crate::segment::ACKED;
    use crate::testing::entries::{self, Script, id, subject};
    use crate::testing::sim::{Fate, SimStorage};
    use crate::{CommitLog, Options};

    const SMALL: Options = Options { segment_len: 4096 };

    #[test]
    fn what_is_printed_of_it_says_nothing_of_what_is_in_it() {
        let evidence = Evidence::new(Arc::new(SimStorage::new()));
        evidence.put(b"captured").unwrap();
        assert_eq!(format!("{evidence:?}"), "Evidence { .. }");
    }

    #[test]
    fn what_was_put_survives_a_power_cut_and_is_checked() {
        let storage = SimStorage::new();
        let digest = Evidence::new(Arc::new(storage.clone())).put(b"captured").unwrap();
        let after = storage.power_cut(storage.len(), |_, _| Fate::Lost);
        let evidence = Evidence::new(Arc::new(after.clone()));
        assert_eq!(evidence.get(digest).unwrap(), b"captured");
        assert_eq!(evidence.list().unwrap(), [digest]);
        let file = after.open(&format!("evidence/{digest}"), Access::Write).unwrap();
        file.write_at(b"C", 0).unwrap();
        assert!(matches!(evidence.get(digest), Err(EvidenceError::Altered(_))));
        assert!(matches!(evidence.get(Digest::ZERO), Err(EvidenceError::Missing(_))));
    }

    #[test]
    fn what_is_there_can_be_told_from_what_is_not_without_reading_it() {
        let evidence = Evidence::new(Arc::new(SimStorage::new()));
        let digest = evidence.put(b"captured").unwrap();
        assert!(evidence.has(digest));
        assert!(!evidence.has(Digest::ZERO));
    }

    #[test]
    fn what_cannot_be_read_is_not_called_missing() {
        let dir = tempfile::tempdir().unwrap();
        let evidence = Evidence::new(Arc::new(DiskStorage::open(dir.path()).unwrap()));
        std::fs::create_dir_all(dir.path().join(FOLDER).join(Digest::ZERO.to_string())).unwrap();
        assert!(matches!(evidence.get(Digest::ZERO), Err(EvidenceError::Failed(_))));
    }

    /// A run whose second record names a text, as a process writes it that is killed at some moment; gives what it named.
    fn write(storage: &SimStorage) -> (Digest, Digest) {
        let shared: Arc<dyn Storage> = Arc::new(storage.clone());
        let evidence = Evidence::new(Arc::clone(&shared));
        let log = CommitLog::open_inline(shared, SMALL).unwrap();
        let mut script = Script::new(id(1));
        log.append_blocking(vec![script.begin(subject(1))]).unwrap();
        let mut named = || {
            let digest = evidence.put(format!("captured {}", log.head().frame).as_bytes()).unwrap();
            let payload = format!(r#"{{"evidence":[{{"name":"n","sha256":"{digest}"}}]}}"#);
            log.append_blocking(vec![script.next(Kind::Outcome, Latch::None, Key::NONE, &payload)]).unwrap();
            log.settled();
            digest
        };
        (named(), named())
    }

    #[test]
    fn after_a_kill_at_any_moment_what_no_record_names_is_swept_and_nothing_else() {
        let storage = SimStorage::new();
        let (first, second) = write(&storage);
        let (mut swept_whole, mut swept_unfinished) = (0, 0);
        for cut in 0..=storage.len() {
            for fate in [Fate::Lost, Fate::Kept] {
                let left: Arc<dyn Storage> = Arc::new(storage.power_cut(cut, |_, _| fate));
                let log = CommitLog::open_inline(Arc::clone(&left), SMALL).unwrap();
                let swept = sweep(&left, log.head()).unwrap();
                swept_whole += swept.iter().filter(|name| !name.ends_with(UNFINISHED)).count();
                swept_unfinished += swept.iter().filter(|name| name.ends_with(UNFINISHED)).count();
                // The frames are: begun, the first outcome, the second.
                let named = match log.head().frame {
                    0 | 1 => vec![],
                    2 => vec![first],
                    _ => vec![first, second],
                };
                let evidence = Evidence::new(Arc::clone(&left));
                let mut sorted = named.clone();
                sorted.sort_unstable();
                assert_eq!(evidence.list().unwrap(), sorted, "cut after {cut}, {fate:?}");
                named.iter().for_each(|digest| drop(evidence.get(*digest).unwrap()));
                assert_eq!(sweep(&left, log.head()).unwrap(), [""; 0], "once is enough");
            }
        }
        assert!(swept_whole > 2 && swept_unfinished > 2, "{swept_whole}, {swept_unfinished}");
    }

    /// A log of one segment with [`write`] in it, after this damage and a salvage.
    fn salvaged(damage: impl FnOnce(&mut BTreeMap<String, Vec<u8>>)) -> (Arc<dyn Storage>, CommitLog) {
        let storage = SimStorage::new();
        let (first, second) = write(&storage);
        let mut files = storage.files();
        let text = String::from_utf8_lossy(&files[SEGMENT]).into_owned();
        assert!(text.contains(&first.to_string()) && text.contains(&second.to_string()));
        damage(&mut files);
        let left: Arc<dyn Storage> = Arc::new(SimStorage::of(files));
        let author = crate::Author { actor: entries::ACTOR, at: recover_engine::Millis(1) };
        crate::testing::salvage(&left, SMALL, author, "a test").unwrap();
        let log = CommitLog::open_inline(Arc::clone(&left), SMALL).unwrap();
        (left, log)
    }

    const SEGMENT: &str = "log/00000001.seg";

    #[test]
    fn where_records_were_lost_to_damage_every_text_stays() {
        let (left, log) = salvaged(|files| {
            let segment = files.get_mut(SEGMENT).unwrap();
            let at = segment.windows(8).position(|bytes| bytes == b"evidence").unwrap();
            segment[at] ^= 1;
        });
        assert_eq!(sweep(&left, log.head()).unwrap(), [""; 0]);
        assert_eq!(Evidence::new(left).list().unwrap().len(), 2);
    }

    #[test]
    fn where_nobody_can_tell_any_more_that_a_record_was_lost_every_text_stays() {
        let (left, log) = salvaged(|files| {
            // The last frame is gone, and so is the mark that it was acknowledged.
            let segment = files.get_mut(SEGMENT).unwrap();
            let at = segment.windows(8).rposition(|bytes| bytes == b"evidence").unwrap();
            let at = segment[..at].windows(8).rposition(|bytes| bytes == crate::frame::MAGIC).unwrap();
            segment[at..].fill(0);
            files.get_mut(ACKED).unwrap().clear();
        });
        assert_eq!(log.head().frame, 3, "the number of the lost frame is the next one's");
        assert_eq!(sweep(&left, log.head()).unwrap(), [""; 0]);
        assert_eq!(Evidence::new(left).list().unwrap().len(), 2);
    }
}
