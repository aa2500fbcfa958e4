//! What is simulated: every scenario of the registry with the outside that fits any, and `identity-loss` with its own besides.

use std::sync::Arc;

use recover_engine::ScenarioEntry;
use recover_scenarios::{Registered, SCENARIOS};

use crate::mini;
use crate::plan::Plan;
use crate::port::Plant;
use crate::sim::Setup;

fn registered(scenario: &'static Registered, detailed: bool) -> Setup {
    let outside = if detailed { "with its own outside" } else { "with any outside" };
    Setup {
        name: format!("{} {outside}", scenario.entry.name),
        entry: scenario.entry,
        charter: Arc::new(scenario.charter(|begun| begun)),
        detailed,
        strict: true,
        plant: Plant::Nothing,
    }
}

/// Everything that a seed can be about; which one it is, is its remainder.
pub(crate) fn all() -> Vec<Setup> {
    let any = SCENARIOS.iter().map(|scenario| registered(scenario, false));
    let own = SCENARIOS.iter().filter(|scenario| scenario.entry.name == "identity-loss");
    any.chain(own.map(|scenario| registered(scenario, true))).collect()
}

fn planned(name: &str, plan: &Plan) -> Setup {
    let (entry, charter): (ScenarioEntry, _) = (plan.entry, Arc::clone(&plan.charter));
    Setup { name: name.into(), entry, charter, detailed: true, strict: false, plant: Plant::Nothing }
}

/// A pairing that is taken to be safe to repeat.
pub(crate) fn careless() -> Setup {
    planned("a pairing that is repeated blindly", &mini::careless::plan())
}

/// A pairing that counts only once its outcome is journaled.
pub(crate) fn forgetful() -> Setup {
    planned("a guard that looks at outcomes", &mini::forgetful::plan())
}

/// A probe that is believed while the request may still arrive.
pub(crate) fn hasty() -> Setup {
    planned("an absence that is believed without a fence", &mini::hasty::plan())
}

/// The same small scenario without a bug.
pub(crate) fn honest() -> Setup {
    planned("a pairing with a fence and a probe", &mini::honest::plan())
}

/// The real thing, with a bug planted below it.
pub(crate) fn planted(plant: Plant) -> Option<Setup> {
    let scenario = recover_scenarios::find("identity-loss")?;
    Some(Setup { name: format!("identity-loss with {plant:?}"), plant, ..registered(scenario, true) })
}
