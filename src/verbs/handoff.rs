//! `recover handoff`: what is left of a run, for a person.

use std::io::Write as _;

use crate::args::{Global, HandoffArgs};
use crate::fault::{Code, Exit, Fault};
use crate::handoff::Handoff;
use crate::place::Place;
use crate::printer::Printer;
use crate::records::Records;
use crate::report::{self, markdown};
use crate::store::{fold, parse_run};
use crate::verbs::act;
use crate::{line, whole};

pub(super) fn handoff(global: &Global, words: &HandoffArgs, printer: Printer) -> Result<Exit, Fault> {
    let place = Place::of(global)?;
    let records = Records::open(&place.state)?;
    let id = parse_run(&words.run)?;
    let folded = fold(&records.entries(id)?)?;
    let (_, target) = act::reach(&place, &folded.position.charter.begun.target)?;
    let handed = Handoff::of(&folded, &target, &place.state, records.owner_lives());
    let text = if printer.json() {
        serde_json::to_string(&handed).map_err(|e| Fault::caused(Code::Bug, "the handoff", &e))?
    } else if words.markdown {
        markdown(&report::handoff(&handed))
    } else {
        line::plain(&handed.text())
    };
    // Nothing in it should be one: whatever a person wrote may be.
    let text = target.world()?.without_secrets(Some(id), &text);
    match &words.out {
        None => printer.data(text.trim_end()),
        Some(out) => {
            whole::write_new(out, |file| writeln!(file, "{}", text.trim_end())).map_err(|e| whole::fault(out, &e))?;
            printer.talk(&out.display().to_string());
        }
    }
    Ok(Exit::Done)
}
