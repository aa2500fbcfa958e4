//! Applying, fencing and probing the open intent, and what came of it.

use std::sync::Arc;

use super::told::{open_step, plain};
use super::{Action, Doubt, Run, RunError, Stop};
use crate::effect::{Doing, Outcome, Reason, Redo};
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
    /// The open intent; an error if none is open.
    fn opened(&self, came: impl std::fmt::Debug) -> Result<&Open, RunError> {
        match &self.position.phase {
            Phase::Open(open) => Ok(open),
            Phase::Ready | Phase::Waiting { .. } | Phase::Asked { .. } | Phase::Closed(_) => {
                Err(RunError::Machine(Illegal::new(self.machine.state(), came)))
            }
        }
    }

    /// The step of the open intent. A machine that asks for none while an intent is open is not this history's.
    pub(super) fn doing(&mut self) -> Result<Arc<Doing>, RunError> {
        if let Some(doing) = &self.doing {
            return Ok(Arc::clone(doing));
        }
        let Next::Do(doing) = self.machine.next() else {
            return Err(RunError::Machine(Illegal::new(self.machine.state(), "an open intent")));
        };
        Ok(Arc::clone(self.doing.insert(Arc::new(doing))))
    }

    fn act(&mut self) -> Result<Act, RunError> {
        let doing = self.doing()?;
        let open = self.opened("an attempt")?;
        Ok(Act {
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

    pub(super) fn open(&mut self, now: Millis) -> Result<Option<Action>, RunError> {
        let open = self.opened("an attempt")?;
        let (redo, not_before) = (open.intent.redo, open.not_before);
        // A clock that is behind the last record has gone back: it cannot tell how long to wait, and an hour back is no hour's wait.
        let early = now < not_before && now >= self.position.at;
        match &self.doubt {
            Doubt::Fresh if early => {
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
                Ok(Some(Action::Wait(not_before)))
            }
            // A look changes nothing, so it is not waited for: its intent stays open, and the resume looks again.
            Doubt::Fresh if self.interrupted && redo == Redo::Pure => Ok(Some(Action::Stop(Stop::Interrupted))),
            Doubt::Fresh => Ok(Some(Action::Perform(self.act()?))),
            Doubt::Unknown(why) => {
                let why = why.clone();
                match redo {
                    // It did not fail: a run that was killed often enough must not give up over the first hiccup after it.
                    Redo::Pure | Redo::Idempotent => self.again(now, 0, why, 0)?,
                    Redo::AtMostOnce => return self.stuck(now, why),
                    Redo::OnlyIfAbsent => self.doubt = Doubt::ToProbe,
                }
                Ok(None)
            }
            Doubt::ToProbe => Ok(Some(Action::Probe(self.act()?))),
            Doubt::ToFence => Ok(Some(Action::Fence(self.act()?))),
            Doubt::Stuck(why) => {
                let why = why.clone();
                self.stuck(now, why)
            }
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
            self.push(now, &actor, record)?;
        }
        Ok(Some(Action::Stop(Stop::InDoubt { step, why })))
    }

    /// Journals that the open intent is attempted again, `failures` of its attempts having failed since the last.
    fn again(&mut self, now: Millis, failures: u32, why: String, delay_ms: u64) -> Result<(), RunError> {
        let open = self.opened("another attempt")?;
        let (attempt, failed) = (open.attempts + 1, open.failed + failures);
        let record = Record::Attempt(Attempt { attempt, failed, why, not_before: now.plus(delay_ms), doubt: false });
        let actor = Arc::clone(&self.actor);
        self.push(now, &actor, record)?;
        self.doubt = Doubt::Fresh;
        Ok(())
    }

    pub(super) fn refuse(&mut self, now: Millis, reason: Reason) -> Result<(), RunError> {
        let label = format!("{}:refused", open_step(&self.position));
        let input = Input::Outcome(Outcome::Refused(reason.clone()));
        let actor = Arc::clone(&self.actor);
        self.feed(now, &actor, &input, |to| Record::Outcome(Resulted { refused: Some(reason), ..plain(label, to) }))
    }

    pub(super) fn happened(&mut self, now: Millis, seen: Seen, probed: bool) -> Result<(), RunError> {
        let label = [open_step(&self.position), ":", &seen.told.ending].concat();
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
        let open = self.opened(&performed)?;
        let safe = matches!(open.intent.redo, Redo::Pure | Redo::Idempotent);
        let late = open.intent.fence && !open.fenced;
        match performed {
            Performed::Happened(seen) => self.happened(now, seen, false),
            // Absence is a promise, and where something can arrive late only a fence makes it one: whoever gives it before that
            // does not know what it says.
            Performed::Refused(reason) if reason.code == Reason::ABSENT && late => {
                let (run, why) = (self.position.run, reason.text);
                tracing::warn!(%run, why, "absence was claimed before the fence; taken as unknown");
                self.doubt = Doubt::Unknown(why);
                Ok(())
            }
            Performed::Refused(reason) => self.refuse(now, reason),
            Performed::Retry { why, after_ms } => self.retry(now, why, after_ms),
            Performed::Unknown { why } if safe => self.retry(now, why, None),
            Performed::Unknown { why } => {
                self.doubt = Doubt::Unknown(why);
                Ok(())
            }
        }
    }

    fn retry(&mut self, now: Millis, why: String, after_ms: Option<u64>) -> Result<(), RunError> {
        let allowed = self.doing()?.attempts;
        let open = self.opened("another attempt")?;
        if open.failed + 1 >= allowed {
            return self.refuse(now, Reason::new(Reason::EXHAUSTED, why));
        }
        let delay_ms = after_ms.unwrap_or_else(|| backoff_ms(open.attempts + 1));
        self.again(now, 1, why, delay_ms)
    }

    /// What came of [`Action::Fence`].
    ///
    /// # Errors
    /// [`RunError`].
    pub fn fenced(&mut self, now: Millis, raised: FenceRaised) -> Result<(), RunError> {
        match raised {
            FenceRaised::Up(how) => {
                let actor = Arc::clone(&self.actor);
                self.push(now, &actor, Record::Fenced(Fenced { how }))?;
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
        let open = self.opened(&probed)?;
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

#[cfg(test)]
mod tests {
    use super::backoff_ms;

    #[test]
    fn the_pause_doubles_from_a_second_to_a_minute() {
        let pauses = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, u32::MAX].map(backoff_ms);
        assert_eq!(pauses, [1000, 1000, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000, 60_000]);
    }
}
