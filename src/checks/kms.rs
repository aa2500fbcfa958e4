//! What has to be right at a KMS: each layer that was looked at, from OpenBao up.

use recover_adapters::kms::{KmsExamined, Looked, RightsFound};
use recover_steps::kms::{
    ApiserverSeen, AuthSeen, ConfigSeen, Converged, EncryptionSeen, EtcdScanned, ImageSeen, KeySeen, NodeSeen,
    ObjectsRead, OpenbaoSeen, ProviderChecked, RegistrySeen,
};

use super::{Check, Is};

/// Clocks that are further apart explain tokens and certificates that are refused. Seconds.
const SKEW_S: i64 = 30;

/// What the looks say, the lowest layer first. `missing` is what a target is that is not well.
pub(crate) fn observed(seen: &KmsExamined, missing: Is) -> Vec<Check> {
    let no = |check: &'static str, said: String| Check::new(check, missing, said);
    let mut checks = vec![openbao(&seen.openbao, missing), rights(&seen.rights, missing), key(&seen.key, missing)];
    for of in &seen.nodes {
        let node = &of.node;
        let at = |said: &str| format!("{node}: {said}");
        checks.push(match &of.config {
            ConfigSeen::AsRecorded => Check::ok("config", at("the provider's configuration is as recorded")),
            ConfigSeen::Unrecorded => Check::warn("config", at("nothing is recorded of the provider's configuration")),
            ConfigSeen::Drifted { fields, .. } => no("config", at(&format!("not as recorded: {}", fields.join(", ")))),
            ConfigSeen::Unreadable { why, .. } => no("config", at(why)),
        });
        checks.push(looked("registry", node, &of.registry, missing, |seen| match seen {
            RegistrySeen::Sound { generation, active, .. } => {
                Ok(format!("generation {generation} is whole, version {active} is active"))
            }
            RegistrySeen::Absent { checkpoint: false, bootstraps: true } => Ok("there is none yet".into()),
            RegistrySeen::Absent { checkpoint: true, .. } => Err("the state is gone, its checkpoint is there".into()),
            RegistrySeen::Absent { .. } => Err("there is none, and the provider makes none by itself".into()),
            RegistrySeen::Corrupt { why } | RegistrySeen::RolledBack { why } | RegistrySeen::Unsafe { why } => {
                Err(why.clone())
            }
            RegistrySeen::Foreign { fields } => Err(format!("it is of another scope: {}", fields.join(", "))),
        }));
        checks.push(looked("login", node, &of.auth, missing, |seen| match seen {
            AuthSeen::Usable { for_s, .. } => Ok(format!("what it logs in with is good for {for_s} s")),
            AuthSeen::Unusable { why, .. } | AuthSeen::Unclear { why } => Err(why.clone()),
        }));
        checks.push(looked("image", node, &of.image, missing, |seen| match seen {
            ImageSeen::Present { digest } => Ok(format!("{digest} is there")),
            ImageSeen::NoStaticPod => Ok("the provider is no static pod".into()),
            ImageSeen::Missing { digest, .. } => Err(format!("{digest} is not there")),
            ImageSeen::Unpinned { image } => Err(format!("the manifest names {image} by no digest")),
        }));
        checks.push(looked("own-checks", node, &of.checks, missing, |seen| match seen {
            ProviderChecked::Passed => Ok("verify-key passed".into()),
            ProviderChecked::Failed { checks } => {
                let all: Vec<_> = checks.iter().map(|check| format!("{}: {}", check.id, check.message)).collect();
                Err(all.join("; "))
            }
            ProviderChecked::Unclear { why } => Err(why.clone()),
        }));
        checks.push(looked("provider", node, &of.provider, missing, |seen| match seen {
            NodeSeen::Serving { hash, .. } => Ok(format!("it serves, with the key {hash}")),
            NodeSeen::Stopped => Err("it does not run".into()),
            NodeSeen::NoSocket { why, .. } | NodeSeen::Barred { why, .. } | NodeSeen::Unclear { why } => {
                Err(why.clone())
            }
            NodeSeen::Unhealthy { reasons, .. } => Err(reasons.join(", ")),
            NodeSeen::Degraded { why, .. } => Err(format!("it serves, and could not save: {why}")),
            NodeSeen::Disagrees { .. } => Err("Status and Encrypt name different keys".into()),
        }));
        checks.push(looked("encryption", node, &of.encryption, missing, |seen| match seen {
            EncryptionSeen::Sound { .. } => Ok("KMS alone".into()),
            EncryptionSeen::Fallback { .. } => Err("identity remains behind KMS".into()),
            EncryptionSeen::IdentityFirst { .. } => {
                Err("identity comes first: what is written is in plain text".into())
            }
            EncryptionSeen::Drifted { why, .. } | EncryptionSeen::Unreadable { why } => Err(why.clone()),
        }));
        checks.push(looked("apiserver", node, &of.apiserver, missing, |seen| match seen {
            ApiserverSeen::Healthy { .. } => Ok("its KMS check passes".into()),
            ApiserverSeen::KmsUnhealthy { why, .. } | ApiserverSeen::Down { why } => Err(why.clone()),
        }));
    }
    checks.push(match &seen.converged {
        Converged::Converged { hash } => Check::ok("convergence", format!("every provider has the key {hash}")),
        Converged::Diverged { hashes } => {
            let all: Vec<_> = hashes.iter().map(|(node, hash)| format!("{node}: {hash}")).collect();
            no("convergence", all.join("; "))
        }
    });
    checks.push(match &seen.etcd {
        None => Check::warn("etcd", "it is not configured: nobody counts what is in plain text"),
        Some(Err(why)) => Check::bad("etcd", why.clone()),
        Some(Ok(EtcdScanned::Encrypted { count })) => Check::ok("etcd", format!("all {count} objects are encrypted")),
        Some(Ok(EtcdScanned::Plaintext { plain, resources, .. })) => {
            no("etcd", format!("{plain} objects are in plain text: {}", resources.join(", ")))
        }
        Some(Ok(EtcdScanned::Foreign { providers })) => {
            no("etcd", format!("objects are of other providers: {}", providers.join(", ")))
        }
    });
    checks.push(match &seen.objects {
        Ok(ObjectsRead::Read { count }) => Check::ok("objects", format!("{count} old objects are read")),
        Ok(ObjectsRead::Unreadable { objects, why }) => no("objects", format!("{}: {why}", objects.join(", "))),
        Ok(ObjectsRead::Unavailable { why }) => no("objects", why.clone()),
        Err(why) => Check::bad("objects", why.clone()),
    });
    checks
}

/// A look at one node: what it says, or a failure of the configuration that it could not be taken.
fn looked<T>(
    check: &'static str,
    node: &dyn std::fmt::Display,
    looked: &Looked<T>,
    missing: Is,
    say: impl FnOnce(&T) -> Result<String, String>,
) -> Check {
    match looked {
        Err(why) => Check::bad(check, format!("{node}: {why}")),
        Ok(seen) => match say(seen) {
            Ok(said) => Check::ok(check, format!("{node}: {said}")),
            Err(said) => Check::new(check, missing, format!("{node}: {said}")),
        },
    }
}

fn openbao(seen: &OpenbaoSeen, missing: Is) -> Check {
    const CHECK: &str = "openbao";
    match seen {
        OpenbaoSeen::Available { version, skew_s } if skew_s.abs() <= SKEW_S => {
            Check::ok(CHECK, format!("{version}, unsealed"))
        }
        OpenbaoSeen::Available { skew_s, .. } => Check::warn(CHECK, format!("its clock is {skew_s} s ahead of ours")),
        OpenbaoSeen::Sealed { what, shares } => Check::new(CHECK, missing, format!("{what} is sealed ({shares})")),
        OpenbaoSeen::Uninitialized => Check::new(CHECK, missing, "it was never set up"),
        OpenbaoSeen::Unreachable { why, .. } => Check::new(CHECK, missing, why.clone()),
    }
}

fn rights(seen: &Looked<RightsFound>, missing: Is) -> Check {
    const CHECK: &str = "rights";
    match seen {
        Ok(RightsFound { lacks, exceeds }) if lacks.is_empty() && exceeds.is_empty() => {
            Check::ok(CHECK, "our token may do what is needed, and no more")
        }
        // More than is needed is in no run's way; less is.
        Ok(RightsFound { lacks, exceeds }) => {
            let is = if lacks.is_empty() { Is::Warn } else { missing };
            Check::new(CHECK, is, [&lacks[..], &exceeds[..]].concat().join("; ")).hint("docs/access.md has the policy")
        }
        Err(why) => Check::bad(CHECK, format!("what our token may do cannot be told: {why}")),
    }
}

fn key(seen: &Looked<KeySeen>, missing: Is) -> Check {
    const CHECK: &str = "key";
    let facts = match seen {
        Err(why) => return Check::bad(CHECK, why.clone()),
        Ok(KeySeen::Original { facts } | KeySeen::Unrecorded { facts }) => facts,
        Ok(KeySeen::Altered { versions, .. }) => {
            let said = format!("versions {versions:?} were made at another time than recorded");
            return Check::new(CHECK, missing, said);
        }
        Ok(KeySeen::Incomplete { versions, .. }) => {
            return Check::new(CHECK, missing, format!("versions {versions:?} are not told of"));
        }
        Ok(KeySeen::SoftDeleted { .. }) => return Check::new(CHECK, missing, "it is soft-deleted"),
        Ok(KeySeen::Missing) => return Check::new(CHECK, missing, "there is none of that name"),
        Ok(KeySeen::Denied { why } | KeySeen::Elsewhere { why }) => return Check::new(CHECK, missing, why.clone()),
    };
    let mut found: Vec<&str> = facts.findings().iter().map(|(_, text)| *text).collect();
    if !facts.upsert_disabled {
        found.push("encrypting with a key that is not there would make one");
    }
    if facts.auto_rotate_s > 0 {
        found.push("it is rotated by itself");
    }
    if found.is_empty() {
        Check::ok(CHECK, format!("{} versions, {}", facts.latest, facts.kind))
    } else {
        Check::new(CHECK, missing, found.join("; "))
    }
}
