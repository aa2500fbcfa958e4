//! `identity-loss`: a connector that paired before behaves like a new one, because its durable identity is gone.
//!
//! The runbook's third branch: stop, try the original storage first, and only if it is gone replace the identity: revoke the
//! stale token, mint one, pair exactly once, and validate that a restart needs no token. Before the pairing every way out
//! leads back to the workload as it was found; after it, only forward or to a person.

mod back;
mod case;
mod guards;
mod questions;
pub mod states;

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Ending, Illegal, Input, Next, Outcome, Reason, Scenario, Verdict};
use recover_steps::{
    AwaitOnline, Awaited, Capture, Captured, Detach, Detached, Durability, Mint, Minted, Observe, Observed, Pair,
    Paired, ProveDurable, ProveStopped, Proven, PutBack, Reattach, Reattached, Restart, Restarted, Restored,
    RevokeOrphan, RevokeStale, Revoked, Search, Searched, SetAside, Start, Started, Stop, Stopped, Storage, Validate,
    Validated, Withdraw, Withdrawn, refusal,
};

pub use back::{BackDetaching, BackRestoring, BackRevoking, BackStarting, BackStopping};
pub use case::{Case, Params, Regained, Reprovision};
use questions::{APPROVE, DENY, RETRY};
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use states::*;

recover_engine::step_set! {
    /// What this scenario does.
    pub enum Step / Event {
        Observe(Observe),
        Search(Search),
        ProveDurable(ProveDurable),
        Stop(Stop),
        ProveStopped(ProveStopped),
        Reattach(Reattach),
        Detach(Detach),
        SetAside(SetAside),
        PutBack(PutBack),
        Start(Start),
        Restart(Restart),
        AwaitOnline(AwaitOnline),
        RevokeStale(RevokeStale),
        RevokeOrphan(RevokeOrphan),
        Mint(Mint),
        Pair(Pair),
        Withdraw(Withdraw),
        Validate(Validate),
        Capture(Capture),
    }
}

macro_rules! machine {
    ($($variant:ident = $name:literal $committed:literal),+ $(,)?) => {
        /// The machine: one variant per state.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is named after the documented state it wraps")]
        pub enum IdentityLoss { $($variant($variant)),+ , Closed(Ending) }

        impl IdentityLoss {
            const fn name(&self) -> &'static str {
                match self {
                    $(Self::$variant(_) => $name,)+
                    Self::Closed(ending) => match ending.verdict {
                        Verdict::Recovered => "recovered",
                        Verdict::NotApplicable => "not-applicable",
                        Verdict::Cancelled => "cancelled",
                        Verdict::GivenUp | Verdict::GuardRefused | Verdict::Abandoned => "given-up",
                    },
                }
            }
            const fn past_no_return(&self) -> bool {
                match self { $(Self::$variant(_) => $committed,)+ Self::Closed(_) => false }
            }
            /// The case, where the loss is known.
            #[must_use]
            pub const fn case(&self) -> Option<&Case> {
                match self { $(Self::$variant(state) => state.maybe_case(),)+ Self::Closed(_) => None }
            }
        }
        $(impl From<$variant> for IdentityLoss {
            fn from(state: $variant) -> Self { Self::$variant(state) }
        })+
    };
}

machine! {
    Observing = "observing" false,
    Searching = "searching" false,
    AskingDead = "asking-dead" false,
    Surveying = "surveying" false,
    SurveyingOriginal = "surveying-original" false,
    AskingDurable = "asking-durable" false,
    AskingSetAside = "asking-set-aside" false,
    AskingReprovision = "asking-reprovision" false,
    Stopping = "stopping" false,
    ProvingStopped = "proving-stopped" false,
    Reattaching = "reattaching" false,
    StartingOriginal = "starting-original" false,
    AwaitingOriginal = "awaiting-original" false,
    AskingOriginalDead = "asking-original-dead" false,
    StoppingOriginal = "stopping-original" false,
    DetachingOriginal = "detaching-original" false,
    SettingAside = "setting-aside" false,
    ProvingDurable = "proving-durable" false,
    RevokingStale = "revoking-stale" false,
    ProvingStillStopped = "proving-still-stopped" false,
    Minting = "minting" false,
    ProvingBeforePair = "proving-before-pair" false,
    Pairing = "pairing" false,
    RevokingOrphan = "revoking-orphan" false,
    StoppingAgain = "stopping-again" false,
    Withdrawing = "withdrawing" true,
    StartingPaired = "starting-paired" true,
    AwaitingPaired = "awaiting-paired" true,
    Restarting = "restarting" true,
    AwaitingRestart = "awaiting-restart" true,
    Validating = "validating" true,
    Capturing = "capturing" true,
    AskingStuck = "asking-stuck" true,
    BackStopping = "back-stopping" false,
    BackRevoking = "back-revoking" false,
    BackDetaching = "back-detaching" false,
    BackRestoring = "back-restoring" false,
    BackStarting = "back-starting" false,
}

impl IdentityLoss {
    fn await_online(case: &Case, serial: &str, instance: &recover_steps::Instance) -> AwaitOnline {
        AwaitOnline {
            serial: serial.to_owned(),
            instance: instance.clone(),
            observe_ms: case.params.observe_ms,
            within_ms: case.params.online_within_ms,
        }
    }
}

impl Scenario for IdentityLoss {
    const NAME: &'static str = "identity-loss";
    const VERSION: u16 = 1;
    const TITLE: &'static str = "a connector that paired before lost its durable identity";
    type Params = Params;
    type Step = Step;

    fn begin(params: Params) -> Self {
        Self::Observing(Observing::new(params))
    }

    fn samples() -> Vec<Params> {
        let asking = Params::default();
        vec![Params { reprovision: Reprovision::Allow, ..asking.clone() }, asking]
    }

    fn state(&self) -> &'static str {
        self.name()
    }

    fn next(&self) -> Next<Step> {
        let step: Step = match self {
            Self::Observing(_) => Observe {}.into(),
            Self::Searching(s) => Search { epoch: s.case().epoch().to_owned() }.into(),
            Self::Surveying(_) | Self::ProvingDurable(_) => ProveDurable { storage: Storage::Target }.into(),
            Self::SurveyingOriginal(s) => ProveDurable { storage: Storage::Original(s.original().clone()) }.into(),
            Self::Stopping(_) | Self::StoppingOriginal(_) | Self::StoppingAgain(_) | Self::BackStopping(_) => {
                Stop {}.into()
            }
            Self::ProvingStopped(_) | Self::ProvingStillStopped(_) | Self::ProvingBeforePair(_) => {
                ProveStopped {}.into()
            }
            Self::Reattaching(s) => Reattach { original: s.original().clone() }.into(),
            Self::DetachingOriginal(s) => Detach { original: s.original().clone() }.into(),
            Self::BackDetaching(s) => Detach { original: s.what().clone() }.into(),
            Self::SettingAside(_) => SetAside {}.into(),
            Self::BackRestoring(_) => PutBack {}.into(),
            Self::StartingOriginal(_) | Self::StartingPaired(_) | Self::BackStarting(_) => Start {}.into(),
            Self::AwaitingOriginal(s) => Self::await_online(s.case(), s.case().epoch(), s.instance()).into(),
            Self::AwaitingPaired(s) => Self::await_online(s.case(), s.serial(), s.instance()).into(),
            Self::AwaitingRestart(s) => Self::await_online(s.case(), s.serial(), s.instance()).into(),
            Self::RevokingStale(_) => RevokeStale {}.into(),
            Self::Minting(s) => Mint { ttl_s: s.case().params.token_ttl_s }.into(),
            Self::Pairing(s) => Pair { token: s.token().clone(), within_ms: s.case().params.pair_within_ms }.into(),
            Self::RevokingOrphan(s) => RevokeOrphan { token: s.token().clone() }.into(),
            Self::BackRevoking(s) => RevokeOrphan { token: s.what().clone() }.into(),
            Self::Withdrawing(s) => Withdraw { token: s.token().clone() }.into(),
            Self::Restarting(s) => Restart { from: s.instance().clone() }.into(),
            Self::Validating(s) => Validate { serial: s.serial().to_owned(), instance: s.instance().clone() }.into(),
            Self::Capturing(s) => {
                Capture { serial: s.serial().to_owned(), alert: s.case().params.alert.clone() }.into()
            }
            Self::AskingDead(s) => return Next::Ask(questions::dead(s.case(), s.why())),
            Self::AskingOriginalDead(s) => return Next::Ask(questions::dead(s.case(), s.why())),
            Self::AskingDurable(s) => return Next::Ask(questions::durable(s.case(), s.on())),
            Self::AskingSetAside(s) => return Next::Ask(questions::set_aside(s.case(), s.serial())),
            Self::AskingReprovision(s) => return Next::Ask(questions::reprovision(s.case())),
            Self::AskingStuck(s) => return Next::Ask(questions::stuck(s.case(), s.why())),
            Self::Closed(ending) => return Next::Done(ending.clone()),
        };
        Next::Do(step)
    }

    fn apply(self, input: &Input<Event>) -> Result<Self, Illegal> {
        match input {
            Input::Outcome(outcome) => self.outcome(outcome),
            Input::Answer(choice) => self.answered(choice),
            // An unanswered question is a no; each question says so.
            Input::Expired => self.answered(DENY),
            Input::Cancel => self.cancelled(),
        }
    }

    fn guards() -> Vec<recover_engine::Guard> {
        guards::guards()
    }

    fn epoch(&self) -> Option<&str> {
        self.case().map(Case::epoch)
    }

    fn committed(&self) -> bool {
        self.past_no_return()
    }
}

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
        Observed::Usable { status, online: false } => state.nothing_changed(not_applicable(
            format!("the identity is on its storage and the connector is {status}: this is a reconnect failure"),
            Some("reconnect-failure"),
        )),
        Observed::NeverPaired { .. } => state.nothing_changed(not_applicable(
            "the connector never paired: this is a first-boot bootstrap failure".into(),
            Some("bootstrap-failure"),
        )),
        Observed::Unclear { why } => {
            state.nothing_changed(Ending::new(Verdict::GivenUp, format!("what was seen is unclear: {why}")))
        }
    }
}

fn nothing_changed(state: Observing, reason: &Reason) -> IdentityLoss {
    let verdict = if reason.code == Reason::CANCELLED { Verdict::Cancelled } else { Verdict::GivenUp };
    state.nothing_changed(Ending::new(verdict, format!("the connector could not be observed: {}", reason.text)))
}

impl IdentityLoss {
    #[expect(clippy::too_many_lines, reason = "the table of the machine, one line per transition, read as a whole")]
    fn outcome(self, outcome: &Outcome<Event>) -> Result<Self, Illegal> {
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
            (S::StartingPaired(s), Happened(Event::Start(Started::Started { instance }))) => {
                s.started(instance.clone()).into()
            }
            (S::StartingPaired(s), Refused(r)) => s.stuck(said("the workload could not be started", r)).into(),
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
                Validated::Validated { .. } => s.validated().into(),
                Validated::Invalid { why } => s.stuck(format!("the recovery did not validate: {why}")).into(),
            },
            (S::Validating(s), Refused(r)) => s.stuck(said("the recovery could not be validated", r)).into(),
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

    fn answered(self, choice: &str) -> Result<Self, Illegal> {
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

    fn cancelled(self) -> Result<Self, Illegal> {
        macro_rules! cancellable {
            ($($variant:ident),+) => {
                match self {
                    Self::Observing(s) => {
                        Ok(s.nothing_changed(Ending::new(Verdict::Cancelled, "a person cancelled the run")))
                    }
                    $(Self::$variant(s) => Ok(s.cancelled()),)+
                    // Already on the way back: it goes on as it is, under the reason it has.
                    state @ (Self::BackStopping(_) | Self::BackRevoking(_) | Self::BackDetaching(_)
                        | Self::BackRestoring(_) | Self::BackStarting(_)) => Ok(state),
                    state @ (Self::Withdrawing(_) | Self::StartingPaired(_) | Self::AwaitingPaired(_)
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
