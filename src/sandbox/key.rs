//! The connector's key: a chain of two hashes, so that the control plane can check possession without ever holding it.
//!
//! `secret` stays on the connector's disk, `proof = H(secret)` goes with each heartbeat, `public_key = H(proof)` is what
//! pairing certifies, and the fingerprint is its hash. Enough for a sandbox on loopback; not a signature.

use recover_engine::Digest;

/// A secret and what follows from it.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Key {
    secret: Digest,
}

impl Key {
    /// A key from 32 bytes of entropy.
    pub(crate) fn new(entropy: [u8; 32]) -> Self {
        Self { secret: Digest(entropy) }
    }

    /// The key whose secret was kept as text.
    pub(crate) fn from_secret(text: &str) -> Option<Self> {
        text.parse().ok().map(|secret| Self { secret })
    }

    /// The secret, to be kept in a file of mode 0600 and shown nowhere.
    pub(crate) fn secret(&self) -> String {
        self.secret.to_string()
    }

    /// What a heartbeat carries.
    pub(crate) fn proof(&self) -> String {
        Digest::of(&self.secret.0).to_string()
    }

    /// What pairing certifies.
    pub(crate) fn public_key(&self) -> String {
        Digest::of(&Digest::of(&self.secret.0).0).to_string()
    }
}

/// Whether `proof` was made by the holder of the key behind `public_key`.
pub(crate) fn proves(proof: &str, public_key: &str) -> bool {
    match (proof.parse::<Digest>(), public_key.parse::<Digest>()) {
        (Ok(proof), Ok(public_key)) => Digest::of(&proof.0) == public_key,
        (Err(_), _) | (_, Err(_)) => false,
    }
}

/// The fingerprint of a public key, if the text is one.
pub(crate) fn fingerprint(public_key: &str) -> Option<String> {
    let key: Digest = public_key.parse().ok()?;
    Some(format!("sha256:{}", Digest::of(&key.0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_holder_proves_possession() {
        let (key, other) = (Key::new([1; 32]), Key::new([2; 32]));
        assert!(proves(&key.proof(), &key.public_key()));
        assert!(!proves(&other.proof(), &key.public_key()));
        assert!(!proves(&key.public_key(), &key.public_key()), "what is public proves nothing");
        assert!(!proves("", ""));
    }

    #[test]
    fn a_kept_secret_makes_the_same_key() {
        let key = Key::new([7; 32]);
        let back = Key::from_secret(&key.secret()).map(|k| k.public_key());
        assert_eq!(back, Some(key.public_key()));
        assert!(Key::from_secret("not hex").is_none());
    }
}
