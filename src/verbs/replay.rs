//! Replay and verify: the records of a run folded again, against the graph and guards that the run itself carries.

use recover_engine::{Entry, Phase, RunId, Stop};
use serde_json::json;

use crate::args::{Global, ReplayArgs};
use crate::bundle::Bundle;
use crate::fault::{Code, Exit, Fault};
use crate::line;
use crate::owner::result;
use crate::place::Place;
use crate::printer::Printer;
use crate::records::Records;
use crate::store::{Folded, parse_run};
use crate::verbs::{export, killed};

pub(super) fn replay(global: &Global, words: &ReplayArgs, printer: Printer) -> Result<Exit, Fault> {
    let run = words.run.as_str();
    let in_part = |entries: &[Entry]| killed::told(entries, words.until, words.step, printer);
    if export::names_a_file(run) {
        let (bundle, _) = Bundle::read(run.as_ref())?;
        if words.step || words.until.is_some() {
            return in_part(&bundle.entries);
        }
        return told(bundle.run, &bundle.entries, &bundle.folded, None, printer);
    }
    let records = Records::open(&Place::of(global)?.state)?;
    let id = parse_run(run)?;
    let entries = records.entries(id)?;
    if words.step || words.until.is_some() {
        return in_part(&entries);
    }
    let replayed = crate::store::fold(&entries)?;
    for wrong in records.wrong_files(&entries) {
        printer.talk(&format!("{wrong}; the replay needs no file"));
    }
    told(id, &entries, &replayed, Some(records.commits(id)?), printer)
}

/// Shows a run that was folded: what happened, how it ended, and what holds.
fn told(
    id: RunId,
    entries: &[Entry],
    replayed: &Folded,
    commits: Option<u32>,
    printer: Printer,
) -> Result<Exit, Fault> {
    for entry in entries {
        printer.show(&line::event(entry), || line::sentence(entry));
    }
    let position = &replayed.position;
    if let Phase::Closed(ending) = &position.phase {
        let stop = Stop::Closed((**ending).clone());
        let (mut value, _) = result::result(position, &stop, commits, None);
        result::explain(&mut value, entries);
        printer.show(&value, || result::text(&value));
    }
    let value = json!({
        "schema": "recover.replay/v1", "run": id.to_string(), "records": entries.len(), "state": position.state,
        "closed": matches!(position.phase, Phase::Closed(_)), "digest": position.charter.begun.digest.to_string(),
        "guards": position.charter.guards.len(), "machine": replayed.machine.as_str(), "head": position.head.to_string(),
    });
    printer.show(&value, || {
        format!(
            "replayed {} records: every hash, transition and guard ({}) holds; {}",
            entries.len(),
            position.charter.guards.len(),
            replayed.machine.as_str()
        )
    });
    Ok(Exit::Done)
}

pub(super) fn verify(
    global: &Global,
    run: Option<&str>,
    all: bool,
    expect: Option<&str>,
    printer: Printer,
) -> Result<Exit, Fault> {
    let records = Records::open(&Place::of(global)?.state)?;
    if run.is_none() && !all && expect.is_none() {
        return Err(Fault::new(Code::Usage, "what is to be verified? name a run, or use --all or --expect"));
    }
    let mut exit = Exit::Done;
    if let Some(head) = expect {
        records.contains_head(head)?;
    }
    if all {
        exit = super::journal::verify_log(&records, printer)?;
    }
    let ids: Vec<RunId> = match run {
        Some(run) => vec![parse_run(run)?],
        None if all => records.runs()?.into_iter().map(|run| run.id).collect(),
        None => Vec::new(),
    };
    let many = ids.len() > 1;
    let mut good = 0_usize;
    for id in ids {
        let checked = records.entries(id).and_then(|entries| {
            crate::store::fold(&entries)?;
            match records.wrong_files(&entries).as_slice() {
                [] => Ok(()),
                wrong => Err(Fault::new(Code::Damaged, format!("{id}: {}", wrong.join("; ")))),
            }
        });
        match checked {
            Ok(()) => {
                good += 1;
                if !many || printer.json() {
                    let value = json!({ "schema": "recover.verify/v1", "run": id.to_string(), "ok": true });
                    printer.show(&value, || format!("verified: hashes, transitions and guards hold: {id}"));
                }
            }
            Err(fault) => {
                exit = fault.code.exit();
                if !many {
                    return Err(fault);
                }
                crate::say(&fault, printer);
            }
        }
    }
    if many && !printer.json() {
        printer.data(&format!("verified: {good} runs"));
    }
    Ok(exit)
}
