//! `crash-loop`: a workload ends again and again, and is started again and again, while its lifecycle reads ready.
//!
//! The alerts `SandboxConnectorCrashLoop…` of the runbook. The log of the lives that ended is captured before anything is touched;
//! then the workload is stopped, so that identity and storage can be looked at while nobody writes to them. What is lost,
//! never paired, mounted wrongly, or not trusted, is named and the workload held stopped for the procedure or the person who
//! mends it. Only where identity, storage and the way to the control plane are in order is it started, once, and must last.

mod case;
mod guards;
mod inputs;
pub mod states;

use recover_engine::{Choice, Ending, Illegal, Input, Next, Question, Scenario, Verdict};
use recover_steps::{
    AwaitOnline, Capture, Observe, ProveDurable, ProveStopped, Reach, Restart, Start, Stop, Storage, Validate,
    WatchLoop,
};

pub use case::{Case, Loop, Params};
#[allow(clippy::wildcard_imports, reason = "every state of this machine, and nothing else, is in there")]
use states::*;

use crate::names;

const APPROVE: &str = Choice::APPROVE;
const DENY: &str = Choice::DENY;

recover_engine::step_set! {
    /// What this scenario does.
    pub enum Step / Event {
        WatchLoop(WatchLoop),
        Stop(Stop),
        ProveStopped(ProveStopped),
        Observe(Observe),
        ProveDurable(ProveDurable),
        Reach(Reach),
        Start(Start),
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
        pub enum CrashLoop { $($variant($variant)),+ , Closed(Ending) }

        impl CrashLoop {
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
            /// The case, where the loop was seen.
            #[must_use]
            pub const fn case(&self) -> Option<&Case> {
                match self { $(Self::$variant(state) => state.maybe_case(),)+ Self::Closed(_) => None }
            }
        }
        $(impl From<$variant> for CrashLoop {
            fn from(state: $variant) -> Self { Self::$variant(state) }
        })+
    };
}

machine! {
    Watching = "watching",
    Stopping = "stopping",
    ProvingStopped = "proving-stopped",
    Observing = "observing",
    Mounting = "mounting",
    AskingMount = "asking-mount",
    Reaching = "reaching",
    Starting = "starting",
    Lasting = "lasting",
    StoppingAgain = "stopping-again",
    Restarting = "restarting",
    AwaitingRestart = "awaiting-restart",
    Validating = "validating",
    Capturing = "capturing",
}

/// The durability of the storage cannot be told.
fn mount(state: &AskingMount) -> Question {
    Question {
        id: "storage-durable".into(),
        text: format!(
            "The workload looped and is stopped; its identity is on its storage, and whether that outlives a restart of workload and \
             host cannot be told: {}. Does it, and may the workload be started once?",
            state.on()
        ),
        choices: vec![
            Choice::new(APPROVE, "it does: start it once"),
            Choice::new(DENY, "it does not, or nobody knows: hold it stopped"),
        ],
        routine: None,
        within_ms: state.case().params.answer_within_ms,
        otherwise: "the workload is held stopped, and the run gives up".to_owned(),
    }
}

impl Scenario for CrashLoop {
    const NAME: &'static str = names::CRASH_LOOP;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "a connector ends and is started again and again";
    type Params = Params;
    type Step = Step;

    fn begin(params: Params) -> Self {
        Self::Watching(Watching::new(params))
    }

    fn samples() -> Vec<Params> {
        vec![Params::default()]
    }

    fn state(&self) -> &'static str {
        self.name()
    }

    fn next(&self) -> Next<Step> {
        let step: Step = match self {
            Self::Watching(s) => s.step().into(),
            Self::Stopping(_) | Self::StoppingAgain(_) => Stop {}.into(),
            Self::ProvingStopped(_) => ProveStopped {}.into(),
            Self::Observing(_) => Observe {}.into(),
            Self::Mounting(s) => ProveDurable { storage: Storage::Held { serial: s.serial().to_owned() } }.into(),
            Self::Reaching(_) => Reach {}.into(),
            Self::Starting(_) => Start {}.into(),
            Self::Lasting(s) => s.step().into(),
            Self::Restarting(s) => s.step().into(),
            Self::AwaitingRestart(s) => s.step().into(),
            Self::Validating(s) => s.step().into(),
            Self::Capturing(s) => s.step().into(),
            Self::AskingMount(s) => return Next::Ask(mount(s)),
            Self::Closed(ending) => return Next::Done(ending.clone()),
        };
        Next::Do(step)
    }

    fn apply(self, input: &Input<Event>) -> Result<Self, Illegal> {
        match input {
            Input::Outcome(outcome) => self.outcome(outcome),
            Input::Answer(choice) => self.answered(choice),
            // An unanswered question is a no; it says so.
            Input::Expired => self.answered(DENY),
            Input::Cancel => self.cancelled(),
        }
    }

    fn guards() -> Vec<recover_engine::Guard> {
        guards::guards()
    }

    fn epoch(&self) -> Option<&str> {
        // The identity that is looked after. Nothing in here is latched on it: a person who mended something may run it again.
        self.case()?.serial.as_deref()
    }

    fn committed(&self) -> bool {
        // Whatever was done, what is stopped can be left stopped.
        false
    }
}
