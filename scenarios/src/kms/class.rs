//! What a look that is not as it must be comes to: the row of the runbook's table, the procedure for it, and why, in words.
//!
//! Written once: a procedure that finds another's case names it with this, and so does whoever asks what is wrong.

use recover_steps::kms::{
    ApiserverSeen, AuthSeen, Check, ConfigSeen, Converged, EncryptionSeen, EtcdScanned, ImageSeen, Impact, KeyFacts,
    KeySeen, Layer, NodeSeen, ObjectsRead, OpenbaoSeen, ProviderChecked, RegistrySeen,
};

use super::Event;
use crate::names;

/// What is wrong, by its row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Class {
    /// The row of the table: `K1` to `K20`; none where it could not be told.
    pub row: Option<&'static str>,
    /// The procedure for it; none where only a person can tell more.
    pub scenario: Option<&'static str>,
    /// Why, in a sentence.
    pub why: String,
}

fn class(row: &'static str, scenario: &'static str, why: impl Into<String>) -> Option<Class> {
    Some(Class { row: Some(row), scenario: Some(scenario), why: why.into() })
}

fn unclear(why: impl Into<String>) -> Option<Class> {
    Some(Class { row: None, scenario: None, why: why.into() })
}

/// What this look's ending comes to. None where it is as it must be, and of what is no look.
#[must_use]
pub fn class_of(event: &Event) -> Option<Class> {
    match event {
        Event::LookOpenbao(seen) => openbao(seen),
        Event::ReadKey(seen) => key(seen),
        Event::CompareConfig(seen) => config(seen),
        Event::ReadRegistry(seen) => registry(seen),
        Event::LookAuth(seen) => auth(seen),
        Event::LookImage(seen) => image(seen),
        Event::CheckProvider(seen) => checks(seen),
        Event::LookNode(seen) => node(seen),
        Event::Converge(seen) => convergence(seen),
        Event::ReadEncryption(seen) => encryption(seen),
        Event::LookApiserver(seen) => apiserver(seen),
        Event::ScanEtcd(seen) => etcd(seen),
        Event::ReadObjects(seen) => objects(seen),
        Event::StopProvider(_)
        | Event::StartProvider(_)
        | Event::RestartProvider(_)
        | Event::AwaitProvider(_)
        | Event::MendSocket(_)
        | Event::RestoreConfig(_)
        | Event::InstallAuth(_)
        | Event::LoadImage(_)
        | Event::FindPair(_)
        | Event::CopyPair(_)
        | Event::RestoreKey(_)
        | Event::ForbidDeletion(_)
        | Event::StopRotation(_)
        | Event::DisableUpsert(_)
        | Event::LowerDecryption(_)
        | Event::LowerEncryption(_)
        | Event::TakeSnapshot(_)
        | Event::RestoreEncryption(_)
        | Event::AwaitReload(_)
        | Event::RestartApiserver(_)
        | Event::RewriteObjects(_)
        | Event::CaptureKms(_) => None,
    }
}

fn openbao(seen: &OpenbaoSeen) -> Option<Class> {
    let k3 = |why: String| class("K3", names::KMS_OPENBAO_UNAVAILABLE, why);
    match seen {
        OpenbaoSeen::Available { .. } => None,
        OpenbaoSeen::Sealed { what, shares } => k3(format!("{what} of OpenBao is sealed ({shares})")),
        OpenbaoSeen::Uninitialized => k3("this OpenBao was never set up, or its storage is another one".into()),
        OpenbaoSeen::Unreachable { why, .. } => k3(format!("OpenBao cannot be reached ({why})")),
    }
}

fn numbers(versions: &[u64]) -> String {
    versions.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

/// Whether the first version was made at another time than recorded: then it is another key under the same name.
pub(crate) fn recreated(versions: &[u64]) -> bool {
    versions.contains(&1)
}

/// The lowest version that must decrypt, where the key's is above it.
pub(crate) fn raised(facts: &KeyFacts) -> Option<u64> {
    facts.recorded_min_decryption.filter(|recorded| facts.min_decryption > *recorded)
}

/// Its profile's findings of one kind, in the provider's words.
pub(crate) fn findings(facts: &KeyFacts, impact: Impact) -> Vec<&'static str> {
    facts.findings().into_iter().filter_map(|(of, text)| (of == impact).then_some(text)).collect()
}

fn key(seen: &KeySeen) -> Option<Class> {
    let profile = |row, why: String| class(row, names::KMS_TRANSIT_PROFILE, why);
    let missing = |row, why: String| class(row, names::KMS_KEY_MISSING, why);
    match seen {
        KeySeen::Original { facts } | KeySeen::Unrecorded { facts } => {
            let safety = findings(facts, Impact::CryptographicSafety);
            let availability = findings(facts, Impact::ApiServerAvailability);
            match raised(facts) {
                _ if !safety.is_empty() => profile("K4", safety.join("; ")),
                _ if !availability.is_empty() => profile("K5", availability.join("; ")),
                Some(to) => class(
                    "K13",
                    names::KMS_MIN_DECRYPTION,
                    format!("min_decryption_version is {}, and version {to} is still needed", facts.min_decryption),
                ),
                None if !facts.upsert_disabled => profile(
                    "K19",
                    "encrypting with a key that is not there would make one: disable_upsert is off".into(),
                ),
                None => None,
            }
        }
        KeySeen::Altered { versions, .. } if recreated(versions) => {
            missing("K17", "another key has the recorded one's name: its first version was made at another time".into())
        }
        KeySeen::Altered { versions, .. } => class(
            "K9",
            names::KMS_VERSION_DRIFT,
            format!("versions were made at another time than recorded: {}", numbers(versions)),
        ),
        KeySeen::Incomplete { versions, .. } => class(
            "K10",
            names::KMS_VERSION_DRIFT,
            format!("when these versions were made is not told: {}", numbers(versions)),
        ),
        KeySeen::SoftDeleted { .. } => missing("K7", "the key bears the mark of a soft deletion".into()),
        KeySeen::Missing => missing("K7", "there is no key of that name at that mount".into()),
        KeySeen::Denied { why } => missing("K7", format!("the key may not be read ({why})")),
        KeySeen::Elsewhere { why } => missing("K7", format!("there is no Transit at that mount and namespace ({why})")),
    }
}

/// The fields that say where the key is; the others say what its key ids are made of.
pub(crate) fn only_where_the_key_is(fields: &[String]) -> bool {
    fields.iter().all(|field| ["transit.keyName", "transit.mountPath", "openbao.namespace"].contains(&field.as_str()))
}

fn config(seen: &ConfigSeen) -> Option<Class> {
    match seen {
        ConfigSeen::AsRecorded => None,
        ConfigSeen::Drifted { fields, .. } => {
            let why = format!("the provider's configuration differs from what is recorded: {}", fields.join(", "));
            if only_where_the_key_is(fields) {
                class("K7", names::KMS_KEY_MISSING, why)
            } else {
                class("K8", names::KMS_UNKNOWN_KEY_ID, why)
            }
        }
        // Nothing says that it is wrong; what follows from it if it is, the layers above tell.
        ConfigSeen::Unrecorded => None,
        ConfigSeen::Unreadable { why, .. } => {
            class("K8", names::KMS_UNKNOWN_KEY_ID, format!("the provider's configuration cannot be read ({why})"))
        }
    }
}

fn registry(seen: &RegistrySeen) -> Option<Class> {
    let k8 = |why: String| class("K8", names::KMS_UNKNOWN_KEY_ID, why);
    match seen {
        RegistrySeen::Sound { .. } | RegistrySeen::Absent { checkpoint: false, bootstraps: true } => None,
        RegistrySeen::Absent { checkpoint: false, bootstraps: false } => {
            class("K18", names::KMS_UNKNOWN_KEY_ID, "there is no registry on this node, and the key was rotated")
        }
        RegistrySeen::Absent { checkpoint: true, .. } => {
            k8("the registry's state is gone, and its checkpoint is there".into())
        }
        RegistrySeen::Corrupt { why } => k8(format!("the registry is corrupt: {why}")),
        RegistrySeen::RolledBack { why } => k8(format!("the registry was rolled back: {why}")),
        RegistrySeen::Foreign { fields } => {
            k8(format!("the registry is of another scope than the configuration: {}", fields.join(", ")))
        }
        RegistrySeen::Unsafe { why } => k8(format!("the registry is not safe to be read: {why}")),
    }
}

fn auth(seen: &AuthSeen) -> Option<Class> {
    match seen {
        // What cannot be looked at, the provider's own check tells.
        AuthSeen::Usable { .. } | AuthSeen::Unclear { .. } => None,
        AuthSeen::Unusable { why, .. } => {
            class("K6", names::KMS_AUTH, format!("the provider cannot log in with what it has: {why}"))
        }
    }
}

fn image(seen: &ImageSeen) -> Option<Class> {
    match seen {
        ImageSeen::Present { .. } | ImageSeen::NoStaticPod => None,
        ImageSeen::Missing { digest, .. } => {
            class("K14", names::KMS_STATIC_POD_IMAGE, format!("the image {digest} is not on the node"))
        }
        ImageSeen::Unpinned { image } => class(
            "K14",
            names::KMS_STATIC_POD_IMAGE,
            format!("the manifest names {image} and no digest, so that nobody can tell which image is meant"),
        ),
    }
}

fn checks(seen: &ProviderChecked) -> Option<Class> {
    match seen {
        ProviderChecked::Passed => None,
        ProviderChecked::Failed { checks } => checks.first().map_or_else(
            || unclear("the provider's checks failed, and it does not say which"),
            |Check { layer, id, message }| {
                let why = format!("the provider's check {id} failed: {message}");
                match layer {
                    Layer::Openbao => class("K3", names::KMS_OPENBAO_UNAVAILABLE, why),
                    Layer::Auth => class("K6", names::KMS_AUTH, why),
                    Layer::Transit => class("K5", names::KMS_TRANSIT_PROFILE, why),
                    Layer::Config => class("K8", names::KMS_UNKNOWN_KEY_ID, why),
                    Layer::Registry => class("K8", names::KMS_UNKNOWN_KEY_ID, why),
                    Layer::Provider | Layer::Socket => class("K1", names::KMS_SOCKET, why),
                    Layer::Apiserver => class("K16", names::KMS_IDENTITY_FALLBACK, why),
                    Layer::Data => class("K11", names::KMS_AAD_MISMATCH, why),
                }
            },
        ),
        ProviderChecked::Unclear { why } => unclear(format!("the provider's own checks say nothing: {why}")),
    }
}

/// What a provider could not save, whether it serves all the same or waits until it can.
pub(crate) fn unsaved(seen: &NodeSeen) -> Option<&str> {
    const REASON: &str = "state_save_failed";
    match seen {
        NodeSeen::Degraded { why, .. } => Some(why),
        NodeSeen::Unhealthy { reasons, .. } => reasons.iter().any(|reason| reason == REASON).then_some(REASON),
        NodeSeen::Serving { .. }
        | NodeSeen::Stopped
        | NodeSeen::NoSocket { .. }
        | NodeSeen::Barred { .. }
        | NodeSeen::Disagrees { .. }
        | NodeSeen::Unclear { .. } => None,
    }
}

fn node(seen: &NodeSeen) -> Option<Class> {
    if let Some(why) = unsaved(seen) {
        return class("K20", names::KMS_UNKNOWN_KEY_ID, format!("the provider could not save its registry ({why})"));
    }
    match seen {
        // What could not be saved was named right before.
        NodeSeen::Serving { .. } | NodeSeen::Degraded { .. } => None,
        NodeSeen::Stopped => class("K1", names::KMS_SOCKET, "the provider does not run"),
        NodeSeen::NoSocket { why, .. } => {
            class("K1", names::KMS_SOCKET, format!("the provider runs, and nothing listens at its socket ({why})"))
        }
        NodeSeen::Barred { why, .. } => {
            class("K2", names::KMS_SOCKET, format!("the API server cannot open the provider's socket ({why})"))
        }
        // Every layer below is as it must be: it did not recover by itself.
        NodeSeen::Unhealthy { reasons, .. } => class(
            "K3",
            names::KMS_OPENBAO_UNAVAILABLE,
            format!(
                "the provider is not well: {}",
                if reasons.is_empty() { "no reason given".into() } else { reasons.join(", ") }
            ),
        ),
        NodeSeen::Disagrees { .. } => {
            class("K12", names::KMS_KEY_ID_MISMATCH, "the provider's Status and Encrypt name different keys")
        }
        NodeSeen::Unclear { why } => unclear(format!("how the provider is could not be told: {why}")),
    }
}

fn convergence(seen: &Converged) -> Option<Class> {
    match seen {
        Converged::Converged { .. } => None,
        Converged::Diverged { hashes } => {
            let of: Vec<String> = hashes.iter().map(|(node, hash)| format!("{node} {hash}")).collect();
            class(
                "K12",
                names::KMS_KEY_ID_MISMATCH,
                format!("the nodes do not publish the same key id: {}", of.join(", ")),
            )
        }
    }
}

fn encryption(seen: &EncryptionSeen) -> Option<Class> {
    let fallback = |why: String| class("K15", names::KMS_IDENTITY_FALLBACK, why);
    match seen {
        EncryptionSeen::Sound { .. } => None,
        EncryptionSeen::Fallback { .. } => fallback("identity is still configured beside KMS".into()),
        EncryptionSeen::IdentityFirst { .. } => {
            fallback("identity is configured before KMS: whatever is written is in plain text".into())
        }
        EncryptionSeen::Drifted { why, .. } => {
            class("K1", names::KMS_SOCKET, format!("the EncryptionConfiguration is not what is recorded: {why}"))
        }
        EncryptionSeen::Unreadable { why } => unclear(format!("the EncryptionConfiguration cannot be read: {why}")),
    }
}

fn apiserver(seen: &ApiserverSeen) -> Option<Class> {
    match seen {
        ApiserverSeen::Healthy { .. } => None,
        ApiserverSeen::KmsUnhealthy { why, .. } => {
            class("K1", names::KMS_SOCKET, format!("the API server's KMS check fails ({why})"))
        }
        ApiserverSeen::Down { why } => {
            class("K1", names::KMS_SOCKET, format!("the API server does not answer ({why})"))
        }
    }
}

fn etcd(seen: &EtcdScanned) -> Option<Class> {
    match seen {
        EtcdScanned::Encrypted { .. } => None,
        EtcdScanned::Plaintext { plain, resources, .. } => class(
            "K16",
            names::KMS_IDENTITY_FALLBACK,
            format!("{plain} objects are stored in plain text, of {}", resources.join(", ")),
        ),
        EtcdScanned::Foreign { providers } => class(
            "K8",
            names::KMS_UNKNOWN_KEY_ID,
            format!("objects were encrypted by another provider: {}", providers.join(", ")),
        ),
    }
}

fn objects(seen: &ObjectsRead) -> Option<Class> {
    match seen {
        ObjectsRead::Read { .. } => None,
        // Every layer below is as it must be: what is stored beside the ciphertext is not what it was encrypted with.
        ObjectsRead::Unreadable { objects, why } => {
            class("K11", names::KMS_AAD_MISMATCH, format!("old objects cannot be read ({why}): {}", objects.join(", ")))
        }
        ObjectsRead::Unavailable { why } => unclear(format!("no API server could be asked for old objects: {why}")),
    }
}
