//! `plan` and `--dry-run`: what they say for both branches, and that they change nothing anywhere.

use std::collections::BTreeMap;
use std::path::Path;

use crate::sandbox::Sandbox;
use crate::{code, lines, stderr};

/// Everything in a directory but what the running connector and control plane write themselves.
fn files(dir: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![dir.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(bytes) = std::fs::read(&path) {
                found.insert(path.display().to_string(), bytes);
            }
        }
    }
    found
}

/// What must stay as it was: the ledger but for the calls that only look, the data, the connector's life, the journal.
fn world(sandbox: &Sandbox) -> impl PartialEq {
    let ledger = sandbox.ledger();
    let counted = ledger.as_object().unwrap().iter().filter(|(key, _)| *key != "calls");
    let counted: Vec<_> = counted.map(|(key, value)| (key.clone(), value.clone())).collect();
    for call in ledger["calls"].as_array().unwrap() {
        let text = call.to_string();
        assert!(!text.contains("/v1/connectors") || !text.contains("POST"), "a plan only asks: {text}");
    }
    let pids = files(&sandbox.dir()).into_iter().filter(|(name, _)| name.contains("pid")).map(|(_, bytes)| bytes);
    (counted, [files(&sandbox.dir().join("data")), files(&sandbox.state())], pids.collect::<Vec<_>>())
}

fn plans_and_changes_nothing(sandbox: &Sandbox) -> (String, Vec<serde_json::Value>) {
    let before = world(sandbox);
    let run = ["--scenario", "identity-loss", "--target", "edge-1"];
    let text = sandbox.recover(&[&["plan"], &run[..]].concat());
    assert_eq!(code(&text), 0, "{}", stderr(&text));
    let same = sandbox.recover(&[&run[..], &["--dry-run"]].concat());
    assert_eq!((code(&same), &same.stdout), (0, &text.stdout), "--dry-run is plan");
    let json = sandbox.recover(&[&["plan"], &run[..], &["--output", "json"]].concat());
    assert_eq!(code(&json), 0, "{}", stderr(&json));
    let lines = lines(&json);
    assert!(lines.iter().all(|line| line["schema"] == "recover.plan/v1"), "{lines:?}");
    assert!(world(sandbox) == before, "a plan changed something");
    (String::from_utf8(text.stdout).unwrap(), lines)
}

#[test]
fn where_the_original_is_gone_the_plan_replaces_the_identity() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let (text, lines) = plans_and_changes_nothing(&sandbox);
    let no_return = lines.iter().position(|line| line["point_of_no_return"] == true).expect("there is one");
    assert_eq!(
        (&lines[0]["state"], &lines[0]["how"], &lines[0]["outcome"]),
        (&"observing".into(), &"observed".into(), &"lost".into())
    );
    let state = |name: &str| lines.iter().position(|line| line["state"] == name).unwrap_or(usize::MAX);
    assert!(state("searching") < state("stopping"), "{text}");
    assert!(state("stopping") < state("revoking-stale") && state("revoking-stale") < state("minting"), "{text}");
    assert!(state("minting") < state("pairing") && state("pairing") < no_return && no_return < lines.len(), "{text}");
    assert_eq!(lines[state("minting")]["how"], "predicted");
    assert_eq!(lines[state("minting")]["past_no_return"], false);
    assert_eq!(lines.last().unwrap()["outcome"], "recovered");
    assert!(
        text.contains("the point of no return") && text.contains("predicted") && text.contains("guard  "),
        "{text}"
    );
}

#[test]
fn where_the_original_is_kept_the_plan_reattaches_it_and_mints_nothing() {
    let sandbox = Sandbox::up();
    sandbox.lose(true);
    let (text, lines) = plans_and_changes_nothing(&sandbox);
    let states: Vec<&str> = lines.iter().filter_map(|line| line["state"].as_str()).collect();
    assert!(states.contains(&"reattaching") && !states.contains(&"minting") && !states.contains(&"pairing"), "{text}");
    assert_eq!(lines.last().unwrap()["outcome"], "recovered", "{text}");
}

#[test]
fn what_cannot_be_seen_is_not_planned_and_the_reason_is_said() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let (head, rest) = text.split_once("base = \"").unwrap();
    let (_, tail) = rest.split_once('"').unwrap();
    std::fs::write(sandbox.config(), format!("{head}base = \"http://127.0.0.1:1\"{tail}")).unwrap();
    let (text, lines) = plans_and_changes_nothing(&sandbox);
    let last = lines.last().unwrap();
    assert_eq!((lines.len(), &last["how"]), (1, &"unknowable".into()), "{text}");
    assert!(last["outcome"].as_str().unwrap().contains("could not be asked"), "{text}");
}
