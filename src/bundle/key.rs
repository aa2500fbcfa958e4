//! The ed25519 key that signs bundles: made on first use, kept in the state directory, or brought by a person.

use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use recover_engine::Digest;
use ring::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{PrivatePkcs8KeyDer, SubjectPublicKeyInfoDer};
use zeroize::Zeroizing;

use crate::fault::{Code, Fault};
use crate::whole;

/// Its file in the state directory.
const NAME: &str = "export-key.pem";
const LEN: usize = 32;
/// What stands before the 32 bytes in a SubjectPublicKeyInfo of ed25519. RFC 8410.
const SPKI: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];
/// No key file is longer. Bytes.
const MOST: u64 = 16 << 10;

/// A key that signs.
pub(crate) struct SigningKey(Ed25519KeyPair);

/// The half of it that may be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PublicKey([u8; LEN]);

fn unusable(path: &Path, why: impl std::fmt::Display) -> Fault {
    Fault::new(Code::KeyUnusable, format!("the key {} cannot be used: {why}", path.display()))
}

impl SigningKey {
    /// The key of a state directory. Says whether it was made just now.
    pub(crate) fn of_state(state: &Path) -> Result<(Self, bool), Fault> {
        let path = state.join(NAME);
        if path.symlink_metadata().is_ok() {
            return Ok((Self::read(&path)?, false));
        }
        let failed = |why: &dyn std::fmt::Display| unusable(&path, why);
        let der = Ed25519KeyPair::generate_pkcs8(&ring::rand::SystemRandom::new()).map_err(|e| failed(&e))?;
        let text = Zeroizing::new(pem("PRIVATE KEY", der.as_ref()));
        // Where two begin at once, the first one's stays.
        match whole::write_new(&path, |file| file.write_all(text.as_bytes())) {
            Ok(()) => {
                std::fs::File::open(state).and_then(|dir| dir.sync_all()).map_err(|e| failed(&e))?;
                Ok((Self::read(&path)?, true))
            }
            Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => Ok((Self::read(&path)?, false)),
            Err(e) => Err(failed(&e)),
        }
    }

    /// A key out of a file: PKCS#8 in PEM, as `openssl genpkey -algorithm ed25519` makes it. Its owner alone may read it.
    pub(crate) fn read(path: &Path) -> Result<Self, Fault> {
        let failed = |e: std::io::Error| unusable(path, e);
        let meta = std::fs::symlink_metadata(path).map_err(failed)?;
        if !meta.is_file() || meta.len() > MOST {
            return Err(unusable(path, "it is no regular file, or too long"));
        }
        if meta.mode() & 0o077 != 0 {
            return Err(unusable(path, "others may read it").hint(format!("chmod 600 {}", path.display())));
        }
        let text = Zeroizing::new(std::fs::read(path).map_err(failed)?);
        // The parser's own message could quote the key.
        let der = PrivatePkcs8KeyDer::from_pem_slice(&text).map_err(|_| unusable(path, "it is no PKCS#8 in PEM"))?;
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(der.secret_pkcs8_der());
        pair.map(Self).map_err(|_| unusable(path, "it is no ed25519 key"))
    }

    pub(crate) fn public(&self) -> PublicKey {
        let mut bytes = [0; LEN];
        bytes.copy_from_slice(self.0.public_key().as_ref());
        PublicKey(bytes)
    }

    pub(super) fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.0.sign(message).as_ref().to_vec()
    }
}

impl PublicKey {
    pub(super) const fn bytes(&self) -> &[u8; LEN] {
        &self.0
    }

    pub(super) fn parse_base64(text: &str) -> Option<Self> {
        BASE64.decode(text).ok()?.try_into().ok().map(Self)
    }

    /// A public key out of a file: SubjectPublicKeyInfo in PEM, as `recover key` prints it and `openssl pkey -pubout` too.
    pub(crate) fn read(path: &Path) -> Result<Self, Fault> {
        let bytes = std::fs::read(path).map_err(|e| unusable(path, e))?;
        let der = SubjectPublicKeyInfoDer::from_pem_slice(&bytes).map_err(|e| unusable(path, e))?;
        let key = der.as_ref().strip_prefix(&SPKI).and_then(|key| key.try_into().ok());
        key.map(Self).ok_or_else(|| unusable(path, "it is no public key of ed25519"))
    }

    /// Its name: a digest of its bytes.
    pub(crate) fn id(&self) -> String {
        format!("sha256:{}", Digest::of(&self.0))
    }

    /// As `openssl` reads it.
    pub(crate) fn pem(&self) -> String {
        pem("PUBLIC KEY", &[&SPKI[..], &self.0].concat())
    }

    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, self.0).verify(message, signature).is_ok()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    let text = Zeroizing::new(BASE64.encode(der));
    let lines: Vec<&str> = text.as_bytes().chunks(64).filter_map(|line| std::str::from_utf8(line).ok()).collect();
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n"))
}
