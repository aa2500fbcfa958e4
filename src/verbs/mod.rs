//! The verbs of the command line, one file for each family.

mod act;
mod against;
mod baseline;
mod diagnose;
mod doctor;
mod export;
mod handoff;
mod init;
mod journal;
mod killed;
mod layers;
mod look;
mod manual;
mod plan;
mod procedure;
mod replay;
mod report;
mod runs;
mod support_bundle;

pub(crate) use act::quoted;
pub(crate) use baseline::differences_told as differences;

use crate::args::{Cli, Command, ConfigCommand};
use crate::config;
use crate::fault::{Code, Exit, Fault, nearest};
use crate::place::Place;
use crate::printer::Printer;

pub(crate) use act::{choose_in, target_of};
pub(crate) use doctor::{rehearsals, rehearse_quietly};
pub(crate) use runs::status_line;

/// Carries out what was typed.
pub(crate) fn run(cli: Cli) -> Result<Exit, Fault> {
    let printer = Printer { output: cli.global.output, quiet: cli.global.quiet };
    let global = &cli.global;
    let Some(command) = cli.command else {
        return if let Some(file) = &cli.by.plan {
            plan::begin(global, &cli.start, file, cli.by.plan_age, printer)
        } else if cli.start.dry_run {
            plan::plan(global, &cli.start, None, printer)
        } else {
            act::start(global, &cli.start, printer)
        };
    };
    if cli.start.scenario.is_some() || cli.by.plan.is_some() {
        return Err(Fault::new(Code::Usage, "--scenario begins a run and goes with no other command but plan")
            .hint("recover plan --scenario NAME --target NAME"));
    }
    match command {
        Command::Plan(words) => plan::plan(global, &words.start, words.out.as_deref(), printer),
        Command::Diagnose(words) => diagnose::diagnose(global, &words, printer),
        Command::Look(words) => look::look(&words, printer),
        Command::SupportBundle(words) => support_bundle::support_bundle(global, &words, printer),
        Command::Resume { run, all } => act::resume(global, run.as_deref(), all, printer),
        Command::Approve(answer) => act::answer(global, answer, false, printer),
        Command::Deny(answer) => act::answer(global, answer, true, printer),
        Command::Cancel { run, reason } => act::cancel(global, run, reason, printer),
        Command::Resolve { reason, step, happened, absent: _, data } => {
            act::resolve(global, reason, step, happened, data, printer)
        }
        Command::Abandon(reason) => act::abandon(global, reason, printer),
        Command::Status(run) => runs::status(global, run.run.as_deref(), printer),
        Command::List { state } => runs::list(global, state.as_deref(), printer),
        Command::Events(run) => runs::events(global, run.run.as_deref(), printer),
        Command::Watch(run) => runs::watch(global, run.run.as_deref(), printer),
        Command::Show(run) => runs::show(global, &run.run, printer),
        Command::Scenarios => procedure::scenarios(printer),
        Command::Graph { name, format } => procedure::graph(&name, &format, printer),
        Command::Check { name } => procedure::check(name.as_deref(), printer),
        Command::Replay(words) => replay::replay(global, &words, printer),
        Command::Verify { run, beside, .. } if !beside.against.is_empty() => {
            against::verify(global, run.as_deref(), beside, printer)
        }
        Command::Verify { run: Some(file), all: false, expect: None, key, beside: _ }
            if export::names_a_file(&file) =>
        {
            export::verify(file.as_ref(), key.as_deref(), printer)
        }
        Command::Verify { key: Some(_), .. } => {
            Err(Fault::new(Code::Usage, "--key is for a bundle: recover verify FILE --key PUB"))
        }
        Command::Verify { run, all, expect, key: None, beside: _ } => {
            replay::verify(global, run.as_deref(), all, expect.as_deref(), printer)
        }
        Command::Export(words) => export::export(global, &words, printer),
        Command::Report(words) => report::report(global, &words, printer),
        Command::Init(words) => init::init(global, &words, printer),
        Command::Doctor(words) => doctor::doctor(global, &words, printer),
        Command::Rehearse(words) => doctor::rehearse(global, &words, printer),
        Command::Handoff(words) => handoff::handoff(global, &words, printer),
        Command::Key => export::key(global, printer),
        Command::Baseline { command } => baseline::run(global, command, printer),
        Command::Journal { command } => journal::run(global, command, printer),
        Command::Sandbox(args) => crate::sandbox::run(args).map(|()| Exit::Done).map_err(|e| act::sandbox_fault(&e)),
        Command::Config { command: ConfigCommand::Schema } => {
            printer.data(&serde_json::to_string_pretty(&config::schema()).unwrap_or_default());
            Ok(Exit::Done)
        }
        Command::Config { command: ConfigCommand::Show } => show_config(&Place::of(global)?, printer),
        Command::Serve { listen } => crate::serve::serve(global, listen, printer),
        Command::Completions { shell } => manual::completions(shell, printer),
        Command::Man { dir } => manual::man(dir.as_deref(), printer),
        Command::Explain { code } => explain(&code, printer),
    }
}

fn show_config(place: &Place, printer: Printer) -> Result<Exit, Fault> {
    let from = place.loaded.from.as_ref().map(|path| path.display().to_string());
    let targets: Vec<&String> = place.loaded.config.target.keys().collect();
    let value = serde_json::json!({
        "schema": "recover.config/v1", "from": from, "state_dir": place.state, "targets": targets,
        "reprovision": place.loaded.config.policy.reprovision,
    });
    printer.show(&value, || {
        let names: Vec<&str> = targets.iter().map(|t| t.as_str()).collect();
        format!(
            "configuration: {}\nstate directory: {}\ntargets: {}",
            from.as_deref().unwrap_or("none"),
            place.state.display(),
            if names.is_empty() { "none but sandbox".to_owned() } else { names.join(", ") }
        )
    });
    Ok(Exit::Done)
}

fn explain(code: &str, printer: Printer) -> Result<Exit, Fault> {
    let wanted = code.to_ascii_uppercase();
    let Some(known) = Code::ALL.iter().find(|known| known.as_str() == wanted) else {
        let all = Code::ALL.iter().map(|known| known.as_str());
        let fault = Fault::new(Code::Usage, format!("there is no error code {code}"));
        return Err(match nearest(&wanted, all) {
            Some(meant) => fault.hint(format!("did you mean {meant}?")),
            None => fault,
        });
    };
    let value = serde_json::json!({
        "schema": "recover.explain/v1", "code": known.as_str(), "title": known.title(), "exit": known.exit() as u8,
        "page": known.page(),
    });
    printer.show(&value, || {
        format!("{}: {} (exit {})\n\n{}", known.as_str(), known.title(), known.exit() as u8, known.page())
    });
    Ok(Exit::Done)
}
