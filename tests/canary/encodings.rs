//! A secret in every encoding it may leak in, and the scanner that finds it.

use std::collections::HashMap;

/// How many encodings are looked for.
pub const ENCODINGS: usize = 9;
/// Too short a piece would be found where nothing leaked.
const SHORTEST: usize = 10;

const STANDARD: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
const URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// Base64, padded.
pub fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut out = String::new();
    for chunk in bytes.chunks(3) {
        let group = (0..3).fold(0_u32, |group, at| group << 8 | u32::from(chunk.get(at).copied().unwrap_or_default()));
        for at in 0..4 {
            let six = (group >> (18 - 6 * at)) as usize & 63;
            out.push(if at <= chunk.len() { char::from(alphabet[six]) } else { '=' });
        }
    }
    out
}

/// What of a text's base64 does not depend on what stands around it, for each place in a group of three it may begin at.
fn base64_cores(text: &str, alphabet: &[u8; 64]) -> Vec<String> {
    let core = |shift: usize| {
        let whole = base64(&[&b"\0\0"[..shift], text.as_bytes()].concat(), alphabet);
        let sure = (shift + text.len()) * 8 / 6;
        whole[(shift * 8).div_ceil(6)..sure].to_owned()
    };
    (0..3).map(core).collect()
}

fn hex(text: &str) -> String {
    text.bytes().map(|byte| format!("{byte:02x}")).collect()
}

fn percent(text: &str, all: bool) -> String {
    let one = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' if !all => char::from(byte).to_string(),
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(one).collect()
}

fn json(text: &str) -> String {
    let quoted = serde_json::to_string(text).unwrap();
    quoted[1..quoted.len() - 1].to_owned()
}

/// The text in each encoding, by the encoding's name.
pub fn forms(text: &str) -> Vec<(&'static str, String)> {
    let mut forms = vec![
        ("raw", text.to_owned()),
        ("percent-encoded", percent(text, false)),
        ("percent-encoded whole", percent(text, true)),
        ("hex", hex(text)),
        ("HEX", hex(text).to_uppercase()),
        ("JSON-escaped", json(text)),
        ("JSON in JSON", json(&json(text))),
    ];
    forms.extend(base64_cores(text, STANDARD).into_iter().map(|core| ("base64", core)));
    forms.extend(base64_cores(text, URL).into_iter().map(|core| ("base64url", core)));
    forms
}

/// What somebody who leaks a secret in every way writes.
pub fn leak(text: &str) -> String {
    let bearer = base64(format!("Bearer {text}").as_bytes(), STANDARD);
    let escaped: String = text.bytes().map(|byte| format!("\\u{byte:04x}")).collect();
    let encoded: Vec<String> = forms(text).into_iter().map(|(_, form)| form).collect();
    format!("{} {bearer} {} {escaped}", encoded.join(" | "), base64(text.as_bytes(), URL))
}

/// One thing to be found.
#[derive(Clone, Debug)]
struct Needle {
    canary: usize,
    encoding: &'static str,
    bytes: Vec<u8>,
}

/// Finds any of many texts in one pass.
pub struct Scanner {
    /// By the first eight bytes.
    needles: HashMap<[u8; 8], Vec<Needle>>,
    first: Vec<bool>,
}

impl Scanner {
    pub fn new(canaries: &[String]) -> Self {
        let mut needles: HashMap<[u8; 8], Vec<Needle>> = HashMap::new();
        let mut first = vec![false; 1 << 16];
        for (canary, text) in canaries.iter().enumerate() {
            // A part of it is a leak too.
            let parts = text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|part| part.len() >= SHORTEST);
            for text in [text.as_str()].into_iter().chain(parts) {
                for (encoding, form) in forms(text) {
                    let bytes = form.into_bytes();
                    let Some(head) = bytes.first_chunk::<8>() else { continue };
                    first[usize::from(u16::from_ne_bytes([head[0], head[1]]))] = true;
                    needles.entry(*head).or_default().push(Needle { canary, encoding, bytes });
                }
            }
        }
        Self { needles, first }
    }

    /// Every canary that is in the text, with its encoding.
    pub fn find(&self, text: &[u8]) -> Vec<(usize, &'static str)> {
        let mut found = Vec::new();
        for (at, pair) in text.windows(2).enumerate() {
            if !self.first[usize::from(u16::from_ne_bytes([pair[0], pair[1]]))] {
                continue;
            }
            let rest = &text[at..];
            let Some(needles) = rest.first_chunk::<8>().and_then(|head| self.needles.get(head)) else { continue };
            found.extend(needles.iter().filter(|n| rest.starts_with(&n.bytes)).map(|n| (n.canary, n.encoding)));
        }
        found.sort_unstable();
        found.dedup();
        found
    }
}

/// The scanner finds what is planted, in each encoding, whatever stands around it, and nothing where nothing is.
pub fn check_scanner(canaries: &[String], scanner: &Scanner) -> Result<(), String> {
    for (number, canary) in canaries.iter().enumerate() {
        for (encoding, form) in forms(canary) {
            for around in ["", "x", "{\"a\":\"", "\0\0\u{7f}"] {
                let text = format!("{around}{form}{around}");
                if !scanner.find(text.as_bytes()).iter().any(|(found, _)| *found == number) {
                    return Err(format!("canary {number} as {encoding} is not found in {text:?}"));
                }
            }
        }
        for prefix in ["", "a", "ab", "Bearer "] {
            for alphabet in [STANDARD, URL] {
                let text = base64(format!("{prefix}{canary} and on").as_bytes(), alphabet);
                if !scanner.find(text.as_bytes()).iter().any(|(found, _)| *found == number) {
                    return Err(format!("canary {number} behind {prefix:?} in base64 is not found"));
                }
            }
        }
    }
    let innocent = std::fs::read(crate::sandbox::RECOVER).map_err(|e| e.to_string())?;
    match scanner.find(&innocent).as_slice() {
        [] => Ok(()),
        found => Err(format!("found where nothing is: {found:?}")),
    }
}
