//! From a method, a path and a body to a request, or to the reply that says why not.

use serde::Deserialize;

use crate::sandbox::clock::parse_rfc3339;
use crate::sandbox::plane::{Reply, Request, Revoke, Rights};

/// An HTTP request, as far as it matters here.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Call<'a> {
    pub(crate) method: &'a str,
    pub(crate) path: &'a str,
    pub(crate) query: &'a str,
    /// Whether it carried the right credential; what the connector asks needs none.
    pub(crate) authorized: bool,
    /// What that credential may do.
    pub(crate) may: Rights,
    pub(crate) body: &'a [u8],
}

#[derive(Deserialize)]
struct MintBody {
    label: String,
    ttl_s: u64,
}

#[derive(Deserialize)]
struct RevokeBody {
    accessor: Option<String>,
    label: Option<String>,
}

#[derive(Deserialize)]
struct PairBody {
    agent: String,
    token: String,
    public_key: String,
}

#[derive(Deserialize)]
struct HeartbeatBody {
    agent: String,
    serial: String,
    proof: String,
}

#[derive(Deserialize)]
struct BootstrapBody {
    agent: String,
}

/// What is asked for.
pub(crate) fn parse(call: Call<'_>) -> Result<Request, Reply> {
    let path: Vec<String> = call.path.trim_start_matches('/').split('/').map(decoded).collect();
    let path: Vec<&str> = path.iter().map(String::as_str).collect();
    match (call.method, path.as_slice()) {
        ("GET", ["healthz"]) => Ok(Request::Health),
        ("POST", ["v1", "pair"]) => {
            let PairBody { agent, token, public_key } = body(call)?;
            Ok(Request::Pair { agent, token, public_key })
        }
        ("GET", ["v1", "pair", "result"]) => match query(call, "public_key") {
            Some(public_key) => Ok(Request::PairResult { public_key }),
            None => Err(Reply::error(400, "REQUEST_INVALID", "public_key is missing")),
        },
        ("POST", ["v1", "heartbeat"]) => {
            let HeartbeatBody { agent, serial, proof } = body(call)?;
            Ok(Request::Heartbeat { agent, serial, proof })
        }
        ("POST", ["v1", "bootstrap"]) => body(call).map(|BootstrapBody { agent }| Request::Bootstrap { agent }),
        (method, ["v1", "connectors", agent, rest @ ..]) if call.authorized => {
            administrative(call, method, (*agent).to_owned(), rest)
        }
        (_, ["v1", "connectors", ..]) => {
            Err(Reply::error(401, "UNAUTHENTICATED", "the credential is missing or not the right one"))
        }
        (_, _) => Err(not_found()),
    }
}

fn administrative(call: Call<'_>, method: &str, agent: String, rest: &[&str]) -> Result<Request, Reply> {
    match (method, rest) {
        ("GET", []) => Ok(Request::Status { agent }),
        ("GET", ["tokens"]) => {
            let (label, accessor) = (query(call, "label"), query(call, "accessor"));
            Ok(Request::Tokens { agent, label, accessor, cursor: cursor(call)? })
        }
        ("GET", ["rights"]) => Ok(Request::Rights { agent, may: call.may }),
        ("POST", ["tokens"]) if !call.may.mint => Err(forbidden()),
        ("POST", ["tokens", "revoke"]) if !call.may.revoke => Err(forbidden()),
        ("POST", ["tokens"]) => body(call).map(|MintBody { label, ttl_s }| Request::Mint { agent, label, ttl_s }),
        ("POST", ["tokens", "revoke"]) => match body(call)? {
            RevokeBody { accessor: Some(accessor), label: None } => {
                Ok(Request::Revoke { agent, what: Revoke::Accessor(accessor) })
            }
            RevokeBody { accessor: None, label: Some(label) } => {
                Ok(Request::Revoke { agent, what: Revoke::Label(label) })
            }
            RevokeBody { .. } => Err(Reply::error(400, "REQUEST_INVALID", "name either an accessor or a label")),
        },
        ("GET", ["audit"]) => {
            let since = match query(call, "since") {
                None => None,
                Some(text) => {
                    let bad = || Reply::error(400, "REQUEST_INVALID", "since is not a time of RFC 3339 in UTC");
                    Some(parse_rfc3339(&text).ok_or_else(bad)?)
                }
            };
            Ok(Request::Audit { agent, since, cursor: cursor(call)? })
        }
        (_, _) => Err(not_found()),
    }
}

fn forbidden() -> Reply {
    Reply::error(403, "FORBIDDEN", "the credential may not do this")
}

fn not_found() -> Reply {
    Reply::error(404, "NOT_FOUND", "there is no such method and path")
}

fn body<T: for<'de> Deserialize<'de>>(call: Call<'_>) -> Result<T, Reply> {
    // The parser's own message could quote the body, and with it a token.
    serde_json::from_slice(call.body).map_err(|_| Reply::error(400, "REQUEST_INVALID", "the body does not fit"))
}

fn cursor(call: Call<'_>) -> Result<usize, Reply> {
    let bad = |_| Reply::error(400, "REQUEST_INVALID", "the cursor is not one of ours");
    query(call, "cursor").map_or(Ok(0), |text| text.parse().map_err(bad))
}

fn query(call: Call<'_>, name: &str) -> Option<String> {
    let pairs = call.query.split('&').filter_map(|pair| pair.split_once('='));
    pairs.filter(|(key, _)| *key == name).map(|(_, value)| decoded(&value.replace('+', " "))).next()
}

/// Percent-decoding. What is not well encoded is taken as it stands.
fn decoded(text: &str) -> String {
    let bytes = text.as_bytes();
    let (mut out, mut at) = (Vec::with_capacity(bytes.len()), 0);
    while let Some(byte) = bytes.get(at) {
        let pair = bytes.get(at + 1..at + 3).and_then(|pair| std::str::from_utf8(pair).ok());
        match pair.and_then(|pair| u8::from_str_radix(pair, 16).ok()).filter(|_| *byte == b'%') {
            Some(value) => {
                out.push(value);
                at += 3;
            }
            None => {
                out.push(*byte);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call<'a>(method: &'a str, target: &'a str, body: &'a str) -> Call<'a> {
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Call { method, path, query, authorized: true, may: Rights::ALL, body: body.as_bytes() }
    }

    fn status(call: Call<'_>) -> Option<u16> {
        parse(call).err().map(|reply| reply.status)
    }

    #[test]
    fn requests_of_the_contract_are_understood() {
        let agent = || "edge-1".to_owned();
        assert_eq!(parse(call("GET", "/healthz", "")), Ok(Request::Health));
        assert_eq!(parse(call("GET", "/v1/connectors/edge%2D1", "")), Ok(Request::Status { agent: agent() }));
        assert_eq!(
            parse(call("GET", "/v1/connectors/edge-1/tokens?label=a%20b+c&cursor=50", "")),
            Ok(Request::Tokens { agent: agent(), label: Some("a b c".into()), accessor: None, cursor: 50 })
        );
        assert_eq!(
            parse(call("POST", "/v1/connectors/edge-1/tokens/revoke", r#"{"label":"x"}"#)),
            Ok(Request::Revoke { agent: agent(), what: Revoke::Label("x".into()) })
        );
        assert_eq!(
            parse(call("GET", "/v1/connectors/edge-1/audit?since=1970-01-01T00:00:01Z", "")),
            Ok(Request::Audit { agent: agent(), since: Some(recover_engine::Millis(1_000)), cursor: 0 })
        );
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        for (method, target, body) in [
            ("POST", "/v1/connectors/edge-1/tokens", r#"{"label":"x"}"#),
            ("POST", "/v1/connectors/edge-1/tokens", "{"),
            ("POST", "/v1/connectors/edge-1/tokens/revoke", "{}"),
            ("POST", "/v1/connectors/edge-1/tokens/revoke", r#"{"label":"x","accessor":"y"}"#),
            ("GET", "/v1/connectors/edge-1/tokens?cursor=-1", ""),
            ("GET", "/v1/connectors/edge-1/audit?since=yesterday", ""),
            ("GET", "/v1/pair/result", ""),
        ] {
            assert_eq!(status(call(method, target, body)), Some(400), "{method} {target}");
        }
        assert_eq!(status(call("DELETE", "/v1/connectors/edge-1", "")), Some(404));
    }

    #[test]
    fn what_the_credential_may_not_do_is_refused_and_told() {
        let may = Rights { mint: false, revoke: true };
        let mint = Call { may, ..call("POST", "/v1/connectors/edge-1/tokens", r#"{"label":"x","ttl_s":1}"#) };
        let revoke = Call { may, ..call("POST", "/v1/connectors/edge-1/tokens/revoke", r#"{"label":"x"}"#) };
        assert_eq!((status(mint), status(revoke)), (Some(403), None));
        let revoke = Call { may: Rights { mint: true, revoke: false }, ..revoke };
        assert_eq!(status(revoke), Some(403));
        let asked = Call { may, ..call("GET", "/v1/connectors/edge-1/rights", "") };
        assert_eq!(parse(asked), Ok(Request::Rights { agent: "edge-1".into(), may }));
        assert_eq!(may.words(), ["revoke"]);
    }

    #[test]
    fn administration_needs_the_credential_and_the_connector_does_not() {
        let administration = Call { authorized: false, ..call("GET", "/v1/connectors/edge-1", "") };
        assert_eq!(status(administration), Some(401));
        let connector = Call { authorized: false, ..call("POST", "/v1/bootstrap", r#"{"agent":"edge-1"}"#) };
        assert_eq!(status(connector), None);
    }
}
