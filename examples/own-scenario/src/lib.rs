//! A procedure of one's own: a service that fills its disk is stopped, its cache is cleared, and it is started again.
//!
//! What is here is all that is needed. The engine gives the rest: what is journaled and when, what happens after a kill at any point,
//! retries, the graph, the check of every way through it, replay. See `tests/it_works.rs`.

use recover_engine::{
    Effect, Ending, Event, Guard, Idempotent, Illegal, Input, Next, Outcome, Pure, Reason, Scenario, Verdict,
};
use serde::{Deserialize, Serialize};

/// Look how full the disk is. Looking changes nothing, so after a kill it is done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {}

/// What a look tells.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Looked {
    /// There is room.
    Roomy,
    /// There is none.
    Full,
}

impl Event for Looked {
    fn ending(&self) -> &'static str {
        match self {
            Self::Roomy => "roomy",
            Self::Full => "full",
        }
    }
}

impl Effect for Look {
    const NAME: &'static str = "look";
    type Event = Looked;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 5_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "look how full the disk is".into()
    }
    fn endings(&self) -> Vec<Outcome<Looked>> {
        vec![
            Outcome::Happened(Looked::Roomy),
            Outcome::Happened(Looked::Full),
            Outcome::Refused(Reason::new("disk", "it cannot be looked at")),
        ]
    }
}

/// Clear the cache. Clearing what is clear changes nothing, so it may be done again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clear {}

/// What clearing leads to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Cleared {
    /// It is empty.
    Cleared,
}

impl Event for Cleared {
    fn ending(&self) -> &'static str {
        "cleared"
    }
}

impl Effect for Clear {
    const NAME: &'static str = "clear";
    type Event = Cleared;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 60_000;
    const ATTEMPTS: u32 = 3;
    fn summary(&self) -> String {
        "clear the cache".into()
    }
    fn endings(&self) -> Vec<Outcome<Cleared>> {
        vec![Outcome::Happened(Cleared::Cleared), Outcome::Refused(Reason::new("disk", "it cannot be cleared"))]
    }
}

recover_engine::step_set! {
    /// Everything that this procedure can do, and what can come of it.
    pub enum Step / Events { Look(Look), Clear(Clear) }
}

/// The procedure, by its states.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DiskFull {
    /// Is it full?
    Suspected,
    /// It is.
    Full,
    /// It was cleared. Is there room now?
    Cleared,
    /// It is over.
    Closed(Ending),
}

fn gave_up(reason: &Reason) -> DiskFull {
    DiskFull::Closed(Ending::new(Verdict::GivenUp, reason.text.clone()))
}

impl Scenario for DiskFull {
    const NAME: &'static str = "disk-full";
    const VERSION: u16 = 1;
    const TITLE: &'static str = "a cache has filled its disk";
    type Params = ();
    type Step = Step;

    fn begin((): ()) -> Self {
        Self::Suspected
    }

    fn samples() -> Vec<()> {
        vec![()]
    }

    fn state(&self) -> &'static str {
        match self {
            Self::Suspected => "suspected",
            Self::Full => "full",
            Self::Cleared => "cleared",
            Self::Closed(_) => "closed",
        }
    }

    fn next(&self) -> Next<Step> {
        match self {
            Self::Suspected | Self::Cleared => Next::Do(Look {}.into()),
            Self::Full => Next::Do(Clear {}.into()),
            Self::Closed(ending) => Next::Done(ending.clone()),
        }
    }

    fn apply(self, input: &Input<Events>) -> Result<Self, Illegal> {
        use Outcome::{Happened, Refused};
        let Input::Outcome(outcome) = input else {
            return match self {
                // Nothing has to be put back, wherever a person cancels.
                Self::Suspected | Self::Full | Self::Cleared if matches!(input, Input::Cancel) => {
                    Ok(Self::Closed(Ending::new(Verdict::Cancelled, "cancelled by a person")))
                }
                state => Err(Illegal::new(state.state(), input)),
            };
        };
        match (self, outcome) {
            (Self::Suspected, Happened(Events::Look(Looked::Roomy))) => {
                Ok(Self::Closed(Ending::new(Verdict::NotApplicable, "there is room on the disk")))
            }
            (Self::Suspected, Happened(Events::Look(Looked::Full))) => Ok(Self::Full),
            (Self::Full, Happened(Events::Clear(Cleared::Cleared))) => Ok(Self::Cleared),
            (Self::Cleared, Happened(Events::Look(Looked::Roomy))) => {
                Ok(Self::Closed(Ending::new(Verdict::Recovered, "the cache was cleared, and there is room")))
            }
            (Self::Cleared, Happened(Events::Look(Looked::Full))) => {
                Ok(Self::Closed(Ending::new(Verdict::GivenUp, "something else fills the disk")))
            }
            (Self::Suspected | Self::Full | Self::Cleared, Refused(reason)) => Ok(gave_up(reason)),
            (state, _) => Err(Illegal::new(state.state(), input)),
        }
    }

    fn guards() -> Vec<Guard> {
        // Said once, held everywhere: before every record that is written and after every one that is read.
        vec![Guard::OnlyAfter { step: "clear".into(), facts: vec!["look:full".into()], since: vec!["clear".into()] }]
    }

    fn epoch(&self) -> Option<&str> {
        None
    }

    fn committed(&self) -> bool {
        false
    }
}
