//! The secrets that this process has seen. No text that leaves the adapters holds one of them, in whatever encoding.

use std::fmt::Write as _;
use std::sync::{Mutex, PoisonError};

use secrecy::{ExposeSecret as _, SecretString};
use zeroize::Zeroizing;

use crate::redact;

/// A shorter one is no secret of anybody's and would eat the text.
const SHORTEST: usize = 6;
/// Of more than these, credentials that were rotated away are forgotten first.
const MOST: usize = 64;

/// How many times over a secret may be escaped as JSON and is still found.
const ESCAPED_MOST: usize = 4;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Secrets that were seen.
#[derive(Debug, Default)]
pub(crate) struct Known(Mutex<Vec<SecretString>>);

impl Known {
    /// Remembers a secret.
    pub(crate) fn note(&self, secret: &SecretString) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let new = secret.expose_secret().len() >= SHORTEST
            && all.iter().all(|known| known.expose_secret() != secret.expose_secret());
        if new {
            if all.len() == MOST {
                all.remove(0);
            }
            all.push(secret.clone());
        }
    }

    /// Forgets all and remembers one, so that what is read does not depend on what was read before.
    #[cfg(feature = "testing")]
    pub(crate) fn only(&self, secret: &SecretString) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clear();
        self.note(secret);
    }

    /// The text without any of them.
    pub(crate) fn hide(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for form in self.forms() {
            if text.contains(form.as_str()) {
                text = text.replace(form.as_str(), redact::GONE);
            }
        }
        text
    }

    /// Whether one of them is in the text.
    pub(crate) fn holds(&self, text: &str) -> bool {
        self.forms().iter().any(|form| text.contains(form.as_str()))
    }

    /// A sentence, fit for the journal.
    pub(crate) fn line(&self, raw: &str) -> String {
        // These first: what else is taken out could cut one in two.
        redact::line(&self.hide(raw))
    }

    /// A text of several lines, fit for the journal.
    pub(crate) fn text(&self, raw: &str) -> String {
        redact::text(&self.hide(raw))
    }

    /// Longest first: a secret that is the beginning of another does not leave the other's rest behind.
    fn forms(&self) -> Vec<Zeroizing<String>> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut forms: Vec<_> = all.iter().flat_map(|secret| forms(secret.expose_secret())).collect();
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
        forms
    }
}

/// A secret as it is, percent-encoded, in hexadecimal, escaped as JSON and in base64.
fn forms(secret: &str) -> Vec<Zeroizing<String>> {
    let each = |write: fn(&mut String, u8)| {
        let mut out = Zeroizing::new(String::with_capacity(secret.len() * 6));
        secret.bytes().for_each(|byte| write(&mut out, byte));
        out
    };
    let json = |text: &str| {
        let quoted = Zeroizing::new(serde_json::to_string(text).unwrap_or_default());
        Zeroizing::new(quoted.trim_start_matches('"').strip_suffix('"').unwrap_or_default().to_owned())
    };
    // Writing to a string cannot fail.
    let mut forms = vec![
        Zeroizing::new(secret.to_owned()),
        each(|out, byte| if plain(byte) { out.push(byte.into()) } else { _ = write!(out, "%{byte:02X}") }),
        each(|out, byte| if plain(byte) { out.push(byte.into()) } else { _ = write!(out, "%{byte:02x}") }),
        each(|out, byte| _ = write!(out, "%{byte:02X}")),
        each(|out, byte| _ = write!(out, "%{byte:02x}")),
        each(|out, byte| _ = write!(out, "{byte:02x}")),
        each(|out, byte| _ = write!(out, "{byte:02X}")),
        each(|out, byte| _ = write!(out, "\\u{byte:04x}")),
        each(|out, byte| _ = write!(out, "\\u{byte:04X}")),
    ];
    // JSON in JSON in JSON: a captured text is JSON that may quote JSON, and becomes a text in JSON itself.
    let mut escaped = json(secret);
    for _ in 0..ESCAPED_MOST {
        let next = json(&escaped);
        forms.push(Zeroizing::new(escaped.replace('/', "\\/")));
        forms.push(std::mem::replace(&mut escaped, next));
    }
    for alphabet in [STANDARD, URL] {
        forms.extend((0..3).map(|shift| base64_core(secret.as_bytes(), shift, alphabet)));
    }
    forms.retain(|form| form.len() >= SHORTEST);
    forms
}

const fn plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~')
}

/// Of the base64 of a text that has the secret in it, the part that depends on nothing else, where the secret begins at
/// this place in a group of three.
fn base64_core(secret: &[u8], shift: usize, alphabet: &[u8; 64]) -> Zeroizing<String> {
    let mut out = Zeroizing::new(String::with_capacity(secret.len() * 2));
    let (mut bits, mut held) = (0_u32, 0_u32);
    // The bits of the first character that belong to what stands before are skipped with it.
    let mut skip = (6 - shift * 8 % 6) % 6;
    for byte in secret {
        for at in (0..8).rev() {
            if skip > 0 {
                skip -= 1;
                continue;
            }
            bits = bits << 1 | u32::from(byte >> at & 1);
            held += 1;
            if held == 6 {
                out.extend(alphabet.get(bits as usize).map(|byte| char::from(*byte)));
                (bits, held) = (0, 0);
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "pat+\"x\\y/=%&42";

    fn known() -> Known {
        let known = Known::default();
        known.note(&SecretString::from(SECRET));
        known
    }

    #[test]
    fn a_known_secret_is_taken_out_in_every_encoding() {
        let known = known();
        for (name, text) in [
            ("raw", SECRET),
            ("hex", "7061742b22785c792f3d25263432"),
            ("HEX", "7061742B22785C792F3D25263432"),
            ("percent", "pat%2B%22x%5Cy%2F%3D%25%2642"),
            ("percent", "pat%2b%22x%5cy%2f%3d%25%2642"),
            ("JSON", "pat+\\\"x\\\\y/=%&42"),
            ("base64", "cGF0KyJ4XHkvPSUmND"),
            ("base64 of `Bearer …`", "QmVhcmVyIHBhdCsieFx5Lz0lJjQy"),
            ("base64 of `ab…`", "YWJwYXQrInhceS89JSY0Mg=="),
        ] {
            let around = format!("said {text} there");
            assert!(known.holds(&around), "{name}");
            let clean = known.hide(&around);
            assert!(clean.contains(redact::GONE) && clean.starts_with("said ") && clean.ends_with(" there"), "{clean}");
            assert!(!known.holds(&clean) && clean.len() < around.len().max(30), "{name}: {clean}");
        }
        assert_eq!(known.hide("nothing of it"), "nothing of it");
    }

    #[test]
    fn a_secret_is_gone_before_other_rules_could_cut_it() {
        let said = known().line(&format!("you sent Bearer {SECRET} to us, token={SECRET}"));
        assert!(!said.contains("x\\y") && !said.contains("=%&42"), "{said}");
    }

    #[test]
    fn words_and_what_was_forgotten_are_no_secrets() {
        let known = known();
        known.note(&SecretString::from("ok"));
        assert!(!known.holds("it is ok"));
        (0..MOST).for_each(|n| known.note(&SecretString::from(format!("another-{n:04}"))));
        assert!(!known.holds(SECRET) && known.holds("another-0000"));
    }
}
