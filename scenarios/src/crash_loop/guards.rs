//! The rules for a workload that ends again and again, as data.

use recover_engine::{Guard, Verdict};

/// The log first, the storage before any retry, one retry, and nothing that touches a credential.
pub(super) fn guards() -> Vec<Guard> {
    let only_after = |step: &str, facts: &[&str], since: &[&str]| {
        let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
        Guard::OnlyAfter { step: step.into(), facts: owned(facts), since: owned(since) }
    };
    let never = |step: &str| Guard::Never { step: step.into() };
    let never_after = |fact: &str| Guard::NeverAfter { step: "start".into(), fact: fact.into() };
    vec![
        // By construction too: the step set has none of them.
        never("mint"),
        never("pair"),
        // The log of the lives that ended is captured before anything is touched.
        only_after("stop", &["watch-loop:looping"], &[]),
        // One retry, and not before the storage mount is validated and the control plane is reached.
        Guard::AtMost { step: "start".into(), count: 1 },
        only_after("start", &["prove-stopped:stopped"], &[]),
        only_after("start", &["observe:usable"], &[]),
        only_after("start", &["prove-durable:durable", "storage-durable:approve"], &["stop"]),
        only_after("start", &["reach:reached"], &["stop"]),
        never_after("observe:lost"),
        never_after("observe:never-paired"),
        never_after("observe:unclear"),
        never_after("reach:unreachable"),
        // The validation restart follows a life that lasted.
        Guard::AtMost { step: "restart".into(), count: 1 },
        only_after("restart", &["await-online:online"], &["start"]),
        Guard::Before { first: "restart".into(), then: "validate".into() },
        Guard::Verdict {
            verdict: Verdict::Recovered,
            fact: "validate:validated".into(),
            since: vec!["restart".into(), "start".into(), "stop".into()],
        },
    ]
}
