//! `recover --plan`: a run of what was planned, if everything is still as the plan saw it.

use std::path::Path;

use serde_json::Value;

use super::file::{PlanFile, differences};
use super::{OF_TARGET, configured, planned};
use crate::args::{Global, StartArgs};
use crate::clock;
use crate::fault::{Code, Exit, Fault};
use crate::printer::Printer;
use crate::records::Records;
use crate::verbs::act::{self, Chosen};

pub(super) fn params(chosen: &Chosen) -> Result<Value, Fault> {
    serde_json::from_str(chosen.ask.params.as_str()).map_err(|e| Fault::caused(Code::Bug, "parameters", &e))
}

/// Begins the run that a plan is of, or goes on with the one that it began.
pub(crate) fn begin(
    global: &Global,
    words: &StartArgs,
    path: &Path,
    age_ms: u64,
    printer: Printer,
) -> Result<Exit, Fault> {
    let plan = PlanFile::read(path)?;
    let start = StartArgs {
        scenario: Some(plan.scenario.clone()),
        target: Some(plan.target.clone()),
        set: plan.set.clone(),
        alert: plan.alert.clone(),
        ..words.clone()
    };
    let mut chosen = act::choose(global, &start, printer)?;
    chosen.ask.plan = Some(plan.digest);
    // What the plan's own run has done since is no drift: the same command again goes on with it.
    if !is_under_way(&chosen, &plan)? {
        plan.is_of_late(clock::now(), age_ms)?;
        is_of_this(&plan, &chosen)?;
        holds(&plan, &chosen)?;
    }
    act::start_chosen(global, chosen, printer)
}

fn is_under_way(chosen: &Chosen, plan: &PlanFile) -> Result<bool, Fault> {
    let records = match Records::open(&chosen.place.state) {
        Ok(records) => records,
        Err(fault) if fault.code == Code::StateDirMissing => return Ok(false),
        Err(fault) => return Err(fault),
    };
    for run in records.open_runs()? {
        let begun = records.begun(run)?;
        if begun.subject == chosen.ask.subject && begun.plan == Some(plan.digest) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Whether procedure, target and parameters are those of the plan.
fn is_of_this(plan: &PlanFile, chosen: &Chosen) -> Result<(), Fault> {
    let other =
        |what: String| Err(Fault::new(Code::PlanOfAnother, what).hint("look at what was changed, and make a new plan"));
    if plan.version != chosen.scenario.entry.version || plan.graph != chosen.scenario.digest() {
        return other(format!("the plan is of another {} than this build has: graph or guards differ", plan.scenario));
    }
    if plan.subject != chosen.ask.subject || plan.config != configured(chosen)? {
        return other(format!("the configuration of {} is not the one that the plan was made with", plan.target));
    }
    let params = params(chosen)?;
    if params != plan.params {
        let names = params.as_object().into_iter().flat_map(|o| o.keys());
        let differ: Vec<&str> =
            names.filter(|n| params[n.as_str()] != plan.params[n.as_str()]).map(String::as_str).collect();
        return other(format!("the parameters are not those of the plan: {}", differ.join(", ")));
    }
    Ok(())
}

/// Whether what the plan rests on is what is seen now, and leads to the same steps.
fn holds(plan: &PlanFile, chosen: &Chosen) -> Result<(), Fault> {
    if let Some(step) = plan.steps.iter().find(|step| step["how"] == "unknowable") {
        let why = step["outcome"].as_str().unwrap_or_default();
        return Err(Fault::new(
            Code::PlanUnusable,
            format!("the plan ends where nobody could tell how it goes on: {why}"),
        )
        .hint("clear that up, and make a new plan"));
    }
    let mut now = planned(chosen)?;
    // What could not be read of the target then is no part of the plan.
    if !plan.rests_on.keys().any(|name| name.starts_with(OF_TARGET)) {
        now.rests_on.retain(|name, _| !name.starts_with(OF_TARGET));
    }
    if let Some(why) = now.unknowable {
        return Err(drifted(&format!("what the plan rests on cannot be seen now: {why}")));
    }
    let differ = differences(&plan.rests_on, &now.rests_on);
    if !differ.is_empty() {
        return Err(drifted(&format!("{} is not as the plan saw it: {}", plan.target, differ.join("; "))));
    }
    let step = |step: &Value| ["state", "how", "outcome"].map(|name| step[name].clone());
    let same = plan.steps.len() == now.lines.len()
        && plan.steps.iter().zip(&now.lines).all(|(planned, (now, _))| step(planned) == step(now));
    if same { Ok(()) } else { Err(drifted("what is seen now leads to other steps than those of the plan")) }
}

fn drifted(what: &str) -> Fault {
    Fault::new(Code::PlanDrifted, what).hint("nothing was done; make a new plan, and look at it again")
}
