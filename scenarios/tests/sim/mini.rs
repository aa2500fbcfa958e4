//! The smallest procedure that can pair twice: revoke, mint, pair; and again if the token did not pair. Each variant differs
//! in one decision that the real steps or guards make, so that a test can show what that decision is for.

use std::rc::Rc;
use std::sync::Arc;

use recover_engine::{
    Begun, Effect, Ending, Guard, Idempotent, Illegal, Input, Json, Next, OnlyIfAbsent, Outcome, Probe, Scenario,
    ScenarioEntry, Verdict, charter, charter_digest, explore,
};
use recover_steps::{Mint, Minted, Pair, Paired, RevokeStale, Revoked, Token};
use serde::{Deserialize, Serialize};

use crate::plan::Plan;

/// Declares a copy of [`Pair`] with another redo policy.
macro_rules! pair_with {
    ($(#[$meta:meta])* $name:ident, $redo:ty) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub(crate) struct $name {
            token: Token,
            within_ms: u64,
        }
        impl Effect for $name {
            const NAME: &'static str = "pair";
            type Event = Paired;
            type Redo = $redo;
            const TIMEOUT_MS: u64 = 60_000;
            const ATTEMPTS: u32 = 1;
            fn summary(&self) -> String {
                "pair".into()
            }
            fn endings(&self) -> Vec<Outcome<Paired>> {
                Pair { token: self.token.clone(), within_ms: self.within_ms }.endings()
            }
        }
    };
}

pair_with!(
    /// As it must be: fenced, then probed.
    Fenced,
    OnlyIfAbsent
);
pair_with!(
    /// Probed, and absence believed while the request may still arrive.
    Hasty,
    OnlyIfAbsent
);
pair_with!(
    /// Repeated blindly.
    Careless,
    Idempotent
);

impl Probe for Fenced {
    const FENCE: Option<&'static str> = <Pair as Probe>::FENCE;
    const CANNOT_LIE: &'static str = <Pair as Probe>::CANNOT_LIE;
}
impl Probe for Hasty {
    const FENCE: Option<&'static str> = None;
    const CANNOT_LIE: &'static str = "it can: the request may still be on its way";
}

/// How often a pairing counts.
pub(crate) fn by_intent() -> Vec<Guard> {
    vec![Guard::Once { step: "pair".into() }]
}

/// Counting what came of the intents: a pairing whose outcome was never journaled does not count.
pub(crate) fn by_outcome() -> Vec<Guard> {
    vec![Guard::NeverAfter { step: "pair".into(), fact: "pair:paired".into() }]
}

macro_rules! mini {
    ($module:ident, $pair:ident, $guards:ident) => {
        pub(crate) mod $module {
            use super::*;

            recover_engine::step_set! {
                /// What it does.
                pub(crate) enum Step / Event { Revoke(RevokeStale), Mint(Mint), Pair($pair) }
            }

            #[derive(Clone, Debug, PartialEq, Eq)]
            pub(crate) enum Mini {
                Revoking,
                Minting(u8),
                Pairing(Token, u8),
                Paired,
                GivenUp,
            }

            impl Scenario for Mini {
                const NAME: &'static str = stringify!($module);
                const VERSION: u16 = 1;
                const TITLE: &'static str = "a pairing";
                type Params = ();
                type Step = Step;

                fn begin((): ()) -> Self {
                    Self::Revoking
                }
                fn samples() -> Vec<()> {
                    vec![()]
                }
                fn state(&self) -> &'static str {
                    match self {
                        Self::Revoking => "revoking",
                        Self::Minting(_) => "minting",
                        Self::Pairing(..) => "pairing",
                        Self::Paired => "paired",
                        Self::GivenUp => "given-up",
                    }
                }
                fn next(&self) -> Next<Step> {
                    match self {
                        Self::Revoking => Next::Do(RevokeStale {}.into()),
                        Self::Minting(_) => Next::Do(Mint { ttl_s: 600 }.into()),
                        Self::Pairing(token, _) => Next::Do($pair { token: token.clone(), within_ms: 60_000 }.into()),
                        Self::Paired => Next::Done(Ending::new(Verdict::Recovered, "it paired")),
                        Self::GivenUp => Next::Done(Ending::new(Verdict::GivenUp, "it did not pair")),
                    }
                }
                fn apply(self, input: &Input<Event>) -> Result<Self, Illegal> {
                    let Input::Outcome(outcome) = input else {
                        return match self {
                            Self::Revoking | Self::Minting(_) | Self::Pairing(..) => Ok(Self::GivenUp),
                            Self::Paired | Self::GivenUp => Err(Illegal::new(self.state(), input)),
                        };
                    };
                    Ok(match (self, outcome) {
                        (Self::Revoking, Outcome::Happened(Event::Revoke(Revoked::Revoked { .. }))) => Self::Minting(1),
                        (Self::Minting(n), Outcome::Happened(Event::Mint(Minted::Minted { token }))) => {
                            Self::Pairing(token.clone(), n)
                        }
                        (Self::Pairing(..), Outcome::Happened(Event::Pair(Paired::Paired { .. }))) => Self::Paired,
                        (Self::Minting(n) | Self::Pairing(_, n), Outcome::Refused(_)) if n < 6 => Self::Minting(n + 1),
                        (Self::Revoking | Self::Minting(_) | Self::Pairing(..), Outcome::Refused(_)) => Self::GivenUp,
                        (state, outcome) => return Err(Illegal::new(state.state(), outcome)),
                    })
                }
                fn guards() -> Vec<Guard> {
                    super::$guards()
                }
                fn epoch(&self) -> Option<&str> {
                    Some("s1")
                }
                fn committed(&self) -> bool {
                    false
                }
            }

            /// A plan for the simulation.
            pub(crate) fn plan() -> Rc<Plan> {
                super::plan(ScenarioEntry::of::<Mini>())
            }
        }
    };
}

mini!(honest, Fenced, by_intent);
mini!(hasty, Hasty, by_intent);
mini!(careless, Careless, by_intent);
mini!(forgetful, Fenced, by_outcome);

fn plan(entry: ScenarioEntry) -> Rc<Plan> {
    let graph = Json::of(&explore(&entry).graph);
    let guards = Json::of(&entry.guards());
    let digest = charter_digest(entry.name, entry.version, graph.as_str(), guards.as_str());
    let begun = Begun {
        scenario: entry.name.into(),
        version: entry.version,
        target: "edge-1".into(),
        subject: "https://cp.example edge-1".into(),
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
    Rc::new(Plan { entry, charter: Arc::new(charter(begun).expect("its own charter")) })
}
