//! etcd, read-only by type: there is one request, a range, and of each value only what it begins with is looked at.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use recover_steps::kms::EtcdScanned;
use reqwest::Client;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, Visitor};
use zeroize::Zeroizing;

use super::apiserver::built;
use super::config::EtcdConfig;
use crate::authority::Origin;
use crate::client::chain;
use crate::trouble::Trouble;

/// How many values are read at once, and how long an answer may be: each value is at most 1.5 MiB.
const PAGE: u32 = 16;
const BODY_MOST: usize = 48 << 20;
const WITHIN: Duration = Duration::from_secs(30);
/// Bytes of a value that are looked at. The longest prefix has the name of a provider in it.
const BEGINNING: usize = 384;
const ENCRYPTED: &[u8] = b"k8s:enc:";

/// The endpoints of one etcd.
#[derive(Debug)]
pub(super) struct Etcd {
    endpoints: Vec<(Client, Origin)>,
    prefix: String,
}

#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    kvs: Vec<Pair>,
    #[serde(default)]
    more: bool,
}

#[derive(Deserialize)]
struct Pair {
    key: String,
    #[serde(default)]
    value: Beginning,
}

/// What a value begins with. The rest is never decoded.
#[derive(Default)]
struct Beginning(Vec<u8>);

impl<'de> Deserialize<'de> for Beginning {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Beginning;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("base64")
            }
            fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<Beginning, E> {
                let most = text.len().min(BEGINNING / 3 * 4);
                let beginning = text.get(..most).ok_or_else(|| E::custom("it is not base64"))?;
                let bytes = STANDARD.decode(beginning).map_err(|_| E::custom("it is not base64"))?;
                Ok(Beginning(kept(bytes)))
            }
        }
        d.deserialize_str(Text).map_err(|_| D::Error::custom("a value is not base64"))
    }
}

/// Of what is encrypted, the prefix; of what is not, nothing.
fn kept(bytes: Vec<u8>) -> Vec<u8> {
    let bytes = Zeroizing::new(bytes);
    if !bytes.starts_with(ENCRYPTED) {
        return Vec::new();
    }
    // `k8s:enc:kms:v2:NAME:`, `k8s:enc:aescbc:v1:KEY:`.
    let end = bytes.iter().enumerate().filter(|(_, byte)| **byte == b':').nth(4).map_or(0, |(at, _)| at + 1);
    bytes.get(..end).unwrap_or_default().to_vec()
}

/// What was counted.
#[derive(Debug, Default, PartialEq, Eq)]
struct Count {
    encrypted: u64,
    plain: BTreeMap<String, u64>,
    foreign: BTreeSet<String>,
}

impl Count {
    fn note(&mut self, resource: &str, prefix: &[u8], name: &str) {
        let ours = format!("k8s:enc:kms:v2:{name}:");
        if prefix == ours.as_bytes() {
            self.encrypted += 1;
        } else if prefix.is_empty() {
            *self.plain.entry(resource.to_owned()).or_default() += 1;
        } else {
            let text = String::from_utf8_lossy(prefix);
            self.foreign.insert(text.trim_start_matches("k8s:enc:").trim_end_matches(':').to_owned());
        }
    }

    fn told(self) -> EtcdScanned {
        let plain: u64 = self.plain.values().sum();
        if !self.foreign.is_empty() {
            EtcdScanned::Foreign { providers: self.foreign.into_iter().take(16).collect() }
        } else if plain > 0 {
            let resources = self.plain.into_keys().collect();
            EtcdScanned::Plaintext { encrypted: self.encrypted, plain, resources }
        } else {
            EtcdScanned::Encrypted { count: self.encrypted }
        }
    }
}

impl Etcd {
    pub(super) fn new(config: &EtcdConfig) -> Result<Self, String> {
        let each = |origin: &Origin| Ok((built(origin, config.ca.as_deref(), config.client.as_ref())?, origin.clone()));
        let endpoints = config.endpoints.iter().map(each).collect::<Result<_, String>>()?;
        Ok(Self { endpoints, prefix: config.prefix.clone() })
    }

    /// Reads what every value of these resources begins with.
    pub(super) async fn scan(&self, resources: &[String], name: &str) -> Result<EtcdScanned, Trouble> {
        let mut count = Count::default();
        for resource in resources {
            for folder in self.folders(resource) {
                self.folder(&folder, resource, name, &mut count).await.map_err(Trouble::retry)?;
            }
        }
        Ok(count.told())
    }

    /// Where a resource may lie: custom resources by their group, built-in ones by their name alone.
    fn folders(&self, resource: &str) -> Vec<String> {
        match resource.split_once('.') {
            None => vec![format!("{}/{resource}/", self.prefix)],
            Some((plural, group)) => {
                vec![format!("{}/{group}/{plural}/", self.prefix), format!("{}/{plural}/", self.prefix)]
            }
        }
    }

    async fn folder(&self, folder: &str, resource: &str, name: &str, count: &mut Count) -> Result<(), String> {
        let end = {
            let mut end = folder.as_bytes().to_vec();
            if let Some(last) = end.last_mut() {
                *last += 1;
            }
            end
        };
        let mut from = folder.as_bytes().to_vec();
        loop {
            let page = self.range(&from, &end).await?;
            for pair in &page.kvs {
                count.note(resource, &pair.value.0, name);
            }
            match page.kvs.last() {
                Some(last) if page.more => {
                    let next = STANDARD.decode(&last.key).map_err(|_| "a key of etcd's is not base64")?;
                    if next < from {
                        return Err("etcd's pages go back".into());
                    }
                    from = next;
                    from.push(0);
                }
                Some(_) | None => return Ok(()),
            }
        }
    }

    /// The only request there is.
    async fn range(&self, from: &[u8], end: &[u8]) -> Result<Page, String> {
        let body =
            serde_json::json!({ "key": STANDARD.encode(from), "range_end": STANDARD.encode(end), "limit": PAGE });
        let mut why = String::new();
        for (client, origin) in &self.endpoints {
            match ask(client, origin, &body).await {
                Ok(page) => return Ok(page),
                Err(said) => why = format!("{origin}: {said}"),
            }
        }
        Err(why)
    }
}

async fn ask(client: &Client, origin: &Origin, body: &serde_json::Value) -> Result<Page, String> {
    let failed = |e: reqwest::Error| chain(&e.without_url());
    let request = client.post(origin.at("/v3/kv/range")).timeout(WITHIN).header("content-type", "application/json");
    let mut response = request.body(body.to_string()).send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let mut whole = Zeroizing::new(Vec::with_capacity(64 << 10));
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        if whole.len() + chunk.len() > BODY_MOST {
            return Err("its answer is too long".into());
        }
        whole.extend_from_slice(&chunk);
    }
    if status != 200 {
        return Err(format!("it answers {status}"));
    }
    serde_json::from_slice(&whole).map_err(|_| "its answer is not etcd's".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_prefix_of_what_is_encrypted_is_kept() {
        assert_eq!(kept(b"k8s:enc:kms:v2:openbao-kms:\x0a\x00s3cr3t:x".to_vec()), b"k8s:enc:kms:v2:openbao-kms:");
        assert_eq!(kept(b"k8s\x00\n\x0cs3cr3t".to_vec()), b"");
        let mut count = Count::default();
        count.note("secrets", b"k8s:enc:kms:v2:openbao-kms:", "openbao-kms");
        count.note("secrets", b"", "openbao-kms");
        let plain = EtcdScanned::Plaintext { encrypted: 1, plain: 1, resources: vec!["secrets".into()] };
        assert_eq!(count.told(), plain);
        let mut count = Count::default();
        count.note("secrets", b"k8s:enc:kms:v2:openbao-kms2:", "openbao-kms");
        assert_eq!(count.told(), EtcdScanned::Foreign { providers: vec!["kms:v2:openbao-kms2".into()] });
    }
}
