//! What each input means in each state: outcomes, answers and cancels.

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Ending, Illegal, Outcome, Reason, Scenario as _, Verdict};
use recover_steps::{
    Awaited, Captured, Durability, Enrollment, Installed, Minted, Paired, Proven, Reached, Restarted, Revoked, Started,
    Stopped, Validated, Withdrawn, refusal,
};

use super::case::Cause;
use super::questions::{APPROVE, DENY};
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use super::states::*;
use super::{BootstrapFailure, Event, back};
use crate::names;
use crate::validation::Stuck;

fn said(what: &str, reason: &Reason) -> String {
    format!("{what}: {}", reason.text)
}

/// The verdict of a refusal: a person's cancel between two attempts is one too.
fn verdict(reason: &Reason) -> Verdict {
    if reason.code == Reason::CANCELLED { Verdict::Cancelled } else { Verdict::GivenUp }
}

fn inspected(state: Inspecting, enrollment: &Enrollment) -> BootstrapFailure {
    match enrollment {
        Enrollment::Paired { serial, there } => {
            let (is, suggested) = if *there {
                ("and has it: this is a reconnect failure", names::RECONNECT_FAILURE)
            } else {
                ("which is not on its storage: this is an identity loss", names::IDENTITY_LOSS)
            };
            let reason = format!("the connector paired before, as identity {serial}, {is}");
            state.ends(Ending { suggested: Some(suggested.into()), ..Ending::new(Verdict::NotApplicable, reason) })
        }
        Enrollment::Skewed { off_ms } => state.ends(Ending::new(
            Verdict::GivenUp,
            format!(
                "the clock of this host is {} s off the control plane's, so that tokens and certificates are refused: mend it \
                 first; nothing was minted",
                off_ms / 1_000
            ),
        )),
        Enrollment::Untrusted { found, pinned: false } => state.ends(Ending::new(
            Verdict::GivenUp,
            format!(
                "the connector does not trust the control plane ({}), and no CA bundle is configured whose fingerprints were told \
                 out of band: configure `trust` for this target; a CA is never taken from the peer",
                found.why
            ),
        )),
        Enrollment::Untrusted { found, pinned: true } => state.unpaired(Cause::Untrusted, found.clone()),
        Enrollment::Expired(found) => state.unpaired(Cause::Expired, found.clone()),
        Enrollment::Revoked(found) => state.unpaired(Cause::Revoked, found.clone()),
        Enrollment::Denied(found) => state.unpaired(Cause::Denied, found.clone()),
        Enrollment::Outstanding(found) => state.unpaired(Cause::Outstanding, found.clone()),
        Enrollment::Unclear { why } => {
            state.ends(Ending::new(Verdict::GivenUp, format!("what was seen is unclear: {why}")))
        }
    }
}

/// It paired, and what comes after is another procedure's case.
fn stuck(stuck: Stuck<super::Case>, verdict: Verdict) -> BootstrapFailure {
    let why = stuck.why().to_owned();
    not_validated(stuck.case, verdict, &why)
}

impl BootstrapFailure {
    /// A step was refused because a person cancelled between two attempts. What there is to undo is what a refusal leaves;
    /// only the verdict is another.
    pub(super) fn for_a_person(self) -> Self {
        match self {
            Self::BackStopping(s) => Self::BackStopping(s.for_a_person()),
            Self::BackRevoking(s) => Self::BackRevoking(s.for_a_person()),
            Self::BackStarting(s) => Self::BackStarting(s.for_a_person()),
            Self::Closed(ending) if ending.verdict == Verdict::GivenUp && ending.suggested.is_none() => {
                Self::Closed(Ending { verdict: Verdict::Cancelled, reason: back::CANCELLED.into(), ..ending })
            }
            // Not on the way back yet: the cancel itself comes next.
            state @ (Self::Reaching(_)
            | Self::Inspecting(_)
            | Self::AskingFresh(_)
            | Self::AskingRevoked(_)
            | Self::AskingRefused(_)
            | Self::AskingOutstanding(_)
            | Self::Surveying(_)
            | Self::AskingDurable(_)
            | Self::Stopping(_)
            | Self::ProvingStopped(_)
            | Self::Trusting(_)
            | Self::RevokingStale(_)
            | Self::ProvingStillStopped(_)
            | Self::Minting(_)
            | Self::ProvingBeforePair(_)
            | Self::Pairing(_)
            | Self::Withdrawing(_)
            | Self::StartingPaired(_)
            | Self::AwaitingPaired(_)
            | Self::Restarting(_)
            | Self::AwaitingRestart(_)
            | Self::Validating(_)
            | Self::Capturing(_)
            | Self::Closed(_)) => state,
        }
    }

    #[expect(clippy::too_many_lines, reason = "the table of the machine, one line per transition, read as a whole")]
    pub(super) fn outcome(self, outcome: &Outcome<Event>) -> Result<Self, Illegal> {
        use BootstrapFailure as S;
        Ok(match (self, outcome) {
            (S::Reaching(s), Happened(Event::Reach(reached))) => match reached {
                Reached::Reached => s.reached().into(),
                Reached::Unreachable { stage, why } => s.ends(Ending::new(
                    Verdict::GivenUp,
                    format!("the control plane cannot be reached ({why}); {}; nothing was minted", stage.remedy()),
                )),
            },
            (S::Reaching(s), Refused(r)) => {
                s.ends(Ending::new(verdict(r), said("whether the control plane can be reached could not be told", r)))
            }
            (S::Inspecting(s), Happened(Event::InspectEnrollment(seen))) => inspected(s, seen),
            (S::Inspecting(s), Refused(r)) => {
                s.ends(Ending::new(verdict(r), said("why it never paired could not be told", r)))
            }

            (S::Surveying(s), Happened(Event::ProveDurable(seen))) => match seen {
                Durability::Durable { .. } => s.durable().into(),
                Durability::Undecided { on } => s.undecided(on.clone()).into(),
                Durability::Refuted { on } => s.give_up(format!(
                    "the workload's storage would not survive a restart ({on}); mount durable storage there first"
                )),
                Durability::Occupied { serial, .. } => {
                    s.give_up(format!("identity {serial} is on the storage of a connector that never paired"))
                }
                Durability::Unwritable { why } => s.give_up(format!("the workload's storage is not writable: {why}")),
            },
            (S::Surveying(s), Refused(r)) => s.give_up(said("the storage could not be examined", r)),

            (S::Stopping(s), Happened(Event::Stop(Stopped::Stopped))) => s.stopped().into(),
            (S::Stopping(s), Refused(r)) => s.failed(&r.text),
            (S::ProvingStopped(s), Happened(Event::ProveStopped(proven))) => match proven {
                Proven::Stopped => s.stopped(),
                Proven::Running { what } => s.unproven(again(what)),
            },
            (S::ProvingStopped(s), Refused(r)) => s.unproven(said("the stop could not be proven", r)),
            (S::Trusting(s), Happened(Event::InstallTrust(Installed::Installed { kept }))) => {
                s.installed(kept.as_deref()).into()
            }
            (S::Trusting(s), Refused(r)) => s.give_up(said("the pinned CA bundle could not be installed", r)),

            (S::RevokingStale(s), Happened(Event::RevokeStale(Revoked::Revoked { .. }))) => s.revoked().into(),
            (S::RevokingStale(s), Refused(r)) => s.give_up(said("the old token could not be revoked", r)),
            (S::ProvingStillStopped(s), Happened(Event::ProveStopped(proven))) => match proven {
                Proven::Stopped => s.stopped(),
                Proven::Running { what } => s.unproven(again(what)),
            },
            (S::ProvingStillStopped(s), Refused(r)) => s.unproven(said("the stop could not be proven", r)),
            (S::Minting(s), Happened(Event::Mint(Minted::Minted { token }))) => s.minted(token.clone()).into(),
            (S::Minting(s), Refused(r)) if [Reason::ABSENT, refusal::DUPLICATED].contains(&r.code.as_str()) => {
                s.absent().into()
            }
            (S::Minting(s), Refused(r)) => s.give_up(said("no token could be minted", r)),
            (S::ProvingBeforePair(s), Happened(Event::ProveStopped(proven))) => match proven {
                Proven::Stopped => s.stopped().into(),
                Proven::Running { what } => s.unproven(again(what)),
            },
            (S::ProvingBeforePair(s), Refused(r)) => s.unproven(said("the stop could not be proven", r)),
            (S::Pairing(s), Happened(Event::Pair(Paired::Paired { serial, instance }))) => {
                s.paired(serial.clone(), instance.clone()).into()
            }
            (S::Pairing(s), Refused(r)) => s.refused(&r.text),

            (S::Withdrawing(s), Happened(Event::Withdraw(Withdrawn::Withdrawn))) => s.withdrawn(),
            (S::Withdrawing(s), Refused(r)) => s.failed(&r.text),
            (S::StartingPaired(s), Happened(Event::Start(Started::Started { instance }))) => {
                s.started(instance.clone()).into()
            }
            (S::StartingPaired(s), Refused(r)) => s.stuck(&said("the workload could not be started", r)),
            (S::AwaitingPaired(s), Happened(Event::AwaitOnline(awaited))) => match awaited {
                Awaited::Online { .. } => s.online().into(),
                Awaited::NotOnline { status } => s.stuck(&format!("after pairing the connector is {status}")),
            },
            (S::AwaitingPaired(s), Refused(r)) => s.stuck(&said("the connector could not be watched", r)),
            (S::Restarting(s), Happened(Event::Restart(Restarted::Restarted { instance }))) => {
                s.restarted(instance.clone()).into()
            }
            (S::Restarting(s), Refused(r)) => {
                stuck(s.stuck(said("the workload could not be restarted", r)), Verdict::GivenUp)
            }
            (S::AwaitingRestart(s), Happened(Event::AwaitOnline(awaited))) => match awaited {
                Awaited::Online { .. } => s.online().into(),
                Awaited::NotOnline { status } => {
                    stuck(s.stuck(format!("after the validation restart the connector is {status}")), Verdict::GivenUp)
                }
            },
            (S::AwaitingRestart(s), Refused(r)) => {
                stuck(s.stuck(said("the connector could not be watched", r)), Verdict::GivenUp)
            }
            (S::Validating(s), Happened(Event::Validate(validated))) => match validated {
                Validated::Validated { .. } => s.validated().into(),
                Validated::Invalid { why } => {
                    stuck(s.stuck(format!("the recovery did not validate: {why}")), Verdict::GivenUp)
                }
            },
            (S::Validating(s), Refused(r)) => {
                stuck(s.stuck(said("the recovery could not be validated", r)), Verdict::GivenUp)
            }
            (S::Capturing(s), Happened(Event::Capture(Captured::Captured { .. }))) => Self::recovered(s, None),
            (S::Capturing(s), Refused(r)) => Self::recovered(s, Some(&r.text)),

            (S::BackRevoking(s), Happened(Event::RevokeOrphan(Revoked::Revoked { .. }))) => s.done(),
            (S::BackRevoking(s), Refused(r)) => s.failed(&r.text),
            (S::BackStopping(s), Happened(Event::Stop(Stopped::Stopped))) => s.done(),
            (S::BackStopping(s), Refused(r)) => s.failed(&r.text),
            (S::BackStarting(s), Happened(Event::Start(Started::Started { .. }))) => s.done(),
            (S::BackStarting(s), Refused(r)) => s.failed(&r.text),
            (state, outcome) => return Err(Illegal::new(state.state(), outcome)),
        })
    }

    /// It is recovered, whether or not the closing evidence could be captured.
    fn recovered(state: Capturing, without_evidence: Option<&str>) -> Self {
        let (mut case, serial) = state.over();
        if let Some(why) = without_evidence {
            case.residue(format!("the closing evidence could not be captured: {why}"));
        }
        let reason = format!(
            "the connector was paired once, as identity {serial}, and reconnects with it; a restart without a token was validated"
        );
        Self::Closed(case.ending(Verdict::Recovered, &reason, true))
    }

    pub(super) fn answered(self, choice: &str) -> Result<Self, Illegal> {
        Ok(match (self, choice) {
            (Self::AskingFresh(s), APPROVE) => s.allowed().into(),
            (Self::AskingFresh(s), DENY) => s.give_up("a fresh token was not approved"),
            (Self::AskingRevoked(s), APPROVE) => s.allowed().into(),
            (Self::AskingRevoked(s), DENY) => {
                s.give_up("the token stays revoked: nobody knows why it was, or it was meant")
            }
            (Self::AskingRefused(s), APPROVE) => s.allowed().into(),
            (Self::AskingRefused(s), DENY) => s.give_up("what the request was refused for is not mended"),
            (Self::AskingOutstanding(s), APPROVE) => s.allowed().into(),
            (Self::AskingOutstanding(s), DENY) => s.give_up("the token that would work is left to whoever has it"),
            (Self::AskingDurable(s), APPROVE) => s.taken().into(),
            (Self::AskingDurable(s), DENY) => s.give_up("nobody vouched for storage whose durability cannot be told"),
            (state, choice) => return Err(Illegal::new(state.state(), choice)),
        })
    }

    pub(super) fn cancelled(self) -> Result<Self, Illegal> {
        Ok(match self {
            Self::Reaching(s) => s.cancelled(),
            Self::Inspecting(s) => s.cancelled(),
            Self::AskingFresh(s) => s.cancelled(),
            Self::AskingRevoked(s) => s.cancelled(),
            Self::AskingRefused(s) => s.cancelled(),
            Self::AskingOutstanding(s) => s.cancelled(),
            Self::Surveying(s) => s.cancelled(),
            Self::AskingDurable(s) => s.cancelled(),
            Self::Stopping(s) => s.cancelled(),
            Self::ProvingStopped(s) => s.cancelled(),
            Self::Trusting(s) => s.cancelled(),
            Self::RevokingStale(s) => s.cancelled(),
            Self::ProvingStillStopped(s) => s.cancelled(),
            Self::Minting(s) => s.cancelled(),
            Self::ProvingBeforePair(s) => s.cancelled(),
            Self::Pairing(s) => s.cancelled(),
            // Already on the way back: it goes on as it is, under the reason it has.
            state @ (Self::BackStopping(_) | Self::BackRevoking(_) | Self::BackStarting(_)) => state,
            state @ (Self::Withdrawing(_)
            | Self::StartingPaired(_)
            | Self::AwaitingPaired(_)
            | Self::Restarting(_)
            | Self::AwaitingRestart(_)
            | Self::Validating(_)
            | Self::Capturing(_)
            | Self::Closed(_)) => return Err(Illegal::new(state.state(), "cancel")),
        })
    }
}

fn again(what: &str) -> String {
    format!("the workload is started again by something: {what}")
}
