//! Where a run is, and `advance`: the one definition of a legal history.
//!
//! Called before every write and after every read. It works on the graph and the guards that the run itself carries, so
//! that any build can check any history for ever; whether the *typed* machine agrees is checked besides, where its version is known.

mod label;

use std::sync::Arc;

use crate::charter::Charter;
use crate::effect::{Reason, Redo};
use crate::entry::{Header, Kind, Latch};
use crate::graph::Asks;
use crate::guard::{Breach, Guard, Tally};
use crate::id::{Digest, Key, Millis, RunId};
use crate::record::{Asked, Intent, Record, Resulted};
use crate::scenario::{Ending, Verdict};
use label::{REFUSED, ending, is_label};

/// An open intent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Open {
    /// The number of its record.
    pub seq: u32,
    /// The intent.
    pub intent: Intent,
    /// Attempts begun, from 1.
    pub attempts: u32,
    /// Attempts that came back as failed.
    pub failed: u32,
    /// When the current attempt may begin.
    pub not_before: Millis,
    /// Whether a fence is journaled.
    pub fenced: bool,
    /// Why it is in doubt, if it is.
    pub doubt: Option<String>,
}

/// What the run is in the middle of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Nothing: the state is asked what is next.
    Ready,
    /// An effect whose outcome is not journaled.
    Open(Box<Open>),
    /// A wait.
    Waiting {
        /// Until when.
        until: Millis,
    },
    /// A question.
    Asked {
        /// The number of its record.
        seq: u32,
        /// The record.
        asked: Box<Asked>,
    },
    /// Nothing any more.
    Closed(Box<Ending>),
}

/// Where a run is: the fold of its records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Position {
    /// The run.
    pub run: RunId,
    /// The number of its last record.
    pub seq: u32,
    /// The hash of its last record.
    pub head: Digest,
    /// When it was begun.
    pub begun_at: Millis,
    /// When its last record was made.
    pub at: Millis,
    /// What it was begun with.
    pub charter: Arc<Charter>,
    /// The key of what it is about.
    subject: Key,
    /// The name of its state.
    pub state: String,
    /// What it is in the middle of.
    pub phase: Phase,
    /// Counts for its guards.
    pub tally: Tally,
    /// The loss it is about, once known.
    pub epoch: Option<String>,
    /// Intents so far.
    pub steps: u32,
    /// Whether a person cancelled.
    pub cancelled: bool,
}

/// A record may not follow this history.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum IllegalRecord {
    /// It is not the next record of this run.
    #[error("record {got} of {run} does not follow record {last}")]
    Sequence {
        /// The run.
        run: RunId,
        /// The last number.
        last: u32,
        /// The number found.
        got: u32,
    },
    /// It does not name the hash of the record before it.
    #[error("record {seq} does not name the hash of the one before it")]
    Chain {
        /// Its number.
        seq: u32,
    },
    /// It is of a kind that cannot come here.
    #[error("a record of kind {kind} cannot follow in state {state} while {phase}")]
    Kind {
        /// Its kind.
        kind: &'static str,
        /// The state.
        state: String,
        /// What the run is in the middle of.
        phase: &'static str,
    },
    /// The run's graph has no such transition.
    #[error("{label} does not lead from {from} to {to}")]
    Transition {
        /// The state.
        from: String,
        /// The input.
        label: String,
        /// The state it claims to lead to.
        to: String,
    },
    /// A guard of the run forbids it.
    #[error(transparent)]
    Breach(#[from] Breach),
    /// Its parts contradict each other or the run.
    #[error("the record contradicts the run: {0}")]
    Contradiction(String),
}

pub(crate) fn contradiction(what: impl Into<String>) -> IllegalRecord {
    IllegalRecord::Contradiction(what.into())
}

impl Phase {
    /// The phase as a word.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Ready => "ready",
            Self::Open(_) => "an intent is open",
            Self::Waiting { .. } => "waiting",
            Self::Asked { .. } => "a question is open",
            Self::Closed(_) => "closed",
        }
    }
}

impl Position {
    /// The position after a run's first record.
    ///
    /// # Errors
    /// [`IllegalRecord`] if it cannot be a first record.
    pub fn begin(header: &Header, hash: Digest, charter: Arc<Charter>) -> Result<Self, IllegalRecord> {
        if header.kind != Kind::Begun || header.seq != 1 {
            return Err(IllegalRecord::Sequence { run: header.run, last: 0, got: header.seq });
        }
        if header.prev != Digest::ZERO {
            return Err(IllegalRecord::Chain { seq: header.seq });
        }
        let subject = Key::subject(&charter.begun.subject);
        if header.latch != Latch::Claim || header.key != subject {
            return Err(contradiction("it does not claim its subject"));
        }
        let state = charter.graph.initial.clone();
        if charter.graph.node(&state).is_none() {
            return Err(contradiction("its graph has no initial state"));
        }
        Ok(Self {
            run: header.run,
            seq: 1,
            head: hash,
            begun_at: header.at,
            at: header.at,
            charter,
            subject,
            state,
            phase: Phase::Ready,
            tally: Tally::default(),
            epoch: None,
            steps: 0,
            cancelled: false,
        })
    }

    /// The latch and key that the header of this record must carry here.
    #[must_use]
    pub fn latch(&self, record: &Record) -> (Latch, Key) {
        match record {
            Record::Intent(intent) if self.is_latched(&intent.step) => (Latch::Consume, intent.key),
            Record::Outcome(Resulted { refused: Some(_), .. }) => self.restored_key(),
            Record::Resolved(resolved) if resolved.event.is_none() => self.restored_key(),
            Record::Closed(_) => (Latch::Release, self.subject),
            Record::Begun(_)
            | Record::Intent(_)
            | Record::Attempt(_)
            | Record::Outcome(_)
            | Record::Fenced(_)
            | Record::Waiting(_)
            | Record::Asked(_)
            | Record::Answered(_)
            | Record::Denied(_)
            | Record::Resolved(_)
            | Record::CancelRequested(_)
            | Record::Adopted(_)
            | Record::Salvaged(_)
            | Record::Cleared(_)
            | Record::Baselined(_)
            | Record::Dismissed(_) => (Latch::None, Key::NONE),
        }
    }

    fn restored_key(&self) -> (Latch, Key) {
        match &self.phase {
            Phase::Open(open) if self.is_latched(&open.intent.step) => (Latch::Restore, open.intent.key),
            Phase::Open(_) | Phase::Ready | Phase::Waiting { .. } | Phase::Asked { .. } | Phase::Closed(_) => {
                (Latch::None, Key::NONE)
            }
        }
    }

    /// Whether a step's effect is consumed across runs: whether a [`Guard::Once`] names it.
    #[must_use]
    pub fn is_latched(&self, step: &str) -> bool {
        self.charter.guards.iter().any(|guard| matches!(guard, Guard::Once { step: s } if s == step))
    }

    /// Takes the next record, or says why it cannot be the next and changes nothing.
    ///
    /// # Errors
    /// [`IllegalRecord`].
    pub fn advance(&mut self, header: &Header, hash: Digest, record: Record) -> Result<(), IllegalRecord> {
        let Record::Intent(intent) = &record else { return self.follow(header, hash, record, Key::NONE) };
        let key = self.effect_key(intent.epoch.as_deref(), &intent.step, intent.ordinal);
        self.follow(header, hash, record, key)
    }

    /// The key of an effect of this run's subject.
    pub(crate) fn effect_key(&self, epoch: Option<&str>, step: &str, ordinal: u32) -> Key {
        Key::effect(&self.charter.begun.subject, epoch.unwrap_or_default(), step, ordinal)
    }

    /// As [`Position::advance`], for a caller that has just asked [`Position::effect_key`] for the key of this intent.
    pub(crate) fn follow(
        &mut self,
        header: &Header,
        hash: Digest,
        record: Record,
        key: Key,
    ) -> Result<(), IllegalRecord> {
        if header.run != self.run || header.seq != self.seq.wrapping_add(1) {
            return Err(IllegalRecord::Sequence { run: header.run, last: self.seq, got: header.seq });
        }
        if header.prev != self.head {
            return Err(IllegalRecord::Chain { seq: header.seq });
        }
        if (header.latch, header.key) != self.latch(&record) {
            return Err(contradiction("its header latches something else than its payload says"));
        }
        self.check(header.at, &record, key)?;
        self.take(header, record);
        self.seq = header.seq;
        self.head = hash;
        self.at = header.at;
        Ok(())
    }

    fn wrong_kind(&self, record: &Record) -> IllegalRecord {
        IllegalRecord::Kind { kind: record.kind().as_str(), state: self.state.clone(), phase: self.phase.as_str() }
    }

    fn leads(&self, label: &str, to: &str) -> Result<(), IllegalRecord> {
        if self.charter.graph.leads(&self.state, label, to) {
            Ok(())
        } else {
            Err(IllegalRecord::Transition { from: self.state.clone(), label: label.into(), to: to.into() })
        }
    }

    fn asks(&self) -> Option<&Asks> {
        self.charter.graph.node(&self.state).map(|node| &node.asks)
    }

    fn check(&self, at: Millis, record: &Record, key: Key) -> Result<(), IllegalRecord> {
        match (record, &self.phase) {
            (Record::Intent(intent), Phase::Ready) => self.check_intent(intent, key),
            (Record::Attempt(attempt), Phase::Open(open)) => {
                let again = matches!(open.intent.redo, Redo::Pure | Redo::Idempotent) || open.doubt.is_none();
                let counted = attempt.failed == open.failed || attempt.failed == open.failed.wrapping_add(1);
                let next = attempt.attempt == open.attempts.wrapping_add(1) && again;
                if counted && (attempt.doubt || next) {
                    Ok(())
                } else {
                    Err(contradiction("it is not the next attempt of the open intent"))
                }
            }
            (Record::Fenced(_), Phase::Open(open)) if open.intent.fence && !open.fenced => Ok(()),
            (Record::Outcome(resulted), Phase::Open(open)) => self.check_outcome(resulted, open),
            (Record::Outcome(resulted), Phase::Waiting { until }) => self.check_expiry(resulted, "elapsed", *until, at),
            (Record::Outcome(resulted), Phase::Asked { asked, .. }) => {
                self.check_expiry(resulted, "expired", asked.deadline, at)
            }
            (Record::Resolved(resolved), Phase::Open(open)) => {
                if resolved.step != open.intent.step {
                    return Err(contradiction("it resolves another step than the open one"));
                }
                let told = resolved.event.as_ref().map_or(Ok(REFUSED.into()), ending)?;
                if !is_label(&resolved.label, &resolved.step, &told) {
                    return Err(contradiction("its label is not that of its event"));
                }
                self.leads(&resolved.label, &resolved.to)
            }
            (Record::Waiting(waiting), Phase::Ready) => match self.asks() {
                Some(Asks::Wait(id)) if *id == waiting.id && waiting.state == self.state => Ok(()),
                _ => Err(self.wrong_kind(record)),
            },
            (Record::Asked(asked), Phase::Ready) => match self.asks() {
                Some(Asks::Ask(id)) if *id == asked.question.id && asked.state == self.state => Ok(()),
                _ => Err(self.wrong_kind(record)),
            },
            (Record::Answered(answered) | Record::Denied(answered), Phase::Asked { seq, asked }) => {
                if answered.question != *seq {
                    return Err(contradiction("it answers another question than the open one"));
                }
                if at >= asked.deadline {
                    return Err(contradiction("it answers a question that has expired"));
                }
                let choice = answered.label.strip_prefix(&format!("{}:", asked.question.id));
                let denies = choice == Some(crate::scenario::Choice::DENY);
                let known = choice.is_some_and(|id| asked.question.choices.iter().any(|c| c.id == id));
                if !known || denies != matches!(record, Record::Denied(_)) {
                    return Err(contradiction("the question has no such choice"));
                }
                self.leads(&answered.label, &answered.to)
            }
            (Record::CancelRequested(cancel), Phase::Ready | Phase::Waiting { .. } | Phase::Asked { .. })
                if !self.cancelled =>
            {
                self.leads("cancel", &cancel.to)
            }
            (Record::Closed(ending), phase) => self.check_closed(ending, phase),
            _ => Err(self.wrong_kind(record)),
        }
    }

    fn check_intent(&self, intent: &Intent, key: Key) -> Result<(), IllegalRecord> {
        if intent.state != self.state {
            return Err(contradiction(format!("it says state {}, the run is in {}", intent.state, self.state)));
        }
        match self.asks() {
            Some(Asks::Do(step)) if *step == intent.step => {}
            _ => return Err(contradiction(format!("state {} does not ask for {}", self.state, intent.step))),
        }
        if self.epoch.is_some() && self.epoch != intent.epoch {
            return Err(contradiction("it belongs to another loss than the run"));
        }
        if intent.key != key {
            return Err(contradiction("its effect key is not that of its subject, epoch, step and ordinal"));
        }
        if self.is_latched(&intent.step) && intent.epoch.is_none() {
            return Err(contradiction("it consumes an effect before the loss is known"));
        }
        Ok(self.tally.allows(&self.charter.guards, &intent.step)?)
    }

    fn check_outcome(&self, resulted: &Resulted, open: &Open) -> Result<(), IllegalRecord> {
        let step = &open.intent.step;
        let told = match (&resulted.event, &resulted.refused) {
            (Some(event), None) => ending(event)?,
            (None, Some(reason)) => {
                let late = matches!(open.intent.redo, Redo::OnlyIfAbsent) && open.intent.fence;
                if reason.code == Reason::ABSENT && late && !open.fenced {
                    return Err(contradiction("absence is claimed before the fence"));
                }
                REFUSED.into()
            }
            _ => return Err(contradiction("an outcome has either an event or a refusal")),
        };
        if !is_label(&resulted.label, step, &told) {
            return Err(contradiction("its label is not that of its event"));
        }
        self.leads(&resulted.label, &resulted.to)
    }

    fn check_expiry(&self, resulted: &Resulted, word: &str, until: Millis, at: Millis) -> Result<(), IllegalRecord> {
        if at < until {
            return Err(contradiction("a wait or question ends before its time"));
        }
        let id = match self.asks() {
            Some(Asks::Wait(id) | Asks::Ask(id)) => id,
            _ => return Err(contradiction("the state neither waits nor asks")),
        };
        if !is_label(&resulted.label, id, word) || resulted.event.is_some() || resulted.refused.is_some() {
            return Err(contradiction("a wait or question ends in nothing but its time"));
        }
        self.leads(&resulted.label, &resulted.to)
    }

    fn check_closed(&self, ending: &Ending, phase: &Phase) -> Result<(), IllegalRecord> {
        if ending.reason.is_empty() {
            return Err(contradiction("an end without a reason"));
        }
        let allowed = match (ending.verdict, phase) {
            (_, Phase::Closed(_)) => false,
            (Verdict::Abandoned, _) => true,
            (Verdict::GuardRefused, Phase::Ready) => true,
            (_, Phase::Ready) => self.asks() == Some(&Asks::Done),
            _ => false,
        };
        if !allowed {
            return Err(contradiction(format!(
                "the verdict {} cannot be given while {}",
                ending.verdict.as_str(),
                phase.as_str()
            )));
        }
        Ok(self.tally.allows_verdict(&self.charter.guards, ending.verdict)?)
    }

    fn take(&mut self, header: &Header, record: Record) {
        match record {
            Record::Intent(intent) => {
                self.tally.intent(&intent.step);
                self.steps += 1;
                self.epoch.clone_from(&intent.epoch);
                self.phase = Phase::Open(Box::new(Open {
                    seq: header.seq,
                    intent,
                    attempts: 1,
                    failed: 0,
                    not_before: header.at,
                    fenced: false,
                    doubt: None,
                }));
            }
            Record::Attempt(attempt) => {
                if let Phase::Open(open) = &mut self.phase {
                    if attempt.doubt {
                        open.doubt = Some(attempt.why);
                    } else {
                        open.attempts = attempt.attempt;
                        open.failed = attempt.failed;
                        open.not_before = attempt.not_before;
                    }
                }
            }
            Record::Fenced(_) => {
                if let Phase::Open(open) = &mut self.phase {
                    open.fenced = true;
                }
            }
            Record::Outcome(resulted) => self.enter(&resulted.label, resulted.refused.is_some(), resulted.to),
            Record::Resolved(resolved) => self.enter(&resolved.label, resolved.event.is_none(), resolved.to),
            Record::Answered(answered) | Record::Denied(answered) => self.enter(&answered.label, false, answered.to),
            Record::CancelRequested(cancel) => {
                self.cancelled = true;
                self.enter("cancel", false, cancel.to);
            }
            Record::Waiting(waiting) => self.phase = Phase::Waiting { until: waiting.until },
            Record::Asked(asked) => self.phase = Phase::Asked { seq: header.seq, asked: Box::new(asked) },
            Record::Closed(ending) => self.phase = Phase::Closed(Box::new(ending)),
            Record::Begun(_)
            | Record::Adopted(_)
            | Record::Salvaged(_)
            | Record::Cleared(_)
            | Record::Baselined(_)
            | Record::Dismissed(_) => {}
        }
    }

    fn enter(&mut self, label: &str, refused: bool, to: String) {
        match &self.phase {
            Phase::Open(open) => self.tally.outcome(&open.intent.step, label, refused),
            Phase::Ready | Phase::Waiting { .. } | Phase::Asked { .. } | Phase::Closed(_) => self.tally.fact(label),
        }
        self.state = to;
        self.phase = Phase::Ready;
    }
}
