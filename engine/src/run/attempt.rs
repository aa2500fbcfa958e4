//! Applying, fencing and probing the open intent, and what came of it.

use std::sync::Arc;

use super::told::{open_step, plain};
use super::{Action, Doubt, Run, RunError, Stop};
use crate::effect::{Outcome, Reason, Redo};
use crate::id::Millis;
use crate::position::{Open, Phase};
use crate::record::{Attempt, Evidence, Fenced, Record, Resulted};
use crate::scenario::{Illegal, Input, Next};
use crate::world::{Act, FenceRaised, Performed, Probed, Seen};

/// Doubles with every attempt, from one second to one minute. Milliseconds.
fn backoff_ms(attempt: u32) -> u64 {
    1000_u64.saturating_mul(1 << attempt.saturating_sub(2).min(6)).min(60_000)
}

impl Run {
    pub(super) fn act(&self, open: &Open) -> Option<Act> {
        let Next::Do(doing) = self.machine.next() else { return None };
        Some(Act {
            run: self.position.run,
            target: Arc::clone(&self.target),
            subject: Arc::clone(&self.subject),
            epoch: open.intent.epoch.clone(),
            doing,
            ordinal: open.intent.ordinal,
            attempt: open.attempts,
            key: open.intent.key,
            fenced: open.fenced,
        })
    }

    pub(super) fn open(&mut self, now: Millis, open: &Open) -> Result<Option<Action>, RunError> {
        let Some(act) = self.act(open) else {
            return Err(RunError::Machine(Illegal::new(self.machine.state(), "an open intent")));
        };
        let safe = matches!(open.intent.redo, Redo::Pure | Redo::Idempotent);
        match self.doubt.clone() {
            Doubt::Fresh if now < open.not_before => {
                // The attempt before surely failed and this one has not begun: the one moment at which an intent can be left.
                if !self.cancels.is_empty() && self.turns_back() {
                    self.refuse(now, Reason::new(Reason::CANCELLED, "cancelled between two attempts"))?;
                    // Where nothing was to be put back, that refusal was all there was to cancel.
                    if let Next::Done(_) = self.machine.next()
                        && let Some(cancel) = self.cancels.pop_front()
                    {
                        self.replies.push((cancel.id, Ok(())));
                    }
                    return Ok(None);
                }
                if self.interrupted {
                    return Ok(Some(Action::Stop(Stop::Interrupted)));
                }
                Ok(Some(Action::Wait(open.not_before)))
            }
            // A look changes nothing, so it is not waited for: its intent stays open, and the resume looks again.
            Doubt::Fresh if self.interrupted && open.intent.redo == Redo::Pure => {
                Ok(Some(Action::Stop(Stop::Interrupted)))
            }
            Doubt::Fresh => Ok(Some(Action::Perform(act))),
            Doubt::Unknown(why) if safe => {
                // It did not fail: a run that was killed often enough must not give up over the first hiccup after it.
                self.again(now, open, open.failed, why, 0)?;
                Ok(None)
            }
            Doubt::Unknown(why) if open.intent.redo == Redo::AtMostOnce => self.stuck(now, why),
            Doubt::Unknown(_) => {
                self.doubt = Doubt::ToProbe;
                Ok(None)
            }
            Doubt::ToProbe => Ok(Some(Action::Probe(act))),
            Doubt::ToFence => Ok(Some(Action::Fence(act))),
            Doubt::Stuck(why) => self.stuck(now, why),
        }
    }

    /// Whether a cancel would turn the run back. Where it goes back already, no cancel cuts a step of that way short.
    pub(super) fn turns_back(&self) -> bool {
        let mut turned = self.machine.boxed_clone();
        !self.position.cancelled
            && !self.machine.committed()
            && turned.apply("", &Input::Cancel).is_ok()
            && turned.fingerprint() != self.machine.fingerprint()
    }

    pub(super) fn stuck(&mut self, now: Millis, why: String) -> Result<Option<Action>, RunError> {
        let Phase::Open(open) = &self.position.phase else { return Ok(None) };
        let step = open.intent.step.clone();
        if open.doubt.as_deref() != Some(&why) {
            let record = Record::Attempt(Attempt {
                attempt: open.attempts,
                failed: open.failed,
                why: why.clone(),
                not_before: now,
                doubt: true,
            });
            let actor = Arc::clone(&self.actor);
            self.push(now, &actor, &record)?;
        }
        Ok(Some(Action::Stop(Stop::InDoubt { step, why })))
    }

    pub(super) fn again(
        &mut self,
        now: Millis,
        open: &Open,
        failed: u32,
        why: String,
        delay_ms: u64,
    ) -> Result<(), RunError> {
        let attempt = open.attempts + 1;
        let record = Record::Attempt(Attempt { attempt, failed, why, not_before: now.plus(delay_ms), doubt: false });
        let actor = Arc::clone(&self.actor);
        self.push(now, &actor, &record)?;
        self.doubt = Doubt::Fresh;
        Ok(())
    }

    pub(super) fn refuse(&mut self, now: Millis, reason: Reason) -> Result<(), RunError> {
        let step = open_step(&self.position);
        let input = Input::Outcome(Outcome::Refused(reason.clone()));
        let actor = Arc::clone(&self.actor);
        self.feed(now, &actor, &input, |to| {
            Record::Outcome(Resulted { refused: Some(reason), ..plain(format!("{step}:refused"), to) })
        })
    }

    pub(super) fn happened(&mut self, now: Millis, seen: Seen, probed: bool) -> Result<(), RunError> {
        let label = format!("{}:{}", open_step(&self.position), seen.told.ending);
        let data = seen.told.data.clone();
        let evidence: Vec<Evidence> = seen.evidence;
        let actor = Arc::clone(&self.actor);
        self.feed(now, &actor, &Input::Outcome(Outcome::Happened(seen.told)), |to| {
            Record::Outcome(Resulted { event: Some(data), probed, evidence, ..plain(label, to) })
        })
    }

    /// What came of [`Action::Perform`].
    ///
    /// # Errors
    /// [`RunError`]: the run must not go on in this process.
    pub fn performed(&mut self, now: Millis, performed: Performed) -> Result<(), RunError> {
        let Phase::Open(open) = self.position.phase.clone() else {
            return Err(RunError::Machine(Illegal::new(self.machine.state(), performed)));
        };
        let attempts = match self.machine.next() {
            Next::Do(doing) => doing.attempts,
            Next::Wait(_) | Next::Ask(_) | Next::Done(_) => 1,
        };
        let safe = matches!(open.intent.redo, Redo::Pure | Redo::Idempotent);
        match performed {
            Performed::Happened(seen) => self.happened(now, seen, false),
            // Absence is a promise, and where something can arrive late only a fence makes it one: whoever gives it before that
            // does not know what it says.
            Performed::Refused(reason) if reason.code == Reason::ABSENT && open.intent.fence && !open.fenced => {
                tracing::warn!(
                    run = %self.position.run,
                    step = open.intent.step,
                    why = reason.text,
                    "absence was claimed before the fence; taken as unknown"
                );
                self.doubt = Doubt::Unknown(reason.text);
                Ok(())
            }
            Performed::Refused(reason) => self.refuse(now, reason),
            Performed::Retry { why, after_ms } => self.retry(now, &open, attempts, why, after_ms),
            Performed::Unknown { why } if safe => self.retry(now, &open, attempts, why, None),
            Performed::Unknown { why } => {
                self.doubt = Doubt::Unknown(why);
                Ok(())
            }
        }
    }

    pub(super) fn retry(
        &mut self,
        now: Millis,
        open: &Open,
        attempts: u32,
        why: String,
        after_ms: Option<u64>,
    ) -> Result<(), RunError> {
        let failed = open.failed + 1;
        if failed >= attempts {
            return self.refuse(now, Reason::new(Reason::EXHAUSTED, why));
        }
        self.again(now, open, failed, why, after_ms.unwrap_or_else(|| backoff_ms(open.attempts + 1)))
    }

    /// What came of [`Action::Fence`].
    ///
    /// # Errors
    /// [`RunError`].
    pub fn fenced(&mut self, now: Millis, raised: FenceRaised) -> Result<(), RunError> {
        match raised {
            FenceRaised::Up(how) => {
                let actor = Arc::clone(&self.actor);
                self.push(now, &actor, &Record::Fenced(Fenced { how }))?;
                self.doubt = Doubt::ToProbe;
            }
            FenceRaised::Failed(why) => self.doubt = Doubt::Stuck(format!("the fence could not be raised: {why}")),
        }
        Ok(())
    }

    /// What came of [`Action::Probe`].
    ///
    /// # Errors
    /// [`RunError`].
    pub fn probed(&mut self, now: Millis, probed: Probed) -> Result<(), RunError> {
        let Phase::Open(open) = self.position.phase.clone() else {
            return Err(RunError::Machine(Illegal::new(self.machine.state(), probed)));
        };
        let to_fence = open.intent.fence && !open.fenced;
        match probed {
            Probed::Happened(seen) => self.happened(now, seen, true),
            Probed::Absent(_) | Probed::Unknown(_) if to_fence => {
                self.doubt = Doubt::ToFence;
                Ok(())
            }
            Probed::Absent(why) => self.refuse(now, Reason::new(Reason::ABSENT, why)),
            Probed::Unknown(why) => {
                self.doubt = Doubt::Stuck(why);
                Ok(())
            }
        }
    }
}
