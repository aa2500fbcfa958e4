//! The rules of the runbook's first branch, as data.

use recover_engine::{Guard, Verdict};

fn only_after(step: &str, facts: &[&str], since: &[&str]) -> Guard {
    let owned = |list: &[&str]| list.iter().map(|s| (*s).to_owned()).collect();
    Guard::OnlyAfter { step: step.into(), facts: owned(facts), since: owned(since) }
}

/// What keeps a connector from being enrolled that must not be, and what keeps a second token or pairing from being made.
pub(super) fn guards() -> Vec<Guard> {
    const STOPPED: &[&str] = &["prove-stopped:stopped"];
    let never_after = |fact: &str| Guard::NeverAfter { step: "mint".into(), fact: fact.into() };
    vec![
        // Once, and across runs: it is the connector's first pairing.
        Guard::Once { step: "pair".into() },
        Guard::AtMost { step: "pair".into(), count: 1 },
        Guard::AtMost { step: "mint".into(), count: 3 },
        Guard::AtMost { step: "restart".into(), count: 1 },
        // No token is spent while the control plane cannot be reached.
        only_after("mint", &["reach:reached"], &[]),
        // What keeps it from pairing is known, and settled by what settles it: a token that was taken back by the word of a
        // person who knows why, a refused request by the word that its cause is mended, a missing trust by its installation.
        only_after(
            "mint",
            &[
                "inspect-enrollment:expired",
                "token-revoked:approve",
                "request-refused:approve",
                "token-outstanding:approve",
                "install-trust:installed",
            ],
            &[],
        ),
        never_after("inspect-enrollment:paired"),
        never_after("inspect-enrollment:skewed"),
        never_after("inspect-enrollment:unclear"),
        never_after("pair:paired"),
        // Stopped before credentials and trust change, and proven again right before minting and handing over.
        only_after("install-trust", STOPPED, &["start", "restart", "pair"]),
        only_after("revoke-stale", STOPPED, &["start", "restart", "pair"]),
        only_after("mint", STOPPED, &["start", "restart", "pair", "revoke-stale"]),
        only_after("pair", STOPPED, &["start", "restart", "mint"]),
        // An identity is not put on storage that does not last.
        only_after("mint", &["prove-durable:durable", "storage-durable:approve"], &[]),
        // Never two tokens that may work.
        only_after("mint", &["revoke-stale:revoked"], &[]),
        Guard::Settled { step: "mint".into(), by: vec!["revoke-orphan:revoked".into(), "pair:paired".into()] },
        only_after("pair", &["mint:minted"], &["revoke-orphan"]),
        // Recovered only through a validated restart.
        Guard::Before { first: "restart".into(), then: "validate".into() },
        Guard::Verdict {
            verdict: Verdict::Recovered,
            fact: "validate:validated".into(),
            since: vec!["restart".into(), "start".into(), "stop".into()],
        },
    ]
}
