//! One run as a pure protocol: what is to be done now, and what came of it. Time is an input.
//!
//! Records gather in a batch and are committed before anything else is asked for, so the outcome of one step and the
//! intent of the next are one durable commit.

mod attempt;
mod request;
mod stop;
mod told;

use std::collections::VecDeque;
use std::sync::Arc;

use crate::charter::Charter;
use crate::effect::{Doing, Reason, Told};
use crate::entry::{BadEntry, Entry, Header};
use crate::id::{Key, Millis, RunId};
use crate::json::Json;
use crate::ledger::Consumed;
use crate::machine::Machine;
use crate::position::{IllegalRecord, Phase, Position};
use crate::record::{Asked, Intent, Record, Waiting};
use crate::scenario::{Ending, Illegal, Input, Next, Verdict};
use crate::world::{Act, Request, Unwilling};

pub use stop::Stop;
pub use told::input_of;
use told::{open_step, plain};

/// A run cannot go on: a bug, or a history that is not ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// A record would be illegal.
    #[error(transparent)]
    Record(#[from] IllegalRecord),
    /// The machine does not take what the history says.
    #[error(transparent)]
    Machine(#[from] Illegal),
    /// A record cannot be encoded or decoded.
    #[error(transparent)]
    Entry(#[from] BadEntry),
    /// The machine and the record disagree about the state.
    #[error("record {seq} says state {recorded}, the machine is in {machine}")]
    Diverged {
        /// The record.
        seq: u32,
        /// What the history says.
        recorded: String,
        /// What the machine says.
        machine: String,
    },
    /// A payload has another shape.
    #[error("record {seq} cannot be read: {why}")]
    Payload {
        /// The record.
        seq: u32,
        /// What is wrong.
        why: String,
    },
}

/// What is to be done now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make these records durable, then call [`Run::committed`].
    Commit(Vec<Entry>),
    /// Apply the effect, then call [`Run::performed`].
    Perform(Act),
    /// Raise the effect's fence, then call [`Run::fenced`].
    Fence(Act),
    /// Probe for the effect, then call [`Run::probed`].
    Probe(Act),
    /// Wait until then or a request; call [`Run::request`] for a request.
    Wait(Millis),
    /// Wait for a person until then; call [`Run::request`] for a request.
    WaitForPerson(Millis),
    /// Tell the client; already durable.
    Reply(u64, Result<(), Unwilling>),
    /// Nothing more.
    Stop(Stop),
}

/// How long most records are, at most. Bytes.
const RECORD_LEN: usize = 1024;
/// How many records most commits hold: an outcome and the next intent.
const BATCH: usize = 2;

/// What is known about the open intent in this process.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Doubt {
    /// The attempt is to be made; nothing of it was yet.
    Fresh,
    /// A crash, a time-out or a lost reply: the policy decides.
    Unknown(String),
    /// The probe found nothing; a fence is needed before that is believed.
    ToFence,
    /// To be probed (again).
    ToProbe,
    /// The fence could not be raised or the probe could not tell.
    Stuck(String),
}

/// One run.
pub struct Run {
    machine: Box<dyn Machine>,
    position: Position,
    actor: Arc<str>,
    target: Arc<str>,
    subject: Arc<str>,
    batch: Vec<Entry>,
    /// Where a record is put together.
    scratch: Vec<u8>,
    replies: Vec<(u64, Result<(), Unwilling>)>,
    ready_replies: VecDeque<(u64, Result<(), Unwilling>)>,
    doubt: Doubt,
    /// The step of the open intent, as the machine asked for it; found again when a resume needs it.
    doing: Option<Arc<Doing>>,
    interrupted: bool,
    /// Cancels that were asked for and wait for a boundary, oldest first: each gets a reply.
    cancels: VecDeque<Request>,
    /// What the run is in the middle of was found so by a resume: an open intent may be in doubt.
    resumed: bool,
}

impl std::fmt::Debug for Run {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Run").field("position", &self.position).field("doubt", &self.doubt).finish_non_exhaustive()
    }
}

impl Run {
    /// A run that begins now. Its first record is in the batch.
    ///
    /// # Errors
    /// If the charter does not fit the machine or the record cannot be encoded.
    pub fn begin(
        id: RunId,
        now: Millis,
        actor: Arc<str>,
        charter: Arc<Charter>,
        machine: Box<dyn Machine>,
    ) -> Result<Self, RunError> {
        let key = Key::subject(&charter.begun.subject);
        let header = Header {
            run: id,
            seq: 1,
            kind: crate::entry::Kind::Begun,
            latch: crate::entry::Latch::Claim,
            key,
            at: now,
            prev: crate::id::Digest::ZERO,
        };
        let mut scratch = Vec::with_capacity(RECORD_LEN);
        let entry = Entry::write(header, &actor, &mut scratch, |out| Json::write(&charter.begun, out))?;
        let position = Position::begin(&header, entry.hash(), charter)?;
        let mut run = Self::at(position, machine, actor, scratch, false);
        run.agree()?;
        run.batch.push(entry);
        Ok(run)
    }

    /// A run that goes on where its records end.
    ///
    /// # Errors
    /// If the records are not a legal history, or not one of this machine's.
    pub fn resume(
        entries: &[Entry],
        charter: Arc<Charter>,
        mut machine: Box<dyn Machine>,
        actor: Arc<str>,
    ) -> Result<Self, RunError> {
        let (first, rest) = entries.split_first().ok_or(BadEntry::Short)?;
        charter.is_of(first, machine.scenario())?;
        let mut position = Position::begin(first.header(), first.hash(), charter)?;
        for entry in rest {
            let header = entry.header();
            let record = Record::parse(header.kind, entry.payload())
                .map_err(|e| RunError::Payload { seq: header.seq, why: e.to_string() })?;
            let input = input_of(&record);
            let step = input.as_ref().map(|_| open_step(&position).to_owned());
            position.advance(header, entry.hash(), record)?;
            if let (Some(input), Some(step)) = (input, step) {
                machine.apply(&step, &input)?;
            }
        }
        let mut run = Self::at(position, machine, actor, Vec::with_capacity(RECORD_LEN), true);
        run.agree()?;
        if let Phase::Open(_) = &run.position.phase {
            run.doubt = Doubt::Unknown("the process ended before the outcome was journaled".into());
        }
        Ok(run)
    }

    fn at(position: Position, machine: Box<dyn Machine>, actor: Arc<str>, scratch: Vec<u8>, resumed: bool) -> Self {
        Self {
            target: position.charter.begun.target.as_str().into(),
            subject: position.charter.begun.subject.as_str().into(),
            machine,
            position,
            actor,
            batch: Vec::with_capacity(BATCH),
            scratch,
            replies: Vec::new(),
            ready_replies: VecDeque::new(),
            doubt: Doubt::Fresh,
            doing: None,
            interrupted: false,
            cancels: VecDeque::new(),
            resumed,
        }
    }

    /// Where the run is, records not yet committed included.
    #[must_use]
    pub const fn position(&self) -> &Position {
        &self.position
    }

    /// The machine.
    #[must_use]
    pub fn machine(&self) -> &dyn Machine {
        &*self.machine
    }

    fn agree(&self) -> Result<(), RunError> {
        if self.machine.state() == self.position.state {
            Ok(())
        } else {
            Err(RunError::Diverged {
                seq: self.position.seq,
                recorded: self.position.state.clone(),
                machine: self.machine.state().to_owned(),
            })
        }
    }

    fn push(&mut self, now: Millis, actor: &Arc<str>, record: Record) -> Result<(), RunError> {
        // An intent's key was asked for when the intent was made.
        let made = if let Record::Intent(intent) = &record { intent.key } else { Key::NONE };
        let (latch, key) = self.position.latch(&record);
        let header = Header {
            run: self.position.run,
            seq: self.position.seq + 1,
            kind: record.kind(),
            latch,
            key,
            at: now,
            prev: self.position.head,
        };
        let entry = record.entry(header, actor, &mut self.scratch)?;
        self.position.follow(entry.header(), entry.hash(), record, made)?;
        self.batch.push(entry);
        Ok(())
    }

    /// Feeds the machine, then journals the record that `make` gives for the state it led to. After an error the two may
    /// disagree, and the run does not go on.
    fn feed(
        &mut self,
        now: Millis,
        actor: &Arc<str>,
        input: &Input<Told>,
        make: impl FnOnce(String) -> Record,
    ) -> Result<(), RunError> {
        self.machine.apply(open_step(&self.position), input)?;
        let record = make(self.machine.state().to_owned());
        self.push(now, actor, record)?;
        self.doubt = Doubt::Fresh;
        self.doing = None;
        self.resumed = false;
        self.agree()
    }

    /// What is to be done now. `effects` tells what other runs of this journal consumed.
    ///
    /// # Errors
    /// [`RunError`]: the run must not go on in this process.
    pub fn next(&mut self, now: Millis, effects: &dyn Fn(Key) -> Option<Consumed>) -> Result<Action, RunError> {
        loop {
            if let Some((id, reply)) = self.ready_replies.pop_front() {
                return Ok(Action::Reply(id, reply));
            }
            let action = match &self.position.phase {
                Phase::Closed(ending) => Some(Action::Stop(Stop::Closed((**ending).clone()))),
                Phase::Ready => self.ready(now, effects)?,
                Phase::Open(_) => self.open(now)?,
                Phase::Waiting { .. } | Phase::Asked { .. } if self.pending_stop() => self.leave(now)?,
                Phase::Waiting { until } if now < *until => Some(Action::Wait(*until)),
                Phase::Waiting { .. } => {
                    self.expire(now, "elapsed")?;
                    None
                }
                Phase::Asked { asked, .. } if now < asked.deadline => Some(Action::WaitForPerson(asked.deadline)),
                Phase::Asked { .. } => {
                    self.expire(now, "expired")?;
                    None
                }
            };
            match action {
                None => {}
                // Nobody waits for a reply that this process will not give.
                Some(Action::Stop(stop)) if self.batch.is_empty() && !self.cancels.is_empty() => {
                    let why = format!("the run stopped before it could be cancelled: {}", stop.why());
                    let cancels = self.cancels.drain(..).map(|cancel| (cancel.id, Err(Unwilling::NotNow(why.clone()))));
                    self.ready_replies.extend(cancels);
                }
                // Nothing leaves this protocol before what led to it is durable.
                Some(action) if self.batch.is_empty() => return Ok(action),
                Some(_) => {
                    return Ok(Action::Commit(std::mem::replace(&mut self.batch, Vec::with_capacity(BATCH))));
                }
            }
        }
    }

    fn pending_stop(&self) -> bool {
        self.interrupted || !self.cancels.is_empty()
    }

    /// Whether the effect that is being performed is still wanted: not once a request has interrupted or closed the run. Only
    /// a look may then be dropped; the intent stays open, and a resume repeats it.
    #[must_use]
    pub const fn performs(&self) -> bool {
        matches!(self.position.phase, Phase::Open(_)) && !self.interrupted
    }

    /// The batch is durable.
    pub fn committed(&mut self) {
        self.ready_replies.extend(self.replies.drain(..));
    }

    /// What the shell must do when nobody waits for people: the question, as a stop.
    #[must_use]
    pub fn stop_at_question(&self) -> Option<Stop> {
        match &self.position.phase {
            Phase::Asked { seq, asked } => {
                Some(Stop::Asked { seq: *seq, question: asked.question.clone(), deadline: asked.deadline })
            }
            Phase::Ready | Phase::Open(_) | Phase::Waiting { .. } | Phase::Closed(_) => None,
        }
    }

    fn leave(&mut self, now: Millis) -> Result<Option<Action>, RunError> {
        if let Some(request) = self.cancels.pop_front() {
            self.cancel_now(now, request)?;
            return Ok(None);
        }
        Ok(Some(Action::Stop(Stop::Interrupted)))
    }

    fn expire(&mut self, now: Millis, word: &str) -> Result<(), RunError> {
        let id = match self.machine.next() {
            Next::Wait(wait) => wait.id.to_owned(),
            Next::Ask(question) => question.id.into_owned(),
            Next::Do(_) | Next::Done(_) => String::new(),
        };
        let label = format!("{id}:{word}");
        let actor = Arc::clone(&self.actor);
        self.feed(now, &actor, &Input::Expired, |to| Record::Outcome(plain(label, to)))
    }

    fn ready(&mut self, now: Millis, effects: &dyn Fn(Key) -> Option<Consumed>) -> Result<Option<Action>, RunError> {
        if self.pending_stop() {
            return self.leave(now);
        }
        let actor = Arc::clone(&self.actor);
        if let Some(breach) = self.consumed_elsewhere(effects) {
            let record = Record::Closed(Ending::new(Verdict::GuardRefused, breach));
            self.push(now, &actor, record)?;
            return Ok(None);
        }
        match self.machine.next() {
            Next::Do(doing) => self.intend(now, doing, effects)?,
            Next::Wait(wait) => {
                let record = Record::Waiting(Waiting {
                    state: self.position.state.clone(),
                    id: wait.id.to_owned(),
                    until: now.plus(wait.for_ms),
                    why: wait.why,
                });
                self.push(now, &actor, record)?;
            }
            Next::Ask(question) => {
                let deadline = now.plus(question.within_ms);
                let state = self.position.state.clone();
                self.push(now, &actor, Record::Asked(Asked { state, question, deadline }))?;
            }
            Next::Done(ending) => {
                self.push(now, &actor, Record::Closed(ending))?;
            }
        }
        Ok(None)
    }

    /// An effect of this loss that another run consumed, so that this one can never do it: found as soon as the loss is
    /// known, before anything is changed for nothing.
    fn consumed_elsewhere(&self, effects: &dyn Fn(Key) -> Option<Consumed>) -> Option<String> {
        let epoch = self.machine.epoch()?;
        if self.position.charter.graph.node(&self.position.state).is_none_or(|n| n.asks == crate::graph::Asks::Done) {
            return None;
        }
        for guard in self.position.charter.guards.iter() {
            let crate::guard::Guard::Once { step } = guard else { continue };
            if self.position.tally.intents(step) > 0 {
                continue;
            }
            if let (_, Some(consumed)) = self.ordinal(step, epoch, effects) {
                return Some(format!(
                    "{step} was already done for this loss by {}; it is never done twice on a guess",
                    consumed.by
                ));
            }
        }
        None
    }

    /// The ordinal for the next intent of a latched step, and who holds it if it is taken.
    fn ordinal(&self, step: &str, epoch: &str, effects: &dyn Fn(Key) -> Option<Consumed>) -> (u32, Option<Consumed>) {
        let mut ordinal = 0;
        loop {
            match effects(Key::effect(&self.subject, epoch, step, ordinal)) {
                Some(consumed) if consumed.restored => ordinal += 1,
                taken => return (ordinal, taken),
            }
        }
    }

    fn intend(&mut self, now: Millis, doing: Doing, effects: &dyn Fn(Key) -> Option<Consumed>) -> Result<(), RunError> {
        let actor = Arc::clone(&self.actor);
        let epoch = self.machine.epoch().map(str::to_owned);
        let ordinal = match (&epoch, self.position.is_latched(doing.step)) {
            (Some(epoch), true) => {
                // An absence proven in this very batch is not in the ledger yet.
                let own = self.position.tally.intents(doing.step);
                self.ordinal(doing.step, epoch, effects).0.max(own)
            }
            _ => self.position.tally.intents(doing.step),
        };
        if let Err(breach) = self.position.tally.allows(&self.position.charter.guards, doing.step) {
            let mut ending = Ending::new(Verdict::GuardRefused, breach.to_string());
            ending.residue.push(format!("the run stopped in state {}", self.position.state));
            return self.push(now, &actor, Record::Closed(ending));
        }
        let too_late = doing.not_after.is_some_and(|end| now.plus(doing.timeout_ms) > end);
        let key = self.position.effect_key(epoch.as_deref(), doing.step, ordinal);
        let doing = Arc::new(doing);
        let intent = Record::Intent(Intent {
            state: self.position.state.clone(),
            step: doing.step.to_owned(),
            body: doing.body.clone(),
            redo: doing.redoing.redo,
            fence: doing.redoing.fence.is_some(),
            epoch,
            ordinal,
            key,
        });
        self.push(now, &actor, intent)?;
        self.doing = Some(doing);
        self.doubt = Doubt::Fresh;
        if too_late {
            let reason = Reason::new(Reason::TOO_LATE, "it could not have ended in time, so it was not begun");
            self.refuse(now, reason)?;
        }
        Ok(())
    }
}
