//! `recover diagnose`: names the failure class of a connector from what can be read. Observation only; no run is begun.

use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::Path;

use recover_adapters::Examination;
use recover_engine::Millis;
use recover_scenarios::diagnosis::{ALERTS, Class, Diagnosis, Evidence, Finding, Sureness, alert, diagnose as judge};
use recover_steps::examined::AlertSeen;
use serde_json::{Value, json};

use crate::args::{DiagnoseArgs, Global};
use crate::clock;
use crate::fault::{Code, Exit, Fault, nearest};
use crate::place::Place;
use crate::printer::Printer;
use crate::records::{Recorded, Records};
use crate::target::Target;
use crate::verbs::act;
use crate::world::Examined;

/// No more of a log than its end of this length is read. Bytes.
const LOG_MOST: u64 = 1 << 20;
/// Standard input is read to here and no further; its end, as far as it came, is looked at.
const STDIN_MOST: u64 = 64 << 20;

pub(super) fn diagnose(global: &Global, words: &DiagnoseArgs, printer: Printer) -> Result<Exit, Fault> {
    let now = clock::now();
    let since = words.since.as_deref().map(|text| since(text, now)).transpose()?;
    let place = Place::of(global)?;
    let name = act::pick(&place, words.target.as_deref())?;
    let (_, target) = act::reach(&place, &name)?;
    let world = target.world()?.recorded_as(recorded(&place, &target, printer).as_ref().map(|r| &r.baseline.facts));
    let log = words.log.as_deref().map(given_log).transpose()?;
    let alerts = words.alert.iter().map(|name| AlertSeen { name: name.clone(), from: "--alert".to_owned() }).collect();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::caused(Code::NoResources, "the runtime cannot be started", &e))?;
    let given = Examination { now, since, log, alerts };
    let seen = runtime.block_on(world.examine(&given));
    // A name that the resolver still looks for is not waited for.
    runtime.shutdown_background();
    let seen = match seen {
        Examined::Connector(seen) => seen,
        Examined::Kms(seen) => return Ok(super::layers::told(&seen, &name, printer)),
    };
    let diagnosis = judge(&seen);
    for alert in &seen.alerts {
        unknown_alert(&alert.name, printer);
    }
    let exit = exit_of(&diagnosis);
    let run_with = run_with(&diagnosis, &name, words.alert.first().map(String::as_str));
    printer.show(&as_json(&diagnosis, &name, run_with.as_deref(), exit), || {
        as_text(&diagnosis, &name, run_with.as_deref())
    });
    Ok(exit)
}

/// What a person recorded of the target. A journal that cannot be read is no reason to look at nothing.
pub(super) fn recorded(place: &Place, target: &Target, printer: Printer) -> Option<Recorded> {
    match Records::open(&place.state).and_then(|records| records.baseline(&target.subject())) {
        Ok(found) => found,
        Err(fault) if fault.code == Code::StateDirMissing => None,
        Err(fault) => {
            printer.talk(&format!("note: no baseline is used: {}", fault.message));
            None
        }
    }
}

/// A failure that is named can be acted on; health is no case for any procedure; whatever is unsure needs a person.
pub(super) const fn exit_of(diagnosis: &Diagnosis) -> Exit {
    match (diagnosis.finding, diagnosis.sureness) {
        (Finding::Healthy, Sureness::Certain | Sureness::Likely) => Exit::NotApplicable,
        (Finding::Failure(_), Sureness::Certain | Sureness::Likely) => Exit::Done,
        (_, Sureness::Unsure) | (Finding::Undetermined, _) => Exit::PersonNeeded,
    }
}

/// The command for it, where the diagnosis is one to act on.
fn run_with(diagnosis: &Diagnosis, target: &str, alert: Option<&str>) -> Option<String> {
    let scenario = diagnosis.scenario()?;
    if diagnosis.sureness == Sureness::Unsure {
        return None;
    }
    let alert = alert.map(|name| format!(" --alert {}", act::quoted(name))).unwrap_or_default();
    Some(format!("recover --scenario {scenario} --target {}{alert}", act::quoted(target)))
}

pub(super) fn as_json(diagnosis: &Diagnosis, target: &str, run_with: Option<&str>, exit: Exit) -> Value {
    let class = diagnosis.class();
    let finding = match diagnosis.finding {
        Finding::Healthy => "healthy",
        Finding::Failure(_) => "failure",
        Finding::Undetermined => "undetermined",
    };
    let besides = |other: &Class| json!({ "class": other, "title": other.title(), "scenario": other.scenario(diagnosis.paired_before) });
    json!({
        "schema": "recover.diagnosis/v1", "target": target, "finding": finding, "class": class,
        "title": class.map(Class::title), "sureness": diagnosis.sureness, "why": diagnosis.why,
        "for": diagnosis.supporting, "against": diagnosis.opposing, "besides": diagnosis.besides, "not_read": diagnosis.not_read,
        "possible": diagnosis.possible.iter().map(besides).collect::<Vec<_>>(),
        "scenario": diagnosis.scenario(), "available": diagnosis.scenario().is_some(), "run_with": run_with,
        "would": class.map(Class::would), "must_not": class.map_or(&[] as &[&str], Class::must_not),
        "by_hand": class.map_or(&[] as &[&str], Class::by_hand), "exit": exit as u8,
    })
}

fn as_text(diagnosis: &Diagnosis, target: &str, run_with: Option<&str>) -> String {
    let sure = diagnosis.sureness.as_str();
    let mut lines = vec![match diagnosis.finding {
        Finding::Healthy => format!("{target}: healthy ({sure})"),
        Finding::Undetermined => format!("{target}: no failure class can be named ({sure})"),
        Finding::Failure(class) => format!("{target}: {class} {} ({sure})", class.title()),
    }];
    lines.push(format!("because   {}", diagnosis.why));
    let listed = |lines: &mut Vec<String>, head: &str, all: &[Evidence]| {
        for Evidence { text, from } in all {
            lines.push(format!("{head:<9} {text}  [{from}]"));
        }
    };
    listed(&mut lines, "for", &diagnosis.supporting);
    listed(&mut lines, "against", &diagnosis.opposing);
    listed(&mut lines, "besides", &diagnosis.besides);
    listed(&mut lines, "not read", &diagnosis.not_read);
    lines.extend(diagnosis.possible.iter().map(|other| format!("possible  {other} {}", other.title())));
    let Some(class) = diagnosis.class() else { return lines.join("\n") };
    let scenario = class.scenario(diagnosis.paired_before);
    if diagnosis.sureness == Sureness::Unsure {
        lines.push("next      a person decides: act on none of it before what is unsure is settled".to_owned());
    }
    lines.push(format!("would     {scenario}: {}", class.would()));
    lines.extend(class.must_not().iter().map(|deed| format!("must not  {deed}")));
    lines.extend(run_with.map(|command| format!("run it    {command}")));
    lines.push("by hand   the runbook's steps are:".to_owned());
    lines.extend(class.by_hand().iter().enumerate().map(|(n, step)| format!("          {}. {step}", n + 1)));
    lines.join("\n")
}

/// Says that an alert is not in the map, and which one may be meant.
fn unknown_alert(name: &str, printer: Printer) {
    if alert(name).is_some() {
        return;
    }
    let lower = name.to_lowercase();
    let known: Vec<(String, &str)> = ALERTS.iter().map(|a| (a.name.to_lowercase(), a.name)).collect();
    let meant = nearest(&lower, known.iter().map(|(lower, _)| lower.as_str()))
        .and_then(|found| known.iter().find(|(lower, _)| lower == found))
        .map_or_else(
            || format!("known: {}", known.iter().map(|(_, n)| *n).collect::<Vec<_>>().join(", ")),
            |(_, n)| format!("did you mean {n}?"),
        );
    printer.talk(&format!("note: no runbook is known for the alert {name}; {meant}"));
}

/// How far back, as a time or as a length of time before now.
fn since(text: &str, now: Millis) -> Result<Millis, Fault> {
    if let Some(at) = recover_adapters::time_of(text) {
        return Ok(at);
    }
    let back: recover_adapters::Span = text.parse().map_err(|_| {
        Fault::new(Code::Usage, format!("--since {text}: it is neither a time nor a length of time"))
            .hint("for example --since 30m, or --since 2026-11-22T03:00:00Z")
    })?;
    Ok(Millis(now.0.saturating_sub(i64::try_from(back.as_ms()).unwrap_or(i64::MAX))))
}

/// The end of a log that was named, with where it is from.
pub(super) fn given_log(path: &Path) -> Result<(String, String), Fault> {
    let failed =
        |e: &std::io::Error| Fault::caused(Code::Usage, &format!("--log {} cannot be read", path.display()), e);
    let bytes = if path == Path::new("-") { from_stdin() } else { end_of(path) }.map_err(|e| failed(&e))?;
    Ok((format!("--log {}", path.display()), String::from_utf8_lossy(&bytes).into_owned()))
}

fn end_of(path: &Path) -> std::io::Result<Vec<u8>> {
    // A FIFO would wait for ever, and so would a terminal.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "it is not a regular file; `-` is standard input",
        ));
    }
    let mut file = std::fs::File::open(path)?;
    let from = file.metadata()?.len().saturating_sub(LOG_MOST);
    file.seek(SeekFrom::Start(from))?;
    let mut bytes = Vec::new();
    file.take(LOG_MOST).read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn from_stdin() -> std::io::Result<Vec<u8>> {
    let mut input = std::io::stdin().lock().take(STDIN_MOST);
    let most = usize::try_from(LOG_MOST).unwrap_or(usize::MAX);
    let (mut kept, mut block) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        let n = match input.read(&mut block) {
            Ok(0) => return Ok(kept),
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        kept.extend_from_slice(block.get(..n).unwrap_or_default());
        if kept.len() > 2 * most {
            kept.drain(..kept.len() - most);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn since_is_a_time_or_a_length_of_time() {
        let now = Millis(10_000_000);
        assert_eq!(since("30s", now).unwrap(), Millis(9_970_000));
        assert_eq!(since("1970-01-01T00:00:01Z", now).unwrap(), Millis(1_000));
        assert_eq!(since("yesterday", now).unwrap_err().code, Code::Usage);
    }

    #[test]
    fn a_word_is_quoted_where_a_shell_would_take_it_apart() {
        assert_eq!(act::quoted("edge-1"), "edge-1");
        assert_eq!(act::quoted("a b; rm 'x'"), r"'a b; rm '\''x'\'''");
    }
}
