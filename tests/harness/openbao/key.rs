//! A key of the fake's Transit: versions with their material, and encryption that is true, so that nothing decrypts what it should not.

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom as _, SystemRandom};
use serde_json::{Value, json};

use super::transit::{Answer, data, errors};

#[derive(Clone)]
struct Version {
    created: u64,
    material: [u8; 32],
}

impl Version {
    fn new() -> Self {
        Self { created: now(), material: random() }
    }

    fn cipher(&self) -> LessSafeKey {
        LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &self.material).unwrap())
    }
}

fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).unwrap();
    bytes
}

pub fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()
}

#[derive(Clone)]
pub struct Key {
    versions: BTreeMap<u64, Version>,
    latest: u64,
    pub fields: Value,
    /// A version that is there and is not told of.
    pub hidden: Option<u64>,
}

impl Key {
    /// As one that is not told what it is to be comes to be.
    pub fn new(name: &str, asked: &Value) -> Self {
        let is = |name: &str| asked[name].as_bool().unwrap_or(false);
        let fields = json!({ "name": name, "type": asked["type"].as_str().unwrap_or("aes256-gcm96"), "derived": is("derived"),
            "deletion_allowed": false, "exportable": is("exportable"), "allow_plaintext_backup": is("allow_plaintext_backup"),
            "min_available_version": 0, "min_decryption_version": 1,
            "min_encryption_version": 0, "supports_encryption": true, "supports_decryption": true, "supports_signing": false,
            "supports_derivation": true, "auto_rotate_period": 0, "imported_key": false, "soft_deleted": false });
        Self { versions: BTreeMap::from([(1, Version::new())]), latest: 1, fields, hidden: None }
    }

    const fn latest(&self) -> u64 {
        self.latest
    }

    fn least(&self, name: &str) -> u64 {
        self.fields[name].as_u64().unwrap()
    }

    pub fn told(&self) -> Value {
        let mut told = self.fields.clone();
        // What may not decrypt is not told of.
        let keys = self.versions.range(self.least("min_decryption_version")..);
        let keys = keys.filter(|(n, _)| self.hidden != Some(**n));
        told["keys"] = Value::Object(keys.map(|(n, version)| (n.to_string(), json!(version.created))).collect());
        told["latest_version"] = json!(self.latest());
        told
    }

    pub fn config(&mut self, body: &Value) -> Answer {
        for (name, value) in body.as_object().into_iter().flatten() {
            if name.starts_with("min_") && value.as_u64().is_some_and(|n| n > self.latest()) {
                let what = name.trim_end_matches("_version").replace('_', " ");
                return errors(
                    400,
                    &[&format!("cannot set {what} version of {value}, latest key version is {}", self.latest())],
                );
            }
            if name.starts_with("min_")
                && value.as_u64().is_some_and(|n| n > 0 && n < self.least("min_available_version"))
            {
                let what = name.trim_end_matches("_version").replace('_', " ");
                return errors(400, &[&format!("{what} version should not be less than min available version")]);
            }
            // These two go one way.
            let one_way = ["exportable", "allow_plaintext_backup"].contains(&name.as_str());
            if self.fields.get(name).is_some() && !(one_way && *value == json!(false)) {
                self.fields[name] = value.clone();
            }
        }
        data(&self.told(), &Value::Null)
    }

    pub fn rotate(&mut self) -> Answer {
        self.latest += 1;
        self.versions.insert(self.latest, Version::new());
        data(&self.told(), &Value::Null)
    }

    /// Versions below are gone for ever.
    pub fn trim(&mut self, body: &Value) -> Answer {
        let Some(least) = body["min_available_version"].as_u64() else {
            return errors(400, &["missing min_available_version"]);
        };
        if least < self.least("min_available_version") {
            return errors(400, &["minimum available version cannot be decremented"]);
        }
        let unset = "minimum available version cannot be set when minimum encryption version is not set";
        for (is, said) in [
            (self.least("min_encryption_version") == 0, unset),
            (
                least > self.least("min_encryption_version"),
                "minimum available version cannot be greater than minmum encryption version",
            ),
            (
                least > self.least("min_decryption_version"),
                "minimum available version cannot be greater than minimum decryption version",
            ),
        ] {
            if is {
                return errors(400, &[said]);
            }
        }
        self.fields["min_available_version"] = json!(least);
        self.versions.retain(|n, _| *n >= least);
        data(&self.told(), &Value::Null)
    }

    pub fn encrypt(&self, body: &Value) -> Answer {
        if self.fields["soft_deleted"] == json!(true) {
            return errors(400, &["refusing to use soft-deleted key"]);
        }
        let Some(plaintext) = body["plaintext"].as_str().and_then(|text| STANDARD.decode(text).ok()) else {
            return errors(400, &["missing plaintext to encrypt"]);
        };
        let version = match body["key_version"].as_u64().unwrap_or(0) {
            0 => self.latest(),
            asked => asked,
        };
        if version > self.latest() {
            return errors(400, &["requested version for encryption is higher than the latest key version"]);
        }
        if version < self.least("min_encryption_version") {
            return errors(400, &["requested version for encryption is less than the minimum encryption key version"]);
        }
        let Some(with) = self.versions.get(&version) else { return trimmed() };
        let nonce: [u8; NONCE_LEN] = random();
        let mut sealed = plaintext;
        with.cipher()
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::from(aad(body)), &mut sealed)
            .unwrap();
        let ciphertext = format!("vault:v{version}:{}", STANDARD.encode([&nonce[..], &sealed].concat()));
        data(&json!({ "ciphertext": ciphertext, "key_version": version }), &Value::Null)
    }

    pub fn decrypt(&self, body: &Value) -> Answer {
        if self.fields["soft_deleted"] == json!(true) {
            return errors(400, &["refusing to use soft-deleted key"]);
        }
        let Some(text) = body["ciphertext"].as_str() else { return errors(400, &["missing ciphertext to decrypt"]) };
        let parts = text.strip_prefix("vault:v").and_then(|rest| rest.split_once(':'));
        let parts = parts.and_then(|(n, rest)| Some((n.parse::<u64>().ok()?, STANDARD.decode(rest).ok()?)));
        let Some((version, mut bytes)) = parts.filter(|(_, bytes)| bytes.len() > NONCE_LEN) else {
            return errors(400, &["invalid ciphertext: no prefix"]);
        };
        if version > self.latest() {
            return errors(400, &["invalid ciphertext: version is too new"]);
        }
        if version < self.least("min_decryption_version") {
            return errors(400, &["ciphertext or signature version is disallowed by policy (too old)"]);
        }
        let Some(with) = self.versions.get(&version) else { return trimmed() };
        let nonce = Nonce::try_assume_unique_for_key(&bytes[..NONCE_LEN]).unwrap();
        match with.cipher().open_in_place(nonce, Aad::from(aad(body)), &mut bytes[NONCE_LEN..]) {
            Ok(plaintext) => data(&json!({ "plaintext": STANDARD.encode(plaintext) }), &Value::Null),
            Err(_) => errors(400, &["cipher: message authentication failed"]),
        }
    }
}

fn trimmed() -> Answer {
    errors(400, &["requested version of the base key is less than the minimum available key version"])
}

fn aad(body: &Value) -> Vec<u8> {
    body["associated_data"].as_str().and_then(|text| STANDARD.decode(text).ok()).unwrap_or_default()
}
