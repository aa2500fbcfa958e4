//! `kms-identity-fallback`: plain text is still allowed, or was stored and can no longer be read (K15, K16).
//!
//! Identity is taken away only after nothing is stored in plain text, and a person said that no backup in plain text is needed any more.
//! Where it was taken away too early, the last good configuration, with identity last, is put back on one node; then what is in plain text
//! is written again, and identity goes. The provider's name never changes, and nothing is written to etcd but by the API server.

use recover_steps::kms::{EncryptionSeen, EtcdScanned, Node};

use crate::kms::plans::{ask, bring_encryption, puts_encryption};
use crate::kms::{Case, Cause, Event, Finding, Kms, Layer, Look, Task, Topic};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdentityFallback {}

/// The machine.
pub type KmsIdentityFallback = Kms<IdentityFallback>;

fn encryption(case: &Case, node: &Node, seen: &EncryptionSeen) -> Option<Vec<Task>> {
    let look = Look::Encryption(node.clone());
    match seen {
        EncryptionSeen::IdentityFirst { recorded: None } => Some(bring_encryption(node, "identity comes before KMS")),
        EncryptionSeen::IdentityFirst { recorded: Some(sha256) } => {
            let text = format!(
                "On {node} identity comes before KMS: whatever its API server writes is in plain text. Put the recorded configuration with \
                 KMS first in place (sha256 {sha256})?"
            );
            let mut tasks = vec![ask(Topic::PutBack, text)];
            tasks.extend(puts_encryption(node, sha256));
            // It may still have identity after KMS: that is next.
            tasks.push(Task::Again(look));
            Some(tasks)
        }
        // Not before every API server encrypts what it writes: those come first, and this one's turn comes again.
        EncryptionSeen::Fallback { .. } if case.writes_plain() => Some(Vec::new()),
        EncryptionSeen::Fallback { without: None } => Some(bring_encryption(node, "identity is configured beside KMS")),
        EncryptionSeen::Fallback { without: Some(sha256) } => {
            let text = "Nothing is stored in plain text any more, and identity can be taken out of the configuration. Backups of etcd from \
                before may have plain text in them, which API servers could not read then. Are they expired, or no longer needed?";
            let mut tasks = vec![Task::Clean, ask(Topic::OldBackups, text)];
            tasks.extend(puts_encryption(node, sha256));
            tasks.push(Task::Verify(look));
            Some(tasks)
        }
        EncryptionSeen::Sound { .. } | EncryptionSeen::Drifted { .. } | EncryptionSeen::Unreadable { .. } => None,
    }
}

/// Some objects are in plain text, and no node may read them.
fn too_early(case: &Case, plain: u64) -> Option<Vec<Task>> {
    let text = |rest: String| {
        format!(
            "{plain} objects are stored in plain text, and no API server is configured to read them: identity was taken away too early. {rest}"
        )
    };
    Some(match case.fallback() {
        Some((node, sha256)) => {
            let ask = ask(
                Topic::PutBack,
                text(format!("Put the last good configuration, with identity last, back on {node} (sha256 {sha256})?")),
            );
            let mut tasks = vec![ask];
            tasks.extend(puts_encryption(node, sha256));
            tasks.push(Task::Again(Look::Encryption(node.clone())));
            tasks
        }
        None => {
            let bring = "Put the last good configuration, with KMS first and identity last, in place on one node, and let its API server take \
                it over.";
            let mut tasks = vec![ask(Topic::FileBrought, text(bring.into()))];
            tasks.extend(case.nodes().iter().cloned().map(Look::Encryption).map(Task::Again));
            tasks
        }
    })
}

impl Cause for IdentityFallback {
    const NAME: &'static str = names::KMS_IDENTITY_FALLBACK;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "plain text is still allowed beside KMS, or was stored and can no longer be read";
    const LAYERS: &'static [Layer] =
        &[Layer::Openbao, Layer::Key, Layer::Config, Layer::Registry, Layer::Provider, Layer::Encryption, Layer::Etcd];
    const CHANGES: &'static [&'static str] = &["restore-encryption", "restart-apiserver", "rewrite-objects"];

    fn plan(case: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Encryption(node), Event::ReadEncryption(seen)) => encryption(case, node, seen),
            (Look::Etcd, Event::ScanEtcd(EtcdScanned::Plaintext { plain, .. })) => too_early(case, *plain),
            _ => None,
        }
    }

    fn afterwards(case: &Case) -> Vec<Task> {
        let again = |node: &_| Task::Again(Look::Encryption(Clone::clone(node)));
        // At the end, nothing is in plain text, whichever way it came to be so.
        let mut tasks: Vec<Task> =
            if case.writes_plain() { case.nodes().iter().map(again).collect() } else { Vec::new() };
        tasks.push(Task::Clean);
        tasks
    }
}
