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
    let mut known = Vec::new();
    let (mut waiting, mut kept_at) = (Vec::new(), Vec::new());
    while let Some(done) = work.join_next().await {
        match done {
            Ok((places, Taken::Told(outcome, value))) => known.push((places, (outcome, value))),
            Ok((places, Taken::Waits(due))) => {
                waiting.push(due);
                kept_at.push(places);
            }
            Err(_) => failed = true,
        }
    }
    if !waiting.is_empty() {
        known.extend(kept_at.into_iter().zip(kept(&counter, waiting).await));
    }
    for (places, (outcome, value)) in known {
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

/// What came of an alert so far.
enum Taken {
    /// This is what is said of it.
    Told(&'static str, Value),
    /// It waits for a person, and is to be kept.
    Waits(Due),
}

fn told(due: &Due, outcome: &'static str, more: Value) -> (&'static str, Value) {
    let mut value = json!({ "outcome": outcome, "alert": due.alert, "target": due.target });
    if let (Some(value), Value::Object(more)) = (value.as_object_mut(), more) {
        value.extend(more);
    }
    (outcome, value)
}

/// Keeps what waits for a person, all at once.
async fn kept(counter: &Arc<Counter>, dues: Vec<Due>) -> Vec<(&'static str, Value)> {
    let held = counter.held.clone();
    let all = dues.clone();
    let done = blocking(move || Ok(held.keep(&all).into_iter().map(|kept| kept.map_err(|e| e.to_string())).collect()));
    let results: Vec<Result<(), String>> = match done.await {
        Ok(results) => results,
        Err(problem) => vec![Err(problem.why().to_owned()); dues.len()],
    };
    let said = |(due, kept): (&Due, Result<(), String>)| match kept {
        Ok(()) => told(due, "held", json!({ "id": Held::id(due) })),
        Err(why) => told(due, "failed", json!({ "why": format!("the alert cannot be kept: {why}") })),
    };
    dues.iter().zip(results).map(said).collect()
}

/// Begins it, unless it waits.
async fn taken(counter: &Arc<Counter>, who: Who, due: Due) -> Taken {
    let told = |outcome: &'static str, more: Value| {
        let (outcome, value) = told(&due, outcome, more);
        Taken::Told(outcome, value)
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
    Taken::Waits(due)
}

/// Whether sending it again would come to the same.
fn is_final(fault: &Fault) -> bool {
    !matches!(
        fault.code,
        Code::OwnerGone | Code::NotWritable | Code::NoResources | Code::Unreadable | Code::Interrupted
    )
}
