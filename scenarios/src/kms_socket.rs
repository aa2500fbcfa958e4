//! `kms-socket`: the provider or its socket is gone, barred, or not where the API server looks (K1, K2).
//!
//! What is below is looked at first: a provider that cannot log in, or that has no registry, is not helped by a start. A socket that
//! accepts is never removed, and nothing gets wider rights than are documented. An API server that does not reconnect by itself is
//! restarted once, and only while its own KMS serves.

use recover_steps::kms::{ApiserverSeen, NodeSeen};

use crate::kms::plans::encryption_back;
use crate::kms::{Case, Cause, Change, Event, Finding, Kms, Layer, Look, Task, reconnect};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Socket {}

/// The machine.
pub type KmsSocket = Kms<Socket>;

impl Cause for Socket {
    const NAME: &'static str = names::KMS_SOCKET;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "a KMS provider or its socket is gone, barred, or not where the API server looks";
    const LAYERS: &'static [Layer] = &[
        Layer::Openbao,
        Layer::Key,
        Layer::Config,
        Layer::Registry,
        Layer::Image,
        Layer::Provider,
        Layer::Encryption,
        Layer::Apiserver,
    ];
    const CHANGES: &'static [&'static str] =
        &["start-provider", "restart-provider", "mend-socket", "restore-encryption", "restart-apiserver"];

    fn plan(_: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Provider(node), Event::LookNode(seen)) => {
                let serve = |tried| Task::Serve { node: node.clone(), tried };
                let mut tasks = match seen {
                    NodeSeen::Stopped => vec![Task::Change(Change::StartProvider(node.clone())), serve(true)],
                    NodeSeen::NoSocket { instance, .. } => {
                        vec![Task::Change(Change::RestartProvider(node.clone(), instance.clone())), serve(true)]
                    }
                    // With its rights back it may serve at once; if it does not, it makes its socket anew.
                    NodeSeen::Barred { .. } => vec![
                        Task::Change(Change::MendSocket(node.clone())),
                        Task::Renew { node: node.clone(), always: false },
                    ],
                    NodeSeen::Serving { .. }
                    | NodeSeen::Unhealthy { .. }
                    | NodeSeen::Degraded { .. }
                    | NodeSeen::Disagrees { .. }
                    | NodeSeen::Unclear { .. } => return None,
                };
                tasks.extend([Task::Verify(Look::Checks(node.clone())), reconnect(node)]);
                Some(tasks)
            }
            (Look::Encryption(node), Event::ReadEncryption(seen)) => encryption_back(node, seen),
            // The validation waits for it, and restarts it once if it must.
            (Look::Apiserver(node), Event::LookApiserver(seen)) => {
                let well = matches!(seen, ApiserverSeen::Healthy { .. });
                (!well).then(|| vec![reconnect(node)])
            }
            _ => None,
        }
    }
}
