//! `recover support-bundle`: what whoever is asked for help wants to see, in one file: versions, status, storage, reachability, the end of
//! the log, diagnosis and runs, redacted. Observation only.

mod mask;

use std::io::Write as _;

use recover_adapters::Examination;
use recover_engine::Digest;
use recover_scenarios::diagnosis::diagnose as judge;
use recover_steps::examined::{Found, Observations};
use serde_json::{Value, json};

use super::{diagnose, runs};
use crate::args::{Global, SupportBundleArgs};
use crate::clock;
use crate::fault::{Code, Exit, Fault};
use crate::line;
use crate::place::Place;
use crate::printer::Printer;
use crate::records::Records;
use crate::target::Target;
use crate::verbs::act;
use crate::whole;
use crate::world::Examined;
use mask::Mask;

/// Of so many runs on the target, the latest, the records are in it.
const RUNS_MOST: usize = 20;
const MANIFEST: &str = "manifest.json";

/// One file in it.
struct File {
    name: &'static str,
    what: &'static str,
    text: String,
}

pub(super) fn support_bundle(global: &Global, words: &SupportBundleArgs, printer: Printer) -> Result<Exit, Fault> {
    let now = clock::now();
    let place = Place::of(global)?;
    let name = act::pick(&place, words.target.as_deref())?;
    let (_, target) = act::reach(&place, &name)?;
    let out = words.out.clone().unwrap_or_else(|| format!("recover-{name}-{}.tar", clock::compact(now)).into());
    // Before anything is asked: a minute of looking is not thrown away.
    if out.symlink_metadata().is_ok() {
        return Err(Fault::new(Code::BundleNotWritten, format!("{} is there already", out.display()))
            .hint("nothing is overwritten: give another name with --out"));
    }
    let recorded = diagnose::recorded(&place, &target, printer);
    let world = target.world()?.recorded_as(recorded.as_ref().map(|r| &r.baseline.facts));
    let log = words.log.as_deref().map(diagnose::given_log).transpose()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::caused(Code::NoResources, "the runtime cannot be started", &e))?;
    printer.talk(&format!("looking at {name} …"));
    let given = Examination { now, since: None, log, alerts: Vec::new() };
    let (seen, facts) = runtime.block_on(async { (world.examine(&given).await, world.facts().await) });
    runtime.shutdown_background();

    let facts = match facts {
        Ok(facts) => json!({ "facts": facts.facts, "unwell": facts.unwell }),
        Err(why) => json!({ "not_read": why }),
    };
    let mut files = vec![
        File { name: "versions.json", what: "this build, and the system it runs on", text: pretty(&versions()) },
        File {
            name: "facts.json",
            what: "what a baseline would have: where everything is, and which",
            text: pretty(&facts),
        },
    ];
    match &seen {
        Examined::Connector(seen) => files.extend(of_connector(seen, &name)),
        Examined::Kms(seen) => files.push(File {
            name: "layers.json",
            what: "what was seen of OpenBao, the key, the nodes and what is stored, layer by layer",
            text: pretty(&super::layers::as_json(seen, &name)),
        }),
    }
    files.extend(runs_of(&place, &target));

    let mask = words.mask_hosts.then(|| Mask::new([authority_host(&target), this_host()]));
    for file in &mut files {
        file.text = world.without_secrets(None, &file.text);
        if let Some(mask) = &mask {
            file.text = mask.apply(&file.text);
        }
    }
    let manifest = manifest(&files, &name, clock::rfc3339(now), words.mask_hosts);
    whole::write_new(&out, |file| fill(file, &manifest, &files))
        .map_err(|e| Fault::caused(Code::BundleNotWritten, &format!("{} cannot be written", out.display()), &e))?;
    let told = json!({ "schema": "recover.support-bundle/v1", "file": out, "manifest": manifest });
    printer.show(&told, || {
        let listed: Vec<String> = files.iter().map(|file| format!("  {:<18} {}", file.name, file.what)).collect();
        format!("{}\n{}\nLook through it before you send it to anybody.", out.display(), listed.join("\n"))
    });
    Ok(Exit::Done)
}

/// What was seen of a connector.
fn of_connector(seen: &Observations, name: &str) -> [File; 3] {
    [
        File {
            name: "observations.json",
            what: "the authority's status, tokens without secrets, identity without key, storage, workload, reachability",
            text: pretty(&json!(without_log(seen))),
        },
        File {
            name: "diagnosis.json",
            what: "the failure class, with what speaks for and against it",
            text: pretty(&diagnosis(seen, name)),
        },
        File { name: "log.txt", what: "the last lines of the workload's log, redacted", text: log_of(seen) },
    ]
}

fn versions() -> Value {
    let system = rustix::system::uname();
    let word = |text: &std::ffi::CStr| text.to_string_lossy().into_owned();
    let scenarios: Vec<Value> = recover_scenarios::SCENARIOS
        .iter()
        .map(|known| json!({ "name": known.entry.name, "version": known.entry.version }))
        .collect();
    json!({
        "recover": env!("CARGO_PKG_VERSION"), "scenarios": scenarios,
        "system": word(system.sysname()), "release": word(system.release()), "machine": word(system.machine()),
    })
}

fn diagnosis(seen: &Observations, target: &str) -> Value {
    let diagnosis = judge(seen);
    let exit = diagnose::exit_of(&diagnosis);
    diagnose::as_json(&diagnosis, target, None, exit)
}

/// The log is a file of its own.
fn without_log(seen: &Observations) -> Observations {
    let mut seen = seen.clone();
    if let Found::Seen(lines) = &mut seen.log.found {
        lines.clear();
    }
    seen
}

fn log_of(seen: &Observations) -> String {
    let head = format!("# {}\n", seen.log.from);
    match &seen.log.found {
        Found::Seen(lines) => head + &lines.iter().map(|line| format!("{line}\n")).collect::<String>(),
        Found::NotRead(why) => format!("{head}# not read: {why}\n"),
    }
}

/// The runs on the target: what each came to, and its records. A journal that cannot be read is said to be so.
fn runs_of(place: &Place, target: &Target) -> Vec<File> {
    let told = |text: String| {
        let what = "the runs on this target and their records, the latest first, as `recover events` has them";
        vec![File { name: "runs.jsonl", what, text }]
    };
    let not_read = |fault: &Fault| told(format!("{}\n", json!({ "not_read": fault.message })));
    let records = match Records::open(&place.state) {
        Ok(records) => records,
        Err(fault) if fault.code == Code::StateDirMissing => return told(String::new()),
        Err(fault) => return not_read(&fault),
    };
    let (listed, damage) = match records.listing() {
        Ok(found) => found,
        Err(fault) => return not_read(&fault),
    };
    let mut text = damage.map_or_else(String::new, |fault| format!("{}\n", json!({ "damage": fault.message })));
    let (subject, live) = (target.subject(), records.owner_lives());
    let ours = listed.iter().rev().filter(|run| records.begun(run.id).is_ok_and(|begun| begun.subject == subject));
    for run in ours.take(RUNS_MOST) {
        match (records.position(run.id), records.entries(run.id)) {
            (Ok(position), Ok(entries)) => {
                text += &format!("{}\n", runs::status_line(&position, live).0);
                text.extend(entries.iter().map(|entry| format!("{}\n", line::event(entry))));
            }
            (Err(fault), _) | (_, Err(fault)) => {
                text += &format!("{}\n", json!({ "run": run.id.to_string(), "not_read": fault.message }));
            }
        }
    }
    told(text)
}

fn authority_host(target: &Target) -> String {
    let subject = target.subject();
    let rest = subject.split_once("://").map_or(subject.as_str(), |(_, rest)| rest);
    rest.split(['/', ':']).next().unwrap_or_default().to_owned()
}

fn this_host() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

fn pretty(value: &Value) -> String {
    format!("{value:#}\n")
}

fn manifest(files: &[File], target: &str, made: String, masked: bool) -> Value {
    let listed: Vec<Value> = files
        .iter()
        .map(|file| {
            let digest = Digest::of(file.text.as_bytes()).to_string();
            json!({ "name": file.name, "what": file.what, "bytes": file.text.len(), "sha256": digest })
        })
        .collect();
    json!({
        "schema": "recover.support-bundle/v1", "target": target, "made": made, "recover": env!("CARGO_PKG_VERSION"),
        "hosts_masked": masked, "files": listed,
        "left_out": ["the configuration", "credentials, tokens and keys", "evidence texts", "what was read of other targets"],
    })
}

fn fill(file: &mut std::fs::File, manifest: &Value, files: &[File]) -> std::io::Result<()> {
    let mut archive = tar::Builder::new(file);
    let mut add = |name: &str, text: &str| {
        let mut header = tar::Header::new_ustar();
        header.set_size(text.len() as u64);
        header.set_mode(0o600);
        header.set_mtime(u64::try_from(clock::now().0 / 1_000).unwrap_or_default());
        archive.append_data(&mut header, name, text.as_bytes())
    };
    add(MANIFEST, &pretty(manifest))?;
    files.iter().try_for_each(|file| add(file.name, &file.text))?;
    archive.into_inner()?.flush()
}
