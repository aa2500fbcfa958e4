//! What the registry hands out, and where a look at the connector leads when there is nothing to recover.

#![expect(clippy::expect_used, clippy::panic, reason = "the helpers of a test fail as a test does")]

use std::sync::Arc;

use recover_engine::{Begun, Ending, Input, Json, Next, Outcome, Scenario, Verdict};
use recover_scenarios::identity_loss::{Event, IdentityLoss, Params};
use recover_scenarios::{find, names};
use recover_steps::Observed;

#[test]
fn a_scenario_is_found_by_its_name_alone() {
    assert_eq!(find("identity-loss").map(|found| found.entry.name), Some("identity-loss"));
    assert!(find("identity").is_none());
}

#[test]
fn a_run_of_this_builds_graph_shares_it_and_one_of_another_is_held_to_its_digest() {
    let registered = find("identity-loss").expect("registered");
    let begun = registered.charter(|begun| begun).begun;
    let charter = |begun: Begun| registered.charter_of(begun);
    let shared = charter(begun.clone()).expect("its own");
    let again = charter(begun.clone()).expect("its own");
    // Parsing it anew for each run is what a fleet of them would notice.
    assert!(Arc::ptr_eq(&shared.graph, &again.graph) && Arc::ptr_eq(&shared.guards, &again.guards));
    assert_eq!((&*shared.graph, registered.digest()), (registered.graph(), shared.begun.digest));

    let none = Json::of(&Vec::<recover_engine::Guard>::new());
    let without_guards = Begun { guards: none, ..begun.clone() };
    assert!(charter(without_guards).is_err(), "the guards are not those of the digest");
    let without_graph = Begun { graph: Json::of(&recover_engine::Graph::default()), ..begun.clone() };
    assert!(charter(without_graph).is_err(), "the graph is not that of the digest");
    assert!(charter(Begun { digest: Default::default(), ..begun }).is_err(), "the digest is another's");
}

fn after(observed: Observed) -> Ending {
    let seen = Input::Outcome(Outcome::Happened(Event::Observe(observed)));
    let state = IdentityLoss::begin(Params::default()).apply(&seen).expect("an ending of the first step");
    assert!(!state.committed());
    match state.next() {
        Next::Done(ending) => ending,
        other @ (Next::Do(_) | Next::Wait(_) | Next::Ask(_)) => panic!("not an end: {other:?}"),
    }
}

#[test]
fn what_is_no_identity_loss_ends_with_the_name_of_the_scenario_that_it_is() {
    let status = || "offline".to_owned();
    let ending = |observed| {
        let ending = after(observed);
        (ending.verdict, ending.suggested.map(|name| name.to_string()))
    };
    let suggested = |name: &str| (Verdict::NotApplicable, Some(name.to_owned()));
    let usable =
        |online| Observed::Usable { status: status(), online, serial: "s1".into(), running: None, last_seen: None };
    assert_eq!(ending(usable(true)), (Verdict::NotApplicable, None));
    assert_eq!(ending(usable(false)), suggested(names::RECONNECT_FAILURE));
    assert_eq!(ending(Observed::NeverPaired { status: status() }), suggested(names::BOOTSTRAP_FAILURE));
    assert_eq!(ending(Observed::Unclear { why: status() }), (Verdict::GivenUp, None));
}
