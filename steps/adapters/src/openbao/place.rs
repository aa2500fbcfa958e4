//! Which key of which OpenBao: one origin, one namespace, one mount, one key. Names that could lead anywhere else are none.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::authority::{CredentialRef, Origin};

/// No name or path is longer. Bytes.
const LONGEST: usize = 128;

/// First words of OpenBao's own routes, and words of Transit's: a mount or namespace of such a name could make one route of two.
const RESERVED: [&str; 16] = [
    "sys",
    "auth",
    "audit",
    "identity",
    "cubbyhole",
    "root",
    "keys",
    "config",
    "encrypt",
    "decrypt",
    "rewrap",
    "datakey",
    "export",
    "backup",
    "restore",
    "cache-config",
];

/// An OpenBao, and the one Transit key in it that is looked after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct OpenBaoConfig {
    /// Its origin: scheme, host and port. Plain `http` only on loopback.
    pub address: Origin,
    /// A file with the certificates that alone are trusted. Must be given with `https`: the system's are never asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Where the token is. A token of our own: not the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<CredentialRef>,
    /// How to log in instead, where there is no token. A role of our own: not the provider's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub login: Option<LoginConfig>,
    /// The namespace; the root namespace if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Path>,
    /// Where Transit is mounted.
    pub mount: Path,
    /// The key.
    pub key: KeyName,
}

/// A login at OpenBao.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum LoginConfig {
    /// By a role and its secret id.
    Approle(ApproleConfig),
    /// By a JWT that another issuer than the cluster issued.
    Jwt(JwtConfig),
    /// By a client certificate.
    Cert(CertConfig),
}

/// A login by AppRole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApproleConfig {
    /// Where it is mounted, below `auth/`.
    pub mount: Path,
    /// The role's id.
    pub role_id: String,
    /// Where the secret id is. One that works once is used up by one login: `recover` keeps the token for as long as it runs.
    pub secret_id: CredentialRef,
}

/// A login by JWT.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct JwtConfig {
    /// Where it is mounted, below `auth/`.
    pub mount: Path,
    /// The role.
    pub role: String,
    /// Where the JWT is.
    pub jwt: CredentialRef,
}

/// A login by certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertConfig {
    /// Where it is mounted, below `auth/`.
    pub mount: Path,
    /// The role, if it is to be that one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The certificate, in PEM.
    pub cert: PathBuf,
    /// Its key: a file that only its owner reads.
    pub key: PathBuf,
}

/// A text that is no name, or no path of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "must be letters, digits, `_`, and `-` and `.` between them; a path has `/` between names and none of OpenBao's own words"
)]
pub struct BadName;

fn is_name(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let inner = |b: u8| word(b) || b == b'-' || b == b'.';
    let ends = text.bytes().next().is_some_and(word) && text.bytes().last().is_some_and(word);
    ends && text.len() <= LONGEST && text.bytes().all(inner) && !text.contains("..")
}

/// The name of a Transit key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyName(String);

/// The path of a namespace or of a mount, without slashes at its ends.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Path(String);

impl FromStr for KeyName {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        if is_name(text) { Ok(Self(text.to_owned())) } else { Err(BadName) }
    }
}

impl FromStr for Path {
    type Err = BadName;
    fn from_str(text: &str) -> Result<Self, BadName> {
        let free = |name: &str| is_name(name) && !RESERVED.iter().any(|word| word.eq_ignore_ascii_case(name));
        if text.len() <= LONGEST && text.split('/').all(free) { Ok(Self(text.to_owned())) } else { Err(BadName) }
    }
}

impl Path {
    /// The namespace above, and the last name.
    pub(super) fn parent(&self) -> (Option<&str>, &str) {
        self.0.rsplit_once('/').map_or((None, self.0.as_str()), |(above, name)| (Some(above), name))
    }
}

macro_rules! as_text {
    ($name:ident, $title:literal) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.serialize_str(&self.0)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                $title.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "maxLength": LONGEST })
            }
        }
    };
}

as_text!(KeyName, "TransitKeyName");
as_text!(Path, "OpenBaoPath");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_lead_nowhere_else() {
        for good in ["k", "kms-key", "a.b", "_x", "K8s_1"] {
            assert_eq!(good.parse::<KeyName>().unwrap().to_string(), good);
        }
        for bad in ["", ".", "..", "a/b", "a%2fb", "a..b", "-a", "a-", "a b", "a\r\nx: y", "ä", "a?x", "a#x", "a\\b"] {
            assert_eq!(bad.parse::<KeyName>(), Err(BadName), "{bad:?}");
            if bad != "a/b" {
                assert_eq!(bad.parse::<Path>(), Err(BadName), "{bad:?}");
            }
        }
        for bad in ["/a", "a/", "a//b", "a/../b", "sys", "auth/x", "team/sys", "SYS", "transit/encrypt", "transit/keys"]
        {
            assert_eq!(bad.parse::<Path>(), Err(BadName), "{bad:?}");
        }
        assert_eq!("a/b/c".parse::<Path>().unwrap().parent(), (Some("a/b"), "c"));
        assert!("x".repeat(LONGEST + 1).parse::<KeyName>().is_err());
    }
}
