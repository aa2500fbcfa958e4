//! Everything that can be looked at, layer by layer, without a run. Nothing is changed, and nothing is encrypted where that could make
//! a key.

use recover_steps::kms::{
    ApiserverSeen, AuthSeen, CheckProvider, ConfigSeen, Converged, EncryptionSeen, EtcdScanned, ImageSeen, KeySeen,
    Node as Name, NodeSeen, ObjectsRead, OpenbaoSeen, ProviderChecked, RegistrySeen,
};

use super::node::Node;
use super::{Kms, auth, world};
use crate::trouble::Trouble;

/// What one look came to: what was seen, or why it could not be looked at.
pub type Looked<T> = Result<T, String>;

/// What our own token may do there, compared with what it is for.
#[derive(Clone, Debug, Default)]
pub struct RightsFound {
    /// What it needs and may not.
    pub lacks: Vec<String>,
    /// What it may and does not need.
    pub exceeds: Vec<String>,
}

/// What was seen of a whole KMS.
#[derive(Clone, Debug)]
pub struct KmsExamined {
    /// Of OpenBao.
    pub openbao: OpenbaoSeen,
    /// What our own token may do, where that is too little or too much.
    pub rights: Looked<RightsFound>,
    /// Of the key.
    pub key: Looked<KeySeen>,
    /// Of each node.
    pub nodes: Vec<NodeExamined>,
    /// Of all providers together.
    pub converged: Converged,
    /// Of what is stored; `None` where etcd is not configured.
    pub etcd: Option<Looked<EtcdScanned>>,
    /// Of the old objects.
    pub objects: Looked<ObjectsRead>,
}

/// What was seen of a node.
#[derive(Clone, Debug)]
pub struct NodeExamined {
    /// Which.
    pub node: Name,
    /// Of the provider's configuration.
    pub config: ConfigSeen,
    /// Of its registry.
    pub registry: Looked<RegistrySeen>,
    /// Of what it logs in with.
    pub auth: Looked<AuthSeen>,
    /// Of its image.
    pub image: Looked<ImageSeen>,
    /// Of its own checks: `verify-key` alone, which encrypts nothing.
    pub checks: Looked<ProviderChecked>,
    /// Of its process, socket and readiness.
    pub provider: Looked<NodeSeen>,
    /// Of the EncryptionConfiguration.
    pub encryption: Looked<EncryptionSeen>,
    /// Of the API server.
    pub apiserver: Looked<ApiserverSeen>,
}

impl Kms {
    /// Looks at everything.
    pub async fn examine(&self) -> KmsExamined {
        let mut nodes = Vec::new();
        for node in self.nodes.values() {
            nodes.push(Box::pin(self.examine_node(node)).await);
        }
        KmsExamined {
            openbao: self.look_openbao().await,
            rights: self.rights().await,
            key: self.told(self.read_key().await),
            nodes,
            converged: self.converge().await,
            etcd: if self.etcd.is_some() { Some(self.told(self.scan_etcd().await)) } else { None },
            objects: self.told(self.read_objects().await),
        }
    }

    async fn examine_node(&self, node: &Node) -> NodeExamined {
        let name = Name(node.name.clone());
        let checks = CheckProvider { node: name.clone(), metadata_only: true };
        NodeExamined {
            node: name,
            config: self.compare_config(node),
            registry: self.told(self.read_registry(node).await),
            auth: self.told(self.look_auth(node)),
            image: self.told(world::look_image(node).await),
            checks: self.told(self.check_provider(node, &checks).await),
            provider: self.told(self.look_node(node).await),
            encryption: self.told(self.read_encryption(node)),
            apiserver: self.told(self.look_apiserver(node).await),
        }
    }

    fn told<T>(&self, looked: Result<T, Trouble>) -> Looked<T> {
        looked.map_err(|trouble| self.known.line(trouble.text()))
    }

    /// What our own token may not do and should, and what it may do and should not.
    async fn rights(&self) -> Looked<RightsFound> {
        let may = self.bao.capabilities().await.map_err(|failure| self.known.line(&failure.to_string()))?;
        let (mount, key) = (&self.config.openbao.mount, &self.config.openbao.key);
        let wanted: [(String, &[&str], &[&str]); 4] = [
            (format!("{mount}/keys/{key}"), &["read"], &["create", "update", "delete", "patch", "sudo", "root"]),
            (format!("{mount}/keys/{key}/config"), &["update"], &["delete", "sudo", "root"]),
            (format!("{mount}/keys/{key}/soft-delete-restore"), &["update"], &["delete", "sudo", "root"]),
            (format!("{mount}/config/keys"), &["read", "update"], &["delete", "sudo", "root"]),
        ];
        let mut found = RightsFound::default();
        for (path, least, most) in wanted {
            let has = may.get(&path).map(Vec::as_slice).unwrap_or_default();
            let is = |word: &&&str| has.iter().any(|of| of == **word);
            let all = has.iter().any(|of| of == "root");
            let missing: Vec<&str> = least.iter().filter(|word| !all && !is(word)).copied().collect();
            let excess: Vec<&str> = most.iter().filter(is).copied().collect();
            if !missing.is_empty() {
                found.lacks.push(format!("{path}: it lacks {}", missing.join(", ")));
            }
            if !excess.is_empty() {
                found.exceeds.push(format!("{path}: it also may {}", excess.join(", ")));
            }
        }
        Ok(found)
    }
}

impl Kms {
    pub(super) fn look_auth(&self, node: &Node) -> Result<AuthSeen, Trouble> {
        let refused = |why: String| Trouble::refused("auth", why);
        let settings = node.settings().map_err(refused)?;
        let who = node.provider_user(&settings).map_err(refused)?;
        let brought = node.config.provider.fresh_auth.as_deref();
        Ok(auth::look(&settings.auth, brought, &who, crate::time::now().0 / 1_000))
    }
}
