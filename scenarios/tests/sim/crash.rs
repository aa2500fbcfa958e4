//! The process dies at every boundary, and again at every boundary of the resume: nothing is done twice, nothing is left
//! half done, and the run closes recovered.

use std::rc::Rc;

use recover_engine::{Ending, Verdict};
use recover_scenarios::identity_loss::Reprovision;

use crate::trial::{Crash, End, Plan, Sim};
use crate::world::{Fault, Hit};

const fn hit(step: &'static str, fault: Fault) -> Hit {
    Hit { step, fault, skip: 0, times: 1 }
}

/// What can go wrong besides the crash.
fn variants() -> Vec<(&'static str, Vec<Hit>)> {
    vec![
        ("nothing", vec![]),
        ("mint: lost reply", vec![hit("mint", Fault::DropReply)]),
        ("pair: lost reply", vec![hit("pair", Fault::DropReply)]),
        ("revoke: lost reply", vec![hit("revoke-stale", Fault::DropReply), hit("revoke-orphan", Fault::DropReply)]),
        ("mint: late at once", vec![hit("mint", Fault::Late(0))]),
        ("mint: late", vec![hit("mint", Fault::Late(2))]),
        ("pair: late at once", vec![hit("pair", Fault::Late(0))]),
        ("pair: late", vec![hit("pair", Fault::Late(1))]),
        ("pair: very late", vec![hit("pair", Fault::Late(6))]),
        ("pair: burnt", vec![hit("pair", Fault::Burn)]),
        ("mint: error", vec![hit("mint", Fault::Error)]),
        ("pair: error", vec![hit("pair", Fault::Error)]),
        ("start, stop: error", vec![hit("start", Fault::Error), hit("stop", Fault::Error)]),
        ("mint: doubled", vec![hit("mint", Fault::Duplicate)]),
        ("mint: no fence", vec![hit("mint", Fault::DropReply), hit("mint", Fault::NoFence)]),
        ("pair: no fence", vec![hit("pair", Fault::Late(9)), hit("pair", Fault::NoFence)]),
    ]
}

/// What must be so in the end, whatever happened on the way.
fn check(sim: &Sim, ending: &Ending, context: &str) {
    let (authority, site) = (&sim.state.authority, &sim.state.site);
    let told = || format!("{context}: {ending:?} {:#?} {:#?}", sim.state, sim.kinds());
    assert!(sim.state.violations.is_empty(), "{}: {:?}", context, (&sim.state.violations, sim.kinds()));
    assert!(!authority.live(sim.now).any(|t| t.ours), "a token of ours works in the end: {}", told());
    assert!(site.handed.is_none(), "the workload still sees a token: {}", told());
    let kept = sim.found != Sim::new(&sim.plan, false, &[]).found;
    if ending.verdict == Verdict::Recovered {
        assert_eq!(authority.pairs, u32::from(!kept), "{}", told());
        assert!(!kept || (authority.mints == 0 && site.target.id == 2), "{}", told());
        assert_eq!(site.target.serial.as_ref(), Some(&authority.serial), "{}", told());
        assert!(site.running.is_some() && site.tmpfs.is_empty(), "{}", told());
        // Whoever moves one and evicts the other does both.
        assert_eq!(authority.agents.len() == 1, authority.pairs == 0 || authority.entry.is_none(), "{}", told());
    } else {
        // Three tokens were lost to crashes and faults: a person decides, and everything is as it was found.
        assert_eq!((ending.verdict, authority.pairs), (Verdict::GivenUp, 0), "{}", told());
        assert!(ending.reason.contains("3 tokens were minted"), "{}", told());
        assert_eq!(site.placement(), sim.found, "{}", told());
    }
}

fn killed(from: &Sim, fuse: u32, crash: Crash) -> Option<Sim> {
    let mut sim = from.clone();
    match sim.go(fuse, &[], false).end {
        End::Crashed => {
            sim.after(crash);
            Some(sim)
        }
        End::Stopped(_) => None,
        End::Failed(why) => panic!("killed at {fuse}: {why}; {:#?}", sim.kinds()),
    }
}

/// How many schedules there were, and how many of them differed in what survived the crash.
#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    once: u32,
    twice: u32,
    distinct: u32,
}

/// Every crash, then every second crash while resuming. A boundary that leaves the same records and the same world as the
/// one before it leaves the same to be resumed, and is resumed once.
fn schedules(plan: &Rc<Plan>, original: bool, name: &str, hits: &[Hit], crash: Crash, two: bool) -> Counts {
    let start = Sim::new(plan, original, hits);
    let mut counts = Counts::default();
    let mut before: Option<(Sim, u32)> = None;
    for first in 0.. {
        let Some(once) = killed(&start, first, crash) else { break };
        counts.once += 1;
        if let Some((_, seconds)) = before.as_ref().filter(|(sim, _)| sim.same(&once)) {
            counts.twice += seconds;
            continue;
        }
        let context = format!("{name}, original kept: {original}, {crash:?} at {first}");
        let mut sim = once.clone();
        let ending = sim.finish();
        check(&sim, &ending, &context);
        counts.distinct += 1;
        let mut seconds = 0;
        let mut last = once.clone();
        for second in (0..).take_while(|_| two) {
            let Some(twice) = killed(&once, second, crash) else { break };
            seconds += 1;
            if !twice.same(&last) {
                let mut sim = twice.clone();
                let ending = sim.finish();
                check(&sim, &ending, &format!("{context} and {second}"));
                counts.distinct += 1;
                last = twice;
            }
        }
        counts.twice += seconds;
        before = Some((once, seconds));
    }
    counts
}

fn all(original: bool, crash: Crash, two: bool) {
    all_of(&Plan::identity_loss(Reprovision::Allow), original, crash, two);
}

fn all_of(plan: &Rc<Plan>, original: bool, crash: Crash, two: bool) {
    let mut sum = Counts::default();
    for (name, hits) in variants() {
        let counts = schedules(plan, original, name, &hits, crash, two);
        assert!(counts.once > 40 && counts.distinct > 20, "{name}: hardly anything was killed");
        sum.once += counts.once;
        sum.twice += counts.twice;
        sum.distinct += counts.distinct;
    }
    println!(
        "original kept: {original}, {crash:?}: {} schedules with one crash, {} with two; {} distinct",
        sum.once, sum.twice, sum.distinct
    );
}

#[test]
fn it_recovers_without_a_crash_whatever_else_goes_wrong() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    for original in [true, false] {
        for (name, hits) in variants() {
            let mut sim = Sim::new(&plan, original, &hits);
            let ending = sim.finish();
            assert_eq!(ending.verdict, Verdict::Recovered, "{name}");
            check(&sim, &ending, name);
        }
    }
}

#[test]
fn killed_twice_at_every_boundary_with_the_original_kept() {
    all(true, Crash::Kill, true);
}

#[test]
fn killed_twice_at_every_boundary_with_the_original_gone() {
    all(false, Crash::Kill, true);
}

/// Where a pairing makes a new agent: what belonged to the old one hangs below the stable name in the end, and the old one is gone. The
/// world itself says so where one is evicted too early, or with something below it.
#[test]
fn killed_twice_at_every_boundary_where_a_new_agent_follows_the_old_one() {
    let plan = Plan::with_succession();
    all_of(&plan, true, Crash::Kill, false);
    all_of(&plan, false, Crash::Kill, true);
    for (name, hits) in variants() {
        let faults = ["reparent", "evict"].map(|step| hit(step, Fault::DropReply));
        let mut sim = Sim::new(&plan, false, &[&hits[..], &faults].concat());
        let ending = sim.finish();
        check(&sim, &ending, name);
        let authority = &sim.state.authority;
        assert_eq!(ending.verdict, Verdict::Recovered, "{name}");
        assert_eq!(
            (authority.agents.iter().collect::<Vec<_>>(), &authority.entry),
            (vec![&authority.serial], &None),
            "{name}"
        );
    }
}

#[test]
fn killed_twice_at_every_boundary_with_the_secrets_lost_each_time() {
    // With the original kept there is never a secret to lose: once is enough to see that.
    all(true, Crash::SecretsLost, false);
    all(false, Crash::SecretsLost, true);
}

#[test]
fn killed_at_every_boundary_and_resumed_after_every_token_expired() {
    all(true, Crash::LongDowntime, false);
    all(false, Crash::LongDowntime, false);
}

/// After a reboot the workload has a life that the run never saw, so a person may be needed; nothing else may go wrong.
#[test]
fn rebooted_at_every_boundary_nothing_is_done_twice_and_every_run_closes() {
    let plan = Plan::identity_loss(Reprovision::Allow);
    let (mut recovered, mut left) = (0, 0);
    for original in [true, false] {
        for (name, hits) in variants() {
            let start = Sim::new(&plan, original, &hits);
            for first in 0.. {
                let Some(mut sim) = killed(&start, first, Crash::Reboot) else { break };
                let ending = sim.finish();
                let told = || format!("{name}, original kept: {original}, at {first}: {ending:?} {:#?}", sim.kinds());
                assert!(sim.state.violations.is_empty(), "{:?} {}", sim.state.violations, told());
                assert!(!sim.state.authority.live(sim.now).any(|t| t.ours), "{}", told());
                if ending.verdict == Verdict::Recovered {
                    check(&sim, &ending, name);
                    recovered += 1;
                } else {
                    assert!(sim.asked > 0 || ending.reason.contains("3 tokens"), "nobody was asked: {}", told());
                    let paired = sim.state.authority.pairs > 0;
                    let kept_and_changed = original && sim.state.site.placement() != start.found;
                    assert_eq!(paired || kept_and_changed, !ending.residue.is_empty(), "{}", told());
                    left += 1;
                }
            }
        }
    }
    assert!(recovered > 1000, "a reboot is hardly ever survived: {recovered}");
    println!("rebooted: {recovered} schedules recovered, {left} were left to a person");
}
