//! The rules of the family, as data: what a procedure does not change is never in it, and what it changes is held to these.

use recover_engine::{Guard, Verdict};

use super::change::EVERY;
use super::topic::Topic;

fn owned(list: &[&str]) -> Vec<String> {
    list.iter().map(|s| (*s).to_owned()).collect()
}

pub(crate) fn only_after(step: &str, facts: &[&str], since: &[&str]) -> Guard {
    Guard::OnlyAfter { step: step.into(), facts: owned(facts), since: owned(since) }
}

/// A person said yes to this question.
pub(crate) fn approved(topic: Topic) -> String {
    format!("{}:approve", topic.id())
}

/// Seen so, the key is not known to be the original.
const IN_QUESTION: [&str; 6] = [
    "read-key:altered",
    "read-key:incomplete",
    "read-key:missing",
    "read-key:soft-deleted",
    "read-key:denied",
    "read-key:elsewhere",
];

/// What a look at a provider is stale after.
const TOUCHES: [&str; 9] = [
    "start-provider",
    "restart-provider",
    "stop-provider",
    "mend-socket",
    "restore-config",
    "install-auth",
    "copy-pair",
    "load-image",
    "restart-apiserver",
];

/// A look that says which life of a provider there is.
const LIVES: [&str; 7] = [
    "await-provider:not-serving",
    "look-node:serving",
    "look-node:no-socket",
    "look-node:barred",
    "look-node:unhealthy",
    "look-node:degraded",
    "look-node:disagrees",
];

/// The rules for a procedure that changes these.
pub(super) fn guards(changes: &[&str]) -> Vec<Guard> {
    let mut guards: Vec<Guard> = EVERY
        .iter()
        .filter(|step| !changes.contains(step))
        .map(|step| Guard::Never { step: (*step).to_owned() })
        .collect();
    guards.extend(changes.iter().flat_map(|step| of(step)));
    // The proof of the runbook: an old object, read after the last change.
    guards.push(Guard::Verdict {
        verdict: Verdict::Recovered,
        fact: "read-objects:read".into(),
        since: owned(changes),
    });
    guards
}

fn of(step: &str) -> Vec<Guard> {
    let original = ["read-key:original", &approved(Topic::UnrecordedKey)];
    let once = || Guard::AtMost { step: step.to_owned(), count: 1 };
    let may = |topic: Topic, key: &[&str]| {
        vec![only_after(step, &[&approved(topic)], &[]), only_after(step, key, &[]), once()]
    };
    match step {
        // No provider begins a life while its key is in question.
        "start-provider" => vec![only_after(step, &original, &IN_QUESTION)],
        "restart-provider" => vec![
            only_after(step, &original, &IN_QUESTION),
            // Each restart names the life that was seen after the last one.
            only_after(step, &LIVES, &[step]),
        ],
        "copy-pair" => vec![
            only_after(step, &original, &IN_QUESTION),
            only_after(step, &["find-pair:found"], &[step]),
            only_after(step, &["stop-provider:stopped"], &["start-provider", "restart-provider", step]),
        ],
        "restart-apiserver" => vec![only_after(step, &["look-node:serving"], &TOUCHES)],
        "restore-config" => vec![
            only_after(step, &[&approved(Topic::RestoreConfig)], &[step]),
            only_after(step, &["compare-config:drifted", "compare-config:unreadable"], &[step]),
        ],
        "install-auth" => vec![
            only_after(step, &[&approved(Topic::InstallAuth)], &[step]),
            // What looks as it must is replaced only where the login with it failed.
            only_after(step, &["look-auth:unusable", "check-provider:failed"], &[step]),
        ],
        "load-image" => vec![only_after(step, &["look-image:missing"], &[step])],
        "mend-socket" => vec![only_after(step, &["look-node:barred"], &[step])],
        "restore-key" => may(Topic::Undelete, &["read-key:soft-deleted"]),
        "forbid-deletion" | "disable-upsert" | "lower-encryption" => may(Topic::MendProfile, &original),
        "lower-decryption" => vec![
            only_after(step, &[&approved(Topic::LowerDecryption), &approved(Topic::MendProfile)], &[]),
            only_after(step, &original, &IN_QUESTION),
            once(),
        ],
        "stop-rotation" => vec![only_after(step, &[&approved(Topic::StopRotation)], &[]), once()],
        "take-snapshot" | "rewrite-objects" => vec![once()],
        "restore-encryption" => vec![
            // Identity is taken away only where nothing is in plain text; a recorded file is put back only on a person's word.
            only_after(step, &["scan-etcd:encrypted", &approved(Topic::PutBack)], &[]),
            only_after(step, &[&approved(Topic::OldBackups), &approved(Topic::PutBack)], &[]),
        ],
        _ => Vec::new(),
    }
}
