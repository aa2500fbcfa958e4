//! The owner: what each request to start a run leads to.

use recover_engine::{Admission, Begun, Digest, Json, Millis, Owner, RunId, Start};

fn run(n: u8) -> RunId {
    RunId::new(Millis(i64::from(n)), [n; 10])
}

fn start() -> Start {
    Start {
        scenario: "identity-loss".into(),
        target: "edge-1".into(),
        subject: "https://cp edge-1".into(),
        params: Json::of(&1),
        request_id: None,
        attach: false,
    }
}

fn begun(start: &Start) -> Begun {
    Begun {
        scenario: start.scenario.clone(),
        version: 1,
        target: start.target.clone(),
        subject: start.subject.clone(),
        params: start.params.clone(),
        graph: Json::null(),
        guards: Json::null(),
        digest: Digest::ZERO,
        alert: None,
        ticket: None,
        plan: None,
        request_id: start.request_id.clone(),
        despite: None,
        second_person: false,
        consumed: Vec::new(),
    }
}

fn owner(start: &Start, open: bool, live: bool) -> Owner {
    let mut owner = Owner::default();
    owner.note(run(1), &begun(start), open, live);
    owner
}

#[test]
fn a_free_subject_begins() {
    assert_eq!(Owner::default().admit(&start()), Admission::Begin);
    assert_eq!(owner(&start(), false, false).admit(&start()), Admission::Begin, "its run has closed");
    let other = Start { subject: "https://cp edge-2".into(), ..start() };
    assert_eq!(owner(&other, true, true).admit(&start()), Admission::Begin, "the run is about something else");
}

#[test]
fn the_same_command_after_a_crash_resumes_and_another_is_told_who_holds_it() {
    assert_eq!(owner(&start(), true, false).admit(&start()), Admission::Resume(run(1)));
    let held = |live, same| Admission::Held { by: run(1), live, same };
    assert_eq!(owner(&start(), true, true).admit(&start()), held(true, true));
    let others = [
        Start { params: Json::of(&2), ..start() },
        Start { target: "another-name".into(), ..start() },
        Start { scenario: "reconnect-failure".into(), ..start() },
    ];
    for other in others {
        assert_eq!(owner(&start(), true, false).admit(&other), held(false, false));
        assert_eq!(owner(&start(), true, true).admit(&other), held(true, false));
        let attaching = Start { attach: true, ..other };
        assert_eq!(owner(&start(), true, false).admit(&attaching), held(false, false), "nobody executes it");
        assert_eq!(owner(&start(), true, true).admit(&attaching), Admission::Attach(run(1)));
    }
}

#[test]
fn attaching_follows_a_run_that_is_executed_and_resumes_its_own_that_is_not() {
    let attaching = Start { attach: true, ..start() };
    assert_eq!(owner(&start(), true, true).admit(&attaching), Admission::Attach(run(1)));
    assert_eq!(owner(&start(), true, false).admit(&attaching), Admission::Resume(run(1)));
    assert_eq!(Owner::default().admit(&attaching), Admission::Begin);
}

#[test]
fn a_request_id_makes_starting_idempotent() {
    let named = Start { request_id: Some("alert-7".into()), ..start() };
    assert_eq!(owner(&named, true, true).admit(&named), Admission::Attach(run(1)));
    assert_eq!(owner(&named, true, false).admit(&named), Admission::Resume(run(1)));
    assert_eq!(owner(&named, false, false).admit(&named), Admission::Known(run(1)), "it ended; it is not begun again");
    let different = Start { params: Json::of(&2), ..named.clone() };
    for (open, live) in [(true, true), (true, false), (false, false)] {
        assert_eq!(owner(&named, open, live).admit(&different), Admission::RequestIdReused(run(1)));
    }
    let unknown = Start { request_id: Some("alert-8".into()), ..start() };
    assert_eq!(owner(&named, false, false).admit(&unknown), Admission::Begin);
    assert_eq!(owner(&named, true, true).admit(&unknown), Admission::Held { by: run(1), live: true, same: true });
}

#[test]
fn it_knows_what_it_executes_and_stays_until_that_is_nothing() {
    let mut owner = owner(&start(), true, false);
    assert_eq!((owner.executing(), owner.is_live(run(1))), (0, false));
    owner.live(run(1), true);
    owner.live(run(9), true);
    assert_eq!((owner.executing(), owner.is_live(run(1)), owner.is_live(run(9))), (1, true, false));
    owner.note(run(1), &begun(&start()), true, true);
    assert_eq!(owner.executing(), 1, "noted twice, executed once");
    owner.live(run(9), false);
    assert!(owner.is_live(run(1)), "what is said of another run is not about this one");
    owner.closed(run(1));
    assert_eq!((owner.executing(), owner.is_live(run(1))), (0, false));
    assert_eq!(owner.admit(&start()), Admission::Begin);
}

/// Neighbouring fields do not run into each other.
#[test]
fn two_requests_are_the_same_only_if_every_part_is() {
    let a = Start { target: "a\nb".into(), subject: "c".into(), request_id: Some("r".into()), ..start() };
    let b = Start { target: "a".into(), subject: "b\nc".into(), ..a.clone() };
    assert_eq!(owner(&a, true, false).admit(&b), Admission::RequestIdReused(run(1)));
}
