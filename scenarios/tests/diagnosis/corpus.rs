//! The corpus: situations as files, each with what a person who knows the runbook calls it. Every label must be met.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use recover_scenarios::diagnosis::{ALERTS, Class, Diagnosis, Finding, Sureness, diagnose};
use recover_steps::examined::Observations;
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    /// What happened there.
    why: String,
    observations: Observations,
    expect: Expected,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    finding: String,
    class: Option<String>,
    sureness: String,
    scenario: Option<String>,
    /// What must be among what it may be besides.
    #[serde(default)]
    possible: Vec<String>,
}

fn cases() -> Vec<(String, Case)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/diagnosis/corpus");
    let mut cases = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        cases.push((name.clone(), serde_json::from_str(&text).unwrap_or_else(|e| panic!("{name}: {e}"))));
    }
    cases.sort_by(|(a, _), (b, _)| a.cmp(b));
    cases
}

/// One word for what came of it.
fn word(diagnosis: &Diagnosis) -> String {
    match diagnosis.finding {
        Finding::Healthy => "healthy".to_owned(),
        Finding::Undetermined => "none".to_owned(),
        Finding::Failure(class) => class.to_string(),
    }
}

fn wanted(expect: &Expected) -> String {
    match (expect.finding.as_str(), &expect.class) {
        ("healthy", None) => "healthy".to_owned(),
        ("undetermined", None) => "none".to_owned(),
        ("failure", Some(class)) => class.parse::<Class>().unwrap().to_string(),
        (finding, class) => panic!("a label that means nothing: {finding} {class:?}"),
    }
}

fn missed(case: &Case, diagnosis: &Diagnosis) -> Vec<String> {
    let Expected { sureness, scenario, possible, .. } = &case.expect;
    let mut missed = Vec::new();
    let mut same = |what: &str, wanted: &str, got: &str| {
        if wanted != got {
            missed.push(format!("{what} {got}, wanted {wanted}"));
        }
    };
    same("class", &wanted(&case.expect), &word(diagnosis));
    same("sureness", sureness, diagnosis.sureness.as_str());
    same("scenario", scenario.as_deref().unwrap_or("none"), diagnosis.scenario().unwrap_or("none"));
    for class in possible {
        if !diagnosis.possible.iter().any(|other| other.as_str() == class) {
            missed.push(format!("{class} is not among what it may be"));
        }
    }
    missed
}

/// In the order of the rows, what is no class last.
fn order(word: &str) -> (u8, String) {
    (word.strip_prefix('C').and_then(|n| n.parse().ok()).unwrap_or(u8::MAX), word.to_owned())
}

fn matrix(counts: &BTreeMap<(String, String), usize>) -> Vec<String> {
    let mut words: Vec<String> = counts.keys().flat_map(|(a, b)| [a.clone(), b.clone()]).collect();
    words.sort_by_key(|word| order(word));
    words.dedup();
    let cell = |row: &str, column: &str| match counts.get(&(row.to_owned(), column.to_owned())) {
        Some(n) => n.to_string(),
        None => ".".to_owned(),
    };
    let head: String = words.iter().map(|word| format!("{word:>8}")).collect();
    let mut lines = vec![format!("{:<8}{head}", "")];
    for row in &words {
        let cells: String = words.iter().map(|column| format!("{:>8}", cell(row, column))).collect();
        lines.push(format!("{row:<8}{cells}"));
    }
    lines
}

#[test]
fn every_label_of_the_corpus_is_met() {
    let cases = cases();
    let mut counts = BTreeMap::new();
    let mut sure: BTreeMap<&str, usize> = BTreeMap::new();
    let mut wrong = Vec::new();
    for (name, case) in &cases {
        let diagnosis = diagnose(&case.observations);
        *counts.entry((wanted(&case.expect), word(&diagnosis))).or_default() += 1;
        *sure.entry(diagnosis.sureness.as_str()).or_default() += 1;
        let missed = missed(case, &diagnosis);
        if !missed.is_empty() {
            wrong.push(format!("{name} ({}): {}; it said: {}", case.why, missed.join("; "), diagnosis.why));
        }
    }
    for line in matrix(&counts) {
        println!("diagnose-score: {line}");
    }
    println!(
        "diagnose-score: rows are labels, columns are diagnoses: {} cases, {} missed; {sure:?}",
        cases.len(),
        wrong.len()
    );
    assert!(wrong.is_empty(), "{} labels are missed:\n{}", wrong.len(), wrong.join("\n"));
    assert!(cases.len() >= 60, "only {} cases", cases.len());
}

#[test]
fn the_corpus_knows_every_class_each_degree_and_every_alert() {
    let cases = cases();
    let classes: BTreeSet<String> = cases.iter().map(|(_, case)| wanted(&case.expect)).collect();
    assert!(Class::ALL.iter().all(|class| classes.contains(class.as_str())), "{classes:?}");
    let degrees: BTreeSet<&str> = cases.iter().map(|(_, case)| case.expect.sureness.as_str()).collect();
    assert_eq!(degrees.len(), 3, "{degrees:?}");
    let alerts: BTreeSet<&str> =
        cases.iter().flat_map(|(_, case)| &case.observations.alerts).map(|alert| alert.name.as_str()).collect();
    assert!(ALERTS.iter().all(|alert| alerts.contains(alert.name)), "{alerts:?}");
}

/// What would decide taken away, one after the other: it may become less sure, and never names health for silence.
#[test]
fn what_is_not_read_never_makes_it_surer_of_health() {
    use recover_steps::examined::Look;
    let mut looked = 0;
    for (name, case) in cases() {
        let whole = diagnose(&case.observations);
        for n in 0..4 {
            let mut less = case.observations.clone();
            match n {
                0 => less.identity = Look::not_read("x", "x"),
                1 => less.standing = Look::not_read("x", "x"),
                2 => less.workload = Look::not_read("x", "x"),
                _ => less.log = Look::not_read("x", "x"),
            }
            let blind = diagnose(&less);
            if blind.finding == Finding::Healthy {
                let online =
                    less.standing.value().is_some_and(|s| s.status == recover_steps::examined::AgentStatus::Online);
                assert!(online, "{name}: healthy although the authority was not read");
                assert!(n == 3 || whole.finding != Finding::Healthy || blind.sureness <= whole.sureness, "{name} {n}");
            }
            if n == 0 {
                let lost = [Class::C12, Class::C14];
                let surely = blind.class().is_some_and(|c| lost.contains(&c)) && blind.sureness == Sureness::Certain;
                assert!(!surely, "{name}: a loss is certain and the identity was not read");
            }
            looked += 1;
        }
    }
    assert!(looked > 240, "{looked}");
}

/// No loss is named on storage on which the identity that the authority knows was read.
#[test]
fn a_usable_identity_is_never_called_lost_for_sure() {
    use recover_steps::examined::{IdentitySeen, Look};
    for (name, case) in cases() {
        let Some(serial) = case.observations.standing.value().and_then(|s| s.serial.clone()) else { continue };
        let mut seen = case.observations;
        seen.identity = Look::seen("x", IdentitySeen::Usable { serial });
        let diagnosis = diagnose(&seen);
        let lost = [Class::C9, Class::C11, Class::C12, Class::C14];
        assert!(!diagnosis.class().is_some_and(|class| lost.contains(&class)), "{name}: {diagnosis:?}");
    }
}
