//! `kms-version-drift`: versions of the key were made at other times than recorded, or are not told of (K9, K10).
//!
//! Nothing is written to make it fit. Where versions were altered, providers are stopped and stay so until a snapshot with the original
//! metadata is back; a person restores it. Where versions are missing, rotation is stopped first, so that no more is skipped.

use recover_steps::kms::KeySeen;

use crate::kms::plans::{ask, hold_and_restore, registry, serves, snapshot};
use crate::kms::{Case, Cause, Change, Event, Finding, Kms, Layer, Look, Task, Topic};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum VersionDrift {}

/// The machine.
pub type KmsVersionDrift = Kms<VersionDrift>;

fn key(case: &Case, seen: &KeySeen) -> Option<Vec<Task>> {
    match seen {
        KeySeen::Altered { .. } => {
            Some(hold_and_restore(case, "Versions of the key were made at other times than recorded"))
        }
        KeySeen::Incomplete { .. } => {
            let mut tasks = Vec::new();
            if case.rotates() {
                let text = "Versions of the key are not told of, and it is rotated by itself: each rotation more makes it worse. Stop the \
                    automatic rotation? No version is touched.";
                tasks.extend([ask(Topic::StopRotation, text), Task::Change(Change::StopRotation)]);
            }
            tasks.extend(snapshot("When some versions of the key were made is not told"));
            Some(tasks)
        }
        // The snapshot that was restored has no key at all.
        KeySeen::Missing if case.snapshot_taken() => {
            Some(snapshot("The snapshot that was restored does not have the key").to_vec())
        }
        KeySeen::Missing
        | KeySeen::Original { .. }
        | KeySeen::Unrecorded { .. }
        | KeySeen::SoftDeleted { .. }
        | KeySeen::Denied { .. }
        | KeySeen::Elsewhere { .. } => None,
    }
}

impl Cause for VersionDrift {
    const NAME: &'static str = names::KMS_VERSION_DRIFT;
    const VERSION: u16 = 2;
    const TITLE: &'static str =
        "versions of the Transit key were made at other times than recorded, or are not told of";
    const LAYERS: &'static [Layer] = &[Layer::Openbao, Layer::Key];
    const CHANGES: &'static [&'static str] =
        &["stop-provider", "take-snapshot", "stop-rotation", "copy-pair", "start-provider", "restart-provider"];
    /// What was missing comes back, and the latest of all versions is the one that is encrypted with.
    const VERSIONS_COME: bool = true;

    fn plan(case: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Key, Event::ReadKey(seen)) => key(case, seen),
            (Look::Registry(node), Event::ReadRegistry(seen)) => registry(node, seen),
            _ => None,
        }
    }

    fn afterwards(case: &Case) -> Vec<Task> {
        let node = |node| {
            let mut tasks = vec![Task::Again(Look::Registry(Clone::clone(node)))];
            tasks.extend(serves(node));
            tasks
        };
        case.nodes().iter().flat_map(node).collect()
    }
}
