//! The state directory: opened for writing by the owner, read by everybody else.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;

use recover_engine::{
    Baseline, Begun, Charter, Earlier, Ending, Entry, Journal as _, JournalError, Json, Kind, Latch, Millis, Noted,
    Phase, Position, Record, Run, RunId, Spent, charter,
};
use recover_journal::{Author, FileJournal, Host, OpenError, Options, ReadError, Reader, StateDir};
use serde_json::{Value, json};

use crate::fault::{Code, Exit, Fault, chain};
use crate::owner::result;
use crate::records::{Recorded, Records};

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

pub(crate) fn read_fault(error: &ReadError) -> Fault {
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
    /// That machine, where this build knows the version.
    pub(crate) typed: Option<Box<dyn recover_engine::Machine>>,
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
        let typed = Some(run.machine().boxed_clone());
        return Ok(Folded { position: run.position().clone(), machine: Asked::Agreed, typed });
    }
    let (first, rest) = entries.split_first().ok_or_else(|| damaged_run("the run has no records"))?;
    let mut position = Position::begin(first.header(), first.hash(), charter).map_err(|e| illegal(&e))?;
    for entry in rest {
        let record = Record::parse(entry.header().kind, entry.payload()).map_err(damaged_run)?;
        position.advance(entry.header(), entry.hash(), record).map_err(|e| illegal(&e))?;
    }
    Ok(Folded { position, machine: Asked::VersionUnknown, typed: None })
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
    Host::read().map_err(|e| {
        Fault::caused(Code::Unreadable, "this machine's identity", &e)
            .hint("in a container, give it the host's: --volume /etc/machine-id:/etc/machine-id:ro")
    })
}

/// Removes what a crash left of texts whose record was not committed. Only a run that is still open can have left one, and what
/// cannot be removed is in nobody's way.
fn sweep(journal: &FileJournal) {
    if journal.open_runs().is_empty() {
        return;
    }
    match journal.sweep() {
        Ok(swept) if swept.is_empty() => {}
        Ok(swept) => tracing::info!(?swept, "captured texts that no record names were removed"),
        Err(error) => tracing::warn!(error = chain(&error), "captured texts that no record names stay"),
    }
}

impl Store {
    /// See [`Records::baseline`].
    pub(crate) fn baseline_of(&self, subject: &str) -> Result<Option<Recorded>, Fault> {
        self.records.baseline(subject)
    }

    pub(crate) fn open(state: &Path) -> Result<Opened, Fault> {
        match FileJournal::open(state, &host()?, Options::default()) {
            Ok(journal) => {
                sweep(&journal);
                let records = Records::of(state, journal.reader());
                Ok(Opened::Own(Box::new(Self { journal, records })))
            }
            Err(OpenError::Locked { pid, .. }) => Ok(Opened::Held { holder: pid.unwrap_or_default() }),
            Err(e) => Err(open_fault(&e)),
        }
    }

    pub(crate) const fn journal(&self) -> &FileJournal {
        &self.journal
    }

    /// Records how a target is when it is well.
    pub(crate) fn baseline(&self, actor: &str, baseline: &Baseline, at: Millis) -> Result<(), Fault> {
        self.journal.baseline(Author { actor, at }, baseline).map(drop).map_err(|e| journal_fault(&e))
    }

    /// Records that nothing is begun for an alert.
    pub(crate) fn dismiss(&self, actor: &str, reason: String, alert: Json) -> Result<(), Fault> {
        let author = Author { actor, at: crate::clock::now() };
        let dismissed = Noted { reason, data: alert };
        self.journal.dismiss(author, &dismissed).map(drop).map_err(|e| journal_fault(&e))
    }

    /// The open runs, as the owner's protocol knows them.
    pub(crate) fn begun_runs(&self) -> Result<Vec<(RunId, Begun, bool)>, Fault> {
        let mut runs = Vec::new();
        for (id, _) in self.journal.open_runs() {
            runs.push((id, self.records.begun(id)?, true));
        }
        Ok(runs)
    }

    /// Closed runs by the request that began them.
    pub(crate) fn requests(&self) -> Result<HashMap<String, RunId>, Fault> {
        let mut requests = HashMap::new();
        for run in self.records.runs()?.iter().filter(|run| !run.open) {
            if let Some(request) = self.records.begun(run.id)?.request_id {
                requests.insert(request, run.id);
            }
        }
        Ok(requests)
    }

    pub(crate) fn begun(&self, id: RunId) -> Result<Begun, Fault> {
        self.records.begun(id)
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

    pub(crate) fn position(&self, id: RunId) -> Result<Position, Fault> {
        self.records.position(id)
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

    /// The runs that were begun within that time, or closed in it, or are open.
    pub(crate) fn since(&self, now: Millis, reach_ms: u64) -> Result<Vec<Earlier>, Fault> {
        if reach_ms == 0 {
            return Ok(Vec::new());
        }
        let mut earlier = Vec::new();
        let recent = |at: Millis| now < at.plus(reach_ms);
        for run in self.records.overviews()?.into_iter().filter(|run| recent(run.last_at)) {
            // One that cannot be read any more is neither counted nor in the way of the next.
            let Ok(entries) = self.records.entries(run.run) else { continue };
            let Ok(begun) = begun_of(&entries) else { continue };
            let closed = entries.last().filter(|entry| entry.header().kind == Kind::Closed);
            let closed = closed.and_then(|entry| {
                let ending: Ending = serde_json::from_str(entry.payload()).ok()?;
                Some((entry.header().at, ending.verdict))
            });
            earlier.push(Earlier {
                run: run.run,
                scenario: begun.scenario,
                subject: run.subject,
                begun_at: run.begun_at,
                closed,
            });
        }
        Ok(earlier)
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

/// See `recover baseline record`.
pub(crate) fn baseline(
    state: &Path,
    baseline: &Baseline,
    actor: &str,
    at: recover_engine::Millis,
) -> Result<(), Fault> {
    match Store::open(state)? {
        Opened::Own(store) => store.baseline(actor, baseline, at),
        Opened::Held { holder } => {
            Err(Fault::new(Code::RunLive, format!("process {holder} executes runs of this state directory"))
                .hint("record the baseline when it is done"))
        }
    }
}
