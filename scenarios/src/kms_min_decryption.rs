//! `kms-min-decryption`: the lowest decrypting version was raised before everything was written anew (K13).
//!
//! It is lowered to the recorded value, where that version still exists; raising it has no step. Where the version is gone, only a backup
//! of OpenBao has it. `verify-rotation` is no proof that a raise was safe, and nothing is migrated before old objects are read again.

use recover_steps::kms::{KeyFacts, KeySeen};

use crate::kms::plans::{all_serve, ask, snapshot};
use crate::kms::{Case, Cause, Change, Event, Finding, Kms, Layer, Look, Task, Topic, raised};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MinDecryption {}

/// The machine.
pub type KmsMinDecryption = Kms<MinDecryption>;

fn key(facts: &KeyFacts) -> Option<Vec<Task>> {
    let now = facts.min_decryption;
    match raised(facts) {
        Some(to) if to >= facts.min_available => {
            let text = format!(
                "min_decryption_version is {now}; recorded is {to}, and that version still exists. Lower it, so that old objects and old \
                 backups can be read again?"
            );
            Some(vec![
                ask(Topic::LowerDecryption, text),
                Task::Change(Change::LowerDecryption(to)),
                Task::Verify(Look::Key),
            ])
        }
        Some(to) => Some(
            snapshot(&format!("Version {to} of the key is still needed, and was trimmed: no setting brings it back"))
                .to_vec(),
        ),
        None if facts.recorded_min_decryption.is_none() && now > 1 => {
            let text = format!(
                "min_decryption_version is {now}, and nothing recorded says how low it must be. If objects are encrypted with an older \
                 version, record that version in the target's configuration; what was merely seen now never becomes recorded by itself."
            );
            Some(vec![ask(Topic::MinimumRecorded, text), Task::Again(Look::Key)])
        }
        None => None,
    }
}

impl Cause for MinDecryption {
    const NAME: &'static str = names::KMS_MIN_DECRYPTION;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "min_decryption_version was raised too early";
    const LAYERS: &'static [Layer] = &[Layer::Openbao, Layer::Key];
    const CHANGES: &'static [&'static str] =
        &["lower-decryption", "take-snapshot", "start-provider", "restart-provider"];

    fn plan(_: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Key, Event::ReadKey(KeySeen::Original { facts } | KeySeen::Unrecorded { facts })) => key(facts),
            _ => None,
        }
    }

    fn afterwards(case: &Case) -> Vec<Task> {
        all_serve(case)
    }
}
