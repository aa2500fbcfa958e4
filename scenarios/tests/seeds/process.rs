//! One process: the owner of the journal and the runs that it executes, each a future that is polled when what it waits for
//! has come. A kill drops them all.

use std::collections::BTreeMap;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use recover_engine::{
    DriveError, Entry, JournalError, Kind, Owner, Phase, Record, Request, Run, RunId, Stop, Verdict, Wish, Woken, drive,
};

use crate::broken::{Broken, Invariant};
use crate::faults::Fault;
use crate::port::{Answer, Call, Plant, Port, Wire, lock};
use crate::sim::{Number, Outside, Sim, note};
use crate::watch::Watch;
use crate::words::{Said, meaning};

type Driven = Pin<Box<dyn Future<Output = Result<Stop, DriveError>>>>;

/// A run that is executed.
pub(crate) struct Task {
    driven: Driven,
    pub(crate) wire: Arc<Mutex<Wire>>,
    pub(crate) call: Option<Call>,
    /// The outside has answered, and the answer is on its way.
    pub(crate) answer: Option<Answer>,
    /// What clients want of it: which kinds of record say that it was done, and after which record.
    pub(crate) wanted: BTreeMap<u64, (&'static [Kind], usize)>,
    /// Replies that were looked at.
    heard: usize,
}

/// See the file's first line.
#[derive(Default)]
pub(crate) struct Process {
    pub(crate) owner: Owner,
    pub(crate) live: BTreeMap<RunId, Task>,
}

/// What can happen next.
enum Ready {
    /// What waits to be written becomes durable, in one frame.
    Sync,
    /// The run's call reaches the outside.
    Reach(RunId),
    /// The answer reaches the run.
    Hear(RunId),
    /// A request reaches a run that waits.
    Wake(RunId),
}

pub(crate) fn goes_on(what: impl Into<String>) -> Broken {
    Broken::new(Invariant::GoesOn, what)
}

/// The kinds of record of which one must be durable before a wish is said to be done; none where it leaves no record.
pub(crate) const fn done(wish: &Wish) -> &'static [Kind] {
    match wish {
        Wish::Answer { .. } => &[Kind::Answered, Kind::Denied],
        Wish::Resolve { .. } => &[Kind::Resolved],
        // Between two attempts a cancel is the outcome of the step that is not tried again.
        Wish::Cancel { .. } => &[Kind::CancelRequested, Kind::Outcome],
        Wish::Abandon { .. } => &[Kind::Closed],
        Wish::Interrupt => &[],
    }
}

/// The input that a record is, as it stands in the graph.
fn label(record: &Record) -> Option<&str> {
    match record {
        Record::Outcome(out) => Some(&out.label),
        Record::Resolved(out) => Some(&out.label),
        Record::Answered(answered) | Record::Denied(answered) => Some(&answered.label),
        Record::CancelRequested(_) => Some("cancel"),
        _ => None,
    }
}

impl Sim<'_> {
    /// A process starts: whatever the journal holds is durable from now on, and its open runs are the owner's to take up.
    pub(crate) fn open_process(&mut self) -> Result<(), Broken> {
        lock(&self.disk).reopen().map_err(|why| Broken::new(Invariant::Kept, why))?;
        let mut process = Process::default();
        for (id, watch) in &self.watches {
            process.owner.note(*id, &watch.position.charter.begun, watch.verdict().is_none(), false);
        }
        note!(self, "a process starts and finds {} runs", self.watches.len());
        self.process = Some(process);
        Ok(())
    }

    /// The process ends at once. What it had sent may arrive or not, what it was writing may be found or not.
    pub(crate) fn kill(&mut self, why: &str) -> Result<(), Broken> {
        let Some(process) = self.process.take() else { return Ok(()) };
        self.counts.kills += 1;
        note!(self, "{why}");
        let written = self.choices.once_in(4);
        for (id, task) in process.live {
            match task.call {
                Some(Call::Append(batch)) if written => {
                    note!(self, "{}: {} records are found though nobody was told", Number(id), batch.len());
                    self.write(&batch)?;
                }
                Some(Call::Perform(act)) if task.answer.is_none() => {
                    let fault = [Fault::Lost, Fault::Drop, Fault::Late][self.choices.one_of(3)];
                    self.attempt(&act, fault)?;
                }
                _ => {}
            }
        }
        if self.setup.plant == Plant::ForgetfulDisk {
            lock(&self.disk).forget();
        }
        // A run of which nothing was found never was.
        self.known.retain(|id, _| self.watches.contains_key(id));
        Ok(())
    }

    /// Executes a run from now on.
    pub(crate) fn spawn(
        &mut self,
        mut run: Run,
        waits_for_people: bool,
        request: Option<Request>,
    ) -> Result<(), Broken> {
        let id = run.position().run;
        let wire = Arc::new(Mutex::new(Wire { requests: request.into_iter().collect(), ..Wire::default() }));
        let (disk, plant) = (Arc::clone(&self.disk), self.setup.plant);
        let port = Port { wire: Arc::clone(&wire), disk, waits_for_people, plant };
        let driven: Driven = Box::pin(async move { drive(&mut run, &port, &port, &port).await });
        let from = lock(&self.disk).acknowledged(id);
        let wanted = lock(&wire).requests.iter().map(|request| (request.id, (done(&request.wish), from))).collect();
        let Some(process) = &mut self.process else { return Ok(()) };
        process.owner.live(id, true);
        let task = Task { driven, wire, call: None, answer: None, wanted, heard: 0 };
        if process.live.insert(id, task).is_some() {
            return Err(Broken::new(Invariant::OneOpen, format!("{id} is executed twice")));
        }
        self.poll(id, None)
    }

    /// Lets a run go on until it waits for the next thing, or ends.
    fn poll(&mut self, id: RunId, answer: Option<Answer>) -> Result<(), Broken> {
        let now = self.host_now();
        let Some(task) = self.process.as_mut().and_then(|p| p.live.get_mut(&id)) else { return Ok(()) };
        {
            let mut wire = lock(&task.wire);
            (wire.now, wire.answer) = (now, answer);
        }
        let polled = task.driven.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        task.call = lock(&task.wire).call.take();
        self.heard(id)?;
        match polled {
            Poll::Ready(end) => self.ended(id, end),
            Poll::Pending => self.called(id),
        }
    }

    /// A yes is only said once the record of it is durable.
    fn heard(&mut self, id: RunId) -> Result<(), Broken> {
        let Some(task) = self.process.as_mut().and_then(|p| p.live.get_mut(&id)) else { return Ok(()) };
        let wire = lock(&task.wire);
        for (request, reply) in &wire.replies[task.heard..] {
            let Some((kinds, from)) = task.wanted.get(request) else { continue };
            let disk = lock(&self.disk);
            let since = &disk.entries(id)[*from..disk.acknowledged(id)];
            if reply.is_ok() && !kinds.is_empty() && !since.iter().any(|entry| kinds.contains(&entry.header().kind)) {
                let what = format!("{id} says yes to request {request}, and no record of {kinds:?} is durable");
                return Err(Broken::new(Invariant::Answered, what));
            }
        }
        task.heard = wire.replies.len();
        Ok(())
    }

    /// A run asks for something: it must be allowed to.
    fn called(&self, id: RunId) -> Result<(), Broken> {
        let Some(call) = self.task(id).and_then(|task| task.call.as_ref()) else {
            return Err(goes_on(format!("{id} waits for nothing")));
        };
        let watch = self.watches.get(&id);
        if watch.is_some_and(|watch| watch.verdict().is_some()) {
            return Err(Broken::new(Invariant::AfterTheEnd, format!("{id} asks for {call:?}")));
        }
        let (Call::Perform(act) | Call::Fence(act) | Call::Probe(act)) = call else { return Ok(()) };
        let intended = watch.is_some_and(|watch| match &watch.position.phase {
            Phase::Open(open) => {
                let durable = lock(&self.disk).acknowledged(id) == watch.position.seq as usize;
                durable && open.intent.key == act.key && open.intent.step == act.doing.step
            }
            _ => false,
        });
        if intended { Ok(()) } else { Err(Broken::new(Invariant::Intended, format!("{id}: {}", act.doing.step))) }
    }

    pub(crate) fn task(&self, id: RunId) -> Option<&Task> {
        self.process.as_ref().and_then(|process| process.live.get(&id))
    }

    /// A run is not executed any more.
    fn ended(&mut self, id: RunId, end: Result<Stop, DriveError>) -> Result<(), Broken> {
        let Some(process) = &mut self.process else { return Ok(()) };
        let Some(task) = process.live.remove(&id) else { return Ok(()) };
        let phase = self.watches.get(&id).map(|watch| &watch.position.phase);
        match phase {
            Some(Phase::Closed(_)) => process.owner.closed(id),
            _ => process.owner.live(id, false),
        }
        let stop = match end {
            Err(DriveError::Journal(JournalError::Poisoned(_))) => return Ok(()),
            Err(error) => return Err(goes_on(format!("{id}: {error}"))),
            Ok(stop) => stop,
        };
        let wire = lock(&task.wire);
        let mut replied: Vec<u64> = wire.replies.iter().map(|(request, _)| *request).collect();
        replied.sort_unstable();
        let mut taken = wire.taken.clone();
        taken.sort_unstable();
        if replied != taken {
            let what = format!("{id} took {taken:?}, replied to {replied:?} and stopped: {stop:?}");
            return Err(Broken::new(Invariant::Answered, what));
        }
        let synced = self.setup.plant != Plant::EagerJournal || wire.unsynced.is_empty();
        drop(wire);
        let says_the_same = match (&stop, phase) {
            (Stop::Closed(said), Some(Phase::Closed(ending))) => said == &**ending,
            (Stop::Asked { seq, .. }, Some(Phase::Asked { seq: asked, .. })) => seq == asked,
            (Stop::InDoubt { step, why }, Some(Phase::Open(open))) => {
                open.intent.step == *step && open.doubt.as_ref() == Some(why)
            }
            (Stop::Interrupted, Some(Phase::Closed(_)) | None) => false,
            (Stop::Interrupted, Some(_)) => true,
            _ => false,
        };
        if synced && !says_the_same {
            return Err(Broken::new(Invariant::Stopped, format!("{id}: {stop:?} and {phase:?}")));
        }
        match &stop {
            Stop::Closed(ending) => note!(self, "{} ends {}: {}", Number(id), ending.verdict.as_str(), ending.reason),
            Stop::InDoubt { step, why } => note!(self, "{} stops: {step} is in doubt: {why}", Number(id)),
            Stop::Asked { question, .. } => note!(self, "{} stops and asks {}", Number(id), question.id),
            Stop::Interrupted => note!(self, "{} stops because it was told to", Number(id)),
        }
        Ok(())
    }

    /// One thing that can happen does; false if there is none but for time to pass.
    pub(crate) fn progress(&mut self) -> Result<bool, Broken> {
        let Some(process) = &self.process else {
            self.open_process()?;
            return Ok(true);
        };
        let mut ready = Vec::with_capacity(4);
        for (id, task) in &process.live {
            let unsynced = || self.setup.plant == Plant::EagerJournal && !lock(&task.wire).unsynced.is_empty();
            match &task.call {
                _ if task.answer.is_some() => ready.push(Ready::Hear(*id)),
                Some(Call::Append(_)) if !ready.iter().any(|r| matches!(r, Ready::Sync)) => ready.push(Ready::Sync),
                Some(Call::Perform(_) | Call::Fence(_) | Call::Probe(_)) => ready.push(Ready::Reach(*id)),
                Some(Call::Wait(_)) if !lock(&task.wire).requests.is_empty() => ready.push(Ready::Wake(*id)),
                Some(Call::Append(_) | Call::Wait(_)) | None => {}
            }
            if unsynced() {
                ready.push(Ready::Sync);
            }
        }
        if ready.is_empty() {
            return Ok(false);
        }
        let at = if ready.len() == 1 { 0 } else { self.choices.one_of(ready.len()) };
        match ready[at] {
            Ready::Sync => self.sync()?,
            Ready::Reach(id) => self.reach(id)?,
            Ready::Hear(id) => {
                let answer = self.task_mut(id).and_then(|task| task.answer.take());
                self.poll(id, answer)?;
            }
            Ready::Wake(id) => {
                let request = self.task_mut(id).and_then(|task| {
                    let mut wire = lock(&task.wire);
                    let request = wire.requests.pop_front()?;
                    wire.taken.push(request.id);
                    Some(request)
                });
                self.poll(id, request.map(|request| Answer::Woken(Woken::Request(request))))?;
            }
        }
        Ok(true)
    }

    pub(crate) fn task_mut(&mut self, id: RunId) -> Option<&mut Task> {
        self.process.as_mut().and_then(|process| process.live.get_mut(&id))
    }

    /// What waits is written and synced in one frame, or nothing is acknowledged any more.
    fn sync(&mut self) -> Result<(), Broken> {
        let Some(process) = &self.process else { return Ok(()) };
        let mut frame: Vec<(RunId, Option<Vec<Entry>>)> = Vec::new();
        for (id, task) in &process.live {
            if let Some(batch) = lock(&task.wire).unsynced.pop_front() {
                frame.push((*id, Some(batch)));
            } else if let Some(Call::Append(batch)) = &task.call {
                frame.push((*id, Some(batch.clone())));
            }
        }
        if self.choices.once_in(self.rates.disk) {
            return self.disk_fails(frame);
        }
        for (id, batch) in &frame {
            self.write(batch.as_deref().unwrap_or_default())?;
            note!(self, "{}: {}", Number(*id), Said(batch.as_deref().unwrap_or_default()));
            for entry in batch.iter().flatten() {
                self.trace.explain(|| meaning(entry));
            }
        }
        for (id, batch) in frame {
            let receipt = lock(&self.disk).acknowledge(batch.as_deref().unwrap_or_default());
            if matches!(self.task(id), Some(Task { call: Some(Call::Append(_)), .. })) {
                self.poll(id, Some(Answer::Appended(Ok(receipt))))?;
            }
        }
        Ok(())
    }

    /// A sync fails: the frame may be found later or not, nobody is told that it is durable, and the process ends.
    fn disk_fails(&mut self, frame: Vec<(RunId, Option<Vec<Entry>>)>) -> Result<(), Broken> {
        let written = self.choices.once_in(2);
        note!(self, "the disk fails; what was being written will {}be found", if written { "" } else { "not " });
        for (id, batch) in frame {
            if written {
                self.write(batch.as_deref().unwrap_or_default())?;
            }
            self.poll(id, Some(Answer::Appended(Err(JournalError::Poisoned("the sync failed".into())))))?;
            if let Some(task) = self.task(id) {
                return Err(goes_on(format!("{id} goes on with a poisoned journal: {:?}", task.call)));
            }
        }
        self.kill("the process ends: its journal is poisoned")
    }

    /// Records reach the disk, and are judged.
    fn write(&mut self, batch: &[Entry]) -> Result<(), Broken> {
        lock(&self.disk)
            .write(batch)
            .map_err(|conflict| goes_on(format!("the journal does not take it: {conflict}")))?;
        for entry in batch {
            let (id, kind) = (entry.header().run, entry.header().kind);
            let Some(known) = self.known.get(&id) else { return Err(goes_on(format!("nobody began {id}"))) };
            let subject = known.subject;
            let mut in_doubt = false;
            if kind == Kind::Begun {
                self.counts.runs += 1;
                let machine = self.machine(&known.charter)?;
                self.watches.insert(id, Watch::begin(entry, Arc::clone(&known.charter), machine)?);
                let open = |(run, watch): &(&RunId, &Watch)| {
                    watch.verdict().is_none() && self.known.get(run).is_some_and(|known| known.subject == subject)
                };
                if self.watches.iter().filter(open).count() > 1 {
                    return Err(Broken::new(Invariant::OneOpen, format!("{id} is a second one")));
                }
            } else {
                let Some(watch) = self.watches.get_mut(&id) else { return Err(goes_on("a run without a beginning")) };
                in_doubt = matches!(watch.position.phase, Phase::Open(_));
                let open = match &watch.position.phase {
                    Phase::Open(open) => Some((open.intent.step.clone(), open.intent.epoch.clone())),
                    _ => None,
                };
                let from = watch.position.state.clone();
                let record = watch.take(entry)?;
                if let Some(label) = label(&record) {
                    let edge = (from.as_str(), label, watch.position.state.as_str());
                    let edges = &self.setup.charter.graph.edges;
                    let at = edges
                        .binary_search_by(|(from, label, to)| (from.as_str(), label.as_str(), to.as_str()).cmp(&edge));
                    if let Some(taken) = at.ok().and_then(|at| self.taken.get_mut(at)) {
                        *taken = true;
                    }
                }
                self.spend(subject, &record, open)?;
            }
            if let (Some(Outside::Detailed(connector)), Some(watch)) =
                (self.outsides.get_mut(subject), self.watches.get(&id))
            {
                connector.recorded(id, kind, in_doubt, watch, self.now)?;
            }
        }
        Ok(())
    }

    /// Across runs, an effect that is consumed stands at most once.
    fn spend(&mut self, subject: usize, record: &Record, open: Option<(String, Option<String>)>) -> Result<(), Broken> {
        let (step, epoch, by) = match (record, open) {
            (Record::Intent(intent), _) => (intent.step.clone(), intent.epoch.clone(), 1),
            (Record::Outcome(out), Some((step, epoch))) if out.refused.is_some() => (step, epoch, -1),
            (Record::Resolved(out), Some((step, epoch))) if out.event.is_none() => (step, epoch, -1),
            _ => return Ok(()),
        };
        if !self.latched(&step) {
            return Ok(());
        }
        let spent = self.spent.entry((subject, epoch.unwrap_or_default(), step)).or_default();
        *spent += by;
        if *spent > 1 { Err(Broken::new(Invariant::Guards, "a consumed effect is intended again")) } else { Ok(()) }
    }

    /// Nothing else can happen: time passes until the first wait is over. False if nobody waits.
    pub(crate) fn pass_time(&mut self) -> Result<bool, Broken> {
        let Some(process) = &self.process else { return Ok(false) };
        let waiting = process.live.iter().filter_map(|(id, task)| match &task.call {
            Some(Call::Wait(until)) => Some((*until, *id)),
            _ => None,
        });
        let Some((until, id)) = waiting.min() else { return Ok(false) };
        self.now = self.now.max(until.0 - self.skew);
        note!(self, "{} has waited long enough", Number(id));
        self.poll(id, Some(Answer::Woken(Woken::Elapsed)))?;
        Ok(true)
    }

    /// The verdict of a run, if it is closed.
    pub(crate) fn verdict(&self, id: RunId) -> Option<Verdict> {
        self.watches.get(&id).and_then(Watch::verdict)
    }
}
