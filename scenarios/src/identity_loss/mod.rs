//! `identity-loss`: a connector that paired before behaves like a new one, because its durable identity is gone.
//!
//! The runbook's third branch: stop, try the original storage first, and only if it is gone replace the identity: revoke the
//! stale token, mint one, pair exactly once, and validate that a restart needs no token. Before the pairing every way out
//! leads back to the workload as it was found; after it, only forward or to a person.

mod back;
mod case;
mod guards;
mod inputs;
mod questions;
pub mod states;

use recover_engine::Outcome::Refused;
use recover_engine::{Ending, Illegal, Input, Next, Reason, Scenario, Verdict};
use recover_steps::{
    AwaitOnline, Capture, Detach, Evict, Mint, Observe, Pair, ProveDurable, ProveStopped, PutBack, Reattach, Reparent,
    Restart, RevokeOrphan, RevokeStale, Search, SetAside, Start, Stop, Storage, Validate, Withdraw,
};

use crate::names;
use crate::validation::await_online;
pub use back::{BackDetaching, BackRestoring, BackRevoking, BackStarting, BackStopping};
pub use case::{Case, Params, Regained, Reprovision};
use questions::DENY;
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
        Reparent(Reparent),
        Evict(Evict),
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
    StoppingPaired = "stopping-paired" true,
    StartingPaired = "starting-paired" true,
    Reparenting = "reparenting" true,
    AwaitingPaired = "awaiting-paired" true,
    Restarting = "restarting" true,
    AwaitingRestart = "awaiting-restart" true,
    Validating = "validating" true,
    Evicting = "evicting" true,
    Capturing = "capturing" true,
    AskingStuck = "asking-stuck" true,
    BackStopping = "back-stopping" false,
    BackRevoking = "back-revoking" false,
    BackDetaching = "back-detaching" false,
    BackRestoring = "back-restoring" false,
    BackStarting = "back-starting" false,
}

impl Scenario for IdentityLoss {
    const NAME: &'static str = names::IDENTITY_LOSS;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "a connector that paired before lost its durable identity";
    type Params = Params;
    type Step = Step;

    fn begin(params: Params) -> Self {
        Self::Observing(Observing::new(params))
    }

    fn samples() -> Vec<Params> {
        let asking = Params::default();
        vec![
            Params { reprovision: Reprovision::Allow, ..asking.clone() },
            Params { reprovision: Reprovision::Allow, succession: true, ..asking.clone() },
            asking,
        ]
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
            Self::Stopping(_)
            | Self::StoppingOriginal(_)
            | Self::StoppingAgain(_)
            | Self::StoppingPaired(_)
            | Self::BackStopping(_) => Stop {}.into(),
            Self::ProvingStopped(_) | Self::ProvingStillStopped(_) | Self::ProvingBeforePair(_) => {
                ProveStopped {}.into()
            }
            Self::Reattaching(s) => Reattach { original: s.original().clone() }.into(),
            Self::DetachingOriginal(s) => Detach { original: s.original().clone() }.into(),
            Self::BackDetaching(s) => Detach { original: s.what().clone() }.into(),
            Self::SettingAside(_) => SetAside {}.into(),
            Self::BackRestoring(_) => PutBack {}.into(),
            Self::StartingOriginal(_) | Self::StartingPaired(_) | Self::BackStarting(_) => Start {}.into(),
            Self::AwaitingOriginal(s) => await_online(s.case(), s.case().epoch(), s.instance()).into(),
            Self::AwaitingPaired(s) => await_online(s.case(), s.serial(), s.instance()).into(),
            Self::AwaitingRestart(s) => s.step().into(),
            Self::RevokingStale(_) => RevokeStale {}.into(),
            Self::Minting(s) => Mint { ttl_s: s.case().params.token_ttl_s }.into(),
            Self::Pairing(s) => Pair { token: s.token().clone(), within_ms: s.case().params.pair_within_ms }.into(),
            Self::RevokingOrphan(s) => RevokeOrphan { token: s.token().clone() }.into(),
            Self::BackRevoking(s) => RevokeOrphan { token: s.what().clone() }.into(),
            Self::Withdrawing(s) => Withdraw { token: s.token().clone() }.into(),
            Self::Restarting(s) => s.step().into(),
            Self::Validating(s) => s.step().into(),
            Self::Reparenting(s) => s.step().into(),
            Self::Evicting(s) => s.step().into(),
            Self::Capturing(s) => s.step().into(),
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
            Input::Outcome(outcome @ Refused(reason)) if reason.code == Reason::CANCELLED => {
                self.outcome(outcome).map(Self::for_a_person)
            }
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
