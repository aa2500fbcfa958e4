//! The runbook's first branch, row by row: what each cause leads to, what a person is asked, and what is never done twice.

#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of a test fail as a test does")]

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Ending, Input, Millis, Next, Question, Reason, Scenario, Verdict};
use recover_scenarios::bootstrap_failure::{BootstrapFailure, Enroll, Event, Params, Step};
use recover_scenarios::names;
use recover_steps::{
    Awaited, Captured, Durability, Enrollment, Installed, Instance, Minted, Paired, Proven, Reached, Restarted,
    Revoked, Stage, Started, Stopped, Token, Unpaired, Validated, Withdrawn, refusal,
};

fn told(state: BootstrapFailure, event: impl Into<Event>) -> BootstrapFailure {
    state.apply(&Input::Outcome(Happened(event.into()))).expect("an ending of its step")
}

fn refused(state: BootstrapFailure, code: &'static str) -> BootstrapFailure {
    state.apply(&Input::Outcome(Refused(Reason::new(code, "no")))).expect("a refusal")
}

fn ending(state: &BootstrapFailure) -> Ending {
    match state.next() {
        Next::Done(ending) => ending,
        other @ (Next::Do(_) | Next::Wait(_) | Next::Ask(_)) => panic!("not an end: {other:?}"),
    }
}

fn question(state: &BootstrapFailure) -> Question {
    match state.next() {
        Next::Ask(question) => question,
        other @ (Next::Do(_) | Next::Wait(_) | Next::Done(_)) => panic!("no question: {other:?}"),
    }
}

fn step(state: &BootstrapFailure) -> Step {
    match state.next() {
        Next::Do(step) => step,
        other @ (Next::Done(_) | Next::Wait(_) | Next::Ask(_)) => panic!("no step: {other:?}"),
    }
}

fn found() -> Unpaired {
    Unpaired { why: "token acc-1".into(), running: Some(Instance("1".into())) }
}

fn inspected(enroll: Enroll, enrollment: Enrollment) -> BootstrapFailure {
    let begun = BootstrapFailure::begin(Params { enroll, ..Params::default() });
    told(told(begun, Event::Reach(Reached::Reached)), Event::InspectEnrollment(enrollment))
}

fn stopped(state: BootstrapFailure) -> BootstrapFailure {
    let state = told(state, Event::ProveDurable(Durability::Durable { on: "ext4".into() }));
    told(told(state, Event::Stop(Stopped::Stopped)), Event::ProveStopped(Proven::Stopped))
}

fn minting(state: BootstrapFailure) -> BootstrapFailure {
    told(told(state, Event::RevokeStale(Revoked::Revoked { live: 0 })), Event::ProveStopped(Proven::Stopped))
}

fn token() -> Token {
    Token { accessor: "a1".into(), label: "l1".into(), expires_at: Millis(i64::MAX) }
}

fn pairing() -> BootstrapFailure {
    let minting = minting(stopped(inspected(Enroll::Allow, Enrollment::Expired(found()))));
    told(told(minting, Event::Mint(Minted::Minted { token: token() })), Event::ProveStopped(Proven::Stopped))
}

fn life(number: &str) -> Instance {
    Instance(number.into())
}

fn paired() -> BootstrapFailure {
    let paired = Paired::Paired { serial: "s1".into(), instance: Some(life("2")) };
    told(told(pairing(), Event::Pair(paired)), Event::Withdraw(Withdrawn::Withdrawn))
}

#[test]
fn c3_an_expired_token_is_replaced_once_and_validated() {
    let online = || Event::AwaitOnline(Awaited::Online { serial: "s1".into() });
    let state = told(told(paired(), online()), Event::Restart(Restarted::Restarted { instance: life("3") }));
    let state = told(told(state, online()), Event::Validate(Validated::Validated { fingerprint: "f".into() }));
    assert!(state.committed());
    let ending = ending(&told(state, Event::Capture(Captured::Captured { status: "online".into(), texts: 1 })));
    assert_eq!((ending.verdict, ending.residue.len()), (Verdict::Recovered, 0), "{ending:?}");
}

#[test]
fn c3_the_policy_or_a_routine_yes_is_enough_for_a_fresh_token() {
    assert!(matches!(step(&inspected(Enroll::Allow, Enrollment::Expired(found()))), Step::ProveDurable(_)));
    let asking = inspected(Enroll::Ask, Enrollment::Expired(found()));
    assert_eq!(question(&asking).routine.as_deref(), Some("approve"));
    let denied = ending(&asking.apply(&Input::Expired).expect("nobody answered"));
    assert_eq!((denied.verdict, denied.residue.len()), (Verdict::GivenUp, 0));
}

#[test]
fn c3_the_clock_comes_first() {
    let ended = ending(&inspected(Enroll::Allow, Enrollment::Skewed { off_ms: -90_000 }));
    assert_eq!(ended.verdict, Verdict::GivenUp);
    assert!(ended.reason.contains("90 s off") && ended.reason.contains("nothing was minted"), "{ended:?}");
}

#[test]
fn c4_c5_what_somebody_meant_or_must_mend_is_asked_whatever_the_policy_and_no_general_yes_answers_it() {
    for (enrollment, id) in [
        (Enrollment::Revoked(found()), "token-revoked"),
        (Enrollment::Denied(found()), "request-refused"),
        (Enrollment::Outstanding(found()), "token-outstanding"),
    ] {
        let asking = inspected(Enroll::Allow, enrollment);
        let asked = question(&asking);
        assert_eq!((&*asked.id, asked.routine), (id, None));
        let denied = ending(&asking.clone().apply(&Input::Answer("deny".into())).expect("a choice"));
        assert_eq!((denied.verdict, denied.workload.map(|w| w.left)), (Verdict::GivenUp, Some("running".into())));
        let allowed = asking.apply(&Input::Answer("approve".into())).expect("a choice");
        assert!(matches!(step(&allowed), Step::ProveDurable(_)));
    }
}

#[test]
fn c5_a_fresh_token_that_is_refused_too_is_not_followed_by_another() {
    let back = refused(pairing(), refusal::BURNT);
    assert!(matches!(step(&back), Step::RevokeOrphan(_)));
    let back = told(back, Event::RevokeOrphan(Revoked::Revoked { live: 0 }));
    assert!(matches!(step(&back), Step::Stop(_)));
    let back = told(back, Event::Stop(Stopped::Stopped));
    let ended = ending(&told(back, Event::Start(Started::Started { instance: life("3") })));
    assert_eq!((ended.verdict, ended.residue.len()), (Verdict::GivenUp, 0), "{ended:?}");
    assert_eq!(ended.workload.map(|w| (w.found, w.left)), Some(("running".into(), "running".into())));
}

#[test]
fn c5_a_mint_whose_answer_is_lost_is_tried_again_and_not_for_ever() {
    let mut state = minting(stopped(inspected(Enroll::Allow, Enrollment::Expired(found()))));
    for _ in 0..2 {
        state = told(refused(state, Reason::ABSENT), Event::ProveStopped(Proven::Stopped));
        assert!(matches!(step(&state), Step::Mint(_)));
    }
    let back = told(refused(state, Reason::ABSENT), Event::ProveStopped(Proven::Stopped));
    assert!(matches!(step(&back), Step::Start(_)), "back to how it was found");
}

#[test]
fn c6_without_a_pin_nothing_is_done_and_with_one_it_is_installed_while_stopped() {
    let unpinned = ending(&inspected(Enroll::Allow, Enrollment::Untrusted { found: found(), pinned: false }));
    assert_eq!(unpinned.verdict, Verdict::GivenUp);
    assert!(unpinned.reason.contains("never taken from the peer"), "{unpinned:?}");
    let trusting = stopped(inspected(Enroll::Allow, Enrollment::Untrusted { found: found(), pinned: true }));
    assert!(matches!(step(&trusting), Step::InstallTrust(_)));
    let failed = refused(trusting.clone(), "certificate");
    assert!(matches!(step(&failed), Step::Start(_)), "back to how it was found");
    let kept = Event::InstallTrust(Installed::Installed { kept: Some("/ca.before".into()) });
    let installed = told(trusting, kept);
    assert!(matches!(step(&installed), Step::RevokeStale(_)));
    let ended = ending(&told(refused(installed, "authority"), Event::Start(Started::Started { instance: life("2") })));
    assert!(ended.residue.iter().any(|line| line.contains("/ca.before")), "what stays changed is said: {ended:?}");
}

#[test]
fn c2_no_token_is_spent_while_the_control_plane_is_unreachable() {
    let begun = BootstrapFailure::begin(Params::default());
    let unreachable = Event::Reach(Reached::Unreachable { stage: Stage::Tcp, why: "no way".into() });
    let ended = ending(&told(begun, unreachable));
    assert!(ended.reason.contains("firewall") && ended.reason.contains("nothing was minted"), "{ended:?}");
}

#[test]
fn c3_what_paired_and_does_not_come_online_is_another_procedures_case() {
    let ended = ending(&told(paired(), Event::AwaitOnline(Awaited::NotOnline { status: "offline".into() })));
    assert_eq!((ended.verdict, ended.suggested.as_deref()), (Verdict::GivenUp, Some(names::RECONNECT_FAILURE)));
    assert!(ended.residue.iter().any(|line| line.contains("not validated")), "{ended:?}");
    for (there, name) in [(true, names::RECONNECT_FAILURE), (false, names::IDENTITY_LOSS)] {
        let ended = ending(&inspected(Enroll::Allow, Enrollment::Paired { serial: "s1".into(), there }));
        assert_eq!((ended.verdict, ended.suggested.as_deref()), (Verdict::NotApplicable, Some(name)));
    }
}

#[test]
fn a_cancel_goes_back_to_how_it_was_found_until_it_paired() {
    let cancel = |state: BootstrapFailure| state.apply(&Input::Cancel);
    assert!(matches!(step(&cancel(pairing()).expect("before the pairing")), Step::RevokeOrphan(_)));
    assert!(cancel(paired()).is_err(), "past the point of no return");
    let storage = inspected(Enroll::Allow, Enrollment::Expired(found()));
    for seen in [Durability::Refuted { on: "tmpfs".into() }, Durability::Unwritable { why: "ro".into() }] {
        let ended = ending(&told(storage.clone(), Event::ProveDurable(seen)));
        assert_eq!((ended.verdict, ended.residue.len()), (Verdict::GivenUp, 0));
    }
    let asking = told(storage, Event::ProveDurable(Durability::Undecided { on: "nfs4".into() }));
    assert_eq!(&*question(&asking).id, "storage-durable");
}

#[test]
fn a_cancel_between_two_attempts_ends_the_way_back_as_cancelled() {
    const WHY: &str = "a person cancelled the run";
    let ways = |state: BootstrapFailure| {
        let back = refused(state, Reason::CANCELLED);
        assert!(matches!(step(&back), Step::Start(_)), "back to how it was found");
        ending(&told(back, Event::Start(Started::Started { instance: life("3") })))
    };
    let stopped = || stopped(inspected(Enroll::Allow, Enrollment::Expired(found())));
    let surveying = inspected(Enroll::Allow, Enrollment::Expired(found()));
    for ended in
        [ways(stopped()), ways(minting(stopped())), ending(&refused(surveying, Reason::CANCELLED)), back_from_pairing()]
    {
        assert_eq!((ended.verdict, ended.reason.as_str()), (Verdict::Cancelled, WHY));
        assert_eq!(ended.workload.map(|w| (w.found, w.left)), Some(("running".into(), "running".into())));
    }
    // Past the point of no return it is no way back: another procedure goes on from there.
    let online = Event::AwaitOnline(Awaited::Online { serial: "s1".into() });
    let ended = ending(&refused(told(paired(), online), Reason::CANCELLED));
    assert_eq!((ended.verdict, ended.suggested.as_deref()), (Verdict::GivenUp, Some(names::RECONNECT_FAILURE)));
}

fn back_from_pairing() -> Ending {
    let back = told(refused(pairing(), Reason::CANCELLED), Event::RevokeOrphan(Revoked::Revoked { live: 0 }));
    let back = told(back, Event::Stop(Stopped::Stopped));
    ending(&told(back, Event::Start(Started::Started { instance: life("3") })))
}

#[test]
fn a_refusal_and_what_starts_it_again_are_said() {
    let minting = || minting(stopped(inspected(Enroll::Allow, Enrollment::Expired(found()))));
    let back = |state| ending(&told(state, Event::Start(Started::Started { instance: life("3") })));
    let ended = back(refused(minting(), "authority"));
    assert_eq!((ended.verdict, ended.reason.as_str()), (Verdict::GivenUp, "no token could be minted: no"));
    let storage = told(
        inspected(Enroll::Allow, Enrollment::Expired(found())),
        Event::ProveDurable(Durability::Durable { on: "ext4".into() }),
    );
    let runs = Event::ProveStopped(Proven::Running { what: "a timer".into() });
    let ended = back(told(told(storage, Event::Stop(Stopped::Stopped)), runs));
    assert!(ended.reason.contains("again") && ended.reason.contains("a timer"), "{ended:?}");
}

#[test]
fn the_alert_that_led_here_stands_in_the_evidence() {
    let online = || Event::AwaitOnline(Awaited::Online { serial: "s1".into() });
    let begun =
        BootstrapFailure::begin(Params { enroll: Enroll::Allow, alert: Some("A1".into()), ..Params::default() });
    let state =
        told(told(begun, Event::Reach(Reached::Reached)), Event::InspectEnrollment(Enrollment::Expired(found())));
    let state = told(minting(stopped(state)), Event::Mint(Minted::Minted { token: token() }));
    let paired = Paired::Paired { serial: "s1".into(), instance: Some(life("2")) };
    let state = told(told(state, Event::ProveStopped(Proven::Stopped)), Event::Pair(paired));
    let state = told(told(state, Event::Withdraw(Withdrawn::Withdrawn)), online());
    let state = told(told(state, Event::Restart(Restarted::Restarted { instance: life("3") })), online());
    let state = told(state, Event::Validate(Validated::Validated { fingerprint: "f".into() }));
    assert!(matches!(step(&state), Step::Capture(capture) if capture.alert.as_deref() == Some("A1")));
}
