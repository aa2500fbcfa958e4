//! What each input means in each state: outcomes, waits that are over, and cancels.

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Ending, Illegal, Outcome, Reason, Scenario as _, Verdict};
use recover_steps::{Awaited, Captured, Observed, Reached, Repaired, Restarted, Validated};

use super::case::{Case, Sighting};
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use super::states::*;
use super::{Event, ReconnectFailure};
use crate::names;
use crate::validation::Stuck;

/// What the authority calls a connector of which not every path is up.
const DEGRADED: &str = "degraded";

/// What a look comes to.
enum Look {
    Healthy,
    Degraded(Sighting),
    Offline(Sighting),
    /// Not this procedure's case.
    Other(Ending),
}

fn look(observed: &Observed) -> Look {
    let other = |verdict, reason: String, suggested: Option<&'static str>| {
        Look::Other(Ending { suggested: suggested.map(Into::into), ..Ending::new(verdict, reason) })
    };
    match observed {
        Observed::Usable { online: true, .. } => Look::Healthy,
        Observed::Usable { status, online: false, serial, running, last_seen } => {
            let seen = Sighting {
                serial: serial.clone(),
                status: status.clone(),
                running: running.clone(),
                last_seen: last_seen.clone(),
            };
            if status == DEGRADED { Look::Degraded(seen) } else { Look::Offline(seen) }
        }
        Observed::Lost(loss) => other(
            Verdict::NotApplicable,
            format!("identity {} is not on its storage: this is an identity loss", loss.epoch),
            Some(names::IDENTITY_LOSS),
        ),
        Observed::NeverPaired { .. } => other(
            Verdict::NotApplicable,
            "the connector never paired: this is a first-boot bootstrap failure".into(),
            Some(names::BOOTSTRAP_FAILURE),
        ),
        Observed::Unclear { why } => other(Verdict::GivenUp, format!("what was seen is unclear: {why}"), None),
    }
}

fn unreachable(reached: &Reached) -> Option<String> {
    match reached {
        Reached::Reached => None,
        Reached::Unreachable { stage, why } => Some(format!(
            "the control plane cannot be reached from where the connector runs ({why}); {}; nothing was restarted",
            stage.remedy()
        )),
    }
}

fn said(what: &str, reason: &Reason) -> String {
    format!("{what}: {}", reason.text)
}

/// The verdict of a refusal: a person's cancel between two attempts is one too.
fn verdict(reason: &Reason) -> Verdict {
    if reason.code == Reason::CANCELLED { Verdict::Cancelled } else { Verdict::GivenUp }
}

fn escalated(mut stuck: Stuck<Case>, verdict: Verdict) -> ReconnectFailure {
    stuck.case.restarted = true;
    let reason = format!("{}; a person must look: the connector's log and its path to the control plane", stuck.why());
    ReconnectFailure::Closed(stuck.case.ending(verdict, reason))
}

/// A look after a wait.
enum After {
    /// The same identity is offline.
    Offline(Sighting),
    /// There is nothing more to do here.
    End(Ending),
}

fn after_wait(case: &Case, observed: &Observed) -> After {
    let end = |verdict, reason: String| After::End(case.ending(verdict, reason));
    let was = &case.seen;
    match look(observed) {
        Look::Healthy => end(
            Verdict::NotApplicable,
            format!("the connector was {} and came back by itself; nothing was done to it", was.status),
        ),
        Look::Other(Ending { verdict, reason, suggested, .. }) => {
            After::End(Ending { suggested, ..case.ending(verdict, reason) })
        }
        Look::Offline(seen) | Look::Degraded(seen) if seen.serial != was.serial => end(
            Verdict::GivenUp,
            format!("its identity changed from {} to {} while it was watched", was.serial, seen.serial),
        ),
        Look::Offline(seen) => After::Offline(seen),
        Look::Degraded(_) => end(Verdict::GivenUp, STILL_DEGRADED.to_owned()),
    }
}

const STILL_DEGRADED: &str = "the connector is degraded and was left to heal: a part of its paths is up, so it is not \
    restarted; a person repairs the path that is not";

impl ReconnectFailure {
    pub(super) fn outcome(self, outcome: &Outcome<Event>) -> Result<Self, Illegal> {
        use ReconnectFailure as S;
        Ok(match (self, outcome) {
            (S::Reaching(s), Happened(Event::Reach(reached))) => match unreachable(reached) {
                None => s.reached().into(),
                Some(why) => s.ends(Ending::new(Verdict::GivenUp, why)),
            },
            (S::Reaching(s), Refused(r)) => {
                s.ends(Ending::new(verdict(r), said("whether the control plane can be reached could not be told", r)))
            }
            (S::Observing(s), Happened(Event::Observe(observed))) => match look(observed) {
                Look::Healthy => s.ends(Ending::new(
                    Verdict::NotApplicable,
                    "the connector is online with its own identity; nothing is wrong",
                )),
                Look::Degraded(seen) => s.degraded(seen).into(),
                Look::Offline(seen) => s.offline(seen).into(),
                Look::Other(ending) => s.ends(ending),
            },
            (S::Observing(s), Refused(r)) => {
                s.ends(Ending::new(verdict(r), said("the connector could not be observed", r)))
            }
            (S::LookingWatched(s), Happened(Event::Observe(observed))) => match after_wait(s.case(), observed) {
                After::Offline(seen) => s.offline(seen).into(),
                After::End(ending) => Self::Closed(ending),
            },
            (S::LookingAgain(s), Happened(Event::Observe(observed))) => match after_wait(s.case(), observed) {
                After::Offline(seen) => s.still_offline(seen).into(),
                After::End(ending) => Self::Closed(ending),
            },
            (S::LookingWatched(s), Refused(r)) => s.ends(verdict(r), said("the connector could not be observed", r)),
            (S::LookingAgain(s), Refused(r)) => s.ends(verdict(r), said("the connector could not be observed", r)),
            (S::ReachingAgain(s), Happened(Event::Reach(reached))) => match unreachable(reached) {
                None => s.reached().into(),
                Some(why) => s.ends(Verdict::GivenUp, why),
            },
            (S::ReachingAgain(s), Refused(r)) => {
                s.ends(verdict(r), said("whether the control plane can be reached could not be told", r))
            }
            (S::Repairing(s), Happened(Event::Repair(Repaired::Repaired { instance }))) => {
                s.repaired(instance.clone()).into()
            }
            (S::Repairing(s), Refused(r)) => s.failed(verdict(r), said("the workload could not be restarted", r)),
            (S::Awaiting(s), Happened(Event::AwaitOnline(awaited))) => match awaited {
                Awaited::Online { .. } => s.online().into(),
                Awaited::NotOnline { status } => s.ends(
                    Verdict::GivenUp,
                    format!(
                        "after its one repair the connector is {status}, and its identity is on its storage; a person must \
                         look: the connector's log and its path to the control plane"
                    ),
                ),
            },
            (S::Awaiting(s), Refused(r)) => s.ends(verdict(r), said("the connector could not be watched", r)),
            (S::Restarting(s), Happened(Event::Restart(Restarted::Restarted { instance }))) => {
                s.restarted(instance.clone()).into()
            }
            (S::Restarting(s), Refused(r)) => {
                escalated(s.stuck(said("the workload could not be restarted", r)), verdict(r))
            }
            (S::AwaitingRestart(s), Happened(Event::AwaitOnline(awaited))) => match awaited {
                Awaited::Online { .. } => s.online().into(),
                Awaited::NotOnline { status } => escalated(
                    s.stuck(format!("after the validation restart the connector is {status}")),
                    Verdict::GivenUp,
                ),
            },
            (S::AwaitingRestart(s), Refused(r)) => {
                escalated(s.stuck(said("the connector could not be watched", r)), verdict(r))
            }
            (S::Validating(s), Happened(Event::Validate(validated))) => match validated {
                Validated::Validated { .. } => s.validated().into(),
                Validated::Invalid { why } => {
                    escalated(s.stuck(format!("the recovery did not validate: {why}")), Verdict::GivenUp)
                }
            },
            (S::Validating(s), Refused(r)) => {
                escalated(s.stuck(said("the recovery could not be validated", r)), verdict(r))
            }
            (S::Capturing(s), Happened(Event::Capture(Captured::Captured { .. }))) => Self::recovered(s, None),
            (S::Capturing(s), Refused(r)) => Self::recovered(s, Some(&r.text)),
            (state, outcome) => return Err(Illegal::new(state.state(), outcome)),
        })
    }

    /// It is recovered, whether or not the closing evidence could be captured.
    fn recovered(state: Capturing, without_evidence: Option<&str>) -> Self {
        let (case, serial) = state.over();
        let reason = format!(
            "the connector was repaired once and reconnects with its identity {serial}; a restart without a token was \
             validated"
        );
        let mut ending = case.ending(Verdict::Recovered, reason);
        ending.residue.extend(without_evidence.map(|why| format!("the closing evidence could not be captured: {why}")));
        Self::Closed(ending)
    }

    pub(super) fn elapsed(self) -> Result<Self, Illegal> {
        Ok(match self {
            Self::Watching(s) => s.watched().into(),
            Self::Settling(s) => s.settled().into(),
            state @ (Self::Reaching(_)
            | Self::Observing(_)
            | Self::LookingWatched(_)
            | Self::LookingAgain(_)
            | Self::ReachingAgain(_)
            | Self::Repairing(_)
            | Self::Awaiting(_)
            | Self::Restarting(_)
            | Self::AwaitingRestart(_)
            | Self::Validating(_)
            | Self::Capturing(_)
            | Self::Closed(_)) => return Err(Illegal::new(state.state(), "elapsed")),
        })
    }

    pub(super) fn cancelled(self) -> Result<Self, Illegal> {
        let validating = |case: &Case, restarted: bool| {
            let mut case = case.clone();
            case.restarted = restarted;
            Self::Closed(case.ending(Verdict::Cancelled, CANCELLED))
        };
        Ok(match self {
            Self::Reaching(s) => s.cancelled(),
            Self::Observing(s) => s.cancelled(),
            Self::Watching(s) => s.cancelled(),
            Self::LookingWatched(s) => s.cancelled(),
            Self::Settling(s) => s.cancelled(),
            Self::LookingAgain(s) => s.cancelled(),
            Self::ReachingAgain(s) => s.cancelled(),
            Self::Repairing(s) => s.cancelled(),
            Self::Awaiting(s) => s.cancelled(),
            Self::Restarting(s) => validating(s.case(), false),
            Self::AwaitingRestart(s) => validating(s.case(), true),
            Self::Validating(s) => validating(s.case(), true),
            Self::Capturing(s) => validating(s.case(), true),
            state @ Self::Closed(_) => return Err(Illegal::new(state.state(), "cancel")),
        })
    }
}
