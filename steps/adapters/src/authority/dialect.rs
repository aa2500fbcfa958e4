//! The contract in a control plane's own words: its paths, parameters, bodies, fields and states.
//!
//! A dialect changes how a thing is said and never what is promised: what `docs/authority-http.md` lists as promises must hold. Replies
//! are put into the contract's words first, and go through the same checks then as the sandbox's.

use std::collections::BTreeMap;

use reqwest::header::HeaderName;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// How a control plane says what the contract says. What is not given is said as the contract says it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Dialect {
    /// Where things are asked for. `{agent}` and `{org}` stand for the configured words.
    pub paths: Paths,
    /// How parameters are called; one with an empty name is not sent.
    pub queries: Queries,
    /// What is sent. `{label}`, `{accessor}`, `{ttl_s}`, `{agent}` stand for their values; `"{ttl_s}"` alone is a number.
    pub bodies: Bodies,
    /// Where in a reply things are, as JSON pointers (RFC 6901).
    pub fields: Fields,
    /// Their words, and what they mean in the contract.
    pub words: Words,
    /// How credential and organisation are carried.
    pub headers: Headers,
}

macro_rules! said {
    ($(#[$doc:meta])* $name:ident { $($(#[$what:meta])* $field:ident: $default:literal),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name {
            $($(#[$what])* pub $field: String,)*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($field: $default.to_owned(),)* }
            }
        }

        impl $name {
            fn each(&self) -> Vec<(&'static str, &str)> {
                vec![$((stringify!($field), self.$field.as_str()),)*]
            }
        }
    };
}

said! {
    /// Where things are asked for.
    Paths {
        /// Whether it is well (GET, without the credential).
        health: "/healthz",
        /// The agent's status (GET).
        status: "/v1/connectors/{agent}",
        /// The agent's tokens (GET).
        tokens: "/v1/connectors/{agent}/tokens",
        /// A new token (POST).
        mint: "/v1/connectors/{agent}/tokens",
        /// The end of tokens, by accessor or by label (POST).
        revoke: "/v1/connectors/{agent}/tokens/revoke",
        /// What happened (GET).
        audit: "/v1/connectors/{agent}/audit",
        /// What the credential may do (GET). It need not name the agent; an empty path where there is nothing that tells.
        rights: "/v1/connectors/{agent}/rights",
    }
}

said! {
    /// How parameters are called.
    Queries {
        /// Tokens of this label only. Whatever comes is looked through again.
        label: "label",
        /// The token of this accessor only. The same.
        accessor: "accessor",
        /// Events since this time.
        since: "since",
        /// The page after that one.
        cursor: "cursor",
    }
}

said! {
    /// How credential and organisation are carried.
    Headers {
        /// The header with the credential.
        credential: "authorization",
        /// What stands before the credential in it.
        scheme: "Bearer",
        /// The header with the organisation.
        org: "x-active-org-id",
    }
}

said! {
    /// Where in the health reply things are.
    HealthFields { status: "/status", time: "/time" }
}

said! {
    /// Where in the status things are.
    StatusFields {
        /// Whose status it is, if that is said.
        agent: "/agent",
        status: "/status",
        paired_before: "/paired_before",
        /// The serial of the identity that was issued last; null or nothing if there is none.
        serial: "/identity/serial",
        fingerprint: "/identity/fingerprint",
        last_seen: "/last_seen",
    }
}

said! {
    /// Where in a token things are.
    TokenFields {
        accessor: "/accessor",
        label: "/label",
        state: "/state",
        expires_at: "/expires_at",
        paired_serial: "/paired_serial",
        /// In the reply to a mint alone.
        secret: "/secret",
    }
}

said! {
    /// Where in a page of tokens things are.
    TokensFields { list: "/tokens", next: "/next" }
}

said! {
    /// Where in a page of events things are, and in an event.
    AuditFields {
        list: "/events",
        next: "/next",
        at: "/at",
        kind: "/type",
        accessor: "/accessor",
        serial: "/serial",
        detail: "/detail",
    }
}

said! {
    /// Where in the reply to a revocation things are.
    RevokedFields {
        /// How many were ended; an empty pointer where that is not told.
        revoked: "/revoked",
    }
}

said! {
    /// Where in the reply about rights things are.
    RightsFields {
        /// Whose rights they are about, if that is said.
        agent: "/agent",
        /// Their words; or an object in which each word is `true` or not.
        list: "/rights",
    }
}

/// Where in replies things are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Fields {
    /// In the health reply.
    pub health: HealthFields,
    /// In the status.
    pub status: StatusFields,
    /// In a page of tokens.
    pub tokens: TokensFields,
    /// In a token, listed or minted.
    pub token: TokenFields,
    /// In the reply to a revocation.
    pub revoked: RevokedFields,
    /// In a page of events.
    pub audit: AuditFields,
    /// In the reply about rights.
    pub rights: RightsFields,
}

/// Their words, and what they mean. A word that is not listed means itself.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Words {
    /// Of health: `ok`.
    pub health: BTreeMap<String, String>,
    /// Of a status: `online`, `offline`, `degraded`, `needs_recovery`, `never_paired`.
    pub status: BTreeMap<String, String>,
    /// Of a token: `live`, `consumed`, `revoked`, `expired`.
    pub token: BTreeMap<String, String>,
    /// Of a right: all that it stands for, of `mint` and `revoke`.
    pub rights: BTreeMap<String, Vec<String>>,
}

/// What is sent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Bodies {
    /// For a new token.
    pub mint: Value,
    /// To end the token of an accessor.
    pub revoke_accessor: Value,
    /// To end the tokens of a label, and close it for good.
    pub revoke_label: Value,
}

impl Default for Bodies {
    fn default() -> Self {
        Self {
            mint: json!({ "label": "{label}", "ttl_s": "{ttl_s}" }),
            revoke_accessor: json!({ "accessor": "{accessor}" }),
            revoke_label: json!({ "label": "{label}" }),
        }
    }
}

/// What a reply answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reply {
    Health,
    Status,
    Tokens,
    Minted,
    Revoked,
    Audit,
    Rights,
}

/// Parts of paths that belong to systems in which nothing is ever changed from here, whatever a configuration says.
const NEVER: [&str; 9] =
    ["transit", "sys", "keys", "kms", "etcd", "registry", "nodes", "namespaces", "identity-providers"];

/// The contract's words for what a credential may do.
const RIGHTS: [&str; 2] = ["mint", "revoke"];

impl Dialect {
    /// Checks what the shape alone does not say; the key below `dialect`, and what is wrong with its value.
    pub(crate) fn check(&self, agent: &str, org: Option<&str>) -> Result<(), (&'static str, String)> {
        let never = |part: &str| NEVER.contains(&part.to_ascii_lowercase().as_str());
        if let Some(word) = [agent, org.unwrap_or_default()].into_iter().find(|word| never(word)) {
            return Err(("authority.http.dialect.paths", format!("`{word}` cannot be put into a path of one's own")));
        }
        for (name, path) in self.paths.each() {
            if name == "rights" && path.is_empty() {
                continue;
            }
            let wrong = |why: String| Err(("authority.http.dialect.paths", format!("{name}: {why}")));
            let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/{}".contains(&b);
            let parts: Vec<&str> = path.split('/').skip(1).collect();
            if !path.starts_with('/') || path.len() > 512 || !path.bytes().all(plain) {
                return wrong("must be a path of plain characters, from `/` on".into());
            }
            if parts.iter().any(|part| part.is_empty() || part.starts_with('.')) {
                return wrong("has an empty part, or one that begins with `.`".into());
            }
            if parts.iter().any(|part| part.contains(['{', '}']) && !["{agent}", "{org}"].contains(part)) {
                return wrong("only `{agent}` and `{org}` stand for something, each as a whole part".into());
            }
            // What a credential may do is often told of the credential, whatever agent is meant.
            if !["health", "rights"].contains(&name) && !parts.contains(&"{agent}") {
                return wrong("must name the agent, as `{agent}`".into());
            }
            if parts.contains(&"{org}") && org.is_none() {
                return wrong("names `{org}`, and no `org` is configured".into());
            }
            if let Some(part) = parts.iter().find(|part| never(part)) {
                return wrong(format!("`{part}` belongs to a system that nothing is asked of this way"));
            }
        }
        let names = self.queries.each();
        if names.iter().any(|(_, name)| !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.[]".contains(&b))) {
            return Err(("authority.http.dialect.queries", "must be names of parameters".into()));
        }
        let fields = [
            self.fields.health.each(),
            self.fields.status.each(),
            self.fields.tokens.each(),
            self.fields.token.each(),
            self.fields.revoked.each(),
            self.fields.audit.each(),
            self.fields.rights.each(),
        ];
        if let Some((name, _)) = fields.iter().flatten().find(|(_, at)| !at.is_empty() && !at.starts_with('/')) {
            return Err(("authority.http.dialect.fields", format!("{name}: must be a JSON pointer, from `/` on")));
        }
        if let Some(word) = self.words.rights.values().flatten().find(|word| !RIGHTS.contains(&word.as_str())) {
            return Err(("authority.http.dialect.words", format!("rights: `{word}` is neither `mint` nor `revoke`")));
        }
        for (_, name) in self.headers.each().into_iter().filter(|(what, _)| *what != "scheme") {
            let taken = ["host", "content-length", "content-type", "accept", "connection", "transfer-encoding"];
            if HeaderName::try_from(name).is_err() || taken.contains(&name.to_ascii_lowercase().as_str()) {
                return Err(("authority.http.dialect.headers", format!("`{name}` cannot be such a header")));
            }
        }
        if !self.headers.scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') {
            return Err(("authority.http.dialect.headers", "the scheme must be one word".into()));
        }
        for (body, needs) in [
            (&self.bodies.mint, &["{label}", "{ttl_s}"][..]),
            (&self.bodies.revoke_accessor, &["{accessor}"]),
            (&self.bodies.revoke_label, &["{label}"]),
        ] {
            let text = body.to_string();
            if let Some(missing) = needs.iter().find(|word| !text.contains(**word)) {
                return Err(("authority.http.dialect.bodies", format!("a body must say `{missing}`")));
            }
        }
        Ok(())
    }

    /// A body, with the values in it.
    pub(super) fn body(template: &Value, values: &[(&str, Value)]) -> Value {
        match template {
            Value::String(text) => {
                if let Some((_, value)) = values.iter().find(|(name, _)| text == name) {
                    return value.clone();
                }
                let put = |text: String, (name, value): &(&str, Value)| {
                    text.replace(name, value.as_str().map_or_else(|| value.to_string(), str::to_owned).as_str())
                };
                values.iter().fold(text.clone(), put).into()
            }
            Value::Array(list) => list.iter().map(|item| Self::body(item, values)).collect(),
            Value::Object(map) => {
                map.iter().map(|(key, item)| (key.clone(), Self::body(item, values))).collect::<Map<_, _>>().into()
            }
            other @ (Value::Null | Value::Bool(_) | Value::Number(_)) => other.clone(),
        }
    }

    /// Whether replies are in the contract's words as they come.
    pub(super) fn is_plain(&self) -> bool {
        self.fields == Fields::default() && self.words == Words::default()
    }

    /// A reply in the contract's words. What is not where it should be is left out; the checks behind this notice.
    pub(super) fn reply(&self, what: Reply, theirs: &Value) -> Value {
        let fields = &self.fields;
        match what {
            Reply::Health => object([
                ("status", word(&self.words.health, at(theirs, &fields.health.status))),
                ("time", at(theirs, &fields.health.time)),
            ]),
            Reply::Status => {
                let status = &fields.status;
                let serial = name(at(theirs, &status.serial));
                let identity = serial.map_or(Value::Null, |serial| {
                    object([("serial", Some(serial)), ("fingerprint", name(at(theirs, &status.fingerprint)))])
                });
                object([
                    ("agent", name(at(theirs, &status.agent))),
                    ("status", word(&self.words.status, at(theirs, &status.status))),
                    ("paired_before", at(theirs, &status.paired_before)),
                    ("identity", Some(identity)),
                    ("last_seen", at(theirs, &status.last_seen)),
                ])
            }
            Reply::Tokens => {
                page("tokens", theirs, &fields.tokens.list, &fields.tokens.next, |token| self.token(token))
            }
            Reply::Minted => {
                let mut token = self.token(theirs);
                if let (Some(secret), Some(token)) = (at(theirs, &fields.token.secret), token.as_object_mut()) {
                    token.insert("secret".into(), secret);
                }
                token
            }
            Reply::Revoked => object([("revoked", at(theirs, &fields.revoked.revoked))]),
            Reply::Audit => page("events", theirs, &fields.audit.list, &fields.audit.next, |event| {
                let audit = &fields.audit;
                object([
                    ("at", at(event, &audit.at)),
                    ("type", at(event, &audit.kind)),
                    ("accessor", name(at(event, &audit.accessor))),
                    ("serial", name(at(event, &audit.serial))),
                    ("detail", at(event, &audit.detail)),
                ])
            }),
            Reply::Rights => {
                let rights = &fields.rights;
                object([
                    ("agent", name(at(theirs, &rights.agent))),
                    ("rights", at(theirs, &rights.list).map(|list| self.rights(list))),
                ])
            }
        }
    }

    /// The words of what is allowed, in ours. What is no list of words is left as it is: the checks behind this notice.
    fn rights(&self, theirs: Value) -> Value {
        let words: Vec<Value> = match theirs {
            Value::Array(words) => words,
            Value::Object(each) if each.values().all(Value::is_boolean) => {
                each.into_iter().filter(|(_, may)| *may == true).map(|(word, _)| word.into()).collect()
            }
            other @ (Value::Object(_) | Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_)) => {
                return other;
            }
        };
        let meant = |word: Value| match word.as_str().and_then(|word| self.words.rights.get(word)) {
            Some(ours) => ours.iter().map(|word| word.as_str().into()).collect(),
            None => vec![word],
        };
        words.into_iter().flat_map(meant).collect()
    }

    fn token(&self, theirs: &Value) -> Value {
        let token = &self.fields.token;
        object([
            ("accessor", name(at(theirs, &token.accessor))),
            ("label", at(theirs, &token.label)),
            ("state", word(&self.words.token, at(theirs, &token.state))),
            ("expires_at", at(theirs, &token.expires_at)),
            ("paired_serial", name(at(theirs, &token.paired_serial))),
        ])
    }
}

fn at(value: &Value, pointer: &str) -> Option<Value> {
    value.pointer(pointer).filter(|found| !found.is_null()).cloned()
}

/// A name that is a number there is a word here.
fn name(value: Option<Value>) -> Option<Value> {
    match value {
        Some(Value::Number(number)) => Some(number.to_string().into()),
        other => other,
    }
}

fn word(words: &BTreeMap<String, String>, value: Option<Value>) -> Option<Value> {
    let value = value?;
    let meant = value.as_str().and_then(|theirs| words.get(theirs));
    Some(meant.map_or(value.clone(), |ours| ours.as_str().into()))
}

fn object<const N: usize>(fields: [(&str, Option<Value>); N]) -> Value {
    fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect::<Map<_, _>>().into()
}

fn page(list: &str, theirs: &Value, at_list: &str, at_next: &str, each: impl Fn(&Value) -> Value) -> Value {
    let items = theirs.pointer(at_list).and_then(Value::as_array);
    // An empty cursor is none.
    let next = name(at(theirs, at_next)).filter(|next| next != "");
    let items: Option<Value> = items.map(|items| items.iter().map(each).collect());
    object([(list, items), ("next", next)])
}

#[cfg(test)]
#[path = "dialect_tests.rs"]
mod tests;
