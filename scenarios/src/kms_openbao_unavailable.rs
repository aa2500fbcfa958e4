//! `kms-openbao-unavailable`: OpenBao cannot be reached or is sealed, or a provider did not get over it by itself (K3).
//!
//! No provider is restarted first: that would mend nothing, and cost what still serves. Whoever holds the keys unseals; this waits for
//! them, reads the key, and gives each provider the time that its own probes need before it is restarted once.

use recover_steps::kms::{Check, Layer as Of, NodeSeen, OpenbaoSeen, ProviderChecked};

use crate::kms::plans::{all_serve, ask, serves};
use crate::kms::{Case, Cause, Event, Finding, Kms, Layer, Look, Task, Topic};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenbaoUnavailable {}

/// The machine.
pub type KmsOpenbaoUnavailable = Kms<OpenbaoUnavailable>;

fn openbao(seen: &OpenbaoSeen) -> Option<Vec<Task>> {
    let text = match seen {
        OpenbaoSeen::Available { .. } => return None,
        OpenbaoSeen::Sealed { what, shares } => format!(
            "{what} of OpenBao is sealed ({shares}). Whoever holds the keys unseals it; with an automatic seal, what unseals it is mended. \
             This never sees a key."
        ),
        OpenbaoSeen::Uninitialized => {
            "This OpenBao was never set up, or its storage is another one. Give it its own storage back, or a \
            backup of it. Do not set it up anew: the Transit key would be gone."
                .into()
        }
        OpenbaoSeen::Unreachable { stage, why } => {
            format!("OpenBao cannot be reached ({why}); {}", stage.remedy())
        }
    };
    Some(vec![ask(Topic::OpenbaoBack, text), Task::Again(Look::Openbao)])
}

impl Cause for OpenbaoUnavailable {
    const NAME: &'static str = names::KMS_OPENBAO_UNAVAILABLE;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "OpenBao cannot be reached or is sealed, or a KMS provider did not get over it";
    const LAYERS: &'static [Layer] =
        &[Layer::Openbao, Layer::Key, Layer::Config, Layer::Registry, Layer::Checks, Layer::Provider];
    const CHANGES: &'static [&'static str] = &["restart-provider", "start-provider"];

    fn plan(_: &Case, found: &Finding) -> Option<Vec<Task>> {
        match (&found.look, &found.event) {
            (Look::Openbao, Event::LookOpenbao(seen)) => openbao(seen),
            (Look::Checks(node), Event::CheckProvider(ProviderChecked::Failed { checks })) => match checks.first() {
                Some(Check { layer: Of::Openbao, id, message }) => {
                    let text = format!(
                        "OpenBao is well, and {node} does not reach it: {id} says {message}. Mend the way there: route, firewall, DNS, \
                         the CA file, the clock."
                    );
                    Some(vec![ask(Topic::WayMended, text), Task::Again(found.look.clone())])
                }
                Some(_) | None => None,
            },
            (Look::Provider(node), Event::LookNode(NodeSeen::Unhealthy { .. })) => Some(serves(node).to_vec()),
            _ => None,
        }
    }

    fn afterwards(case: &Case) -> Vec<Task> {
        let mut tasks = vec![Task::Again(Look::Key)];
        tasks.extend(all_serve(case));
        tasks
    }
}
