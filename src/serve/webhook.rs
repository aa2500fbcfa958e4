//! `POST /alerts`: what Alertmanager sends becomes runs, or waits for a person. The reply comes when that is durable.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::alerts::{self, Due, Held, Payload};
use super::api::{Operator, Problem, blocking};
use super::auth::Who;
use super::config::Start;
use super::counter::{Counter, Known};
use crate::fault::{Code, Fault};

pub(super) async fn alerts(
    Operator(who): Operator,
    State(counter): State<Arc<Counter>>,
    body: Bytes,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let payload: Payload = serde_json::from_slice(&body)
        .map_err(|e| Problem::bad(format!("this is no payload of Alertmanager's webhook: {e}")))?;
    if payload.version != "4" {
        return Err(Problem::bad(format!("the payload's version is {}, and 4 is understood", payload.version)));
    }
    let mut told = vec![Value::Null; payload.alerts.len()];
    // The same alert, sent more than once, is asked for once.
    let mut requests: BTreeMap<String, (Due, Vec<usize>)> = BTreeMap::new();
    for (at, alert) in payload.alerts.iter().enumerate() {
        let is_target = |name: &str| counter.place.loaded.config.target.contains_key(name);
        match alerts::due(&counter.config, alert, is_target) {
            Ok(due) => requests.entry(due.request_id.clone()).or_insert_with(|| (due, Vec::new())).1.push(at),
            Err(why) => {
                counter.count_alert("ignored");
                told[at] = json!({ "outcome": "ignored", "why": why });
            }
        }
    }
    let mut work = JoinSet::new();
    for (due, places) in requests.into_values() {
        let (counter, who) = (Arc::clone(&counter), who.clone());
        work.spawn(async move { (places, taken(&counter, who, due).await) });
    }
    let mut failed = false;
    while let Some(done) = work.join_next().await {
        let Ok((places, (outcome, value))) = done else {
            failed = true;
            continue;
        };
        failed |= outcome == "failed";
        for at in places {
            counter.count_alert(outcome);
            told[at] = value.clone();
        }
    }
    // Alertmanager sends it again then. What was begun or kept is begun or kept once.
    let status = if failed { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::OK };
    Ok((status, Json(json!({ "schema": "recover.alerts/v1", "alerts": told }))))
}

/// Begins it or keeps it.
async fn taken(counter: &Arc<Counter>, who: Who, due: Due) -> (&'static str, Value) {
    let (alert, target) = (due.alert.clone(), due.target.clone());
    let told = move |outcome: &'static str, more: Value| {
        let mut value = json!({ "outcome": outcome, "alert": alert, "target": target });
        if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
            value.extend(more);
        }
        (outcome, value)
    };
    // One that was begun by a person stays begun while it goes on firing, and one that was dismissed stays dismissed.
    match counter.is_known(&due.request_id) {
        Ok(Some(Known::Begun(run))) => return told("begun", json!({ "run": run })),
        Ok(Some(Known::Dismissed)) => return told("dismissed", json!({})),
        Ok(None) => {}
        Err(fault) => return told("failed", json!({ "why": fault.message })),
    }
    if due.start == Start::Now {
        match counter.begin(Some(who), &due, None).await {
            Ok(value) => return told("begun", json!({ "run": value["run"] })),
            // Somebody is at it already, or a person has to look first: neither is made better by sending it again.
            Err(fault) if fault.code == Code::Held => return told("held-by-run", json!({ "why": fault.message })),
            Err(fault) if fault.code == Code::Braked => {}
            Err(fault) if is_final(&fault) => return told("refused", json!({ "why": fault.message })),
            Err(fault) => return told("failed", json!({ "why": fault.message })),
        }
    }
    let (held, kept) = (counter.held.clone(), due.clone());
    let done = blocking(move || {
        held.keep(&kept).map_err(|e| Fault::caused(Code::NotWritable, "the alert cannot be kept", &e))
    });
    match done.await {
        Ok(()) => told("held", json!({ "id": Held::id(&due) })),
        Err(problem) => told("failed", json!({ "why": problem.why() })),
    }
}

/// Whether sending it again would come to the same.
fn is_final(fault: &Fault) -> bool {
    !matches!(
        fault.code,
        Code::OwnerGone | Code::NotWritable | Code::NoResources | Code::Unreadable | Code::Interrupted
    )
}
