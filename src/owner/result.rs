//! How a run stopped, as the line that machines read last and the exit code.

use recover_engine::{Choice, Ending, Entry, Kind, Position, Receipt, Record, Stop, Verdict};
use serde_json::{Value, json};

use crate::clock;
use crate::fault::{Code, Exit};

/// The exit code of an ending.
pub(crate) fn exit_of(ending: &Ending) -> Exit {
    match ending.verdict {
        Verdict::Recovered => Exit::Done,
        Verdict::NotApplicable => Exit::NotApplicable,
        Verdict::GuardRefused => Exit::GuardRefused,
        Verdict::GivenUp | Verdict::Cancelled | Verdict::Abandoned if ending.residue.is_empty() => Exit::AsFound,
        Verdict::GivenUp | Verdict::Cancelled | Verdict::Abandoned => Exit::Residue,
    }
}

/// The result line of a run that stopped, and its exit code. How many commits it took is known where its journal is.
pub(crate) fn result(
    position: &Position,
    stop: &Stop,
    commits: impl Into<Option<u32>>,
    head: Option<Receipt>,
) -> (Value, Exit) {
    let begun = &position.charter.begun;
    let mut line = json!({
        "schema": "recover.result/v1",
        "run": position.run.to_string(),
        "scenario": begun.scenario,
        "target": begun.target,
        "state": position.state,
        "steps": position.steps,
        "elapsed_ms": position.at.0 - position.begun_at.0,
        "residue": [],
    });
    if let Some(commits) = commits.into() {
        line["commits"] = json!(commits);
    }
    if let Some(receipt) = head {
        line["head"] = json!(format!("{}:{}", receipt.frame, receipt.head));
    }
    let (verdict, exit) = match stop {
        Stop::Closed(ending) => {
            line["reason"] = json!(ending.reason);
            line["residue"] = json!(ending.residue);
            if let Some(workload) = &ending.workload {
                line["workload"] = json!(workload);
            }
            if let Some(suggested) = &ending.suggested {
                line["suggested_scenario"] = json!(suggested);
            }
            (ending.verdict.as_str(), exit_of(ending))
        }
        Stop::InDoubt { step, why } => {
            line["reason"] = json!(why);
            line["step"] = json!(step);
            line["code"] = json!(Code::InDoubt.as_str());
            line["next"] =
                json!(format!("recover resolve {} --step {step} --happened|--absent --reason '…'", position.run));
            ("in-doubt", Exit::PersonNeeded)
        }
        Stop::Asked { seq, question, deadline } => {
            line["reason"] = json!(question.text);
            line["code"] = json!(Code::PersonNeeded.as_str());
            line["question"] = json!({
                "id": format!("q{seq}"), "name": question.id, "text": question.text, "choices": question.choices,
                "otherwise": question.otherwise,
            });
            line["deadline"] = json!(clock::rfc3339(*deadline));
            let choice = match question.choices.first() {
                Some(first) if first.id != Choice::APPROVE => format!(" --choice {}", first.id),
                Some(_) | None => String::new(),
            };
            line["next"] = json!(format!("recover approve {} --question q{seq}{choice} --reason '…'", position.run));
            ("operator-needed", Exit::PersonNeeded)
        }
        Stop::Interrupted => {
            line["reason"] = json!("it was told to stop at a boundary");
            line["code"] = json!(Code::Interrupted.as_str());
            line["next"] = json!(format!("recover resume {}", position.run));
            ("interrupted", Exit::Interrupted)
        }
    };
    line["verdict"] = json!(verdict);
    line["exit"] = json!(exit as u8);
    (line, exit)
}

/// Adds whether a cancel is confirmed (it ended so, and everything is as it was found), and the stable code of what a run gave up over,
/// where it has one of its own.
pub(crate) fn explain(line: &mut Value, entries: &[Entry]) {
    if entries.iter().any(|entry| entry.header().kind == Kind::CancelRequested) {
        let residue = line["residue"].as_array().is_some_and(|residue| !residue.is_empty());
        let confirmed = line["verdict"] == Verdict::Cancelled.as_str() && !residue;
        line["cancel"] = json!(if confirmed { "confirmed" } else { "unconfirmed" });
    }
    if !matches!(line["verdict"].as_str(), Some("given-up" | "cancelled")) {
        return;
    }
    let refused =
        entries.iter().rev().filter(|entry| entry.header().kind == Kind::Outcome).find_map(
            |entry| match Record::parse(entry.header().kind, entry.payload()) {
                Ok(Record::Outcome(outcome)) => outcome.refused,
                Ok(_) | Err(_) => None,
            },
        );
    if refused.is_some_and(|reason| reason.code == recover_adapters::code::CERTIFICATE) {
        line["code"] = json!(Code::Untrusted.as_str());
    }
}

/// The result for a person.
pub(crate) fn text(line: &Value) -> String {
    let get = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    let mut out = format!("{}: {}", get("verdict"), get("reason"));
    for residue in line["residue"].as_array().into_iter().flatten() {
        out.push_str(&format!("\n  left behind: {}", residue.as_str().unwrap_or_default()));
    }
    match line["cancel"].as_str() {
        Some("confirmed") => out.push_str("\n  cancel confirmed: the run has ended, and everything is as it was found"),
        Some(_) => out.push_str("\n  cancel unconfirmed: the run has not ended, or not everything is as it was found"),
        None => {}
    }
    if let Some(workload) = line.get("workload") {
        let word = |key: &str| workload[key].as_str().unwrap_or_default();
        out.push_str(&format!("\n  workload: found {}, left {}", word("found"), word("left")));
    }
    if let Some(code) = line.get("code").and_then(Value::as_str) {
        out.push_str(&format!("\n  error[{code}]: recover explain {code}"));
    }
    if let Some(scenario) = line.get("suggested_scenario").and_then(Value::as_str) {
        out.push_str(&format!("\n  this is a case for: --scenario {scenario}"));
    }
    if let Some(question) = line.get("question") {
        for choice in question["choices"].as_array().into_iter().flatten() {
            let word = |key: &str| choice[key].as_str().unwrap_or_default();
            out.push_str(&format!("\n  {}: {}", word("id"), word("text")));
        }
        let otherwise = question["otherwise"].as_str().unwrap_or_default();
        out.push_str(&format!("\n  nobody answers until {}: {otherwise}", get("deadline")));
    }
    if let Some(next) = line.get("next").and_then(Value::as_str) {
        out.push_str(&format!("\n  next: {next}"));
    }
    if let Some(head) = line.get("head").and_then(Value::as_str) {
        out.push_str(&format!("\n  head of the log: {head}"));
    }
    out.push_str(&format!(
        "\n  {} steps, {} commits, {}: {}",
        line["steps"],
        line["commits"],
        clock::span(line["elapsed_ms"].as_i64().unwrap_or(-1)),
        get("run")
    ));
    out
}
