//! Reading what an agent of SPIRE keeps: the certificates in `agent-data.json`, and whether their key is in the `keys.json` beside it.

use std::os::fd::OwnedFd;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use recover_engine::Millis;
use rustix::fs::{Mode, OFlags};
use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;
use zeroize::Zeroizing;

use super::identity::{Identity, LONGEST, Looked};
use crate::authority::{now, serial_of};
use crate::{files, time};

/// What the agent's key manager `disk` writes, if it writes it there.
const KEYS: &str = "keys.json";

#[derive(Deserialize)]
struct Kept {
    svid: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Keys {
    #[serde(default)]
    keys: std::collections::BTreeMap<String, SecretString>,
}

/// What an agent keeps; `None` where the bytes are not an agent's.
pub(super) fn read(bytes: &[u8], keys: impl FnOnce() -> Option<Zeroizing<Vec<u8>>>) -> Option<Looked> {
    // An agent that had to give up its identity leaves the file, with nothing in this place.
    let text = bytes.trim_ascii_start().starts_with(b"{").then_some(bytes)?;
    let object: std::collections::BTreeMap<String, serde::de::IgnoredAny> = serde_json::from_slice(text).ok()?;
    if object.contains_key("serial") || !object.contains_key("svid") {
        return None;
    }
    let unreadable = |why: &str| Looked::Unreadable(format!("agent-data.json: {why}"));
    let Ok(kept) = serde_json::from_slice::<Kept>(text) else { return Some(unreadable("its `svid` is no list")) };
    let svid = kept.svid.unwrap_or_default();
    let Some(leaf) = svid.first() else { return Some(Looked::Absent) };
    Some(match leaf_of(leaf).and_then(|der| identity(&der, keys)) {
        Ok(identity) => Looked::There(identity),
        Err(why) => unreadable(why),
    })
}

/// The certificate: an agent writes it in PEM, in base64 once more.
fn leaf_of(text: &str) -> Result<Vec<u8>, &'static str> {
    let bytes = STANDARD.decode(text).map_err(|_| "its certificate is not in base64")?;
    if bytes.starts_with(b"-----BEGIN") {
        let (_, pem) = x509_parser::pem::parse_x509_pem(&bytes).map_err(|_| "its certificate is no PEM")?;
        return Ok(pem.contents);
    }
    Ok(bytes)
}

fn identity(der: &[u8], keys: impl FnOnce() -> Option<Zeroizing<Vec<u8>>>) -> Result<Identity, &'static str> {
    let (_, leaf) = X509Certificate::from_der(der).map_err(|_| "its certificate cannot be read")?;
    let names = leaf.subject_alternative_name().ok().flatten().map(|names| names.value.general_names.clone());
    let id = names.into_iter().flatten().find_map(|name| {
        let GeneralName::URI(uri) = name else { return None };
        uri.starts_with("spiffe://").then_some(uri)
    });
    let id = id.ok_or("its certificate has no SPIFFE id")?;
    let end = Millis(leaf.validity().not_after.timestamp().saturating_mul(1_000));
    let public = leaf.public_key().subject_public_key.data.as_ref();
    let dead = if end.0 <= now().0 {
        Some(format!("expired since {}", time::format(end)))
    } else if keys().is_some_and(|keys| !holds_key(&keys, public)) {
        Some(format!("its key is not in the {KEYS} beside it"))
    } else {
        None
    };
    Ok(Identity::of_agent(serial_of(id), end, dead))
}

/// Whether a private key of this public one is among them: it is written down with its public part.
fn holds_key(keys: &[u8], public: &[u8]) -> bool {
    // Of RSA the modulus alone stands in both.
    let telling = public.get(public.len().saturating_sub(64)..).unwrap_or(public);
    let telling = if public.len() > 200 { public.get(12..76).unwrap_or(public) } else { telling };
    let Ok(kept) = serde_json::from_slice::<Keys>(keys) else { return false };
    kept.keys.values().any(|key| {
        let der = Zeroizing::new(STANDARD.decode(key.expose_secret()).unwrap_or_default());
        der.windows(telling.len()).any(|part| part == telling)
    })
}

/// The file with the keys; `None` where there is none, since another key manager keeps them elsewhere.
pub(super) fn keys_beside(folder: &OwnedFd) -> Option<Zeroizing<Vec<u8>>> {
    let file = files::open_in(folder, Path::new(KEYS), OFlags::RDONLY, Mode::empty()).ok()?;
    files::read_capped(&file, LONGEST).ok().map(Zeroizing::new)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, SanType};

    use super::*;

    const ID: &str = "spiffe://example.test/spire/agent/join_token/t0k3n-canary";

    fn kept(days: i64, key: &KeyPair) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.subject_alt_names = vec![SanType::URI(ID.try_into().unwrap())];
        let year = if days < 0 { 2001 } else { 2099 };
        params.not_before = rcgen::date_time_ymd(2000, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 1);
        let pem = params.self_signed(key).unwrap().pem();
        serde_json::to_vec(&serde_json::json!({ "svid": [STANDARD.encode(pem)], "bundle": [], "reattestable": false }))
            .unwrap()
    }

    fn keys(key: &KeyPair) -> Option<Zeroizing<Vec<u8>>> {
        let text = serde_json::json!({ "keys": { "agent-svid-A": STANDARD.encode(key.serialize_der()) } });
        Some(Zeroizing::new(serde_json::to_vec(&text).unwrap()))
    }

    #[test]
    fn an_agent_is_named_by_a_digest_that_gives_no_token_away() {
        let key = KeyPair::generate().unwrap();
        let Some(Looked::There(found)) = read(&kept(1, &key), || keys(&key)) else { panic!("is there") };
        assert_eq!((found.serial.clone(), found.dead.clone()), (serial_of(ID), None));
        assert!(!format!("{found:?}{}", found.fingerprint()).contains("canary"));
        let Some(Looked::There(renewed)) = read(&kept(2, &KeyPair::generate().unwrap()), || None) else {
            panic!("is there")
        };
        assert_eq!(renewed.fingerprint(), found.fingerprint(), "a renewal makes no other identity");
    }

    #[test]
    fn one_that_is_over_or_has_no_key_is_dead() {
        let (key, other) = (KeyPair::generate().unwrap(), KeyPair::generate().unwrap());
        let dead = |looked: Option<Looked>| match looked {
            Some(Looked::There(identity)) => identity.dead,
            other => panic!("{other:?}"),
        };
        assert!(dead(read(&kept(-1, &key), || keys(&key))).unwrap().contains("expired"));
        assert!(dead(read(&kept(1, &key), || keys(&other))).unwrap().contains("keys.json"));
        assert_eq!(dead(read(&kept(1, &key), || None)), None, "another key manager keeps them elsewhere");
    }

    #[test]
    fn an_agent_without_an_identity_has_none_and_other_files_are_not_an_agents() {
        let none = |text: &str| read(text.as_bytes(), || None);
        assert_eq!(none(r#"{"svid":null,"bundle":null}"#), Some(Looked::Absent));
        assert_eq!(none(r#"{"svid":[],"bundle":null}"#), Some(Looked::Absent));
        for other in [r#"{"serial":"s1"}"#, r#"{"serial":"s1","svid":[]}"#, "[]", "{", ""] {
            assert_eq!(none(other), None, "{other}");
        }
        for bad in [r#"{"svid":7}"#, r#"{"svid":["%"]}"#, r#"{"svid":["AAAA"]}"#] {
            assert!(matches!(none(bad), Some(Looked::Unreadable(_))), "{bad}");
        }
    }
}
