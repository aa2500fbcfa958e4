//! What can be read of a connector without changing anything, as data: the material of a diagnosis.
//!
//! Everything carries where it was read from. What could not be read says why, so that nobody takes silence for health.

use serde::{Deserialize, Serialize};

use crate::workload::Instance;

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Look<T> {
    /// Where: a request, a path, a command line's flag.
    pub from: String,
    /// What was there.
    pub found: Found<T>,
}

/// What a look found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Found<T> {
    /// It was read.
    Seen(T),
    /// It could not be read, for this reason.
    NotRead(String),
}

impl<T> Look<T> {
    /// It was read there.
    pub fn seen(from: impl Into<String>, value: T) -> Self {
        Self { from: from.into(), found: Found::Seen(value) }
    }

    /// It could not be read there.
    pub fn not_read(from: impl Into<String>, why: impl Into<String>) -> Self {
        Self { from: from.into(), found: Found::NotRead(why.into()) }
    }

    /// What was read, if it was.
    pub const fn value(&self) -> Option<&T> {
        match &self.found {
            Found::Seen(value) => Some(value),
            Found::NotRead(_) => None,
        }
    }
}

/// Everything that was read of one connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Observations {
    /// The connector's id at the authority.
    pub agent: String,
    /// What the authority says of it.
    pub standing: Look<Standing>,
    /// Its tokens there, the newest last.
    pub tokens: Look<Vec<TokenSeen>>,
    /// How many enrolments the authority refused lately, by its audit.
    pub refusals: Look<u32>,
    /// What is where its identity should be.
    pub identity: Look<IdentitySeen>,
    /// The storage that this is on.
    pub storage: Look<StorageSeen>,
    /// What runs.
    pub workload: Look<WorkloadSeen>,
    /// How far the control plane can be reached from here.
    pub reach: Reach,
    /// The last lines of its log, oldest first, redacted.
    pub log: Look<Vec<String>>,
    /// Alerts that are active.
    pub alerts: Vec<AlertSeen>,
}

/// The authority's word for a connector's state.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AgentStatus {
    /// Connected.
    Online,
    /// Not connected; it may come back by itself.
    Offline,
    /// Connected, and a path behind it is not well.
    Degraded,
    /// No longer in a normal reconnect path.
    NeedsRecovery,
    /// Never connected.
    NeverPaired,
}

/// What the authority says of a connector.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Standing {
    /// Its state.
    pub status: AgentStatus,
    /// Whether an identity was ever issued to it.
    pub paired_before: bool,
    /// The serial of the identity that was issued last.
    #[serde(default)]
    pub serial: Option<String>,
    /// The last heartbeat, in the authority's words.
    #[serde(default)]
    pub last_seen: Option<String>,
    /// The newest failure that its audit tells of.
    #[serde(default)]
    pub last_error: Option<String>,
}

/// What an authority says that our credential may do there. Asked for by itself: it says nothing of the connector's trouble.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RightsSeen {
    /// It told.
    Told {
        /// It may make enrollment tokens.
        mint: bool,
        /// It may end them.
        revoke: bool,
    },
    /// There is nothing that could be ended, and it may do the rest, for this reason.
    Given {
        /// In words.
        why: String,
    },
    /// It does not tell: only doing it would.
    Untold {
        /// In words.
        why: String,
    },
}

/// What became of a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TokenFate {
    /// It would work.
    Live,
    /// It was presented.
    Consumed,
    /// It was taken back.
    Revoked,
    /// Its time is over.
    Expired,
}

/// A token, without its secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TokenSeen {
    /// What became of it.
    pub fate: TokenFate,
    /// Whether an identity came of it.
    #[serde(default)]
    pub paired: bool,
}

/// What is where an identity should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub enum IdentitySeen {
    /// One that can be read and whose time is not known to be over.
    Usable {
        /// Its serial.
        serial: String,
    },
    /// None.
    Absent,
    /// Whatever it is, it may not be read.
    Denied {
        /// What the system says.
        why: String,
    },
    /// Something that is no identity.
    Damaged {
        /// What is wrong with it.
        why: String,
    },
    /// One whose time is over, by its own word.
    Expired {
        /// Its serial.
        serial: String,
        /// Since when.
        since: String,
    },
}

/// What kind of place a workload keeps its identity in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StorageKind {
    /// A directory of this host.
    Directory,
    /// A named volume or a bind mount of a container.
    Volume,
    /// A volume that nobody named, or the container's own layer.
    Anonymous,
    /// A claim of a pod.
    Claim,
    /// A pod's scratch space.
    EmptyDir,
}

/// Whether a workload's storage is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Attachment {
    /// It is.
    Attached,
    /// It is not.
    Missing,
    /// It may not be looked into.
    Denied,
}

/// Whether storage outlives its workload and its host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Lasting {
    /// It does.
    Durable,
    /// It does not.
    Refuted,
    /// It cannot be told.
    Undecided,
}

/// Whether storage is the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sameness {
    /// It is.
    Same,
    /// It is another one.
    Other,
    /// Nothing was recorded that would tell.
    Untold,
}

/// A workload's storage.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StorageSeen {
    /// What kind of place it is.
    pub kind: StorageKind,
    /// Whether it is there.
    pub attachment: Attachment,
    /// Whether it lasts.
    pub lasting: Lasting,
    /// The file system and what it is on, or whatever names it.
    pub on: String,
    /// Whether it is the recorded one.
    pub original: Sameness,
    /// Where else the identity that the authority knows was found.
    #[serde(default)]
    pub elsewhere: Option<String>,
}

/// What runs of a workload.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "is", rename_all = "kebab-case", deny_unknown_fields)]
pub enum WorkloadSeen {
    /// It runs.
    Running {
        /// This life of it.
        instance: Instance,
        /// How often it was restarted, where whoever runs it counts.
        #[serde(default)]
        restarts: Option<u32>,
    },
    /// It does not run.
    Stopped,
    /// It ends again and again and is started again and again.
    Restarting {
        /// How often so far.
        restarts: u32,
    },
}

/// How far the control plane can be reached, step by step. A step after one that failed was not tried, and says so.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Reach {
    /// Its name has an address.
    pub dns: Look<Reached>,
    /// A connection can be made.
    pub tcp: Look<Reached>,
    /// Its certificate is trusted by this program's own trust store.
    pub tls: Look<Handshake>,
    /// It says that it is well.
    pub health: Look<Health>,
}

/// Whether a step towards the control plane succeeded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Reached {
    /// It did; to these addresses.
    Yes(String),
    /// It did not, for this reason.
    No(String),
}

/// What came of a handshake.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Handshake {
    /// The peer is trusted.
    Trusted,
    /// There is none: plain text to this very host.
    Plain,
    /// Nobody who is trusted issued the peer's certificate.
    UnknownIssuer(String),
    /// It failed for another reason: a name, a time, a protocol.
    Failed(String),
}

/// What the control plane said of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Health {
    /// It is well; with its clock before ours by so many milliseconds, if it told the time.
    Well(Option<i64>),
    /// It answered otherwise.
    Unwell(String),
    /// It did not answer.
    Silent(String),
}

/// An alert that is said to be active.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AlertSeen {
    /// Its name.
    pub name: String,
    /// Who said so.
    pub from: String,
}
