//! The graph of a procedure with the way that a run took through it: every state in a row of its own, from the beginning down, and every
//! transition an arc beside them. Where rows and arcs are is computed here; a page and a report draw the same.

use std::collections::{BTreeMap, BTreeSet};

use recover_engine::{Asks, Graph};
use serde::Serialize;
use serde_json::{Value, json};

use super::Hop;

/// A graph laid out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Chart {
    pub(super) rows: Vec<Row>,
    pub(super) arcs: Vec<Arc>,
}

/// A state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Row {
    pub(super) state: String,
    /// What it asks for, in a word or two; an end asks for nothing.
    pub(super) asks: String,
    /// Whether the point of no return lies behind it.
    pub(super) committed: bool,
    pub(super) taken: bool,
    /// Whether the run is here, or ended here.
    pub(super) here: bool,
}

/// Every transition from one state to another.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(crate) struct Arc {
    pub(super) from: usize,
    pub(super) to: usize,
    /// How far beside the rows it goes, from 0.
    pub(super) lane: usize,
    pub(super) taken: bool,
}

impl Chart {
    pub(crate) fn of(graph: &Graph, way: &[Hop]) -> Self {
        let order = ordered(graph, way);
        let number: BTreeMap<&str, usize> = order.iter().enumerate().map(|(at, state)| (*state, at)).collect();
        let taken: BTreeSet<(&str, &str)> = way
            .windows(2)
            .filter_map(|pair| match pair {
                [from, to] => Some((from.state.as_str(), to.state.as_str())),
                _ => None,
            })
            .collect();
        let row = |state: &&str| {
            let node = graph.node(state);
            Row {
                state: (*state).to_owned(),
                asks: node.map(|node| asks(&node.asks)).unwrap_or_default(),
                committed: node.is_some_and(|node| node.committed),
                taken: way.iter().any(|hop| hop.state == **state),
                here: way.last().is_some_and(|hop| hop.state == **state),
            }
        };
        let pairs: BTreeSet<(&str, &str)> = graph
            .edges
            .iter()
            .filter(|(from, _, to)| from != to)
            .map(|(from, _, to)| (from.as_str(), to.as_str()))
            .collect();
        let arcs = pairs.into_iter().filter_map(|pair| {
            let (from, to) = (*number.get(pair.0)?, *number.get(pair.1)?);
            Some(Arc { from, to, lane: 0, taken: taken.contains(&pair) })
        });
        Self { rows: order.iter().map(row).collect(), arcs: laned(arcs.collect()) }
    }

    /// How many arcs lie beside each other at most.
    pub(super) fn lanes(&self) -> usize {
        self.arcs.iter().map(|arc| arc.lane + 1).max().unwrap_or_default()
    }

    /// As the page reads it.
    pub(crate) fn told(&self) -> Value {
        json!({ "rows": self.rows, "arcs": self.arcs, "words": self.words() })
    }

    /// What is to be seen, in words.
    pub(super) fn words(&self) -> String {
        let here = self.rows.iter().find(|row| row.here).map_or("", |row| row.state.as_str());
        let taken = self.rows.iter().filter(|row| row.taken).count();
        format!(
            "the procedure's {} states and the transitions between them; {taken} states were passed through, the last is {here}",
            self.rows.len()
        )
    }
}

fn asks(asks: &Asks) -> String {
    match asks {
        Asks::Do(step) => step.clone(),
        Asks::Wait(id) => format!("wait {id}"),
        Asks::Ask(id) => format!("{id}?"),
        Asks::Done => String::new(),
    }
}

/// Every state, those that lead to others before them as far as there is no way back; the run's own way first where there is a choice.
fn ordered<'a>(graph: &'a Graph, way: &[Hop]) -> Vec<&'a str> {
    let mut after: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (from, _, to) in &graph.edges {
        after.entry(from).or_default().push(to);
    }
    let mut first: BTreeMap<&str, usize> = BTreeMap::new();
    way.iter().enumerate().for_each(|(at, hop)| _ = first.entry(&hop.state).or_insert(at));
    let rank = |state: &str| first.get(state).map_or((1, 0), |at| (0, usize::MAX - at));
    for next in after.values_mut() {
        // What is left last stands first: so the way that was taken, and of it what came early.
        next.sort_by_key(|state| std::cmp::Reverse(rank(state)));
        next.dedup();
    }
    let mut left: Vec<&str> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::from([graph.initial.as_str()]);
    let mut path: Vec<(&str, usize)> = vec![(&graph.initial, 0)];
    while let Some((state, at)) = path.last_mut() {
        match after.get(state).and_then(|next| next.get(*at)) {
            Some(next) => {
                *at += 1;
                if seen.insert(next) {
                    path.push((next, 0));
                }
            }
            None => {
                left.push(state);
                path.pop();
            }
        }
    }
    left.reverse();
    // A graph is somebody else's data: what cannot be reached is a state all the same.
    left.extend(graph.nodes.iter().map(|node| node.state.as_str()).filter(|state| !seen.contains(state)));
    left
}

/// Gives each arc the innermost lane that is free along it; short ones first, so that they stay close. Arcs that lead to the same state
/// run together.
fn laned(mut arcs: Vec<Arc>) -> Vec<Arc> {
    arcs.sort_by_key(|arc| (!arc.taken, arc.from.abs_diff(arc.to), arc.from, arc.to));
    let mut lanes: Vec<Vec<(usize, usize, usize)>> = Vec::new();
    for arc in &mut arcs {
        let (from, to) = (arc.from.min(arc.to), arc.from.max(arc.to));
        let free = |lane: &Vec<(usize, usize, usize)>| {
            lane.iter().all(|(begin, end, leads)| *leads == arc.to || *end <= from || to <= *begin)
        };
        let free = lanes.iter().position(free);
        arc.lane = free.unwrap_or(lanes.len());
        let taken = (from, to, arc.to);
        match free.and_then(|lane| lanes.get_mut(lane)) {
            Some(lane) => lane.push(taken),
            None => lanes.push(vec![taken]),
        }
    }
    arcs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(state: &str) -> Hop {
        Hop { by: "x".into(), state: state.into(), committed: false }
    }

    #[test]
    fn every_state_and_transition_of_every_procedure_is_there_once() {
        for known in &recover_scenarios::SCENARIOS {
            let graph = known.graph();
            let chart = Chart::of(graph, &[hop(&graph.initial)]);
            let states: BTreeSet<&str> = chart.rows.iter().map(|row| row.state.as_str()).collect();
            assert_eq!((states.len(), chart.rows.len()), (graph.nodes.len(), graph.nodes.len()));
            assert_eq!(chart.rows[0].state, graph.initial);
            let pairs: BTreeSet<(&str, &str)> =
                graph.edges.iter().filter(|(f, _, t)| f != t).map(|(f, _, t)| (f.as_str(), t.as_str())).collect();
            let drawn: BTreeSet<(&str, &str)> = chart
                .arcs
                .iter()
                .map(|arc| (chart.rows[arc.from].state.as_str(), chart.rows[arc.to].state.as_str()))
                .collect();
            assert_eq!((drawn.len(), &drawn), (chart.arcs.len(), &pairs));
            // Two arcs in one lane do not lie over each other.
            for (at, one) in chart.arcs.iter().enumerate() {
                for other in &chart.arcs[at + 1..] {
                    let apart = one.from.max(one.to) <= other.from.min(other.to)
                        || other.from.max(other.to) <= one.from.min(one.to);
                    assert!(one.lane != other.lane || one.to == other.to || apart, "{one:?} {other:?}");
                }
            }
        }
    }

    #[test]
    fn the_way_is_marked_and_so_is_where_it_ends() {
        let edge = |from: &str, to: &str| (from.to_owned(), "go".to_owned(), to.to_owned());
        let node = |state: &str| recover_engine::Node { state: state.into(), asks: Asks::Done, committed: false };
        let mut graph = Graph {
            initial: "a".into(),
            nodes: ["a", "b", "c", "alone"].map(node).into(),
            edges: vec![edge("a", "b"), edge("a", "c"), edge("b", "c"), edge("c", "a")],
        };
        graph.normalise();
        let chart = Chart::of(&graph, &[hop("a"), hop("c"), hop("a")]);
        let rows: Vec<(&str, bool, bool)> =
            chart.rows.iter().map(|row| (row.state.as_str(), row.taken, row.here)).collect();
        assert_eq!(rows, [("a", true, true), ("b", false, false), ("c", true, false), ("alone", false, false)]);
        let taken: Vec<(usize, usize)> =
            chart.arcs.iter().filter(|arc| arc.taken).map(|arc| (arc.from, arc.to)).collect();
        assert_eq!(taken, [(0, 2), (2, 0)]);
    }
}
