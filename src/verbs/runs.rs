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
use crate::store::{Records, parse_run};

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

fn status_line(position: &Position, live: bool) -> (Value, String) {
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
    let text = format!(
        "{word:<15} {:<16} {:<12} {:<22} {}  {}",
        begun.scenario, begun.target, position.state, why, position.run
    );
    (value, text)
}

pub(super) fn status(global: &Global, run: Option<&str>, printer: Printer) -> Result<Exit, Fault> {
    let records = records(global)?;
    let live = records.owner_lives();
    let ids = match run {
        Some(run) => vec![parse_run(run)?],
        None => records.open_runs()?,
    };
    if ids.is_empty() {
        printer.talk("nothing is open");
    }
    for id in ids {
        match records.position(id) {
            Ok(position) => {
                let (value, text) = status_line(&position, live);
                printer.show(&value, || text);
            }
            // A run that cannot be read does not hide the others.
            Err(fault) if run.is_none() => crate::say(&fault, printer),
            Err(fault) => return Err(fault),
        }
    }
    Ok(Exit::Done)
}

pub(super) fn list(global: &Global, state: Option<&str>, printer: Printer) -> Result<Exit, Fault> {
    let records = records(global)?;
    for run in records.runs()? {
        let word = if run.open { "open" } else { "closed" };
        if state.is_some_and(|wanted| wanted != word) {
            continue;
        }
        let value = json!({
            "schema": "recover.run/v1", "run": run.id.to_string(), "state": word,
            "begun": clock::rfc3339(run.id.begun_at()), "records": run.records,
        });
        printer.show(&value, || {
            format!("{word:<7} {}  {:>5} records  {}", clock::rfc3339(run.id.begun_at()), run.records, run.id)
        });
    }
    Ok(Exit::Done)
}

pub(super) fn events(global: &Global, run: Option<&str>, printer: Printer) -> Result<Exit, Fault> {
    let records = records(global)?;
    let ids = match run {
        Some(run) => vec![parse_run(run)?],
        None => records.runs()?.into_iter().map(|run| run.id).collect(),
    };
    for id in ids {
        for entry in records.entries(id)? {
            printer.show(&line::event(&entry), || line::sentence(&entry));
        }
    }
    Ok(Exit::Done)
}

pub(super) fn watch(global: &Global, run: Option<&str>, printer: Printer) -> Result<Exit, Fault> {
    const LOOK: Duration = Duration::from_millis(200);
    let records = records(global)?;
    let wanted = run.map(parse_run).transpose()?;
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
    Ok(result::result(position, &stop, records.commits(id)?, None))
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
