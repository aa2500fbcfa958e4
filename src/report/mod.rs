//! The report of a run: what was wrong, what was done, by whom, how long it took, what a person answered, what is left, and what
//! proves it. A document of a few kinds of block, made from the records alone; `markdown` and `html` write it down.

mod chart;
mod handoff;
mod html;
mod markdown;
pub(crate) mod told;

use std::collections::BTreeMap;

use recover_engine::{Digest, Ending, Entry, Graph, Phase, Record};
use serde::Serialize;
use serde_json::Value;

use crate::clock;
use crate::store::Folded;

pub(crate) use chart::Chart;
pub(crate) use handoff::handoff;
pub(crate) use html::html;
pub(crate) use markdown::markdown;

/// A part of a report. Every text in it may be from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Block {
    /// The heading of a section.
    Heading(String),
    Text(String),
    /// Names and values.
    Facts(Vec<(&'static str, String)>),
    /// What it shows, the columns, the rows.
    Table(&'static str, &'static [&'static str], Vec<Vec<String>>),
    List(Vec<String>),
    /// A captured text with what it is.
    Captured(String, String),
    /// The states that were passed through.
    Path(Vec<Hop>),
    /// The whole graph with them in it.
    Chart(Chart),
}

/// A state that was passed through, and the input that led to it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Hop {
    by: String,
    state: String,
    /// Whether the point of no return lies behind it.
    committed: bool,
}

/// The report of one run.
pub(crate) struct Report {
    title: String,
    blocks: Vec<Block>,
}

/// What the report is made from.
pub(crate) struct Material<'a> {
    pub(crate) entries: &'a [Entry],
    pub(crate) folded: &'a Folded,
    /// The captured texts that are too long for a record.
    pub(crate) texts: &'a [String],
}

impl Report {
    pub(crate) fn of(material: &Material<'_>) -> Self {
        let position = &material.folded.position;
        let begun = &position.charter.begun;
        let ending = match &position.phase {
            Phase::Closed(ending) => Some(&**ending),
            Phase::Ready | Phase::Open(_) | Phase::Waiting { .. } | Phase::Asked { .. } => None,
        };
        let verdict = ending.map_or("still open", |ending| ending.verdict.as_str());
        let mut blocks = vec![Block::Facts(facts(material, ending))];
        let mut section = |heading: &str, found: Vec<Block>| {
            if !found.is_empty() {
                blocks.push(Block::Heading(heading.to_owned()));
                blocks.extend(found);
            }
        };
        if let Some(ending) = ending {
            section("How it ended", how_it_ended(ending));
        }
        section("What was found", some(Block::Table("findings", told::FOUND, told::found(material.entries))));
        let steps = told::steps(material.entries);
        section("What was done", some(Block::Table("steps", told::STEPS, steps)));
        section(
            "What a person answered",
            some(Block::Table("answers", told::ANSWERS, told::answers(material.entries))),
        );
        let hops = way(material.entries, &position.charter.graph);
        let chart = Chart::of(&position.charter.graph, &hops);
        section("The way through the procedure", vec![Block::Path(hops), Block::Chart(chart)]);
        section("Rules that held", some(Block::List(position.charter.guards.iter().map(told::guard).collect())));
        section("Evidence", captured(material));
        section("Every record", some(Block::Table("records", told::RECORDS, told::records(material.entries))));
        Self { title: format!("{} on {}: {verdict}", begun.scenario, begun.target), blocks }
    }
}

/// Nothing, where there is nothing in it.
fn some(block: Block) -> Vec<Block> {
    let empty = match &block {
        Block::Table(_, _, rows) => rows.is_empty(),
        Block::List(lines) => lines.is_empty(),
        Block::Heading(_)
        | Block::Text(_)
        | Block::Facts(_)
        | Block::Captured(..)
        | Block::Path(_)
        | Block::Chart(_) => false,
    };
    if empty { Vec::new() } else { vec![block] }
}

fn facts(material: &Material<'_>, ending: Option<&Ending>) -> Vec<(&'static str, String)> {
    let position = &material.folded.position;
    let begun = &position.charter.begun;
    let mut facts = vec![
        ("Run", position.run.to_string()),
        ("Procedure", format!("{}, version {}", begun.scenario, begun.version)),
        ("Target", format!("{} ({})", begun.target, begun.subject)),
        ("Begun", clock::rfc3339(position.begun_at)),
        ("Last record", clock::rfc3339(position.at)),
        ("Took", clock::span(position.at.0 - position.begun_at.0)),
        ("By", told::people(material.entries).join("; ")),
    ];
    facts.extend(begun.alert.clone().map(|alert| ("Alert", alert)));
    facts.extend(begun.plan.map(|plan| ("Plan", plan.to_string())));
    facts.extend(begun.ticket.clone().map(|ticket| ("Ticket", ticket)));
    facts.extend(begun.despite.clone().map(|why| ("Begun although a brake held it", why)));
    if let Some(workload) = ending.and_then(|ending| ending.workload.as_ref()) {
        facts.push(("Workload", format!("found {}, left {}", workload.found, workload.left)));
    }
    facts.extend([
        ("Records", material.entries.len().to_string()),
        ("Hash of the last record", position.head.to_string()),
        ("Digest of graph and rules", begun.digest.to_string()),
        ("Checked", format!("every hash, transition and rule holds; {}", material.folded.machine.as_str())),
    ]);
    facts
}

fn how_it_ended(ending: &Ending) -> Vec<Block> {
    let mut blocks = vec![Block::Text(format!("{}: {}.", ending.verdict.as_str(), ending.reason))];
    if let Some(suggested) = &ending.suggested {
        blocks.push(Block::Text(format!("The procedure for this is {suggested}.")));
    }
    if ending.residue.is_empty() {
        blocks.push(Block::Text("Nothing is left that was changed and not put back.".to_owned()));
    } else {
        blocks.push(Block::Text("Changed, and not put back:".to_owned()));
        blocks.push(Block::List(ending.residue.clone()));
    }
    blocks
}

/// The states that a run passed through.
pub(crate) fn way(entries: &[Entry], graph: &Graph) -> Vec<Hop> {
    let hop = |by: &str, state: &str| {
        let committed = graph.node(state).is_some_and(|node| node.committed);
        Hop { by: by.to_owned(), state: state.to_owned(), committed }
    };
    let mut hops = vec![hop("begun", &graph.initial)];
    for entry in entries {
        match Record::parse(entry.header().kind, entry.payload()) {
            Ok(Record::Outcome(outcome)) => hops.push(hop(&outcome.label, &outcome.to)),
            Ok(Record::Answered(answer) | Record::Denied(answer)) => hops.push(hop(&answer.label, &answer.to)),
            Ok(Record::Resolved(resolved)) => hops.push(hop(&resolved.label, &resolved.to)),
            Ok(Record::CancelRequested(cancel)) => hops.push(hop("cancel", &cancel.to)),
            Ok(_) | Err(_) => {}
        }
    }
    hops
}

/// Every captured text, whole where it is at hand.
fn captured(material: &Material<'_>) -> Vec<Block> {
    let long: BTreeMap<Digest, &String> =
        material.texts.iter().map(|text| (Digest::of(text.as_bytes()), text)).collect();
    let mut blocks = Vec::new();
    for entry in material.entries {
        let seq = entry.header().seq;
        for evidence in crate::keeping::named(entry) {
            let text = long.get(&evidence.sha256).map(|text| (*text).clone()).or(evidence.text).unwrap_or_default();
            let cut = evidence.cut.map(|whole| format!(", the end of {whole} bytes")).unwrap_or_default();
            let caption = format!(
                "{} (record {seq}, {}{cut}), sha256 {}",
                evidence.name,
                clock::rfc3339(entry.header().at),
                evidence.sha256
            );
            blocks.push(Block::Captured(caption, text));
        }
    }
    blocks
}

/// Who made a record, in short. Who was heard by a page or an alert is told by that: the user is the owner's.
fn actor(entry: &Entry) -> String {
    let actor: Value = serde_json::from_str(entry.actor()).unwrap_or_default();
    let host = actor["host"].as_str().unwrap_or("?");
    if let Some(via) = actor["via"].as_str() {
        let name = actor["certificate"].as_str().map(|name| format!("{name}: ")).unwrap_or_default();
        return format!("{name}{via}, at {host}");
    }
    match (actor["uid"].as_u64(), actor["login_uid"].as_u64()) {
        (Some(uid), Some(login)) if uid != login => format!("uid {uid} (logged in as {login}) at {host}"),
        (Some(uid), _) => format!("uid {uid} at {host}"),
        (None, _) => host.to_owned(),
    }
}

#[cfg(test)]
mod tests;
