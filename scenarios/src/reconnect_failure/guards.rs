//! The rules of the runbook's second branch, as data.

use recover_engine::{Guard, Verdict};

/// The identity is there: nothing is minted or paired, and an outage gets one repair and one validation restart.
pub(super) fn guards() -> Vec<Guard> {
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect::<Vec<_>>();
    let never = |step: &str| Guard::Never { step: step.into() };
    let only_after = |step: &str, fact: &str, since: &[&str]| Guard::OnlyAfter {
        step: step.into(),
        facts: owned(&[fact]),
        since: owned(since),
    };
    vec![
        // By construction too: the step set has none of them.
        never("mint"),
        never("pair"),
        // Exactly one repair and one validation for each outage, across runs.
        Guard::Once { step: "repair".into() },
        Guard::Once { step: "restart".into() },
        // Not while the control plane cannot be reached, and not before it had the time to come back by itself.
        only_after("repair", "reach:reached", &["settle:elapsed"]),
        only_after("repair", "settle:elapsed", &[]),
        Guard::NeverAfter { step: "repair".into(), fact: "reach:unreachable".into() },
        Guard::NeverAfter { step: "repair".into(), fact: "observe:lost".into() },
        Guard::NeverAfter { step: "repair".into(), fact: "observe:never-paired".into() },
        Guard::NeverAfter { step: "repair".into(), fact: "observe:unclear".into() },
        // The validation restart follows a repair that brought it online.
        only_after("restart", "await-online:online", &["repair"]),
        Guard::Before { first: "restart".into(), then: "validate".into() },
        Guard::Verdict {
            verdict: Verdict::Recovered,
            fact: "validate:validated".into(),
            since: owned(&["restart", "repair"]),
        },
    ]
}
