//! Whatever was captured or said, a report shows it and obeys none of it.

use proptest::prelude::*;

use super::*;

fn of(text: &str) -> Report {
    let blocks = vec![
        Block::Heading(text.into()),
        Block::Text(text.into()),
        Block::Facts(vec![("Run", text.into())]),
        Block::Table("steps", told::ANSWERS, vec![vec![text.into(); 5]]),
        Block::List(vec![text.into()]),
        Block::Captured(text.into(), text.into()),
        Block::Path(vec![Hop { by: text.into(), state: text.into(), committed: true }; 2]),
        Block::Chart(chart(text)),
    ];
    Report { title: text.into(), blocks }
}

/// A graph of two states of that name, more or less.
fn chart(text: &str) -> Chart {
    let hop = |state: String| Hop { by: text.into(), state, committed: true };
    let node = |state: &str| recover_engine::Node {
        state: state.into(),
        asks: recover_engine::Asks::Do(text.into()),
        committed: true,
    };
    let (one, other) = (format!("{text}1"), format!("{text}2"));
    let mut graph = Graph {
        initial: one.clone(),
        nodes: vec![node(&one), node(&other)],
        edges: vec![(one.clone(), text.into(), other.clone())],
    };
    graph.normalise();
    Chart::of(&graph, &[hop(one), hop(other)])
}

/// The names of the tags in a page.
fn tags(page: &str) -> Vec<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_ascii_alphanumeric() || "!/".contains(*c)).collect();
    page.split('<').skip(1).map(name).collect()
}

proptest! {
    #[test]
    fn nothing_in_a_text_is_a_tag_or_an_entity(text in "(<script>|</pre>|<!--|&amp;|&|\"|'|\\PC|\u{1b}|\u{7f}){0,20}") {
        let (page, plain) = (html(&of(&text)), html(&of("plain")));
        prop_assert_eq!(tags(&page), tags(&plain));
        prop_assert!(!page.contains(['\u{1b}', '\u{7f}']), "a control character is there as it came");
        prop_assert!(page.contains("default-src 'none'"), "it may load something");
    }

    #[test]
    fn nothing_in_a_text_ends_its_fence_or_its_cell(text in "(`{1,6}|\\||\n|# |<b>|\\[x\\]\\(y\\)|\\PC){0,20}") {
        let page = markdown(&of(&text));
        let rows = page.lines().filter(|line| line.starts_with("| ")).count();
        let plain = markdown(&of("plain")).lines().filter(|line| line.starts_with("| ")).count();
        let inside = text.lines().filter(|line| line.starts_with("| ")).count();
        prop_assert_eq!(rows, plain + inside);
        let fence = page.lines().find(|line| line.ends_with("text") && line.starts_with("```")).unwrap();
        let fence = fence.trim_end_matches("text");
        prop_assert_eq!(page.lines().filter(|line| *line == fence).count(), 1, "it ends once");
    }
}

#[test]
fn rules_are_sentences() {
    for scenario in &recover_scenarios::SCENARIOS {
        for guard in scenario.entry.guards() {
            let sentence = told::guard(&guard);
            assert!(sentence.contains(": ") && !sentence.contains('{'), "{sentence}");
        }
    }
}
