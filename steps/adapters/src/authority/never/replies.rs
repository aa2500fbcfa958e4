//! N1 to N6 and N10 from the other side: whatever the authority answers, and wherever it points, the requests that follow are
//! the contract's, at the origin that is configured.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use recover_engine::{Act, Doing, Effect, Key, Millis, RunId, World as _};
use recover_steps::{AwaitOnline, Capture, Instance, Mint, Observe, Pair, RevokeOrphan, RevokeStale, Token, Validate};
use serde_json::{Value, json};

use super::wire::{CREDENTIAL, Wire, block_on};
use crate::config::tests::sample;
use crate::connector::Connector;
use crate::fake::Reply;
use crate::secrets::SecretsDir;

/// What an authority says. `WORD` is replaced by the hostile word, and `HOME` and `ELSEWHERE` by addresses.
const BODIES: &[&str] = &[
    r#"{"agent":"edge-1","status":"online","paired_before":true,"identity":{"serial":"s1"},"last_seen":null}"#,
    r#"{"agent":"edge-1","status":"needs_recovery","paired_before":true,"identity":{"serial":"WORD"},"last_seen":"WORD"}"#,
    r#"{"tokens":[],"next":null}"#,
    r#"{"tokens":[],"next":"WORD"}"#,
    r#"{"tokens":[{"accessor":"WORD","label":"WORD","state":"live","created_at":"2026-11-22T03:00:00Z","expires_at":"2099-01-01T00:00:00Z","consumed_at":null,"paired_serial":null}],"next":null}"#,
    r#"{"tokens":[{"accessor":"a1","label":"l","state":"consumed","created_at":"2026-11-22T03:00:00Z","expires_at":"2099-01-01T00:00:00Z","consumed_at":null,"paired_serial":"WORD"}],"next":"ELSEWHERE"}"#,
    r#"{"accessor":"WORD","label":"LABEL","state":"live","created_at":"2026-11-22T03:00:00Z","expires_at":"2099-01-01T00:00:00Z","consumed_at":null,"paired_serial":null,"secret":"s3cr3t-canary"}"#,
    r#"{"revoked":1}"#,
    r#"{"events":[{"at":"2026-11-22T03:00:00Z","type":"WORD","detail":"WORD"}],"next":"WORD"}"#,
    r#"{"error":"LABEL_CLOSED","message":"WORD"}"#,
    r#"{"error":"MOVED","message":"ask ELSEWHERE","location":"ELSEWHERE"}"#,
    "WORD",
];

/// Words that would lead somewhere if they were put into a path or a header.
const WORDS: &[&str] = &[
    "a1",
    "../../transit/keys/k",
    "/v1/transit/keys/k",
    "x?y=1&exportable=true#z",
    "x%2f..%2f..%2ftransit",
    "//elsewhere/",
    "x HTTP/1.1\\r\\nhost: elsewhere\\r\\n\\r\\nDELETE /v1/transit/keys/k",
    "http://127.0.0.1:1/",
    "ELSEWHERE",
];

const LOCATIONS: &[&str] = &["ELSEWHERE/v1", "//AUTHORITY/", "/v1/transit/keys/k", "HOME/v3/kv/put", "../..", ""];

#[derive(Clone, Debug)]
enum Said {
    Body { status: u16, body: &'static str, word: &'static str },
    Led { status: u16, to: &'static str, refresh: bool },
    Nothing,
}

fn said() -> impl Strategy<Value = Said> {
    let status = prop_oneof![6 => Just(200_u16), 4 => Just(201), 1 => prop::sample::select(&[202_u16, 400, 401, 404, 409, 429, 500, 503][..])];
    prop_oneof![
        8 => (status, prop::sample::select(BODIES), prop::sample::select(WORDS))
            .prop_map(|(status, body, word)| Said::Body { status, body, word }),
        3 => (300..310_u16, prop::sample::select(LOCATIONS), any::<bool>())
            .prop_map(|(status, to, refresh)| Said::Led { status, to, refresh }),
        1 => Just(Said::Nothing),
    ]
}

impl Said {
    fn reply(&self, asked: &crate::fake::Asked, elsewhere: &str) -> Reply {
        let label = serde_json::from_str::<Value>(&asked.body).unwrap_or_default();
        let label = label["label"].as_str().unwrap_or("l");
        let fill = |text: &str| text.replace("ELSEWHERE", elsewhere).replace("HOME", "").replace("LABEL", label);
        match self {
            Self::Body { status, body, word } => Reply::Json(*status, fill(&body.replace("WORD", word))),
            Self::Led { status, to, refresh } => {
                let to = fill(&to.replace("AUTHORITY", elsewhere.trim_start_matches("http://")));
                let more = if *refresh { format!("refresh: 0; url={to}\r\n") } else { String::new() };
                Reply::Raw(format!("HTTP/1.1 {status} X\r\nlocation: {to}\r\n{more}content-length: 0\r\n\r\n"))
            }
            Self::Nothing => Reply::Reset,
        }
    }
}

/// What is asked of the connector: a step, or the fence or the probe of one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asked {
    Perform(&'static str),
    Fence(&'static str),
    Probe(&'static str),
    /// What the credential may do.
    Rights,
}

const PERFORMED: &[&str] = &[
    "observe",
    "await-online",
    "revoke-stale",
    "revoke-orphan",
    "mint",
    "validate",
    "capture-evidence",
    // What no connector has.
    "rotate-key",
    "raise-min-decryption-version",
    "write-checkpoint",
    "set-serial",
    "etcd-put",
    "restart-apiserver",
];

fn asked() -> impl Strategy<Value = Asked> {
    prop_oneof![
        5 => prop::sample::select(PERFORMED).prop_map(Asked::Perform),
        1 => prop::sample::select(&["mint", "pair"][..]).prop_map(Asked::Fence),
        2 => prop::sample::select(&["mint", "pair"][..]).prop_map(Asked::Probe),
        1 => Just(Asked::Rights),
    ]
}

fn doing(step: &'static str, word: &str) -> Doing {
    let token = Token { accessor: word.into(), label: word.into(), expires_at: Millis(4_000_000_000_000) };
    let (serial, instance) = (word.to_owned(), Instance("1:1".into()));
    match step {
        Observe::NAME => Doing::of(&Observe {}),
        AwaitOnline::NAME => Doing::of(&AwaitOnline { serial, instance, observe_ms: 1, within_ms: 1 }),
        RevokeStale::NAME => Doing::of(&RevokeStale {}),
        RevokeOrphan::NAME => Doing::of(&RevokeOrphan { token }),
        Mint::NAME => Doing::of(&Mint { ttl_s: 600 }),
        Pair::NAME => Doing::of(&Pair { token, within_ms: 1 }),
        Validate::NAME => Doing::of(&Validate { serial, instance }),
        Capture::NAME => Doing::of(&Capture { serial, alert: None }),
        other => Doing { step: other, ..Doing::of(&Observe {}) },
    }
}

pub(super) fn act(step: &'static str, word: &str) -> Act {
    Act {
        run: RunId::new(Millis(1_700_000_000_000), [7; 10]),
        target: "edge-1".into(),
        subject: "s".into(),
        epoch: Some("s1".into()),
        doing: doing(step, word).into(),
        ordinal: 0,
        attempt: 1,
        key: Key::effect("s", "s1", step, 0),
        fenced: false,
    }
}

pub(super) fn connector(wire: &Wire, agent: &str) -> Result<Connector, String> {
    let mut config = sample();
    let at = |name: &str| wire.dir.path().join(name).display().to_string();
    std::fs::create_dir_all(wire.dir.path().join("data")).unwrap();
    config["workload"]["process"] = json!({ "command": ["/bin/sleep", "1"], "pidfile": at("pid"), "log": at("log"),
        "token_file": wire.memory.path().join("token").display().to_string() });
    config["storage"]["directory"] = json!({ "path": at("data") });
    config["authority"]["http"] = json!({ "base": wire.authority.base, "agent": agent, "ca": at("ca.pem"), "credential": format!("file:{}", at("credential")) });
    config["timing"]["stop_within"] = "10ms".into();
    let config = serde_json::from_value(config).map_err(|e| e.to_string())?;
    Connector::new(config, SecretsDir::new(Some(wire.memory()), None)).map_err(|e| e.to_string())
}

/// What was asked for, in the order of the asking; every answer is the next of the list, over and over.
async fn play(asked: &[(Asked, &'static str)], said: Vec<Said>, agent: &str) -> (Option<String>, usize) {
    let turn = std::sync::atomic::AtomicUsize::new(0);
    let wire = Wire::new(CREDENTIAL, move |asked, elsewhere| {
        let turn = turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        said[turn % said.len()].reply(&asked, elsewhere)
    })
    .await;
    // A name that is no agent's is refused, which is one way of not sending it.
    let Ok(connector) = connector(&wire, agent) else { return (wire.breach(agent), 0) };
    for (what, word) in asked {
        let came = match what {
            Asked::Perform(step) => format!("{:?}", connector.perform(&act(step, word)).await),
            Asked::Fence(step) => format!("{:?}", connector.fence(&act(step, word)).await),
            Asked::Probe(step) => format!("{:?}", connector.probe(&act(step, word)).await),
            Asked::Rights => format!("{:?}", connector.rights().await),
        };
        if came.contains("canary") {
            return (Some(format!("a secret is in {came}")), 0);
        }
    }
    (wire.breach(agent), wire.authority.requests().len())
}

#[test]
fn n1_to_n6_and_n10_whatever_is_answered_only_the_contract_is_asked_of_the_one_origin() {
    let agent = prop_oneof![
        6 => Just("edge-1".to_owned()),
        2 => "[A-Za-z0-9_-][A-Za-z0-9._-]{0,12}",
        1 => prop::sample::select(&["..", "a/../../transit", "%2e%2e", "a?b", "a#b", "a b", "", "a\r\nb", "ä"][..])
            .prop_map(str::to_owned),
        1 => "\\PC{1,12}",
    ];
    let asked = prop::collection::vec((asked(), prop::sample::select(WORDS)), 1..5);
    let story = (asked, prop::collection::vec(said(), 1..5), agent);
    let sent = std::cell::Cell::new(0);
    let config = Config { cases: 300, failure_persistence: None, ..Config::default() };
    let told = TestRunner::new(config).run(&story, |(asked, said, agent)| {
        let (breach, requests) = block_on(play(&asked, said, &agent));
        sent.set(sent.get() + requests);
        prop_assert!(breach.is_none(), "{}", breach.unwrap_or_default());
        Ok(())
    });
    if let Err(why) = told {
        panic!("{why}");
    }
    assert!(sent.get() > 300, "hardly anything was sent: {}", sent.get());
}
