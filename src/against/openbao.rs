//! OpenBao's audit device: one JSON object a line, a request and a response each, held together by the request's id.
//!
//! Facts: OpenBao, "audit devices". Values of `auth.accessor`, `client_token` and the like are HMACs of the device (`hmac_accessor`), the
//! same for the same value; `display_name`, `entity_id`, `operation`, `path` and the namespace are in clear. `path` has the mount and no
//! `/v1/`. The operation of an `encrypt` is `create` where that makes the key (upsert), and `update` where the key is there.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::audited::{Answer, Change, Side};

#[derive(Deserialize)]
struct Line {
    time: String,
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    auth: Auth,
    request: Request,
    #[serde(default)]
    error: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Auth {
    accessor: String,
    display_name: String,
    entity_id: String,
}

#[derive(Deserialize)]
struct Request {
    #[serde(default)]
    id: String,
    operation: String,
    path: String,
    #[serde(default)]
    client_token_accessor: String,
    #[serde(default)]
    namespace: Namespace,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Namespace {
    path: String,
}

/// Whether a line may be one of an audit device's.
pub(super) fn is_line(line: &Value) -> bool {
    line["request"]["operation"].is_string() && line["type"].is_string()
}

/// What uses a key and leaves it as it is.
const USES: [&str; 12] =
    ["encrypt", "decrypt", "rewrap", "datakey", "hmac", "sign", "verify", "hash", "random", "export", "cmac", "derive"];

/// Whether a request is there to change something.
fn changes(operation: &str, path: &str) -> bool {
    let uses_a_key = path.split('/').any(|part| USES.contains(&part)) && !path.contains("/keys/");
    let looks = path.starts_with("auth/token/lookup")
        || path.starts_with("sys/capabilities")
        || path.starts_with("sys/internal/")
        || path.starts_with("sys/tools/")
        || (path.starts_with("auth/") && (path.ends_with("/login") || path.contains("/login/")));
    match operation {
        "delete" | "patch" => true,
        // Also an `encrypt` that makes its key.
        "create" => !looks,
        "update" => !looks && !uses_a_key,
        _ => false,
    }
}

/// The changes that these lines tell of, a request and its response as one.
pub(super) fn read(lines: Vec<Value>) -> Result<Vec<Change>, String> {
    let mut found: Vec<Change> = Vec::new();
    let mut of_request: BTreeMap<String, usize> = BTreeMap::new();
    for (at, line) in lines.into_iter().enumerate() {
        let number = at + 1;
        let line: Line = serde_json::from_value(line).map_err(|e| format!("entry {number}: {e}"))?;
        let answer = match (line.kind.as_str(), line.error.is_empty()) {
            ("request", _) => Answer::Unanswered,
            ("response", true) => Answer::Done,
            ("response", false) => Answer::Refused(line.error),
            (other, _) => return Err(format!("entry {number}: {other} is neither request nor response")),
        };
        if !changes(&line.request.operation, &line.request.path) {
            continue;
        }
        let time =
            recover_adapters::time_of(&line.time).ok_or_else(|| format!("entry {number}: {} is no time", line.time))?;
        let known = of_request.get(&line.request.id).and_then(|known| found.get_mut(*known));
        if let Some(change) = known {
            // Several devices tell the same; an answer stands, and the earlier time is the request's.
            change.at = change.at.min(time);
            if change.answer == Answer::Unanswered {
                change.answer = answer;
            }
            continue;
        }
        let Auth { accessor, display_name, entity_id } = line.auth;
        let actors = [display_name, entity_id, accessor, line.request.client_token_accessor];
        let change = Change {
            side: Side::OpenBao,
            at: time,
            verb: line.request.operation,
            path: format!("{}{}", line.request.namespace.path, line.request.path),
            actors: actors.into_iter().filter(|name| !name.is_empty()).collect(),
            own: false,
            answer,
        };
        if !line.request.id.is_empty() {
            of_request.insert(line.request.id, found.len());
        }
        found.push(change);
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(kind: &str, id: &str, operation: &str, path: &str, error: &str) -> Value {
        json!({
            "time": "2026-11-22T03:00:00.123456789Z", "type": kind, "error": error,
            "auth": { "accessor": "hmac-sha256:aa", "display_name": "approle", "policies": ["recover"], "token_type": "service" },
            "request": {
                "id": id, "client_id": "c", "operation": operation, "mount_point": "transit/", "mount_type": "transit", "path": path,
                "client_token": "hmac-sha256:bb", "namespace": { "id": "AbCd", "path": "team/" }, "remote_address": "127.0.0.1",
                "data": { "min_decryption_version": 1 },
            },
        })
    }

    #[test]
    fn a_request_and_its_response_are_one_change() {
        let config = "transit/keys/kms/config";
        let lines = vec![
            line("request", "1", "update", config, ""),
            line("response", "1", "update", config, ""),
            line("request", "2", "update", config, ""),
            line("response", "2", "update", config, "1 error occurred: permission denied"),
            line("request", "3", "update", config, ""),
        ];
        let found = read(lines).unwrap();
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].path.as_str(), &found[0].answer), ("team/transit/keys/kms/config", &Answer::Done));
        assert_eq!(found[0].actors, ["approle", "hmac-sha256:aa"]);
        assert!(matches!(found[1].answer, Answer::Refused(_)));
        assert_eq!(found[2].answer, Answer::Unanswered);
    }

    #[test]
    fn what_uses_a_key_changes_nothing_and_an_encrypt_that_makes_one_does() {
        for (operation, path, change) in [
            ("update", "transit/encrypt/kms", false),
            ("create", "transit/encrypt/kms", true),
            ("update", "transit/decrypt/kms", false),
            ("read", "transit/keys/kms", false),
            ("list", "transit/keys/", false),
            ("update", "transit/keys/kms/config", true),
            ("update", "transit/keys/kms/rotate", true),
            // A key whose name is a verb.
            ("update", "transit/keys/encrypt/config", true),
            ("delete", "transit/keys/kms", true),
            ("update", "auth/approle/login", false),
            ("update", "auth/token/lookup-self", false),
            ("update", "sys/capabilities-self", false),
            ("update", "auth/approle/role/r/secret-id", true),
        ] {
            let found = read(vec![line("response", "1", operation, path, "")]).unwrap();
            assert_eq!(found.len(), usize::from(change), "{operation} {path}");
        }
    }

    #[test]
    fn what_is_none_is_refused_with_its_place() {
        let mut other = line("request", "1", "update", "a/b", "");
        other["type"] = json!("panic");
        assert!(read(vec![other]).unwrap_err().contains("entry 1: panic is neither"));
        let mut late = line("request", "1", "update", "a/b", "");
        late["time"] = json!("soon");
        assert!(read(vec![late]).unwrap_err().contains("soon is no time"));
    }
}
