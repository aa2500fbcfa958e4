//! The end never says of the workload what is not known: whether it is left running or stopped.

use recover_engine::{Ending, Stop, Verdict};
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
