//! The runbook's second branch, row by row: what each observation leads to, what is never in the machine, and how often it acts.

#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of a test fail as a test does")]

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Asks, Ending, Input, Next, Reason, Scenario, Verdict};
use recover_scenarios::reconnect_failure::{Event, Params, ReconnectFailure, Step};
use recover_scenarios::{find, names};
use recover_steps::{Awaited, Captured, Instance, Loss, Observed, Reached, Repaired, Restarted, Stage, Validated};

/// What a step came to, as the machine is told it.
trait Told {
    fn event(self) -> Event;
}

macro_rules! told {
    ($($event:ident of $step:ident),+) => {
        $(impl Told for $event {
            fn event(self) -> Event { Event::$step(self) }
        })+
    };
}
told!(Observed of Observe, Reached of Reach, Repaired of Repair, Restarted of Restart, Awaited of AwaitOnline, Validated of Validate, Captured of Capture);

fn told(state: ReconnectFailure, seen: impl Told) -> ReconnectFailure {
    state.apply(&Input::Outcome(Happened(seen.event()))).expect("an ending of its step")
}

fn waited(state: ReconnectFailure, id: &str) -> ReconnectFailure {
    match state.next() {
        Next::Wait(wait) => assert_eq!((wait.id, wait.for_ms), (id, 30_000)),
        other @ (Next::Do(_) | Next::Ask(_) | Next::Done(_)) => panic!("no wait: {other:?}"),
    }
    state.apply(&Input::Expired).expect("a wait ends")
}

fn ending(state: &ReconnectFailure) -> Ending {
    match state.next() {
        Next::Done(ending) => ending,
        other @ (Next::Do(_) | Next::Wait(_) | Next::Ask(_)) => panic!("not an end: {other:?}"),
    }
}

fn step(state: &ReconnectFailure) -> Step {
    match state.next() {
        Next::Do(step) => step,
        other @ (Next::Done(_) | Next::Wait(_) | Next::Ask(_)) => panic!("no step: {other:?}"),
    }
}

fn usable(status: &str, running: Option<&str>) -> Observed {
    Observed::Usable {
        status: status.into(),
        online: status == "online",
        serial: "s1".into(),
        running: running.map(|life| Instance(life.into())),
        last_seen: Some("2026-11-22T03:00:00Z".into()),
    }
}

fn looked(observed: Observed) -> ReconnectFailure {
    let begun = ReconnectFailure::begin(Params { alert: Some("A1".into()), ..Params::default() });
    told(told(begun, Reached::Reached), observed)
}

/// Offline before and after the wait, and the control plane still reached: the repair comes next.
fn repairing(running: Option<&str>) -> ReconnectFailure {
    let settled = waited(looked(usable("offline", running)), "settle");
    told(told(settled, usable("offline", running)), Reached::Reached)
}

fn repaired() -> ReconnectFailure {
    told(repairing(Some("1")), Repaired::Repaired { instance: Instance("2".into()) })
}

fn online() -> Awaited {
    Awaited::Online { serial: "s1".into() }
}

fn restarted() -> Restarted {
    Restarted::Restarted { instance: Instance("3".into()) }
}

fn unreachable(stage: Stage) -> Reached {
    Reached::Unreachable { stage, why: "no way".into() }
}

#[test]
fn c7_the_step_set_has_nothing_that_mints_pairs_or_revokes() {
    let graph = find(names::RECONNECT_FAILURE).expect("registered").graph();
    let mut asked: Vec<&str> = graph
        .nodes
        .iter()
        .filter_map(|node| match &node.asks {
            Asks::Do(step) => Some(step.as_str()),
            Asks::Wait(_) | Asks::Ask(_) | Asks::Done => None,
        })
        .collect();
    asked.sort_unstable();
    asked.dedup();
    let steps = ["await-online", "capture-evidence", "observe", "reach", "repair", "restart", "validate"];
    assert_eq!(asked, steps);
}

#[test]
fn c7_it_waits_repairs_once_validates_once_and_is_recovered() {
    let state = repaired();
    assert_eq!(state.epoch(), Some("s1@2026-11-22T03:00:00Z"));
    let state = told(state, online());
    assert!(matches!(step(&state), Step::Restart(restart) if restart.from == Instance("2".into())));
    let state = told(told(state, restarted()), online());
    let state = told(state, Validated::Validated { fingerprint: "f".into() });
    assert!(matches!(step(&state), Step::Capture(capture) if capture.alert.as_deref() == Some("A1")));
    let ending = ending(&told(state, Captured::Captured { status: "online".into(), texts: 1 }));
    assert_eq!((ending.verdict, ending.residue.len()), (Verdict::Recovered, 0), "{ending:?}");
}

#[test]
fn c7_what_comes_back_by_itself_is_not_touched() {
    let settled = waited(looked(usable("offline", Some("1"))), "settle");
    let ending = ending(&told(settled, usable("online", Some("1"))));
    assert_eq!(ending.verdict, Verdict::NotApplicable, "{ending:?}");
    assert!(ending.reason.contains("by itself") && ending.residue.is_empty(), "{ending:?}");
}

#[test]
fn c7_after_its_one_repair_it_is_escalated_with_what_was_tried() {
    let ending = ending(&told(repaired(), Awaited::NotOnline { status: "offline".into() }));
    assert_eq!(ending.verdict, Verdict::GivenUp);
    assert!(ending.reason.contains("a person must look"), "{ending:?}");
    assert!(ending.residue.iter().any(|line| line.contains("restarted once to repair")), "{ending:?}");
}

#[test]
fn c7_a_validation_that_fails_is_not_tried_again() {
    let restarting = told(repaired(), online());
    let awaiting = told(restarting.clone(), restarted());
    let refused = Input::Outcome(Refused(Reason::new("workload", "it is held")));
    let said = ending(&restarting.clone().apply(&refused).expect("refused")).reason;
    assert!(said.contains("restarted") && said.contains("it is held"), "{said}");
    let invalid = told(told(awaiting.clone(), online()), Validated::Invalid { why: "a token is in sight".into() });
    let offline = told(awaiting, Awaited::NotOnline { status: "offline".into() });
    for end in [restarting.apply(&refused).expect("refused"), invalid, offline] {
        let ending = ending(&end);
        assert_eq!((ending.verdict, ending.residue.len()), (Verdict::GivenUp, 2), "{ending:?}");
    }
}

#[test]
fn c7_another_identity_after_the_wait_is_not_restarted() {
    let settled = waited(looked(usable("offline", Some("1"))), "settle");
    let other = Observed::Usable {
        status: "offline".into(),
        online: false,
        serial: "s2".into(),
        running: None,
        last_seen: None,
    };
    assert_eq!(ending(&told(settled, other)).verdict, Verdict::GivenUp);
}

#[test]
fn c1_what_does_not_run_is_started() {
    assert!(matches!(step(&repairing(None)), Step::Repair(repair) if repair.from.is_none()));
    let running = step(&repairing(Some("1")));
    assert!(matches!(running, Step::Repair(repair) if repair.from == Some(Instance("1".into()))));
}

#[test]
fn c2_no_restart_while_the_control_plane_is_unreachable() {
    let begun = ReconnectFailure::begin(Params::default());
    let later = told(waited(looked(usable("offline", Some("1"))), "settle"), usable("offline", Some("1")));
    for state in [begun, later] {
        for (stage, word) in
            [(Stage::Dns, "DNS"), (Stage::Tcp, "firewall"), (Stage::Tls, "certificate"), (Stage::Healthz, "well")]
        {
            let ending = ending(&told(state.clone(), unreachable(stage)));
            assert_eq!((ending.verdict, ending.residue.len()), (Verdict::GivenUp, 0), "{ending:?}");
            assert!(ending.reason.contains(word) && ending.reason.contains("nothing was restarted"), "{ending:?}");
        }
    }
}

#[test]
fn c8_what_is_degraded_is_watched_and_never_restarted() {
    let watched = waited(looked(usable("degraded", Some("1"))), "watch");
    let ended = ending(&told(watched.clone(), usable("degraded", Some("1"))));
    assert_eq!(ended.verdict, Verdict::GivenUp);
    assert!(ended.reason.contains("left to heal") && ended.residue.is_empty(), "{ended:?}");
    assert_eq!(ending(&told(watched.clone(), usable("online", Some("1")))).verdict, Verdict::NotApplicable);
    // What went offline meanwhile gets its own wait before anything is done to it, and may become degraded again.
    let settled = waited(told(watched, usable("offline", Some("1"))), "settle");
    assert_eq!(ending(&told(settled, usable("degraded", Some("1")))).verdict, Verdict::GivenUp);
}

#[test]
fn c7_what_is_another_scenarios_case_is_named_and_left_alone() {
    let lost = Loss { epoch: "s1".into(), running: None, status: "needs_recovery".into(), foreign: None };
    let settled = || waited(looked(usable("offline", Some("1"))), "settle");
    let after: fn(Observed) -> ReconnectFailure = looked;
    for at in [after, |seen| told(waited(looked(usable("offline", None)), "settle"), seen)] {
        let suggested = |seen| {
            let ending = ending(&at(seen));
            (ending.verdict, ending.suggested.map(|name| name.to_string()))
        };
        let named = |name: &str| (Verdict::NotApplicable, Some(name.to_owned()));
        assert_eq!(suggested(Observed::Lost(lost.clone())), named(names::IDENTITY_LOSS));
        assert_eq!(suggested(Observed::NeverPaired { status: "onboarding".into() }), named(names::BOOTSTRAP_FAILURE));
        assert_eq!(suggested(Observed::Unclear { why: "torn".into() }), (Verdict::GivenUp, None));
    }
    assert_eq!(ending(&looked(usable("online", Some("1")))).verdict, Verdict::NotApplicable);
    assert_eq!(settled().apply(&Input::Cancel).map(|s| ending(&s).verdict), Ok(Verdict::Cancelled));
}
