//! A report as one page that needs nothing else: no network, no script, light and dark, narrow and wide, on paper.

use std::fmt::Write as _;

use super::{Block, Chart, Hop, Report};
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
svg.chart{max-width:none;min-width:36rem}svg.chart text{font-size:12px}svg.chart path{stroke:var(--line);stroke-width:1}\
svg.chart .on{stroke:var(--mark);stroke-width:2.5}svg.chart .off text{fill:var(--faint)}svg.chart .here{stroke:var(--ink);stroke-width:2.5}\
svg.chart .is{font-weight:600}svg.chart .tip{fill:var(--line);stroke:none}svg.chart .tip.on{fill:var(--mark)}\
@media(max-width:40rem){dl{grid-template-columns:1fr}dt{margin-top:.5rem}}\
@media print{:root{color-scheme:light;--ink:#000;--paper:#fff;--faint:#444;--line:#aaa;--soft:#fff;--mark:#7a3b00}\
body{font-size:10pt}main{max-width:none;padding:0}figure,tr,dl,li{break-inside:avoid}h2{break-after:avoid}thead{display:table-header-group}\
.wide{overflow:visible}table{min-width:0;font-size:8.5pt}td,th{overflow-wrap:anywhere}svg{max-width:100%;max-height:24cm;width:auto;break-inside:avoid}svg.chart{min-width:0}}";

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
        Block::Chart(chart) => chart_of(out, chart),
    }
}

/// Every state a row, every transition a line beside them; what was taken is thick, and its states are set in bold.
fn chart_of(out: &mut String, chart: &Chart) {
    const ROW: usize = 24;
    const BOX: usize = 330;
    const LANE: usize = 7;
    let middle = |row: usize| row * ROW + ROW / 2;
    let (width, height) = (BOX + 24 + chart.lanes() * LANE, chart.rows.len() * ROW);
    out.push_str("<div class=\"wide\" tabindex=\"0\" role=\"region\" aria-label=\"graph\">\n");
    _ = writeln!(
        out,
        "<svg class=\"chart\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
        text(&chart.words())
    );
    // What was taken lies above the rest.
    for arc in chart.arcs.iter().rev() {
        let class = if arc.taken { " class=\"on\"" } else { "" };
        let (leaves, comes, lane) = (middle(arc.from) + 4, middle(arc.to) - 4, BOX + 14 + arc.lane * LANE);
        _ = writeln!(out, "<path{class} d=\"M{BOX} {leaves}H{lane}V{comes}H{BOX}\"/>");
        let tip = if arc.taken { "tip on" } else { "tip" };
        _ = writeln!(out, "<path class=\"{tip}\" d=\"M{BOX} {comes}l7-3v6z\"/>");
    }
    for (at, row) in chart.rows.iter().enumerate() {
        let group = if row.taken { "" } else { " class=\"off\"" };
        let class = match (row.here, row.committed) {
            (true, _) => " class=\"here\"",
            (false, true) => " class=\"far\"",
            (false, false) => "",
        };
        let name = if row.taken { " class=\"is\"" } else { "" };
        let asks = if row.asks.is_empty() { String::new() } else { format!(" / {}", row.asks) };
        let here = if row.here { " ●" } else { "" };
        _ = writeln!(
            out,
            "<g{group}><rect{class} x=\"1\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"3\"/><text x=\"9\" y=\"{}\"><tspan{name}>{}{here}</tspan>{}</text></g>",
            at * ROW + 2,
            BOX - 2,
            ROW - 4,
            middle(at) + 4,
            text(&row.state),
            text(&asks)
        );
    }
    out.push_str("</svg></div>\n");
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
