//! The table's row C13: the log first, the storage before any retry, one retry, and whatever it cannot live without held for others.

#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of a test fail as a test does")]

use recover_engine::Outcome::{Happened, Refused};
use recover_engine::{Asks, Ending, Input, Next, Reason, Scenario, Verdict};
use recover_scenarios::crash_loop::{CrashLoop, Event, Params, Step};
use recover_scenarios::{find, names};
use recover_steps::{
    Awaited, Captured, Durability, Instance, Loss, Observed, Proven, Reached, Restarted, Stage, Started, Stopped,
    Storage, Validated, Watched,
};

fn told(state: CrashLoop, event: Event) -> CrashLoop {
    state.apply(&Input::Outcome(Happened(event))).expect("an ending of its step")
}

fn ending(state: &CrashLoop) -> Ending {
    match state.next() {
        Next::Done(ending) => ending,
        other @ (Next::Do(_) | Next::Wait(_) | Next::Ask(_)) => panic!("not an end: {other:?}"),
    }
}

fn step(state: &CrashLoop) -> Step {
    match state.next() {
        Next::Do(step) => step,
        other @ (Next::Done(_) | Next::Wait(_) | Next::Ask(_)) => panic!("no step: {other:?}"),
    }
}

fn watched(untrusted: bool) -> CrashLoop {
    let seen = Watched::Looping { restarts: Some(7), says: "exit 1".into(), untrusted };
    told(CrashLoop::begin(Params { alert: Some("A1".into()), ..Params::default() }), Event::WatchLoop(seen))
}

fn stopped() -> CrashLoop {
    let state = told(watched(false), Event::Stop(Stopped::Stopped));
    told(state, Event::ProveStopped(Proven::Stopped))
}

fn mounting() -> CrashLoop {
    let usable = Observed::Usable {
        status: "offline".into(),
        online: false,
        serial: "s1".into(),
        running: None,
        last_seen: None,
    };
    told(stopped(), Event::Observe(usable))
}

fn lasting() -> CrashLoop {
    let state = told(mounting(), Event::ProveDurable(Durability::Durable { on: "ext4".into() }));
    let state = told(state, Event::Reach(Reached::Reached));
    told(state, Event::Start(Started::Started { instance: Instance("2".into()) }))
}

fn held_stopped(state: &CrashLoop) -> Ending {
    let ending = ending(state);
    assert_eq!(ending.workload.as_ref().map(|w| w.left.as_ref()), Some("stopped"), "{ending:?}");
    assert!(ending.residue.iter().any(|line| line.contains("7 restarts") && line.contains("exit 1")), "{ending:?}");
    ending
}

#[test]
fn c13_the_log_is_captured_before_anything_is_touched_and_no_credential_ever_is() {
    let begun = CrashLoop::begin(Params::default());
    assert!(matches!(step(&begun), Step::WatchLoop(_)));
    let graph = find(names::CRASH_LOOP).expect("registered").graph();
    for node in &graph.nodes {
        if let Asks::Do(step) = &node.asks {
            assert!(!["mint", "pair", "revoke-stale", "reattach", "set-aside"].contains(&&**step), "{step}");
        }
    }
}

#[test]
fn c13_what_it_cannot_live_without_is_named_and_it_is_held_stopped() {
    let lost = Loss { epoch: "s1".into(), running: None, status: "needs_recovery".into(), foreign: None };
    for (seen, suggested) in [
        (Observed::Lost(lost), Some(names::IDENTITY_LOSS)),
        (Observed::NeverPaired { status: "never_paired".into() }, Some(names::BOOTSTRAP_FAILURE)),
        (Observed::Unclear { why: "torn".into() }, None),
    ] {
        let ended = held_stopped(&told(stopped(), Event::Observe(seen)));
        assert_eq!((ended.verdict, ended.suggested.as_deref()), (Verdict::GivenUp, suggested));
    }
    let untrusted = told(told(watched(true), Event::Stop(Stopped::Stopped)), Event::ProveStopped(Proven::Stopped));
    assert!(held_stopped(&untrusted).reason.contains("not trusted"));
}

#[test]
fn c13_no_retry_before_the_mount_is_validated() {
    assert!(
        matches!(step(&mounting()), Step::ProveDurable(prove) if prove.storage == Storage::Held { serial: "s1".into() })
    );
    for (seen, says) in [
        (Durability::Refuted { on: "tmpfs".into() }, "would not survive"),
        (Durability::Unwritable { why: "ro".into() }, "cannot write"),
        (Durability::Occupied { on: "ext4".into(), serial: "s0".into() }, "s0"),
    ] {
        assert!(held_stopped(&told(mounting(), Event::ProveDurable(seen))).reason.contains(says));
    }
    let asking = told(mounting(), Event::ProveDurable(Durability::Undecided { on: "nfs4".into() }));
    let Next::Ask(question) = asking.next() else { panic!("no question") };
    assert_eq!((&*question.id, question.routine), ("storage-durable", None));
    held_stopped(&asking.clone().apply(&Input::Expired).expect("nobody answered"));
    let reaching = asking.apply(&Input::Answer("approve".into())).expect("a choice");
    let unreachable = Event::Reach(Reached::Unreachable { stage: Stage::Tcp, why: "no way".into() });
    assert!(held_stopped(&told(reaching, unreachable)).reason.contains("not started before"));
}

#[test]
fn c13_started_once_it_must_last_and_is_validated() {
    let Step::AwaitOnline(awaits) = step(&lasting()) else { panic!("not awaited") };
    assert_eq!((awaits.observe_ms, awaits.serial.as_str()), (600_000, "s1"), "the table's ten minutes");
    let online = || Event::AwaitOnline(Awaited::Online { serial: "s1".into() });
    let state =
        told(told(lasting(), online()), Event::Restart(Restarted::Restarted { instance: Instance("3".into()) }));
    let state = told(told(state, online()), Event::Validate(Validated::Validated { fingerprint: "f".into() }));
    assert!(matches!(step(&state), Step::Capture(capture) if capture.alert.as_deref() == Some("A1")));
    let ended = ending(&told(state, Event::Capture(Captured::Captured { status: "online".into(), texts: 1 })));
    assert_eq!((ended.verdict, ended.residue.len()), (Verdict::Recovered, 0), "{ended:?}");
}

#[test]
fn c13_what_loops_on_after_its_one_start_is_stopped_again() {
    let over = told(lasting(), Event::AwaitOnline(Awaited::NotOnline { status: "offline".into() }));
    assert!(matches!(step(&over), Step::Stop(_)));
    let ended = held_stopped(&told(over, Event::Stop(Stopped::Stopped)));
    assert!(ended.verdict == Verdict::GivenUp && ended.reason.contains("does not last"), "{ended:?}");
    // A cancel does not leave it to itself either.
    let cancelled = lasting().apply(&Input::Cancel).expect("it may be");
    let ended = held_stopped(&told(cancelled, Event::Stop(Stopped::Stopped)));
    assert_eq!(ended.verdict, Verdict::Cancelled);
    // Nor where it is being stopped already.
    let over = told(lasting(), Event::AwaitOnline(Awaited::NotOnline { status: "offline".into() }));
    let cancelled = over.apply(&Input::Cancel).expect("it may be");
    let ended = held_stopped(&told(cancelled, Event::Stop(Stopped::Stopped)));
    assert_eq!((ended.verdict, ended.reason.as_str()), (Verdict::Cancelled, "a person cancelled the run"));
}

#[test]
fn c13_what_does_not_loop_is_not_touched() {
    let begun = || CrashLoop::begin(Params::default());
    let steady = Watched::Steady { instance: Instance("1".into()) };
    for (seen, suggested) in [(steady, None), (Watched::Stopped, Some(names::RECONNECT_FAILURE))] {
        let ended = ending(&told(begun(), Event::WatchLoop(seen)));
        assert_eq!((ended.verdict, ended.suggested.as_deref()), (Verdict::NotApplicable, suggested));
    }
    let refused = begun().apply(&Input::Outcome(Refused(Reason::new("workload", "no")))).expect("a refusal");
    assert_eq!((ending(&refused).verdict, ending(&refused).residue.len()), (Verdict::GivenUp, 0));
}
