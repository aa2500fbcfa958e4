//! `recover plan`: what is observed now, what is predicted from there, and where the point of no return lies.

use recover_engine::{Act, Doing, Input, Key, Machine, Millis, Next, Outcome, Performed, Redo, Seen, World};
use serde_json::{Value, json};

use crate::args::{Global, StartArgs};
use crate::clock;
use crate::fault::{Code, Exit, Fault};
use crate::printer::Printer;
use crate::records::Records;
use crate::verbs::act::{self, Chosen};
use crate::world::TargetWorld;

/// A plan longer than this goes in circles.
const STEPS_MAX: usize = 64;

pub(super) fn plan(global: &Global, start: &StartArgs, printer: Printer) -> Result<Exit, Fault> {
    let chosen = act::choose(global, start, printer)?;
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
    let lines = runtime.block_on(walk(&chosen, &world))?;
    for (value, text) in lines {
        printer.show(&value, || text);
    }
    if !printer.json() {
        for guard in chosen.scenario.entry.guards() {
            printer.data(&format!("guard  {}", serde_json::to_string(&guard).unwrap_or_default()));
        }
    }
    Ok(Exit::Done)
}

async fn walk(chosen: &Chosen, world: &TargetWorld) -> Result<Vec<(Value, String)>, Fault> {
    let mut machine = chosen
        .scenario
        .entry
        .begin(&chosen.ask.params)
        .map_err(|e| Fault::caused(Code::BadParameter, "parameters", &e))?;
    let mut lines = Vec::new();
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
        let (said, what, how, input, step) = match machine.next() {
            Next::Do(doing) => {
                // Only looks are taken, and only until the first change would have altered what is seen.
                looking &= doing.redoing.redo == Redo::Pure;
                let (how, outcome) = if looking {
                    ("observed", observe(world, chosen, &*machine, &doing).await)
                } else {
                    ("predicted", predict(&*machine).ok_or_else(String::new))
                };
                let outcome = match outcome {
                    Ok(outcome) => outcome,
                    Err(why) => {
                        lines.push(line(number, state, &doing.summary, "unknowable", &why, committed));
                        break;
                    }
                };
                let said = match &outcome {
                    Outcome::Happened(told) => told.ending.clone(),
                    Outcome::Refused(reason) => format!("refused: {}", reason.text),
                };
                (said, doing.summary, how, Input::Outcome(outcome), doing.step)
            }
            Next::Wait(wait) => ("elapsed".into(), wait.why, "predicted", Input::Expired, ""),
            Next::Ask(question) => {
                let choice = question.choices.first().map(|c| c.id.clone().into_owned()).unwrap_or_default();
                (choice.clone(), format!("ask: {}", question.text), "needs a person", Input::Answer(choice), "")
            }
            Next::Done(ending) => {
                lines.push(line(number, state, &ending.reason, "end", ending.verdict.as_str(), committed));
                break;
            }
        };
        lines.push(line(number, state, &what, how, &said, committed));
        machine.apply(step, &input).map_err(|e| Fault::caused(Code::Bug, "the plan", &e))?;
    }
    Ok(lines)
}

fn line(number: usize, state: &str, what: &str, how: &str, said: &str, committed: bool) -> (Value, String) {
    let value = json!({
        "schema": "recover.plan/v1", "number": number, "state": state, "what": what, "how": how, "outcome": said,
        "past_no_return": committed,
    });
    (value, format!("{number:>4}  {how:<14} {what} → {said}"))
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
