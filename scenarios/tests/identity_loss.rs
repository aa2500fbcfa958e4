//! The runbook's third branch at the machine itself: what a cancel between two attempts leaves, and what is said of an identity that is
//! there although it was lost. How it fares against a world, the simulations tell.

#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of a test fail as a test does")]

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Ending, Input, Millis, Next, Reason, Scenario, StepSet as _, Verdict};
use recover_scenarios::identity_loss::{Event, IdentityLoss, Params, Reprovision, Step};
use recover_steps::{
    Awaited, Captured, Detached, Durability, Evicted, Instance, Loss, Minted, Observed, Paired, Proven, Reattached,
    Reparented, Restarted, Restored, Revoked, Searched, Started, Stopped, Token, Validated, Withdrawn, refusal,
};

/// What a step comes to where the original is gone and all else is well.
fn well(step: &Step) -> Event {
    let life = |number: &str| Instance(number.into());
    let token = Token { accessor: "a1".into(), label: "l1".into(), expires_at: Millis(i64::MAX) };
    let loss = Loss { epoch: "s1".into(), running: Some(life("1")), status: "needs_recovery".into(), foreign: None };
    match step {
        Step::Observe(_) => Event::Observe(Observed::Lost(loss)),
        Step::Search(_) => Event::Search(Searched::Gone { searched: vec!["/data".into()] }),
        Step::ProveDurable(_) => Event::ProveDurable(Durability::Durable { on: "ext4".into() }),
        Step::Stop(_) => Event::Stop(Stopped::Stopped),
        Step::ProveStopped(_) => Event::ProveStopped(Proven::Stopped),
        Step::Reattach(_) => Event::Reattach(Reattached::Reattached),
        Step::Detach(_) => Event::Detach(Detached::Detached),
        Step::SetAside(_) => Event::SetAside(Restored::Done),
        Step::PutBack(_) => Event::PutBack(Restored::Done),
        Step::Start(_) => Event::Start(Started::Started { instance: life("3") }),
        Step::Restart(_) => Event::Restart(Restarted::Restarted { instance: life("3") }),
        Step::AwaitOnline(_) => Event::AwaitOnline(Awaited::Online { serial: "s2".into() }),
        Step::RevokeStale(_) => Event::RevokeStale(Revoked::Revoked { live: 0 }),
        Step::RevokeOrphan(_) => Event::RevokeOrphan(Revoked::Revoked { live: 0 }),
        Step::Mint(_) => Event::Mint(Minted::Minted { token }),
        Step::Pair(_) => Event::Pair(Paired::Paired { serial: "s2".into(), instance: Some(life("2")) }),
        Step::Withdraw(_) => Event::Withdraw(Withdrawn::Withdrawn),
        Step::Reparent(_) => Event::Reparent(Reparented::NotNeeded),
        Step::Evict(_) => Event::Evict(Evicted::NotNeeded),
        Step::Validate(_) => Event::Validate(Validated::Validated { fingerprint: "f".into() }),
        Step::Capture(_) => Event::Capture(Captured::Captured { status: "online".into(), texts: 1 }),
    }
}

fn begun() -> IdentityLoss {
    let params = Params { reprovision: Reprovision::Allow, alert: Some("A1".into()), ..Params::default() };
    IdentityLoss::begin(params)
}

fn step(state: &IdentityLoss) -> Step {
    match state.next() {
        Next::Do(step) => step,
        other @ (Next::Done(_) | Next::Wait(_) | Next::Ask(_)) => panic!("no step: {other:?}"),
    }
}

/// All is well until this is asked for.
fn until(mut state: IdentityLoss, what: &str) -> IdentityLoss {
    for _ in 0..60 {
        let asked = step(&state);
        if asked.doing().step == what {
            return state;
        }
        state = state.apply(&Input::Outcome(Happened(well(&asked)))).expect("an ending of its step");
    }
    panic!("{what} is never asked for")
}

fn ends(mut state: IdentityLoss) -> Ending {
    for _ in 0..60 {
        match state.next() {
            Next::Done(ending) => return ending,
            Next::Do(step) => state = state.apply(&Input::Outcome(Happened(well(&step)))).expect("an ending"),
            other @ (Next::Wait(_) | Next::Ask(_)) => panic!("not asked here: {other:?}"),
        }
    }
    panic!("no end")
}

fn refused(state: IdentityLoss, code: &str) -> IdentityLoss {
    state.apply(&Input::Outcome(Refused(Reason::new(code, "no")))).expect("a refusal")
}

#[test]
fn a_cancel_between_two_attempts_goes_back_to_how_it_was_found_and_says_so() {
    for at in ["search-original", "prove-durable", "stop", "revoke-stale", "mint", "pair"] {
        let ending = ends(refused(until(begun(), at), Reason::CANCELLED));
        assert_eq!(
            (ending.verdict, ending.reason.as_str()),
            (Verdict::Cancelled, "a person cancelled the run"),
            "{at}"
        );
        assert_eq!(ending.workload.map(|w| (w.found, w.left)), Some(("running".into(), "running".into())), "{at}");
    }
    // What ended otherwise already is not made to look cancelled: past the pairing a person is asked.
    let stuck = refused(until(begun(), "restart"), Reason::CANCELLED);
    assert!(matches!(stuck.next(), Next::Ask(question) if question.id == "not-validated"));
    let recovered = ends(refused(until(begun(), "capture-evidence"), Reason::CANCELLED));
    assert_eq!((recovered.verdict, recovered.residue.len()), (Verdict::Recovered, 1), "{recovered:?}");
}

#[test]
fn an_identity_that_is_there_is_this_runs_own_only_where_it_minted_before() {
    let left = |ending: &Ending| ending.residue.iter().any(|line| line.contains("may have left the identity"));
    let first = ends(refused(until(begun(), "mint"), refusal::IDENTITY));
    assert!(first.verdict == Verdict::GivenUp && !left(&first), "{first:?}");
    assert_eq!(first.reason, "no token was minted: no");
    let again = until(refused(until(begun(), "pair"), refusal::BURNT), "mint");
    let second = ends(refused(again, refusal::IDENTITY));
    assert!(second.verdict == Verdict::GivenUp && left(&second), "{second:?}");
    // Any other refusal says nothing of an identity.
    let other = ends(refused(until(begun(), "mint"), "authority"));
    assert_eq!((other.reason.as_str(), other.residue.len()), ("no token could be minted: no", 0));
}

#[test]
fn the_alert_that_led_here_stands_in_the_evidence() {
    let state = until(begun(), "capture-evidence");
    assert!(matches!(step(&state), Step::Capture(capture) if capture.alert.as_deref() == Some("A1")));
}
