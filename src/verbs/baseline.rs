//! `recover baseline …`: how a target is when it is well, on a person's word, and how it differs from that now.

use std::collections::BTreeSet;

use recover_adapters::{Facts, SeenFacts};
use recover_engine::Baseline;
use serde_json::{Value, json};

use crate::actor::Actor;
use crate::args::{BaselineCommand, Global};
use crate::clock;
use crate::fault::{Code, Exit, Fault};
use crate::owner::ask::Ask;
use crate::owner::submit;
use crate::place::Place;
use crate::printer::{Printer, interactive};
use crate::records::{Recorded, Records};
use crate::store;
use crate::target::Target;
use crate::verbs::act;

pub(super) fn run(global: &Global, command: BaselineCommand, printer: Printer) -> Result<Exit, Fault> {
    let place = Place::of(global)?;
    match command {
        BaselineCommand::Record { target, reason } => {
            record(global, &place, &About::of(&place, target.target)?, reason, printer)
        }
        BaselineCommand::Show(target) => show(&place, &About::of(&place, target.target)?, printer),
        BaselineCommand::Diff(target) => diff(&place, &About::of(&place, target.target)?, printer),
    }
}

/// The target that is meant.
struct About {
    name: String,
    target: Target,
}

impl About {
    fn of(place: &Place, name: Option<String>) -> Result<Self, Fault> {
        let name = act::pick(place, name.as_deref())?;
        let (_, target) = act::reach(place, &name)?;
        Ok(Self { name, target })
    }

    /// What is seen of it now. Nothing is changed.
    fn look(&self) -> Result<SeenFacts, Fault> {
        let world = self.target.world()?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|e| Fault::caused(Code::NoResources, "the runtime cannot be started", &e))?;
        let failed = |why: String| Fault::new(Code::NotWell, format!("{} cannot be looked at: {why}", self.name));
        runtime.block_on(world.facts()).map_err(failed)
    }

    fn recorded(&self, place: &Place) -> Result<Recorded, Fault> {
        let found = match Records::open(&place.state) {
            Ok(records) => records.baseline(&self.target.subject())?,
            Err(fault) if fault.code == Code::StateDirMissing => None,
            Err(fault) => return Err(fault),
        };
        found.ok_or_else(|| {
            Fault::new(Code::NoBaseline, format!("nothing was recorded of {}", self.name))
                .hint(format!("while it is well: recover baseline record --target {} --reason …", self.name))
        })
    }
}

fn record(global: &Global, place: &Place, about: &About, reason: String, printer: Printer) -> Result<Exit, Fault> {
    let SeenFacts { facts, unwell } = about.look()?;
    if let Some(why) = unwell {
        return Err(Fault::new(Code::NotWell, format!("{} is not well: {why}", about.name))
            .hint("what is seen during an incident is no baseline; record it once the target has recovered"));
    }
    if !global.yes {
        if !interactive() || printer.json() {
            return Err(Fault::new(Code::Usage, "a baseline needs a person's word").hint("--yes gives it"));
        }
        printer.talk(&listed(&facts));
        printer
            .talk(&format!("is this how {} is when it is well? (yes records it; anything else does not)", about.name));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        if read.is_err() || answer.trim() != "yes" {
            printer.talk("nothing was recorded");
            return Ok(Exit::AsFound);
        }
    }
    let reason = about.target.world()?.without_secrets(None, &reason);
    let baseline = Baseline { target: about.name.clone(), subject: about.target.subject(), reason, facts };
    let at = clock::now();
    store::make_private(&place.state)?;
    match store::baseline(&place.state, &baseline, &Actor::here().json(), at) {
        // Somebody owns the state directory, `recover serve` for ever: it is recorded there.
        Err(fault) if fault.code == Code::RunLive => {
            let ask = Ask::Baseline(Box::new(baseline.clone()));
            let envelope = act::envelope(global, Some(about.target.clone()), ask);
            let quiet = Printer { quiet: true, ..printer };
            let Exit::Done = submit(&place.state, &place.loaded.config, envelope, quiet)? else {
                return Err(fault);
            };
        }
        done => done?,
    }
    let value = json!({ "schema": "recover.baseline/v1", "target": about.name, "at": clock::rfc3339(at), "facts": baseline.facts });
    printer.show(&value, || format!("recorded: {} facts of {}", baseline.facts.len(), about.name));
    Ok(Exit::Done)
}

fn show(place: &Place, about: &About, printer: Printer) -> Result<Exit, Fault> {
    let Recorded { baseline, at, actor } = about.recorded(place)?;
    let value = json!({
        "schema": "recover.baseline/v1", "target": about.name, "subject": baseline.subject, "at": clock::rfc3339(at),
        "actor": actor, "reason": baseline.reason, "facts": baseline.facts,
    });
    printer.show(&value, || format!("{}\n{}", heading(about, at, &actor, &baseline.reason), listed(&baseline.facts)));
    Ok(Exit::Done)
}

fn diff(place: &Place, about: &About, printer: Printer) -> Result<Exit, Fault> {
    let Recorded { baseline, at, actor } = about.recorded(place)?;
    let SeenFacts { facts, unwell } = about.look()?;
    let differences = differences(&baseline.facts, &facts);
    let value = json!({
        "schema": "recover.baseline/v1", "target": about.name, "at": clock::rfc3339(at), "unwell": unwell,
        "differences": differences.iter().map(Difference::json).collect::<Vec<_>>(),
    });
    printer.show(&value, || {
        let mut text = heading(about, at, &actor, &baseline.reason);
        for difference in &differences {
            text.push_str(&format!("\n{}", difference.shown()));
        }
        if differences.is_empty() {
            text.push_str("\nnothing differs");
        }
        if let Some(why) = &unwell {
            text.push_str(&format!("\nit is not well: {why}"));
        }
        text
    });
    Ok(if differences.is_empty() && unwell.is_none() { Exit::Done } else { Exit::PersonNeeded })
}

/// A fact that is not as it was recorded.
#[derive(Debug, PartialEq, Eq)]
struct Difference<'a> {
    fact: &'a str,
    recorded: Option<&'a str>,
    now: Option<&'a str>,
}

impl Difference<'_> {
    fn json(&self) -> Value {
        json!({ "fact": self.fact, "recorded": self.recorded, "now": self.now })
    }

    fn shown(&self) -> String {
        let or_none = |value: Option<&str>| value.unwrap_or("not there").to_owned();
        format!("differs  {}: recorded {}, now {}", self.fact, or_none(self.recorded), or_none(self.now))
    }
}

fn differences<'a>(recorded: &'a Facts, now: &'a Facts) -> Vec<Difference<'a>> {
    let names: BTreeSet<&String> = recorded.keys().chain(now.keys()).collect();
    let difference = |name: &'a String| {
        let (recorded, now) = (recorded.get(name).map(String::as_str), now.get(name).map(String::as_str));
        (recorded != now).then_some(Difference { fact: name, recorded, now })
    };
    names.into_iter().filter_map(difference).collect()
}

/// What differs, each in a few words.
pub(crate) fn differences_told(recorded: &Facts, now: &Facts) -> Vec<String> {
    differences(recorded, now).iter().map(|difference| difference.shown().replacen("differs  ", "", 1)).collect()
}

fn heading(about: &About, at: recover_engine::Millis, actor: &Value, reason: &str) -> String {
    let who = actor["login_uid"].as_u64().or_else(|| actor["uid"].as_u64()).unwrap_or_default();
    let host = actor["host"].as_str().unwrap_or_default();
    format!("{}, recorded {} by uid {who} on {host}: {reason}", about.name, clock::rfc3339(at))
}

fn listed(facts: &Facts) -> String {
    let width = facts.keys().map(String::len).max().unwrap_or_default();
    facts.iter().map(|(name, value)| format!("{name:<width$}  {value}")).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_came_what_went_and_what_changed_differ() {
        let facts = |pairs: &[(&str, &str)]| -> Facts {
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
        };
        let before = facts(&[("a", "1"), ("b", "2"), ("c", "3")]);
        let now = facts(&[("a", "1"), ("b", "9"), ("d", "4")]);
        let shown: Vec<String> = differences(&before, &now).iter().map(Difference::shown).collect();
        assert_eq!(
            shown,
            [
                "differs  b: recorded 2, now 9",
                "differs  c: recorded 3, now not there",
                "differs  d: recorded not there, now 4"
            ]
        );
        assert_eq!(differences(&before, &before), []);
    }
}
