//! The verbs that look at runs. They need no lock and change nothing, on a full disk and a read-only copy too.

use std::time::Duration;

use recover_engine::{Phase, Position, RunId};
use serde_json::{Value, json};

use crate::args::Global;
use crate::clock;
use crate::fault::{Code, Exit, Fault};
use crate::line;
use crate::owner::result;
use crate::place::Place;
use crate::printer::Printer;
use crate::records::{Found, Listed, Records};
use crate::store::parse_run;

fn records(global: &Global) -> Result<Records, Fault> {
    Records::open(&Place::of(global)?.state)
}

/// What a run is in the middle of, as a word and a sentence.
fn phase(position: &Position, live: bool) -> (&'static str, String) {
    match &position.phase {
        Phase::Closed(ending) => ("closed", format!("{}: {}", ending.verdict.as_str(), ending.reason)),
        Phase::Asked { seq, asked } => {
            ("operator-needed", format!("q{seq}: {} (until {})", asked.question.text, clock::rfc3339(asked.deadline)))
        }
        Phase::Open(open) if open.doubt.is_some() => {
            ("in-doubt", format!("{}: {}", open.intent.step, open.doubt.as_deref().unwrap_or_default()))
        }
        Phase::Open(open) if live => ("executing", format!("{}, attempt {}", open.intent.step, open.attempts)),
        Phase::Open(open) => ("interrupted", format!("in the middle of {}", open.intent.step)),
        Phase::Waiting { until } if live => ("waiting", format!("until {}", clock::rfc3339(*until))),
        Phase::Ready if live => ("executing", String::new()),
        Phase::Waiting { .. } | Phase::Ready => ("interrupted", "between two steps".into()),
    }
}

pub(crate) fn status_line(position: &Position, live: bool) -> (Value, String) {
    let begun = &position.charter.begun;
    let (word, why) = phase(position, live);
    let committed = position.charter.graph.node(&position.state).is_some_and(|node| node.committed);
    let mut value = json!({
        "schema": "recover.status/v1", "run": position.run.to_string(), "scenario": begun.scenario,
        "target": begun.target, "subject": begun.subject, "status": word, "state": position.state, "why": why,
        "past_no_return": committed, "begun": clock::rfc3339(position.begun_at), "last": clock::rfc3339(position.at),
        "records": position.seq, "epoch": position.epoch,
    });
    if let Phase::Asked { seq, asked } = &position.phase {
        value["question"] = json!({
            "id": format!("q{seq}"), "text": asked.question.text, "choices": asked.question.choices,
            "deadline": clock::rfc3339(asked.deadline), "otherwise": asked.question.otherwise,
        });
    }
    if let Phase::Open(open) = &position.phase
        && let Some(why) = &open.doubt
    {
        value["doubt"] = json!({ "step": open.intent.step, "why": why });
    }
    let text = format!(
        "{word:<15} {:<16} {:<12} {:<22} {}  {}",
        begun.scenario, begun.target, position.state, why, position.run
    );
    (value, text)
}

pub(super) fn status(global: &Global, run: Option<&str>, printer: Printer) -> Result<Exit, Fault> {
    let records = records(global)?;
    let live = records.owner_lives();
    let (positions, exit) = match run {
        Some(run) => (vec![Ok(records.position(parse_run(run)?)?)], Exit::Done),
        None => {
            let found = records.open_positions()?;
            let nothing = found.1.is_some() && records.listing()?.0.is_empty();
            whole(found, nothing, printer)?
        }
    };
    if positions.is_empty() && exit == Exit::Done {
        printer.talk("nothing is open");
    }
    for position in positions {
        match position {
            Ok(position) => {
                let (value, text) = status_line(&position, live);
                printer.show(&value, || text);
            }
            // A run that cannot be read does not hide the others.
            Err(fault) => crate::say(&fault, printer),
        }
    }
    Ok(exit)
}

/// What was found. Where the log is damaged it may not be all: that is said aloud, and is the command's exit code. If there
/// is `nothing` to be read at all, it is an error.
fn whole<T>((found, damage): Found<T>, nothing: bool, printer: Printer) -> Result<(Vec<T>, Exit), Fault> {
    let Some(fault) = damage else { return Ok((found, Exit::Done)) };
    if nothing {
        return Err(fault);
    }
    printer.complain(&format!(
        "warning[{}]: {}; runs and records may be missing here: `recover verify --all` names every place",
        fault.code.as_str(),
        fault.message
    ));
    Ok((found, fault.code.exit()))
}

/// Every run that can be read.
fn listed(records: &Records, printer: Printer) -> Result<(Vec<Listed>, Exit), Fault> {
    let found = records.listing()?;
    let nothing = found.0.is_empty();
    whole(found, nothing, printer)
}

pub(super) fn list(global: &Global, state: Option<&str>, printer: Printer) -> Result<Exit, Fault> {
    let records = records(global)?;
    let (runs, exit) = listed(&records, printer)?;
    for run in runs {
        let word = if run.open { "open" } else { "closed" };
        if state.is_some_and(|wanted| wanted != word) {
            continue;
        }
        let value = json!({
            "schema": "recover.run/v1", "run": run.id.to_string(), "state": word,
            "begun": clock::rfc3339(run.id.begun_at()), "records": run.records,
            "log_damaged": exit != Exit::Done,
        });
        printer.show(&value, || {
            format!("{word:<7} {}  {:>5} records  {}", clock::rfc3339(run.id.begun_at()), run.records, run.id)
        });
    }
    Ok(exit)
}

pub(super) fn events(global: &Global, run: Option<&str>, printer: Printer) -> Result<Exit, Fault> {
    let records = records(global)?;
    let (ids, exit) = match run {
        Some(run) => (vec![parse_run(run)?], Exit::Done),
        None => {
            let (runs, exit) = listed(&records, printer)?;
            (runs.into_iter().map(|run| run.id).collect(), exit)
        }
    };
    for id in ids {
        match records.entries(id) {
            Ok(entries) => {
                for entry in entries {
                    printer.show(&line::event(&entry), || line::sentence(&entry));
                }
            }
            // A run that cannot be read does not hide the others.
            Err(fault) if run.is_none() && exit != Exit::Done => crate::say(&fault, printer),
            Err(fault) => return Err(fault),
        }
    }
    Ok(exit)
}

pub(super) fn watch(global: &Global, run: Option<&str>, printer: Printer) -> Result<Exit, Fault> {
    const LOOK: Duration = Duration::from_millis(200);
    let records = records(global)?;
    let wanted = run.map(parse_run).transpose()?;
    if let Some(id) = wanted {
        // What is not there will not come: the id of a run is known once the run is.
        let _there = records.begun(id)?;
    }
    let mut follow = records.follow(wanted)?;
    loop {
        let mut closed = false;
        for entry in follow.next()? {
            closed |= entry.header().kind == recover_engine::Kind::Closed && wanted.is_some();
            printer.show(&line::event(&entry), || line::sentence(&entry));
        }
        if closed {
            return Ok(Exit::Done);
        }
        std::thread::sleep(LOOK);
    }
}

pub(super) fn show(global: &Global, run: &str, printer: Printer) -> Result<Exit, Fault> {
    let records = records(global)?;
    let id = parse_run(run)?;
    let position = records.position(id)?;
    let (value, text) = status_line(&position, records.owner_lives());
    if printer.json() {
        printer.data(&value.to_string());
    } else {
        printer.data(&line::plain(&text));
    }
    for entry in records.entries(id)? {
        printer.show(&line::event(&entry), || line::sentence(&entry));
        if !printer.json() {
            for evidence in evidence_of(&entry) {
                printer.data(&line::plain(&evidence));
            }
        }
    }
    if let Phase::Closed(_) = position.phase {
        let (value, _) = closed_result(&records, id, &position)?;
        printer.show(&value, || result::text(&value));
    }
    Ok(Exit::Done)
}

fn closed_result(records: &Records, id: RunId, position: &Position) -> Result<(Value, Exit), Fault> {
    let Phase::Closed(ending) = &position.phase else {
        return Err(Fault::new(Code::UnknownRun, format!("{id} is not closed")));
    };
    let stop = recover_engine::Stop::Closed((**ending).clone());
    let (mut line, exit) = result::result(position, &stop, records.commits(id)?, None);
    result::explain(&mut line, &records.entries(id)?);
    Ok((line, exit))
}

fn evidence_of(entry: &recover_engine::Entry) -> Vec<String> {
    let told = |e: recover_engine::Evidence| {
        let file = e.file.map_or_else(String::new, |bytes| format!(", {bytes} bytes in evidence/"));
        let cut = e.cut.map_or_else(String::new, |bytes| format!(", the end of {bytes} bytes captured"));
        let text = e.text.unwrap_or_else(|| "(in evidence/)".to_owned()).trim_end().replace('\n', "\n          ");
        format!("        evidence {} ({}{file}{cut})\n          {text}", e.name, e.sha256)
    };
    crate::keeping::named(entry).into_iter().map(told).collect()
}
