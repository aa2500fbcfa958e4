//! What is in a registry's files, and whether it is whole: its hash and its key ids are computed again.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::kms::settings::Settings;

const SCHEMA: &str = "keyregistry.openbao-kms/v1alpha1";
const CHECKPOINT_SCHEMA: &str = "keyregistry.openbao-kms/checkpoint/v1alpha1";
const KEY_ID: &str = "openbao-kubernetes-kms/key-id/v1";

/// A state. Fields of later versions are not known, and covered by the hash; a field that is there twice is an error.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::kms) struct State {
    schema_version: String,
    pub(in crate::kms) generation: u64,
    pub(in crate::kms) current_hash: String,
    active_key_id: String,
    pub(in crate::kms) snapshots: Vec<Snapshot>,
}

/// One version of the key, as the provider knows it.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::kms) struct Snapshot {
    provider_name: String,
    cluster_id: String,
    openbao_instance_id: String,
    #[serde(default)]
    openbao_namespace: Option<String>,
    transit_mount_id: String,
    transit_key_lineage_id: String,
    pub(in crate::kms) transit_version: u64,
    pub(in crate::kms) transit_version_created_at_unix: i64,
    /// Only older builds have it, and their key ids end with it.
    #[serde(default)]
    key_epoch: Option<serde_json::Value>,
    kubernetes_key_id: String,
    state: String,
}

/// A checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::kms) struct Checkpoint {
    schema_version: String,
    pub(in crate::kms) generation: u64,
    pub(in crate::kms) current_hash: String,
}

impl Snapshot {
    /// Whether what was encrypted with it may still be stored.
    pub(in crate::kms) fn decrypts(&self) -> bool {
        matches!(self.state.as_str(), "active" | "retired")
    }

    fn key_id(&self) -> String {
        let namespace = self.openbao_namespace.as_deref().filter(|name| !name.is_empty());
        let (version, created) = (self.transit_version.to_string(), self.transit_version_created_at_unix.to_string());
        let epoch =
            self.key_epoch.as_ref().map(|epoch| epoch.as_str().map_or_else(|| epoch.to_string(), str::to_owned));
        let parts =
            [Some(KEY_ID), Some(&*self.provider_name), Some(&*self.cluster_id), Some(&*self.openbao_instance_id)]
                .into_iter()
                .chain([namespace, Some(&*self.transit_mount_id), Some(&*self.transit_key_lineage_id)])
                .chain([Some(version.as_str()), Some(created.as_str()), epoch.as_deref()]);
        let mut hasher = Sha256::new();
        for part in parts.flatten() {
            hasher.update(part.as_bytes());
            hasher.update([0]);
        }
        format!("obk2.{}", URL_SAFE_NO_PAD.encode(hasher.finalize()))
    }

    /// The fields of its scope that are not those of the configuration.
    fn differs(&self, settings: &Settings) -> Vec<&'static str> {
        let scope = &settings.transit.key_id_scope;
        let namespace = self.openbao_namespace.as_ref().is_none_or(|name| *name == settings.openbao.namespace);
        [
            ("transit.keyIdScope.providerName", self.provider_name == scope.provider_name),
            ("transit.keyIdScope.clusterId", self.cluster_id == scope.cluster_id),
            ("openbao.instanceId", self.openbao_instance_id == settings.openbao.instance_id),
            ("openbao.namespace", namespace),
            ("transit.keyIdScope.transitMountId", self.transit_mount_id == scope.transit_mount_id),
            ("transit.keyIdScope.keyLineageId", self.transit_key_lineage_id == scope.key_lineage_id),
        ]
        .into_iter()
        .filter_map(|(name, same)| (!same).then_some(name))
        .collect()
    }
}

impl State {
    /// Reads one and computes everything again that can be.
    pub(in crate::kms) fn read(text: &str) -> Result<Self, String> {
        let state: Self = parsed(text)?;
        let minified = without_hash(text).ok_or("it is not a JSON object with one currentHash")?;
        let hash = format!("krs1.{}", URL_SAFE_NO_PAD.encode(Sha256::digest(minified)));
        let active: Vec<_> = state.snapshots.iter().filter(|snapshot| snapshot.state == "active").collect();
        let known = |state: &str| matches!(state, "active" | "pending" | "retired" | "rejected" | "removed");
        let mut ids: Vec<_> = state.snapshots.iter().map(|snapshot| &snapshot.kubernetes_key_id).collect();
        ids.sort_unstable();
        let wrong = [
            (state.schema_version != SCHEMA, "its schema is another"),
            (state.generation == 0, "its generation is 0"),
            (state.current_hash != hash, "its hash is another than that of what is in it"),
            (
                !matches!(active.as_slice(), [one] if one.kubernetes_key_id == state.active_key_id),
                "it has not one active version",
            ),
            (
                !state.snapshots.iter().all(|snapshot| known(&snapshot.state)),
                "a version of it is in no state that is known",
            ),
            (ids.windows(2).any(|two| matches!(two, [a, b] if a == b)), "a key id is in it twice"),
            (
                state.snapshots.iter().any(|s| s.key_id() != s.kubernetes_key_id),
                "a key id of it is not that of its version",
            ),
        ];
        wrong.into_iter().find_map(|(is, what)| is.then(|| Err(what.to_owned()))).unwrap_or(Ok(state))
    }

    pub(in crate::kms) fn active(&self) -> Option<&Snapshot> {
        self.snapshots.iter().find(|snapshot| snapshot.state == "active")
    }

    /// The fields of its scope that are not those of the configuration.
    pub(in crate::kms) fn differs(&self, settings: &Settings) -> Vec<String> {
        let mut fields: Vec<_> = self.snapshots.iter().flat_map(|snapshot| snapshot.differs(settings)).collect();
        fields.sort_unstable();
        fields.dedup();
        fields.into_iter().map(str::to_owned).collect()
    }
}

impl Checkpoint {
    pub(in crate::kms) fn read(text: &str) -> Result<Self, String> {
        let checkpoint: Self = parsed(text)?;
        if checkpoint.schema_version == CHECKPOINT_SCHEMA && checkpoint.generation > 0 {
            Ok(checkpoint)
        } else {
            Err("its schema is another, or its generation is 0".into())
        }
    }
}

fn parsed<T: for<'de> Deserialize<'de>>(text: &str) -> Result<T, String> {
    serde_json::from_str(text)
        .map_err(|e| format!("its JSON is wrong at line {}, column {}: {:?}", e.line(), e.column(), e.classify()))
}

/// The text without white space between its words, and without its `currentHash`: what the hash is of. The order of the fields and the
/// spelling of the words are those of the file, so that fields of other versions are covered too.
fn without_hash(text: &str) -> Option<Vec<u8>> {
    let members = members(text)?;
    let mut kept = members.iter().filter(|member| !member.starts_with("\"currentHash\":"));
    if members.len() != kept.clone().count() + 1 {
        return None;
    }
    let mut out = vec![b'{'];
    if let Some(first) = kept.next() {
        out.extend_from_slice(first.as_bytes());
    }
    for member in kept {
        out.push(b',');
        out.extend_from_slice(member.as_bytes());
    }
    out.push(b'}');
    Some(out)
}

/// The members of the object that a JSON text is, each without white space outside of its strings.
fn members(text: &str) -> Option<Vec<String>> {
    let inner = text.trim().strip_prefix('{')?.strip_suffix('}')?;
    let (mut members, mut member, mut depth) = (Vec::new(), String::new(), 0_u32);
    let (mut quoted, mut escaped) = (false, false);
    for c in inner.chars() {
        if quoted {
            member.push(c);
            quoted = escaped || c != '"';
            escaped = !escaped && c == '\\';
            continue;
        }
        match c {
            '"' => quoted = true,
            '{' | '[' => depth += 1,
            '}' | ']' => depth = depth.checked_sub(1)?,
            ',' if depth == 0 => {
                members.push(std::mem::take(&mut member));
                continue;
            }
            ' ' | '\t' | '\r' | '\n' => continue,
            _ => {}
        }
        member.push(c);
    }
    members.push(member);
    Some(members)
}
