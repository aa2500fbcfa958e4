//! `recover doctor` and `recover rehearse`: could a run begin here?

use std::io::Write as _;
use std::path::{Path, PathBuf};

use recover_adapters::SecretsDir;
use recover_engine::{Digest, Millis};
use serde_json::{Value, json};

use crate::args::{DoctorArgs, Global, RehearseArgs, StartArgs};
use crate::checks::{self, Check, Is};
use crate::clock;
use crate::fault::{Code, Exit, Fault};
use crate::place::{Place, SANDBOX};
use crate::printer::Printer;
use crate::store;
use crate::target::Target;
use crate::verbs::{act, diagnose, plan};
use crate::whole;

/// The folder of the state directory with the last rehearsal of each target.
const REHEARSALS: &str = "rehearsals";

const DOCTOR: &str = "recover.doctor/v1";
const REHEARSAL: &str = "recover.rehearsal/v1";

pub(super) fn doctor(global: &Global, words: &DoctorArgs, printer: Printer) -> Result<Exit, Fault> {
    let place = match Place::of(global) {
        Ok(place) => place,
        // It is what was to be found out.
        Err(fault) if matches!(fault.code, Code::BadConfig | Code::NoConfig | Code::Unreadable) => {
            let check = Check::bad("configuration", fault.message);
            let check = if let Some(hint) = fault.hint { check.hint(hint) } else { check };
            return Ok(told(DOCTOR, None, &[check], printer).1);
        }
        Err(fault) => return Err(fault),
    };
    let names: Vec<String> = match &words.target {
        Some(name) => vec![act::pick(&place, Some(name))?],
        None => place.loaded.config.target.keys().cloned().collect(),
    };
    let mut found = checks::local(&place);
    if words.target.is_some() {
        found.retain(|check| check.target.is_none() || check.target == words.target);
    }
    for name in names {
        let (_, target) = act::reach(&place, &name)?;
        // What cannot be used was said above.
        let Ok(world) = target.world() else { continue };
        let recorded = diagnose::recorded(&place, &target, printer);
        let world = world.recorded_as(recorded.as_ref().map(|recorded| &recorded.baseline.facts));
        let mut about = memory(&target, &SecretsDir::look);
        about.extend(checks::look(&world, Is::Warn)?);
        about.push(rehearsed(&place, &name));
        found.extend(about.into_iter().map(|check| check.of(&name)));
    }
    Ok(told(DOCTOR, None, &found, printer).1)
}

pub(super) fn rehearse(global: &Global, words: &RehearseArgs, printer: Printer) -> Result<Exit, Fault> {
    let place = Place::of(global)?;
    let name = act::pick(&place, words.target.as_deref())?;
    if name == SANDBOX && !place.loaded.config.target.contains_key(SANDBOX) {
        return Err(Fault::new(
            Code::Usage,
            "the built-in sandbox is made when a run begins: there is nothing to rehearse",
        )
        .hint("name a target of the configuration"));
    }
    let scenarios: Vec<&str> = match words.scenario.as_deref() {
        Some(name) => vec![act::scenario(Some(name))?.entry.name],
        None => act::reach(&place, &name)?.1.kind().scenarios(),
    };
    let found = found(&place, &name, &scenarios, printer)?;
    let (result, exit) = told(REHEARSAL, Some(&name), &found, printer);
    keep(&place.state, &name, &result)?;
    Ok(exit)
}

/// Rehearses every procedure on a target and keeps what was found, without a word.
pub(crate) fn rehearse_quietly(place: &Place, name: &str, printer: Printer) -> Result<(), Fault> {
    let scenarios = act::reach(place, name)?.1.kind().scenarios();
    let found = found(place, name, &scenarios, printer)?;
    keep(&place.state, name, &sum(REHEARSAL, Some(name), &found).0)
}

/// What the rehearsals of the targets say that were rehearsed: whether each was ready, and when.
pub(crate) fn rehearsals(place: &Place) -> Vec<(bool, Millis)> {
    let targets = place.loaded.config.target.keys();
    let last = targets
        .filter_map(|target| serde_json::from_slice::<Value>(&std::fs::read(kept(&place.state, target)).ok()?).ok());
    last.filter_map(|last| Some((last["ready"] == true, Millis(last["at_ms"].as_i64()?)))).collect()
}

fn found(place: &Place, name: &str, scenarios: &[&str], printer: Printer) -> Result<Vec<Check>, Fault> {
    let (_, target) = act::reach(place, name)?;
    let mut found: Vec<Check> =
        checks::local(place).into_iter().filter(|check| check.target.as_ref().is_none_or(|of| of == name)).collect();
    if target.world().is_ok() {
        let about = at(place, &target, name, scenarios, printer)?;
        found.extend(about.into_iter().map(|check| check.of(name)));
    }
    Ok(found)
}

fn at(place: &Place, target: &Target, name: &str, scenarios: &[&str], printer: Printer) -> Result<Vec<Check>, Fault> {
    let recorded = diagnose::recorded(place, target, printer);
    let world = target.world()?.recorded_as(recorded.as_ref().map(|recorded| &recorded.baseline.facts));
    let mut found = memory(target, &SecretsDir::prove);
    found.extend(checks::look(&world, Is::Bad)?);
    found.push(checks::baseline(&world, recorded.as_ref(), name));
    for scenario in scenarios {
        let start =
            StartArgs { scenario: Some((*scenario).to_owned()), target: Some(name.to_owned()), ..StartArgs::default() };
        let planned = act::choose_in(place.clone(), &start).and_then(|chosen| plan::planned(&chosen));
        found.push(match planned {
            Ok(planned) => match planned.unknowable {
                None => Check::ok("plan", format!("{scenario}: every step can be told")),
                Some(why) => Check::bad("plan", format!("{scenario}: {why}")),
            },
            Err(fault) => Check::bad("plan", format!("{scenario}: {}", fault.message)),
        });
    }
    Ok(found)
}

/// Where tokens pass through, where any do: to a KMS nothing is handed over.
fn memory(target: &Target, place: &dyn Fn(&SecretsDir) -> Result<PathBuf, String>) -> Vec<Check> {
    match target {
        Target::Connector(target) => checks::memory(target, place),
        Target::Kms(_) => Vec::new(),
    }
}

/// Prints what was found; the last line says it all, and is what is kept of a rehearsal.
fn told(schema: &str, target: Option<&str>, found: &[Check], printer: Printer) -> (Value, Exit) {
    let (result, exit) = sum(schema, target, found);
    printer.show(&result, || {
        let mut lines: Vec<String> = found.iter().map(Check::text).collect();
        lines.push(match &result["bad"] {
            bad if *bad == 0 && result["ready"] == true => "nothing stands in a run's way".to_owned(),
            bad if *bad == 0 => {
                format!("nothing was found in a run's way; {} of it cannot be proven", result["unproven"])
            }
            bad => format!("{bad} of it must be mended"),
        });
        lines.join("\n")
    });
    (result, exit)
}

fn sum(schema: &str, target: Option<&str>, found: &[Check]) -> (Value, Exit) {
    let count = |is: Is| found.iter().filter(|check| check.is == is).count();
    let (bad, unproven) = (count(Is::Bad), count(Is::Unproven));
    let ready = bad + unproven == 0;
    // A doctor looks for what is wrong; a rehearsal says what is proven.
    let passes = if schema == REHEARSAL { ready } else { bad == 0 };
    let exit = if passes { Exit::Done } else { Exit::PersonNeeded };
    let now = clock::now();
    let result = json!({
        "schema": schema, "target": target, "at": clock::rfc3339(now), "at_ms": now.0, "ready": ready,
        "bad": bad, "unproven": unproven, "checks": found, "exit": exit as u8,
    });
    (result, exit)
}

/// Where the last rehearsal of a target is kept. A name that is no file name is its digest there.
fn kept(state: &Path, target: &str) -> PathBuf {
    let plain = target.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b)) && target.len() <= 128;
    let name = if plain { target.to_owned() } else { Digest::of(target.as_bytes()).to_string() };
    state.join(REHEARSALS).join(format!("{name}.json"))
}

fn keep(state: &Path, target: &str, result: &Value) -> Result<(), Fault> {
    store::make_private(state)?;
    let path = kept(state, target);
    let write = || {
        std::fs::create_dir_all(state.join(REHEARSALS))?;
        whole::replace(&path, |file| writeln!(file, "{result}"))
    };
    write().map_err(|e| Fault::caused(Code::NotWritable, &format!("{} cannot be written", path.display()), &e))
}

/// When the target was last rehearsed, and what came of it.
fn rehearsed(place: &Place, target: &str) -> Check {
    let command = format!("recover rehearse --target {}", act::quoted(target));
    let last =
        std::fs::read(kept(&place.state, target)).ok().and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
    let Some((last, at)) = last.and_then(|last| last["at_ms"].as_i64().map(|at| (last, at))) else {
        return Check::warn("rehearsed", "never").hint(command);
    };
    let ago = format!("{} ago, at {}", clock::span(clock::now().0 - at), clock::rfc3339(Millis(at)));
    if last["ready"] == true {
        Check::ok("rehearsed", ago)
    } else {
        let what = if last["bad"] == 0 { "not all of it could be proven" } else { "something stood in its way" };
        Check::warn("rehearsed", format!("{ago}; {what}")).hint(command)
    }
}
