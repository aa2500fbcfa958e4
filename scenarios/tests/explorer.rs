//! Every scenario of the registry is walked exhaustively; its graph and matrix are golden files.
//! `GOLDEN=write cargo test -p recover-scenarios --test explorer` renews them.

#![expect(clippy::unwrap_used, reason = "the helpers of a test fail as a test does")]

use std::path::{Path, PathBuf};

use recover_engine::{Explored, explore};
use recover_scenarios::SCENARIOS;

fn golden(name: &str, text: &str) {
    let path: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("graphs").join(name);
    if std::env::var_os("GOLDEN").is_some_and(|v| v == "write") {
        std::fs::write(&path, text).unwrap();
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == text, "{} is not what the explorer finds; `cargo xtask graphs` renews it", path.display());
}

fn explored() -> Vec<(&'static str, Explored)> {
    SCENARIOS.iter().map(|scenario| (scenario.entry.name, explore(&scenario.entry))).collect()
}

#[test]
fn every_scenario_keeps_its_guards_and_reaches_an_end_from_everywhere() {
    for (name, explored) in explored() {
        let flaws: Vec<String> = explored.flaws.iter().take(5).map(ToString::to_string).collect();
        assert!(flaws.is_empty(), "{name}: {} flaws, the first: {flaws:#?}", explored.flaws.len());
        assert!(explored.transitions > explored.situations, "{name}: nothing was walked");
        println!("{name}: {} situations, {} transitions", explored.situations, explored.transitions);
    }
}

#[test]
fn the_graphs_and_matrices_are_the_golden_ones() {
    for (name, explored) in explored() {
        let json = serde_json::to_string(&explored.graph).unwrap() + "\n";
        golden(&format!("{name}.json"), &json);
        golden(&format!("{name}.mmd"), &explored.graph.mermaid());
        golden(&format!("{name}.dot"), &explored.graph.dot());
        golden(&format!("{name}.md"), &explored.graph.matrix());
    }
}
