//! An OpenBao with the one Transit key, a proxy before it for whoever recovers, and control-plane nodes with a provider each.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::issuer::{self, Issuer};
use super::node::{Around, Node, PROVIDER, give, is_root};
use super::process::{Guard, eventually};
use super::wire::EncryptResponse;
use crate::openbao::{Fake, Peer, Proxy, Real};

/// The name of the provider in Kubernetes.
pub const NAME: &str = "openbao";
/// Where the key is.
pub const NAMESPACE: &str = "team";
pub const MOUNT: &str = "transit";
pub const KEY: &str = "kms";
/// For how long a token of the provider's is good, in seconds.
const TOKEN_TTL: u64 = 4;

/// Which of the two OpenBaos.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fake,
    Real,
}

#[derive(Clone, Copy, Debug)]
pub struct Wanted {
    pub kind: Kind,
    /// `jwt` or `cert`.
    pub auth: &'static str,
    /// `g1` or `g2`.
    pub generation: &'static str,
    pub nodes: usize,
}

pub struct Site {
    pub peer: Box<dyn Peer>,
    pub proxy: Proxy,
    pub nodes: Vec<Node>,
    pub issuer: Issuer,
    wanted: Wanted,
    _guard: Guard,
    home: tempfile::TempDir,
    clients: crate::openbao::tls::Ca,
}

impl Site {
    /// Everything runs and is ready, with the key at its first version.
    pub fn start(wanted: Wanted) -> Result<Self, String> {
        let home = tempfile::tempdir().unwrap();
        let guard = Guard::of(home.path());
        give(home.path(), 0, 0, 0o755);
        let at = |name: &str| home.path().join(name);
        // Under its own name it may have been replaced meanwhile.
        fs::copy("/proc/self/exe", at("program")).unwrap();
        give(&at("program"), 0, 0, 0o755);
        fs::create_dir(at("bao")).unwrap();
        let ca = crate::openbao::tls::ca(&at("bao"), "bao-ca");
        crate::openbao::tls::files(&at("bao"), &ca, "server", "127.0.0.1");
        let clients = crate::openbao::tls::ca(home.path(), "clients-ca");
        let peer: Box<dyn Peer> = match wanted.kind {
            Kind::Fake => Box::new(Fake::with_tls(&at("bao"))),
            Kind::Real => Box::new(Real::start(&at("bao"))?),
        };
        let around = Around {
            openbao: format!("https://{}", peer.tls_address().unwrap()),
            ca: ca.file,
            namespace: NAMESPACE.into(),
            auth: wanted.auth,
            generation: wanted.generation,
        };
        let names: Vec<String> = (1..=wanted.nodes).map(|n| format!("cp-{n}")).collect();
        let nodes = names.iter().map(|name| Node::new(home.path(), name, &around)).collect();
        let proxy = Proxy::before(peer.address());
        let site = Self { peer, proxy, nodes, issuer: Issuer::new(), wanted, _guard: guard, home, clients };
        site.set_up();
        for node in &site.nodes {
            site.hand_out(node, &site.issuer);
            node.start();
        }
        site.nodes.iter().for_each(Node::becomes_ready);
        Ok(site)
    }

    pub fn home(&self) -> &Path {
        self.home.path()
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// What a person with a root token does in the namespace.
    pub fn told(&self, method: &str, path: &str, body: &Value) -> Value {
        let (status, answer) = self.peer.admin(method, path, NAMESPACE, body);
        assert!(matches!(status, 200 | 204), "{method} {path}: {status} {answer}");
        answer
    }

    /// The key, a way in for each node, and a token for whoever recovers.
    fn set_up(&self) {
        self.peer.told("POST", &format!("sys/namespaces/{NAMESPACE}"), &json!({}));
        self.told("POST", &format!("sys/mounts/{MOUNT}"), &json!({ "type": "transit" }));
        self.told("POST", "transit/config/keys", &json!({ "disable_upsert": true }));
        self.told("POST", "transit/keys/kms", &json!({}));
        let of = |paths: &[(&str, &[&str])]| {
            let each = paths.iter().map(|(path, may)| ((*path).to_owned(), json!({ "capabilities": may })));
            json!({ "policy": json!({ "path": each.collect::<serde_json::Map<_, _>>() }).to_string() })
        };
        let hot: &[(&str, &[&str])] = &[
            ("transit/keys/kms", &["read"]),
            ("transit/config/keys", &["read"]),
            ("transit/encrypt/kms", &["update"]),
            ("transit/decrypt/kms", &["update"]),
        ];
        self.told("POST", "sys/policies/acl/kms", &of(hot));
        // Whoever recovers comes from above the namespace, since snapshots are of the whole.
        let snapshots: (&str, &[&str]) = ("sys/storage/raft/snapshot", &["read"]);
        let mends: &[(&str, &[&str])] = &[
            snapshots,
            ("team/transit/keys/kms", &["read"]),
            ("team/transit/keys/kms/config", &["update"]),
            ("team/transit/keys/kms/soft-delete-restore", &["update"]),
            ("team/transit/config/keys", &["read", "update"]),
        ];
        // One who could make a key, if he tried.
        let all: &[(&str, &[&str])] = &[
            snapshots,
            ("team/transit/keys/kms", &["create", "read", "update", "delete"]),
            ("team/transit/keys/kms/config", &["create", "update"]),
            ("team/transit/keys/kms/rotate", &["create", "update"]),
            ("team/transit/keys/kms/soft-delete-restore", &["create", "update"]),
            ("team/transit/config/keys", &["create", "read", "update"]),
            ("team/transit/encrypt/kms", &["create", "update"]),
        ];
        for (policy, paths) in [("recover", mends), ("may-all", all)] {
            self.peer.told("POST", &format!("sys/policies/acl/{policy}"), &of(paths));
            let token = self.peer.told("POST", "auth/token/create", &json!({ "policies": [policy] }));
            let file = self.at(&format!("{policy}.token"));
            fs::write(&file, token["auth"]["client_token"].as_str().unwrap()).unwrap();
            give(&file, 0, 0, 0o600);
        }
        if self.wanted.auth == "jwt" {
            self.told("POST", "sys/auth/jwt", &json!({ "type": "jwt" }));
            self.trust(&self.issuer);
            for node in &self.nodes {
                self.told("POST", &format!("auth/jwt/role/kms-{}", node.name), &json!({ "role_type": "jwt",
                    "user_claim": "sub", "bound_audiences": [issuer::AUDIENCE], "bound_subject": issuer::subject(&node.name),
                    "token_policies": ["kms"], "token_ttl": TOKEN_TTL }));
            }
        } else {
            self.told("POST", "sys/auth/cert", &json!({ "type": "cert" }));
            let ca = fs::read_to_string(&self.clients.file).unwrap();
            self.told(
                "POST",
                "auth/cert/certs/kms",
                &json!({ "certificate": ca, "token_policies": ["kms"],
                "token_ttl": TOKEN_TTL }),
            );
        }
    }

    /// OpenBao believes this issuer, and no other.
    pub fn trust(&self, issuer: &Issuer) {
        self.told(
            "POST",
            "auth/jwt/config",
            &json!({ "jwt_validation_pubkeys": [issuer.pem()], "bound_issuer": issuer::NAME }),
        );
    }

    /// Gives a node what it shows OpenBao.
    pub fn hand_out(&self, node: &Node, issuer: &Issuer) {
        if self.wanted.auth == "jwt" {
            fs::write(node.at("identity.jwt"), issuer.token(&node.name, 3_600)).unwrap();
            return give(&node.at("identity.jwt"), 0, PROVIDER, 0o640);
        }
        crate::openbao::tls::files(&node.at(""), &self.clients, "client", &node.name);
        let key = fs::read_to_string(node.at("client.key")).unwrap();
        fs::write(node.at("module.json"), json!({ "kms": { "pin": "1234", "keys": { "client": key } } }).to_string())
            .unwrap();
        fs::write(node.at("pin"), "1234\n").unwrap();
        for name in ["client.pem", "module.json", "pin"] {
            give(&node.at(name), 0, PROVIDER, 0o640);
        }
    }

    /// A certificate for the key that this node has, good in these years.
    pub fn certified(&self, node: &Node, years: crate::openbao::tls::Years) -> String {
        let key = fs::read_to_string(node.at("client.key")).unwrap();
        crate::openbao::tls::certified(&self.clients, &key, &node.name, years)
    }

    /// The key as OpenBao tells of it.
    pub fn key(&self) -> Value {
        self.told("GET", "transit/keys/kms", &Value::Null)["data"].clone()
    }

    /// When each version came to be, where it is told of.
    pub fn created(&self) -> BTreeMap<String, i64> {
        serde_json::from_value(self.key()["keys"].clone()).unwrap()
    }

    pub fn configure(&self, body: &Value) {
        self.told("POST", "transit/keys/kms/config", body);
    }

    /// Rotates the key, and waits until every node encrypts with the new version.
    pub fn rotate(&self) {
        self.told("POST", "transit/keys/kms/rotate", &json!({}));
        let latest = self.key()["latest_version"].as_f64().unwrap();
        for node in &self.nodes {
            // In this order: what was ready may have been so with the version before.
            let promoted = || node.metric("openbao_kms_key_version") >= latest && node.ready().0 == 200;
            let came = eventually(Duration::from_secs(30), promoted);
            assert!(came, "{}: {:?} {}", node.name, node.ready(), node.log());
        }
    }

    /// An object that was encrypted now, with what it says.
    pub fn object(&self, says: &str) -> (String, EncryptResponse) {
        (says.to_owned(), self.nodes[0].encrypt(says.as_bytes()).unwrap())
    }

    /// Ends the OpenBao as a crash does, brings it back, and unseals it.
    pub fn unsealed(&self) {
        self.peer.unseal();
    }

    /// Whether users can be told apart here.
    pub fn users() -> bool {
        is_root() && Path::new("/usr/bin/setpriv").exists()
    }
}
