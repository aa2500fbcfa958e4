//! The report of a run or of a bundle.

use std::io::Write as _;

use crate::args::{Global, ReportArgs};
use crate::bundle::Bundle;
use crate::fault::{Code, Exit, Fault};
use crate::place::Place;
use crate::printer::Printer;
use crate::records::Records;
use crate::report::{Material, Report, html, markdown};
use crate::store::{fold, parse_run};
use crate::verbs::export;
use crate::whole;

pub(super) fn report(global: &Global, words: &ReportArgs, printer: Printer) -> Result<Exit, Fault> {
    let report = if export::names_a_file(&words.run) {
        let (bundle, _) = Bundle::read(words.run.as_ref())?;
        Report::of(&Material { entries: &bundle.entries, folded: &bundle.folded, texts: &bundle.texts })
    } else {
        let records = Records::open(&Place::of(global)?.state)?;
        let entries = records.entries(parse_run(&words.run)?)?;
        let folded = fold(&entries)?;
        let texts = records.texts(&entries)?;
        Report::of(&Material { entries: &entries, folded: &folded, texts: &texts })
    };
    let page = if words.html { html(&report) } else { markdown(&report) };
    match &words.out {
        None => printer.data(page.trim_end()),
        Some(out) => {
            whole::write_new(out, |file| file.write_all(page.as_bytes())).map_err(|e| {
                Fault::caused(Code::BundleNotWritten, &format!("{} cannot be written", out.display()), &e)
            })?;
            printer.talk(&out.display().to_string());
        }
    }
    Ok(Exit::Done)
}
