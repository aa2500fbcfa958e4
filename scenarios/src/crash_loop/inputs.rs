//! What each input means in each state: outcomes, answers and cancels.

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Ending, Illegal, Outcome, Reason, Scenario as _, Verdict};
use recover_steps::{
    Awaited, Captured, Durability, Observed, Proven, Reached, Restarted, Started, Stopped, Validated, Watched,
};

use super::case::Loop;
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use super::states::*;
use super::{APPROVE, CrashLoop, DENY, Event};
use crate::names;
use crate::validation::Stuck;

fn said(what: &str, reason: &Reason) -> String {
    format!("{what}: {}", reason.text)
}

/// The verdict of a refusal: a person's cancel between two attempts is one too.
fn verdict(reason: &Reason) -> Verdict {
    if reason.code == Reason::CANCELLED { Verdict::Cancelled } else { Verdict::GivenUp }
}

fn watched(state: Watching, seen: &Watched) -> CrashLoop {
    match seen {
        Watched::Looping { restarts, says, untrusted } => {
            state.looping(Loop { restarts: *restarts, says: says.clone(), untrusted: *untrusted }).into()
        }
        Watched::Steady { .. } => state.ends(Ending::new(
            Verdict::NotApplicable,
            "the workload lived through the time it was watched: this is no crash loop; `recover diagnose` says what it is",
        )),
        Watched::Stopped => state.ends(Ending {
            suggested: Some(names::RECONNECT_FAILURE.into()),
            ..Ending::new(Verdict::NotApplicable, "the workload does not run, and nobody is about to start it")
        }),
    }
}

fn stopped(state: ProvingStopped) -> CrashLoop {
    if state.case().found.untrusted {
        return state.ends(
            Verdict::GivenUp,
            "its log says that the control plane's certificate is not trusted: install the CA bundle whose fingerprint was told \
             out of band, then start it once",
        );
    }
    state.stopped().into()
}

fn observed(state: Observing, seen: &Observed) -> CrashLoop {
    match seen {
        Observed::Usable { serial, .. } => state.usable(serial).into(),
        Observed::Lost(loss) => state.hands_on(
            format!(
                "identity {} is not on its storage: that is why it cannot live; this is an identity loss",
                loss.epoch
            ),
            names::IDENTITY_LOSS,
        ),
        Observed::NeverPaired { .. } => state
            .hands_on("the connector never paired: this is a first-boot bootstrap failure", names::BOOTSTRAP_FAILURE),
        Observed::Unclear { why } => {
            state.ends(Verdict::GivenUp, format!("it is not started on what was seen, which is unclear: {why}"))
        }
    }
}

fn mounted(state: Mounting, seen: &Durability) -> CrashLoop {
    match seen {
        Durability::Durable { .. } => state.mounted().into(),
        Durability::Undecided { on } => state.undecided(on.clone()).into(),
        Durability::Refuted { on } => state.ends(
            Verdict::GivenUp,
            format!("its storage would not survive a restart ({on}): mount the durable one before it is started"),
        ),
        Durability::Occupied { serial, .. } => {
            state.ends(Verdict::GivenUp, format!("identity {serial} appeared on its storage while it was looked at"))
        }
        Durability::Unwritable { why } => state.ends(
            Verdict::GivenUp,
            format!("it cannot write to its storage ({why}): restore the path, or the owner of exactly that directory"),
        ),
    }
}

fn escalated(stuck: Stuck<super::Case>, verdict: Verdict) -> CrashLoop {
    let reason =
        format!("{}; it lasted after its one start, and the validation did not hold: a person must look", stuck.why());
    CrashLoop::Closed(stuck.case.ending(verdict, reason))
}

impl CrashLoop {
    pub(super) fn outcome(self, outcome: &Outcome<Event>) -> Result<Self, Illegal> {
        use CrashLoop as S;
        Ok(match (self, outcome) {
            (S::Watching(s), Happened(Event::WatchLoop(seen))) => watched(s, seen),
            (S::Watching(s), Refused(r)) => {
                s.ends(Ending::new(verdict(r), said("whether the workload loops could not be told", r)))
            }
            (S::Stopping(s), Happened(Event::Stop(Stopped::Stopped))) => s.stopped().into(),
            (S::Stopping(s), Refused(r)) => s.failed(verdict(r), said("the workload could not be stopped", r)),
            (S::ProvingStopped(s), Happened(Event::ProveStopped(proven))) => match proven {
                Proven::Stopped => stopped(s),
                Proven::Running { what } => {
                    s.unproven(Verdict::GivenUp, format!("the workload is started again by something: {what}"))
                }
            },
            (S::ProvingStopped(s), Refused(r)) => s.unproven(verdict(r), said("the stop could not be proven", r)),
            (S::Observing(s), Happened(Event::Observe(seen))) => observed(s, seen),
            (S::Observing(s), Refused(r)) => s.ends(verdict(r), said("the connector could not be observed", r)),
            (S::Mounting(s), Happened(Event::ProveDurable(seen))) => mounted(s, seen),
            (S::Mounting(s), Refused(r)) => s.ends(verdict(r), said("the storage could not be examined", r)),
            (S::Reaching(s), Happened(Event::Reach(reached))) => match reached {
                Reached::Reached => s.reached().into(),
                Reached::Unreachable { stage, why } => s.ends(
                    Verdict::GivenUp,
                    format!("the control plane cannot be reached ({why}); {}; it is not started before", stage.remedy()),
                ),
            },
            (S::Reaching(s), Refused(r)) => {
                s.ends(verdict(r), said("whether the control plane can be reached could not be told", r))
            }
            (S::Starting(s), Happened(Event::Start(Started::Started { instance }))) => {
                s.started(instance.clone()).into()
            }
            (S::Starting(s), Refused(r)) => s.failed(verdict(r), said("the workload could not be started", r)),
            (S::Lasting(s), Happened(Event::AwaitOnline(awaited))) => match awaited {
                Awaited::Online { .. } => s.lasted().into(),
                Awaited::NotOnline { status } => s
                    .over(
                        Verdict::GivenUp,
                        format!(
                            "identity and storage are in order, and after its one start it does not last ({status}): a person must \
                             read its log and its configuration"
                        ),
                    )
                    .into(),
            },
            (S::Lasting(s), Refused(r)) => s.over(verdict(r), said("the connector could not be watched", r)).into(),
            (S::StoppingAgain(s), Happened(Event::Stop(Stopped::Stopped))) => s.stopped(),
            (S::StoppingAgain(s), Refused(r)) => s.failed(&r.text),
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
            "the loop was ended; started once, the connector lasts with its identity {serial}, and a restart without a token was \
             validated"
        );
        let mut ending = case.ending(Verdict::Recovered, reason);
        ending.residue.extend(without_evidence.map(|why| format!("the closing evidence could not be captured: {why}")));
        Self::Closed(ending)
    }

    pub(super) fn answered(self, choice: &str) -> Result<Self, Illegal> {
        Ok(match (self, choice) {
            (Self::AskingMount(s), APPROVE) => s.taken().into(),
            (Self::AskingMount(s), DENY) => {
                s.ends(Verdict::GivenUp, "nobody vouched for storage whose durability cannot be told")
            }
            (state, choice) => return Err(Illegal::new(state.state(), choice)),
        })
    }

    pub(super) fn cancelled(self) -> Result<Self, Illegal> {
        let validating = |case: &super::Case| Self::Closed(case.ending(Verdict::Cancelled, CANCELLED));
        Ok(match self {
            Self::Watching(s) => s.ends(Ending::new(Verdict::Cancelled, CANCELLED)),
            Self::Stopping(s) => s.failed(Verdict::Cancelled, CANCELLED),
            Self::ProvingStopped(s) => s.cancelled(),
            Self::Observing(s) => s.cancelled(),
            Self::Mounting(s) => s.cancelled(),
            Self::AskingMount(s) => s.cancelled(),
            Self::Reaching(s) => s.cancelled(),
            Self::Starting(s) => s.failed(Verdict::Cancelled, CANCELLED),
            // What may loop on is not left to itself.
            Self::Lasting(s) => s.over(Verdict::Cancelled, CANCELLED).into(),
            Self::StoppingAgain(s) => s.for_a_person().into(),
            Self::Restarting(s) => validating(s.case()),
            Self::AwaitingRestart(s) => validating(s.case()),
            Self::Validating(s) => validating(s.case()),
            Self::Capturing(s) => validating(s.case()),
            state @ Self::Closed(_) => return Err(Illegal::new(state.state(), "cancel")),
        })
    }
}
