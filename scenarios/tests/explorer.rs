//! Every scenario of the registry is walked exhaustively, each by a test of its own; its graph and matrix are golden files.
//! `GOLDEN=write cargo test -p recover-scenarios --test explorer` renews them.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as a test does")]

use std::path::{Path, PathBuf};

use recover_engine::{AskedFor, Explored, explore};
use recover_scenarios::{SCENARIOS, find};

fn golden(name: &str, text: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("graphs").join(name);
    if std::env::var_os("GOLDEN").is_some_and(|v| v == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} is not what the explorer finds; `cargo xtask graphs` renews it", path.display());
}

/// The guards, and what each state asks for where it is reached first: texts, limits and all that a step is given.
fn in_full(name: &str, explored: &Explored) -> String {
    let mut text = String::from("never:\n");
    for guard in find(name).unwrap().entry.guards() {
        text += &format!("    {guard:?}\n");
    }
    for ((state, _), AskedFor { epoch, next }) in &explored.asked {
        text += &format!(
            "\n{state}, {}:\n",
            epoch.as_deref().map_or("of no loss yet".into(), |epoch| format!("of {epoch:?}"))
        );
        let asked = format!("{next:#?}");
        asked.lines().for_each(|line| text += &format!("    {line}\n"));
    }
    text
}

fn its_graph_and_matrix_are_the_golden_ones(name: &str, explored: &Explored) {
    let json = serde_json::to_string(&explored.graph).unwrap() + "\n";
    golden(&format!("{name}.json"), &json);
    golden(&format!("{name}.mmd"), &explored.graph.mermaid());
    golden(&format!("{name}.dot"), &explored.graph.dot());
    golden(&format!("{name}.md"), &explored.graph.matrix());
    golden(&format!("{name}.txt"), &in_full(name, explored));
}

fn it_keeps_its_guards_and_reaches_an_end_from_everywhere(name: &str) {
    let explored = explore(&find(name).unwrap().entry);
    let flaws: Vec<String> = explored.flaws.iter().take(5).map(ToString::to_string).collect();
    assert!(flaws.is_empty(), "{name}: {} flaws, the first: {flaws:#?}", explored.flaws.len());
    assert!(explored.transitions > explored.situations, "{name}: nothing was walked");
    println!("{name}: {} situations, {} transitions", explored.situations, explored.transitions);
    its_graph_and_matrix_are_the_golden_ones(name, &explored);
}

macro_rules! walked {
    ($($test:ident: $name:literal),+ $(,)?) => {
        $(#[test]
        fn $test() {
            it_keeps_its_guards_and_reaches_an_end_from_everywhere($name);
        })+

        #[test]
        fn every_scenario_is_walked() {
            let registered: Vec<&str> = SCENARIOS.iter().map(|scenario| scenario.entry.name).collect();
            assert_eq!(registered, [$($name),+], "the list in this file, in the order of the registry");
        }
    };
}

walked! {
    bootstrap_failure: "bootstrap-failure",
    crash_loop: "crash-loop",
    identity_loss: "identity-loss",
    kms_aad_mismatch: "kms-aad-mismatch",
    kms_auth: "kms-auth",
    kms_identity_fallback: "kms-identity-fallback",
    kms_key_id_mismatch: "kms-key-id-mismatch",
    kms_key_missing: "kms-key-missing",
    kms_min_decryption: "kms-min-decryption",
    kms_openbao_unavailable: "kms-openbao-unavailable",
    kms_socket: "kms-socket",
    kms_static_pod_image: "kms-static-pod-image",
    kms_transit_profile: "kms-transit-profile",
    kms_unknown_key_id: "kms-unknown-key-id",
    kms_version_drift: "kms-version-drift",
    reconnect_failure: "reconnect-failure",
}
