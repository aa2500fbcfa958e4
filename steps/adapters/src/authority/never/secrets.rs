//! N7: a secret that the authority repeats, wherever and however it writes it, is in nothing that the connector gives back to
//! be journaled.
//!
//! The judge does not encode the secret and look for that: it decodes whatever in the text could be an encoding, and looks
//! for the secret itself.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use recover_engine::World as _;

use super::replies::{Asked, act, connector};
use super::wire::{Wire, block_on};
use crate::fake::Reply;
use serde_json::{Value, json};

/// How the authority writes it.
#[derive(Clone, Copy, Debug)]
enum Written {
    Plain,
    Hex,
    Percent,
    Json,
    Base64(usize),
}

fn write(secret: &str, written: Written) -> String {
    match written {
        Written::Plain => secret.to_owned(),
        Written::Hex => secret.bytes().map(|b| format!("{b:02x}")).collect(),
        Written::Percent => secret.bytes().map(|b| format!("%{b:02X}")).collect(),
        Written::Json => secret.bytes().map(|b| format!("\\u{b:04x}")).collect(),
        Written::Base64(before) => base64(format!("{}{secret}", &"ab"[..before]).as_bytes()),
    }
}

const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

fn base64(bytes: &[u8]) -> String {
    let bits: Vec<bool> = bytes.iter().flat_map(|b| (0..8).rev().map(move |at| b >> at & 1 == 1)).collect();
    let six = |bits: &[bool]| (0..6).fold(0, |n, at| n << 1 | usize::from(bits.get(at).copied().unwrap_or(false)));
    bits.chunks(6).map(|chunk| char::from(ALPHABET[six(chunk)])).collect()
}

fn unbase64(text: &str) -> Vec<u8> {
    let bits: Vec<bool> = text
        .bytes()
        .filter_map(|b| ALPHABET.iter().position(|a| *a == b))
        .flat_map(|six| (0..6).rev().map(move |at| six >> at & 1 == 1))
        .collect();
    bits.chunks_exact(8).map(|byte| byte.iter().fold(0, |n, bit| n << 1 | u8::from(*bit))).collect()
}

/// Pairs or fours of hexadecimal digits behind a mark, each a byte.
fn unmarked(text: &str, mark: &str, digits: usize) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let byte = rest.strip_prefix(mark).and_then(|r| r.get(..digits)).and_then(|d| u8::from_str_radix(d, 16).ok());
        if let Some(byte) = byte {
            out.push(byte);
            rest = &rest[mark.len() + digits..];
        } else {
            out.extend(next.to_string().bytes());
            rest = &rest[next.len_utf8()..];
        }
    }
    out
}

/// Whether the secret can be had from the text.
fn gives_away(text: &str, secret: &str) -> bool {
    // `Debug` and JSON escape what they quote, perhaps several times over.
    let mut layers = vec![text.to_owned()];
    for _ in 0..4 {
        let last = layers.last().cloned().unwrap_or_default();
        layers.push(last.replace("\\\"", "\"").replace("\\'", "'").replace("\\\\", "\\"));
    }
    let holds = |bytes: &[u8]| bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
    layers.iter().any(|layer| {
        let words = || layer.split(|c: char| !c.is_ascii_alphanumeric() && !"+/".contains(c));
        let coded = words().any(|word| {
            (0..4).any(|skip| word.get(skip..).is_some_and(|rest| holds(&unbase64(rest))))
                || (0..2).any(|skip| word.get(skip..).is_some_and(|rest| holds(&unmarked(rest, "", 2))))
        });
        coded || holds(layer.as_bytes()) || holds(&unmarked(layer, "%", 2)) || holds(&unmarked(layer, "\\u", 4))
    })
}

const PLACES: &[&str] = &[
    r#"{"error":"DENIED","message":"you sent X there"}"#,
    r#"{"error":"X","message":"m"}"#,
    r#"{"agent":"edge-1","status":"online","paired_before":true,"identity":{"serial":"X"},"last_seen":"X"}"#,
    r#"{"agent":"edge-1","status":"X","paired_before":true,"identity":null}"#,
    r#"{"tokens":[{"accessor":"X","label":"X","state":"live","created_at":"X","expires_at":"2099-01-01T00:00:00Z","consumed_at":null,"paired_serial":"X"}],"next":null}"#,
    r#"{"accessor":"X","label":"LABEL","state":"live","expires_at":"2099-01-01T00:00:00Z","secret":"MINTED"}"#,
    r#"{"events":[{"at":"2026-11-22T03:00:00Z","type":"X","accessor":"X","serial":"X","detail":"it was X"}],"next":null}"#,
    r#"<html>X</html>"#,
];

fn listed(label: Value) -> Value {
    json!({ "accessor": "a1", "label": label, "state": "live", "expires_at": "2099-01-01T00:00:00Z" })
}

#[test]
fn n7_nothing_that_is_journaled_gives_a_secret_away() {
    let written = prop_oneof![
        Just(Written::Plain),
        Just(Written::Hex),
        Just(Written::Percent),
        Just(Written::Json),
        (0..3_usize).prop_map(Written::Base64),
    ];
    let place =
        (prop::sample::select(PLACES), written, prop::sample::select(&[200_u16, 201, 302, 400, 403, 409, 500][..]));
    let asked = prop::sample::select(
        &[
            Asked::Perform("observe"),
            Asked::Perform("mint"),
            Asked::Perform("revoke-stale"),
            Asked::Perform("validate"),
            Asked::Perform("capture-evidence"),
            Asked::Fence("mint"),
            Asked::Probe("mint"),
            Asked::Probe("pair"),
        ][..],
    );
    let story = (
        "[!-~]{16,40}",
        "[!-~]{16,40}",
        any::<(bool, bool)>(),
        prop::collection::vec(place, 1..4),
        prop::collection::vec(asked, 1..4),
    );
    let tokens = std::cell::Cell::new(0);
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let told = TestRunner::new(config).run(&story, |(credential, minted, (which, sound), places, asked)| {
        let (told, token) = (if which { credential.clone() } else { minted.clone() }, minted.clone());
        let came = block_on(async {
            let turn = std::sync::atomic::AtomicUsize::new(0);
            let wire = Wire::new(&credential, move |asked, _| {
                let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let (place, written, status) = places[turn % places.len()];
                let label: Value = serde_json::from_str(&asked.body).unwrap_or_default();
                let quoted = |text: &str| serde_json::to_string(text).unwrap_or_default().trim_matches('"').to_owned();
                // In JSON the text itself is escaped once more, unless it is to be read as an escape.
                let text = match written {
                    Written::Json => write(&told, written),
                    Written::Plain | Written::Hex | Written::Percent | Written::Base64(_) => {
                        serde_json::to_string(&write(&told, written)).unwrap().trim_matches('"').to_owned()
                    }
                };
                let body = place.replace("LABEL", label["label"].as_str().unwrap_or("l")).replace('X', &text);
                let body = body.replace("MINTED", &quoted(&token));
                match (sound, turn) {
                    // The mint and the look at what is under its label.
                    (true, 0) => {
                        let mut fresh = listed(label["label"].clone());
                        fresh["secret"] = token.clone().into();
                        return Reply::Json(201, fresh.to_string());
                    }
                    (true, 1) => {
                        let label = asked.path.split("label=").nth(1).unwrap_or_default();
                        return Reply::Json(200, json!({ "tokens": [listed(label.into())], "next": null }).to_string());
                    }
                    _ => {}
                }
                match status {
                    302 => Reply::Raw(format!(
                        "HTTP/1.1 302 X\r\nlocation: /{}\r\ncontent-length: 0\r\n\r\n",
                        write(&told, written)
                    )),
                    _ => Reply::Json(status, body),
                }
            })
            .await;
            let connector = connector(&wire, "edge-1").unwrap();
            let mut came = String::new();
            // The token is a secret from the moment at which it was minted.
            for what in [&[Asked::Perform("mint")], asked.as_slice()].concat() {
                came.push_str(&match what {
                    Asked::Perform(step) => format!("{:?}\n", connector.perform(&act(step, "s1")).await),
                    Asked::Fence(step) => format!("{:?}\n", connector.fence(&act(step, "a1")).await),
                    Asked::Probe(step) => format!("{:?}\n", connector.probe(&act(step, "a1")).await),
                    Asked::Rights => format!("{:?}\n", connector.rights().await),
                });
            }
            came
        });
        prop_assert!(!gives_away(&came, &credential), "the credential {credential:?} is in {came}");
        // What was never taken for a token cannot be known for one.
        if came.starts_with("Happened") {
            tokens.set(tokens.get() + 1);
            prop_assert!(!gives_away(&came, &minted), "the token {minted:?} is in {came}");
        }
        Ok(())
    });
    if let Err(why) = told {
        panic!("{why}");
    }
    assert!(tokens.get() > 5, "hardly a token was ever minted: {}", tokens.get());
}

#[test]
fn the_judge_finds_a_secret_in_every_way_of_writing_it() {
    let secret = r#"p4t+"x\y/=%&42-and"#;
    for written in [
        Written::Plain,
        Written::Hex,
        Written::Percent,
        Written::Json,
        Written::Base64(0),
        Written::Base64(1),
        Written::Base64(2),
    ] {
        let text = format!("{:?}", format!("said: {} there", write(secret, written)));
        assert!(gives_away(&text, secret), "{written:?}: {text}");
    }
    assert!(!gives_away("said: nothing of it, cDR0, 703474", secret));
}
