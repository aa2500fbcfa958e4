//! Identifiers and digests: fixed-size, prefixed when printed, never random in here (entropy comes in as an argument).

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use sha2::{Digest as _, Sha256};

/// Milliseconds since the Unix epoch, UTC. Time is always an input of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct Millis(pub i64);

impl Millis {
    /// This time moved by `ms` milliseconds, saturating at the ends of the range.
    #[must_use]
    pub const fn plus(self, ms: u64) -> Self {
        Self(self.0.saturating_add_unsigned(ms))
    }
}

/// The identity of one run: 48 bits of time and 80 bits of entropy, so that ids sort by their beginning.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RunId([u8; 16]);

impl RunId {
    /// The id under which the journal speaks of itself (adopted, salvaged, cleared); no run has it.
    pub const JOURNAL: Self = Self([0; 16]);

    /// An id from the time of beginning and ten bytes of entropy.
    #[must_use]
    pub fn new(at: Millis, entropy: [u8; 10]) -> Self {
        let mut bytes = [0; 16];
        bytes[..6].copy_from_slice(&at.0.max(0).to_be_bytes()[2..]);
        bytes[6..].copy_from_slice(&entropy);
        Self(bytes)
    }

    /// The id from its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// When the run with this id was begun.
    #[must_use]
    pub fn begun_at(&self) -> Millis {
        let mut ms = [0; 8];
        ms[2..].copy_from_slice(&self.0[..6]);
        Millis(i64::from_be_bytes(ms))
    }

    /// The 16 bytes of the id.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Crockford's base 32, lower case: no letter that is mistaken for a digit.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let n = u128::from_be_bytes(self.0);
        f.write_str("run_")?;
        for i in (0..26).rev() {
            let digit = usize::try_from((n >> (i * 5)) & 31).unwrap_or_default();
            fmt::Write::write_char(f, char::from(ALPHABET[digit]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that should have been an id or a digest and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {what}")]
pub struct BadId {
    /// What the text should have been.
    pub what: &'static str,
}

impl FromStr for RunId {
    type Err = BadId;
    fn from_str(s: &str) -> Result<Self, BadId> {
        const BAD: BadId = BadId { what: "run id (run_ and 26 letters or digits)" };
        let digits = s.strip_prefix("run_").ok_or(BAD)?;
        if digits.len() != 26 {
            return Err(BAD);
        }
        let mut n: u128 = 0;
        for (i, c) in digits.bytes().enumerate() {
            let digit = ALPHABET.iter().position(|a| *a == c).ok_or(BAD)?;
            // 26 digits hold 130 bits: the first may only use its lower three.
            if i == 0 && digit > 7 {
                return Err(BAD);
            }
            n = n * 32 + digit as u128;
        }
        Ok(Self(n.to_be_bytes()))
    }
}

fn hex<const N: usize>(bytes: &[u8; N], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    // Every record carries digests, so they are not printed digit by digit.
    let mut text = [[0; 2]; N];
    for (pair, b) in text.iter_mut().zip(bytes) {
        *pair = [DIGITS[usize::from(b >> 4)], DIGITS[usize::from(b & 15)]];
    }
    f.write_str(std::str::from_utf8(text.as_flattened()).map_err(|_| fmt::Error)?)
}

fn unhex<const N: usize>(s: &str, what: &'static str) -> Result<[u8; N], BadId> {
    let bad = BadId { what };
    if s.len() != 2 * N || !s.is_ascii() {
        return Err(bad);
    }
    let mut out = [0; N];
    for (i, byte) in out.iter_mut().enumerate() {
        let pair = &s[2 * i..2 * i + 2];
        if pair.bytes().any(|c| !matches!(c, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(bad);
        }
        *byte = u8::from_str_radix(pair, 16).map_err(|_| bad)?;
    }
    Ok(out)
}

/// A SHA-256 digest, printed as 64 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// What stands before the first record of a run and the first frame of a log.
    pub const ZERO: Self = Self([0; 32]);

    /// The digest of these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

/// The name of a thing that must not be done or held twice: a subject, or an effect on it. The first 16 bytes of a
/// SHA-256 over length-prefixed parts, printed as 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Key(pub [u8; 16]);

impl Key {
    /// No key: the record latches nothing.
    pub const NONE: Self = Self([0; 16]);

    fn of(domain: &str, parts: &[&[u8]]) -> Self {
        let mut hash = Sha256::new();
        for part in std::iter::once(domain.as_bytes()).chain(parts.iter().copied()) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        let full: [u8; 32] = hash.finalize().into();
        let mut key = [0; 16];
        key.copy_from_slice(&full[..16]);
        Self(key)
    }

    /// The key of a subject: what a run is about, as `authority origin + agent id there`.
    #[must_use]
    pub fn subject(subject: &str) -> Self {
        Self::of("recover subject v1", &[subject.as_bytes()])
    }

    /// The key of an effect. It does not name the run, so that a second run cannot repeat what a first one did;
    /// `ordinal` rises only after the absence of the effect before it was proven.
    #[must_use]
    pub fn effect(subject: &str, epoch: &str, step: &str, ordinal: u32) -> Self {
        Self::of("recover effect v1", &[subject.as_bytes(), epoch.as_bytes(), step.as_bytes(), &ordinal.to_le_bytes()])
    }
}

macro_rules! text {
    ($type:ty, $len:literal, $what:literal) => {
        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                hex(&self.0, f)
            }
        }
        impl FromStr for $type {
            type Err = BadId;
            fn from_str(s: &str) -> Result<Self, BadId> {
                unhex::<$len>(s, $what).map(Self)
            }
        }
        serialized!($type);
    };
}
macro_rules! serialized {
    ($type:ty) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
                s.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Self, D::Error> {
                String::deserialize(d)?.parse().map_err(de::Error::custom)
            }
        }
    };
}
text!(Digest, 32, "digest (64 hexadecimal digits)");
text!(Key, 16, "key (32 hexadecimal digits)");
serialized!(RunId);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_prints_and_parses_back_and_sorts_by_time() {
        let early = RunId::new(Millis(1_000), [255; 10]);
        let late = RunId::new(Millis(1_001), [0; 10]);
        assert!(early < late && early.to_string() < late.to_string());
        assert_eq!(early.to_string().parse(), Ok(early));
        assert!("run_zzzzzzzzzzzzzzzzzzzzzzzzzz".parse::<RunId>().is_err(), "130 bits do not fit");
        assert!("run_".parse::<RunId>().is_err());
    }

    #[test]
    fn an_effect_key_depends_on_every_part_and_on_no_concatenation() {
        let key = Key::effect("ab", "c", "pair", 0);
        assert_ne!(key, Key::effect("a", "bc", "pair", 0));
        assert_ne!(key, Key::effect("ab", "c", "pair", 1));
        assert_ne!(key, Key::effect("ab", "c", "mint", 0));
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}
