//! What `doctor` looks for in an EncryptionConfiguration. It does not look at the order of the providers.

use std::path::Path;

use serde_yaml_ng::Value;

use super::Generation;
use super::settings::Settings;

/// Whether an identity provider stands in it, or what is wrong.
pub fn identity_remains(path: &Path, settings: &Settings, generation: Generation) -> Result<bool, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("read encryption config: {e}"))?;
    let config: Value = serde_yaml_ng::from_str(&text).map_err(|e| format!("decode encryption config: {e}"))?;
    let mut problems = Vec::new();
    let mut wants = |holds: bool, what: String| {
        if !holds {
            problems.push(what);
        }
    };
    wants(
        config["apiVersion"] == "apiserver.config.k8s.io/v1",
        "encryptionConfig.apiVersion: must be apiserver.config.k8s.io/v1".into(),
    );
    wants(config["kind"] == "EncryptionConfiguration", "encryptionConfig.kind: must be EncryptionConfiguration".into());
    let list = |of: &Value| of.as_sequence().cloned().unwrap_or_default();
    let resources = list(&config["resources"]);
    wants(!resources.is_empty(), "encryptionConfig.resources: must contain at least one resource entry".into());
    let (mut matched, mut identity) = (0, false);
    for (i, resource) in resources.iter().enumerate() {
        for (k, provider) in list(&resource["providers"]).iter().enumerate() {
            let field = format!("encryptionConfig.resources[{i}].providers[{k}]");
            let kms = &provider["kms"];
            if provider.get("identity").is_some() {
                identity = true;
            } else if kms.is_null() {
                wants(generation == Generation::Two, format!("{field}: must configure exactly one provider type"));
            } else {
                let own = kms["name"] == settings.transit.key_id_scope.provider_name.as_str();
                if !own && generation == Generation::Two {
                    continue;
                }
                wants(own, format!("{field}.kms.name: must match transit.keyIdScope.providerName"));
                wants(kms["apiVersion"] == "v2", format!("{field}.kms.apiVersion: must be v2"));
                let endpoint = format!("unix://{}", settings.server.socket_path.display());
                wants(
                    kms["endpoint"] == endpoint.as_str(),
                    format!("{field}.kms.endpoint: must match server.socketPath"),
                );
                matched += usize::from(own);
            }
        }
    }
    wants(matched > 0, "encryptionConfig.providers: must contain a kms provider".into());
    if problems.is_empty() {
        Ok(identity)
    } else {
        Err(format!("invalid EncryptionConfiguration: {}", problems.join("; ")))
    }
}
