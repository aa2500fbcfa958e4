//! The contract: what `recover` relies on of OpenBao's Transit, on whichever of the two is given.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use recover_adapters::openbao::{Change, Failure, Key, OpenBao};
use serde_json::{Value, json};

use crate::openbao::{Fake, Peer, Proxy, ROOT, Real, tls};

/// A part of it: its name, and what it does.
pub type Part = (&'static str, fn(&Site));

/// All of them.
pub const PARTS: &[Part] = &[
    ("how it is can be asked without a token", health),
    ("k7 the layers at which a key is missing are told apart", k7_layers),
    ("k7 another engine is not taken for a Transit without the key, and nothing is written to it", k7_other_engine),
    ("k7 a sealed one says so, and no key is missing there", k7_sealed),
    ("k7 a soft-deleted key comes back with its times of creation", k7_restored),
    ("k7 nothing makes a key, with a token that could", k7_nothing_is_made),
    ("k17 a key made again under its name has other times of creation", k17_made_again),
    ("k5 deletion is forbidden and rotation stopped", k5_one_way),
    ("k5 the lowest versions are lowered, and hidden versions come back", k5_lowered),
    ("k4 what cannot be undone is told of", k4_told),
    ("k19 upsert is disabled", k19_upsert),
    ("a token is told of without being repeated", token),
];

/// The server and what stands before it, for parts that are no client's business.
impl Site {
    pub fn server(&self) -> &dyn Peer {
        &*self.peer
    }

    pub fn folder(&self) -> &std::path::Path {
        self.home.path()
    }

    pub fn waits<T>(&self, future: impl Future<Output = T>) -> T {
        self.wait(future)
    }
}

/// One server with Transit mounted, and a proxy before it.
pub struct Site {
    peer: Box<dyn Peer>,
    pub proxy: Proxy,
    home: tempfile::TempDir,
    runtime: tokio::runtime::Runtime,
}

impl Site {
    pub fn fake() -> Result<Self, String> {
        let home = tempfile::tempdir().unwrap();
        tls::files(home.path(), &tls::ca(home.path(), "bao-ca"), "server", "127.0.0.1");
        let fake = Fake::with_tls(home.path());
        Ok(Self::of(home, Box::new(fake)))
    }

    pub fn real() -> Result<Self, String> {
        let home = tempfile::tempdir().unwrap();
        let real = Real::start(home.path())?;
        Ok(Self::of(home, Box::new(real)))
    }

    fn of(home: tempfile::TempDir, peer: Box<dyn Peer>) -> Self {
        let proxy = Proxy::before(peer.address());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        peer.told("POST", "sys/mounts/transit", &json!({ "type": "transit" }));
        Self { peer, proxy, home, runtime }
    }

    fn bao(&self, token: &str, more: &Value) -> OpenBao {
        let file = self.home.path().join("token");
        std::fs::write(&file, token).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
        let mut config = json!({ "address": format!("http://{}", self.proxy.address), "mount": "transit", "key": "kms",
            "token": format!("file:{}", file.display()) });
        for (name, value) in more.as_object().unwrap() {
            config[name] = value.clone();
        }
        OpenBao::new(&serde_json::from_value(config).unwrap()).unwrap()
    }

    fn root(&self) -> OpenBao {
        self.bao(ROOT, &json!({}))
    }

    /// A token with these capabilities and no others.
    fn limited(&self, paths: &Value) -> String {
        self.peer.told("POST", "sys/policies/acl/limited", &json!({ "policy": json!({ "path": paths }).to_string() }));
        let told = self.peer.told(
            "POST",
            "auth/token/create",
            &json!({ "policies": ["limited"], "no_default_policy": false }),
        );
        told["auth"]["client_token"].as_str().unwrap().to_owned()
    }

    fn make(&self) {
        self.peer.told("POST", "transit/keys/kms", &json!({}));
    }

    fn config(&self, body: &Value) {
        self.peer.told("POST", "transit/keys/kms/config", body);
    }

    fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    fn key(&self) -> Key {
        self.wait(self.root().key()).unwrap()
    }

    /// Makes the change, and looks whether it holds.
    fn change(&self, change: Change) {
        let bao = self.root();
        assert_eq!(self.wait(bao.change(change)), Ok(()), "{change:?}");
        assert!(change.holds(&self.key(), self.wait(bao.upsert_disabled()).unwrap()), "{change:?}");
    }
}

fn health(site: &Site) {
    let bao = site.bao("no-such-token", &json!({ "namespace": "team" }));
    let health = site.wait(bao.health()).unwrap();
    assert!(health.initialized && !health.sealed && !health.standby && health.server_time_utc > 1_600_000_000);
    assert!(!site.wait(bao.seal_status()).unwrap().sealed);
    assert!(site.proxy.ledger().iter().all(|asked| asked.token.is_empty() && asked.namespace.is_empty()));
    site.peer.told("POST", "sys/namespaces/team", &json!({}));
    let told = site.wait(site.bao(ROOT, &json!({ "namespace": "team" })).namespace_seal_status()).unwrap();
    assert!(told.as_ref().is_none_or(|told| !told.sealed), "{told:?}");
}

fn k7_layers(site: &Site) {
    let key = |bao: OpenBao| site.wait(bao.key()).unwrap_err();
    assert_eq!(key(site.root()), Failure::NoKey);
    assert_eq!(key(site.bao(ROOT, &json!({ "mount": "elsewhere" }))), Failure::NoMount);
    assert_eq!(key(site.bao(ROOT, &json!({ "namespace": "gone" }))), Failure::NoNamespace);
    site.peer.told("POST", "sys/namespaces/team", &json!({}));
    assert_eq!(key(site.bao(ROOT, &json!({ "namespace": "team" }))), Failure::NoMount);
    site.make();
    assert_eq!(key(site.bao("no-such-token", &json!({}))), Failure::Denied);
    let other = site.limited(&json!({ "transit/keys/other": { "capabilities": ["read"] } }));
    assert_eq!(key(site.bao(&other, &json!({}))), Failure::Denied);
    let reader = site.limited(&json!({ "transit/keys/kms": { "capabilities": ["read"] } }));
    assert_eq!(site.wait(site.bao(&reader, &json!({})).key()).unwrap(), site.key());
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    assert!(matches!(key(site.bao(ROOT, &json!({ "address": format!("http://{nobody}") }))), Failure::NotSent(_)));
}

fn k7_other_engine(site: &Site) {
    site.peer.told("POST", "sys/mounts/kv", &json!({ "type": "kv" }));
    let bao = site.bao(ROOT, &json!({ "mount": "kv" }));
    assert_eq!(site.wait(bao.key()), Err(Failure::NotTransit));
    for change in [Change::restore(), Change::forbid_deletion()] {
        assert_eq!(site.wait(bao.change(change)), Err(Failure::NotTransit));
    }
    assert_eq!(site.wait(bao.change(Change::disable_upsert())), Err(Failure::NoKey));
    assert!(site.proxy.ledger().iter().all(|asked| asked.method == "GET"), "something was stored there");
    // That a key is not there is not said by one who cannot see where.
    let token = site.limited(&json!({ "transit/keys/kms": { "capabilities": ["read"] } }));
    assert_eq!(site.wait(site.bao(&token, &json!({})).key()), Err(Failure::Denied));
}

fn k7_sealed(site: &Site) {
    site.make();
    site.peer.told("POST", "sys/seal", &json!({}));
    let bao = site.root();
    assert_eq!(site.wait(bao.key()), Err(Failure::Sealed));
    assert!(site.wait(bao.health()).unwrap().sealed);
    assert!(site.wait(bao.seal_status()).unwrap().sealed);
    assert_eq!(site.wait(bao.change(Change::restore())), Err(Failure::Sealed));
}

fn k7_restored(site: &Site) {
    site.make();
    let before = site.key();
    assert!(!before.soft_deleted);
    site.peer.told("DELETE", "transit/keys/kms/soft-delete", &Value::Null);
    let deleted = site.key();
    assert!(deleted.soft_deleted && deleted.versions == before.versions);
    site.change(Change::restore());
    assert_eq!(site.key(), before);
    // Once more changes nothing, and is no failure: so a repeated request needs no probe.
    site.change(Change::restore());
    assert_eq!(site.key(), before);
}

/// Everything that there is to ask for.
fn everything(site: &Site, bao: &OpenBao) {
    let _ = site.wait(bao.health());
    let _ = site.wait(bao.seal_status());
    let _ = site.wait(bao.namespace_seal_status());
    let _ = site.wait(bao.token());
    let _ = site.wait(bao.capabilities());
    assert_eq!(site.wait(bao.key()), Err(Failure::NoKey));
    for change in [Change::restore(), Change::forbid_deletion(), Change::stop_rotation()] {
        assert_eq!(site.wait(bao.change(change)), Err(Failure::NoKey));
    }
    // So it is not sent. It would be answered like something that was done.
    let restore = site.peer.admin("POST", "transit/keys/kms/soft-delete-restore", "", &json!({}));
    assert_eq!(restore, (204, Value::Null));
    assert_eq!(site.wait(bao.change(Change::disable_upsert())), Ok(()));
}

fn k7_nothing_is_made(site: &Site) {
    let may = json!({ "capabilities": ["create", "read", "update"] });
    let token = site.limited(&json!({ "transit/keys/kms": may, "transit/keys/kms/config": may,
        "transit/keys/kms/soft-delete-restore": may, "transit/config/keys": may, "transit/encrypt/kms": may }));
    everything(site, &site.bao(&token, &json!({})));
    let (status, told) = site.peer.admin("LIST", "transit/keys", "", &Value::Null);
    assert_eq!((status, &told["data"]["keys"]), (404, &Value::Null), "a key was made");
    // And it could have been.
    site.peer.told("POST", "transit/config/keys", &json!({ "disable_upsert": false }));
    site.peer.told("POST", "transit/encrypt/kms", &json!({ "plaintext": "aGk=" }));
    assert_eq!(site.key().latest_version, 1);
    site.peer.told("POST", "transit/config/keys", &json!({ "disable_upsert": true }));
    assert_eq!(site.peer.admin("POST", "transit/encrypt/other", "", &json!({ "plaintext": "aGk=" })).0, 400);
}

fn k17_made_again(site: &Site) {
    site.make();
    let before = site.key();
    // Times of creation are in seconds.
    std::thread::sleep(Duration::from_millis(1_100));
    site.make();
    assert_eq!(site.key(), before, "making what is there changes nothing");
    site.config(&json!({ "deletion_allowed": true }));
    site.peer.told("DELETE", "transit/keys/kms", &Value::Null);
    assert_eq!(site.wait(site.root().key()), Err(Failure::NoKey));
    site.make();
    let again = site.key();
    assert_eq!((again.latest_version, &again.name), (before.latest_version, &before.name));
    assert_ne!(again.versions, before.versions);
}

fn k5_one_way(site: &Site) {
    site.make();
    site.config(&json!({ "deletion_allowed": true, "auto_rotate_period": 7200 }));
    let key = site.key();
    assert_eq!((key.deletion_allowed, key.auto_rotate_period), (true, 7_200));
    site.change(Change::forbid_deletion());
    site.change(Change::stop_rotation());
    assert_eq!(site.peer.admin("DELETE", "transit/keys/kms", "", &Value::Null).0, 400);
    assert_eq!(site.key().versions, key.versions);
}

fn k5_lowered(site: &Site) {
    site.make();
    site.peer.told("POST", "transit/keys/kms/rotate", &json!({}));
    site.peer.told("POST", "transit/keys/kms/rotate", &json!({}));
    let before = site.key();
    site.config(&json!({ "min_decryption_version": 3, "min_encryption_version": 3 }));
    let raised = site.key();
    assert_eq!(raised.versions.keys().collect::<Vec<_>>(), [&3], "hidden, and not lost");
    assert_eq!(Change::lower_decryption(3, &raised), None);
    assert_eq!(Change::lower_decryption(0, &raised), None);
    assert_eq!(Change::lower_encryption(1, &raised), None, "less than what decrypts");
    site.change(Change::lower_decryption(1, &raised).unwrap());
    let lowered = site.key();
    assert_eq!(lowered.versions, before.versions);
    site.change(Change::lower_encryption(2, &lowered).unwrap());
    assert_eq!(site.key().min_encryption_version, 2);
    // What was made out of an older reading would raise it now, so it is not sent.
    let stale = Change::lower_decryption(2, &raised).unwrap();
    assert!(matches!(site.wait(site.root().change(stale)), Err(Failure::Forbidden(_))));
    assert_eq!(site.key().min_decryption_version, 1);
}

fn k4_told(site: &Site) {
    site.make();
    site.config(&json!({ "exportable": true, "allow_plaintext_backup": true }));
    site.config(&json!({ "exportable": false, "allow_plaintext_backup": false }));
    let key = site.key();
    assert!(key.exportable && key.allow_plaintext_backup, "it goes one way");
    assert_eq!((key.kind.as_str(), key.derived, key.convergent_encryption), ("aes256-gcm96", false, false));
}

fn k19_upsert(site: &Site) {
    site.make();
    assert_eq!(site.wait(site.root().upsert_disabled()), Ok(false));
    site.change(Change::disable_upsert());
    site.change(Change::disable_upsert());
    assert_eq!(site.peer.admin("POST", "transit/encrypt/other", "", &json!({ "plaintext": "aGk=" })).0, 400);
}

fn token(site: &Site) {
    let secret = site.limited(&json!({ "transit/keys/kms": { "capabilities": ["read"] } }));
    let bao = site.bao(&secret, &json!({}));
    let token = site.wait(bao.token()).unwrap();
    assert!(token.policies.contains(&"limited".to_owned()), "{token:?}");
    let may = site.wait(bao.capabilities()).unwrap();
    let of = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<_>>();
    let expected = BTreeMap::from([
        ("transit/keys/kms".to_owned(), of(&["read"])),
        ("transit/keys/kms/config".to_owned(), of(&["deny"])),
        ("transit/keys/kms/soft-delete-restore".to_owned(), of(&["deny"])),
        ("transit/config/keys".to_owned(), of(&["deny"])),
    ]);
    assert_eq!(may, expected);
    assert_eq!(site.wait(bao.change(Change::restore())), Err(Failure::Denied));
    let shown = format!("{bao:?} {token:?}");
    assert!(!shown.contains(&secret), "the token is given away");
    let bad = site.bao("no-such-token", &json!({}));
    assert_eq!(site.wait(bad.token()), Err(Failure::Denied));
}
