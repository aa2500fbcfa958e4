//! An effect that may only be redone if it is absent, and nobody can tell whether it is.

use recover_engine::{Doing, Effect, Event, OnlyIfAbsent, Outcome};
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

fn main() {
    drop(Doing::of(&Make {}));
}
