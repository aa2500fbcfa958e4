//! `recover journal …`: the log itself.

use serde_json::{Value, json};

use crate::actor::Actor;
use crate::args::{Global, JournalCommand};
use crate::clock;
use crate::fault::{Exit, Fault};
use crate::line;
use crate::place::Place;
use crate::printer::Printer;
use crate::records::Records;
use crate::store;

pub(super) fn run(global: &Global, command: JournalCommand, printer: Printer) -> Result<Exit, Fault> {
    let state = Place::of(global)?.state;
    match command {
        JournalCommand::Verify => verify_log(&Records::open(&state)?, printer),
        JournalCommand::Notes => {
            for entry in Records::open(&state)?.own()? {
                let mut value = line::event(&entry);
                let of = |text: &str| serde_json::from_str::<Value>(text).unwrap_or_default();
                // Here it is all that is told of it, so it is told whole.
                let (payload, actor) = (of(entry.payload()), of(entry.actor()));
                value["data"] = payload.get("data").cloned().unwrap_or_else(|| payload.clone());
                value["actor"] = actor;
                printer.show(&value, || line::sentence(&entry));
            }
            Ok(Exit::Done)
        }
        JournalCommand::Stats => {
            let value = Records::open(&state)?.stats()?;
            printer.show(&value, || serde_json::to_string_pretty(&value).unwrap_or_default());
            Ok(Exit::Done)
        }
        JournalCommand::Salvage { reason } => {
            let value = store::salvage(&state, &reason, &Actor::here().json(), clock::now())?;
            printer.show(&value, || {
                let blocked = value["blocked"].as_array().map_or(0, Vec::len);
                format!(
                    "salvaged: {blocked} subjects are blocked until `recover journal clear KEY --reason …` answers for them\n{}",
                    serde_json::to_string_pretty(&value).unwrap_or_default()
                )
            });
            Ok(Exit::Done)
        }
        JournalCommand::Adopt { reason } => {
            store::adopt(&state, &reason, &Actor::here().json(), clock::now())?;
            printer.data("adopted: this machine may act on the state directory from now on");
            Ok(Exit::Done)
        }
        JournalCommand::Clear { subject, reason } => {
            store::clear(&state, &subject, &reason, &Actor::here().json(), clock::now())?;
            printer.data("cleared: runs may claim the subject again");
            Ok(Exit::Done)
        }
    }
}

/// Checks the log and prints what was found; damage is exit 7.
pub(super) fn verify_log(records: &Records, printer: Printer) -> Result<Exit, Fault> {
    let report = records.verify_log()?;
    let damage = report["damage"].as_array().map_or(0, Vec::len);
    let value = json!({ "schema": "recover.journal/v1", "report": report });
    printer.show(&value, || {
        let mut text = format!(
            "log: {} frames, {} records, head {}{}",
            report["frames"],
            report["records"],
            report["head"].as_str().unwrap_or_default(),
            if report["torn_tail"] == true { ", a torn tail that was never acknowledged" } else { "" }
        );
        for place in report["damage"].as_array().into_iter().flatten() {
            text.push_str(&format!("\ndamage: {}", place.as_str().unwrap_or_default()));
        }
        text
    });
    Ok(if damage == 0 { Exit::Done } else { Exit::Damaged })
}
