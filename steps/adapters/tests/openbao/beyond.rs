//! What the provider, a person and trouble itself do with OpenBao: `recover` sends none of it, and rests on how it is answered.

use std::path::Path;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use serde_json::{Value, json};

use crate::contract::{Part, Site};
use crate::openbao::tls;

pub const PARTS: &[Part] = &[
    ("k11 k17 what decrypts, and what is said where it does not", decrypts),
    ("k13 versions that may not decrypt say so, and come back", restricted),
    ("k7 k19 encrypting with a key that is not there makes it, by who may create", upsert),
    ("k6 a JWT is believed by its issuer's key, its audience and its subject", jwt),
    ("k6 a certificate is believed by its authority", certificate),
    ("a secret id is good for one login", approle),
    ("k3 what was sealed is unsealed, and is as it was", sealed),
    ("k3 what went down comes back sealed", down),
    ("k4 k7 k9 a snapshot brings a deleted key back with its times", snapshot),
    ("k5 what was trimmed is gone", trimmed),
];

fn ask(site: &Site, method: &str, path: &str, body: &Value) -> (u16, Value) {
    site.server().admin(method, path, "", body)
}

fn said(answer: &(u16, Value)) -> (u16, String) {
    (answer.0, answer.1["errors"][0].as_str().unwrap_or_default().to_owned())
}

fn encrypted(site: &Site, aad: &str) -> String {
    let body = json!({ "plaintext": STANDARD.encode("said"), "associated_data": STANDARD.encode(aad) });
    let (status, told) = ask(site, "POST", "transit/encrypt/kms", &body);
    assert_eq!(status, 200, "{told}");
    told["data"]["ciphertext"].as_str().unwrap().to_owned()
}

fn decrypt(site: &Site, ciphertext: &str, aad: &str) -> (u16, Value) {
    let body = json!({ "ciphertext": ciphertext, "associated_data": STANDARD.encode(aad) });
    ask(site, "POST", "transit/decrypt/kms", &body)
}

fn make(site: &Site) {
    site.server().told("POST", "transit/keys/kms", &json!({}));
}

fn remove(site: &Site) {
    site.server().told("POST", "transit/keys/kms/config", &json!({ "deletion_allowed": true }));
    site.server().told("DELETE", "transit/keys/kms", &Value::Null);
}

fn decrypts(site: &Site) {
    make(site);
    let ciphertext = encrypted(site, "of one");
    assert!(ciphertext.starts_with("vault:v1:"), "{ciphertext}");
    let (status, told) = decrypt(site, &ciphertext, "of one");
    assert_eq!((status, &told["data"]["plaintext"]), (200, &json!(STANDARD.encode("said"))));
    let unauthentic = (400, "cipher: message authentication failed".to_owned());
    assert_eq!(said(&decrypt(site, &ciphertext, "of another")), unauthentic);
    site.server().told("DELETE", "transit/keys/kms/soft-delete", &Value::Null);
    let soft = said(&decrypt(site, &ciphertext, "of one"));
    assert!(soft.0 == 400 && soft.1.contains("soft-deleted key"), "{soft:?}");
    site.server().told("POST", "transit/keys/kms/soft-delete-restore", &json!({}));
    remove(site);
    assert_eq!(said(&decrypt(site, &ciphertext, "of one")), (400, "encryption key not found".into()));
    // Made again under its name it says what a wrong associated datum says.
    make(site);
    assert_eq!(said(&decrypt(site, &ciphertext, "of one")), unauthentic);
}

fn restricted(site: &Site) {
    make(site);
    let first = encrypted(site, "");
    site.server().told("POST", "transit/keys/kms/rotate", &json!({}));
    let second = encrypted(site, "");
    assert!(second.starts_with("vault:v2:"), "{second}");
    let with_first = json!({ "plaintext": "aGk=", "key_version": 1 });
    assert_eq!(ask(site, "POST", "transit/encrypt/kms", &with_first).0, 200);
    site.server().told("POST", "transit/keys/kms/config", &json!({ "min_decryption_version": 2 }));
    let too_old = "ciphertext or signature version is disallowed by policy (too old)";
    assert_eq!(said(&decrypt(site, &first, "")), (400, too_old.into()));
    site.server().told("POST", "transit/keys/kms/config", &json!({ "min_decryption_version": 1 }));
    assert_eq!(decrypt(site, &first, "").0, 200);
    let too_new = second.replace("vault:v2:", "vault:v3:");
    assert_eq!(said(&decrypt(site, &too_new, "")), (400, "invalid ciphertext: version is too new".into()));
}

fn allowed(site: &Site, paths: &Value) -> String {
    let policy = json!({ "policy": json!({ "path": paths }).to_string() });
    site.server().told("POST", "sys/policies/acl/some", &policy);
    let told = site.server().told("POST", "auth/token/create", &json!({ "policies": ["some"] }));
    told["auth"]["client_token"].as_str().unwrap().to_owned()
}

/// A request as somebody, perhaps with a certificate.
fn request(site: &Site, path: &str, token: &str, body: &Value, client: Option<&Path>) -> (u16, Value) {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let read = |path: &Path| std::fs::read(path).unwrap();
    let ca = reqwest::Certificate::from_pem(&read(&site.folder().join("bao-ca.pem"))).unwrap();
    let mut builder = reqwest::Client::builder().no_proxy().tls_certs_only([ca]).timeout(Duration::from_secs(10));
    if let Some(file) = client {
        let pem = [read(&file.with_extension("pem")), read(&file.with_extension("key"))].concat();
        builder = builder.identity(reqwest::Identity::from_pem(&pem).unwrap());
    }
    let url = format!("https://{}/v1/{path}", site.server().tls_address().unwrap());
    let request = builder.build().unwrap().post(url).header("x-vault-token", token).body(body.to_string());
    site.waits(async {
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        (status, serde_json::from_slice(&answer.bytes().await.unwrap()).unwrap_or(Value::Null))
    })
}

fn upsert(site: &Site) {
    let updates = allowed(site, &json!({ "transit/encrypt/kms": { "capabilities": ["update"] } }));
    let body = json!({ "plaintext": "aGk=" });
    assert_eq!(request(site, "transit/encrypt/kms", &updates, &body, None).0, 403);
    assert_eq!(ask(site, "GET", "transit/keys/kms", &Value::Null).0, 404, "a key was made");
    let creates = allowed(site, &json!({ "transit/encrypt/kms": { "capabilities": ["create"] } }));
    site.server().told("POST", "transit/config/keys", &json!({ "disable_upsert": true }));
    let refused = request(site, "transit/encrypt/kms", &creates, &body, None);
    assert_eq!(said(&refused), (400, "encryption key not found".into()));
    site.server().told("POST", "transit/config/keys", &json!({ "disable_upsert": false }));
    assert_eq!(request(site, "transit/encrypt/kms", &creates, &body, None).0, 200);
    assert_eq!(ask(site, "GET", "transit/keys/kms", &Value::Null).0, 200, "and that is how a key is made by accident");
}

/// An issuer: what it signs with, and its public half.
struct Issuer(rcgen::KeyPair);

impl Issuer {
    fn pem(&self) -> String {
        self.0.public_key_pem()
    }

    fn token(&self, audience: &str, subject: &str, good_for: i64) -> String {
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs().cast_signed();
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let claims = json!({ "iss": "https://issuer.test", "aud": audience, "sub": subject, "iat": now - 900, "exp": now + good_for });
        let signed = format!("{}.{}", part(json!({ "alg": "ES256", "typ": "JWT" })), part(claims));
        let (random, algorithm) = (ring::rand::SystemRandom::new(), &ring::signature::ECDSA_P256_SHA256_FIXED_SIGNING);
        let key = ring::signature::EcdsaKeyPair::from_pkcs8(algorithm, &self.0.serialize_der(), &random).unwrap();
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(key.sign(&random, signed.as_bytes()).unwrap()))
    }
}

fn jwt(site: &Site) {
    let (issuer, other) = (Issuer(rcgen::KeyPair::generate().unwrap()), Issuer(rcgen::KeyPair::generate().unwrap()));
    let server = site.server();
    server.told("POST", "sys/auth/jwt", &json!({ "type": "jwt" }));
    let trust = |issuer: &Issuer| {
        let body = json!({ "jwt_validation_pubkeys": [issuer.pem()], "bound_issuer": "https://issuer.test" });
        server.told("POST", "auth/jwt/config", &body);
    };
    trust(&issuer);
    server.told(
        "POST",
        "auth/jwt/role/kms",
        &json!({ "role_type": "jwt", "user_claim": "sub", "bound_audiences": ["bao"],
        "bound_subject": "node", "token_policies": ["kms"], "token_ttl": 60 }),
    );
    let login = |role: &str, token: &str| ask(site, "POST", "auth/jwt/login", &json!({ "role": role, "jwt": token }));
    let (status, told) = login("kms", &issuer.token("bao", "node", 600));
    assert_eq!((status, &told["auth"]["lease_duration"]), (200, &json!(60)), "{told}");
    let starts = |answer: &(u16, Value), with: &str| {
        let (status, text) = said(answer);
        assert!(status == 400 && text.starts_with(with), "{status} {text}");
    };
    starts(&login("none", &issuer.token("bao", "node", 600)), "role \"none\" could not be found");
    starts(&login("kms", &other.token("bao", "node", 600)), "error validating token: ");
    starts(&login("kms", &issuer.token("bao", "node", -600)), "error validating token: ");
    let audience = "error validating token: invalid audience (aud) claim";
    starts(&login("kms", &issuer.token("another", "node", 600)), audience);
    assert_eq!(login("kms", &issuer.token("bao", "another", 600)).0, 400);
    trust(&other);
    starts(&login("kms", &issuer.token("bao", "node", 600)), "error validating token: ");
    assert_eq!(login("kms", &other.token("bao", "node", 600)).0, 200);
}

fn certificate(site: &Site) {
    let (clients, others) = (tls::ca(site.folder(), "clients"), tls::ca(site.folder(), "others"));
    tls::files(site.folder(), &clients, "good", "node-1");
    tls::files(site.folder(), &others, "bad", "node-1");
    site.server().told("POST", "sys/auth/cert", &json!({ "type": "cert" }));
    let ca = std::fs::read_to_string(&clients.file).unwrap();
    let role = json!({ "certificate": ca, "token_policies": ["kms"], "token_ttl": 60 });
    site.server().told("POST", "auth/cert/certs/kms", &role);
    let login = |file: Option<&str>| {
        let file = file.map(|name| site.folder().join(name));
        request(site, "auth/cert/login", "", &json!({ "name": "kms" }), file.as_deref())
    };
    assert_eq!(login(Some("good")).0, 200, "{:?}", login(Some("good")));
    let bad = said(&login(Some("bad")));
    assert!(bad.0 == 400 && bad.1.starts_with("invalid certificate or no client certificate supplied"), "{bad:?}");
    assert_eq!(said(&login(None)), (400, "client certificate must be supplied".into()));
}

fn approle(site: &Site) {
    let server = site.server();
    server.told("POST", "sys/auth/approle", &json!({ "type": "approle" }));
    server.told(
        "POST",
        "auth/approle/role/edge",
        &json!({ "secret_id_num_uses": 1, "token_policies": ["kms"], "token_ttl": 60 }),
    );
    let role = server.told("GET", "auth/approle/role/edge/role-id", &Value::Null)["data"]["role_id"].clone();
    let secret = server.told("POST", "auth/approle/role/edge/secret-id", &json!({}));
    assert_eq!(secret["data"]["secret_id_num_uses"], 1);
    let body = json!({ "role_id": role, "secret_id": secret["data"]["secret_id"] });
    assert_eq!(ask(site, "POST", "auth/approle/login", &body).0, 200);
    assert_eq!(said(&ask(site, "POST", "auth/approle/login", &body)), (400, "invalid role or secret ID".into()));
}

fn created(site: &Site) -> Value {
    site.server().told("GET", "transit/keys/kms", &Value::Null)["data"]["keys"].clone()
}

fn sealed(site: &Site) {
    make(site);
    let (before, ciphertext) = (created(site), encrypted(site, "x"));
    site.server().told("POST", "sys/seal", &json!({}));
    let refused = said(&decrypt(site, &ciphertext, "x"));
    assert!(refused.0 == 503 && refused.1.contains("sealed"), "{refused:?}");
    assert_eq!(ask(site, "GET", "sys/health", &Value::Null).0, 503);
    site.server().unseal();
    assert_eq!((created(site), decrypt(site, &ciphertext, "x").0), (before, 200));
}

fn down(site: &Site) {
    make(site);
    let before = created(site);
    site.server().go_down();
    site.server().come_back();
    assert_eq!(ask(site, "GET", "sys/health", &Value::Null).0, 503);
    site.server().unseal();
    assert_eq!(created(site), before);
}

fn snapshot(site: &Site) {
    make(site);
    let (before, ciphertext) = (created(site), encrypted(site, "x"));
    site.server().take_snapshot("one");
    remove(site);
    std::thread::sleep(Duration::from_millis(1_100));
    make(site);
    assert_ne!(created(site), before);
    site.server().restore_snapshot("one");
    assert_eq!((created(site), decrypt(site, &ciphertext, "x").0), (before, 200));
}

fn trimmed(site: &Site) {
    make(site);
    site.server().told("POST", "transit/keys/kms/rotate", &json!({}));
    let trim = |to: u64| ask(site, "POST", "transit/keys/kms/trim", &json!({ "min_available_version": to }));
    let unset = "minimum available version cannot be set when minimum encryption version is not set";
    assert_eq!(said(&trim(2)), (400, unset.into()));
    let both = json!({ "min_decryption_version": 2, "min_encryption_version": 2 });
    site.server().told("POST", "transit/keys/kms/config", &both);
    assert_eq!(trim(2).0, 200, "{:?}", trim(2));
    assert_eq!(said(&trim(1)), (400, "minimum available version cannot be decremented".into()));
    let lowered = ask(site, "POST", "transit/keys/kms/config", &json!({ "min_decryption_version": 1 }));
    assert_eq!(lowered.0, 400, "what is gone does not come back: {lowered:?}");
}
