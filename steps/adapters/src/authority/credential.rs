//! Where the authority's credential is, and reading it at the moment of use.

use std::borrow::Cow;
use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::OnceLock;

use rustix::fs::OFlags;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use secrecy::{ExposeSecret as _, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

use crate::files;

const LONGEST: usize = 16 * 1024;

/// A reference to a credential: `file:/path`, `fd:N` or `systemd-credential:NAME`. Never the credential itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CredentialRef {
    /// A file that only its owner reads.
    File(PathBuf),
    /// A descriptor that we were started with.
    Fd(u32),
    /// A credential that systemd gave to our unit.
    Systemd(String),
}

/// A text that is no reference. It is not repeated: it may be the secret itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("must be a reference: file:/absolute/path, fd:N with N from 3, or systemd-credential:NAME")]
pub struct BadReference;

impl FromStr for CredentialRef {
    type Err = BadReference;
    fn from_str(text: &str) -> Result<Self, BadReference> {
        let (kind, rest) = text.split_once(':').ok_or(BadReference)?;
        let word = !rest.starts_with('.') && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-@".contains(&b));
        match kind {
            "file" if rest.starts_with('/') && !rest.contains('\0') => Ok(Self::File(rest.into())),
            "fd" => rest.parse().ok().filter(|n| *n >= 3).map(Self::Fd).ok_or(BadReference),
            "systemd-credential" if word && !rest.is_empty() => Ok(Self::Systemd(rest.to_owned())),
            _ => Err(BadReference),
        }
    }
}

impl fmt::Display for CredentialRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Fd(n) => write!(f, "fd:{n}"),
            Self::Systemd(name) => write!(f, "systemd-credential:{name}"),
        }
    }
}

impl Serialize for CredentialRef {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for CredentialRef {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
        String::deserialize(d)?.parse().map_err(de::Error::custom)
    }
}

impl JsonSchema for CredentialRef {
    fn schema_name() -> Cow<'static, str> {
        "CredentialRef".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^(file:/.+|fd:[0-9]+|systemd-credential:[A-Za-z0-9._@-]+)$" })
    }
}

/// A credential that is read anew for each request, so that it can be rotated under us.
#[derive(Debug)]
pub struct Credential {
    reference: CredentialRef,
    /// `$CREDENTIALS_DIRECTORY`, as it was when we were made.
    systemd: Option<PathBuf>,
    /// What came through a descriptor: a pipe gives it once.
    once: OnceLock<SecretString>,
}

impl Credential {
    /// Reads nothing yet.
    #[must_use]
    pub fn new(reference: CredentialRef) -> Self {
        let systemd = std::env::var_os("CREDENTIALS_DIRECTORY").map(PathBuf::from);
        Self { reference, systemd, once: OnceLock::new() }
    }

    /// The credential. The error names the reference, never the content.
    ///
    /// # Errors
    /// If it cannot be read, or is not safe from others.
    pub fn read(&self) -> Result<SecretString, String> {
        let failed = |why: &dyn fmt::Display| format!("the credential {} cannot be used: {why}", self.reference);
        match &self.reference {
            CredentialRef::File(path) => read(path, true).map_err(|e| failed(&e)),
            CredentialRef::Systemd(name) => {
                let folder =
                    self.systemd.as_deref().ok_or_else(|| failed(&"systemd gave this process no credentials"))?;
                read(&folder.join(name), false).map_err(|e| failed(&e))
            }
            CredentialRef::Fd(n) => {
                if let Some(secret) = self.once.get() {
                    return Ok(secret.clone());
                }
                let secret = read(Path::new(&format!("/proc/self/fd/{n}")), false).map_err(|e| failed(&e))?;
                Ok(self.once.get_or_init(|| secret).clone())
            }
        }
    }
}

/// Reads a short secret. Links on the way are followed: that is how credentials are mounted. What counts is who can read
/// and write the file at its end.
fn read(path: &Path, private: bool) -> Result<SecretString, String> {
    // A FIFO in the place of a file is refused below, not waited at. A descriptor that was handed over is waited at.
    let flags = if private { OFlags::RDONLY | OFlags::NONBLOCK } else { OFlags::RDONLY };
    let file = files::open_any(path, flags).map_err(|e| e.to_string())?;
    if private {
        let stat = rustix::fs::fstat(&file).map_err(|e| e.to_string())?;
        if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
            return Err("it is not a regular file".into());
        }
        if stat.st_mode & 0o027 != 0 {
            return Err(format!("its mode {:o} lets others read or change it; chmod 600 it", stat.st_mode & 0o777));
        }
    }
    let bytes = Zeroizing::new(files::read_capped(&file, LONGEST).map_err(|e| e.to_string())?);
    let text = std::str::from_utf8(&bytes).map_err(|_| "it is not text")?.trim();
    let sound = !text.is_empty() && text.bytes().all(|b| b.is_ascii_graphic());
    if sound {
        Ok(SecretString::from(text))
    } else {
        Err("it is empty, or not one line of printable characters".into())
    }
}

/// The header that carries a credential behind its scheme, if it has one; marked so that no log prints it.
pub(crate) fn carried(scheme: &str, secret: &SecretString) -> Result<reqwest::header::HeaderValue, String> {
    let between = if scheme.is_empty() { "" } else { " " };
    let text = Zeroizing::new(format!("{scheme}{between}{}", secret.expose_secret()));
    let mut value = reqwest::header::HeaderValue::from_str(&text).map_err(|_| "the credential is no header value")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use std::os::fd::AsRawFd as _;
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn a_file_is_read_anew_and_only_if_it_is_private() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("c");
        std::fs::write(&path, "s3cr3t-one\n").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        let credential = Credential::new(format!("file:{}", path.display()).parse().unwrap());
        assert_eq!(credential.read().unwrap().expose_secret(), "s3cr3t-one");
        std::fs::write(&path, "s3cr3t-two").unwrap();
        assert_eq!(credential.read().unwrap().expose_secret(), "s3cr3t-two");
        assert!(
            !format!("{credential:?} {:?} {:?}", credential.read(), carried("Bearer", &credential.read().unwrap()))
                .contains("s3cr3t")
        );
        for mode in [0o604, 0o640 | 0o020, 0o602] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            assert!(credential.read().unwrap_err().contains("chmod"), "{mode:o}");
        }
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        for bad in ["", "\n", "two words", "line\nline", "\u{7f}"] {
            std::fs::write(&path, bad).unwrap();
            assert!(credential.read().is_err(), "{bad:?}");
        }
        std::fs::write(&path, "x".repeat(LONGEST + 1)).unwrap();
        assert!(credential.read().is_err());
    }

    #[test]
    fn a_pipe_is_read_once_and_kept() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        rustix::io::write(&write, b"s3cr3t").unwrap();
        drop(write);
        let credential = Credential::new(CredentialRef::Fd(read.as_raw_fd().unsigned_abs()));
        assert_eq!(credential.read().unwrap().expose_secret(), "s3cr3t");
        assert_eq!(credential.read().unwrap().expose_secret(), "s3cr3t");
    }

    #[test]
    fn references_are_written_as_they_are_read() {
        for text in ["file:/a/b", "fd:3", "systemd-credential:cp.token"] {
            assert_eq!(text.parse::<CredentialRef>().unwrap().to_string(), text);
        }
        for bad in ["", "file:a", "fd:1", "fd:x", "systemd-credential:", "systemd-credential:a/b", "env:X", "s3cr3t"] {
            assert_eq!(bad.parse::<CredentialRef>(), Err(BadReference));
        }
    }
}
