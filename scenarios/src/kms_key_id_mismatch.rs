//! `kms-key-id-mismatch`: a provider's Status and Encrypt name different keys, or the nodes do (K12).
//!
//! A rotation that is under way is stopped first; configurations are compared on every node; then only the provider that disagrees is
//! restarted. It is never rolled back here: an older one may not know the current key ids.

use recover_steps::kms::{Converged, NodeSeen};

use crate::kms::plans::{ask, config};
use crate::kms::{Case, Cause, Change, Event, Finding, Kms, Layer, Look, Task, Topic};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyIdMismatch {}

/// The machine.
pub type KmsKeyIdMismatch = Kms<KeyIdMismatch>;

/// The key's automatic rotation is stopped, if it is on.
fn rotation(case: &Case) -> Vec<Task> {
    let text = "Key ids disagree, and the key is rotated by itself. Stop the automatic rotation until they agree? No version is touched.";
    let stop = || vec![ask(Topic::StopRotation, text), Task::Change(Change::StopRotation)];
    if case.rotates() { stop() } else { Vec::new() }
}

impl Cause for KeyIdMismatch {
    const NAME: &'static str = names::KMS_KEY_ID_MISMATCH;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "a KMS provider's Status and Encrypt name different keys, or the nodes do";
    const LAYERS: &'static [Layer] =
        &[Layer::Openbao, Layer::Key, Layer::Config, Layer::Registry, Layer::Provider, Layer::Convergence];
    const CHANGES: &'static [&'static str] = &["stop-rotation", "restore-config", "restart-provider", "start-provider"];

    fn plan(case: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Config(node), Event::CompareConfig(seen)) => config(node, seen),
            (Look::Provider(node), Event::LookNode(NodeSeen::Disagrees { instance, .. })) => {
                let mut tasks = rotation(case);
                tasks.extend([
                    Task::Change(Change::RestartProvider(node.clone(), instance.clone())),
                    Task::Serve { node: node.clone(), tried: true },
                    Task::Verify(Look::Checks(node.clone())),
                    Task::Verify(found.look.clone()),
                ]);
                Some(tasks)
            }
            // Each node takes the next version over by itself, some minutes apart; the validation waits for it.
            (Look::Convergence, Event::Converge(Converged::Diverged { .. })) => Some(rotation(case)),
            _ => None,
        }
    }
}
