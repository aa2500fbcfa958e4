//! What people want of a run: answers, resolutions, cancels, abandonment.

use std::sync::Arc;

use super::{Run, RunError};
use crate::effect::{Outcome, Reason, Redo, Told};
use crate::id::Millis;
use crate::json::Json;
use crate::position::Phase;
use crate::record::{Answered, CancelRequested, Record, Resolved};
use crate::scenario::{Choice, Ending, Input, Verdict};
use crate::world::{Request, Unwilling, Wish};

impl Run {
    pub(super) fn cancel_now(&mut self, now: Millis, request: Request) -> Result<(), RunError> {
        let Wish::Cancel { reason } = request.wish else { return Ok(()) };
        let why_not = if self.position.cancelled {
            Some("the run is already going back".to_owned())
        } else if self.machine.committed() {
            Some("the point of no return lies behind the run: it can only go forward".to_owned())
        } else if self.machine.boxed_clone().apply("", &Input::Cancel).is_err() {
            Some(format!("state {} cannot be cancelled", self.machine.state()))
        } else {
            None
        };
        if let Some(why) = why_not {
            self.replies.push((request.id, Err(Unwilling::NotNow(why))));
            if self.batch.is_empty() {
                self.committed();
            }
            return Ok(());
        }
        self.feed(now, &request.actor, &Input::Cancel, |to| Record::CancelRequested(CancelRequested { reason, to }))?;
        self.replies.push((request.id, Ok(())));
        Ok(())
    }

    /// Takes a request. What it leads to comes out of [`Run::next`], its reply last.
    ///
    /// # Errors
    /// [`RunError`].
    pub fn request(&mut self, now: Millis, request: Request) -> Result<(), RunError> {
        let id = request.id;
        let verdict = match request.wish.clone() {
            Wish::Interrupt => {
                self.interrupted = true;
                Ok(())
            }
            Wish::Cancel { .. } => {
                self.cancels.push_back(request);
                return Ok(());
            }
            Wish::Answer { question, choice, reason } => self.answer(now, &request.actor, question, &choice, reason)?,
            Wish::Resolve { step, happened, reason } => self.resolve(now, &request.actor, &step, happened, reason)?,
            Wish::Abandon { .. } if matches!(self.position.phase, Phase::Closed(_)) => {
                Err(Unwilling::NotNow("the run has ended".to_owned()))
            }
            Wish::Abandon { reason } => {
                let mut ending = Ending::new(Verdict::Abandoned, reason);
                ending.residue.push(format!("the run was abandoned in state {}", self.position.state));
                if let Phase::Open(open) = &self.position.phase {
                    ending.residue.push(format!("whether {} was applied was not established", open.intent.step));
                }
                self.push(now, &request.actor, Record::Closed(ending))?;
                Ok(())
            }
        };
        self.replies.push((id, verdict));
        if self.batch.is_empty() {
            self.committed();
        }
        Ok(())
    }

    pub(super) fn answer(
        &mut self,
        now: Millis,
        actor: &Arc<str>,
        question: Option<u32>,
        choice: &str,
        reason: String,
    ) -> Result<Result<(), Unwilling>, RunError> {
        let Phase::Asked { seq, asked } = self.position.phase.clone() else {
            return Ok(Err(match question {
                Some(n) => Unwilling::QuestionChanged(format!("question q{n} is no longer open")),
                None => Unwilling::NoQuestion,
            }));
        };
        if let Some(n) = question.filter(|n| *n != seq) {
            return Ok(Err(Unwilling::QuestionChanged(format!("q{n} was answered or has expired; q{seq} is open"))));
        }
        if !asked.question.choices.iter().any(|c| c.id == choice) {
            let known = asked.question.choices.iter().map(|c| &*c.id).collect::<Vec<_>>().join(", ");
            return Ok(Err(Unwilling::NoChoice { choice: choice.to_owned(), known }));
        }
        if now >= asked.deadline {
            return Ok(Err(Unwilling::QuestionChanged(format!("q{seq} has expired: {}", asked.question.otherwise))));
        }
        let label = format!("{}:{choice}", asked.question.id);
        let denied = choice == Choice::DENY;
        self.feed(now, actor, &Input::Answer(choice.to_owned()), |to| {
            let answered = Answered { question: seq, label, reason, to };
            if denied { Record::Denied(answered) } else { Record::Answered(answered) }
        })?;
        Ok(Ok(()))
    }

    pub(super) fn resolve(
        &mut self,
        now: Millis,
        actor: &Arc<str>,
        step: &str,
        happened: Option<Json>,
        reason: String,
    ) -> Result<Result<(), Unwilling>, RunError> {
        let Phase::Open(open) = &self.position.phase else {
            return Ok(Err(Unwilling::NotInDoubt(step.to_owned())));
        };
        // A safe step is never in doubt; one whose attempt is under way in this process is not yet.
        let safe = matches!(open.intent.redo, Redo::Pure | Redo::Idempotent);
        if open.intent.step != step || safe || (!self.resumed && open.doubt.is_none()) {
            return Ok(Err(Unwilling::NotInDoubt(step.to_owned())));
        }
        let doing = self.doing()?;
        let (label, input, event) = match happened {
            Some(data) => {
                let told = if data == Json::null() {
                    doing.attested.clone()
                } else {
                    data.to::<serde_json::Value>()
                        .ok()
                        .and_then(|v| v.get("ending").and_then(|e| e.as_str().map(str::to_owned)))
                        .map(|ending| Told { ending, data })
                };
                let Some(told) = told else { return Ok(Err(Unwilling::NeedsData(step.to_owned()))) };
                let event = Some(told.data.clone());
                (format!("{step}:{}", told.ending), Input::Outcome(Outcome::Happened(told)), event)
            }
            None => {
                let reason = Reason::new(Reason::ABSENT, reason.clone());
                (format!("{step}:refused"), Input::Outcome(Outcome::Refused(reason)), None)
            }
        };
        if self.machine.boxed_clone().apply(step, &input).is_err() {
            return Ok(Err(Unwilling::NeedsData(step.to_owned())));
        }
        let step = step.to_owned();
        self.feed(now, actor, &input, |to| Record::Resolved(Resolved { step, label, event, reason, to }))?;
        Ok(Ok(()))
    }
}
