//! What a person is asked, in full sentences, and what happens if nobody answers.

use recover_engine::{Choice, Question};

use super::case::{Case, Cause};

pub(super) const APPROVE: &str = Choice::APPROVE;
pub(super) const DENY: &str = Choice::DENY;
const UNCHANGED: &str = "nothing has been changed, and the run gives up";

/// May it be enrolled? What is asked depends on what keeps it from pairing.
pub(super) fn cause(case: &Case) -> Question {
    let why = &case.found.why;
    let (id, text, yes, routine) = match case.cause {
        Cause::Expired => (
            "fresh-token",
            format!("The connector never paired: {why}. Stop it, mint one fresh single-use token and pair once?"),
            "mint a fresh token and pair once",
            true,
        ),
        Cause::Untrusted => (
            "fresh-token",
            format!(
                "The connector does not trust the control plane: {why}. Stop it, install the CA bundle with the configured \
                 fingerprints, mint one fresh single-use token and pair once?"
            ),
            "install the pinned bundle, mint a fresh token and pair once",
            true,
        ),
        Cause::Revoked => (
            "token-revoked",
            format!(
                "Somebody revoked the connector's token ({why}). That may have been meant, as an act of security. Do you know \
                 who did it and why, and may the connector be enrolled?"
            ),
            "it is known, and it may: mint a fresh token and pair once",
            false,
        ),
        Cause::Denied => (
            "request-refused",
            format!(
                "The connector presented its token and its request for a certificate was refused ({why}). The token is used up. \
                 Is what was refused mended: the clock, the name, the policy?"
            ),
            "it is mended: mint a fresh token and pair once",
            false,
        ),
        Cause::Outstanding => (
            "token-outstanding",
            format!(
                "A token of the connector would still work and nobody presented it ({why}). Somebody may be about to. Revoke it \
                 and mint another in its place?"
            ),
            "nobody is: revoke it, mint a fresh one and pair once",
            false,
        ),
    };
    Question {
        id: id.into(),
        text,
        choices: vec![Choice::new(APPROVE, yes), Choice::new(DENY, "leave everything as it is")],
        routine: routine.then(|| APPROVE.into()),
        within_ms: case.params.answer_within_ms,
        otherwise: UNCHANGED.to_owned(),
    }
}

/// The durability of the storage cannot be told.
pub(super) fn durable(case: &Case, on: &str) -> Question {
    Question {
        id: "storage-durable".into(),
        text: format!("Whether the storage outlives a restart of workload and host cannot be told: {on}. Does it?"),
        choices: vec![
            Choice::new(APPROVE, "it does: go on"),
            Choice::new(DENY, "it does not, or nobody knows: leave everything as it is"),
        ],
        routine: None,
        within_ms: case.params.answer_within_ms,
        otherwise: UNCHANGED.to_owned(),
    }
}
