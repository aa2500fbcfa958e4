//! The Transit key: read against what is recorded, and changed only in the direction that loses nothing.

use std::collections::BTreeMap;

use recover_engine::RunId;
use recover_steps::Stage;
use recover_steps::kms::{KeyChanged, KeyFacts, KeySeen, OpenbaoSeen, SnapshotTaken};

use super::Kms;
use super::baseline;
use crate::openbao::{Change, Failure, Key};
use crate::trouble::Trouble;

/// What is recorded of the key: when its versions were made, and down to where they must work.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Recorded {
    /// What each version was said to be made at; two, where two registries disagree.
    pub(super) versions: BTreeMap<u64, Vec<i64>>,
    pub(super) min_decryption: Option<u64>,
    pub(super) min_encryption: Option<u64>,
}

/// A failure of a reading.
fn unread(failure: Failure) -> Trouble {
    let why = failure.to_string();
    match failure {
        Failure::Throttled { after_ms } => Trouble::Retry { why, after_ms },
        Failure::NotSent(_)
        | Failure::Untrusted(_)
        | Failure::Sealed
        | Failure::NamespaceSealed
        | Failure::Unavailable(_)
        | Failure::Lost(_) => Trouble::retry(why),
        Failure::Forbidden(_)
        | Failure::NoNamespace
        | Failure::NoMount
        | Failure::NotTransit
        | Failure::NoKey
        | Failure::Denied
        | Failure::Refused { .. }
        | Failure::Redirected { .. } => Trouble::refused("openbao", why),
    }
}

/// A failure of a change: what was sent and not answered may have been done.
fn unchanged(failure: Failure) -> Trouble {
    if matches!(failure, Failure::Lost(_)) { Trouble::Unknown(failure.to_string()) } else { unread(failure) }
}

/// One of the two lowest versions that a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Lowest {
    Decrypting,
    Encrypting,
}

impl Lowest {
    const fn word(self) -> &'static str {
        match self {
            Self::Decrypting => "decrypting",
            Self::Encrypting => "encrypting",
        }
    }

    fn of(self, key: &Key) -> u64 {
        match self {
            Self::Decrypting => key.min_decryption_version,
            Self::Encrypting => key.min_encryption_version,
        }
    }

    const fn recorded(self, recorded: &Recorded) -> Option<u64> {
        match self {
            Self::Decrypting => recorded.min_decryption,
            Self::Encrypting => recorded.min_encryption,
        }
    }

    fn lowered(self, to: u64, key: &Key) -> Option<Change> {
        match self {
            Self::Decrypting => Change::lower_decryption(to, key),
            Self::Encrypting => Change::lower_encryption(to, key),
        }
    }
}

impl Kms {
    /// Whether OpenBao can be reached and is unsealed.
    pub(super) async fn look_openbao(&self) -> OpenbaoSeen {
        let health = match self.bao.health().await {
            Ok(health) => health,
            Err(failure) => return self.obstacle(failure).await,
        };
        if !health.initialized {
            return OpenbaoSeen::Uninitialized;
        }
        if health.sealed {
            let shares = match self.bao.seal_status().await {
                Ok(seal) => format!("{} of {} ({})", seal.progress, seal.t, seal.kind),
                Err(failure) => failure.to_string(),
            };
            return OpenbaoSeen::Sealed { what: "the server".into(), shares };
        }
        let namespace =
            || self.config.openbao.namespace.iter().map(|name| format!("the namespace {name}")).collect::<String>();
        match self.bao.namespace_seal_status().await {
            Ok(Some(seal)) if seal.sealed => {
                let shares = format!("{} of {} ({})", seal.progress, seal.t, seal.kind);
                return OpenbaoSeen::Sealed { what: namespace(), shares };
            }
            Ok(_) => {}
            // Whoever may not ask for its seal hears of it with whatever else is asked for.
            Err(_) => {
                if let Err(Failure::NamespaceSealed) = self.bao.key().await {
                    return OpenbaoSeen::Sealed {
                        what: namespace(),
                        shares: "how many shares are given may not be asked".into(),
                    };
                }
            }
        }
        let now = crate::time::now().0 / 1_000;
        OpenbaoSeen::Available { version: self.known.line(&health.version), skew_s: health.server_time_utc - now }
    }

    async fn obstacle(&self, failure: Failure) -> OpenbaoSeen {
        let origin = &self.config.openbao.address;
        let stage = match &failure {
            Failure::Untrusted(_) => Stage::Tls,
            Failure::NotSent(_) => match origin.addresses().await {
                Err(why) => return OpenbaoSeen::Unreachable { stage: Stage::Dns, why: self.known.line(&why) },
                Ok(addresses) => {
                    let connected = tokio::net::TcpStream::connect(addresses.as_slice());
                    match tokio::time::timeout(crate::client::CONNECT_WITHIN, connected).await {
                        // Somebody listens, so that the obstacle is what comes after.
                        Ok(Ok(_)) => Stage::Tls,
                        Ok(Err(_)) | Err(_) => Stage::Tcp,
                    }
                }
            },
            Failure::Sealed | Failure::NamespaceSealed => {
                return OpenbaoSeen::Sealed { what: "the server".into(), shares: failure.to_string() };
            }
            Failure::Forbidden(_)
            | Failure::NoNamespace
            | Failure::NoMount
            | Failure::NotTransit
            | Failure::NoKey
            | Failure::Denied
            | Failure::Refused { .. }
            | Failure::Throttled { .. }
            | Failure::Redirected { .. }
            | Failure::Unavailable(_)
            | Failure::Lost(_) => Stage::Healthz,
        };
        OpenbaoSeen::Unreachable { stage, why: self.known.line(&failure.to_string()) }
    }

    /// Reads the key, and compares it with what is recorded.
    pub(super) async fn read_key(&self) -> Result<KeySeen, Trouble> {
        let key = match self.bao.key().await {
            Ok(key) => key,
            Err(Failure::NoKey) => return Ok(KeySeen::Missing),
            Err(failure @ Failure::Denied) => return Ok(KeySeen::Denied { why: failure.to_string() }),
            Err(failure @ (Failure::NoMount | Failure::NotTransit | Failure::NoNamespace)) => {
                return Ok(KeySeen::Elsewhere { why: failure.to_string() });
            }
            Err(failure) => return Err(unread(failure)),
        };
        let upsert_disabled = match self.bao.upsert_disabled().await {
            Ok(disabled) => disabled,
            // What cannot be read is not taken for safe.
            Err(Failure::Denied) => false,
            Err(failure) => return Err(unread(failure)),
        };
        let recorded = self.recorded_key();
        let facts = facts(&key, upsert_disabled, &recorded);
        Ok(compared(&key, facts, &recorded))
    }

    /// What is recorded of the key: on a person's word first, and by the registries of the nodes where nobody's word says more.
    pub(super) fn recorded_key(&self) -> Recorded {
        let mut recorded = baseline::key(self.recorded.as_ref());
        let mut needed: Option<u64> = None;
        let mut told: BTreeMap<u64, Vec<i64>> = BTreeMap::new();
        for snapshot in self.nodes.values().filter_map(|node| node.pair().ok()).flat_map(|pair| pair.state.snapshots) {
            let (version, at) = (snapshot.transit_version, snapshot.transit_version_created_at_unix);
            if snapshot.decrypts() {
                needed = Some(needed.map_or(version, |least| least.min(version)));
                let all = told.entry(version).or_default();
                if !all.contains(&at) {
                    all.push(at);
                }
            }
        }
        for (version, at) in told {
            recorded.versions.entry(version).or_insert(at);
        }
        recorded.min_decryption = recorded.min_decryption.or(needed);
        recorded
    }

    /// Makes a change that is always the same, and reads again whether it holds.
    pub(super) async fn change(&self, change: Change) -> Result<KeyChanged, Trouble> {
        let (key, upsert) = self.both().await.map_err(unread)?;
        if change.holds(&key, upsert) {
            return Ok(KeyChanged::Changed);
        }
        self.bao.change(change).await.map_err(unchanged)?;
        let (key, upsert) = self.both().await.map_err(|failure| Trouble::Unknown(failure.to_string()))?;
        if change.holds(&key, upsert) {
            Ok(KeyChanged::Changed)
        } else {
            Err(Trouble::Unknown("OpenBao accepted it, and it does not hold".into()))
        }
    }

    async fn both(&self) -> Result<(Key, bool), Failure> {
        let key = self.bao.key().await?;
        let upsert = match self.bao.upsert_disabled().await {
            Err(Failure::Denied) => false,
            told => told?,
        };
        Ok((key, upsert))
    }

    /// Lowers one of the two lowest versions to the recorded one, and to no other.
    pub(super) async fn lower(&self, lowest: Lowest, to: u64) -> Result<KeyChanged, Trouble> {
        let key = self.bao.key().await.map_err(unread)?;
        if lowest.of(&key) <= to {
            return Ok(KeyChanged::Changed);
        }
        if lowest.recorded(&self.recorded_key()) != Some(to) {
            let why = format!("{to} is not the lowest version that is recorded as {}", lowest.word());
            return Err(Trouble::refused("openbao", why));
        }
        match lowest.lowered(to, &key) {
            Some(change) => self.change(change).await,
            None => {
                Err(Trouble::refused("openbao", format!("versions from {to} on are not all there, or do not decrypt")))
            }
        }
    }

    /// Takes a raft snapshot into the configured folder. One of this run that is whole stays.
    pub(super) async fn take_snapshot(&self, run: RunId) -> Result<SnapshotTaken, Trouble> {
        let Some(folder) = &self.config.snapshots else {
            return Ok(SnapshotTaken::Impossible { why: "no folder is configured: `snapshots`".into() });
        };
        let impossible = |why: String| Ok(SnapshotTaken::Impossible { why });
        match self.bao.snapshot(folder, &format!("recover-{run}.snap")).await {
            Ok((path, sha256)) => Ok(SnapshotTaken::Taken { path: path.display().to_string(), sha256 }),
            Err(Failure::NoKey | Failure::NoMount) => impossible("its storage is not raft".into()),
            Err(failure @ (Failure::Refused { .. } | Failure::Denied | Failure::NotTransit)) => {
                impossible(self.known.line(&failure.to_string()))
            }
            Err(failure) => Err(unread(failure)),
        }
    }

    /// Whether encrypting can make no key: it is there, and upsert is disabled. What cannot be read is not taken for safe.
    pub(super) async fn may_encrypt(&self) -> bool {
        matches!(self.both().await, Ok((key, true)) if !key.soft_deleted)
    }

    /// Whether a provider without a registry would make its first one by itself.
    pub(super) async fn bootstraps(&self) -> bool {
        self.bao.key().await.is_ok_and(|key| {
            key.latest_version == 1 && key.min_available_version <= 1 && key.min_decryption_version <= 1
        })
    }
}

pub(super) fn facts(key: &Key, upsert_disabled: bool, recorded: &Recorded) -> KeyFacts {
    KeyFacts {
        kind: key.kind.clone(),
        latest: key.latest_version,
        min_available: key.min_available_version,
        min_decryption: key.min_decryption_version,
        min_encryption: key.min_encryption_version,
        deletion_allowed: key.deletion_allowed,
        exportable: key.exportable,
        plaintext_backup: key.allow_plaintext_backup,
        derived: key.derived,
        convergent: key.convergent_encryption,
        usable: key.supports_encryption && key.supports_decryption,
        auto_rotate_s: key.auto_rotate_period,
        upsert_disabled,
        versions: key.versions.clone(),
        recorded_min_decryption: recorded.min_decryption,
        recorded_min_encryption: recorded.min_encryption,
    }
}

fn compared(key: &Key, facts: KeyFacts, recorded: &Recorded) -> KeySeen {
    if key.soft_deleted {
        return KeySeen::SoftDeleted { facts };
    }
    let altered: Vec<u64> = recorded
        .versions
        .iter()
        .filter(|(version, at)| key.versions.get(version).is_some_and(|told| at.as_slice() != [*told]))
        .map(|(version, _)| *version)
        .collect();
    if !altered.is_empty() {
        return KeySeen::Altered { facts, versions: altered };
    }
    // Below the lowest decrypting version nothing is told of, and nothing is lost by that alone.
    let archived = |version: u64| version < key.min_decryption_version && version >= key.min_available_version;
    let of_ours = recorded.versions.keys().copied();
    let between = key.min_decryption_version.max(key.min_available_version).max(1)..=key.latest_version;
    let mut missing: Vec<u64> =
        of_ours.chain(between).filter(|version| !key.versions.contains_key(version) && !archived(*version)).collect();
    missing.sort_unstable();
    missing.dedup();
    missing.truncate(64);
    if !missing.is_empty() {
        return KeySeen::Incomplete { facts, versions: missing };
    }
    if recorded.versions.is_empty() { KeySeen::Unrecorded { facts } } else { KeySeen::Original { facts } }
}
