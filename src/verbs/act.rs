//! The verbs that act: they hand a request to the owner, or become it.

use recover_engine::Json;

use crate::actor::Actor;
use crate::args::{AnswerArgs, Global, ReasonArgs, StartArgs};
use crate::fault::{Code, Exit, Fault, nearest};
use crate::owner::ask::{Ask, Envelope, StartAsk, VERSION};
use crate::owner::{submit, submit_at};
use crate::place::{Place, SANDBOX};
use crate::printer::{Printer, interactive};
use crate::records::Records;
use crate::store;
use crate::target::Target;
use crate::{config, sandbox};

/// A scenario and target that exist.
pub(crate) struct Chosen {
    pub(super) place: Place,
    pub(super) scenario: &'static recover_scenarios::Registered,
    pub(super) name: String,
    pub(crate) target: Target,
    pub(crate) ask: StartAsk,
}

pub(super) fn scenario(name: Option<&str>) -> Result<&'static recover_scenarios::Registered, Fault> {
    let Some(name) = name else {
        return Err(Fault::new(Code::Usage, "nothing to do: neither a command nor --scenario was given")
            .hint("try: recover --scenario identity-loss --target sandbox"));
    };
    recover_scenarios::find(name).ok_or_else(|| {
        let fault = Fault::new(Code::UnknownScenario, format!("no scenario is called {name}"));
        match nearest(name, recover_scenarios::SCENARIOS.iter().map(|s| s.entry.name)) {
            Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
            None => fault.hint("`recover scenarios` lists them"),
        }
    })
}

/// The target of that name; without one, the only one there is or the one that is marked as default.
pub(super) fn pick(place: &Place, name: Option<&str>) -> Result<String, Fault> {
    let targets = &place.loaded.config.target;
    if let Some(name) = name {
        if name == SANDBOX || targets.contains_key(name) {
            return Ok(name.to_owned());
        }
        let known = targets.keys().map(String::as_str).chain([SANDBOX]);
        let fault = Fault::new(Code::UnknownTarget, format!("no target is called {name}"));
        return Err(match nearest(name, known) {
            Some(meant) => fault.hint(format!("did you mean `{meant}`?")),
            None => fault.hint("`recover config show` lists them; `sandbox` needs no configuration"),
        });
    }
    let defaults: Vec<&String> = targets.iter().filter(|(_, t)| t.is_default()).map(|(name, _)| name).collect();
    match (defaults.as_slice(), targets.len()) {
        ([one], _) => Ok((*one).clone()),
        ([], 1) => targets.keys().next().cloned().ok_or_else(|| Fault::new(Code::UnknownTarget, "no target")),
        ([], 0) if place.loaded.from.is_none() => {
            Err(Fault::new(Code::NoConfig, "there is no configuration, and --target names none")
                .hint("to try it: recover --scenario identity-loss --target sandbox"))
        }
        _ => Err(Fault::new(Code::UnknownTarget, "which target is meant? --target names one")
            .hint("`recover config show` lists them")),
    }
}

/// How a target of that name is reached.
pub(super) fn reach(place: &Place, name: &str) -> Result<(config::Config, Target), Fault> {
    let config = match place.loaded.config.target.get(name) {
        Some(_) => place.loaded.config.clone(),
        None if name == SANDBOX => sandbox_config(place)?,
        None => {
            return Err(Fault::new(Code::UnknownTarget, format!("the configuration has no target {name}"))
                .hint("is --config the right one?"));
        }
    };
    let found = if config.target.contains_key(name) { config.target.get(name) } else { config.target.values().next() };
    let mut target = found.cloned().ok_or_else(|| Fault::new(Code::UnknownTarget, "the sandbox has no target"))?;
    target.with_secrets_in(config.secrets_dir.as_ref());
    Ok((config, target))
}

fn sandbox_config(place: &Place) -> Result<config::Config, Fault> {
    let path = place.sandbox_dir().join("recover.toml");
    config::load(Some(&path)).map(|loaded| loaded.config)
}

/// A word as a shell takes it.
pub(crate) fn quoted(word: &str) -> String {
    let plain = !word.is_empty() && word.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if plain { word.to_owned() } else { format!("'{}'", word.replace('\'', r"'\''")) }
}

/// The fault that a failure of the sandbox is.
pub(super) fn sandbox_fault(error: &sandbox::Error) -> Fault {
    let code = if error.exit_code() == Exit::Usage as u8 { Code::Usage } else { Code::Sandbox };
    let fault = Fault::new(code, format!("sandbox: {}", crate::fault::chain(error)));
    match error.hint() {
        Some(hint) => fault.hint(hint),
        None => fault,
    }
}

/// Brings the built-in sandbox up with a lost identity, unless an open run is at work on it.
fn prepare_sandbox(place: &Place, printer: Printer) -> Result<(), Fault> {
    let dir = place.sandbox_dir();
    store::make_private(&place.state)?;
    let open = match Records::open(&place.state) {
        Ok(records) => records.open_on(SANDBOX)?.is_some(),
        Err(fault) if fault.code == Code::StateDirMissing => false,
        Err(fault) => return Err(fault),
    };
    let failed = |e: sandbox::Error| sandbox_fault(&e);
    if open {
        return sandbox::control_plane_up(&dir).map_err(failed);
    }
    printer.talk(&format!("sandbox: a control plane and a connector in {}", dir.display()));
    sandbox::up(&dir).map_err(failed)?;
    match sandbox::lose_identity(&dir, false) {
        Ok(_) => printer.talk("sandbox: the connector has lost its identity; no copy was kept"),
        // It is still lost from a run that ended without recovering it.
        Err(sandbox::Error::AlreadyLost) => printer.talk("sandbox: the connector's identity is lost already"),
        Err(e) => return Err(failed(e)),
    }
    Ok(())
}

pub(super) fn choose(global: &Global, start: &StartArgs, printer: Printer) -> Result<Chosen, Fault> {
    // A name that there is not is said before anything is looked for.
    let _known = scenario(start.scenario.as_deref())?;
    let place = Place::of(global)?;
    let name = pick(&place, start.target.as_deref())?;
    if name == SANDBOX && !place.loaded.config.target.contains_key(SANDBOX) {
        prepare_sandbox(&place, printer)?;
    }
    choose_in(place, start)
}

/// The same, of a configuration that was read before.
pub(crate) fn choose_in(place: Place, start: &StartArgs) -> Result<Chosen, Fault> {
    let scenario = scenario(start.scenario.as_deref())?;
    let name = pick(&place, start.target.as_deref())?;
    let built_in = name == SANDBOX && !place.loaded.config.target.contains_key(SANDBOX);
    if !built_in && !place.named {
        return Err(Fault::new(
            Code::StateDirUnnamed,
            format!("{name} is a real target, and no state directory is named"),
        )
        .hint("set `state_dir` in the configuration"));
    }
    let (config, target) = reach(&place, &name)?;
    let ask = StartAsk {
        scenario: scenario.entry.name.to_owned(),
        target: name.clone(),
        subject: target.subject(),
        params: target.params(scenario.entry.name, &config.policy, start.alert.as_deref(), &start.set)?,
        alert: start.alert.clone(),
        ticket: start.ticket.clone(),
        request_id: start.request_id.clone(),
        attach: start.attach,
        brake: config.policy.brake(),
        despite: start.despite.clone(),
        second_person: config.policy.second_person,
        plan: None,
    };
    Ok(Chosen { place, scenario, name, target, ask })
}

pub(super) fn envelope(global: &Global, target: Option<Target>, ask: Ask) -> Envelope {
    Envelope {
        v: VERSION,
        actor: Actor::here(),
        yes: global.yes,
        wait_ms: global.wait,
        target: target.map(Box::new),
        again: false,
        ask,
    }
}

pub(super) fn start(global: &Global, start: &StartArgs, printer: Printer) -> Result<Exit, Fault> {
    start_chosen(global, choose(global, start, printer)?, printer)
}

pub(super) fn start_chosen(global: &Global, chosen: Chosen, printer: Printer) -> Result<Exit, Fault> {
    let state = chosen.place.state.clone();
    let built_in = chosen.name == SANDBOX;
    let exit = submit(
        &state,
        &chosen.place.loaded.config,
        envelope(global, Some(chosen.target), Ask::Start(Box::new(chosen.ask))),
        printer,
    )?;
    ask_here(global, &state, exit, printer).inspect(|exit| finish(built_in, &chosen.place, *exit, printer))
}

/// After a run of the built-in sandbox: what really happened, from the sandbox's own ledger; its processes end.
fn finish(built_in: bool, place: &Place, exit: Exit, printer: Printer) {
    if !built_in
        || !matches!(exit, Exit::Done | Exit::AsFound | Exit::Residue | Exit::NotApplicable | Exit::GuardRefused)
    {
        return;
    }
    let dir = place.sandbox_dir();
    match sandbox::ledger(&dir) {
        Ok(ledger) => {
            let value = serde_json::to_value(&ledger).unwrap_or_default();
            let n = |key: &str| value[key].to_string();
            printer.talk(&format!(
                "sandbox: its own ledger says: {} pairing, {} mint, {} revocation, {} starts; {} tokens work",
                n("pairs"),
                n("mints"),
                n("revokes"),
                n("starts"),
                n("live_tokens")
            ));
        }
        Err(e) => printer.talk(&format!("sandbox: its ledger cannot be read: {}", crate::fault::chain(&e))),
    }
    if let Err(e) = sandbox::down(&dir) {
        printer.talk(&format!("sandbox: its processes could not be ended: {}", crate::fault::chain(&e)));
    }
}

/// On a terminal a question is asked at once.
fn ask_here(global: &Global, state: &std::path::Path, mut exit: Exit, printer: Printer) -> Result<Exit, Fault> {
    while exit == Exit::PersonNeeded && interactive() && !printer.json() {
        let Some((run, seq, choices)) = Records::open(state)?.open_question()? else { break };
        printer.talk(&format!("your answer ({}; empty leaves it open):", choices.join(", ")));
        let mut answer = String::new();
        if std::io::stdin().read_line(&mut answer).is_err() || answer.trim().is_empty() {
            break;
        }
        let place = Place::of(global)?;
        let target = target_of(&place, &run)?;
        let ask = Ask::Answer {
            run,
            question: Some(seq),
            choice: Some(answer.trim().to_owned()),
            deny: false,
            reason: "answered at the terminal".into(),
        };
        exit = submit(state, &place.loaded.config, envelope(global, target, ask), printer)?;
    }
    Ok(exit)
}

/// The target of a run, from the configuration at hand.
pub(crate) fn target_of(place: &Place, run: &str) -> Result<Option<Target>, Fault> {
    let records = Records::open(&place.state)?;
    let begun = records.begun(store::parse_run(run)?)?;
    if begun.target == SANDBOX && !place.loaded.config.target.contains_key(SANDBOX) {
        sandbox::control_plane_up(&place.sandbox_dir()).map_err(|e| sandbox_fault(&e))?;
    }
    reach(place, &begun.target).map(|(_, target)| Some(target))
}

fn on_run(global: &Global, run: &str, printer: Printer, ask: Ask) -> Result<Exit, Fault> {
    let place = Place::of(global)?;
    let target = target_of(&place, run)?;
    let built_in = Records::open(&place.state)?.begun(store::parse_run(run)?)?.target == SANDBOX;
    let exit = submit(&place.state, &place.loaded.config, envelope(global, target, ask), printer)?;
    ask_here(global, &place.state, exit, printer).inspect(|exit| finish(built_in, &place, *exit, printer))
}

pub(super) fn resume(global: &Global, run: Option<&str>, all: bool, printer: Printer) -> Result<Exit, Fault> {
    let place = Place::of(global)?;
    let open: Vec<recover_engine::RunId> = match Records::open(&place.state) {
        Ok(records) => {
            let (runs, damage) = records.listing()?;
            // An open run may be where the log cannot be read: without a name, "nothing is open" would be a guess.
            if let (None, Some(fault)) = (run, damage) {
                return Err(fault);
            }
            runs.into_iter().filter(|run| run.open).map(|run| run.id).collect()
        }
        Err(fault) if all && fault.code == Code::StateDirMissing => Vec::new(),
        Err(fault) => return Err(fault),
    };
    let runs: Vec<String> = match (run, all) {
        (Some(run), _) => vec![run.to_owned()],
        (None, true) => open.iter().map(ToString::to_string).collect(),
        (None, false) => match open.as_slice() {
            [] => Vec::new(),
            [one] => vec![one.to_string()],
            many => {
                let ids: Vec<String> = many.iter().map(ToString::to_string).collect();
                return Err(Fault::new(Code::Usage, format!("{} runs are open: {}", many.len(), ids.join(" ")))
                    .hint("name one, or use --all"));
            }
        },
    };
    if runs.is_empty() {
        printer.talk("nothing is open");
        return Ok(Exit::Done);
    }
    // One bad run does not keep the others from being resumed; the gravest exit code is the command's.
    let mut worst = Exit::Done;
    let mut last = None;
    for run in &runs {
        match on_run(global, run, printer, Ask::Resume { run: run.clone() }) {
            Ok(exit) if exit as u8 > worst as u8 => worst = exit,
            Ok(_) => {}
            Err(fault) if runs.len() == 1 => return Err(fault),
            Err(fault) => {
                crate::say(&fault, printer);
                last = Some(fault);
            }
        }
    }
    match last {
        Some(fault) => Ok(fault.code.exit()),
        None => Ok(worst),
    }
}

pub(super) fn answer(global: &Global, args: AnswerArgs, deny: bool, printer: Printer) -> Result<Exit, Fault> {
    let question = args
        .question
        .as_deref()
        .map(|text| {
            text.strip_prefix('q')
                .and_then(|n| n.parse().ok())
                .ok_or_else(|| Fault::new(Code::Usage, format!("{text} is not a question's id such as q12")))
        })
        .transpose()?;
    let ReasonArgs { run, reason } = args.reason;
    if let Some(socket) = &args.socket {
        // Whoever may only approve sees neither the configuration nor the journal.
        let ask = Ask::Answer { run, question, choice: args.choice, deny, reason };
        return submit_at(socket, &envelope(global, None, ask), printer);
    }
    let ask = Ask::Answer { run: run.clone(), question, choice: args.choice, deny, reason };
    on_run(global, &run, printer, ask)
}

pub(super) fn cancel(global: &Global, run: String, reason: String, printer: Printer) -> Result<Exit, Fault> {
    on_run(global, &run.clone(), printer, Ask::Cancel { run, reason })
}

pub(super) fn abandon(global: &Global, args: ReasonArgs, printer: Printer) -> Result<Exit, Fault> {
    let ReasonArgs { run, reason } = args;
    let exit = on_run(global, &run.clone(), printer, Ask::Abandon { run, reason })?;
    // The command did what it says; what the run left behind is printed.
    Ok(if matches!(exit, Exit::Residue | Exit::AsFound) { Exit::Done } else { exit })
}

pub(super) fn resolve(
    global: &Global,
    args: ReasonArgs,
    step: String,
    happened: bool,
    data: Option<String>,
    printer: Printer,
) -> Result<Exit, Fault> {
    let happened = match (happened, data) {
        (false, _) => None,
        (true, None) => Some(Json::null()),
        (true, Some(text)) => {
            Some(Json::parse(text).map_err(|e| Fault::caused(Code::Usage, "--data is not JSON", &e))?)
        }
    };
    let ReasonArgs { run, reason } = args;
    on_run(global, &run.clone(), printer, Ask::Resolve { run, step, happened, reason })
}
