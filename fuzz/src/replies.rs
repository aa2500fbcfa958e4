//! Bytes as a reply of the authority, read by the client's own decoding; what was read must be what the body says.

use std::collections::HashMap;
use std::sync::OnceLock;

use recover_adapters::config::HttpConfig;
use recover_adapters::testing::{Asked, Read, Replies, Reply};
use recover_journal::testing::contract::block_on;
use serde_json::value::RawValue;

use crate::{Choices, Seeds};

const CREDENTIAL: &str = "cr3d3ntial-canary";
const LABEL: &str = "label-1";
const ACCESSOR: &str = "acc-1";
const AGENT: &str = "edge-1";
/// No answer is longer.
const BODY_MAX: usize = 1 << 20;
const STATUSES: [u16; 24] = [
    200, 201, 200, 201, 200, 201, 202, 204, 206, 299, 301, 302, 307, 308, 400, 401, 403, 404, 408, 409, 429, 500, 502, 503,
];
const ASKED: [Asked<'static>; 7] = [
    Asked::Token(ACCESSOR),
    Asked::Mint(LABEL),
    Asked::Status,
    Asked::Revoke,
    Asked::Health,
    Asked::Audit,
    Asked::Rights,
];

type Fields = HashMap<String, Box<RawValue>>;

fn client() -> &'static Replies {
    static CLIENT: OnceLock<Replies> = OnceLock::new();
    CLIENT.get_or_init(|| {
        let config: HttpConfig = serde_json::from_value(serde_json::json!({
            "base": "http://127.0.0.1:9", "agent": AGENT, "credential": "systemd-credential:none",
        }))
        .expect("it is a configuration");
        Replies::new(config, CREDENTIAL).expect("a client can be made")
    })
}

/// Reads a reply, and judges what was read.
pub fn read_a_reply(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let asked = ASKED[choices.one_of(ASKED.len())];
    let status = match choices.byte() {
        other @ 200.. => 100 + u16::from(choices.byte()) * 2 + u16::from(other) % 2,
        listed => STATUSES[usize::from(listed) % STATUSES.len()],
    };
    let flags = choices.byte();
    let mut body = choices.rest().to_vec();
    let mut reply = Reply { status, cut: flags & 1 != 0, ..Reply::default() };
    if flags & 2 != 0 {
        let end = body.iter().position(|byte| *byte == b'\n').unwrap_or(body.len());
        let value: Vec<u8> = body.drain(..end).collect();
        reply.headers = vec![("location".into(), value.clone()), ("retry-after".into(), value)];
    }
    if flags & 0x1c == 0x1c {
        body.resize(BODY_MAX + usize::from(flags >> 5) - 3, b' ');
    }
    reply.announced = match flags >> 5 {
        0 => None,
        7 => Some(BODY_MAX as u64 + 1),
        _ => Some(body.len() as u64),
    };
    reply.chunks = body.chunks(if flags & 0x0c == 0x0c { 7 + body.len() / 5 } else { BODY_MAX * 2 }).map(<[u8]>::to_vec).collect();
    let whole = !reply.cut && body.len() <= BODY_MAX && reply.announced.is_none_or(|length| length <= BODY_MAX as u64);
    match block_on(client().read(asked, reply)) {
        Read::Failed { text, unknown } => {
            assert!(!text.contains(CREDENTIAL), "the credential is repeated: {text}");
            assert!(!text.contains(char::is_control), "{text:?}");
            let changes = matches!(asked, Asked::Mint(_) | Asked::Revoke);
            // Whoever says that it was done, and not what, may have done it.
            assert!(unknown || !changes || !(200..300).contains(&status), "taken for not done: {status}, {text}");
            assert!(changes || !unknown, "a question that may have been applied: {text}");
        }
        read => {
            assert!(whole, "a reply that was cut or too long was believed: {read:?}");
            let expected = if matches!(asked, Asked::Mint(_)) { 201 } else { 200 };
            assert_eq!(status, expected, "{read:?}");
            says(&body, &read);
        }
    }
}

/// Whether the body says so, read a second time in plain words.
fn says(body: &[u8], read: &Read) {
    let text = std::str::from_utf8(body).expect("what is no text says nothing");
    let top: Fields = serde_json::from_str(text).expect("what is no object says nothing");
    match read {
        Read::Failed { .. } => {}
        Read::Healthy => assert_eq!(word(&top, "status").as_deref(), Some("ok")),
        Read::Status { online, serial } => {
            assert_eq!(word(&top, "status").as_deref() == Some("online"), *online);
            assert!(word(&top, "agent").is_none_or(|agent| agent == AGENT), "another connector's");
            let identity = top.get("identity").and_then(|raw| serde_json::from_str::<Option<Fields>>(raw.get()).ok()?);
            assert_eq!(identity.and_then(|identity| word(&identity, "serial")), *serial);
            serial.iter().for_each(|serial| name(serial));
        }
        Read::Minted { accessor } => {
            assert_eq!(word(&top, "accessor").as_ref(), Some(accessor));
            assert_eq!(word(&top, "label").as_deref(), Some(LABEL));
            assert_eq!(word(&top, "state").as_deref(), Some("live"));
            let secret = word(&top, "secret").expect("a token without its secret");
            assert!(!secret.is_empty() && !accessor.contains(&secret), "the accessor gives the secret away");
            name(accessor);
        }
        Read::Paired { serial } => {
            let token = token(&top).expect("no such token is listed");
            assert_eq!(word(&token, "state").as_deref(), Some("consumed"));
            assert_eq!(word(&token, "paired_serial").as_ref(), Some(serial));
            name(serial);
        }
        Read::Unused => {
            let token = token(&top).expect("no such token is listed");
            let state = word(&token, "state").unwrap_or_default();
            assert!(["consumed", "revoked", "expired"].contains(&state.as_str()), "{state}");
            assert_eq!(word(&token, "paired_serial"), None);
        }
        Read::Doubt => {}
        Read::Revoked(n) => assert_eq!(top["revoked"].get().parse(), Ok(*n)),
        Read::Audited(n) => {
            let events: Vec<Box<RawValue>> = serde_json::from_str(top["events"].get()).expect("a list");
            assert_eq!(events.len(), *n);
        }
        Read::Rights { mint, revoke } => {
            let words: Vec<String> = serde_json::from_str(top["rights"].get()).expect("a list of words");
            assert_eq!((words.contains(&"mint".into()), words.contains(&"revoke".into())), (*mint, *revoke));
            assert!(word(&top, "agent").is_none_or(|agent| agent == AGENT), "another connector's");
        }
    }
}

fn word(fields: &Fields, key: &str) -> Option<String> {
    fields.get(key).and_then(|raw| serde_json::from_str::<Option<String>>(raw.get()).ok()?)
}

/// The one token with the accessor that was asked for.
fn token(top: &Fields) -> Option<Fields> {
    let tokens: Vec<Fields> = serde_json::from_str(top.get("tokens")?.get()).ok()?;
    let mut ours = tokens.into_iter().filter(|token| word(token, "accessor").as_deref() == Some(ACCESSOR));
    let found = ours.next()?;
    assert!(ours.next().is_none(), "one of several tokens of one name was believed");
    Some(found)
}

/// What will be journaled as a name.
fn name(text: &str) {
    assert!(!text.is_empty() && text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic()), "{text:?}");
    assert!(!text.contains(CREDENTIAL), "the credential is taken for a name");
}

/// A good reply to each question, and the failures that the contract knows.
pub fn seeds() -> Seeds {
    let token = |state: &str, serial: &str| {
        format!(
            r#"{{"accessor":"acc-1","label":"label-1","state":"{state}","created_at":"2026-11-22T03:00:00Z","expires_at":"2026-11-22T03:10:00Z","consumed_at":null,"paired_serial":{serial}}}"#
        )
    };
    let page = |token: String| format!(r#"{{"tokens":[{token}],"next":null}}"#);
    let secret = token("live", "null").replacen('{', r#"{"secret":"s3cr3t-canary","#, 1);
    let status = r#"{"agent":"edge-1","status":"online","paired_before":true,"identity":{"serial":"s1","fingerprint":"f"},"last_seen":null}"#;
    let audit = r#"{"events":[{"at":"2026-11-22T03:00:00Z","type":"paired","accessor":"a","serial":"s","detail":"d"}],"next":"c"}"#;
    let refusal = r#"{"error":"LABEL_CLOSED","message":"cr3d3ntial-canary"}"#;
    // What was asked, the place of the status in the list, the flags, the rest.
    let replies: Vec<(&str, u8, u8, u8, String)> = vec![
        ("paired", 0, 0, 0, page(token("consumed", "\"s2\""))),
        ("burnt", 0, 0, 0x20, page(token("consumed", "null"))),
        ("revoked", 0, 0, 0, page(token("revoked", "null"))),
        ("expired", 0, 0, 0x0c, page(token("expired", "\"s2\""))),
        ("revoked-and-paired", 0, 0, 0, page(token("revoked", "\"s2\""))),
        ("live", 0, 0, 0, page(token("live", "null"))),
        ("unknown", 0, 0, 0, r#"{"tokens":[]}"#.into()),
        ("twice", 0, 0, 0, format!(r#"{{"tokens":[{0},{0}]}}"#, token("consumed", "\"s2\""))),
        ("credential-for-a-serial", 0, 0, 0, page(token("consumed", "\"cr3d3ntial-canary\""))),
        ("minted", 1, 1, 0, secret.clone()),
        ("minted-200", 1, 0, 0, secret.clone()),
        ("minted-cut", 1, 1, 1, secret),
        ("status", 2, 0, 0, status.into()),
        ("status-of-another", 2, 0, 0, status.replace("edge-1", "edge-2")),
        ("status-repeats", 2, 0, 0, status.replace("s1", "cr3d3ntial-canary")),
        ("revokes", 3, 0, 0, r#"{"revoked":1}"#.into()),
        ("healthy", 4, 0, 0, r#"{"status":"ok","time":"2026-11-22T03:00:00Z"}"#.into()),
        ("audit", 5, 0, 0, audit.into()),
        ("rights", 6, 0, 0, r#"{"agent":"edge-1","rights":["mint","revoke","other"]}"#.into()),
        ("rights-no-list", 6, 0, 0, r#"{"rights":"mint revoke"}"#.into()),
        ("redirect", 2, 10, 2, "https://cr3d3ntial-canary.example/\n".into()),
        ("patience", 1, 20, 2, "7\n{}".into()),
        ("refusal", 1, 19, 0, refusal.into()),
        ("unavailable", 1, 23, 0, refusal.into()),
        ("gateway", 1, 22, 0, "<html>".into()),
        ("an-array", 1, 1, 0, r#"["a","label-1","live","2026-11-22T03:00:00Z"]"#.into()),
        ("too-long", 2, 0, 0x1c | 0x80, status.into()),
        ("deep", 2, 0, 0, format!("{}1", r#"{"a":"#.repeat(200))),
    ];
    replies
        .into_iter()
        .map(|(name, asked, status, flags, body)| {
            (name.to_owned(), [&[asked, status, flags], body.as_bytes()].concat())
        })
        .collect()
}
