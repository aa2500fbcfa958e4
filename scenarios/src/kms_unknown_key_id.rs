//! `kms-unknown-key-id`: key ids are unknown, since a configuration drifted or a registry is lost (K8, K18, K20).
//!
//! An identity-bearing field only ever gets its recorded value back. A registry is never written: a verified pair of state and checkpoint
//! is copied byte for byte, from a peer or a backup of the same scope, while the provider is stopped. Where none is found, a person brings
//! one; there is no other way after a rotation.

use recover_steps::kms::{Check, ConfigSeen, EtcdScanned, Layer as Of, ProviderChecked};

use crate::kms::plans::{ask, config, registry};
use crate::kms::{Case, Cause, Event, Finding, Kms, Layer, Look, Pause, Task, Topic, only_where_the_key_is, unsaved};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownKeyId {}

/// The machine.
pub type KmsUnknownKeyId = Kms<UnknownKeyId>;

impl Cause for UnknownKeyId {
    const NAME: &'static str = names::KMS_UNKNOWN_KEY_ID;
    const VERSION: u16 = 2;
    const TITLE: &'static str = "key ids are unknown: a configuration drifted, or a key registry is lost";
    const LAYERS: &'static [Layer] =
        &[Layer::Openbao, Layer::Key, Layer::Config, Layer::Registry, Layer::Checks, Layer::Provider, Layer::Etcd];
    const CHANGES: &'static [&'static str] =
        &["restore-config", "stop-provider", "copy-pair", "start-provider", "restart-provider"];

    fn plan(_: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Config(_), Event::CompareConfig(ConfigSeen::Drifted { fields, .. }))
                if only_where_the_key_is(fields) =>
            {
                None
            }
            (Look::Config(node), Event::CompareConfig(seen)) => config(node, seen),
            (Look::Registry(node), Event::ReadRegistry(seen)) => registry(node, seen),
            (Look::Checks(node), Event::CheckProvider(ProviderChecked::Failed { checks })) => match checks.first() {
                Some(Check { layer: Of::Config | Of::Registry, id, message }) => {
                    let text = format!(
                        "Configuration and registry of {node} are as recorded, and the provider's check {id} says {message}. Mend what it \
                         names by hand; identity-bearing fields keep their recorded values, and nothing is written into the registry."
                    );
                    Some(vec![ask(Topic::ConfigMended, text), Task::Again(found.look.clone())])
                }
                Some(_) | None => None,
            },
            (Look::Provider(node), Event::LookNode(seen)) => {
                let why = unsaved(seen)?;
                let text = format!(
                    "The provider of {node} could not save its registry: {why}. Free the disk, or mend owner and mode of its \
                     folder. State, checkpoint and lock are never deleted. It saves again by itself."
                );
                Some(vec![ask(Topic::DiskFreed, text), Task::Wait(Pause::Probe), Task::Again(found.look.clone())])
            }
            (Look::Etcd, Event::ScanEtcd(EtcdScanned::Foreign { providers })) => {
                let text = format!(
                    "Objects in etcd were encrypted by another provider: {}. Configure that provider again after this one, under its old \
                     name and with its old key, until those objects are written again. No provider is renamed to clear an error.",
                    providers.join(", ")
                );
                Some(vec![ask(Topic::ProviderBack, text), Task::Again(Look::Etcd)])
            }
            _ => None,
        }
    }
}
