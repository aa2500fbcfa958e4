//! The state directory: opened for writing by the owner, read by everybody else.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use recover_engine::{
    Begun, Charter, Entry, Journal as _, JournalError, Kind, Latch, Phase, Position, Record, Run, RunId, Spent, charter,
};
use recover_journal::{
    Author, FileJournal, Follower, Host, OpenError, Options, ReadError, Reader, RunOverview, StateDir,
};
use serde_json::{Value, json};

use crate::fault::{Code, Exit, Fault, chain};
use crate::owner::result;

/// The fault that a failure of the journal is for a person.
pub(crate) fn journal_fault(error: &JournalError) -> Fault {
    use recover_engine::Conflict;
    let code = match error {
        JournalError::Poisoned(_) | JournalError::Closed => Code::NotWritable,
        JournalError::Damaged(_) => Code::Damaged,
        JournalError::Unreadable(_) => Code::Unreadable,
        JournalError::Conflict(Conflict::Held { .. }) => Code::Held,
        JournalError::Conflict(Conflict::Consumed { .. }) => Code::GuardRefused,
        JournalError::Conflict(Conflict::Blocked) => Code::Blocked,
        JournalError::Conflict(Conflict::Order { .. } | Conflict::Chain | Conflict::NotOpen)
        | JournalError::Entry(_) => Code::Bug,
    };
    Fault::new(code, error.to_string())
}

fn read_fault(error: &ReadError) -> Fault {
    let newer = matches!(error, ReadError::Damage(damage) if matches!(damage.what, recover_journal::What::Format(_)));
    let code = match error {
        ReadError::Damage(_) if newer => Code::TooNew,
        ReadError::Damage(_) => Code::Damaged,
        ReadError::Failed(_) => Code::Unreadable,
    };
    // Nothing is wrong with what a later build wrote, so it is not called damaged.
    let message = match error {
        ReadError::Damage(damage) if newer => format!("the journal was written by a later build: {damage}"),
        ReadError::Damage(_) | ReadError::Failed(_) => chain(error),
    };
    let fault = Fault::new(code, message);
    if newer {
        fault.hint("use the build that wrote it")
    } else if code == Code::Damaged {
        fault.hint("`recover journal verify` names every damaged place")
    } else {
        fault
    }
}

fn open_fault(error: &OpenError) -> Fault {
    let message = chain(error);
    match error {
        OpenError::Link(_) | OpenError::NotADirectory(_) | OpenError::Owner { .. } | OpenError::Writable { .. } => {
            Fault::new(Code::StateDirUnsafe, message).hint("it must be your own directory, mode 0700, and not a link")
        }
        OpenError::Locked { .. } => Fault::new(Code::OwnerGone, message),
        OpenError::OtherMachine { .. } => Fault::new(Code::OtherMachine, message)
            .hint("if the other machine is gone for good: recover journal adopt --reason …"),
        OpenError::Damage(damage) => read_fault(&ReadError::Damage(*damage)),
        OpenError::Failed(failed) => {
            use std::io::ErrorKind;
            let unwritable = matches!(
                failed.source.kind(),
                ErrorKind::StorageFull
                    | ErrorKind::ReadOnlyFilesystem
                    | ErrorKind::QuotaExceeded
                    | ErrorKind::FileTooLarge
                    | ErrorKind::Other
            ) || failed.source.raw_os_error() == Some(rustix::io::Errno::IO.raw_os_error());
            Fault::new(if unwritable { Code::NotWritable } else { Code::Unreadable }, message)
        }
        OpenError::Journal(error) => journal_fault(error),
    }
}

/// The run id that a person typed.
pub(crate) fn parse_run(text: &str) -> Result<RunId, Fault> {
    text.parse().map_err(|e: recover_engine::BadId| {
        Fault::new(Code::UnknownRun, format!("{text}: {e}")).hint("`recover list` shows the runs")
    })
}

fn damaged_run(error: impl std::fmt::Display) -> Fault {
    Fault::new(Code::Damaged, format!("a record cannot be read: {error}"))
}

/// The first record of a run.
pub(crate) fn begun_of(entries: &[Entry]) -> Result<Begun, Fault> {
    let first = entries.first().ok_or_else(|| Fault::new(Code::UnknownRun, "the run has no records"))?;
    match Record::parse(first.header().kind, first.payload()) {
        Ok(Record::Begun(begun)) => Ok(*begun),
        Ok(_) => Err(damaged_run("the run does not begin with its beginning")),
        Err(e) => Err(damaged_run(e)),
    }
}

/// A run folded again from its records.
pub(crate) struct Folded {
    pub(crate) position: Position,
    /// Whether this build's machine was asked too.
    pub(crate) machine: Asked,
}

/// Whether this build's typed machine agreed with a run's own graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    Agreed,
    VersionUnknown,
}

impl Asked {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Agreed => "this build's machine comes to the same states",
            Self::VersionUnknown => "this build does not know the scenario's version; the run's own graph was followed",
        }
    }
}

fn charter_of(entries: &[Entry]) -> Result<Charter, Fault> {
    let begun = begun_of(entries)?;
    match recover_scenarios::find(&begun.scenario) {
        Some(known) => known.charter_of(begun),
        None => charter(begun),
    }
    .map_err(|e| Fault::new(Code::Damaged, e.to_string()))
}

/// Folds a run: every hash, every transition against its own graph, every guard; and this build's machine where it knows
/// the version.
pub(crate) fn fold(entries: &[Entry]) -> Result<Folded, Fault> {
    let illegal =
        |e: &dyn std::error::Error| Fault::new(Code::Damaged, format!("the history is not legal: {}", chain(e)));
    let charter = Arc::new(charter_of(entries)?);
    let known = recover_scenarios::find(&charter.begun.scenario)
        .filter(|known| known.entry.version == charter.begun.version && known.digest() == charter.begun.digest);
    if let Some(known) = known {
        let machine = known.entry.begin(&charter.begun.params).map_err(|e| illegal(&e))?;
        let run = Run::resume(entries, charter, machine, "{}".into()).map_err(|e| illegal(&e))?;
        return Ok(Folded { position: run.position().clone(), machine: Asked::Agreed });
    }
    let (first, rest) = entries.split_first().ok_or_else(|| damaged_run("the run has no records"))?;
    let mut position = Position::begin(first.header(), first.hash(), charter).map_err(|e| illegal(&e))?;
    for entry in rest {
        let record = Record::parse(entry.header().kind, entry.payload()).map_err(damaged_run)?;
        position.advance(entry.header(), entry.hash(), record).map_err(|e| illegal(&e))?;
    }
    Ok(Folded { position, machine: Asked::VersionUnknown })
}

/// The journal, open for writing.
pub(crate) struct Store {
    journal: FileJournal,
    records: Records,
}

/// What came of opening for writing.
pub(crate) enum Opened {
    /// The lock is ours.
    Own(Box<Store>),
    /// Another process has it.
    Held {
        /// Its process id, as it wrote it.
        holder: u32,
    },
}

/// Makes the state directory if it is not there, readable by nobody else.
pub(crate) fn make_private(state: &Path) -> Result<(), Fault> {
    StateDir::open(state).map(drop).map_err(|e| open_fault(&e))
}

/// This machine, as a state directory is bound to it.
fn host() -> Result<Host, Fault> {
    Host::read().map_err(|e| Fault::caused(Code::Unreadable, "this machine's identity", &e))
}

impl Store {
    pub(crate) fn open(state: &Path) -> Result<Opened, Fault> {
        match FileJournal::open(state, &host()?, Options::default()) {
            Ok(journal) => {
                let records = Records { path: state.to_owned(), reader: journal.reader() };
                Ok(Opened::Own(Box::new(Self { journal, records })))
            }
            Err(OpenError::Locked { pid, .. }) => Ok(Opened::Held { holder: pid.unwrap_or_default() }),
            Err(e) => Err(open_fault(&e)),
        }
    }

    pub(crate) const fn journal(&self) -> &FileJournal {
        &self.journal
    }

    /// The open runs, as the owner's protocol knows them.
    pub(crate) fn begun_runs(&self) -> Result<Vec<(RunId, Begun, bool)>, Fault> {
        let mut runs = Vec::new();
        for (id, _) in self.journal.open_runs() {
            runs.push((id, self.records.begun(id)?, true));
        }
        Ok(runs)
    }

    /// The closed run that was begun with this request id.
    pub(crate) fn request(&self, request_id: &str) -> Result<Option<(RunId, Begun)>, Fault> {
        for run in self.records.runs()?.iter().rev().filter(|run| !run.open) {
            let begun = self.records.begun(run.id)?;
            if begun.request_id.as_deref() == Some(request_id) {
                return Ok(Some((run.id, begun)));
            }
        }
        Ok(None)
    }

    pub(crate) fn exists(&self, id: RunId) -> Result<(), Fault> {
        if self.journal.open_runs().iter().any(|(open, _)| *open == id) {
            return Ok(());
        }
        self.records.entries(id).map(drop)
    }

    pub(crate) fn entries(&self, id: RunId) -> Result<Vec<Entry>, Fault> {
        self.records.entries(id)
    }

    pub(crate) fn commits(&self, id: RunId) -> Result<u32, Fault> {
        self.records.commits(id)
    }

    pub(crate) fn closed_result(&self, id: RunId) -> Result<(Value, Exit), Fault> {
        let position = self.records.position(id)?;
        let Phase::Closed(ending) = &position.phase else {
            return Err(Fault::new(Code::UnknownRun, format!("{id} is not closed")));
        };
        let stop = recover_engine::Stop::Closed((**ending).clone());
        let (mut line, exit) = result::result(&position, &stop, self.commits(id)?, None);
        result::explain(&mut line, &self.records.entries(id)?);
        Ok((line, exit))
    }

    /// What earlier runs consumed of this subject.
    pub(crate) fn spent_on(&self, subject: &str) -> Result<Vec<Spent>, Fault> {
        let key = recover_engine::Key::subject(subject);
        let mut spent = Vec::new();
        for run in self.records.overviews()?.into_iter().filter(|run| run.subject == key && run.has(Kind::Intent)) {
            for entry in self.records.entries(run.run)? {
                let header = entry.header();
                if header.latch == Latch::Consume {
                    let restored = self.journal.effect(header.key).is_some_and(|effect| effect.restored);
                    spent.push(Spent { key: header.key, by: run.run, restored });
                }
            }
        }
        Ok(spent)
    }
}

/// One run in a list.
pub(crate) struct Listed {
    pub(crate) id: RunId,
    pub(crate) open: bool,
    pub(crate) records: u32,
}

fn listed(run: RunOverview) -> Listed {
    Listed { id: run.run, open: run.open, records: run.last_seq }
}

/// The records, read without the lock.
pub(crate) struct Records {
    path: PathBuf,
    reader: Reader,
}

impl Records {
    pub(crate) fn open(state: &Path) -> Result<Self, Fault> {
        if !state.exists() {
            return Err(Fault::new(Code::StateDirMissing, format!("{} is not there", state.display()))
                .hint("is --state-dir or --config the right one?"));
        }
        let reader = Reader::open(state).map_err(|e| read_fault(&e))?;
        Ok(Self { path: state.to_owned(), reader })
    }

    fn overviews(&self) -> Result<Vec<RunOverview>, Fault> {
        let mut listing = self.reader.runs().map_err(|e| read_fault(&e))?;
        listing.runs.retain(|run| run.run != RunId::JOURNAL);
        if let (true, Some(damage)) = (listing.runs.is_empty(), listing.damage.first()) {
            return Err(read_fault(&ReadError::Damage(*damage)));
        }
        Ok(listing.runs)
    }

    pub(crate) fn runs(&self) -> Result<Vec<Listed>, Fault> {
        Ok(self.overviews()?.into_iter().map(listed).collect())
    }

    /// The runs, and what keeps this from being all of them: where the log is damaged, more may have been there.
    pub(crate) fn listing(&self) -> Result<(Vec<Listed>, Option<Fault>), Fault> {
        let listing = self.reader.runs().map_err(|e| read_fault(&e))?;
        let runs = listing.runs.into_iter().filter(|run| run.run != RunId::JOURNAL).map(listed).collect();
        Ok((runs, listing.damage.first().map(|damage| read_fault(&ReadError::Damage(*damage)))))
    }

    /// Where every open run is, or why that cannot be told, in one pass over the log; and what keeps this from being all.
    pub(crate) fn open_positions(&self) -> Result<(Vec<Result<Position, Fault>>, Option<Fault>), Fault> {
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
            let path = self.path.join("evidence").join(named.sha256.to_string());
            let what = match std::fs::read(&path) {
                Ok(bytes) if recover_engine::Digest::of(&bytes) == named.sha256 => continue,
                Ok(_) => "was altered".to_owned(),
                Err(e) if e.kind() == std::io::ErrorKind::NotFound => "is missing".to_owned(),
                Err(e) => format!("cannot be read: {e}"),
            };
            wrong.push(format!("evidence {} ({}) {what}", named.name, named.sha256));
        }
        wrong
    }

    /// The durable commits that a run took: the frames that hold its records.
    pub(crate) fn commits(&self, id: RunId) -> Result<u32, Fault> {
        let stored = self.reader.run(id).map_err(|e| read_fault(&e))?;
        let mut frames: Vec<u64> = stored.into_iter().map(|stored| stored.frame).collect();
        frames.dedup();
        Ok(u32::try_from(frames.len()).unwrap_or(u32::MAX))
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

/// See `recover journal salvage`.
pub(crate) fn salvage(state: &Path, reason: &str, actor: &str, at: recover_engine::Millis) -> Result<Value, Fault> {
    // What a later build wrote is whole, and not for this one to seal as damage.
    let report = Reader::open(state).and_then(|reader| reader.verify()).map_err(|e| read_fault(&e))?;
    if let Some(newer) = report.damage.iter().find(|damage| matches!(damage.what, recover_journal::What::Format(_))) {
        return Err(read_fault(&ReadError::Damage(*newer)));
    }
    let author = Author { actor, at };
    let salvage =
        recover_journal::salvage(state, &host()?, Options::default(), author, reason).map_err(|e| open_fault(&e))?;
    let mut blocked: Vec<String> = salvage.blocked.iter().map(ToString::to_string).collect();
    if salvage.all_blocked {
        // The key that stands for every subject that could not be named.
        blocked.push(recover_engine::Key::NONE.to_string());
    }
    let damage: Vec<String> = salvage.damage.iter().map(ToString::to_string).collect();
    Ok(json!({
        "schema": "recover.salvage/v1", "sealed": salvage.sealed, "damage": damage, "blocked": blocked,
        "all_blocked": salvage.all_blocked,
    }))
}

/// See `recover journal adopt`.
pub(crate) fn adopt(state: &Path, reason: &str, actor: &str, at: recover_engine::Millis) -> Result<(), Fault> {
    FileJournal::adopt(state, &host()?, Options::default(), Author { actor, at }, reason)
        .map(drop)
        .map_err(|e| open_fault(&e))
}

/// See `recover journal clear`.
pub(crate) fn clear(
    state: &Path,
    subject: &str,
    reason: &str,
    actor: &str,
    at: recover_engine::Millis,
) -> Result<(), Fault> {
    let key = subject.parse().map_err(|e: recover_engine::BadId| Fault::new(Code::Usage, format!("{subject}: {e}")))?;
    let journal = FileJournal::open(state, &host()?, Options::default()).map_err(|e| open_fault(&e))?;
    journal.clear(key, Author { actor, at }, reason).map(drop).map_err(|e| journal_fault(&e))
}
