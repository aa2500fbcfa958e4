//! A report as one page that needs nothing else: no network, no script, light and dark, narrow and wide, on paper.

use std::fmt::Write as _;

use super::{Block, Hop, Report};
use crate::line;

const STYLE: &str = "\
:root{color-scheme:light dark;--ink:#1b1f24;--paper:#fff;--faint:#59636e;--line:#d1d9e0;--soft:#f3f5f7;--mark:#9a4b00}\
@media(prefers-color-scheme:dark){:root{--ink:#e6e9ed;--paper:#12161b;--faint:#9aa5b1;--line:#3a434d;--soft:#1b2128;--mark:#f0a35c}}\
*{box-sizing:border-box}body{margin:0;background:var(--paper);color:var(--ink);font:16px/1.5 system-ui,sans-serif}\
main{max-width:70rem;margin:0 auto;padding:1.5rem 1rem 4rem}h1{font-size:1.6rem;line-height:1.2}h2{font-size:1.2rem;margin-top:2.2rem}\
.wide{overflow-x:auto}table{border-collapse:collapse;width:100%;min-width:38rem;font-size:.9rem}\
caption{text-align:left;color:var(--faint);font-size:.8rem;padding-bottom:.3rem}\
th,td{border-bottom:1px solid var(--line);padding:.35rem .6rem;text-align:left;vertical-align:top;overflow-wrap:break-word}\
thead th{white-space:nowrap}dl{display:grid;grid-template-columns:max-content 1fr;gap:.3rem 1.2rem}\
dt{color:var(--faint)}dd{margin:0;overflow-wrap:anywhere}figure{margin:1rem 0}figcaption{color:var(--faint);font-size:.85rem;overflow-wrap:anywhere}\
pre{background:var(--soft);border:1px solid var(--line);padding:.7rem;overflow-x:auto;white-space:pre-wrap;overflow-wrap:anywhere;font-size:.8rem}\
svg{display:block;width:100%;max-width:34rem;height:auto}svg text{fill:currentColor;font:14px system-ui,sans-serif}\
svg .by{fill:var(--faint);font-size:12px}svg rect{fill:var(--soft);stroke:var(--line)}svg .far{stroke:var(--mark);stroke-width:2}\
svg path{stroke:var(--faint);fill:none}\
@media(max-width:40rem){dl{grid-template-columns:1fr}dt{margin-top:.5rem}}\
@media print{body{font-size:11pt}main{max-width:none;padding:0}pre,figure,tr{break-inside:avoid}.wide{overflow:visible}}";

/// The report, as one HTML page.
pub(crate) fn html(report: &Report) -> String {
    let title = text(&report.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>{title}</title>\n\
         <style>{STYLE}</style>\n</head>\n<body>\n<main>\n<h1>{title}</h1>\n"
    );
    report.blocks.iter().for_each(|block| write(&mut out, block));
    out.push_str("</main>\n</body>\n</html>\n");
    out
}

// Writing to a string cannot fail.
fn write(out: &mut String, block: &Block) {
    match block {
        Block::Heading(heading) => _ = writeln!(out, "<h2>{}</h2>", text(heading)),
        Block::Text(said) => _ = writeln!(out, "<p>{}</p>", text(said)),
        Block::Facts(facts) => {
            out.push_str("<dl>\n");
            facts.iter().for_each(|(name, value)| _ = writeln!(out, "<dt>{name}</dt><dd>{}</dd>", text(value)));
            out.push_str("</dl>\n");
        }
        Block::Table(caption, columns, rows) => {
            _ = writeln!(out, "<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"{caption}\"><table>");
            _ = writeln!(out, "<caption>{} {caption}</caption>\n<thead><tr>", rows.len());
            columns.iter().for_each(|name| _ = write!(out, "<th scope=\"col\">{name}</th>"));
            out.push_str("</tr></thead>\n<tbody>\n");
            for row in rows {
                let cells: String = row.iter().map(|cell| format!("<td>{}</td>", text(cell))).collect();
                _ = writeln!(out, "<tr>{cells}</tr>");
            }
            out.push_str("</tbody></table></div>\n");
        }
        Block::List(lines) => {
            out.push_str("<ul>\n");
            lines.iter().for_each(|line| _ = writeln!(out, "<li>{}</li>", text(line)));
            out.push_str("</ul>\n");
        }
        Block::Captured(caption, captured) => {
            let captured = escaped(&line::plain(captured));
            _ = writeln!(out, "<figure><figcaption>{}</figcaption><pre>{captured}</pre></figure>", text(caption));
        }
        Block::Path(hops) => draw(out, hops),
    }
}

/// The states one below the other, with what led to each; those past the point of no return are marked, and said to be.
fn draw(out: &mut String, hops: &[Hop]) {
    const ROW: usize = 56;
    const BOX: usize = 30;
    let height = hops.len() * ROW;
    let names: Vec<&str> = hops.iter().map(|hop| hop.state.as_str()).collect();
    let label = text(&names.join(", then "));
    _ = writeln!(out, "<svg viewBox=\"0 0 540 {height}\" role=\"img\" aria-label=\"{label}\">");
    for (at, hop) in hops.iter().enumerate() {
        let top = at * ROW;
        if at > 0 {
            let from = top + BOX - ROW;
            _ = writeln!(out, "<path d=\"M20 {from}V{top}m-4-6l4 6l4-6\"/>");
            _ = writeln!(out, "<text class=\"by\" x=\"34\" y=\"{}\">{}</text>", top - 9, text(&hop.by));
        }
        let far = if hop.committed { " class=\"far\"" } else { "" };
        let note = if hop.committed { " — past the point of no return" } else { "" };
        _ = writeln!(out, "<rect{far} x=\"1\" y=\"{}\" width=\"538\" height=\"{}\" rx=\"4\"/>", top + 1, BOX - 2);
        _ = writeln!(out, "<text x=\"12\" y=\"{}\">{}{note}</text>", top + 20, text(&hop.state));
    }
    out.push_str("</svg>\n");
}

/// One line of text: control characters are shown, markup is none.
fn text(text: &str) -> String {
    escaped(&line::shown(text))
}

fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            '\'' => out.push_str("&#39;"),
            c => out.push(c),
        }
    }
    out
}
