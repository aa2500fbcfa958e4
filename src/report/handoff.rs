//! A run handed to a person, as a document.

use super::{Block, Report, some};
use crate::handoff::Handoff;

/// The document.
pub(crate) fn handoff(handed: &Handoff) -> Report {
    let mut blocks = vec![Block::Facts(vec![
        ("Run", handed.run.clone()),
        ("State", handed.state.clone()),
        ("Last record", handed.at.clone()),
        ("Point of no return", if handed.past_no_return { "passed" } else { "not passed" }.to_owned()),
    ])];
    blocks.extend(handed.warnings().into_iter().map(Block::Text));
    for (at, left) in handed.left.iter().enumerate() {
        let does = if left.changes { "changes" } else { "looks" };
        let behind = if left.past_no_return { ", past the point of no return" } else { "" };
        blocks.push(Block::Heading(format!("{}. {}", at + 1, left.what)));
        let note = left.note.as_ref().map(|note| format!("; {note}")).unwrap_or_default();
        let caption = format!("State {}, {does}{behind}{note}", left.state);
        blocks.push(if left.commands.is_empty() {
            Block::Text(caption)
        } else {
            Block::Captured(caption, left.commands.join("\n"))
        });
    }
    for (head, lines) in handed.lists() {
        for list in some(Block::List(lines.to_vec())) {
            let head = head.trim_end_matches(':');
            let (first, rest) = head.split_at(1);
            blocks.push(Block::Heading(format!("{}{rest}", first.to_uppercase())));
            blocks.push(list);
        }
    }
    Report { title: format!("Handoff: {} on {}", handed.scenario, handed.target), blocks }
}
