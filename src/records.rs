//! The records of a state directory, read without its lock: while an owner writes, on a full disk, on a read-only copy.

use std::path::{Path, PathBuf};

use recover_engine::{Baseline, Begun, Entry, Kind, Millis, Phase, Position, RunId};
use recover_journal::{EvidenceError, Follower, ReadError, Reader, RunOverview};
use serde_json::{Value, json};

use crate::fault::{Code, Fault};
use crate::store::{begun_of, fold, read_fault};

/// What could be read, and what keeps it from being all: where the log is damaged, more may have been there.
pub(crate) type Found<T> = (Vec<T>, Option<Fault>);

/// One run in a list.
pub(crate) struct Listed {
    pub(crate) id: RunId,
    pub(crate) open: bool,
    pub(crate) records: u32,
}

fn listed(run: RunOverview) -> Listed {
    Listed { id: run.run, open: run.open, records: run.last_seq }
}

/// How a target is when it is well, as a person recorded it.
pub(crate) struct Recorded {
    pub(crate) baseline: Baseline,
    /// When.
    pub(crate) at: Millis,
    /// Who.
    pub(crate) actor: Value,
}

/// The records, read without the lock.
pub(crate) struct Records {
    path: PathBuf,
    reader: Reader,
}

impl Records {
    /// Those of the journal that this reads.
    pub(crate) fn of(state: &Path, reader: Reader) -> Self {
        Self { path: state.to_owned(), reader }
    }

    pub(crate) fn open(state: &Path) -> Result<Self, Fault> {
        if !state.exists() {
            return Err(Fault::new(Code::StateDirMissing, format!("{} is not there", state.display()))
                .hint("is --state-dir or --config the right one?"));
        }
        Reader::open(state).map(|reader| Self::of(state, reader)).map_err(|e| read_fault(&e))
    }

    pub(crate) fn overviews(&self) -> Result<Vec<RunOverview>, Fault> {
        let listing = self.reader.runs().map_err(|e| read_fault(&e))?;
        if let (true, Some(damage)) = (listing.runs.is_empty(), listing.damage.first()) {
            return Err(read_fault(&ReadError::Damage(*damage)));
        }
        Ok(listing.runs)
    }

    pub(crate) fn runs(&self) -> Result<Vec<Listed>, Fault> {
        Ok(self.overviews()?.into_iter().map(listed).collect())
    }

    /// The runs, and what keeps this from being all of them: where the log is damaged, more may have been there.
    pub(crate) fn listing(&self) -> Result<Found<Listed>, Fault> {
        let listing = self.reader.runs().map_err(|e| read_fault(&e))?;
        let runs = listing.runs.into_iter().map(listed).collect();
        Ok((runs, listing.damage.first().map(|damage| read_fault(&ReadError::Damage(*damage)))))
    }

    /// Where every open run is, or why that cannot be told, in one pass over the log; and what keeps this from being all.
    pub(crate) fn open_positions(&self) -> Result<Found<Result<Position, Fault>>, Fault> {
        let open = self.reader.open_runs().map_err(|e| read_fault(&e))?;
        let position = |entries: Result<Vec<recover_journal::StoredEntry>, ReadError>| {
            let entries: Vec<Entry> =
                entries.map_err(|e| read_fault(&e))?.into_iter().map(|stored| stored.entry).collect();
            fold(&entries).map(|folded| folded.position)
        };
        let runs = open.runs.into_iter().map(|(_, entries)| position(entries)).collect();
        Ok((runs, open.damage.first().map(|damage| read_fault(&ReadError::Damage(*damage)))))
    }

    pub(crate) fn open_runs(&self) -> Result<Vec<RunId>, Fault> {
        Ok(self.overviews()?.into_iter().filter(|run| run.open).map(|run| run.run).collect())
    }

    pub(crate) fn entries(&self, id: RunId) -> Result<Vec<Entry>, Fault> {
        let stored = self.reader.run(id).map_err(|e| read_fault(&e))?;
        if stored.is_empty() {
            return Err(Fault::new(Code::UnknownRun, format!("there is no {id} in {}", self.path.display()))
                .hint("`recover list` shows the runs"));
        }
        Ok(stored.into_iter().map(|stored| stored.entry).collect())
    }

    /// The files that these records name and that are not what was captured, each with what is wrong.
    pub(crate) fn wrong_files(&self, entries: &[Entry]) -> Vec<String> {
        let mut wrong = Vec::new();
        for named in entries.iter().flat_map(crate::keeping::named).filter(|named| named.file.is_some()) {
            let what = match self.reader.evidence().get(named.sha256) {
                Ok(_) => continue,
                Err(EvidenceError::Altered(_)) => "was altered".to_owned(),
                Err(EvidenceError::Missing(_)) => "is missing".to_owned(),
                Err(EvidenceError::Failed(failed)) => format!("cannot be read: {}", failed.source),
            };
            wrong.push(format!("evidence {} ({}) {what}", named.name, named.sha256));
        }
        wrong
    }

    /// The captured texts that these records name and that are in files.
    pub(crate) fn texts(&self, entries: &[Entry]) -> Result<Vec<String>, Fault> {
        if let Some(wrong) = self.wrong_files(entries).first() {
            return Err(Fault::new(Code::Damaged, wrong.clone()));
        }
        let mut named: Vec<_> = entries
            .iter()
            .flat_map(crate::keeping::named)
            .filter(|evidence| evidence.file.is_some())
            .map(|evidence| evidence.sha256)
            .collect();
        named.sort_unstable();
        named.dedup();
        let text = |digest| {
            let bytes = self.reader.evidence().get(digest).map_err(|e| Fault::new(Code::Damaged, e.to_string()))?;
            String::from_utf8(bytes).map_err(|_| Fault::new(Code::Damaged, format!("evidence {digest} is no text")))
        };
        named.into_iter().map(text).collect()
    }

    /// The durable commits that a run took: the frames that hold its records.
    pub(crate) fn commits(&self, id: RunId) -> Result<u32, Fault> {
        let stored = self.reader.run(id).map_err(|e| read_fault(&e))?;
        let mut frames: Vec<u64> = stored.into_iter().map(|stored| stored.frame).collect();
        frames.dedup();
        Ok(u32::try_from(frames.len()).unwrap_or(u32::MAX))
    }

    /// The last baseline that was recorded of what runs on this subject are about.
    pub(crate) fn baseline(&self, subject: &str) -> Result<Option<Recorded>, Fault> {
        let stored = self.reader.run(RunId::JOURNAL).map_err(|e| read_fault(&e))?;
        let entries = stored.iter().rev().map(|stored| &stored.entry);
        for entry in entries.filter(|entry| entry.header().kind == Kind::Baselined) {
            let failed = |e: serde_json::Error| Fault::caused(Code::Damaged, "a baseline", &e);
            let baseline: Baseline = serde_json::from_str(entry.payload()).map_err(failed)?;
            if baseline.subject == subject {
                let actor = serde_json::from_str(entry.actor()).map_err(failed)?;
                return Ok(Some(Recorded { baseline, at: entry.header().at, actor }));
            }
        }
        Ok(None)
    }

    /// The journal's own records, which are about no run.
    pub(crate) fn own(&self) -> Result<Vec<Entry>, Fault> {
        let stored = self.reader.run(RunId::JOURNAL).map_err(|e| read_fault(&e))?;
        Ok(stored.into_iter().map(|stored| stored.entry).collect())
    }

    /// The requests of alerts that a person dismissed.
    pub(crate) fn dismissed(&self) -> Result<Vec<String>, Fault> {
        let own = self.own()?;
        let request = |entry: &Entry| {
            let payload: Value = serde_json::from_str(entry.payload()).ok()?;
            Some(payload["data"]["request_id"].as_str()?.to_owned())
        };
        Ok(own.iter().filter(|entry| entry.header().kind == Kind::Dismissed).filter_map(request).collect())
    }

    pub(crate) fn begun(&self, id: RunId) -> Result<Begun, Fault> {
        begun_of(&self.entries(id)?)
    }

    pub(crate) fn position(&self, id: RunId) -> Result<Position, Fault> {
        fold(&self.entries(id)?).map(|folded| folded.position)
    }

    /// The open run on a target of this name.
    pub(crate) fn open_on(&self, target: &str) -> Result<Option<RunId>, Fault> {
        for id in self.open_runs()? {
            if self.begun(id)?.target == target {
                return Ok(Some(id));
            }
        }
        Ok(None)
    }

    /// The open question, where exactly one run has one: run, question number, choices.
    pub(crate) fn open_question(&self) -> Result<Option<(String, u32, Vec<String>)>, Fault> {
        let mut found = None;
        for id in self.open_runs()? {
            if let Phase::Asked { seq, asked } = &self.position(id)?.phase {
                let choices = asked.question.choices.iter().map(|c| c.id.clone().into_owned()).collect();
                if found.replace((id.to_string(), *seq, choices)).is_some() {
                    return Ok(None);
                }
            }
        }
        Ok(found)
    }

    /// Whether some process owns the state directory now.
    pub(crate) fn owner_lives(&self) -> bool {
        let Ok(lock) = std::fs::File::open(self.path.join("lock")) else { return false };
        rustix::fs::flock(&lock, rustix::fs::FlockOperation::NonBlockingLockShared).is_err()
    }

    /// Frames after this one.
    pub(crate) fn follower(&self, after: u64) -> Follower {
        self.reader.follow(after)
    }

    pub(crate) fn follow(&self, run: Option<RunId>) -> Result<Follow, Fault> {
        let after = match run {
            Some(_) => 0,
            None => self.reader.head().map_err(|e| read_fault(&e))?.frame,
        };
        Ok(Follow { follower: self.reader.follow(after), run })
    }

    pub(crate) fn verify_log(&self) -> Result<Value, Fault> {
        let report = self.reader.verify().map_err(|e| read_fault(&e))?;
        let damage: Vec<String> = report.damage.iter().map(ToString::to_string).collect();
        Ok(json!({
            "frames": report.frames, "records": report.records, "runs": report.runs, "torn_tail": report.torn_tail.is_some(), "sealed": report.sealed,
            "head": format!("{}:{}", report.head.frame, report.head.head), "damage": damage,
        }))
    }

    /// Sizes and counts.
    pub(crate) fn stats(&self) -> Result<Value, Fault> {
        let runs = self.overviews()?;
        let head = self.reader.head().map_err(|e| read_fault(&e))?;
        let sizes = |folder: &str| -> (u64, u64) {
            let Ok(entries) = std::fs::read_dir(self.path.join(folder)) else { return (0, 0) };
            let lengths = entries.filter_map(|entry| entry.ok()?.metadata().ok()).filter(std::fs::Metadata::is_file);
            lengths.fold((0, 0), |(files, bytes), file| (files + 1, bytes + file.len()))
        };
        let ((segments, log), (_, index), (texts, evidence)) = (sizes("log"), sizes("index"), sizes("evidence"));
        Ok(json!({
            "schema": "recover.stats/v1", "frames": head.frame, "head": format!("{}:{}", head.frame, head.head),
            "runs": runs.len(), "open": runs.iter().filter(|run| run.open).count(),
            "records": runs.iter().map(|run| u64::from(run.last_seq)).sum::<u64>(),
            "log": { "files": segments, "bytes": log }, "index": { "bytes": index },
            "evidence": { "files": texts, "bytes": evidence },
        }))
    }

    /// Whether the log still contains a head that was printed earlier, as `FRAME:HASH`.
    pub(crate) fn contains_head(&self, head: &str) -> Result<(), Fault> {
        let bad = || Fault::new(Code::Usage, format!("{head} is not a head such as 12:<64 hexadecimal digits>"));
        let (frame, hash) = head.split_once(':').ok_or_else(bad)?;
        let frame: u64 = frame.parse().map_err(|_| bad())?;
        let hash: recover_engine::Digest = hash.parse().map_err(|_| bad())?;
        let mut follower = self.reader.follow(frame.saturating_sub(1));
        let frames = follower.poll(frame).map_err(|e| read_fault(&e))?;
        if frames.iter().any(|found| found.number == frame && found.hash == hash) {
            return Ok(());
        }
        Err(Fault::new(Code::AnchorMissing, format!("frame {frame} with that hash is not in {}", self.path.display())))
    }
}

/// Records as they come.
pub(crate) struct Follow {
    follower: Follower,
    run: Option<RunId>,
}

impl Follow {
    /// What has come since the last call; empty if nothing has.
    pub(crate) fn next(&mut self) -> Result<Vec<Entry>, Fault> {
        let frames = self.follower.poll(u64::MAX).map_err(|e| read_fault(&e))?;
        let mut entries = Vec::new();
        for entry in frames.into_iter().flat_map(|frame| frame.entries) {
            let header = *entry.header();
            if self.run.is_none_or(|run| run == header.run) {
                entries.push(entry);
            }
        }
        Ok(entries)
    }
}
