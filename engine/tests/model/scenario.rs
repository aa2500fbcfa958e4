//! A procedure with one of everything: each redo policy, a wait, a question, a point of no return, a latched step.

use std::sync::Arc;

use recover_engine::{
    AtMostOnce, Begun, Charter, Choice, Effect, Ending, Event, Guard, Idempotent, Illegal, Input, Json, Millis, Next,
    OnlyIfAbsent, Outcome, Probe, Pure, Question, Reason, Run, RunId, Scenario, ScenarioEntry, Verdict, Wait, charter,
    charter_digest, explore,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub(crate) enum Did {
    Done,
    Other { what: String },
}

impl Event for Did {
    fn ending(&self) -> &'static str {
        match self {
            Self::Done => "done",
            Self::Other { .. } => "other",
        }
    }
}

macro_rules! step {
    ($name:ident, $text:literal, $redo:ty, $attempts:literal) => {
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) struct $name {}
        impl Effect for $name {
            const NAME: &'static str = $text;
            type Event = Did;
            type Redo = $redo;
            const TIMEOUT_MS: u64 = 1000;
            const ATTEMPTS: u32 = $attempts;
            fn summary(&self) -> String {
                $text.into()
            }
            fn endings(&self) -> Vec<Outcome<Did>> {
                vec![
                    Outcome::Happened(Did::Done),
                    Outcome::Happened(Did::Other { what: "else".into() }),
                    Outcome::Refused(Reason::new("no", "no")),
                ]
            }
            fn attested(&self) -> Option<Did> {
                Some(Did::Done)
            }
        }
    };
}
step!(Look, "look", Pure, 3);
step!(Prepare, "prepare", Idempotent, 3);
step!(Make, "make", OnlyIfAbsent, 2);
step!(Commit, "commit", AtMostOnce, 1);

impl Probe for Make {
    const FENCE: Option<&'static str> = Some("the door is closed");
    const CANNOT_LIE: &'static str = "it is a test";
}

recover_engine::step_set! {
    /// What it does.
    pub(crate) enum Step / Happening { Look(Look), Prepare(Prepare), Make(Make), Commit(Commit) }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Each {
    Looking,
    Asking,
    Preparing,
    Resting,
    Making(u8),
    Committing,
    Checking,
    Undoing,
    Closed(Verdict),
}

impl Scenario for Each {
    const NAME: &'static str = "each";
    const VERSION: u16 = 1;
    const TITLE: &'static str = "one of everything";
    type Params = ();
    type Step = Step;

    fn begin((): ()) -> Self {
        Self::Looking
    }
    fn samples() -> Vec<()> {
        vec![()]
    }
    fn state(&self) -> &'static str {
        match self {
            Self::Looking => "looking",
            Self::Asking => "asking",
            Self::Preparing => "preparing",
            Self::Resting => "resting",
            Self::Making(_) => "making",
            Self::Committing => "committing",
            Self::Checking => "checking",
            Self::Undoing => "undoing",
            Self::Closed(_) => "closed",
        }
    }
    fn next(&self) -> Next<Step> {
        match self {
            Self::Looking | Self::Checking => Next::Do(Look {}.into()),
            Self::Preparing | Self::Undoing => Next::Do(Prepare {}.into()),
            Self::Making(_) => Next::Do(Make {}.into()),
            Self::Committing => Next::Do(Commit {}.into()),
            Self::Resting => Next::Wait(Wait { id: "rest", for_ms: 5000, why: "let it settle".into() }),
            Self::Asking => Next::Ask(Question {
                id: "go-on".into(),
                text: "Go on?".into(),
                choices: vec![Choice::new(Choice::APPROVE, "yes"), Choice::new(Choice::DENY, "no")],
                routine: None,
                within_ms: 10_000,
                otherwise: "it is a no".into(),
            }),
            Self::Closed(verdict) => Next::Done(Ending::new(*verdict, "it ended")),
        }
    }
    fn apply(self, input: &Input<Happening>) -> Result<Self, Illegal> {
        use Each as S;
        let happened = matches!(input, Input::Outcome(Outcome::Happened(_)));
        Ok(match (self, input) {
            (S::Looking, Input::Outcome(Outcome::Happened(Happening::Look(Did::Done)))) => S::Preparing,
            (S::Looking, Input::Outcome(Outcome::Happened(_))) => S::Asking,
            (S::Asking, Input::Answer(choice)) if choice == Choice::APPROVE => S::Preparing,
            (S::Asking, Input::Answer(_) | Input::Expired) => S::Closed(Verdict::GivenUp),
            (S::Preparing, Input::Outcome(_)) if happened => S::Resting,
            (S::Resting, Input::Expired) => S::Making(0),
            (S::Making(_), Input::Outcome(_)) if happened => S::Committing,
            (S::Making(n), Input::Outcome(_)) if n < 2 => S::Making(n + 1),
            (S::Committing, Input::Outcome(_)) if happened => S::Checking,
            (S::Checking, Input::Outcome(_)) => S::Closed(Verdict::Recovered),
            (S::Preparing | S::Making(_) | S::Committing, Input::Outcome(_)) => S::Undoing,
            (S::Looking, Input::Outcome(_)) => S::Closed(Verdict::GivenUp),
            (S::Undoing, Input::Outcome(_)) => S::Closed(Verdict::GivenUp),
            (S::Looking | S::Asking, Input::Cancel) => S::Closed(Verdict::Cancelled),
            (S::Preparing | S::Resting | S::Making(_) | S::Committing | S::Undoing, Input::Cancel) => S::Undoing,
            (state, input) => return Err(Illegal::new(state.state(), input)),
        })
    }
    fn guards() -> Vec<Guard> {
        vec![Guard::Once { step: "make".into() }, Guard::AtMost { step: "commit".into(), count: 1 }]
    }
    fn epoch(&self) -> Option<&str> {
        match self {
            Self::Looking | Self::Closed(_) => None,
            Self::Asking | Self::Preparing | Self::Resting | Self::Making(_) => Some("e1"),
            Self::Committing | Self::Checking | Self::Undoing => Some("e1"),
        }
    }
    fn committed(&self) -> bool {
        matches!(self, Self::Checking)
    }
}

pub(crate) const RUN: [u8; 10] = [5; 10];

pub(crate) fn entry() -> ScenarioEntry {
    ScenarioEntry::of::<Each>()
}

/// The charter of a run, made once.
pub(crate) fn the_charter() -> Arc<Charter> {
    static CHARTER: std::sync::OnceLock<Arc<Charter>> = std::sync::OnceLock::new();
    Arc::clone(CHARTER.get_or_init(|| {
        let explored = explore(&entry());
        assert!(explored.flaws.is_empty(), "{:?}", explored.flaws);
        let (graph, guards) = (Json::of(&explored.graph), Json::of(&entry().guards()));
        let digest = charter_digest("each", 1, graph.as_str(), guards.as_str());
        let begun = Begun {
            scenario: "each".into(),
            version: 1,
            target: "t".into(),
            subject: "s".into(),
            params: Json::null(),
            graph,
            guards,
            digest,
            alert: None,
            ticket: None,
            plan: None,
            request_id: None,
            despite: None,
            second_person: false,
            consumed: Vec::new(),
        };
        Arc::new(charter(begun).unwrap())
    }))
}

pub(crate) fn begin(now: i64) -> Run {
    let machine = entry().begin(&Json::null()).unwrap();
    Run::begin(RunId::new(Millis(1), RUN), Millis(now), "{}".into(), the_charter(), machine).unwrap()
}
