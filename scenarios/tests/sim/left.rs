//! The end never says of the workload what is not known: whether it is left running or stopped.

use recover_engine::{Ending, Stop, Verdict, Wish};
use recover_scenarios::identity_loss::Reprovision;

use crate::host::Scripted;
use crate::trial::{End, NEVER, Plan, Sim};
use crate::world::{Fault, Hit};

fn ended(original: bool, hits: &[Hit], script: &[Scripted]) -> (Ending, Sim) {
    let mut sim = Sim::new(&Plan::identity_loss(Reprovision::Allow), original, hits);
    match sim.go(NEVER, script, true).end {
        End::Stopped(Stop::Closed(ending)) => (ending, sim),
        other => panic!("{other:?}; {:#?}", sim.kinds()),
    }
}

fn left(ending: &Ending) -> &str {
    ending.workload.as_ref().map_or("", |workload| &workload.left)
}

/// It was said to be left stopped, because it could not be started again; it had never been stopped.
#[test]
fn where_neither_a_stop_nor_a_start_worked_it_is_not_said_to_be_stopped() {
    let refused = |step| Hit { step, fault: Fault::Refuse, skip: 0, times: 1 };
    let (ending, sim) = ended(false, &[refused("stop"), refused("start")], &[]);
    assert_eq!((ending.verdict, left(&ending)), (Verdict::GivenUp, "unknown"));
    assert!(sim.state.site.running.is_some(), "it ran all the time");
}

/// It was said to run on, because it could not be stopped again; it had never been started.
#[test]
fn where_neither_a_start_nor_a_stop_worked_it_is_not_said_to_run() {
    let start = Hit { step: "start", fault: Fault::Refuse, skip: 0, times: 1 };
    let stop = Hit { step: "stop", fault: Fault::Refuse, skip: 1, times: 1 };
    let (ending, sim) = ended(true, &[start, stop], &[]);
    assert_eq!((ending.verdict, left(&ending)), (Verdict::GivenUp, "unknown"));
    assert!(sim.state.site.running.is_none(), "it never ran again");
}

/// It was said to be left running, because it had paired; it had been stopped by the pairing's fence and did not start.
#[test]
fn paired_and_not_started_it_is_not_said_to_run() {
    let late = Hit { step: "pair", fault: Fault::Late(1), skip: 0, times: 1 };
    let start = Hit { step: "start", fault: Fault::Refuse, skip: 0, times: 1 };
    let mut sim = Sim::new(&Plan::identity_loss(Reprovision::Allow), false, &[late, start]);
    assert!(matches!(sim.go(NEVER, &[], false).end, End::Stopped(Stop::Asked { .. })), "{:#?}", sim.kinds());
    let deny = Wish::Answer { question: None, choice: "deny".into(), reason: "leave it".into() };
    match sim.go(NEVER, &[Scripted { at: 0, wish: deny }], false).end {
        End::Stopped(Stop::Closed(ending)) => assert_eq!(left(&ending), "unknown"),
        other => panic!("{other:?}; {:#?}", sim.kinds()),
    }
    assert!(sim.state.site.running.is_none() && sim.state.authority.pairs == 1);
}

/// It was said to be left stopped, as it was found; something else had started it, and the run had seen that.
#[test]
fn seen_running_when_it_had_to_be_stopped_it_is_not_said_to_be_stopped() {
    let hits = [Hit { step: "prove-stopped", fault: Fault::Bad, skip: 0, times: 1 }];
    let mut sim = Sim::new(&Plan::identity_loss(Reprovision::Allow), false, &hits).prepared(|state| state.site.stop());
    match sim.go(NEVER, &[], false).end {
        End::Stopped(Stop::Closed(ending)) => {
            assert_eq!((ending.verdict, left(&ending)), (Verdict::GivenUp, "unknown"))
        }
        other => panic!("{other:?}; {:#?}", sim.kinds()),
    }
    assert!(sim.state.site.running.is_some(), "something runs it");
}
