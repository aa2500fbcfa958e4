//! The graph of a scenario as data: found by the explorer, carried in every run, drawn for people.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

/// What a state asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", content = "name", rename_all = "kebab-case")]
pub enum Asks {
    /// A step.
    Do(String),
    /// A wait.
    Wait(String),
    /// A question.
    Ask(String),
    /// An end.
    Done,
}

/// One state.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub state: String,
    /// What it asks for.
    pub asks: Asks,
    /// Whether the point of no return lies behind it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub committed: bool,
}

/// One transition: from, the label of the input, to.
pub type Edge = (String, String, String);

/// States and transitions, sorted, so that equal graphs are equal texts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Graph {
    /// The state a run begins in.
    pub initial: String,
    /// Every state.
    pub nodes: Vec<Node>,
    /// Every transition.
    pub edges: Vec<Edge>,
}

impl Graph {
    /// The state of that name.
    #[must_use]
    pub fn node(&self, state: &str) -> Option<&Node> {
        self.nodes.binary_search_by(|node| node.state.as_str().cmp(state)).ok().and_then(|i| self.nodes.get(i))
    }

    /// Whether this input leads from the one state to the other.
    #[must_use]
    pub fn leads(&self, from: &str, label: &str, to: &str) -> bool {
        self.edges.binary_search_by(|(f, l, t)| (f.as_str(), l.as_str(), t.as_str()).cmp(&(from, label, to))).is_ok()
    }

    /// Sorts and removes doubles.
    pub fn normalise(&mut self) {
        self.nodes.sort();
        self.nodes.dedup();
        self.edges.sort();
        self.edges.dedup();
    }

    /// The transitions grouped by pair of states.
    fn grouped(&self) -> BTreeMap<(&str, &str), Vec<&str>> {
        let mut arrows: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
        for (from, label, to) in &self.edges {
            arrows.entry((from, to)).or_default().push(label);
        }
        arrows
    }

    /// As a Mermaid state diagram.
    #[must_use]
    pub fn mermaid(&self) -> String {
        let id = |state: &str| state.replace('-', "_");
        let mut out = String::from("stateDiagram-v2\n");
        // Writing to a String cannot fail.
        let _ = writeln!(out, "    [*] --> {}", id(&self.initial));
        for node in &self.nodes {
            let _ = writeln!(out, "    {}: {}{}", id(&node.state), node.state, note(node));
        }
        for ((from, to), labels) in self.grouped() {
            let _ = writeln!(out, "    {} --> {}: {}", id(from), id(to), labels.join(", ").replace(':', "·"));
        }
        for node in self.nodes.iter().filter(|node| node.asks == Asks::Done) {
            let _ = writeln!(out, "    {} --> [*]", id(&node.state));
        }
        out
    }

    /// As a DOT digraph.
    #[must_use]
    pub fn dot(&self) -> String {
        let mut out = String::from("digraph {\n    rankdir=TB;\n    node [shape=box, fontname=\"sans-serif\"];\n");
        for node in &self.nodes {
            let style = match (&node.asks, node.committed) {
                (Asks::Done, _) => ", shape=doublecircle",
                (Asks::Ask(_), _) => ", shape=diamond",
                (_, true) => ", style=filled, fillcolor=\"#ffe0cc\"",
                _ => "",
            };
            let _ = writeln!(out, "    \"{}\" [label=\"{}{}\"{style}];", node.state, node.state, note(node));
        }
        for ((from, to), labels) in self.grouped() {
            let _ = writeln!(out, "    \"{from}\" -> \"{to}\" [label=\"{}\"];", labels.join("\\n"));
        }
        out.push_str("}\n");
        out
    }

    /// The matrix state × input as Markdown: where each input leads, empty where it is illegal.
    #[must_use]
    pub fn matrix(&self) -> String {
        let labels: BTreeSet<&str> = self.edges.iter().map(|(_, label, _)| label.as_str()).collect();
        let mut out = String::from("| input \\ state |");
        for node in &self.nodes {
            let _ = write!(out, " {} |", node.state);
        }
        out.push_str("\n|---|");
        out.push_str(&"---|".repeat(self.nodes.len()));
        out.push('\n');
        for label in labels {
            let _ = write!(out, "| `{label}` |");
            for node in &self.nodes {
                let to: Vec<&str> = self
                    .edges
                    .iter()
                    .filter(|(from, l, _)| *from == node.state && l == label)
                    .map(|(_, _, to)| to.as_str())
                    .collect();
                let _ = write!(out, " {} |", to.join(", "));
            }
            out.push('\n');
        }
        out
    }
}

fn note(node: &Node) -> String {
    let does = match &node.asks {
        Asks::Do(step) => format!(" / {step}"),
        Asks::Wait(id) => format!(" / wait {id}"),
        Asks::Ask(id) => format!(" / {id}?"),
        Asks::Done => String::new(),
    };
    if node.committed && node.asks != Asks::Done { format!("{does} (no return)") } else { does }
}
