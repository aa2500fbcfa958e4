//! Answers that are not OpenBao's, or not to this question: none of them is taken for a key, or for the absence of one.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{Change, Failure, OpenBao, OpenBaoConfig};
use crate::fake::{Asked, Reply, Server};

const TOKEN: &str = "s.t0k3n-canary-0123456789";
const KEY: &str = r#"{"data":{"name":"kms","type":"aes256-gcm96","derived":false,"deletion_allowed":false,"exportable":false,
"allow_plaintext_backup":false,"min_available_version":0,"min_decryption_version":1,"min_encryption_version":0,"latest_version":1,
"supports_encryption":true,"supports_decryption":true,"supports_signing":false,"supports_derivation":true,"auto_rotate_period":0,
"imported_key":false,"soft_deleted":true,"keys":{"1":1700000000}}}"#;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

async fn site(answer: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> (OpenBao, Server, tempfile::TempDir) {
    let (server, dir) = (Server::new(answer).await, tempfile::tempdir().unwrap());
    let token = dir.path().join("token");
    std::fs::write(&token, TOKEN).unwrap();
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o600)).unwrap();
    let config = json!({ "address": server.base, "mount": "transit", "key": "kms", "token": format!("file:{}", token.display()) });
    (OpenBao::new(&serde_json::from_value(config).unwrap()).unwrap(), server, dir)
}

fn key_of(answer: impl Fn() -> Reply + Send + Sync + 'static) -> Result<super::Key, Failure> {
    block_on(async {
        let (bao, _server, _dir) = site(move |_| answer()).await;
        bao.key().await
    })
}

#[test]
fn what_is_no_answer_of_openbaos_is_lost() {
    assert!(key_of(|| Reply::Json(200, KEY.into())).unwrap().soft_deleted);
    for (from, to) in [
        (r#""name":"kms""#, r#""name":"other""#),
        (r#""soft_deleted":true,"#, ""),
        (r#""deletion_allowed":false,"#, ""),
        (r#""min_decryption_version":1"#, r#""min_decryption_version":-1"#),
        (r#"{"1":1700000000}"#, r#"{"01":1700000000}"#),
        (r#"{"1":1700000000}"#, r#"{"1":"soon"}"#),
        (r#""type":"aes256-gcm96""#, r#""type":"s.t0k3n-canary-0123456789""#),
    ] {
        assert!(KEY.contains(from));
        let garbled = KEY.replace(from, to);
        let came = key_of(move || Reply::Json(200, garbled.clone()));
        assert!(matches!(&came, Err(Failure::Lost(why)) if !why.contains("canary")), "{to}: {came:?}");
    }
    for (status, body) in [
        (404, "<html>not found</html>".to_owned()),
        (404, String::new()),
        (404, "{}".into()),
        (403, "<html>who are you</html>".into()),
        (200, "[]".into()),
        (200, "[".repeat(100_000)),
        (200, format!("{{\"data\":{}", "{\"x\":".repeat(10_000))),
        (502, r#"{"errors":["bad gateway"]}"#.into()),
    ] {
        let came = key_of(move || Reply::Json(status, body.clone()));
        assert!(matches!(came, Err(Failure::Lost(_))), "{status}: {came:?}");
    }
    assert!(matches!(key_of(|| Reply::Long(2 << 20)), Err(Failure::Lost(_))));
    assert!(matches!(key_of(|| Reply::Reset), Err(Failure::Lost(_))));
}

/// An earlier process showed the token; the first request of this one does not carry it.
#[test]
fn a_secret_is_hidden_also_in_the_answer_to_a_request_that_did_not_carry_it() {
    block_on(async {
        let echo = json!({ "errors": [TOKEN] }).to_string();
        for status in [400, 418, 429, 500, 502, 503] {
            let body = echo.clone();
            let (bao, _server, _dir) = site(move |_| Reply::Json(status, body.clone())).await;
            let came = (bao.health().await.map(drop), bao.seal_status().await.map(drop));
            let said = format!("{came:?}");
            assert!(!said.contains("canary"), "{status}: {said}");
        }
    });
}

#[test]
fn the_layers_have_words_of_their_own() {
    for (status, said, expected) in [
        (503, "Vault is sealed", Failure::Sealed),
        (503, "namespace is sealed", Failure::NamespaceSealed),
        (404, "namespace not found", Failure::NoNamespace),
        (403, "1 error occurred: permission denied", Failure::Denied),
        (429, "request path \\\"transit\\\": rate limit quota exceeded", Failure::Throttled { after_ms: None }),
    ] {
        assert_eq!(key_of(move || Reply::Json(status, format!(r#"{{"errors":["{said}"]}}"#))), Err(expected));
    }
    let to = || Reply::Raw("HTTP/1.1 307 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 0\r\n\r\n".into());
    assert_eq!(key_of(to), Err(Failure::Redirected { status: 307, to: "http://127.0.0.1:1/".into() }));
    let said = key_of(|| Reply::Json(400, format!(r#"{{"errors":["no use for {TOKEN}"]}}"#)));
    assert!(matches!(&said, Err(Failure::Refused { status: 400, said }) if !said.contains("canary")), "{said:?}");
}

#[test]
fn a_standby_and_a_sealed_node_tell_how_they_are() {
    for (status, sealed, standby) in [(200, false, false), (429, false, true), (503, true, true)] {
        let health = block_on(async {
            let (bao, ..) = &site(move |_| {
                let body = json!({ "initialized": true, "sealed": sealed, "standby": standby, "server_time_utc": 7, "version": "2" });
                Reply::Json(status, body.to_string())
            })
            .await;
            bao.health().await.unwrap()
        });
        assert_eq!((health.sealed, health.standby), (sealed, standby));
    }
}

#[test]
fn a_change_whose_answer_is_lost_may_have_been_made() {
    block_on(async {
        let (bao, server, _dir) = site(|asked| match asked.method.as_str() {
            "GET" => Reply::Json(200, KEY.into()),
            _ => Reply::Reset,
        })
        .await;
        assert!(matches!(bao.change(Change::restore()).await, Err(Failure::Lost(_))));
        assert_eq!(server.requests().len(), 2, "nothing is sent again by itself");
    });
}

#[test]
fn nobody_is_trusted_unless_the_configuration_says_so() {
    let config = json!({ "address": "https://bao.example", "mount": "transit", "key": "kms", "token": "file:/t" });
    let config: OpenBaoConfig = serde_json::from_value(config).unwrap();
    assert!(OpenBao::new(&config).unwrap_err().contains("`ca`"));
    let other = json!({ "address": "http://bao.example", "mount": "transit", "key": "kms", "token": "s3cr3t" });
    assert!(serde_json::from_value::<OpenBaoConfig>(other).is_err());
}
