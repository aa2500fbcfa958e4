//! The API server's EncryptionConfiguration: read strictly, compared by order, name and endpoint, and put back as it is recorded.

use std::path::{Path, PathBuf};

use recover_steps::kms::EncryptionSeen;
use serde::Deserialize;

use super::files;
use super::settings::place;

/// A whole one. What it has besides is refused, as the API server does.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(super) struct Encryption {
    kind: String,
    api_version: String,
    #[serde(default)]
    metadata: Option<serde_yaml_ng::Value>,
    resources: Vec<Group>,
}

#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    resources: Vec<String>,
    providers: Vec<Provider>,
}

/// One provider: exactly one of these. The keys of the others are no business of ours and are not kept.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    #[serde(default)]
    kms: Option<Kms>,
    #[serde(default)]
    identity: Option<Nothing>,
    #[serde(default)]
    aescbc: Option<Other>,
    #[serde(default)]
    aesgcm: Option<Other>,
    #[serde(default)]
    secretbox: Option<Other>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

/// Something with keys in it.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Other {
    #[serde(default, rename = "keys")]
    _keys: serde::de::IgnoredAny,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Kms {
    #[serde(default)]
    api_version: String,
    name: String,
    endpoint: String,
    #[serde(default)]
    cachesize: Option<i64>,
    #[serde(default)]
    timeout: Option<String>,
}

/// A kind of provider, with what tells one from another.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Is<'a> {
    Kms(&'a Kms),
    Identity,
    Other(&'static str),
}

impl Provider {
    fn is(&self) -> Result<Is<'_>, String> {
        let found = [
            self.kms.as_ref().map(Is::Kms),
            self.identity.as_ref().map(|_| Is::Identity),
            self.aescbc.as_ref().map(|_| Is::Other("aescbc")),
            self.aesgcm.as_ref().map(|_| Is::Other("aesgcm")),
            self.secretbox.as_ref().map(|_| Is::Other("secretbox")),
        ];
        let mut found = found.into_iter().flatten();
        match (found.next(), found.next()) {
            (Some(one), None) => Ok(one),
            (None | Some(_), _) => Err("a provider of it is not exactly one thing".into()),
        }
    }
}

/// What an EncryptionConfiguration must say of the provider.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted<'a> {
    pub(super) name: &'a str,
    pub(super) socket: &'a Path,
    pub(super) resources: &'a [String],
}

/// The shape that matters: what is first, and whether identity is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// The provider alone.
    Alone,
    /// The provider first, identity last.
    Fallback,
    /// Identity before the provider.
    IdentityFirst,
}

impl Encryption {
    pub(super) fn understand(text: &str) -> Result<Self, String> {
        let read: Self =
            serde_yaml_ng::from_str(text).map_err(|e| format!("it is no EncryptionConfiguration: {}", place(&e)))?;
        if read.kind != "EncryptionConfiguration" || read.api_version != "apiserver.config.k8s.io/v1" {
            return Err("it is no EncryptionConfiguration of apiserver.config.k8s.io/v1".into());
        }
        for provider in read.resources.iter().flat_map(|group| &group.providers) {
            provider.is()?;
        }
        Ok(read)
    }

    /// The shape, if name, endpoint and resources are as they must be; otherwise what is not.
    pub(super) fn shape(&self, wanted: &Wanted<'_>) -> Result<Shape, String> {
        let mut shape = None;
        for resource in wanted.resources {
            let group = self.resources.iter().find(|group| group.covers(resource));
            let found = group.ok_or_else(|| format!("{resource} is not encrypted"))?.shape(wanted)?;
            if shape.is_some_and(|before| before != found) {
                return Err("it treats the resources differently".into());
            }
            shape = Some(found);
        }
        shape.ok_or_else(|| "no resource is configured".to_owned())
    }
}

impl Group {
    /// The first group that names a resource is the one that counts.
    fn covers(&self, resource: &str) -> bool {
        let of_core = !resource.contains('.');
        self.resources.iter().any(|named| {
            named == resource || named == "*.*" || (of_core && named == "*.") || {
                let group = resource.split_once('.').map(|(_, group)| format!("*.{group}"));
                group.as_ref() == Some(named)
            }
        })
    }

    fn shape(&self, wanted: &Wanted<'_>) -> Result<Shape, String> {
        let endpoint = format!("unix://{}", wanted.socket.display());
        let (mut ours, mut identity) = (None, None);
        for (at, provider) in self.providers.iter().enumerate() {
            match provider.is()? {
                Is::Identity if identity.is_some() => return Err("identity is there twice".into()),
                Is::Identity => identity = Some(at),
                Is::Other(kind) => return Err(format!("it has a provider of the kind {kind}, which nobody recorded")),
                Is::Kms(kms) if kms.api_version != "v2" => {
                    return Err(format!("its provider {} is not of v2", kms.name));
                }
                Is::Kms(kms) if kms.name != wanted.name => {
                    return Err(format!("its provider is called {}, and not {}", kms.name, wanted.name));
                }
                Is::Kms(kms) if kms.endpoint != endpoint => {
                    return Err(format!("its endpoint is {}, and the provider's is {endpoint}", kms.endpoint));
                }
                Is::Kms(_) if ours.is_some() => return Err("the provider is there twice".into()),
                Is::Kms(_) => ours = Some(at),
            }
        }
        match (ours, identity) {
            (None, _) => Err(format!("the provider {} is not in it", wanted.name)),
            (Some(_), None) => Ok(Shape::Alone),
            (Some(ours), Some(identity)) if ours < identity => Ok(Shape::Fallback),
            (Some(_), Some(_)) => Ok(Shape::IdentityFirst),
        }
    }
}

/// A recorded file that may be put in place: its bytes' digest and its shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Recorded {
    pub(super) sha256: String,
    pub(super) shape: Shape,
}

/// Reads a recorded file. What it says must be right for the provider: its name first of all.
pub(super) fn recorded(path: &Path, wanted: &Wanted<'_>) -> Result<Recorded, String> {
    let held = files::read_there(path)?;
    let shape = Encryption::understand(held.text()?).and_then(|read| read.shape(wanted));
    let shape = shape.map_err(|why| format!("{}: {why}", path.display()))?;
    Ok(Recorded { sha256: held.sha256(), shape })
}

/// The recorded files of a node.
pub(super) struct Places<'a> {
    pub(super) now: &'a Path,
    pub(super) recorded: Option<&'a PathBuf>,
    pub(super) without: Option<&'a PathBuf>,
}

/// What is seen of a node's EncryptionConfiguration.
pub(super) fn seen(places: &Places<'_>, wanted: &Wanted<'_>) -> EncryptionSeen {
    let good = |path: Option<&PathBuf>, is: fn(Shape) -> bool| {
        let read = path.and_then(|path| recorded(path, wanted).ok());
        read.filter(|read| is(read.shape)).map(|read| read.sha256)
    };
    let first = |shape| shape != Shape::IdentityFirst;
    let read = files::read_there(places.now).and_then(|held| Encryption::understand(held.text()?));
    let read = match read {
        Ok(read) => read,
        Err(why) => return EncryptionSeen::Unreadable { why },
    };
    match read.shape(wanted) {
        Ok(Shape::Alone) => EncryptionSeen::Sound { fallback: good(places.recorded, |shape| shape == Shape::Fallback) },
        Ok(Shape::Fallback) => {
            let alone = |shape| shape == Shape::Alone;
            EncryptionSeen::Fallback { without: good(places.without, alone).or_else(|| good(places.recorded, alone)) }
        }
        Ok(Shape::IdentityFirst) => EncryptionSeen::IdentityFirst { recorded: good(places.recorded, first) },
        Err(why) => EncryptionSeen::Drifted { why, recorded: good(places.recorded, first) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KMS: &str = "kms: { apiVersion: v2, name: openbao-kms, endpoint: 'unix:///r/kms.sock', timeout: 3s }";
    const IDENTITY: &str = "identity: {}";

    fn text(providers: &[&str]) -> String {
        let listed: String = providers.iter().map(|provider| format!("      - {provider}\n")).collect();
        format!(
            "kind: EncryptionConfiguration\napiVersion: apiserver.config.k8s.io/v1\nresources:\n  - resources: [secrets]\n    \
             providers:\n{listed}"
        )
    }

    fn shape(text: &str) -> Result<Shape, String> {
        let resources = ["secrets".to_owned()];
        let wanted = Wanted { name: "openbao-kms", socket: Path::new("/r/kms.sock"), resources: &resources };
        Encryption::understand(text)?.shape(&wanted)
    }

    #[test]
    fn order_name_and_endpoint_make_the_shape() {
        assert_eq!(shape(&text(&[KMS])), Ok(Shape::Alone));
        assert_eq!(shape(&text(&[KMS, IDENTITY])), Ok(Shape::Fallback));
        assert_eq!(shape(&text(&[IDENTITY, KMS])), Ok(Shape::IdentityFirst));
        for (wrong, what) in [
            (text(&[IDENTITY]), "is not in it"),
            (text(&[&KMS.replace("openbao-kms", "other")]), "is called other"),
            (text(&[&KMS.replace("/r/", "/x/")]), "endpoint"),
            (text(&[&KMS.replace("v2", "v1")]), "not of v2"),
            (text(&[KMS, KMS]), "twice"),
            (text(&[KMS, "aescbc: { keys: [{ name: k, secret: c2VjcmV0 }] }"]), "aescbc"),
            (text(&[KMS]).replace("[secrets]", "[configmaps]"), "not encrypted"),
        ] {
            let why = shape(&wrong).unwrap_err();
            assert!(why.contains(what) && !why.contains("c2VjcmV0"), "{why}");
        }
        for not in [
            text(&[KMS]).replace("EncryptionConfiguration", "Secret"),
            text(&["kms: { apiVersion: v2, name: a, name: b, endpoint: x }"]),
            text(&["identity: {}\n        kms: { apiVersion: v2, name: a, endpoint: x }"]),
            text(&["rot13: {}"]),
            "- [".into(),
        ] {
            assert!(Encryption::understand(&not).is_err(), "{not}");
        }
        assert_eq!(shape(&text(&[KMS]).replace("[secrets]", "['*.*']")), Ok(Shape::Alone));
    }
}
