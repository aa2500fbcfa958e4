//! `bootstrap-failure`: a connector that never paired does not come through its first boot.
//!
//! The runbook's first branch. The way to the control plane is looked at first, then what became of the connector's tokens,
//! the clock, and whether the connector trusts the control plane. A token that was taken back is a matter for whoever took it
//! back; a request that was refused, for whoever can mend what was refused; a CA that is not trusted, for a bundle whose
//! fingerprints were told out of band. Then one fresh token is minted and presented once, as in a controlled reprovision: the
//! old one is never presented again.

mod back;
mod case;
mod guards;
mod inputs;
mod questions;
pub mod states;

use recover_engine::Outcome::Refused;
use recover_engine::{Ending, Illegal, Input, Next, Reason, Scenario, Verdict};
use recover_steps::{
    AwaitOnline, Capture, InspectEnrollment, InstallTrust, Mint, Pair, ProveDurable, ProveStopped, Reach, Restart,
    RevokeOrphan, RevokeStale, Start, Stop, Storage, Validate, Withdraw,
};

use crate::names;
use crate::validation::await_online;
pub use back::{BackRevoking, BackStarting, BackStopping};
pub use case::{Case, Cause, Enroll, Params};
use questions::DENY;
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use states::*;

recover_engine::step_set! {
    /// What this scenario does.
    pub enum Step / Event {
        Reach(Reach),
        InspectEnrollment(InspectEnrollment),
        ProveDurable(ProveDurable),
        Stop(Stop),
        ProveStopped(ProveStopped),
        InstallTrust(InstallTrust),
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
        pub enum BootstrapFailure { $($variant($variant)),+ , Closed(Ending) }

        impl BootstrapFailure {
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
            /// The case, where the cause is known.
            #[must_use]
            pub const fn case(&self) -> Option<&Case> {
                match self { $(Self::$variant(state) => state.maybe_case(),)+ Self::Closed(_) => None }
            }
        }
        $(impl From<$variant> for BootstrapFailure {
            fn from(state: $variant) -> Self { Self::$variant(state) }
        })+
    };
}

machine! {
    Reaching = "reaching" false,
    Inspecting = "inspecting" false,
    AskingFresh = "asking-fresh" false,
    AskingRevoked = "asking-revoked" false,
    AskingRefused = "asking-refused" false,
    AskingOutstanding = "asking-outstanding" false,
    Surveying = "surveying" false,
    AskingDurable = "asking-durable" false,
    Stopping = "stopping" false,
    ProvingStopped = "proving-stopped" false,
    Trusting = "trusting" false,
    RevokingStale = "revoking-stale" false,
    ProvingStillStopped = "proving-still-stopped" false,
    Minting = "minting" false,
    ProvingBeforePair = "proving-before-pair" false,
    Pairing = "pairing" false,
    Withdrawing = "withdrawing" true,
    StartingPaired = "starting-paired" true,
    AwaitingPaired = "awaiting-paired" true,
    Restarting = "restarting" true,
    AwaitingRestart = "awaiting-restart" true,
    Validating = "validating" true,
    Capturing = "capturing" true,
    BackRevoking = "back-revoking" false,
    BackStopping = "back-stopping" false,
    BackStarting = "back-starting" false,
}

impl Scenario for BootstrapFailure {
    const NAME: &'static str = names::BOOTSTRAP_FAILURE;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "a connector that never paired does not come through its first boot";
    type Params = Params;
    type Step = Step;

    fn begin(params: Params) -> Self {
        Self::Reaching(Reaching::new(params))
    }

    fn samples() -> Vec<Params> {
        let asking = Params::default();
        vec![Params { enroll: Enroll::Allow, ..asking.clone() }, asking]
    }

    fn state(&self) -> &'static str {
        self.name()
    }

    fn next(&self) -> Next<Step> {
        let step: Step = match self {
            Self::Reaching(_) => Reach {}.into(),
            Self::Inspecting(_) => InspectEnrollment {}.into(),
            Self::Surveying(_) => ProveDurable { storage: Storage::Target }.into(),
            Self::Stopping(_) | Self::BackStopping(_) => Stop {}.into(),
            Self::ProvingStopped(_) | Self::ProvingStillStopped(_) | Self::ProvingBeforePair(_) => {
                ProveStopped {}.into()
            }
            Self::Trusting(_) => InstallTrust {}.into(),
            Self::RevokingStale(_) => RevokeStale {}.into(),
            Self::Minting(s) => Mint { ttl_s: s.case().params.token_ttl_s }.into(),
            Self::Pairing(s) => Pair { token: s.token().clone(), within_ms: s.case().params.pair_within_ms }.into(),
            Self::Withdrawing(s) => Withdraw { token: s.token().clone() }.into(),
            Self::StartingPaired(_) | Self::BackStarting(_) => Start {}.into(),
            Self::AwaitingPaired(s) => await_online(s.case(), s.serial(), s.instance()).into(),
            Self::Restarting(s) => s.step().into(),
            Self::AwaitingRestart(s) => s.step().into(),
            Self::Validating(s) => s.step().into(),
            Self::Capturing(s) => s.step().into(),
            Self::BackRevoking(s) => RevokeOrphan { token: s.what().clone() }.into(),
            Self::AskingFresh(s) => return Next::Ask(questions::cause(s.case())),
            Self::AskingRevoked(s) => return Next::Ask(questions::cause(s.case())),
            Self::AskingRefused(s) => return Next::Ask(questions::cause(s.case())),
            Self::AskingOutstanding(s) => return Next::Ask(questions::cause(s.case())),
            Self::AskingDurable(s) => return Next::Ask(questions::durable(s.case(), s.on())),
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
