//! Rows of a report's tables, and rules in words.

use recover_engine::{Entry, Guard, Kind, Record, Redo};
use serde_json::Value;

use super::actor;
use crate::{clock, line};

pub(super) const FOUND: &[&str] = &["Step", "What", "As it was found"];
pub(super) const STEPS: &[&str] = &["#", "Step", "In state", "Attempts", "Took", "What came of it"];
pub(super) const ANSWERS: &[&str] = &["#", "Question", "Answer", "Why", "By"];
pub(super) const RECORDS: &[&str] = &["#", "When", "By", "What"];

/// Until the first step that changes something: what the steps before it saw.
pub(super) fn found(entries: &[Entry]) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut step = String::new();
    for entry in entries {
        match Record::parse(entry.header().kind, entry.payload()) {
            Ok(Record::Intent(intent)) if intent.redo == Redo::Pure => step = intent.step,
            Ok(Record::Intent(_)) => break,
            Ok(Record::Outcome(outcome)) => {
                let event: Value = outcome.event.map(|event| event.to().unwrap_or_default()).unwrap_or_default();
                for (what, value) in event.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null()) {
                    let value = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
                    rows.push(vec![step.clone(), what.replace('_', " "), value]);
                }
            }
            Ok(_) | Err(_) => {}
        }
    }
    rows
}

/// One step, from its intent to what came of it.
pub(super) fn steps(entries: &[Entry]) -> Vec<Vec<String>> {
    let mut rows: Vec<Vec<String>> = Vec::new();
    let mut open: Option<(i64, u32)> = None;
    for entry in entries {
        match Record::parse(entry.header().kind, entry.payload()) {
            Ok(Record::Intent(intent)) => {
                rows.push(vec![entry.header().seq.to_string(), intent.step, intent.state]);
                open = Some((entry.header().at.0, 1));
            }
            Ok(Record::Attempt(attempt)) => {
                if let Some((_, attempts)) = &mut open {
                    *attempts = attempt.attempt;
                }
            }
            Ok(Record::Outcome(outcome)) => {
                let probed = if outcome.probed { ", adopted: a probe found it done" } else { "" };
                let came = match outcome.refused {
                    Some(reason) => format!("not done: {}{probed}", reason.text),
                    None => format!("{}{probed}", ending_of(&outcome.label)),
                };
                settle(rows.last_mut(), open.take(), entry, came);
            }
            Ok(Record::Resolved(resolved)) => {
                let came = format!("{}, by a person's word", ending_of(&resolved.label));
                settle(rows.last_mut(), open.take(), entry, came);
            }
            Ok(_) | Err(_) => {}
        }
    }
    if open.is_some()
        && let Some(row) = rows.last_mut()
    {
        row.extend(["".into(), "".into(), "open".into()]);
    }
    rows
}

fn settle(row: Option<&mut Vec<String>>, open: Option<(i64, u32)>, entry: &Entry, came: String) {
    if let (Some((since, attempts)), Some(row)) = (open, row) {
        row.extend([attempts.to_string(), clock::span(entry.header().at.0 - since), came]);
    }
}

fn ending_of(label: &str) -> &str {
    label.split_once(':').map_or(label, |(_, ending)| ending)
}

/// Questions with the answers that they got.
pub(super) fn answers(entries: &[Entry]) -> Vec<Vec<String>> {
    let asked = |seq: u32| {
        let entry = entries.iter().find(|entry| entry.header().seq == seq)?;
        match Record::parse(entry.header().kind, entry.payload()) {
            Ok(Record::Asked(asked)) => Some(asked.question.text),
            Ok(_) | Err(_) => None,
        }
    };
    let answered = |entry: &Entry| match Record::parse(entry.header().kind, entry.payload()) {
        Ok(Record::Answered(answer) | Record::Denied(answer)) => Some(vec![
            entry.header().seq.to_string(),
            asked(answer.question).unwrap_or_default(),
            ending_of(&answer.label).to_owned(),
            answer.reason,
            actor(entry),
        ]),
        Ok(Record::Resolved(resolved)) => Some(vec![
            entry.header().seq.to_string(),
            format!("What came of {}?", resolved.step),
            ending_of(&resolved.label).to_owned(),
            resolved.reason,
            actor(entry),
        ]),
        Ok(_) | Err(_) => None,
    };
    entries.iter().filter_map(answered).collect()
}

/// Every record in a sentence.
pub(super) fn records(entries: &[Entry]) -> Vec<Vec<String>> {
    let row = |entry: &Entry| {
        let header = entry.header();
        // Without time and number, which have columns of their own.
        let sentence = line::sentence(entry);
        let what = sentence.splitn(3, "  ").last().unwrap_or_default().trim_start();
        let what = what.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start();
        vec![header.seq.to_string(), clock::rfc3339(header.at), actor(entry), what.to_owned()]
    };
    entries.iter().map(row).collect()
}

/// Whoever acted, each once, with what made them appear first.
pub(super) fn people(entries: &[Entry]) -> Vec<String> {
    let mut people: Vec<String> = Vec::new();
    for entry in entries.iter().filter(|entry| entry.header().kind != Kind::Salvaged) {
        let who = actor(entry);
        if !people.contains(&who) {
            people.push(who);
        }
    }
    people
}

/// A rule in a sentence.
pub(crate) fn guard(guard: &Guard) -> String {
    let after = |since: &[String]| {
        if since.is_empty() { String::new() } else { format!(", and that after the last of: {}", since.join(", ")) }
    };
    match guard {
        Guard::Once { step } => format!("{step}: at most once for this subject and loss, across runs"),
        Guard::AtMost { step, count } => format!("{step}: at most {count} times in this run"),
        Guard::Before { first, then } => format!("{then}: only once {first} has happened"),
        Guard::OnlyAfter { step, facts, since } => {
            format!("{step}: only if one of {} holds{}", facts.join(", "), after(since))
        }
        Guard::NeverAfter { step, fact } => format!("{step}: never once {fact} is known"),
        Guard::Never { step } => format!("{step}: never"),
        Guard::Settled { step, by } => {
            format!("{step}: again only once the one before is settled by {}", by.join(" or "))
        }
        Guard::Verdict { verdict, fact, since } => {
            format!("the verdict {}: only if {fact} holds{}", verdict.as_str(), after(since))
        }
    }
}
