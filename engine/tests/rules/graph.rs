//! The graph: its questions, its order, and how it is drawn.

use recover_engine::{Asks, Graph, Node};

fn node(state: &str, asks: Asks, committed: bool) -> Node {
    Node { state: state.into(), asks, committed }
}

fn edge(from: &str, label: &str, to: &str) -> (String, String, String) {
    (from.into(), label.into(), to.into())
}

fn sample() -> Graph {
    let mut graph = Graph {
        initial: "to-pair".into(),
        nodes: vec![
            node("to-pair", Asks::Do("pair".into()), false),
            node("asking", Asks::Ask("again".into()), false),
            node("resting", Asks::Wait("rest".into()), true),
            node("closed", Asks::Done, false),
            node("asking", Asks::Ask("again".into()), false),
        ],
        edges: vec![
            edge("to-pair", "pair:paired", "resting"),
            edge("to-pair", "pair:refused", "asking"),
            edge("asking", "again:deny", "closed"),
            edge("asking", "again:expired", "closed"),
            edge("asking", "again:approve", "to-pair"),
            edge("resting", "rest:elapsed", "closed"),
            edge("asking", "again:deny", "closed"),
        ],
    };
    graph.normalise();
    graph
}

#[test]
fn it_finds_its_states_and_transitions_and_no_others() {
    let graph = sample();
    assert_eq!((graph.nodes.len(), graph.edges.len()), (4, 6), "doubles are gone");
    for (from, label, to) in &graph.edges {
        assert!(graph.leads(from, label, to) && graph.node(from).is_some() && graph.node(to).is_some());
        assert!(!graph.leads(to, label, from), "backwards");
        assert!(!graph.leads(from, "pair:other", to));
    }
    assert_eq!(graph.node("resting").map(|n| n.committed), Some(true));
    assert_eq!(graph.node("nowhere"), None);
}

#[test]
fn equal_graphs_are_equal_texts_and_come_back_from_them() {
    let graph = sample();
    let mut shuffled = graph.clone();
    shuffled.nodes.reverse();
    shuffled.edges.rotate_left(2);
    shuffled.normalise();
    let text = serde_json::to_string(&graph).unwrap();
    assert_eq!(text, serde_json::to_string(&shuffled).unwrap());
    assert_eq!(serde_json::from_str::<Graph>(&text).unwrap(), graph);
    assert!(text.contains(r#"{"state":"resting","asks":{"kind":"wait","name":"rest"},"committed":true}"#), "{text}");
}

#[test]
fn it_is_drawn_for_mermaid() {
    assert_eq!(
        sample().mermaid(),
        "stateDiagram-v2\n    [*] --> to_pair\n    asking: asking / again?\n    closed: closed\n    \
         resting: resting / wait rest (no return)\n    to_pair: to-pair / pair\n    \
         asking --> closed: again·deny, again·expired\n    asking --> to_pair: again·approve\n    \
         resting --> closed: rest·elapsed\n    to_pair --> asking: pair·refused\n    \
         to_pair --> resting: pair·paired\n    closed --> [*]\n"
    );
}

#[test]
fn it_is_drawn_for_graphviz() {
    let dot = sample().dot();
    assert!(dot.starts_with("digraph {\n") && dot.ends_with("}\n"));
    for line in [
        r#"    "asking" [label="asking / again?", shape=diamond];"#,
        r#"    "closed" [label="closed", shape=doublecircle];"#,
        r##"    "resting" [label="resting / wait rest (no return)", style=filled, fillcolor="#ffe0cc"];"##,
        r#"    "to-pair" [label="to-pair / pair"];"#,
        r#"    "asking" -> "closed" [label="again:deny\nagain:expired"];"#,
    ] {
        assert!(dot.lines().any(|l| l == line), "{line} is not in\n{dot}");
    }
}

#[test]
fn the_matrix_shows_where_each_input_leads_and_nothing_where_it_is_illegal() {
    let matrix = sample().matrix();
    let lines: Vec<&str> = matrix.lines().collect();
    assert_eq!(lines[0], "| input \\ state | asking | closed | resting | to-pair |");
    assert_eq!(lines[1], "|---|---|---|---|---|");
    assert!(lines.contains(&"| `again:approve` | to-pair |  |  |  |"), "{matrix}");
    assert!(lines.contains(&"| `pair:refused` |  |  |  | asking |"), "{matrix}");
    assert_eq!(lines.len(), 2 + 6);
}
