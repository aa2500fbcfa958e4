//! `recover verify RUN --against FILE…`: the run and the other side's own account of it.

use serde_json::json;

use crate::against::{Compared, Meant, against};
use crate::args::{AgainstArgs, Global};
use crate::bundle::Bundle;
use crate::fault::{Code, Exit, Fault};
use crate::place::Place;
use crate::printer::Printer;
use crate::records::Records;
use crate::store::{begun_of, fold, parse_run};
use crate::verbs::export;

pub(super) fn verify(global: &Global, run: Option<&str>, words: AgainstArgs, printer: Printer) -> Result<Exit, Fault> {
    let AgainstArgs { against: files, actor: actors, path: paths, acts: steps } = words;
    let run = run.ok_or_else(|| Fault::new(Code::Usage, "--against needs a run: recover verify RUN --against FILE"))?;
    let (id, entries) = if export::names_a_file(run) {
        let (bundle, _) = Bundle::read(run.as_ref())?;
        (bundle.run, bundle.entries)
    } else {
        let id = parse_run(run)?;
        let entries = Records::open(&Place::of(global)?.state)?.entries(id)?;
        // What does not hold by itself is compared with nothing.
        fold(&entries)?;
        (id, entries)
    };
    let compared = against(&begun_of(&entries)?, &entries, &files, &Meant { actors, paths, steps })?;
    let exit = if compared.holds() { Exit::Done } else { Code::Disagrees.exit() };
    let value = json!({
        "schema": "recover.verify-against/v1", "run": id.to_string(), "ok": compared.holds(), "compared": compared,
        "files": files, "code": (!compared.holds()).then_some(Code::Disagrees.as_str()), "exit": exit as u8,
    });
    printer.show(&value, || text(&compared, &id.to_string()));
    if !compared.holds() {
        printer.talk(&Fault::new(Code::Disagrees, "the run and the other side's log do not agree").text());
    }
    Ok(exit)
}

fn text(compared: &Compared, run: &str) -> String {
    let lists = [
        ("no record ", &compared.effects_without_record),
        ("no effect ", &compared.records_without_effect),
        ("unsettled ", &compared.unsettled),
        ("explained ", &compared.explained),
    ];
    let said = lists.iter().flat_map(|(head, lines)| lines.iter().map(move |line| format!("{head} {line}")));
    let mut lines: Vec<String> = said.collect();
    let verdict = if compared.holds() { "both sides agree" } else { "the two sides do not agree" };
    lines.push(format!(
        "{verdict}: {} effects are as recorded, {} are not of this run: {run}",
        compared.agreed, compared.beside
    ));
    lines.join("\n")
}
