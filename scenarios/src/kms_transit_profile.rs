//! `kms-transit-profile`: the Transit key's profile is not what Kubernetes needs (K4, K5, K19).
//!
//! What endangers the cryptography (another type, export, plaintext backup, derived or convergent keys) cannot be taken back: nothing is
//! toggled, writes stay blocked, and a person decides. What only keeps requests from working is set to its recorded value, and only in the
//! direction that loses nothing.

use recover_steps::kms::{Check, Impact, KeyFacts, KeySeen, Layer as Of, ProviderChecked};

use crate::kms::plans::{all_serve, ask};
use crate::kms::{Case, Cause, Change, Event, Finding, Kms, Layer, Look, Task, Topic, findings};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransitProfile {}

/// The machine.
pub type KmsTransitProfile = Kms<TransitProfile>;

/// The changes that mend its profile, if all of it can be mended so.
fn changes(facts: &KeyFacts) -> Option<Vec<Change>> {
    let beyond = !facts.usable || facts.latest == 0 || facts.min_available > facts.latest;
    if beyond || !findings(facts, Impact::CryptographicSafety).is_empty() {
        return None;
    }
    let mut changes = Vec::new();
    if facts.deletion_allowed {
        changes.push(Change::ForbidDeletion);
    }
    if facts.min_decryption > facts.latest {
        changes.push(Change::LowerDecryption(facts.recorded_min_decryption.filter(|to| *to <= facts.latest)?));
    }
    if facts.min_encryption > facts.latest {
        changes.push(Change::LowerEncryption(facts.recorded_min_encryption.filter(|to| *to <= facts.latest)?));
    }
    if !facts.upsert_disabled {
        changes.push(Change::DisableUpsert);
    }
    Some(changes)
}

fn by_hand(what: &str, look: Look) -> Vec<Task> {
    let text = format!(
        "The key's profile is not what Kubernetes needs: {what}. None of this can be taken back by a setting, so nothing is toggled, and \
         writes stay blocked. Either restore a raft snapshot of OpenBao from before the change, or plan a new lineage: another key, a new \
         keyLineageId, and a migration while the old key still decrypts."
    );
    vec![ask(Topic::ProfileRestored, text), Task::Again(look)]
}

fn key(facts: &KeyFacts) -> Option<Vec<Task>> {
    let all: Vec<&str> = [Impact::CryptographicSafety, Impact::ApiServerAvailability]
        .into_iter()
        .flat_map(|impact| findings(facts, impact))
        .chain((!facts.upsert_disabled).then_some("encrypting with a key that is not there would make one"))
        .collect();
    if all.is_empty() {
        return None;
    }
    let what = all.join("; ");
    let Some(changes) = changes(facts) else { return Some(by_hand(&what, Look::Key)) };
    let text = format!(
        "The key's profile keeps requests from working, or is not safe: {what}. Set it back? Only recorded values are set, and only in \
         the direction that loses nothing."
    );
    let mut tasks = vec![ask(Topic::MendProfile, text)];
    tasks.extend(changes.into_iter().map(Task::Change));
    tasks.push(Task::Verify(Look::Key));
    Some(tasks)
}

impl Cause for TransitProfile {
    const NAME: &'static str = names::KMS_TRANSIT_PROFILE;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "the Transit key's profile fails closed: it is not what Kubernetes needs";
    const LAYERS: &'static [Layer] = &[Layer::Openbao, Layer::Key, Layer::Config, Layer::Registry, Layer::Checks];
    const CHANGES: &'static [&'static str] = &[
        "forbid-deletion",
        "lower-decryption",
        "lower-encryption",
        "disable-upsert",
        "restore-key",
        "start-provider",
        "restart-provider",
        "restart-apiserver",
    ];

    fn plan(_: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Key, Event::ReadKey(KeySeen::Original { facts } | KeySeen::Unrecorded { facts })) => key(facts),
            (Look::Key, Event::ReadKey(KeySeen::SoftDeleted { .. })) => Some(vec![
                ask(
                    Topic::Undelete,
                    "The key bears the mark of a soft deletion. Take it off? Nothing else of the key changes.",
                ),
                Task::Change(Change::RestoreKey),
                Task::Verify(Look::Key),
            ]),
            (Look::Checks(_), Event::CheckProvider(ProviderChecked::Failed { checks })) => match checks.first() {
                Some(Check { layer: Of::Transit, id, message }) => {
                    Some(by_hand(&format!("the provider's check {id} says {message}"), found.look.clone()))
                }
                Some(_) | None => None,
            },
            _ => None,
        }
    }

    fn afterwards(case: &Case) -> Vec<Task> {
        all_serve(case)
    }
}
