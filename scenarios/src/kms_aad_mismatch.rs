//! `kms-aad-mismatch`: what is stored beside the ciphertext is not what it was encrypted with (K11).
//!
//! A key that was made again under the old name looks just so, so the key's versions are compared first; then configuration and registry.
//! Only if all of it is as recorded are the objects themselves altered: then a backup of etcd helps, by hand. AAD is never disabled.

use recover_steps::kms::ObjectsRead;

use crate::kms::plans::{ask, config};
use crate::kms::{Case, Cause, Event, Finding, Kms, Layer, Look, Task, Topic};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AadMismatch {}

/// The machine.
pub type KmsAadMismatch = Kms<AadMismatch>;

impl Cause for AadMismatch {
    const NAME: &'static str = names::KMS_AAD_MISMATCH;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "objects do not fit what they were encrypted with";
    const LAYERS: &'static [Layer] =
        &[Layer::Openbao, Layer::Key, Layer::Config, Layer::Registry, Layer::Checks, Layer::Provider, Layer::Objects];
    const CHANGES: &'static [&'static str] = &["restore-config", "restart-provider", "start-provider"];

    fn plan(_: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Config(node), Event::CompareConfig(seen)) => config(node, seen),
            (Look::Objects, Event::ReadObjects(ObjectsRead::Unreadable { objects, why })) => {
                let text = format!(
                    "Key, configuration and registries are as recorded, and these objects cannot be read ({why}): {}. What is stored beside \
                     their ciphertext was altered, or damaged. Restore them from a backup of etcd, into a copy first; AAD is not disabled, and \
                     neither code nor state is changed to get around it. If nobody altered them, report a bug of the provider's.",
                    objects.join(", ")
                );
                Some(vec![ask(Topic::ObjectsRestored, text), Task::Again(Look::Objects)])
            }
            _ => None,
        }
    }
}
