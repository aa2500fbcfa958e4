//! What the explorer offers a step besides its own endings: the reasons that the engine itself can give there, and no others.

use recover_engine::{
    Effect, Ending, Flaw, Guard, Illegal, Input, Next, Outcome, Reason, Scenario, ScenarioEntry, Verdict, explore,
};

use crate::scenario::{Commit, Did, Happening, Look, Make, Step};

/// Looks, makes, and commits once it has committed; a refusal ends in a state that names its reason.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Offered {
    Looking,
    Making,
    Committed,
    Refused(&'static str),
    Done,
}

const REASONS: [(&str, &str, [&str; 3]); 4] = [
    (Reason::EXHAUSTED, "exhausted", ["looking-exhausted", "making-exhausted", "committed-exhausted"]),
    (Reason::ABSENT, "absent", ["looking-absent", "making-absent", "committed-absent"]),
    (Reason::CANCELLED, "cancelled", ["looking-cancelled", "making-cancelled", "committed-cancelled"]),
    (Reason::TOO_LATE, "too-late", ["looking-too-late", "making-too-late", "committed-too-late"]),
];

impl Scenario for Offered {
    const NAME: &'static str = "offered";
    const VERSION: u16 = 1;
    const TITLE: &'static str = "what is offered";
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
            Self::Making => "making",
            Self::Committed => "committed",
            Self::Refused(state) => state,
            Self::Done => "done",
        }
    }
    fn next(&self) -> Next<Step> {
        match self {
            Self::Looking => Next::Do(Look {}.into()),
            Self::Making => Next::Do(Make {}.into()),
            Self::Committed => Next::Do(Commit {}.into()),
            Self::Refused(_) | Self::Done => Next::Done(Ending::new(Verdict::GivenUp, "it ended")),
        }
    }
    fn apply(self, input: &Input<Happening>) -> Result<Self, Illegal> {
        let place = match self {
            Self::Looking => 0,
            Self::Making => 1,
            Self::Committed => 2,
            Self::Refused(_) | Self::Done => return Err(Illegal::new(self.state(), input)),
        };
        Ok(match input {
            Input::Outcome(Outcome::Happened(_)) => [Self::Making, Self::Committed, Self::Done][place].clone(),
            Input::Outcome(Outcome::Refused(reason)) => REASONS
                .iter()
                .find(|(code, ..)| *code == reason.code)
                .map_or(Self::Done, |known| Self::Refused(known.2[place])),
            Input::Cancel if place < 2 => Self::Done,
            _ => return Err(Illegal::new(self.state(), input)),
        })
    }
    fn guards() -> Vec<Guard> {
        Vec::new()
    }
    fn epoch(&self) -> Option<&str> {
        None
    }
    fn committed(&self) -> bool {
        matches!(self, Self::Committed)
    }
}

#[test]
fn a_step_is_offered_every_reason_that_the_engine_can_give_there_and_no_other() {
    let graph = explore(&ScenarioEntry::of::<Offered>()).graph;
    let offered = |place: usize| -> Vec<&str> {
        let there = |known: &&(&str, &'static str, [&str; 3])| graph.node(known.2[place]).is_some();
        REASONS.iter().filter(there).map(|known| known.1).collect()
    };
    assert_eq!(offered(0), ["exhausted", "cancelled"], "a look is never absent");
    assert_eq!(offered(1), ["exhausted", "absent", "cancelled"], "{}", Make::NAME);
    assert_eq!(offered(2), ["exhausted", "absent"], "behind the point of no return nothing is cancelled");
}

/// A look leads to a step that a guard forbids, to an end without a reason, and to one that leaves nothing by name.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Flawed {
    Looking,
    Making,
    Ended { reason: &'static str, residue: bool },
}

impl Scenario for Flawed {
    const NAME: &'static str = "flawed";
    const VERSION: u16 = 1;
    const TITLE: &'static str = "what the explorer finds";
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
            Self::Making => "making",
            Self::Ended { residue: true, .. } => "left",
            Self::Ended { .. } => "silent",
        }
    }
    fn next(&self) -> Next<Step> {
        match self {
            Self::Looking => Next::Do(Look {}.into()),
            Self::Making => Next::Do(Make {}.into()),
            Self::Ended { reason, residue } => {
                let mut ending = Ending::new(Verdict::GivenUp, *reason);
                ending.residue.extend(residue.then(String::new));
                Next::Done(ending)
            }
        }
    }
    fn apply(self, input: &Input<Happening>) -> Result<Self, Illegal> {
        match (&self, input) {
            (Self::Looking, Input::Outcome(Outcome::Happened(Happening::Look(Did::Done)))) => Ok(Self::Making),
            (Self::Looking, Input::Outcome(Outcome::Happened(_))) => {
                Ok(Self::Ended { reason: "it ended", residue: true })
            }
            (Self::Looking, _) => Ok(Self::Ended { reason: "", residue: false }),
            _ => Err(Illegal::new(self.state(), input)),
        }
    }
    fn guards() -> Vec<Guard> {
        vec![Guard::AtMost { step: "make".into(), count: 0 }]
    }
    fn epoch(&self) -> Option<&str> {
        None
    }
    fn committed(&self) -> bool {
        false
    }
}

#[test]
fn a_flaw_is_told_with_the_shortest_way_to_it() {
    let flaws = explore(&ScenarioEntry::of::<Flawed>()).flaws;
    let forbidden = flaws.iter().find_map(|flaw| if let Flaw::Guard { path, .. } = flaw { Some(path) } else { None });
    assert_eq!(forbidden, Some(&vec!["look:done".to_owned()]), "{flaws:?}");
    let silent = |wanted: &str| {
        flaws.iter().find_map(|flaw| match flaw {
            Flaw::Silent { state, path } if state == wanted => Some(path.clone()),
            _ => None,
        })
    };
    assert_eq!(silent("left"), Some(vec!["look:other".to_owned()]), "{flaws:?}");
    assert!(silent("silent").is_some(), "{flaws:?}");
}
