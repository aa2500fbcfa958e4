//! OpenBao's Transit, one key of it: asking about it, and the few changes that lose nothing.
//!
//! Three layers keep the never-list. [`OpenBao`] has no method for what is on it, [`Change`] no value, and below both a list of
//! requests, compared with what is about to be sent, refuses the rest.

mod change;
mod failure;
#[cfg(test)]
mod hostile;
mod login;
mod model;
#[cfg(test)]
mod never;
mod place;
mod request;
mod snapshot;
mod transport;

pub use change::Change;
pub use failure::Failure;
pub use model::{Health, Key, KeyFields, Moved, SealStatus, Token};
pub use place::{ApproleConfig, BadName, CertConfig, JwtConfig, KeyName, LoginConfig, OpenBaoConfig, Path};

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use request::Request;
use transport::{Answer, Transport};

/// One key of one OpenBao.
#[derive(Debug)]
pub struct OpenBao {
    transport: Transport,
    key: String,
}

/// What OpenBao wraps answers in.
#[derive(Deserialize)]
struct Envelope<T> {
    data: T,
}

impl OpenBao {
    /// A client. Nothing is sent yet.
    ///
    /// # Errors
    /// In words for a person, if the configuration cannot be used.
    pub fn new(config: &OpenBaoConfig) -> Result<Self, String> {
        Ok(Self { transport: Transport::new(config)?, key: config.key.to_string() })
    }

    /// How the node is, sealed or not, without showing the token.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn health(&self) -> Result<Health, Failure> {
        let answer = self.transport.send(Request::get(self.transport.paths.health.into(), None)).await?;
        // A standby, a sealed node and one that was not set up answer with an error's status and a body like any other.
        if ![200, 429, 501, 503].contains(&answer.status) {
            return Err(self.transport.failed(&answer));
        }
        parse(&answer)
    }

    /// How its seal is, without showing the token.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn seal_status(&self) -> Result<SealStatus, Failure> {
        let answer = self.transport.send(Request::get(self.transport.paths.seal_status.into(), None)).await?;
        parse(&self.good(answer)?)
    }

    /// How the namespace's own seal is. `None` in the root namespace, and where OpenBao is too old for namespaces to have one.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn namespace_seal_status(&self) -> Result<Option<SealStatus>, Failure> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Told {
            Nested { seal_status: SealStatus },
            Plain(SealStatus),
        }
        let Some((namespace, path)) = self.transport.paths.namespace_seal.clone() else { return Ok(None) };
        let answer = self.transport.send(Request::get(path, namespace)).await?;
        match self.good(answer) {
            Ok(answer) => Ok(Some(match parse::<Envelope<Told>>(&answer)?.data {
                Told::Nested { seal_status } | Told::Plain(seal_status) => seal_status,
            })),
            // Before 2.6 it takes the end of the path for a part of the namespace's name.
            Err(Failure::Refused { status: 400, said }) if said.contains("cannot contain /") => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    /// The key.
    ///
    /// # Errors
    /// If it is not there ([`Failure::NoKey`]) or does not get told of, by the layer at which that ends. That it is not there is only
    /// said of a Transit: other engines answer in the same words.
    pub async fn key(&self) -> Result<Key, Failure> {
        match self.key_as_told().await {
            Err(Failure::NoKey) => match self.upsert_disabled().await {
                Ok(_) => Err(Failure::NoKey),
                Err(Failure::NoKey) => Err(Failure::NotTransit),
                Err(failure) => Err(failure),
            },
            told => told,
        }
    }

    async fn key_as_told(&self) -> Result<Key, Failure> {
        let paths = &self.transport.paths;
        self.transport.floors.forget();
        let answer = self.transport.send(Request::get(paths.key.clone(), paths.namespace.clone())).await?;
        let fields = parse::<Envelope<KeyFields>>(&self.good(answer)?)?.data;
        if fields.name != self.key {
            return Err(Failure::Lost("it tells of another key".into()));
        }
        if [&fields.name, &fields.kind].into_iter().any(|word| self.transport.known.holds(word)) {
            return Err(Failure::Lost("it repeats a secret where a name belongs".into()));
        }
        let lowest = (fields.min_available_version, fields.min_decryption_version, fields.min_encryption_version);
        self.transport.floors.note(lowest.0, lowest.1, lowest.2);
        Ok(Key::read(fields))
    }

    /// Whether encrypting with a key that is not there fails instead of making one.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn upsert_disabled(&self) -> Result<bool, Failure> {
        #[derive(Deserialize)]
        struct KeysConfig {
            disable_upsert: bool,
        }
        let paths = &self.transport.paths;
        let answer = self.transport.send(Request::get(paths.keys_config.clone(), paths.namespace.clone())).await?;
        Ok(parse::<Envelope<KeysConfig>>(&self.good(answer)?)?.data.disable_upsert)
    }

    /// What our token is.
    ///
    /// # Errors
    /// If it is not known there, or that cannot be told.
    pub async fn token(&self) -> Result<Token, Failure> {
        let paths = &self.transport.paths;
        let answer = self.transport.send(Request::get(paths.lookup_self.into(), paths.namespace.clone())).await?;
        let token = parse::<Envelope<Token>>(&self.good(answer)?)?.data;
        if self.transport.known.holds(&token.accessor) {
            return Err(Failure::Lost("it repeats a secret where a name belongs".into()));
        }
        Ok(token)
    }

    /// What our token may do with this key and the mount's setting for keys, by path.
    ///
    /// # Errors
    /// If it does not say.
    pub async fn capabilities(&self) -> Result<BTreeMap<String, Vec<String>>, Failure> {
        let paths = &self.transport.paths;
        let body = json!({ "paths": paths.asked_for });
        let request = Request::post(paths.capabilities.into(), paths.namespace.clone(), body);
        let answer = self.transport.send(request).await?;
        let mut told = parse::<Envelope<BTreeMap<String, Vec<String>>>>(&self.good(answer)?)?.data;
        told.retain(|path, _| paths.asked_for.contains(path));
        Ok(told)
    }

    /// Makes one change. Success says that it was accepted; whether it holds is for a reading to tell.
    ///
    /// # Errors
    /// If it was not made, or ([`Failure::Lost`]) may not have been.
    pub async fn change(&self, change: Change) -> Result<(), Failure> {
        // First a reading that only a Transit answers: another engine could take the change for something to store. And as late as
        // can be: there is no "set if it still is" at the other end.
        if change.is_of_the_mount() {
            self.upsert_disabled().await?;
        } else {
            self.key().await?;
        }
        let sent = self.transport.send(change.request(&self.transport.paths)).await;
        self.transport.floors.forget();
        let answer = self.good(sent?)?;
        // Restoring a key that is not there is answered 204, like something that was done.
        if change.restores() && answer.status == 204 {
            return Err(Failure::NoKey);
        }
        Ok(())
    }

    /// A text without the secrets that are used here.
    #[must_use]
    pub fn without_secrets(&self, text: &str) -> String {
        self.transport.known.hide(text)
    }

    /// Whether a secret that is used here is in the text.
    #[must_use]
    pub fn gives_away(&self, text: &str) -> bool {
        self.transport.known.holds(text)
    }

    fn good(&self, answer: Answer) -> Result<Answer, Failure> {
        if matches!(answer.status, 200 | 204) { Ok(answer) } else { Err(self.transport.failed(&answer)) }
    }
}

/// The parser's own message could quote a secret, so it is not repeated.
fn parse<T: DeserializeOwned>(answer: &Answer) -> Result<T, Failure> {
    let garbled = |why: String| Failure::Lost(format!("it is not as OpenBao writes it: {why}"));
    // The parser would take an array's elements for the fields.
    if !answer.body.trim_ascii_start().starts_with(b"{") {
        return Err(garbled("it is not a JSON object".into()));
    }
    let text = std::str::from_utf8(&answer.body).map_err(|_| garbled("it is not UTF-8".into()))?;
    serde_json::from_str(text).map_err(|e| garbled(format!("its JSON is {:?} at column {}", e.classify(), e.column())))
}
