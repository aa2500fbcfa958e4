//! Texts from the outside made fit for the journal: secrets taken out, control characters made visible.

pub(crate) const GONE: &str = "«redacted»";

/// Words that name a secret when a `:` or `=` and a value follow them.
const NAMES: [&str; 12] = [
    "token",
    "secret",
    "password",
    "passwd",
    "authorization",
    "cookie",
    "apikey",
    "api_key",
    "api-key",
    "private_key",
    "credential",
    "passphrase",
];

/// A text of several lines.
pub(crate) fn text(raw: &str) -> String {
    visible(&blobs(&named(&pem(raw))), true)
}

/// A sentence: one line, not longer than anyone will read.
pub(crate) fn line(raw: &str) -> String {
    let mut line = visible(&blobs(&named(&pem(raw))), false);
    if line.len() > 2_000 {
        let end = (0..=2_000).rev().find(|i| line.is_char_boundary(*i)).unwrap_or_default();
        line.truncate(end);
        line.push('…');
    }
    line
}

/// Private keys in PEM armour, also one whose end was cut off.
fn pem(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = rest.find("-----BEGIN ") {
        let (before, from) = rest.split_at(begin);
        let label = from["-----BEGIN ".len()..].split("-----").next().unwrap_or_default();
        if !label.contains("PRIVATE KEY") {
            let (head, tail) = from.split_at("-----BEGIN ".len());
            out.push_str(before);
            out.push_str(head);
            rest = tail;
            continue;
        }
        out.push_str(before);
        out.push_str(GONE);
        let end = format!("-----END {label}-----");
        rest = from.find(&end).map_or("", |at| &from[at + end.len()..]);
    }
    out.push_str(rest);
    out
}

/// Values that stand behind a name of a secret, or behind `Bearer` and `Basic`.
fn named(text: &str) -> String {
    let lower = text.to_ascii_lowercase();
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    while at < text.len() {
        if let Some((from, to)) = value_at(&lower, at) {
            out.push_str(&text[at..from]);
            out.push_str(GONE);
            at = to;
        } else {
            let step = text[at..].chars().next().map_or(1, char::len_utf8);
            out.push_str(&text[at..at + step]);
            at += step;
        }
    }
    out
}

/// Where the secret value begins and ends, if the name of one begins here.
fn value_at(lower: &str, at: usize) -> Option<(usize, usize)> {
    let bytes = lower.as_bytes();
    let rest = lower.get(at..)?;
    let skip = |mut i: usize, set: &[u8]| {
        while bytes.get(i).is_some_and(|b| set.contains(b)) {
            i += 1;
        }
        i
    };
    let fresh = at == 0 || !bytes[at - 1].is_ascii_alphanumeric();
    // The id of an agent that a join token enrolled ends in that token.
    const JOINED: &str = "/spire/agent/join_token/";
    if rest.starts_with(JOINED) {
        let from = at + JOINED.len();
        let length = bytes[from..].iter().take_while(|b| b.is_ascii_alphanumeric() || b"._-".contains(b)).count();
        return (length > 0).then_some((from, from + length));
    }
    let scheme = ["bearer ", "basic "].into_iter().find(|s| fresh && rest.starts_with(s));
    let from = if let Some(scheme) = scheme {
        let from = skip(at + scheme.len(), b" ");
        // `Bearer` is also a word: only something as long as a credential is one.
        let long = bytes[from..].iter().take_while(|b| !b" \t\r\n\"'\\,".contains(b)).count() >= 12;
        if !long {
            return None;
        }
        from
    } else {
        let name = NAMES.into_iter().find(|n| rest.starts_with(n))?;
        let mut i = skip(at + name.len(), b"\"'\\");
        i = skip(i, b" \t");
        if !matches!(bytes.get(i), Some(b':' | b'=')) {
            return None;
        }
        i = skip(skip(i + 1, b" \t"), b"\"'\\");
        for scheme in ["bearer ", "basic "] {
            if lower.get(i..).is_some_and(|r| r.starts_with(scheme)) {
                i = skip(i + scheme.len(), b" ");
            }
        }
        i
    };
    let length = bytes[from..].iter().take_while(|b| !b" \t\r\n\"'\\,;&)}]".contains(b)).count();
    let value = lower.get(from..from + length)?;
    (length > 0 && !matches!(value, "null" | "true" | "false" | "none") && !value.starts_with(['[', '{', '«']))
        .then_some((from, from + length))
}

/// Runs of token characters that are long and mixed as only random ones are: JWTs, Vault and base64 tokens. Digests in
/// hexadecimal stay: they are evidence.
fn blobs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut run = String::new();
    let flush = |run: &mut String, out: &mut String| {
        let any = |test: fn(&u8) -> bool| run.bytes().any(|b| test(&b));
        let mixed = any(u8::is_ascii_uppercase) && any(u8::is_ascii_lowercase) && any(u8::is_ascii_digit);
        let jwt = run.starts_with("eyJ") && run.len() > 20;
        // As many issuers mark their tokens: a short word, an underscore, and then only letters and digits.
        let marked = run.split_once('_').is_some_and(|(mark, rest)| {
            (2..=6).contains(&mark.len()) && rest.len() >= 32 && rest.bytes().all(|b| b.is_ascii_alphanumeric())
        });
        let secret = jwt || marked || (run.len() >= 32 && mixed && !run.contains("//"));
        out.push_str(if secret { GONE } else { run });
        run.clear();
    };
    for c in text.chars() {
        if c.is_ascii_alphanumeric() || "+/=_-.".contains(c) {
            run.push(c);
        } else {
            flush(&mut run, &mut out);
            out.push(c);
        }
    }
    flush(&mut run, &mut out);
    out
}

/// Control characters, terminal escapes and invisible direction marks as `\u{…}`.
fn visible(text: &str, lines: bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        let invisible =
            matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if (lines && (c == '\n' || c == '\t')) || !(c.is_control() || invisible) {
            out.push(c);
        } else {
            out.extend(c.escape_unicode());
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_taken_out_wherever_they_stand() {
        for (raw, secret) in [
            ("Authorization: Bearer abcdefghijkl", "abcdefghijkl"),
            ("curl -H 'authorization: bearer s3cr3ts3cr3t'", "s3cr3ts3cr3t"),
            ("sent Bearer abcdefghijklmnop to it", "abcdefghijklmnop"),
            (r#"{"secret":"hunter2","label":"l"}"#, "hunter2"),
            (r#"{\"enrollment_token\": \"hunter2\"}"#, "hunter2"),
            ("PAM_TOKEN=hunter2 started", "hunter2"),
            ("password = hunter2", "hunter2"),
            ("https://h/p?token=hunter2&x=1", "hunter2"),
            ("x-vault-token: hvs.abc", "hvs.abc"),
            ("got eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.abc in it", "eyJzdWIi"),
            ("-----BEGIN EC PRIVATE KEY-----\nMHcC\n-----END EC PRIVATE KEY-----\nrest", "MHcC"),
            ("-----BEGIN PRIVATE KEY-----\nMHcC cut", "MHcC"),
            ("spiffe://t/spire/agent/join_token/8071ea56-ad.x is there", "8071ea56"),
            ("saw Zx81kkQw77PmA0sjd73hdkQpL1mzXy20 there", "Zx81kkQw77"),
            ("used rst_9f86d081884c7d659a2feaa0c55ad015a3bf now", "rst_9f86"),
        ] {
            let clean = text(raw);
            assert!(!clean.contains(secret), "{clean}");
            assert!(clean.contains(GONE), "{clean}");
        }
    }

    #[test]
    fn what_is_no_secret_stays() {
        for raw in [
            "401 ENROLLMENT_TOKEN_INVALID: the token was revoked",
            r#"{"type":"token.minted","accessor":"acc-1","serial":"s2"}"#,
            r#"{"tokens":[],"next":null}"#,
            "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "-----BEGIN CERTIFICATE-----",
            "the bearer of this",
            "ünïcödé tökens: keep",
        ] {
            let kept = text(raw);
            if raw.contains("tökens") {
                assert!(kept.contains("ünïcödé"));
            } else {
                assert_eq!(kept, raw);
            }
        }
    }

    #[test]
    fn nothing_can_move_the_cursor_or_hide() {
        let clean = text("a\u{1b}[2Jb\r\n\tc\u{202e}d\u{9b}e\0");
        assert_eq!(clean, "a\\u{1b}[2Jb\\u{d}\n\tc\\u{202e}d\\u{9b}e\\u{0}");
        assert_eq!(line("a\nb"), "a\\u{a}b");
        assert!(line(&"é".repeat(5_000)).len() < 2_100);
    }
}
