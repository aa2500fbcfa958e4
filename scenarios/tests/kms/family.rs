//! What all of them share: each row has its procedure, each procedure its rules, and what is another's is named.

use std::collections::{BTreeMap, BTreeSet};

use recover_engine::{Asks, Guard, Outcome, StepSet as _};
use recover_scenarios::kms::{Event, Params, Step, class_of, diagnose, looks};
use recover_scenarios::{Family, names, of};
use recover_steps::kms::*;

/// Every ending of every look.
fn seen() -> Vec<Event> {
    let node = || Node("cp-1".into());
    let looks: [Step; 13] = [
        LookOpenbao {}.into(),
        ReadKey {}.into(),
        CompareConfig { node: node() }.into(),
        ReadRegistry { node: node() }.into(),
        LookAuth { node: node() }.into(),
        LookImage { node: node() }.into(),
        CheckProvider { node: node(), metadata_only: true }.into(),
        LookNode { node: node() }.into(),
        Converge {}.into(),
        ReadEncryption { node: node() }.into(),
        LookApiserver { node: node() }.into(),
        ScanEtcd {}.into(),
        ReadObjects {}.into(),
    ];
    let told = |step: &Step| {
        let name = step.doing().step;
        let happened = step.endings().into_iter().filter_map(|outcome| match outcome {
            Outcome::Happened(told) => Some(told),
            Outcome::Refused(_) => None,
        });
        happened.map(|told| Step::event(name, &told).expect("its own ending")).collect::<Vec<_>>()
    };
    looks.iter().flat_map(told).collect()
}

#[test]
fn k1_to_k20_each_row_is_named_by_a_look_with_a_procedure_that_exists() {
    let mut rows: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for class in seen().iter().filter_map(class_of) {
        assert!(!class.why.is_empty());
        if let (Some(row), Some(scenario)) = (class.row, class.scenario) {
            assert!(of(Family::Kms).any(|known| known.entry.name == scenario), "{scenario}");
            rows.entry(row).or_default().insert(scenario);
        }
    }
    // K16 shows as what is stored, K15 as what is configured; both have one procedure, as every row has.
    let expected: BTreeSet<String> = (1..=20).map(|n| format!("K{n}")).collect();
    assert_eq!(rows.keys().map(|row| (*row).to_owned()).collect::<BTreeSet<_>>(), expected);
    for (row, scenarios) in rows {
        assert_eq!(scenarios.len(), 1, "{row}: {scenarios:?}");
    }
}

#[test]
fn the_lowest_layer_that_fails_is_the_diagnosis_and_what_follows_from_it_stands_behind() {
    let nodes = [Node("cp-1".into()), Node("cp-2".into())];
    let steps = looks(&nodes);
    assert_eq!(steps.len(), 5 + 8 * 2, "five of the whole, eight of each node");
    for step in &steps {
        assert_eq!(step.doing().redoing.redo, recover_engine::Redo::Pure, "{step:?}");
        assert!(!matches!(step, Step::CheckProvider(check) if !check.metadata_only), "it would encrypt");
    }
    let sealed = Event::LookOpenbao(OpenbaoSeen::Sealed { what: "the server".into(), shares: "0 of 3".into() });
    let unhealthy = Event::LookApiserver(ApiserverSeen::KmsUnhealthy { instance: None, why: "kms".into() });
    let unreadable = Event::ReadObjects(ObjectsRead::Unreadable { objects: vec!["a".into()], why: "no".into() });
    let rows = |seen: &[&Event]| diagnose(seen.iter().copied()).iter().filter_map(|c| c.row).collect::<Vec<_>>();
    assert_eq!(rows(&[&sealed, &unhealthy, &unhealthy, &unreadable]), ["K3", "K1", "K11"]);
    assert_eq!(rows(&[&unreadable]), ["K11"], "only where nothing below is wrong");
    assert_eq!(rows(&[]), Vec::<&str>::new());
}

#[test]
fn what_is_in_no_procedure_is_in_no_graph() {
    let all: BTreeSet<String> = of(Family::Kms)
        .flat_map(|scenario| scenario.graph().nodes.iter())
        .filter_map(|node| match &node.asks {
            Asks::Do(step) => Some(step.clone()),
            Asks::Wait(_) | Asks::Ask(_) | Asks::Done => None,
        })
        .collect();
    for word in ["create", "delete", "rotate", "trim", "raise", "write", "unseal", "export"] {
        assert!(!all.iter().any(|step| step.contains(word) && step != "rewrite-objects"), "{word}: {all:?}");
    }
    assert!(all.len() > 30, "{all:?}");
}

#[test]
fn each_procedure_forbids_what_it_does_not_need() {
    for scenario in of(Family::Kms) {
        let asked: BTreeSet<String> = scenario
            .graph()
            .nodes
            .iter()
            .filter_map(|node| match &node.asks {
                Asks::Do(step) => Some(step.clone()),
                Asks::Wait(_) | Asks::Ask(_) | Asks::Done => None,
            })
            .collect();
        let never: Vec<String> = scenario
            .entry
            .guards()
            .into_iter()
            .filter_map(|guard| match guard {
                Guard::Never { step } => Some(step),
                _ => None,
            })
            .collect();
        assert!(never.len() >= 9, "{}: {never:?}", scenario.entry.name);
        assert!(never.iter().all(|step| !asked.contains(step)), "{}", scenario.entry.name);
    }
    assert_eq!(of(Family::Kms).count(), 12);
}

#[test]
fn parameters_name_the_nodes_and_nothing_that_is_not_one() {
    let read = serde_json::from_str::<Params>;
    let text = serde_json::to_string(&Params::sample(2)).expect("JSON");
    assert_eq!(read(&text).expect("its own"), Params::sample(2));
    assert!(read(&text.replace("settle_ms", "settle")).is_err());
    let (ending, _) = crate::story::Story::<recover_scenarios::kms_socket::Socket>::of(0).ends();
    assert_eq!(ending.suggested, None);
    assert_eq!(names::KMS_SOCKET, "kms-socket");
}
