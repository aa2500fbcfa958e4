//! What a person is asked, in full sentences, and what happens if nobody answers.

use recover_engine::{Choice, Question};

use super::case::Case;

pub(super) const APPROVE: &str = Choice::APPROVE;
pub(super) const DENY: &str = Choice::DENY;
pub(super) const RETRY: &str = "retry";

fn question(
    case: &Case,
    id: &'static str,
    text: String,
    choices: Vec<Choice>,
    routine: Option<&'static str>,
    otherwise: &str,
) -> Question {
    Question {
        id: id.into(),
        text,
        choices,
        routine: routine.map(Into::into),
        within_ms: case.params.answer_within_ms,
        otherwise: otherwise.to_owned(),
    }
}

const UNCHANGED: &str = "nothing has been changed, and the run gives up";
const GOES_BACK: &str = "the run puts the workload back as it was found and gives up";

fn otherwise(case: &Case) -> &'static str {
    if case.stopped { GOES_BACK } else { UNCHANGED }
}

/// The loss is proven, the original gone: may the identity be replaced?
pub(super) fn reprovision(case: &Case) -> Question {
    question(
        case,
        "reprovision",
        format!(
            "Identity {} is lost and its original storage was found nowhere. Replace it: stop the connector, revoke the stale \
             token, mint one single-use token, pair once?",
            case.epoch()
        ),
        vec![Choice::new(APPROVE, "replace the identity"), Choice::new(DENY, "leave everything as it is")],
        Some(APPROVE),
        UNCHANGED,
    )
}

/// An original was found that does not serve.
pub(super) fn dead(case: &Case, why: &str) -> Question {
    question(
        case,
        "original-unrecoverable",
        format!("The original storage was found but does not serve: {why}. Is it beyond repair?"),
        vec![
            Choice::new(APPROVE, "it is: replace the identity; the original is kept where it is"),
            Choice::new(DENY, "it is not: go back, a person will repair it"),
        ],
        None,
        otherwise(case),
    )
}

/// The durability of the storage cannot be told.
pub(super) fn durable(case: &Case, on: &str) -> Question {
    question(
        case,
        "storage-durable",
        format!("Whether the storage outlives a restart of workload and host cannot be told: {on}. Does it?"),
        vec![Choice::new(APPROVE, "it does: go on"), Choice::new(DENY, "it does not, or nobody knows: go back")],
        None,
        otherwise(case),
    )
}

/// Another identity is on the target.
pub(super) fn set_aside(case: &Case, serial: &str) -> Question {
    question(
        case,
        "set-aside",
        if serial.starts_with(case.epoch()) {
            // The very identity that is lost, with what makes it useless.
            format!(
                "The lost identity is on the connector's storage and is of no use: {serial}. Rename its directory aside?"
            )
        } else {
            format!(
                "Identity {serial} is on the connector's storage; the authority knows {} instead. Rename its directory aside?",
                case.epoch()
            )
        },
        vec![Choice::new(APPROVE, "rename it aside; nothing is deleted"), Choice::new(DENY, "leave it: go back")],
        None,
        otherwise(case),
    )
}

/// Past the point of no return something does not come right.
pub(super) fn stuck(case: &Case, why: &str) -> Question {
    let place = if case.reattached { "The original storage is reattached" } else { "The connector was paired" };
    question(
        case,
        "not-validated",
        format!("{place}, but {why}. Restart the connector and try again?"),
        vec![
            Choice::new(RETRY, "stop it, start it, and validate anew"),
            Choice::new(DENY, "leave it as it is and list what is left"),
        ],
        None,
        "the run gives up and lists what is left",
    )
}
