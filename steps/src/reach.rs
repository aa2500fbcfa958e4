//! Whether the control plane can be reached from where the connector runs. Looks, and changes nothing.

use recover_engine::{Effect, Outcome, Pure};
use serde::{Deserialize, Serialize};

use crate::{event, refused};

/// Ask the control plane whether it is well, without a credential: name, connection, certificate, health.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reach {}

/// How far the way to the control plane goes before it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Its name is not resolved.
    Dns,
    /// No connection is made.
    Tcp,
    /// Its certificate is not trusted, or no secure connection comes about.
    Tls,
    /// It answers, and not that it is well.
    Healthz,
}

impl Stage {
    /// What a person mends there.
    #[must_use]
    pub const fn remedy(self) -> &'static str {
        match self {
            Self::Dns => "its name is not resolved: mend DNS on the connector's host",
            Self::Tcp => "no connection is made: open outbound TCP to it in the firewall, or start it",
            Self::Tls => "no trusted connection is made: mend the certificate, the CA bundle or the clock",
            Self::Healthz => {
                "it is reached and does not say that it is well: mend the control plane or the proxy before it"
            }
        }
    }
}

/// See [`Reach`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Reached {
    /// It says that it is well.
    Reached,
    /// It could not be asked, or does not.
    Unreachable {
        /// Where the way ends.
        stage: Stage,
        /// What was seen there.
        why: String,
    },
}
event!(Reached { Reached::Reached => "reached", Reached::Unreachable { .. } => "unreachable" });

impl Effect for Reach {
    const NAME: &'static str = "reach";
    type Event = Reached;
    type Redo = Pure;
    const TIMEOUT_MS: u64 = 60_000;
    const ATTEMPTS: u32 = 2;
    fn summary(&self) -> String {
        "look whether the control plane can be reached: DNS, TCP, TLS, healthz".into()
    }
    fn endings(&self) -> Vec<Outcome<Reached>> {
        let unreachable = |stage| Outcome::Happened(Reached::Unreachable { stage, why: "no route".into() });
        vec![
            Outcome::Happened(Reached::Reached),
            unreachable(Stage::Dns),
            unreachable(Stage::Tcp),
            unreachable(Stage::Tls),
            unreachable(Stage::Healthz),
            refused("authority"),
        ]
    }
}
