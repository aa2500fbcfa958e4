//! `recover baseline`: recorded while the target is well and on a person's word, compared when it is not.

use crate::sandbox::Sandbox;
use crate::{assert_error, code, lines, stderr};

const RECORD: &[&str] = &["baseline", "record", "--target", "edge-1", "--reason", "as installed", "--output", "json"];
const DIFF: &[&str] = &["baseline", "diff", "--target", "edge-1", "--output", "json"];

fn result(output: &std::process::Output) -> serde_json::Value {
    lines(output).pop().unwrap()
}

fn record(sandbox: &Sandbox) -> std::process::Output {
    sandbox.recovering(RECORD).arg("--yes").output().unwrap()
}

#[test]
fn what_is_well_is_recorded_on_a_persons_word_and_what_differs_is_told() {
    let sandbox = Sandbox::up();
    let done = || ["mints", "pairs", "revokes", "starts"].map(|effect| sandbox.ledger()[effect].clone());
    let before = done();
    assert_error(&sandbox.recover(&["baseline", "show", "--target", "edge-1"]), "RCV0039", 64);
    assert_error(&sandbox.recover(RECORD), "RCV0002", 64);
    let recorded = record(&sandbox);
    assert_eq!(code(&recorded), 0, "{}", stderr(&recorded));
    let facts = &result(&recorded)["facts"];
    assert_eq!(facts["storage.path"], sandbox.dir().join("data").to_str().unwrap());
    for fact in ["identity.serial", "identity.fingerprint", "storage.file", "workload.program.sha256", "authority.base"]
    {
        assert!(facts[fact].as_str().is_some_and(|fact| !fact.is_empty()), "{fact}");
    }
    let shown = result(&sandbox.recover(&["baseline", "show", "--target", "edge-1", "--output", "json"]));
    assert_eq!((&shown["facts"], &shown["reason"]), (facts, &"as installed".into()));
    assert!(shown["actor"]["uid"].is_u64() && shown["at"].as_str().is_some_and(|at| at.starts_with("20")));
    let same = sandbox.recover(DIFF);
    assert_eq!((code(&same), result(&same)["differences"].as_array().unwrap().len()), (0, 0));
    assert_eq!(done(), before, "looking changes nothing");

    sandbox.lose(true);
    let lost = sandbox.recover(DIFF);
    assert_eq!(code(&lost), 4);
    let differences = result(&lost)["differences"].as_array().unwrap().clone();
    let differs = |fact: &str| differences.iter().any(|difference| difference["fact"] == fact);
    assert!(differs("storage.file") && differs("identity.serial") && !differs("storage.path"), "{differences:?}");
    assert!(result(&lost)["unwell"].is_string());
    assert_error(&record(&sandbox), "RCV0038", 4);
    assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
}

#[test]
fn where_the_storage_was_recorded_it_is_searched_for() {
    let sandbox = Sandbox::up();
    let recorded = record(&sandbox);
    assert_eq!(code(&recorded), 0, "{}", stderr(&recorded));
    // As after a change of its path: the configuration names another directory, and no original.
    sandbox.lose(true);
    let at = |name: &str| sandbox.dir().join(name);
    std::fs::rename(at("data"), at("emptied")).unwrap();
    std::fs::rename(at("original"), at("data")).unwrap();
    std::fs::create_dir(at("elsewhere")).unwrap();
    let quoted = |name: &str| format!("{:?}", at(name));
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let text = text.replace(&quoted("data"), &quoted("elsewhere"));
    std::fs::write(sandbox.config(), text.replace(&format!("[{}]", quoted("original")), "[]")).unwrap();
    let plan = sandbox.recover(&["plan", "--scenario", "identity-loss", "--target", "edge-1"]);
    assert_eq!(code(&plan), 0, "{}", stderr(&plan));
    let searched = String::from_utf8_lossy(&plan.stdout).lines().find(|l| l.contains("search")).unwrap().to_owned();
    assert!(searched.ends_with("found"), "{searched}");
    let recovered = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1"]);
    assert_eq!(code(&recovered), 0, "{}", stderr(&recovered));
    assert_eq!(sandbox.ledger()["pairs"], 0, "the original was reattached");
}
