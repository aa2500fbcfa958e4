//! The audit log of a Kubernetes API server: an event for each stage of a request, held together by the request's id.
//!
//! Facts: kubernetes.io, "auditing"; `audit.k8s.io/v1`. One event a line in the log backend's file, or an `EventList` as the webhook
//! backend sends it. `ResponseComplete` has the status; a request that is not answered has `RequestReceived` alone, or `Panic`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::audited::{Answer, Change, Side};

const VERSION: &str = "audit.k8s.io/v1";

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    #[serde(default)]
    user: User,
    impersonated_user: Option<User>,
    response_status: Option<Status>,
    request_received_timestamp: String,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct User {
    username: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    message: String,
}

/// Whether a value may be an event of an audit log, or a list of them.
pub(super) fn is_event(value: &Value) -> bool {
    value["apiVersion"].as_str().is_some_and(|version| version.starts_with("audit.k8s.io/"))
}

/// The events of a list.
pub(super) fn listed(value: &Value) -> Option<Vec<Value>> {
    let items = value["items"].as_array().filter(|_| value["kind"] == "EventList" && is_event(value))?;
    // An event in a list has the list's version.
    let of_list = |item: &Value| {
        let mut item = item.clone();
        if let Value::Object(fields) = &mut item {
            fields.entry("apiVersion").or_insert_with(|| value["apiVersion"].clone());
        }
        item
    };
    Some(items.iter().map(of_list).collect())
}

/// Whether a request is there to change something. A review is a question, and what is run dry changes nothing.
fn changes(verb: &str, uri: &str) -> bool {
    let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
    let review = path.rsplit('/').next().is_some_and(|last| last.ends_with("reviews"));
    let dry = query.split('&').any(|pair| pair.eq_ignore_ascii_case("dryRun=All"));
    ["create", "update", "patch", "delete", "deletecollection"].contains(&verb) && !review && !dry
}

/// Whether the server or a part of its own asks.
fn is_own(user: &str) -> bool {
    ["system:kube-", "system:node:", "system:apiserver", "system:serviceaccount:kube-system:"]
        .iter()
        .any(|own| user.starts_with(own))
}

/// The changes that these events tell of, every stage of a request as one.
pub(super) fn read(events: Vec<Value>) -> Result<Vec<Change>, String> {
    let mut found: Vec<Change> = Vec::new();
    let mut of_request: BTreeMap<String, usize> = BTreeMap::new();
    for (at, event) in events.into_iter().enumerate() {
        let number = at + 1;
        match event["apiVersion"].as_str() {
            Some(VERSION) => {}
            other => {
                return Err(format!(
                    "entry {number}: it is of {}, and {VERSION} is understood",
                    other.unwrap_or("no version")
                ));
            }
        }
        let event: Event = serde_json::from_value(event).map_err(|e| format!("entry {number}: {e}"))?;
        if !changes(&event.verb, &event.request_uri) {
            continue;
        }
        let received = &event.request_received_timestamp;
        let time =
            recover_adapters::time_of(received).ok_or_else(|| format!("entry {number}: {received} is no time"))?;
        let answer = match (event.stage.as_str(), event.response_status) {
            ("ResponseComplete", Some(status)) if status.code >= 400 => {
                Answer::Refused(format!("{} {}", status.code, status.message).trim_end().to_owned())
            }
            ("ResponseComplete", _) => Answer::Done,
            ("RequestReceived" | "ResponseStarted" | "Panic", _) => Answer::Unanswered,
            (other, _) => return Err(format!("entry {number}: there is no stage {other}")),
        };
        if let Some(change) = of_request.get(&event.audit_id).and_then(|known| found.get_mut(*known)) {
            if answer != Answer::Unanswered {
                change.answer = answer;
            }
            continue;
        }
        of_request.insert(event.audit_id, found.len());
        let names = event.impersonated_user.into_iter().chain([event.user]).map(|user| user.username);
        let actors: Vec<String> = names.filter(|name| !name.is_empty()).collect();
        found.push(Change {
            side: Side::Kubernetes,
            at: time,
            verb: event.verb,
            path: event.request_uri.split('?').next().unwrap_or_default().to_owned(),
            own: actors.first().is_some_and(|user| is_own(user)),
            actors,
            answer,
        });
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(id: &str, stage: &str, verb: &str, uri: &str, code: u16) -> Value {
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": id, "stage": stage, "requestURI": uri,
            "verb": verb, "user": { "username": "system:serviceaccount:ops:recover", "groups": ["system:authenticated"] },
            "sourceIPs": ["127.0.0.1"], "userAgent": "recover", "responseStatus": { "metadata": {}, "code": code },
            "requestReceivedTimestamp": "2026-11-22T03:00:00.123456Z", "stageTimestamp": "2026-11-22T03:00:00.200000Z",
        })
    }

    const SCALE: &str = "/apis/apps/v1/namespaces/edge/deployments/connector/scale?fieldManager=recover";

    #[test]
    fn every_stage_of_a_request_is_one_change() {
        let events = vec![
            event("1", "RequestReceived", "patch", SCALE, 0),
            event("1", "ResponseComplete", "patch", SCALE, 200),
            event("2", "ResponseComplete", "patch", SCALE, 409),
            event("3", "Panic", "delete", SCALE, 500),
        ];
        let found = read(events).unwrap();
        let answers: Vec<&Answer> = found.iter().map(|change| &change.answer).collect();
        assert!(matches!(answers.as_slice(), [Answer::Done, Answer::Refused(_), Answer::Unanswered]), "{answers:?}");
        assert_eq!(found[0].path, "/apis/apps/v1/namespaces/edge/deployments/connector/scale");
        assert_eq!(found[0].actors, ["system:serviceaccount:ops:recover"]);
    }

    #[test]
    fn what_only_looks_is_passed_over() {
        for (verb, uri, change) in [
            ("get", SCALE, false),
            ("watch", "/api/v1/pods", false),
            ("create", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", false),
            ("create", "/api/v1/namespaces/edge/secrets?dryRun=All", false),
            ("create", "/api/v1/namespaces/edge/secrets", true),
            ("deletecollection", "/api/v1/namespaces/edge/pods", true),
        ] {
            let found = read(vec![event("1", "ResponseComplete", verb, uri, 200)]).unwrap();
            assert_eq!(found.len(), usize::from(change), "{verb} {uri}");
        }
    }

    #[test]
    fn a_list_is_read_as_its_events_and_another_version_is_not() {
        let mut bare = event("1", "ResponseComplete", "patch", SCALE, 200);
        bare.as_object_mut().unwrap().remove("apiVersion");
        let list = json!({ "kind": "EventList", "apiVersion": "audit.k8s.io/v1", "items": [bare] });
        assert_eq!(read(listed(&list).unwrap()).unwrap().len(), 1);
        let mut old = event("1", "ResponseComplete", "patch", SCALE, 200);
        old["apiVersion"] = json!("audit.k8s.io/v1beta1");
        assert!(read(vec![old]).unwrap_err().contains("audit.k8s.io/v1 is understood"));
    }
}
