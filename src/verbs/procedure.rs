//! What the procedures are: listed, drawn, walked.

use recover_engine::explore;
use recover_scenarios::SCENARIOS;
use serde_json::json;

use crate::fault::{Code, Exit, Fault};
use crate::printer::Printer;
use crate::verbs::act;

pub(super) fn scenarios(printer: Printer) -> Result<Exit, Fault> {
    for scenario in &SCENARIOS {
        let entry = &scenario.entry;
        let value = json!({
            "schema": "recover.scenario/v1", "name": entry.name, "version": entry.version, "title": entry.title,
            "digest": scenario.digest().to_string(), "states": scenario.graph().nodes.len(),
            "guards": entry.guards(),
        });
        printer.show(&value, || format!("{:<16} v{}  {}", entry.name, entry.version, entry.title));
    }
    Ok(Exit::Done)
}

pub(super) fn graph(name: &str, format: &str, printer: Printer) -> Result<Exit, Fault> {
    let graph = act::scenario(Some(name))?.graph();
    let text = match format {
        "dot" => graph.dot(),
        "matrix" => graph.matrix(),
        "json" => serde_json::to_string(graph).map_err(|e| Fault::caused(Code::Bug, "the graph", &e))?,
        _ => graph.mermaid(),
    };
    printer.data(text.trim_end());
    Ok(Exit::Done)
}

pub(super) fn check(name: Option<&str>, printer: Printer) -> Result<Exit, Fault> {
    let chosen: Vec<_> = match name {
        Some(name) => vec![act::scenario(Some(name))?],
        None => SCENARIOS.iter().collect(),
    };
    let mut exit = Exit::Done;
    for scenario in chosen {
        let explored = explore(&scenario.entry);
        let same = explored.graph == *scenario.graph();
        let flaws: Vec<String> = explored.flaws.iter().map(ToString::to_string).collect();
        let verdicts: Vec<&str> = explored.verdicts.iter().map(|v| v.as_str()).collect();
        let value = json!({
            "schema": "recover.check/v1", "scenario": scenario.entry.name, "situations": explored.situations,
            "transitions": explored.transitions, "verdicts": verdicts, "flaws": flaws, "graph_is_golden": same,
        });
        printer.show(&value, || {
            format!(
                "{}: {} situations, {} transitions, ends: {}; {}",
                scenario.entry.name,
                explored.situations,
                explored.transitions,
                verdicts.join(", "),
                if flaws.is_empty() && same { "no flaw".to_owned() } else { flaws.join("; ") }
            )
        });
        if !flaws.is_empty() || !same {
            exit = Exit::Bug;
        }
    }
    Ok(exit)
}
