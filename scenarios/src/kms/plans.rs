//! Plans that several procedures share. One that ends with another look after a person's word has nothing behind that look: what is
//! seen then is planned anew in its place.

use recover_steps::kms::{ConfigSeen, EncryptionSeen, Node, RegistrySeen};

use super::case::Case;
use super::change::{Change, Pair};
use super::look::Look;
use super::task::{Task, reconnect};
use super::topic::{Ask, Topic};

/// What is asked where nothing recorded says that the key is the original.
pub(super) const UNRECORDED: &str = "The key can be read, and nothing recorded says when its versions were made: neither a baseline nor a \
    registry. Is it the original, and not one that was made again under the same name?";

pub(crate) fn ask(topic: Topic, text: impl Into<String>) -> Task {
    Task::Ask(Ask::new(topic, text))
}

/// A node is mended: it gets the time to serve, and its own checks must pass, before the next one is touched.
pub(crate) fn serves(node: &Node) -> [Task; 2] {
    [Task::Serve { node: node.clone(), tried: false }, Task::Verify(Look::Checks(node.clone()))]
}

/// Every node in turn.
pub(crate) fn all_serve(case: &Case) -> Vec<Task> {
    case.nodes().iter().flat_map(serves).collect()
}

/// The recorded provider configuration is put back; without a file for it, a person does.
pub(crate) fn config(node: &Node, seen: &ConfigSeen) -> Option<Vec<Task>> {
    let (why, recorded) = match seen {
        ConfigSeen::AsRecorded | ConfigSeen::Unrecorded => return None,
        ConfigSeen::Drifted { fields, recorded } => (format!("differs in {}", fields.join(", ")), recorded),
        ConfigSeen::Unreadable { why, recorded } => (format!("cannot be read ({why})"), recorded),
    };
    Some(match recorded {
        Some(sha256) => {
            let text = format!(
                "The provider configuration of {node} {why}. Put the recorded one back (sha256 {sha256}) and restart the provider \
                 there? What is there now is kept beside it."
            );
            vec![
                ask(Topic::RestoreConfig, text),
                Task::Change(Change::RestoreConfig(node.clone(), sha256.clone())),
                Task::Verify(Look::Config(node.clone())),
                Task::Renew { node: node.clone(), always: true },
                Task::Verify(Look::Checks(node.clone())),
            ]
        }
        None => {
            let text = format!(
                "The provider configuration of {node} {why}, and no file with the recorded values is configured. Give these fields \
                 their recorded values, never new ones, and restart the provider there; then it is looked at again."
            );
            vec![ask(Topic::ConfigMended, text), Task::Again(Look::Config(node.clone()))]
        }
    })
}

/// A lost or foreign registry is replaced by a verified pair; one that is not safe to read is a person's to mend.
pub(crate) fn registry(node: &Node, seen: &RegistrySeen) -> Option<Vec<Task>> {
    match seen {
        RegistrySeen::Sound { .. } | RegistrySeen::Absent { checkpoint: false, bootstraps: true } => None,
        RegistrySeen::Absent { .. }
        | RegistrySeen::Corrupt { .. }
        | RegistrySeen::RolledBack { .. }
        | RegistrySeen::Foreign { .. } => Some(vec![Task::Pair(node.clone())]),
        RegistrySeen::Unsafe { why } => {
            let text = format!(
                "The key registry of {node} is not safe to be read: {why}. Give folder and files their documented owner and modes, \
                 with no link in the path; do not edit or delete them."
            );
            Some(vec![ask(Topic::RegistryMended, text), Task::Again(Look::Registry(node.clone()))])
        }
    }
}

/// The pair is copied while the provider is stopped, and the provider started on it.
pub(super) fn copies(node: &Node, pair: Pair) -> Vec<Task> {
    vec![
        Task::Note(node.clone()),
        Task::Change(Change::StopProvider { node: node.clone(), hold: false }),
        Task::Change(Change::CopyPair(node.clone(), pair)),
        Task::Verify(Look::Registry(node.clone())),
        Task::Change(Change::StartProvider(node.clone())),
        Task::Serve { node: node.clone(), tried: true },
        Task::Verify(Look::Checks(node.clone())),
    ]
}

pub(super) fn bring_pair(node: &Node, why: &str) -> Ask {
    Ask::new(
        Topic::PairBrought,
        format!(
            "There is no registry pair that {node} may have: {why}. Bring state and checkpoint together, from one backup of the same \
             scope, to a configured folder. None may be written by hand or made anew: without one the provider stays as it is."
        ),
    )
}

/// The key is another one, or parts of it are gone: providers stay stopped until a snapshot with the original is back.
pub(crate) fn hold_and_restore(case: &Case, why: &str) -> Vec<Task> {
    let stops = case.nodes().iter().flat_map(|node| {
        [Task::Note(node.clone()), Task::Change(Change::StopProvider { node: node.clone(), hold: true })]
    });
    let mut tasks: Vec<Task> = stops.collect();
    tasks.extend(snapshot(why));
    tasks
}

/// A person restores a raft snapshot; one of what is there now is taken first.
pub(crate) fn snapshot(why: &str) -> [Task; 3] {
    let text = format!(
        "{why}. Only a backup of OpenBao that has the original key helps. Restoring one replaces the whole of OpenBao, every mount, \
         namespace and token: let a second person look at it. A snapshot of what is there now was taken, where OpenBao can give one. Find \
         the raft snapshot from before the loss and not older than the last rotation, restore it by hand (bao operator raft snapshot \
         restore), unseal, and answer `{restored}`: when its versions were made is compared with what is recorded. Never create a key \
         under this name. If no backup has the key, answer `{lost}`.",
        restored = super::topic::RESTORED,
        lost = super::topic::LOST,
    );
    [Task::Change(Change::TakeSnapshot), ask(Topic::SnapshotRestored, text), Task::Again(Look::Key)]
}

pub(super) fn sole(node: &Node) -> Ask {
    Ask::new(
        Topic::SoleApiserver,
        format!(
            "The API server of {node} must be restarted, and no other one is ready: until it is back there is none. Its KMS serves. \
             Restart it all the same?"
        ),
    )
}

/// A recorded EncryptionConfiguration is put in place on a node, and taken over by its API server.
pub(crate) fn puts_encryption(node: &Node, sha256: &str) -> Vec<Task> {
    vec![
        Task::Change(Change::RestoreEncryption(node.clone(), sha256.to_owned())),
        Task::Adopt(node.clone(), sha256.to_owned()),
        reconnect(node),
    ]
}

/// A file for it must be brought.
pub(crate) fn bring_encryption(node: &Node, why: &str) -> Vec<Task> {
    let text = format!(
        "The EncryptionConfiguration of {node}: {why}; and no recorded file for it is configured. Bring one, with the provider's name as \
         it is, and configure it or put it in place."
    );
    vec![ask(Topic::FileBrought, text), Task::Again(Look::Encryption(node.clone()))]
}

/// What is not what is recorded is put back.
pub(crate) fn encryption_back(node: &Node, seen: &EncryptionSeen) -> Option<Vec<Task>> {
    match seen {
        EncryptionSeen::Drifted { why, recorded } => Some(match recorded {
            None => bring_encryption(node, why),
            Some(sha256) => {
                let text = format!(
                    "The EncryptionConfiguration of {node} is not what is recorded: {why}. Put the recorded one back (sha256 {sha256})?"
                );
                let mut tasks = vec![ask(Topic::PutBack, text)];
                tasks.extend(puts_encryption(node, sha256));
                tasks
            }
        }),
        EncryptionSeen::Sound { .. }
        | EncryptionSeen::Fallback { .. }
        | EncryptionSeen::IdentityFirst { .. }
        | EncryptionSeen::Unreadable { .. } => None,
    }
}
