//! What the shape of a configuration alone does not say: paths that lead elsewhere, names that are none.

use std::path::Path;

use super::{ClientIdentity, KmsConfig, KmsWorkload, NodeConfig};
use crate::authority::Origin;
use crate::config::{ConfigError, SystemdConfig, TokenAs, docker_name, err, plain};

impl KmsConfig {
    /// Checks what the shape alone does not say.
    ///
    /// # Errors
    /// On the first value that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        trusted("openbao.ca", &self.openbao.address, self.openbao.ca.as_deref())?;
        let cluster = &self.cluster;
        trusted("cluster.ca", &cluster.base, cluster.ca.as_deref())?;
        match (&cluster.credential, &cluster.client) {
            (Some(_), None) => {}
            (None, Some(client)) => identity("cluster.client", client)?,
            (None, None) | (Some(_), Some(_)) => {
                return err("cluster.credential", "exactly one of `credential` and `client` must be given");
            }
        }
        if cluster.objects.is_empty() {
            return err(
                "cluster.objects",
                "names at least one object that was there long before: reading it is the proof",
            );
        }
        if !cluster.objects.iter().all(|object| is_object(object)) {
            return err("cluster.objects", "must be RESOURCE/NAMESPACE/NAME or RESOURCE/NAME");
        }
        if cluster.resources.is_empty() || !cluster.resources.iter().all(|resource| is_word(resource)) {
            return err("cluster.resources", "must be resources, such as `secrets` or `things.example.com`");
        }
        if let Some(etcd) = &self.etcd {
            if etcd.endpoints.is_empty() {
                return err("etcd.endpoints", "names at least one");
            }
            for endpoint in &etcd.endpoints {
                trusted("etcd.ca", endpoint, etcd.ca.as_deref())?;
            }
            if let Some(client) = &etcd.client {
                identity("etcd.client", client)?;
            }
            let prefix = &etcd.prefix;
            if !prefix.starts_with('/') || prefix.ends_with('/') || prefix.len() > 128 || prefix.contains('\0') {
                return err("etcd.prefix", "must begin with `/` and not end with it");
            }
        }
        if let Some(snapshots) = &self.snapshots {
            path("snapshots", snapshots)?;
        }
        if self.node.is_empty() {
            return err("node", "there must be at least one: [target.NAME.node.NODE]");
        }
        for (name, node) in &self.node {
            if name.len() > 63 || !is_word(name) {
                return err("node", "a node's name is letters, digits, `-` and `.`");
            }
            node.check()?;
        }
        Ok(())
    }
}

impl NodeConfig {
    fn check(&self) -> Result<(), ConfigError> {
        let (provider, apiserver) = (&self.provider, &self.apiserver);
        path("provider.command", &provider.command)?;
        path("provider.config", &provider.config)?;
        for (key, given) in [
            ("provider.recorded_config", &provider.recorded_config),
            ("provider.fresh_auth", &provider.fresh_auth),
            ("provider.image_archive", &provider.image_archive),
            ("apiserver.recorded_encryption_config", &apiserver.recorded_encryption_config),
            ("apiserver.without_identity", &apiserver.without_identity),
        ] {
            given.as_deref().map_or(Ok(()), |given| path(key, given))?;
        }
        for folder in &provider.backups {
            path("provider.backups", folder)?;
        }
        path("apiserver.encryption_config", &apiserver.encryption_config)?;
        let users = provider.user.iter().chain([&apiserver.user]).chain(&apiserver.groups);
        if !users.into_iter().all(|user| is_word(user)) {
            return err("user", "must be the name or the number of a user or group");
        }
        for origin in [Some(&provider.health), provider.metrics.as_ref()].into_iter().flatten() {
            // The provider's own listeners know no TLS.
            if !origin.is_plain() {
                return err("provider.health", "must be plain http on loopback");
            }
        }
        provider.workload.check()?;
        apiserver.workload.as_ref().map_or(Ok(()), KmsWorkload::check)
    }
}

impl KmsWorkload {
    fn check(&self) -> Result<(), ConfigError> {
        match self {
            Self::Process(process) => {
                if !process.command.first().is_some_and(|program| program.starts_with('/')) {
                    return err("workload.process.command", "the program must be named with its absolute path");
                }
                if process.command.iter().any(|word| word.contains('\0')) {
                    return err("workload.process.command", "a word has a NUL in it");
                }
                path("workload.process.pidfile", &process.pidfile)?;
                path("workload.process.log", &process.log)
            }
            Self::Systemd(service) => SystemdConfig {
                unit: service.unit.clone(),
                manager: service.manager,
                token_file: "/run/none".into(),
                token: TokenAs::File,
                log: None,
            }
            .places()
            .map(drop),
            Self::Docker(docker) => {
                if !docker_name(&docker.container) || docker.container.len() > 128 {
                    return err("workload.docker.container", "must be the name of a container");
                }
                path("workload.docker.socket", &docker.socket)
            }
            Self::StaticPod(pod) => {
                path("workload.static-pod.manifest", &pod.manifest)?;
                path("workload.static-pod.parked", &pod.parked)?;
                path("workload.static-pod.crictl", &pod.crictl)?;
                path("workload.static-pod.ctr", &pod.ctr)?;
                // The kubelet takes every file of its folder for a manifest.
                if pod.parked.parent() == pod.manifest.parent() {
                    return err("workload.static-pod.parked", "must not be in the folder that the kubelet looks at");
                }
                if !is_word(&pod.container) {
                    return err("workload.static-pod.container", "must be the name of a container");
                }
                Ok(())
            }
        }
    }
}

fn path(key: &'static str, path: &Path) -> Result<(), ConfigError> {
    if plain(path) && path.file_name().is_some() {
        Ok(())
    } else {
        err(key, "must be an absolute path without `.` or `..`")
    }
}

fn identity(key: &'static str, client: &ClientIdentity) -> Result<(), ConfigError> {
    path(key, &client.cert)?;
    path(key, &client.key)
}

/// The system's authorities are never asked: with `https` a file must be given.
fn trusted(key: &'static str, origin: &Origin, ca: Option<&Path>) -> Result<(), ConfigError> {
    match ca {
        Some(ca) => path(key, ca),
        None if origin.is_plain() => Ok(()),
        None => err(key, "must be given with https"),
    }
}

/// A name of Kubernetes, a user or a container: nothing that could lead anywhere.
fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_')
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        && !text.contains("..")
}

fn is_object(text: &str) -> bool {
    // Names of RBAC objects may hold more; those are not encrypted anywhere.
    (2..=3).contains(&text.split('/').count()) && text.split('/').all(is_word)
}
