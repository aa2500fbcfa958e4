//! `recover plan`: what is observed now, what is predicted from there, and where the point of no return lies.

mod begin;
mod file;

use std::path::Path;

use recover_engine::{Act, Doing, Input, Key, Machine, Millis, Next, Outcome, Performed, Redo, Seen, World};
use serde_json::{Value, json};

use crate::actor::Actor;
use crate::args::{Global, StartArgs};
use crate::clock;
use crate::fault::{Code, Exit, Fault};
use crate::printer::Printer;
use crate::records::Records;
use crate::report::told;
use crate::verbs::act::{self, Chosen};
use crate::world::TargetWorld;

/// A plan longer than this goes in circles.
const STEPS_MAX: usize = 64;
/// What the names of those facts begin with that are of the target and not of a step.
const OF_TARGET: &str = "target.";

pub(super) use begin::begin;
use file::{PlanFile, Seen as RestsOn, fingerprint, note};

pub(super) fn plan(global: &Global, start: &StartArgs, out: Option<&Path>, printer: Printer) -> Result<Exit, Fault> {
    let chosen = act::choose(global, start, printer)?;
    let Planned { lines, rests_on, .. } = planned(&chosen)?;
    let steps = lines.iter().map(|(value, _)| value.clone()).collect();
    for (value, text) in lines {
        printer.show(&value, || text);
    }
    if !printer.json() {
        printer.data("  *  changes something");
        for guard in chosen.scenario.entry.guards() {
            printer.data(&format!("guard  {}", told::guard(&guard)));
        }
    }
    if let Some(out) = out {
        let plan = pinned(&chosen, start, steps, rests_on)?;
        plan.write(out)?;
        let (digest, file) = (plan.digest.to_string(), out.display().to_string());
        let value = json!({
            "schema": "recover.plan-file/v1", "file": file, "digest": digest, "fingerprint": plan.fingerprint.to_string(),
            "exit": Exit::Done as u8,
        });
        printer.show(&value, || format!("plan   {file} ({digest})\nrun it recover --plan {}", act::quoted(&file)));
    }
    Ok(Exit::Done)
}

/// What a walk through the procedure shows.
pub(super) struct Planned {
    pub(super) lines: Vec<(Value, String)>,
    /// What was observed on the way.
    pub(super) rests_on: RestsOn,
    /// Why the walk ended before the procedure's end, if it did.
    pub(super) unknowable: Option<String>,
}

/// Looks at the target, and walks on from there. Nothing is changed.
pub(super) fn planned(chosen: &Chosen) -> Result<Planned, Fault> {
    let recorded = match Records::open(&chosen.place.state) {
        Ok(records) => records.baseline(&chosen.target.subject())?,
        Err(fault) if fault.code == Code::StateDirMissing => None,
        Err(fault) => return Err(fault),
    };
    let world = chosen.target.world()?.recorded_as(recorded.as_ref().map(|recorded| &recorded.baseline.facts));
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::caused(Code::NoResources, "the runtime cannot be started", &e))?;
    runtime.block_on(async {
        let mut planned = walk(chosen, &world).await?;
        // What cannot be read is left out: the steps say what a plan needs.
        if let Ok(seen) = world.facts().await {
            planned.rests_on.extend(seen.facts.into_iter().map(|(name, value)| (format!("{OF_TARGET}{name}"), value)));
        }
        Ok(planned)
    })
}

/// The plan with what it is pinned to.
fn pinned(chosen: &Chosen, start: &StartArgs, steps: Vec<Value>, rests_on: RestsOn) -> Result<PlanFile, Fault> {
    let now = clock::now();
    let guards =
        serde_json::to_value(chosen.scenario.entry.guards()).map_err(|e| Fault::caused(Code::Bug, "the guards", &e))?;
    let behind = steps.iter().find(|step| step["past_no_return"] == true && step["how"] != "end");
    let plan = PlanFile {
        schema: file::SCHEMA.to_owned(),
        made: clock::rfc3339(now),
        made_ms: now.0,
        by: serde_json::to_value(Actor::here()).map_err(|e| Fault::caused(Code::Bug, "the actor", &e))?,
        scenario: chosen.ask.scenario.clone(),
        version: chosen.scenario.entry.version,
        graph: chosen.scenario.digest(),
        target: chosen.name.clone(),
        subject: chosen.ask.subject.clone(),
        config: configured(chosen)?,
        params: begin::params(chosen)?,
        set: start.set.clone(),
        alert: start.alert.clone(),
        point_of_no_return: behind.and_then(|step| step["number"].as_u64()),
        approvals: steps.iter().filter(|step| step["how"] == "needs a person").cloned().collect(),
        steps,
        guards,
        fingerprint: fingerprint(&rests_on),
        rests_on,
        digest: chosen.scenario.digest(),
    };
    let text = serde_json::to_string(&plan).map_err(|e| Fault::caused(Code::Bug, "the plan", &e))?;
    // A person may have put what they had at hand into a parameter.
    if chosen.target.world()?.without_secrets(None, &text) != text {
        return Err(Fault::new(Code::PlanUnusable, "a secret is in the words of the command: no plan is written"));
    }
    Ok(plan.seal())
}

/// The digest of how the target is described.
fn configured(chosen: &Chosen) -> Result<recover_engine::Digest, Fault> {
    let text = serde_json::to_string(&chosen.target).map_err(|e| Fault::caused(Code::Bug, "the target", &e))?;
    Ok(recover_engine::Digest::of(text.as_bytes()))
}

async fn walk(chosen: &Chosen, world: &TargetWorld) -> Result<Planned, Fault> {
    let mut machine = chosen
        .scenario
        .entry
        .begin(&chosen.ask.params)
        .map_err(|e| Fault::caused(Code::BadParameter, "parameters", &e))?;
    let (mut lines, mut rests_on, mut unknowable) = (Vec::new(), RestsOn::new(), None);
    let mut looking = true;
    let mut committed = false;
    for number in 1..=STEPS_MAX {
        if machine.committed() && !committed {
            committed = true;
            lines.push((
                json!({ "schema": "recover.plan/v1", "point_of_no_return": true }),
                "----  the point of no return: from here only forward or to a person".to_owned(),
            ));
        }
        let state = machine.state();
        let mut also = json!({});
        let (said, what, how, input, step) = match machine.next() {
            Next::Do(doing) => {
                // Only looks are taken, and only until the first change would have altered what is seen.
                looking &= doing.redoing.redo == Redo::Pure;
                let (how, outcome) = if looking {
                    ("observed", observe(world, chosen, &*machine, &doing).await)
                } else {
                    ("predicted", predict(&*machine).ok_or_else(String::new))
                };
                // A look changes nothing; whatever else is done changes what its summary says.
                also = json!({ "step": doing.step, "redo": doing.redoing.redo, "changes": doing.redoing.redo != Redo::Pure });
                let outcome = match outcome {
                    Ok(outcome) => outcome,
                    Err(why) => {
                        lines.push(line(number, state, &doing.summary, "unknowable", &why, committed, also));
                        unknowable = Some(format!("{}: {why}", doing.summary));
                        break;
                    }
                };
                let said = match &outcome {
                    Outcome::Happened(told) => told.ending.clone(),
                    Outcome::Refused(reason) => format!("refused: {}", reason.text),
                };
                if how == "observed" {
                    let name = format!("{}.{}", state, doing.step);
                    rests_on.insert(format!("{name}.ending"), said.clone());
                    if let Outcome::Happened(told) = &outcome {
                        note(&mut rests_on, &name, &serde_json::from_str(told.data.as_str()).unwrap_or_default());
                    }
                }
                (said, doing.summary, how, Input::Outcome(outcome), doing.step)
            }
            Next::Wait(wait) => ("elapsed".into(), wait.why, "predicted", Input::Expired, ""),
            Next::Ask(question) => {
                also = json!({ "question": question.id, "choices": question.choices, "otherwise": question.otherwise });
                let choice = question.choices.first().map(|c| c.id.clone().into_owned()).unwrap_or_default();
                (choice.clone(), format!("ask: {}", question.text), "needs a person", Input::Answer(choice), "")
            }
            Next::Done(ending) => {
                lines.push(line(number, state, &ending.reason, "end", ending.verdict.as_str(), committed, also));
                break;
            }
        };
        lines.push(line(number, state, &what, how, &said, committed, also));
        machine.apply(step, &input).map_err(|e| Fault::caused(Code::Bug, "the plan", &e))?;
    }
    Ok(Planned { lines, rests_on, unknowable })
}

fn line(
    number: usize,
    state: &str,
    what: &str,
    how: &str,
    said: &str,
    committed: bool,
    also: Value,
) -> (Value, String) {
    let mut value = json!({
        "schema": "recover.plan/v1", "number": number, "state": state, "what": what, "how": how, "outcome": said,
        "past_no_return": committed,
    });
    if let (Value::Object(value), Value::Object(also)) = (&mut value, also) {
        value.extend(also);
    }
    // A look or a wait changes nothing; what does is marked, so that it can be found at a glance.
    let mark = if value["changes"] == true { '*' } else { ' ' };
    (value, format!("{number:>4} {mark}{how:<14} {what} → {said}"))
}

/// Takes a look; where it does not succeed at once, a sentence that says why.
async fn observe(
    world: &TargetWorld,
    chosen: &Chosen,
    machine: &dyn Machine,
    doing: &Doing,
) -> Result<Outcome<recover_engine::Told>, String> {
    let epoch = machine.epoch().map(str::to_owned);
    let act = Act {
        run: recover_engine::RunId::new(Millis(clock::now().0), [0; 10]),
        target: chosen.name.as_str().into(),
        subject: chosen.ask.subject.as_str().into(),
        key: Key::effect(&chosen.ask.subject, epoch.as_deref().unwrap_or_default(), doing.step, 0),
        epoch,
        doing: doing.clone().into(),
        ordinal: 0,
        attempt: 1,
        fenced: false,
    };
    match world.perform(&act).await {
        Performed::Happened(Seen { told, .. }) => Ok(Outcome::Happened(told)),
        Performed::Refused(reason) => Ok(Outcome::Refused(reason)),
        Performed::Retry { why, .. } | Performed::Unknown { why } => Err(why),
    }
}

/// The first ending that a step names is the one that it is there for.
fn predict(machine: &dyn Machine) -> Option<Outcome<recover_engine::Told>> {
    machine.endings().into_iter().next()
}
