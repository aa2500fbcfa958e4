//! A pod's volumes as directories of this host, and volumes for claims that have none.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::Api;

/// The class whose claims get a volume made for them.
pub const CLASS: &str = "made-for-tests";

/// One volume of a pod, as a directory.
pub(super) struct Mount {
    pub(super) name: String,
    pub(super) path: PathBuf,
}

pub(super) struct Volumes {
    home: PathBuf,
}

/// Where a volume is.
pub(super) fn directory(home: &Path, volume: &str) -> PathBuf {
    home.join("volumes").join(volume)
}

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";

impl Volumes {
    pub(super) fn at(home: &Path) -> Self {
        Self { home: home.to_owned() }
    }

    /// Makes a volume for each claim of the class that has none. The controller binds them.
    pub(super) fn provide(&self, api: &Api) {
        let Ok(told) = api.get(CLAIMS) else { return };
        for claim in told.body["items"].as_array().into_iter().flatten() {
            if claim["spec"]["storageClassName"] != CLASS || !claim["spec"]["volumeName"].is_null() {
                continue;
            }
            let (name, uid) = (&claim["metadata"]["name"], claim["metadata"]["uid"].as_str().unwrap_or_default());
            let volume = format!("pvc-{uid}");
            let path = directory(&self.home, &volume);
            std::fs::create_dir_all(&path).unwrap();
            let of = json!({ "apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "default", "name": name, "uid": uid });
            let body = json!({ "metadata": { "name": volume }, "spec": {
                "capacity": claim["spec"]["resources"]["requests"], "accessModes": claim["spec"]["accessModes"],
                "storageClassName": CLASS, "persistentVolumeReclaimPolicy": "Delete",
                "claimRef": of, "hostPath": { "path": path },
            } });
            drop(api.send("POST", "/api/v1/persistentvolumes", Some(&body)));
        }
    }

    /// The directories of a pod's volumes; nothing as long as one of them cannot be had.
    pub(super) fn mounted(&self, api: &Api, pod: &Value, folder: &Path) -> Option<Vec<Mount>> {
        let mut mounts = Vec::new();
        for volume in pod["spec"]["volumes"].as_array().into_iter().flatten() {
            let name = volume["name"].as_str().unwrap_or_default().to_owned();
            let own = folder.join("volumes").join(&name);
            let path = if let Some(claim) = volume["persistentVolumeClaim"]["claimName"].as_str() {
                let claim = api.get(&format!("{CLAIMS}/{claim}")).ok()?.body;
                if claim["status"]["phase"] != "Bound" {
                    return None;
                }
                let of =
                    api.get(&format!("/api/v1/persistentvolumes/{}", claim["spec"]["volumeName"].as_str()?)).ok()?;
                PathBuf::from(of.body["spec"]["hostPath"]["path"].as_str()?)
            } else if let Some(path) = volume["hostPath"]["path"].as_str() {
                PathBuf::from(path)
            } else if let Some(secret) = volume["secret"]["secretName"].as_str() {
                Self::secret(api, secret, &own, volume["secret"]["optional"] == true)?;
                own
            } else {
                std::fs::create_dir_all(&own).unwrap();
                own
            };
            mounts.push(Mount { name, path });
        }
        Some(mounts)
    }

    /// What a Secret has is there as files for as long as there is one. A kubelet takes about a minute to see a change; this one does not.
    fn secret(api: &Api, name: &str, own: &Path, optional: bool) -> Option<()> {
        use base64::Engine as _;
        let told = api.get(&format!("/api/v1/namespaces/default/secrets/{name}")).ok()?;
        std::fs::create_dir_all(own).unwrap();
        if told.status != 200 {
            for entry in std::fs::read_dir(own).unwrap() {
                drop(std::fs::remove_file(entry.unwrap().path()));
            }
            return (optional && told.status == 404).then_some(());
        }
        for (key, value) in told.body["data"].as_object().into_iter().flatten() {
            let value = base64::engine::general_purpose::STANDARD.decode(value.as_str()?).ok()?;
            if !own.join(key).exists() {
                std::fs::write(own.join(key), value).unwrap();
            }
        }
        Some(())
    }
}
