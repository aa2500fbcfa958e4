//! `reconnect-failure`: a connector that has its durable identity does not reconnect.
//!
//! The runbook's second branch. The identity is there, so no token is minted and nothing is paired: this machine has no step
//! for either. The way to the control plane is looked at first, since no restart mends a firewall; what is degraded is left to
//! heal; what is offline gets the time to come back by itself, then one repair, and after it one restart that validates.

mod case;
mod guards;
mod inputs;
pub mod states;

use recover_engine::{Ending, Illegal, Input, Next, Scenario, Verdict, Wait};
use recover_steps::{AwaitOnline, Capture, Observe, Reach, Repair, Restart, Validate};

pub use case::{Case, Params, Sighting};
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use states::*;

use crate::names;
use crate::validation::await_online;

recover_engine::step_set! {
    /// What this scenario does.
    pub enum Step / Event {
        Reach(Reach),
        Observe(Observe),
        Repair(Repair),
        Restart(Restart),
        AwaitOnline(AwaitOnline),
        Validate(Validate),
        Capture(Capture),
    }
}

macro_rules! machine {
    ($($variant:ident = $name:literal),+ $(,)?) => {
        /// The machine: one variant per state.
        #[derive(Clone, Debug, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each variant is named after the documented state it wraps")]
        pub enum ReconnectFailure { $($variant($variant)),+ , Closed(Ending) }

        impl ReconnectFailure {
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
            /// The case, where the outage is known.
            #[must_use]
            pub const fn case(&self) -> Option<&Case> {
                match self { $(Self::$variant(state) => state.maybe_case(),)+ Self::Closed(_) => None }
            }
        }
        $(impl From<$variant> for ReconnectFailure {
            fn from(state: $variant) -> Self { Self::$variant(state) }
        })+
    };
}

machine! {
    Reaching = "reaching",
    Observing = "observing",
    Watching = "watching",
    LookingWatched = "looking-watched",
    Settling = "settling",
    LookingAgain = "looking-again",
    ReachingAgain = "reaching-again",
    Repairing = "repairing",
    Awaiting = "awaiting",
    Restarting = "restarting",
    AwaitingRestart = "awaiting-restart",
    Validating = "validating",
    Capturing = "capturing",
}

impl Scenario for ReconnectFailure {
    const NAME: &'static str = names::RECONNECT_FAILURE;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "a connector that has its identity does not reconnect";
    type Params = Params;
    type Step = Step;

    fn begin(params: Params) -> Self {
        Self::Reaching(Reaching::new(params))
    }

    fn samples() -> Vec<Params> {
        vec![Params::default()]
    }

    fn state(&self) -> &'static str {
        self.name()
    }

    fn next(&self) -> Next<Step> {
        let wait = |id, case: &Case, why: &str| {
            Next::Wait(Wait {
                id,
                for_ms: case.params.observe_ms,
                why: format!("the connector is {}: {why}", case.seen.status),
            })
        };
        let step: Step = match self {
            Self::Reaching(_) | Self::ReachingAgain(_) => Reach {}.into(),
            Self::Observing(_) | Self::LookingWatched(_) | Self::LookingAgain(_) => Observe {}.into(),
            Self::Watching(s) => return wait("watch", s.case(), "it is watched, and left to heal"),
            Self::Settling(s) => return wait("settle", s.case(), "it may come back by itself"),
            Self::Repairing(s) => s.step().into(),
            Self::Awaiting(s) => await_online(s.case(), &s.case().seen.serial, s.instance()).into(),
            Self::Restarting(s) => s.step().into(),
            Self::AwaitingRestart(s) => s.step().into(),
            Self::Validating(s) => s.step().into(),
            Self::Capturing(s) => s.step().into(),
            Self::Closed(ending) => return Next::Done(ending.clone()),
        };
        Next::Do(step)
    }

    fn apply(self, input: &Input<Event>) -> Result<Self, Illegal> {
        match input {
            Input::Outcome(outcome) => self.outcome(outcome),
            Input::Expired => self.elapsed(),
            Input::Cancel => self.cancelled(),
            Input::Answer(choice) => Err(Illegal::new(self.state(), choice)),
        }
    }

    fn guards() -> Vec<recover_engine::Guard> {
        guards::guards()
    }

    fn epoch(&self) -> Option<&str> {
        self.case().map(Case::epoch)
    }

    fn committed(&self) -> bool {
        // A restart of what does not serve leaves nothing that could not be left as it is.
        false
    }
}
