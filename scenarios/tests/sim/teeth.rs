//! The simulation finds what it is there to find: with one decision made wrongly, it sees two pairings.

use std::rc::Rc;

use recover_engine::{Millis, RunId, Stop, Verdict, Wish};

use crate::host::Scripted;
use crate::mini;
use crate::trial::{Crash, End, NEVER, Plan, Sim};
use crate::world::{Fault, Hit};

const fn hit(step: &'static str, fault: Fault) -> Hit {
    Hit { step, fault, skip: 0, times: 1 }
}

/// A lost identity, and an outside that does not look before it mints: only the machine stands against a second pairing.
fn blind(plan: &Rc<Plan>, hits: &[Hit]) -> Sim {
    let mut sim = Sim::new(plan, false, hits);
    sim.state.blind = true;
    sim
}

/// The most pairings that any crash, or none, leads to.
fn most_pairings(plan: &Rc<Plan>, hits: &[Hit]) -> u32 {
    let start = blind(plan, hits);
    let mut most = 0;
    for fuse in 0.. {
        let mut sim = start.clone();
        let crashed = sim.go(fuse, &[], false).end == End::Crashed;
        if crashed {
            sim.after(Crash::Kill);
        }
        let ending = sim.finish();
        assert!(matches!(ending.verdict, Verdict::Recovered | Verdict::GivenUp), "{ending:?}");
        most = most.max(sim.state.authority.pairs);
        if !crashed {
            break;
        }
    }
    most
}

#[test]
fn with_a_fence_and_a_probe_it_pairs_once() {
    for hits in [vec![], vec![hit("pair", Fault::DropReply)], vec![hit("pair", Fault::Late(4))]] {
        assert_eq!(most_pairings(&mini::honest::plan(), &hits), 1);
    }
}

#[test]
fn a_pairing_that_is_repeated_blindly_should_find_two_pairings() {
    assert_eq!(most_pairings(&mini::careless::plan(), &[]), 2, "a crash after the first is enough");
    assert!(most_pairings(&mini::careless::plan(), &[hit("pair", Fault::DropReply)]) >= 2, "so is a lost reply");
}

#[test]
fn absence_that_is_believed_without_a_fence_should_find_two_pairings() {
    let late = [hit("pair", Fault::Late(4))];
    assert_eq!(most_pairings(&mini::hasty::plan(), &late), 2);
    assert_eq!(most_pairings(&mini::honest::plan(), &late), 1, "the fence is what makes the difference");
}

/// The first run is killed once its pairing is applied and before that is journaled; a person abandons it and starts another.
fn second_run(plan: &Rc<Plan>) -> (u32, Verdict) {
    let start = blind(plan, &[]);
    let mut first = (0..)
        .map(|fuse| {
            let mut sim = start.clone();
            assert_eq!(sim.go(fuse, &[], false).end, End::Crashed, "it was never caught in the act");
            sim
        })
        .find(|sim| sim.state.authority.pairs == 1)
        .expect("it pairs");
    let abandon = Scripted { at: 0, wish: Wish::Abandon { reason: "start afresh".into() } };
    let went = first.go(NEVER, &[abandon], false);
    assert!(matches!(&went.end, End::Stopped(Stop::Closed(e)) if e.verdict == Verdict::Abandoned), "{went:?}");
    first.run = RunId::new(Millis(2_000_000), [8; 10]);
    let ending = first.finish();
    (first.state.authority.pairs, ending.verdict)
}

#[test]
fn a_guard_that_counts_outcomes_instead_of_intents_should_find_two_pairings() {
    assert_eq!(second_run(&mini::forgetful::plan()), (2, Verdict::Recovered));
    assert_eq!(second_run(&mini::honest::plan()), (1, Verdict::GuardRefused));
}

/// The invariants look at every instant, not only at the end.
#[test]
fn a_second_token_that_works_is_seen_when_it_does() {
    // Minting again after a lost pairing, without revoking what may still work: the mini's own flaw.
    let mut sim = Sim::new(&mini::hasty::plan(), false, &[hit("pair", Fault::Late(9))]);
    let ending = sim.finish();
    assert_eq!(ending.verdict, Verdict::Recovered);
    assert!(sim.state.violations.iter().any(|v| v.contains("tokens work at once")), "{:?}", sim.state.violations);
}
