//! The rules of the runbook, as data.

use recover_engine::{Guard, Verdict};

fn only_after(step: &str, facts: &[&str], since: &[&str]) -> Guard {
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    Guard::OnlyAfter { step: step.into(), facts: owned(facts), since: owned(since) }
}

/// What the runbook forbids, and what keeps a second token or a second pairing from being made.
pub(super) fn guards() -> Vec<Guard> {
    const STOPPED: &[&str] = &["prove-stopped:stopped"];
    const STARTS: &[&str] = &["start", "restart", "pair"];
    const STARTS_AND_STOP: &[&str] = &["start", "restart", "pair", "stop"];
    let original_first = ["search-original:gone", "original-unrecoverable:approve"];
    let durable = ["prove-durable:durable", "prove-durable:undecided"];
    vec![
        // Pair exactly once with the new token: per loss, across runs.
        Guard::Once { step: "pair".into() },
        Guard::AtMost { step: "mint".into(), count: 3 },
        // One validation restart; another only if it surely failed, or a person wants it.
        Guard::Settled { step: "restart".into(), by: vec!["not-validated:retry".into()] },
        // Stop before credentials or storage change, and prove it again right before minting and handing over.
        only_after("revoke-stale", STOPPED, STARTS),
        only_after("reattach", STOPPED, STARTS),
        only_after("set-aside", STOPPED, STARTS),
        only_after("mint", STOPPED, &["start", "restart", "pair", "revoke-stale"]),
        only_after("pair", STOPPED, &["start", "restart", "mint"]),
        // The original first.
        only_after("mint", &original_first, &[]),
        // Durable before minting, after the last time that the storage was changed.
        only_after("mint", &durable, &["reattach", "detach", "set-aside"]),
        // Never while an identity is usable, never for one that never paired.
        Guard::NeverAfter { step: "mint".into(), fact: "observe:usable".into() },
        Guard::NeverAfter { step: "mint".into(), fact: "observe:never-paired".into() },
        Guard::NeverAfter { step: "mint".into(), fact: "pair:paired".into() },
        // Never two tokens that may work.
        only_after("mint", &["revoke-stale:revoked"], &[]),
        Guard::Settled { step: "mint".into(), by: vec!["revoke-orphan:revoked".into(), "pair:paired".into()] },
        only_after("pair", &["mint:minted"], &["revoke-orphan"]),
        // What belonged to the old agent is moved once there is a new one, which has to be seen well before the old one goes.
        only_after("reparent", &["pair:paired"], &[]),
        only_after("evict", &["validate:validated"], STARTS_AND_STOP),
        // Recovered only through a validated restart.
        Guard::Before { first: "restart".into(), then: "validate".into() },
        Guard::Verdict {
            verdict: Verdict::Recovered,
            fact: "validate:validated".into(),
            since: vec!["restart".into(), "start".into(), "stop".into()],
        },
    ]
}
