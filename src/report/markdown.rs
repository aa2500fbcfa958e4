//! A report as Markdown: readable as it stands, and safe to render, whatever the texts in it are.

use std::fmt::Write as _;

use super::{Block, Hop, Report};
use crate::line;

/// The report, as CommonMark with tables.
pub(crate) fn markdown(report: &Report) -> String {
    let mut out = format!("# {}\n", inline(&report.title));
    for block in &report.blocks {
        out.push('\n');
        write(&mut out, block);
    }
    out
}

// Writing to a string cannot fail.
fn write(out: &mut String, block: &Block) {
    match block {
        Block::Heading(text) => _ = writeln!(out, "## {}", inline(text)),
        Block::Text(text) => _ = writeln!(out, "{}", inline(text)),
        Block::Facts(facts) => {
            out.push_str("| | |\n|---|---|\n");
            facts.iter().for_each(|(name, value)| _ = writeln!(out, "| {name} | {} |", inline(value)));
        }
        Block::Table(_, columns, rows) => {
            _ = writeln!(out, "| {} |\n|{}", columns.join(" | "), "---|".repeat(columns.len()));
            for row in rows {
                let cells: Vec<String> = row.iter().map(|cell| inline(cell)).collect();
                _ = writeln!(out, "| {} |", cells.join(" | "));
            }
        }
        Block::List(lines) => lines.iter().for_each(|line| _ = writeln!(out, "- {}", inline(line))),
        Block::Captured(caption, text) => {
            let fence = fence(text);
            _ = writeln!(out, "{}\n\n{fence}text\n{}\n{fence}", inline(caption), line::plain(text));
        }
        Block::Path(hops) => {
            hops.iter().enumerate().for_each(|(at, hop)| _ = writeln!(out, "{}. {}", at + 1, passed(hop)))
        }
        // A drawing is for a page; in words, what was not gone through is what is left to say.
        Block::Chart(chart) => {
            let rest: Vec<String> = chart.rows.iter().filter(|row| !row.taken).map(|row| inline(&row.state)).collect();
            _ = writeln!(out, "States of the procedure that were not passed through: {}", rest.join(", "));
        }
    }
}

fn passed(hop: &Hop) -> String {
    let committed = if hop.committed { " (past the point of no return)" } else { "" };
    format!("{} by {}{committed}", inline(&hop.state), inline(&hop.by))
}

/// Nothing in it is markup.
fn inline(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in line::shown(text).chars() {
        if c.is_ascii_punctuation()
            && !matches!(c, '.' | ',' | ':' | ';' | '/' | '-' | '(' | ')' | '?' | '%' | '=' | '+' | '\'')
        {
            out.push('\\');
        }
        out.push(c);
    }
    out
}

/// A fence that the text cannot end.
fn fence(text: &str) -> String {
    let longest = text.split(|c| c != '`').map(str::len).max().unwrap_or_default();
    "`".repeat(longest.max(2) + 1)
}
