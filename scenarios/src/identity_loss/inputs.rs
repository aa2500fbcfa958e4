//! What each input means in each state: outcomes, answers and cancels.

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Ending, Illegal, Outcome, Reason, Scenario as _, Verdict};
use recover_steps::{
    Awaited, Captured, Detached, Durability, Evicted, Minted, Observed, Paired, Proven, Reattached, Reparented,
    Restarted, Restored, Revoked, Searched, Started, Stopped, Validated, Withdrawn, refusal,
};

use super::questions::{APPROVE, DENY, RETRY};
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use super::states::*;
use super::{Event, IdentityLoss, back};
use crate::names;

fn observed(state: Observing, observed: &Observed) -> IdentityLoss {
    let not_applicable = |reason: String, suggested: Option<&'static str>| Ending {
        suggested: suggested.map(Into::into),
        ..Ending::new(Verdict::NotApplicable, reason)
    };
    match observed {
        Observed::Lost(loss) => state.lost(loss.clone()).into(),
        Observed::Usable { online: true, .. } => state.nothing_changed(not_applicable(
            "the connector is online with its own identity; nothing is wrong".into(),
            None,
        )),
        Observed::Usable { status, online: false, .. } => state.nothing_changed(not_applicable(
            format!("the identity is on its storage and the connector is {status}: this is a reconnect failure"),
            Some(names::RECONNECT_FAILURE),
        )),
        Observed::NeverPaired { .. } => state.nothing_changed(not_applicable(
            "the connector never paired: this is a first-boot bootstrap failure".into(),
            Some(names::BOOTSTRAP_FAILURE),
        )),
        Observed::Unclear { why } => {
            state.nothing_changed(Ending::new(Verdict::GivenUp, format!("what was seen is unclear: {why}")))
        }
    }
}

fn nothing_changed(state: Observing, reason: &Reason) -> IdentityLoss {
    let why = format!("the connector could not be observed: {}", reason.text);
    state.nothing_changed(Ending::new(Verdict::GivenUp, why))
}

impl IdentityLoss {
    /// A step was refused because a person cancelled between two attempts. What there is to undo is what a refusal leaves;
    /// only the verdict is another.
    pub(super) fn for_a_person(self) -> Self {
        match self {
            Self::BackStopping(s) => Self::BackStopping(s.for_a_person()),
            Self::BackRevoking(s) => Self::BackRevoking(s.for_a_person()),
            Self::BackDetaching(s) => Self::BackDetaching(s.for_a_person()),
            Self::BackRestoring(s) => Self::BackRestoring(s.for_a_person()),
            Self::BackStarting(s) => Self::BackStarting(s.for_a_person()),
            Self::Closed(ending) if ending.verdict == Verdict::GivenUp => {
                Self::Closed(Ending { verdict: Verdict::Cancelled, reason: back::CANCELLED.into(), ..ending })
            }
            // Not on the way back yet: the cancel itself comes next.
            state @ (Self::Observing(_)
            | Self::Searching(_)
            | Self::AskingDead(_)
            | Self::Surveying(_)
            | Self::SurveyingOriginal(_)
            | Self::AskingDurable(_)
            | Self::AskingSetAside(_)
            | Self::AskingReprovision(_)
            | Self::Stopping(_)
            | Self::ProvingStopped(_)
            | Self::Reattaching(_)
            | Self::StartingOriginal(_)
            | Self::AwaitingOriginal(_)
            | Self::AskingOriginalDead(_)
            | Self::StoppingOriginal(_)
            | Self::DetachingOriginal(_)
            | Self::SettingAside(_)
            | Self::ProvingDurable(_)
            | Self::RevokingStale(_)
            | Self::ProvingStillStopped(_)
            | Self::Minting(_)
            | Self::ProvingBeforePair(_)
            | Self::Pairing(_)
            | Self::RevokingOrphan(_)
            | Self::StoppingAgain(_)
            | Self::Withdrawing(_)
            | Self::StoppingPaired(_)
            | Self::StartingPaired(_)
            | Self::AwaitingPaired(_)
            | Self::Restarting(_)
            | Self::AwaitingRestart(_)
            | Self::Validating(_)
            | Self::Capturing(_)
            | Self::Reparenting(_)
            | Self::Evicting(_)
            | Self::AskingStuck(_)
            | Self::Closed(_)) => state,
        }
    }

    #[expect(clippy::too_many_lines, reason = "the table of the machine, one line per transition, read as a whole")]
    pub(super) fn outcome(self, outcome: &Outcome<Event>) -> Result<Self, Illegal> {
        use IdentityLoss as S;
        Ok(match (self, outcome) {
            (S::Observing(s), Happened(Event::Observe(seen))) => observed(s, seen),
            (S::Observing(s), Refused(r)) => nothing_changed(s, r),

            (S::Searching(s), Happened(Event::Search(found))) => match found {
                Searched::Found { original } => s.found(original.clone()).into(),
                Searched::Gone { .. } => s.gone().into(),
                Searched::Unreadable { path, why } => s.unreadable(format!("{path}: {why}")).into(),
            },
            (S::Searching(s), Refused(r)) => s.give_up(said("the original could not be searched for", r)),

            (S::Surveying(s), Happened(Event::ProveDurable(seen))) => match seen {
                Durability::Durable { .. } => s.will_do(),
                Durability::Refuted { on } => s.give_up(format!(
                    "the workload's storage would not survive a restart ({on}); mount durable storage there first"
                )),
                Durability::Undecided { on } => s.undecided(on.clone()).into(),
                Durability::Occupied { serial, .. } => s.occupied(serial.clone()),
                Durability::Unwritable { why } => s.give_up(format!("the workload's storage is not writable: {why}")),
            },
            (S::Surveying(s), Refused(r)) => s.give_up(said("the storage could not be examined", r)),

            (S::SurveyingOriginal(s), Happened(Event::ProveDurable(seen))) => match seen {
                Durability::Durable { .. } => s.durable().into(),
                Durability::Undecided { on } => s.undecided(on.clone()).into(),
                Durability::Refuted { on } | Durability::Occupied { on, .. } => {
                    s.give_up(format!("the original storage is not on durable storage itself: {on}"))
                }
                Durability::Unwritable { why } => s.give_up(format!("the original storage is not writable: {why}")),
            },
            (S::SurveyingOriginal(s), Refused(r)) => s.give_up(said("the original could not be examined", r)),

            (S::Stopping(s), Happened(Event::Stop(Stopped::Stopped))) => s.stopped().into(),
            (S::Stopping(s), Refused(r)) => s.failed(r.text.clone()),
            (S::ProvingStopped(s), Happened(Event::ProveStopped(proven))) => match proven {
                Proven::Stopped => s.stopped(),
                Proven::Running { what } => s.unproven(format!("the workload is started again by something: {what}")),
            },
            (S::ProvingStopped(s), Refused(r)) => s.unproven(said("the stop could not be proven", r)),

            (S::Reattaching(s), Happened(Event::Reattach(Reattached::Reattached))) => s.reattached().into(),
            (S::Reattaching(s), Refused(r)) => s.failed(r.text.clone()),
            (S::StartingOriginal(s), Happened(Event::Start(Started::Started { instance }))) => {
                s.started(instance.clone()).into()
            }
            (S::StartingOriginal(s), Refused(r)) => s.failed(r.text.clone()),
            (S::AwaitingOriginal(s), Happened(Event::AwaitOnline(awaited))) => match awaited {
                Awaited::Online { .. } => s.online().into(),
                Awaited::NotOnline { status } => {
                    s.not_online(format!("the connector is {status} on its original storage")).into()
                }
            },
            (S::AwaitingOriginal(s), Refused(r)) => s.give_up(said("the connector could not be watched", r)),
            (S::StoppingOriginal(s), Happened(Event::Stop(Stopped::Stopped))) => s.stopped(),
            (S::StoppingOriginal(s), Refused(r)) => s.give_up(said("the workload could not be stopped", r)),
            (S::DetachingOriginal(s), Happened(Event::Detach(Detached::Detached))) => s.detached().into(),
            (S::DetachingOriginal(s), Refused(r)) => s.give_up(said("the original could not be put back", r)),

            (S::SettingAside(s), Happened(Event::SetAside(Restored::Done))) => s.done().into(),
            (S::SettingAside(s), Refused(r)) => s.failed(r.text.clone()),
            (S::ProvingDurable(s), Happened(Event::ProveDurable(seen))) => match seen {
                Durability::Durable { .. } => s.durable().into(),
                Durability::Refuted { on } => s.refuted(on),
                Durability::Undecided { on } => s.undecided(on.clone()),
                Durability::Occupied { serial, .. } => s.occupied(serial.clone()),
                Durability::Unwritable { why } => s.give_up(format!("the workload's storage is not writable: {why}")),
            },
            (S::ProvingDurable(s), Refused(r)) => s.give_up(said("the storage could not be examined", r)),

            (S::RevokingStale(s), Happened(Event::RevokeStale(Revoked::Revoked { .. }))) => s.revoked().into(),
            (S::RevokingStale(s), Refused(r)) => s.give_up(said("the stale token could not be revoked", r)),
            (S::ProvingStillStopped(s), Happened(Event::ProveStopped(proven))) => match proven {
                Proven::Stopped => s.stopped(),
                Proven::Running { what } => s.unproven(format!("the workload is started again by something: {what}")),
            },
            (S::ProvingStillStopped(s), Refused(r)) => s.unproven(said("the stop could not be proven", r)),
            (S::Minting(s), Happened(Event::Mint(Minted::Minted { token }))) => s.minted(token.clone()).into(),
            (S::Minting(s), Refused(r)) if [Reason::ABSENT, refusal::DUPLICATED].contains(&r.code.as_str()) => {
                s.absent().into()
            }
            (S::Minting(s), Refused(r)) if r.code == refusal::IDENTITY => s.not_needed(said("no token was minted", r)),
            (S::Minting(s), Refused(r)) => s.give_up(said("no token could be minted", r)),
            (S::ProvingBeforePair(s), Happened(Event::ProveStopped(proven))) => match proven {
                Proven::Stopped => s.stopped().into(),
                Proven::Running { what } => s.unproven(format!("the workload is started again by something: {what}")),
            },
            (S::ProvingBeforePair(s), Refused(r)) => s.unproven(said("the stop could not be proven", r)),
            (S::Pairing(s), Happened(Event::Pair(Paired::Paired { serial, instance }))) => {
                s.paired(serial.clone(), instance.clone()).into()
            }
            (S::Pairing(s), Refused(r)) if r.code == Reason::CANCELLED => s.cancelled(),
            (S::Pairing(s), Refused(r)) => s.refused(said("the token did not pair", r)).into(),
            (S::RevokingOrphan(s), Happened(Event::RevokeOrphan(Revoked::Revoked { .. }))) => s.revoked().into(),
            (S::RevokingOrphan(s), Refused(r)) => s.failed(&r.text),
            (S::StoppingAgain(s), Happened(Event::Stop(Stopped::Stopped))) => s.stopped().into(),
            (S::StoppingAgain(s), Refused(r)) => s.failed(&r.text),

            (S::Withdrawing(s), Happened(Event::Withdraw(Withdrawn::Withdrawn))) => s.withdrawn(),
            (S::Withdrawing(s), Refused(r)) => s.failed(&r.text),
            (S::StoppingPaired(s), Happened(Event::Stop(Stopped::Stopped))) => s.stopped(),
            (S::StoppingPaired(s), Refused(r)) => s.stuck(said("the workload could not be stopped", r)).into(),
            (S::StartingPaired(s), Happened(Event::Start(Started::Started { instance }))) => {
                s.started(instance.clone())
            }
            (S::StartingPaired(s), Refused(r)) => s.stuck(said("the workload could not be started", r)).into(),
            (S::Reparenting(s), Happened(Event::Reparent(Reparented::Reparented { .. } | Reparented::NotNeeded))) => {
                s.reparented().into()
            }
            (S::Reparenting(s), Refused(r)) => {
                s.stuck(said("what belonged to the old agent could not be moved to the new one", r)).into()
            }
            (S::AwaitingPaired(s), Happened(Event::AwaitOnline(awaited))) => match awaited {
                Awaited::Online { .. } => s.online().into(),
                Awaited::NotOnline { status } => s.stuck(format!("after pairing the connector is {status}")).into(),
            },
            (S::AwaitingPaired(s), Refused(r)) => s.stuck(said("the connector could not be watched", r)).into(),
            (S::Restarting(s), Happened(Event::Restart(Restarted::Restarted { instance }))) => {
                s.restarted(instance.clone()).into()
            }
            (S::Restarting(s), Refused(r)) => s.stuck(said("the workload could not be restarted", r)).into(),
            (S::AwaitingRestart(s), Happened(Event::AwaitOnline(awaited))) => match awaited {
                Awaited::Online { .. } => s.online().into(),
                Awaited::NotOnline { status } => {
                    s.stuck(format!("after the validation restart the connector is {status}")).into()
                }
            },
            (S::AwaitingRestart(s), Refused(r)) => s.stuck(said("the connector could not be watched", r)).into(),
            (S::Validating(s), Happened(Event::Validate(validated))) => match validated {
                Validated::Validated { .. } => Evicting::validated(s.validated()),
                Validated::Invalid { why } => s.stuck(format!("the recovery did not validate: {why}")).into(),
            },
            (S::Validating(s), Refused(r)) => s.stuck(said("the recovery could not be validated", r)).into(),
            (S::Evicting(s), Happened(Event::Evict(Evicted::Evicted | Evicted::NotNeeded))) => s.evicted().into(),
            (S::Evicting(s), Refused(r)) => s.failed(&r.text).into(),
            (S::Capturing(s), Happened(Event::Capture(Captured::Captured { .. }))) => s.captured(),
            (S::Capturing(s), Refused(r)) => s.without_evidence(&r.text),

            (S::BackRevoking(s), Happened(Event::RevokeOrphan(Revoked::Revoked { .. }))) => s.done(),
            (S::BackRevoking(s), Refused(r)) => s.failed(&r.text),
            (S::BackStopping(s), Happened(Event::Stop(Stopped::Stopped))) => s.done(),
            (S::BackStopping(s), Refused(r)) => s.failed(&r.text),
            (S::BackDetaching(s), Happened(Event::Detach(Detached::Detached))) => s.done(),
            (S::BackDetaching(s), Refused(r)) => s.failed(&r.text),
            (S::BackRestoring(s), Happened(Event::PutBack(Restored::Done))) => s.done(),
            (S::BackRestoring(s), Refused(r)) => s.failed(&r.text),
            (S::BackStarting(s), Happened(Event::Start(Started::Started { .. }))) => s.done(),
            (S::BackStarting(s), Refused(r)) => s.failed(&r.text),
            (state, outcome) => return Err(Illegal::new(state.state(), outcome)),
        })
    }

    pub(super) fn answered(self, choice: &str) -> Result<Self, Illegal> {
        Ok(match (self, choice) {
            (Self::AskingDead(s), APPROVE) => s.given_up().into(),
            (Self::AskingDead(s), DENY) => s.give_up("the original storage was found and cannot be used as it is"),
            (Self::AskingOriginalDead(s), APPROVE) => s.given_up().into(),
            (Self::AskingOriginalDead(s), DENY) => s.give_up("the connector did not come back on its original storage"),
            (Self::AskingDurable(s), APPROVE) => s.taken(),
            (Self::AskingDurable(s), DENY) => s.give_up("nobody vouched for storage whose durability cannot be told"),
            (Self::AskingSetAside(s), APPROVE) => s.allowed(),
            (Self::AskingSetAside(s), DENY) => s.give_up("an identity that the authority does not know is in the way"),
            (Self::AskingReprovision(s), APPROVE) => s.allowed().into(),
            (Self::AskingReprovision(s), DENY) => s.give_up("replacing the identity was not approved"),
            (Self::AskingStuck(s), RETRY) => s.again().into(),
            (Self::AskingStuck(s), DENY) => s.leave(),
            (state, choice) => return Err(Illegal::new(state.state(), choice)),
        })
    }

    pub(super) fn cancelled(self) -> Result<Self, Illegal> {
        macro_rules! cancellable {
            ($($variant:ident),+) => {
                match self {
                    Self::Observing(s) => {
                        Ok(s.nothing_changed(Ending::new(Verdict::Cancelled, back::CANCELLED)))
                    }
                    $(Self::$variant(s) => Ok(s.cancelled()),)+
                    // Already on the way back: it goes on as it is, under the reason it has.
                    state @ (Self::BackStopping(_) | Self::BackRevoking(_) | Self::BackDetaching(_)
                        | Self::BackRestoring(_) | Self::BackStarting(_)) => Ok(state),
                    state @ (Self::Withdrawing(_) | Self::StoppingPaired(_) | Self::StartingPaired(_)
                        | Self::AwaitingPaired(_) | Self::Reparenting(_) | Self::Evicting(_)
                        | Self::Restarting(_) | Self::AwaitingRestart(_) | Self::Validating(_) | Self::Capturing(_)
                        | Self::AskingStuck(_) | Self::Closed(_)) => Err(Illegal::new(state.state(), "cancel")),
                }
            };
        }
        cancellable!(
            Searching,
            AskingDead,
            Surveying,
            SurveyingOriginal,
            AskingDurable,
            AskingSetAside,
            AskingReprovision,
            Stopping,
            ProvingStopped,
            Reattaching,
            StartingOriginal,
            AwaitingOriginal,
            AskingOriginalDead,
            StoppingOriginal,
            DetachingOriginal,
            SettingAside,
            ProvingDurable,
            RevokingStale,
            ProvingStillStopped,
            Minting,
            ProvingBeforePair,
            Pairing,
            RevokingOrphan,
            StoppingAgain
        )
    }
}

fn said(what: &str, reason: &Reason) -> String {
    format!("{what}: {}", reason.text)
}
