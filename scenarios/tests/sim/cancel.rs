//! A person cancels at every boundary: before the point of no return the workload is put back as it was found, after it the
//! run says no and goes on.

use recover_engine::{Stop, Unwilling, Verdict, Wish};
use recover_scenarios::identity_loss::Reprovision;

use crate::host::Scripted;
use crate::trial::{Crash, End, NEVER, Plan, Sim, Went};
use crate::world::{Fault, Hit};

const fn hit(step: &'static str, fault: Fault, times: u32) -> Hit {
    Hit { step, fault, skip: 0, times }
}

fn variants() -> Vec<(&'static str, Vec<Hit>)> {
    let every: [&'static str; 14] = [
        "observe",
        "search-original",
        "prove-durable",
        "stop",
        "prove-stopped",
        "reattach",
        "detach",
        "start",
        "restart",
        "await-online",
        "revoke-stale",
        "revoke-orphan",
        "mint",
        "withdraw",
    ];
    vec![
        ("nothing", vec![]),
        ("everything fails once", every.iter().map(|step| hit(step, Fault::Error, 1)).collect()),
        ("everything fails twice", every.iter().map(|step| hit(step, Fault::Error, 2)).collect()),
        ("every reply is lost once", every.iter().map(|step| hit(step, Fault::DropReply, 1)).collect()),
        ("late mint", vec![hit("mint", Fault::Late(1), 1)]),
        ("late pair", vec![hit("pair", Fault::Late(1), 1)]),
        ("burnt", vec![hit("pair", Fault::Burn, 1)]),
    ]
}

fn cancel(at: u32) -> Scripted {
    Scripted { at, wish: Wish::Cancel { reason: "enough".into() } }
}

/// What a run that was cancelled, or would not be, left behind.
fn check(sim: &Sim, verdict: Verdict, accepted: bool, context: &str) {
    let told = || format!("{context}: {verdict:?} {:#?} {:#?}", sim.state, sim.kinds());
    assert!(sim.state.violations.is_empty(), "{}", told());
    assert!(!sim.state.authority.live(sim.now).any(|t| t.ours), "a token of ours works: {}", told());
    assert!(sim.state.site.tmpfs.is_empty() && sim.state.site.handed.is_none(), "a secret is left: {}", told());
    if accepted {
        assert_eq!(sim.state.site.placement(), sim.found, "{}", told());
        assert_eq!(sim.state.authority.pairs, 0, "{}", told());
        assert!(matches!(verdict, Verdict::Cancelled | Verdict::GivenUp), "{}", told());
    } else {
        assert_eq!(verdict, Verdict::Recovered, "{}", told());
    }
}

fn closed(went: &Went, context: &str) -> Verdict {
    match &went.end {
        End::Stopped(Stop::Closed(ending)) => ending.verdict,
        End::Crashed | End::Stopped(_) | End::Failed(_) => panic!("{context}: {went:?}"),
    }
}

#[test]
fn cancelled_at_every_boundary_the_workload_is_as_it_was_found_or_the_run_says_no() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    let (mut back, mut no, mut ended) = (0, 0, 0);
    for original in [true, false] {
        for (name, hits) in variants() {
            for at in 0.. {
                let mut sim = Sim::new(&plan, original, &hits);
                let context = format!("{name}, original kept: {original}, cancelled at {at}");
                let went = sim.go(NEVER, &[cancel(at)], false);
                assert_eq!(went.unanswered, 0, "{context}: the person waits for ever");
                let verdict = closed(&went, &context);
                sim.state.settle(sim.now);
                match went.replies.as_slice() {
                    [] => break,
                    [Ok(())] => {
                        check(&sim, verdict, true, &context);
                        assert_eq!(verdict, Verdict::Cancelled, "{context}: {:#?}", sim.kinds());
                        assert!(sim.cancelled(), "{context}: said yes and journaled nothing");
                        back += 1;
                    }
                    [Err(Unwilling::NotNow(_))] => {
                        check(&sim, verdict, false, &context);
                        assert!(!sim.cancelled(), "{context}: said no and did it");
                        no += 1;
                    }
                    other => panic!("{context}: {other:?}"),
                }
                ended += 1;
            }
        }
    }
    assert!(back > 200 && no > 100, "{back} went back, {no} said no");
    println!("{ended} schedules with a cancel: {back} put back, {no} refused");
}

#[test]
fn cancelled_twice_the_way_back_is_not_cut_short() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    let mut twice = 0;
    for original in [true, false] {
        for (name, hits) in variants() {
            for first in (0..).step_by(2) {
                let mut probe = Sim::new(&plan, original, &hits);
                if probe.go(NEVER, &[cancel(first)], false).replies != [Ok(())] {
                    break;
                }
                for second in first.. {
                    let mut sim = Sim::new(&plan, original, &hits);
                    let context = format!("{name}, original kept: {original}, cancelled at {first} and {second}");
                    let went = sim.go(NEVER, &[cancel(first), cancel(second)], false);
                    assert_eq!(went.unanswered, 0, "{context}: a person waits for ever");
                    let verdict = closed(&went, &context);
                    sim.state.settle(sim.now);
                    check(&sim, verdict, true, &context);
                    if went.replies.len() < 2 {
                        break;
                    }
                    twice += 1;
                }
            }
        }
    }
    assert!(twice > 500, "{twice}");
    println!("{twice} schedules with two cancels");
}

#[test]
fn cancelled_while_it_gives_up_the_workload_is_put_back_all_the_same() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    for original in [true, false] {
        for failing in ["prove-stopped", "reattach", "revoke-stale", "mint", "await-online"] {
            let mut hits = vec![hit(failing, Fault::Refuse, 1)];
            hits.extend(["start", "stop", "detach", "revoke-orphan"].map(|step| hit(step, Fault::Error, 2)));
            for at in 0.. {
                let mut sim = Sim::new(&plan, original, &hits);
                let context = format!("{failing} refused, original kept: {original}, cancelled at {at}");
                let went = sim.go(NEVER, &[cancel(at)], false);
                if went.replies.is_empty() {
                    break;
                }
                if let End::Stopped(Stop::Closed(ending)) = &went.end
                    && ending.verdict != Verdict::Recovered
                {
                    check(&sim, ending.verdict, true, &context);
                }
            }
        }
    }
}

#[test]
fn cancelled_and_killed_at_every_boundary_after_it() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    let mut schedules = 0;
    for original in [true, false] {
        for (name, hits) in [variants().remove(0), variants().remove(1)] {
            for at in 0.. {
                let mut whole = Sim::new(&plan, original, &hits);
                if whole.go(NEVER, &[cancel(at)], false).replies.is_empty() {
                    break;
                }
                for fuse in 0.. {
                    let mut sim = Sim::new(&plan, original, &hits);
                    let context = format!("{name}, original kept: {original}, cancelled at {at}, killed at {fuse}");
                    if sim.go(fuse, &[cancel(at)], false).end != End::Crashed {
                        break;
                    }
                    sim.after(Crash::Kill);
                    let accepted = sim.cancelled();
                    let ending = sim.finish();
                    check(&sim, ending.verdict, accepted, &context);
                    schedules += 1;
                }
            }
        }
    }
    println!("{schedules} schedules with a cancel and a crash");
}

#[test]
fn interrupted_at_every_boundary_a_later_process_goes_on() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    for original in [true, false] {
        for (name, hits) in variants() {
            for at in 0.. {
                let mut sim = Sim::new(&plan, original, &hits);
                let context = format!("{name}, original kept: {original}, interrupted at {at}");
                let went = sim.go(NEVER, &[Scripted { at, wish: Wish::Interrupt }], false);
                if went.replies.is_empty() {
                    break;
                }
                assert!(matches!(went.end, End::Stopped(Stop::Interrupted | Stop::Closed(_))), "{context}: {went:?}");
                let ending = sim.finish();
                check(&sim, ending.verdict, false, &context);
            }
        }
    }
}
