//! `kms-key-missing`: the Transit key is not found, or another one has its name (K7, K17).
//!
//! A key is never made: there is no step for it, and none here that encrypts before the original was read. A mark of a soft deletion is
//! taken off; a mistyped place is set back to the recorded one; a key that was deleted comes back only with a snapshot of OpenBao, which a
//! person restores. Where another key has its name, providers stay stopped until the original is back: one that bootstraps would take the
//! new lineage for the old. Without a backup the run ends by saying what is lost.

use recover_steps::kms::{ConfigSeen, KeySeen};

use crate::kms::plans::{all_serve, ask, config, hold_and_restore, snapshot};
use crate::kms::{
    Case, Cause, Change, Event, Finding, Kms, Layer, Look, Task, Topic, only_where_the_key_is, recreated,
};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {}

/// The machine.
pub type KmsKeyMissing = Kms<Missing>;

/// What is to be done about the key itself.
fn key(case: &Case, seen: &KeySeen) -> Option<Vec<Task>> {
    let reachable = |text: String| Some(vec![ask(Topic::KeyReachable, text), Task::Again(Look::Key)]);
    match seen {
        KeySeen::Original { .. } | KeySeen::Unrecorded { .. } | KeySeen::Incomplete { .. } => None,
        KeySeen::Altered { versions, .. } => (recreated(versions) || case.snapshot_taken()).then(|| {
            hold_and_restore(
                case,
                "Another key has the recorded one's name: its first version was made at another time than recorded",
            )
        }),
        KeySeen::SoftDeleted { .. } => Some(vec![
            ask(
                Topic::Undelete,
                "The key bears the mark of a soft deletion. Take it off? Nothing else of the key changes.",
            ),
            Task::Change(Change::RestoreKey),
            Task::Verify(Look::Key),
        ]),
        KeySeen::Missing => Some(snapshot("There is no key of the recorded name at the recorded mount").to_vec()),
        KeySeen::Denied { why } => reachable(format!(
            "The key may not be read with recover's own credential ({why}). Let its policy grant reading the key's metadata; the \
             provider's own policy is not made wider."
        )),
        KeySeen::Elsewhere { why } => reachable(format!(
            "There is no Transit at the configured mount and namespace ({why}). Mount and namespace are recorded values: compare the \
             target's configuration with them, and look whether the mount was disabled."
        )),
    }
}

impl Cause for Missing {
    const NAME: &'static str = names::KMS_KEY_MISSING;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "the Transit key is not found, or another key has its name";
    const LAYERS: &'static [Layer] = &[Layer::Openbao, Layer::Key, Layer::Config];
    const CHANGES: &'static [&'static str] =
        &["restore-key", "take-snapshot", "restore-config", "stop-provider", "start-provider", "restart-provider"];

    fn plan(case: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Key, Event::ReadKey(seen)) => key(case, seen),
            (Look::Config(node), Event::CompareConfig(seen)) => match seen {
                ConfigSeen::Drifted { fields, .. } if only_where_the_key_is(fields) => config(node, seen),
                ConfigSeen::AsRecorded
                | ConfigSeen::Drifted { .. }
                | ConfigSeen::Unrecorded
                | ConfigSeen::Unreadable { .. } => None,
            },
            _ => None,
        }
    }

    fn afterwards(case: &Case) -> Vec<Task> {
        all_serve(case)
    }
}
