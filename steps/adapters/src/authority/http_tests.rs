//! The client against servers that answer badly: what is sent to whom, how much is read, and what each failure means.

use std::os::unix::fs::PermissionsExt as _;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use secrecy::ExposeSecret as _;

use super::*;
use crate::authority::TokenState;
use crate::fake::{Reply, Server};
use crate::trouble::Trouble;

const CREDENTIAL: &str = "cr3d3ntial-canary";
const STATUS: &str =
    r#"{"agent":"edge-1","status":"offline","paired_before":true,"identity":{"serial":"s1"},"last_seen":null}"#;

struct Bench {
    http: Http,
    server: Server,
    _dir: tempfile::TempDir,
}

async fn bench(answer: impl Fn(crate::fake::Asked) -> Reply + Send + Sync + 'static) -> Bench {
    let server = Server::new(answer).await;
    let (dir, http) = client(&server.base);
    Bench { http, server, _dir: dir }
}

fn client(base: &str) -> (tempfile::TempDir, Http) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("credential");
    std::fs::write(&path, CREDENTIAL).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
    let credential = format!("file:{}", path.display()).parse().unwrap();
    let config = HttpConfig {
        base: base.parse().unwrap(),
        agent: "edge-1".into(),
        org: Some("o1".into()),
        ca: None,
        credential,
        dialect: None,
    };
    let http = Http::new(config).unwrap();
    (dir, http)
}

fn token(accessor: &str, state: &str) -> serde_json::Value {
    json!({ "accessor": accessor, "label": "l", "state": state, "created_at": "2026-11-22T03:00:00Z",
            "expires_at": "2026-11-22T03:10:00Z", "consumed_at": null, "paired_serial": null })
}

fn minted() -> serde_json::Value {
    let mut token = token("acc-1", "live");
    token["secret"] = "s3cr3t-canary".into();
    token
}

/// The failure of asking for the status and of minting, where the server always answers so.
async fn failures(answer: impl Fn() -> Reply + Send + Sync + 'static) -> (Failure, Failure) {
    let bench = bench(move |_| answer()).await;
    let asked = bench.http.status().await.err().unwrap();
    let minted = bench.http.mint("l", 600).await.err().unwrap();
    let count = bench.server.requests().len();
    assert_eq!(count, 2, "nothing is sent twice");
    for failure in [&asked, &minted] {
        let shown = format!("{failure:?} {}", failure.text());
        assert!(!shown.contains("canary"), "{shown}");
    }
    (asked, minted)
}

fn error(status: u16, code: &str) -> Reply {
    Reply::Json(status, json!({ "error": code, "message": "in words" }).to_string())
}

#[tokio::test]
async fn a_request_carries_what_it_must_and_goes_where_it_must() {
    let bench = bench(|asked| match asked.path.as_str() {
        "/healthz" => Reply::Json(200, r#"{"status":"ok","time":"2026-11-22T03:00:00Z"}"#.into()),
        _ if asked.method == "POST" => Reply::Json(201, minted().to_string()),
        _ => Reply::Json(200, STATUS.into()),
    })
    .await;
    bench.http.health().await.unwrap();
    assert_eq!(bench.http.status().await.unwrap().status.serial(), Some("s1"));
    let fresh = bench.http.mint("l", 600).await.unwrap();
    assert!(!format!("{fresh:?}").contains("canary"));
    let (token, secret) = fresh.into_parts();
    assert_eq!((token.accessor.as_str(), secret.expose_secret()), ("acc-1", "s3cr3t-canary"));
    assert!(!format!("{:?} {secret:?}", bench.http).contains("canary"));
    let requests = bench.server.requests();
    assert!(requests[0].starts_with("GET /healthz ") && !requests[0].contains(CREDENTIAL));
    assert!(requests[1].starts_with("GET /v1/connectors/edge-1 "));
    assert!(
        requests[1].contains(&format!("authorization: Bearer {CREDENTIAL}\r\n"))
            && requests[1].contains("x-active-org-id: o1\r\n")
    );
    assert!(requests[2].ends_with(r#"{"label":"l","ttl_s":600}"#));
}

#[tokio::test]
async fn a_redirect_is_an_error_and_leads_nobody_to_the_credential() {
    let sink = Server::new(|_| Reply::Json(200, STATUS.into())).await;
    for status in [301, 302, 303, 307, 308] {
        let to = sink.base.clone();
        let (asked, minted) = failures(move || {
            Reply::Raw(format!("HTTP/1.1 {status} X\r\nlocation: {to}/v1\r\ncontent-length: 0\r\n\r\n"))
        })
        .await;
        assert!(matches!(asked, Failure::Redirected { .. }) && asked.text().contains("not followed"), "{asked:?}");
        assert!(matches!(asked.asking(), Trouble::Refused(_)));
        let surely_not = matches!(minted.changing(), Trouble::Refused(_));
        assert_eq!(surely_not, matches!(status, 307 | 308), "{status}");
    }
    assert!(sink.requests().is_empty());
}

#[tokio::test]
async fn what_the_authority_says_no_to_was_not_done() {
    for (status, code) in [
        (401, "UNAUTHENTICATED"),
        (403, "FORBIDDEN"),
        (404, "AGENT_UNKNOWN"),
        (409, "LABEL_CLOSED"),
        (400, "TTL_INVALID"),
    ] {
        let (asked, minted) = failures(move || error(status, code)).await;
        assert!(asked.text().contains(code), "{}", asked.text());
        assert!(matches!((asked.asking(), minted.changing()), (Trouble::Refused(_), Trouble::Refused(_))), "{status}");
    }
    let (_, minted) = failures(|| error(503, "OVERLOADED")).await;
    assert!(matches!(minted.changing(), Trouble::Retry { .. }), "the contract's own 5xx says that it was not done");
    let throttled = "HTTP/1.1 429 X\r\nretry-after: 7\r\ncontent-length: 0\r\n\r\n";
    let (_, minted) = failures(move || Reply::Raw(throttled.into())).await;
    assert!(matches!(minted.changing(), Trouble::Retry { after_ms: Some(7_000), .. }));
}

#[tokio::test]
async fn what_may_have_been_done_is_unknown() {
    let deep = format!("{}{}", r#"{"a":"#.repeat(5_000), "1");
    type Answer = Box<dyn Fn() -> Reply + Send + Sync>;
    let replies: Vec<(&str, Answer)> = vec![
        ("reset", Box::new(|| Reply::Reset)),
        ("garbage", Box::new(|| Reply::Raw("\u{1}\u{2}garbage\r\n\r\n".into()))),
        ("closed", Box::new(|| Reply::Raw(String::new()))),
        ("cut", Box::new(|| Reply::Raw("HTTP/1.1 201 X\r\ncontent-length: 500\r\n\r\n{\"acc".into()))),
        ("a gateway's 502", Box::new(|| Reply::Json(502, "<html>bad gateway</html>".into()))),
        ("500 of no form", Box::new(|| Reply::Json(500, "{}".into()))),
        ("408", Box::new(|| error(408, "TIMEOUT"))),
        ("no JSON", Box::new(|| Reply::Json(201, "welcome".into()))),
        ("an array", Box::new(|| Reply::Json(201, r#"["a","l","live","2026-11-22T03:00:00Z"]"#.into()))),
        ("deep", Box::new(move || Reply::Json(201, deep.clone()))),
        ("204", Box::new(|| Reply::Raw("HTTP/1.1 204 X\r\n\r\n".into()))),
        ("long", Box::new(|| Reply::Long(1 << 30))),
    ];
    for (what, reply) in replies {
        let (asked, minted) = failures(reply).await;
        assert!(matches!(asked.asking(), Trouble::Retry { .. }), "{what}");
        assert!(matches!(minted.changing(), Trouble::Unknown(_)), "{what}");
    }
}

#[tokio::test]
async fn a_minted_token_that_is_not_sound_is_unknown() {
    let with = |field: &str, value: serde_json::Value| {
        let mut token = minted();
        token[field] = value;
        token
    };
    for bad in [
        with("secret", "".into()),
        with("secret", "two words".into()),
        with("secret", serde_json::Value::Null),
        with("accessor", "s3cr3t-canary".into()),
        with("accessor", "x\n".into()),
        with("label", "another".into()),
        with("state", "revoked".into()),
        with("state", "unheard-of".into()),
        with("expires_at", "tomorrow".into()),
    ] {
        let bench = bench(move |_| Reply::Json(201, bad.to_string())).await;
        let failure = bench.http.mint("l", 600).await.unwrap_err();
        assert!(
            matches!(failure.clone().changing(), Trouble::Unknown(_)) && !failure.text().contains("canary"),
            "{failure:?}"
        );
    }
    let bench = bench(|_| Reply::Json(200, minted().to_string())).await;
    assert!(matches!(bench.http.mint("l", 600).await, Err(Failure::Lost(_))), "200 is not the contract's 201");
}

#[tokio::test]
async fn only_what_was_surely_not_sent_may_be_sent_again() {
    // A port on which nobody listens.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let (dir, http) = client(&format!("http://{free}"));
    assert!(matches!(http.mint("l", 1).await.unwrap_err().changing(), Trouble::Retry { .. }));
    // A name that does not resolve, and a server that does not speak TLS.
    let (_dir, unresolved) = client("https://recover.invalid");
    assert!(matches!(unresolved.mint("l", 1).await.unwrap_err(), Failure::NotSent(_)));
    let plain = Server::new(|_| Reply::Json(200, STATUS.into())).await;
    let (_dir, tls) = client(&plain.base.replace("http:", "https:"));
    assert!(matches!(tls.mint("l", 1).await.unwrap_err(), Failure::NotSent(_)));
    assert!(plain.requests().is_empty());
    // A credential that cannot be read.
    std::fs::remove_file(dir.path().join("credential")).unwrap();
    assert!(matches!(http.mint("l", 1).await.unwrap_err(), Failure::NotSent(_)));
}

#[tokio::test]
async fn a_server_that_dawdles_is_left_in_time() {
    let begun = Instant::now();
    let (slow, hung) = tokio::join!(
        async {
            let bench = bench(|_| Reply::Slow).await;
            bench.http.mint("l", 1).await.unwrap_err()
        },
        async {
            let bench = bench(|_| Reply::Hang).await;
            bench.http.mint("l", 1).await.unwrap_err()
        }
    );
    assert!(begun.elapsed() < Duration::from_secs(13), "{:?}", begun.elapsed());
    assert!(matches!((slow.changing(), hung.changing()), (Trouble::Unknown(_), Trouble::Unknown(_))));
}

/// What stood in a field that is not looked at was not checked, and the reply believed.
#[test]
fn an_answer_that_is_not_utf_8_is_none() {
    let body = |unknown: &[u8]| {
        [&br#"{"status":"online","paired_before":true,"identity":null,"x":""#[..], unknown, br#""}"#].concat()
    };
    let answer = |unknown: &[u8]| Answer { status: 200, body: body(unknown).into() };
    assert!(parse::<Status>(&answer(b"\xc3\xbc"), 200).is_ok());
    assert!(matches!(parse::<Status>(&answer(b"\xfe"), 200), Err(Failure::Lost(_))));
}

#[tokio::test]
async fn a_list_is_whole_or_an_error() {
    let bench = bench(|asked| {
        let page = |tokens: Vec<serde_json::Value>, next: Option<&str>| {
            Reply::Json(200, json!({ "tokens": tokens, "next": next }).to_string())
        };
        match asked.path.split_once('?').map(|(_, query)| query) {
            None => page(vec![token("a1", "live")], Some("c 2&x=1")),
            Some("cursor=c+2%26x%3D1") => page(vec![token("a2", "revoked")], None),
            Some(_) => page(vec![token("a3", "live")], None),
        }
    })
    .await;
    let all = bench.http.tokens().await.unwrap();
    assert_eq!(all.iter().map(|t| t.accessor.as_str()).collect::<Vec<_>>(), ["a1", "a2"]);
    assert_eq!(all[1].state, TokenState::Revoked);
    // A filter that is not applied lets others through; they are not taken for the one that was asked for.
    assert_eq!(bench.http.token("a9").await.unwrap(), None);
    assert!(bench.http.tokens_of_label("another").await.unwrap().is_empty());

    let endless = Mutex::new(0);
    let bench = self::bench(move |_| {
        let mut n = endless.lock().unwrap();
        *n += 1;
        Reply::Json(200, json!({ "tokens": [], "next": n.to_string() }).to_string())
    })
    .await;
    assert!(matches!(bench.http.tokens().await, Err(Failure::Lost(_))));
    assert_eq!(bench.server.requests().len(), PAGES_MOST);
    let bench = self::bench(|_| Reply::Json(200, r#"{"tokens":[],"next":"same"}"#.into())).await;
    assert!(matches!(bench.http.tokens().await, Err(Failure::Lost(_))));
    assert_eq!(bench.server.requests().len(), 2);
}

#[tokio::test]
async fn a_status_of_somebody_else_or_of_no_known_word_is_no_answer() {
    for bad in [
        STATUS.replace("edge-1", "edge-2"),
        STATUS.replace("offline", "fine"),
        STATUS.replace("\"s1\"", "\"s 1\""),
        STATUS.replace("\"s1\"", &format!("\"{}\"", "s".repeat(201))),
    ] {
        let bench = bench(move |_| Reply::Json(200, bad.clone())).await;
        assert!(matches!(bench.http.status().await, Err(Failure::Lost(_))));
    }
}
