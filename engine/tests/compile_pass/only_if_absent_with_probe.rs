//! The counterpart: with a probe it compiles, and its argument is what the engine goes by.

use recover_engine::{Doing, Effect, Event, OnlyIfAbsent, Outcome, Probe, Redo};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending")]
enum Made {
    Made,
}
impl Event for Made {
    fn ending(&self) -> &'static str {
        "made"
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Make {}
impl Effect for Make {
    const NAME: &'static str = "make";
    type Event = Made;
    type Redo = OnlyIfAbsent;
    const TIMEOUT_MS: u64 = 1;
    const ATTEMPTS: u32 = 1;
    fn summary(&self) -> String {
        "make".into()
    }
    fn endings(&self) -> Vec<Outcome<Made>> {
        vec![Outcome::Happened(Made::Made)]
    }
}

impl Probe for Make {
    const FENCE: Option<&'static str> = Some("the door is closed");
    const CANNOT_LIE: &'static str = "it looked";
}

pub(crate) fn main() {
    let redoing = Doing::of(&Make {}).redoing;
    assert_eq!(redoing.redo, Redo::OnlyIfAbsent);
    assert_eq!((redoing.fence, redoing.argument), (Some("the door is closed"), "it looked"));
}
