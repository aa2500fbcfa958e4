//! A run record by record, with what a kill right after each leads to; and that this is what it leads to.

use std::io::Write as _;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::sandbox::{RECOVER, Sandbox};
use crate::{assert_error, code, lines, result, stderr};

fn recovered(sandbox: &Sandbox) -> String {
    sandbox.lose(false);
    let output = sandbox.recover(&["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"]);
    assert_eq!(result(&output)["verdict"], "recovered", "{}", stderr(&output));
    result(&output)["run"].as_str().unwrap().to_owned()
}

fn json(sandbox: &Sandbox, words: &[&str]) -> Vec<Value> {
    let output = sandbox.recover(&[&["replay"], words, &["--output", "json"]].concat());
    assert_eq!(code(&output), 0, "{}", stderr(&output));
    lines(&output)
}

#[test]
fn each_record_says_what_a_kill_after_it_leads_to() {
    let sandbox = Sandbox::up();
    let run = recovered(&sandbox);
    let all = json(&sandbox, &[&run, "--step"]);
    let (events, killed): (Vec<_>, Vec<_>) = all.iter().partition(|line| line["schema"] == "recover.event/v1");
    assert_eq!(events.len(), killed.len());
    for (event, killed) in events.iter().zip(&killed) {
        assert_eq!((&event["seq"], &killed["schema"]), (&killed["seq"], &"recover.killed/v1".into()));
    }
    // By the policy of the step that is under way.
    let then = |kind: &str, step: &str| {
        let at = events.iter().position(|e| e["kind"] == kind && e["step"] == step).unwrap_or_else(|| panic!("{step}"));
        killed[at]["then"].as_str().unwrap().to_owned()
    };
    assert!(then("intent", "observe").contains("looks again"));
    assert!(then("intent", "stop").contains("does stop again"));
    let mint = then("intent", "mint");
    assert!(mint.contains("not repeated") && mint.contains("first ") && mint.contains("Found:"), "{mint}");
    assert!(then("intent", "pair").contains("pair is not repeated"));
    let leads = killed.iter().flat_map(|k| k["leads"].as_array().unwrap());
    assert!(leads.clone().any(|lead| lead["input"] == "mint:refused"));
    assert_eq!(killed.last().unwrap()["phase"], "closed");
    // As far as is wanted, and no further.
    let some = json(&sandbox, &[&run, "--until", "5"]);
    assert_eq!(some[..], all[..10]);
    let text = sandbox.recover(&["replay", &run, "--until", "5"]);
    assert!(String::from_utf8_lossy(&text.stdout).contains("killed here → "), "{}", stderr(&text));
    assert_error(&sandbox.recover(&["replay", &run, "--until", "9999"]), "RCV0002", 64);
    assert_error(&sandbox.recover(&["replay", &run, "--until", "0"]), "RCV0002", 64);
    // A bundle is as good as the journal.
    let file = sandbox.dir().join("case.json");
    let file = file.to_str().unwrap();
    assert_eq!(code(&sandbox.recover(&["export", &run, "--out", file])), 0);
    assert_eq!(json(&sandbox, &[file, "--step"]), all);
}

#[test]
fn on_a_terminal_a_key_shows_the_next_record() {
    let sandbox = Sandbox::up();
    let run = recovered(&sandbox);
    let words = format!("{RECOVER} --config {} replay {run} --step", sandbox.config().display());
    let mut script = Command::new("script");
    script.args(["-qec", &words, "/dev/null"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let Ok(mut child) = script.spawn() else {
        eprintln!("SKIPPED: there is no script(1), so no terminal to press a key on");
        return;
    };
    // Two keys, and enough.
    child.stdin.as_mut().unwrap().write_all(b"  q").unwrap();
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!((code(&output), text.matches("killed here").count()), (0, 3), "{text}");
}
