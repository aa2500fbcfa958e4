//! What is left of a run, for a person who goes on without `recover`: in order, with commands, and with what must not be done.

mod commands;
mod kms;
mod kubectl;

use std::path::Path;

use recover_engine::{Choice, Input, Machine, Next, Phase, Redo};
use recover_scenarios::diagnosis::Class;
use serde::Serialize;

use crate::clock;
use crate::report::told;
use crate::store::Folded;
use crate::target::{Kind, Target};

/// A way longer than this goes in circles.
const STEPS_MAX: usize = 64;

/// One thing that is left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Left {
    pub(crate) state: String,
    pub(crate) what: String,
    /// Whether it changes anything, or only looks.
    pub(crate) changes: bool,
    pub(crate) commands: Vec<String>,
    /// What to know before, where there is something.
    pub(crate) note: Option<String>,
    pub(crate) past_no_return: bool,
}

/// A run, handed to a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Handoff {
    pub(crate) schema: &'static str,
    pub(crate) run: String,
    pub(crate) scenario: String,
    pub(crate) target: String,
    pub(crate) state: String,
    pub(crate) at: String,
    pub(crate) past_no_return: bool,
    /// Whether some process executes runs of this state directory now.
    pub(crate) owner_lives: bool,
    /// How the run ended, if it did.
    pub(crate) ended: Option<String>,
    pub(crate) residue: Vec<String>,
    pub(crate) left: Vec<Left>,
    pub(crate) must_not: Vec<String>,
    pub(crate) rules: Vec<String>,
    pub(crate) evidence: Vec<String>,
    pub(crate) afterwards: Vec<String>,
}

impl Handoff {
    pub(crate) fn of(folded: &Folded, target: &Target, state_dir: &Path, owner_lives: bool) -> Self {
        let position = &folded.position;
        let begun = &position.charter.begun;
        let run = position.run.to_string();
        let (ended, residue) = match &position.phase {
            Phase::Closed(ending) => {
                (Some(format!("{}: {}", ending.verdict.as_str(), ending.reason)), ending.residue.clone())
            }
            Phase::Ready | Phase::Open(_) | Phase::Waiting { .. } | Phase::Asked { .. } => (None, Vec::new()),
        };
        let open = ended.is_none();
        let left = match &folded.typed {
            Some(machine) if open => ahead(machine.boxed_clone(), &position.phase, target, &run),
            Some(_) | None => Vec::new(),
        };
        Self {
            schema: "recover.handoff/v1",
            scenario: begun.scenario.clone(),
            target: begun.target.clone(),
            state: position.state.clone(),
            at: clock::rfc3339(position.at),
            past_no_return: position.charter.graph.node(&position.state).is_some_and(|node| node.committed),
            owner_lives: owner_lives && open,
            ended,
            residue,
            left,
            must_not: must_not(&begun.scenario),
            rules: position.charter.guards.iter().map(told::guard).collect(),
            evidence: vec![
                format!("recover show {run}: every record, with what was captured"),
                format!("recover export {run}: all of it in one signed file"),
                format!("{}: captured texts that are too long for a record", state_dir.join("evidence").display()),
            ],
            afterwards: afterwards(open, &run),
            run,
        }
    }

    /// For a terminal.
    pub(crate) fn text(&self) -> String {
        let mut out = vec![format!("{} on {}, {}: {}", self.scenario, self.target, self.state, self.run)];
        out.extend(self.warnings());
        for (at, left) in self.left.iter().enumerate() {
            let does = if left.changes { "changes" } else { "looks" };
            let behind = if left.past_no_return { ", past the point of no return" } else { "" };
            out.push(format!("\n{}. {} ({does}{behind})", at + 1, left.what));
            out.extend(left.note.iter().map(|note| format!("   {note}")));
            out.extend(left.commands.iter().map(|command| format!("     {command}")));
        }
        for (head, lines) in self.lists() {
            if !lines.is_empty() {
                out.push(format!("\n{head}"));
                out.extend(lines.iter().map(|line| format!("   {line}")));
            }
        }
        out.join("\n")
    }

    /// What comes before everything else.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let mut out = Vec::new();
        if self.owner_lives {
            out.push(
                "a process owns the state directory and may be executing this run: stop it first (SIGTERM)".to_owned(),
            );
        }
        match &self.ended {
            Some(ended) => out.push(format!("the run is over, nothing is left of it to do; it ended {ended}")),
            None if self.left.is_empty() => {
                out.push("this build does not know the scenario's version, so it cannot say what is left".to_owned());
            }
            None => out.push(
                "in this order. What comes after a look or a question is what is expected; if it says something else, stop there".to_owned(),
            ),
        }
        out
    }

    pub(crate) fn lists(&self) -> [(&'static str, &[String]); 5] {
        [
            ("left behind:", &self.residue),
            ("must not:", &self.must_not),
            ("rules of the procedure:", &self.rules),
            ("evidence:", &self.evidence),
            ("afterwards:", &self.afterwards),
        ]
    }
}

/// The way from here to the end, as far as it can be told.
fn ahead(mut machine: Box<dyn Machine>, phase: &Phase, target: &Target, run: &str) -> Vec<Left> {
    let mut left = Vec::new();
    for number in 0..STEPS_MAX {
        let (state, committed) = (machine.state().to_owned(), machine.committed());
        let step = |what: String, changes: bool, commands: Vec<String>, note: Option<String>| Left {
            state: state.clone(),
            what,
            changes,
            commands,
            note,
            past_no_return: committed,
        };
        let (input, of) = match machine.next() {
            Next::Do(doing) => {
                // Further on the words of a step may hold what was only supposed.
                let what = if number == 0 { doing.summary.clone() } else { doing.step.replace('-', " ") };
                let note = if number == 0 { under_way(phase, doing.redoing.redo, doing.step, run) } else { None };
                let changes = doing.redoing.redo != Redo::Pure;
                left.push(step(what, changes, commands::of(&doing, target, run), note));
                let Some(outcome) = machine.endings().into_iter().next() else { break };
                (Input::Outcome(outcome), doing.step)
            }
            Next::Wait(wait) => {
                left.push(step(format!("wait: {}", wait.why), false, Vec::new(), None));
                (Input::Expired, "")
            }
            Next::Ask(question) => {
                let choices: Vec<String> = question.choices.iter().map(|c| format!("# {}: {}", c.id, c.text)).collect();
                left.push(step(format!("decide: {}", question.text), false, choices, None));
                let first = question.choices.first().map_or(Choice::APPROVE.to_owned(), |c| c.id.clone().into_owned());
                (Input::Answer(first), "")
            }
            Next::Done(_) => break,
        };
        if machine.apply(of, &input).is_err() {
            break;
        }
    }
    left
}

/// What to know of a step that was begun and whose outcome is not known.
fn under_way(phase: &Phase, redo: Redo, step: &str, run: &str) -> Option<String> {
    let Phase::Open(_) = phase else { return None };
    Some(match redo {
        Redo::Pure => return None,
        Redo::Idempotent => "it was begun and may be done: doing it again leaves the same".to_owned(),
        Redo::OnlyIfAbsent | Redo::AtMostOnce => format!(
            "it was begun and may be done: find that out first, and do it only if it surely was not. Afterwards: \
             recover resolve {run} --step {step} --happened|--absent --reason '…', if `resume` asks for it"
        ),
    })
}

/// What the runbook forbids in the cases that the scenario is for.
fn must_not(scenario: &str) -> Vec<String> {
    if Kind::Kms.has(scenario) {
        return kms::MUST_NOT.iter().map(|deed| (*deed).to_owned()).collect();
    }
    let mut deeds: Vec<String> = Vec::new();
    for class in
        Class::ALL.iter().filter(|class| [true, false].iter().any(|paired| class.scenario(*paired) == scenario))
    {
        for deed in class.must_not() {
            if !deeds.iter().any(|known| known == deed) {
                deeds.push((*deed).to_owned());
            }
        }
    }
    deeds
}

fn afterwards(open: bool, run: &str) -> Vec<String> {
    if !open {
        return Vec::new();
    }
    vec![
        format!("recover resume {run}: a step that was begun is asked for first, and not repeated where it is found done"),
        "a step that was not begun is done as the procedure has it: looks see what you did, and stopping what is stopped changes nothing. \
         An identity that you paired by hand is not the run's: it mints and pairs nothing beside it, and asks a person"
            .to_owned(),
        format!("recover abandon {run} --reason '…': if you went on to the end by hand; this run then acts no more"),
    ]
}
