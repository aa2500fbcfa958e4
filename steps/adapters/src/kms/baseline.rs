//! What is recorded of the family on a person's word, and how it is now: fact by fact.

use std::collections::BTreeMap;

use recover_steps::kms::{EncryptionSeen, KeySeen, NodeSeen, OpenbaoSeen};

use super::Kms;
use super::key::Recorded;
use crate::facts::{Facts, Seen};
use crate::trouble::Trouble;

const VERSION: &str = "key.version.";
const MIN_DECRYPTION: &str = "key.min_decryption_version";
const MIN_ENCRYPTION: &str = "key.min_encryption_version";

/// What is recorded of the key.
pub(super) fn key(recorded: Option<&Facts>) -> Recorded {
    let Some(facts) = recorded else { return Recorded::default() };
    let number = |name: &str| facts.get(name).and_then(|value| value.parse().ok());
    let version = |(name, at): (&String, &String)| {
        let version: u64 = name.strip_prefix(VERSION)?.parse().ok()?;
        Some((version, vec![at.parse::<i64>().ok()?]))
    };
    Recorded {
        versions: facts.iter().filter_map(version).collect::<BTreeMap<_, _>>(),
        min_decryption: number(MIN_DECRYPTION),
        min_encryption: number(MIN_ENCRYPTION),
    }
}

/// The identity-bearing fields of a node's provider configuration, as recorded.
pub(super) fn identity<'a>(recorded: Option<&'a Facts>, node: &str) -> BTreeMap<&'a str, &'a str> {
    let prefix = format!("node.{node}.config.");
    let all = recorded.into_iter().flatten();
    all.filter_map(|(name, value)| Some((name.strip_prefix(&prefix)?, value.as_str()))).collect()
}

/// The generation of a node's registry, as recorded.
pub(super) fn generation(recorded: Option<&Facts>, node: &str) -> Option<u64> {
    recorded?.get(&format!("node.{node}.registry.generation"))?.parse().ok()
}

/// The provider's name, as recorded.
pub(super) fn provider_name<'a>(recorded: Option<&'a Facts>, node: &str) -> Option<&'a str> {
    recorded?.get(&format!("node.{node}.config.transit.keyIdScope.providerName")).map(String::as_str)
}

impl Kms {
    /// Looks at everything that belongs to a baseline. Nothing is changed.
    ///
    /// # Errors
    /// With a sentence, if something that belongs to a baseline cannot be read.
    pub async fn facts(&self) -> Result<Seen, String> {
        let told = |trouble: Trouble| self.known.line(trouble.text());
        let mut facts = Facts::new();
        let mut unwell = Vec::new();
        match self.look_openbao().await {
            OpenbaoSeen::Available { version, .. } => drop(facts.insert("openbao.version".into(), version)),
            other @ (OpenbaoSeen::Sealed { .. } | OpenbaoSeen::Uninitialized | OpenbaoSeen::Unreachable { .. }) => {
                return Err(format!("OpenBao is not available: {other:?}"));
            }
        }
        let key = match self.read_key().await.map_err(told)? {
            KeySeen::Original { facts } | KeySeen::Unrecorded { facts } => facts,
            KeySeen::Altered { facts, versions } | KeySeen::Incomplete { facts, versions } => {
                unwell.push(format!("versions {versions:?} of the key are not as recorded"));
                facts
            }
            KeySeen::SoftDeleted { .. } => return Err("the key is soft-deleted".into()),
            KeySeen::Missing => return Err("there is no key of that name".into()),
            KeySeen::Denied { why } | KeySeen::Elsewhere { why } => return Err(why),
        };
        unwell.extend(key.findings().iter().map(|(_, text)| (*text).to_owned()));
        if !key.upsert_disabled {
            unwell.push("encrypting with a key that is not there would make one".into());
        }
        facts.insert("key.type".into(), key.kind.clone());
        facts.insert("key.latest_version".into(), key.latest.to_string());
        facts.insert("key.min_available_version".into(), key.min_available.to_string());
        facts.insert(MIN_DECRYPTION.into(), key.min_decryption.to_string());
        facts.insert(MIN_ENCRYPTION.into(), key.min_encryption.to_string());
        facts.extend(key.versions.iter().map(|(version, at)| (format!("{VERSION}{version}"), at.to_string())));
        for name in self.nodes.keys() {
            self.node_facts(name, &mut facts, &mut unwell).await?;
        }
        let unwell = (!unwell.is_empty()).then(|| unwell.join("; "));
        Ok(Seen { facts, unwell })
    }

    async fn node_facts(&self, name: &str, facts: &mut Facts, unwell: &mut Vec<String>) -> Result<(), String> {
        let node = self.nodes.get(name).ok_or("there is no such node")?;
        let mut note = |what: &str, value: String| facts.insert(format!("node.{name}.{what}"), value);
        let settings = node.settings()?;
        for (field, value) in settings.identity() {
            note(&format!("config.{field}"), value);
        }
        note("config.sha256", super::files::read_there(&node.config.provider.config)?.sha256());
        note("encryption.sha256", super::files::read_there(&node.config.apiserver.encryption_config)?.sha256());
        match node.pair() {
            Ok(pair) => {
                note("registry.generation", pair.state.generation.to_string());
                note("registry.hash", pair.state.current_hash);
            }
            Err(flaw) => unwell.push(format!("the registry of {name}: {}", flaw.text())),
        }
        match self.read_encryption(node).map_err(|trouble| trouble.text().to_owned())? {
            EncryptionSeen::Sound { .. } => drop(note("encryption", "kms".into())),
            EncryptionSeen::Fallback { .. } => drop(note("encryption", "kms, identity".into())),
            EncryptionSeen::IdentityFirst { .. } => unwell.push(format!("identity comes first at {name}")),
            EncryptionSeen::Drifted { why, .. } | EncryptionSeen::Unreadable { why } => {
                unwell.push(format!("the EncryptionConfiguration of {name}: {why}"));
            }
        }
        let seen = self.look_node(node).await.map_err(|trouble| trouble.text().to_owned())?;
        if !matches!(seen, NodeSeen::Serving { .. }) {
            unwell.push(format!("the provider of {name} does not serve: {}", ending(&seen)));
        }
        Ok(())
    }
}

fn ending(seen: &NodeSeen) -> &'static str {
    use recover_engine::Event as _;
    seen.ending()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_recorded_of_the_key_is_read_back() {
        let facts: Facts = [("key.version.2", "1710000000"), ("key.version.x", "1"), (MIN_DECRYPTION, "1")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into();
        let recorded = key(Some(&facts));
        assert_eq!(recorded.versions, BTreeMap::from([(2, vec![1_710_000_000])]));
        assert_eq!((recorded.min_decryption, recorded.min_encryption), (Some(1), None));
        assert_eq!(key(None), Recorded::default());
    }
}
