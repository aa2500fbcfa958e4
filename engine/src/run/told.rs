//! Between records and inputs: what a record tells the machine.

use crate::effect::{Outcome, Reason, Told};
use crate::json::Json;
use crate::position::{Phase, Position};
use crate::record::{Record, Resolved, Resulted};
use crate::scenario::Input;

pub(super) fn plain(label: String, to: String) -> Resulted {
    Resulted { label, event: None, refused: None, probed: false, to, evidence: Vec::new() }
}

pub(super) fn open_step(position: &Position) -> &str {
    match &position.phase {
        Phase::Open(open) => &open.intent.step,
        Phase::Ready | Phase::Waiting { .. } | Phase::Asked { .. } | Phase::Closed(_) => "",
    }
}

/// What a record tells the machine, if anything.
#[must_use]
pub fn input_of(record: &Record) -> Option<Input<Told>> {
    let told = |label: &str, data: &Json| Told {
        ending: label.split_once(':').map_or(label, |(_, ending)| ending).to_owned(),
        data: data.clone(),
    };
    match record {
        Record::Outcome(Resulted { event: Some(data), label, .. })
        | Record::Resolved(Resolved { event: Some(data), label, .. }) => {
            Some(Input::Outcome(Outcome::Happened(told(label, data))))
        }
        Record::Outcome(Resulted { refused: Some(reason), .. }) => {
            Some(Input::Outcome(Outcome::Refused(reason.clone())))
        }
        Record::Outcome(_) => Some(Input::Expired),
        Record::Resolved(resolved) => {
            Some(Input::Outcome(Outcome::Refused(Reason::new(Reason::ABSENT, resolved.reason.clone()))))
        }
        Record::Answered(answered) | Record::Denied(answered) => {
            let choice = answered.label.split_once(':').map_or("", |(_, choice)| choice);
            Some(Input::Answer(choice.to_owned()))
        }
        Record::CancelRequested(_) => Some(Input::Cancel),
        Record::Begun(_)
        | Record::Intent(_)
        | Record::Attempt(_)
        | Record::Fenced(_)
        | Record::Waiting(_)
        | Record::Asked(_)
        | Record::Adopted(_)
        | Record::Closed(_)
        | Record::Salvaged(_)
        | Record::Cleared(_)
        | Record::Baselined(_)
        | Record::Dismissed(_) => None,
    }
}
