//! A step that must end in time, and a state whose name is used for two things.

use std::sync::Arc;

use recover_engine::{
    Action, Begun, Effect, Ending, Flaw, Guard, Idempotent, Illegal, Input, Json, Key, Millis, Next, Outcome, Reason,
    Run, RunId, Scenario, ScenarioEntry, Stop, Verdict, charter, charter_digest, explore,
};
use serde::{Deserialize, Serialize};

use crate::scenario::{Did, Happening, Look, Prepare, RUN, Step, the_charter};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Hurry {
    until: i64,
}

impl Effect for Hurry {
    const NAME: &'static str = "hurry";
    type Event = Did;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 1000;
    const ATTEMPTS: u32 = 1;
    fn summary(&self) -> String {
        "hurries".into()
    }
    fn endings(&self) -> Vec<Outcome<Did>> {
        vec![Outcome::Happened(Did::Done)]
    }
    fn not_after(&self) -> Option<Millis> {
        Some(Millis(self.until))
    }
}

recover_engine::step_set! {
    /// What it does.
    enum Urge / Urged { Hurry(Hurry) }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Urgent {
    Hurrying(i64),
    Closed(Verdict),
}

impl Scenario for Urgent {
    const NAME: &'static str = "urgent";
    const VERSION: u16 = 1;
    const TITLE: &'static str = "in time or not at all";
    type Params = i64;
    type Step = Urge;

    fn begin(until: i64) -> Self {
        Self::Hurrying(until)
    }
    fn samples() -> Vec<i64> {
        vec![1]
    }
    fn state(&self) -> &'static str {
        match self {
            Self::Hurrying(_) => "hurrying",
            Self::Closed(_) => "closed",
        }
    }
    fn next(&self) -> Next<Urge> {
        match self {
            Self::Hurrying(until) => Next::Do(Hurry { until: *until }.into()),
            Self::Closed(verdict) => Next::Done(Ending::new(*verdict, "it ended")),
        }
    }
    fn apply(self, input: &Input<Urged>) -> Result<Self, Illegal> {
        Ok(match (self, input) {
            (Self::Hurrying(_), Input::Outcome(Outcome::Happened(_))) => Self::Closed(Verdict::Recovered),
            (Self::Hurrying(_), Input::Outcome(Outcome::Refused(reason))) if reason.code == Reason::TOO_LATE => {
                Self::Closed(Verdict::NotApplicable)
            }
            (Self::Hurrying(_), Input::Outcome(_)) => Self::Closed(Verdict::GivenUp),
            (Self::Hurrying(_), Input::Cancel) => Self::Closed(Verdict::Cancelled),
            (state, input) => return Err(Illegal::new(state.state(), input)),
        })
    }
    fn guards() -> Vec<Guard> {
        Vec::new()
    }
    fn epoch(&self) -> Option<&str> {
        None
    }
    fn committed(&self) -> bool {
        false
    }
}

/// What a run asks for that begins at this time.
fn begun_at(now: Millis, until: i64) -> Action {
    let entry = ScenarioEntry::of::<Urgent>();
    let explored = explore(&entry);
    assert!(explored.flaws.is_empty(), "{:?}", explored.flaws);
    let (graph, guards, params) = (Json::of(&explored.graph), Json::of(&entry.guards()), Json::of(&until));
    let digest = charter_digest("urgent", 1, graph.as_str(), guards.as_str());
    let machine = entry.begin(&params).unwrap();
    let begun = Begun { scenario: "urgent".into(), graph, guards, params, digest, ..the_charter().begun.clone() };
    let charter = Arc::new(charter(begun).unwrap());
    let mut run = Run::begin(RunId::new(Millis(1), RUN), now, "{}".into(), charter, machine).unwrap();
    loop {
        match run.next(now, &|_: Key| None).unwrap() {
            Action::Commit(_) => run.committed(),
            action => return action,
        }
    }
}

#[test]
fn what_could_not_end_in_time_is_not_begun() {
    // It may take a second.
    for until in [6000, 9000] {
        assert!(matches!(begun_at(Millis(5000), until), Action::Perform(_)), "{until}");
    }
    for until in [4000, 5999] {
        let Action::Stop(Stop::Closed(ending)) = begun_at(Millis(5000), until) else { panic!("{until}: it is begun") };
        assert_eq!(ending.verdict, Verdict::NotApplicable, "{until}");
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Twice {
    First,
    Second,
    Done,
}

impl Scenario for Twice {
    const NAME: &'static str = "twice";
    const VERSION: u16 = 1;
    const TITLE: &'static str = "one name for two states";
    type Params = ();
    type Step = Step;

    fn begin((): ()) -> Self {
        Self::First
    }
    fn samples() -> Vec<()> {
        vec![()]
    }
    fn state(&self) -> &'static str {
        match self {
            Self::First | Self::Second => "doing",
            Self::Done => "done",
        }
    }
    fn next(&self) -> Next<Step> {
        match self {
            Self::First => Next::Do(Look {}.into()),
            Self::Second => Next::Do(Prepare {}.into()),
            Self::Done => Next::Done(Ending::new(Verdict::GivenUp, "it ended")),
        }
    }
    fn apply(self, input: &Input<Happening>) -> Result<Self, Illegal> {
        Ok(match (self, input) {
            (Self::First, Input::Outcome(Outcome::Happened(_))) => Self::Second,
            (Self::First | Self::Second, Input::Outcome(_) | Input::Cancel) => Self::Done,
            (state, input) => return Err(Illegal::new(state.state(), input)),
        })
    }
    fn guards() -> Vec<Guard> {
        Vec::new()
    }
    fn epoch(&self) -> Option<&str> {
        None
    }
    fn committed(&self) -> bool {
        false
    }
}

#[test]
fn a_state_that_asks_for_two_things_is_told() {
    let flaws = explore(&ScenarioEntry::of::<Twice>()).flaws;
    assert!(flaws.iter().any(|flaw| matches!(flaw, Flaw::Ambiguous { state, .. } if state == "doing")), "{flaws:?}");
}
