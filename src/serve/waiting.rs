//! Alerts that wait for a person: what there is, and what a person says of one. Either is a record with who it was: of the run that is
//! begun, or of the journal's own.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::{Body, Named, Operator, Problem, REASON_MOST, Viewer, blocking};
use super::counter::Counter;
use crate::fault::{Code, Fault};

pub(super) async fn held(_: Viewer, State(counter): State<Arc<Counter>>) -> Result<Json<Value>, Problem> {
    let all = blocking(move || counter.held.all().map_err(|e| Fault::caused(Code::Unreadable, "the held alerts", &e)));
    let all: Vec<Value> = all.await?.into_iter().map(|(id, due)| json!({ "id": id, "due": due })).collect();
    Ok(Json(json!({ "schema": "recover.held/v1", "alerts": all })))
}

/// What is said of an alert that waits.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OnAlert {
    /// Why it is begun although a brake holds it.
    #[serde(default)]
    despite: Option<String>,
    /// Why it is dismissed.
    #[serde(default)]
    reason: Option<String>,
}

pub(super) async fn on_alert(
    Operator(who): Operator,
    State(counter): State<Arc<Counter>>,
    Named((id, action)): Named<(String, String)>,
    Body(words): Body<OnAlert>,
) -> Result<Json<Value>, Problem> {
    let unreadable = |e: std::io::Error| Problem::from(Fault::caused(Code::Unreadable, "the held alerts", &e));
    let due = counter.held.get(&id).map_err(unreadable)?;
    let due = due.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "no such alert is held"))?;
    let told = match action.as_str() {
        "start" => counter.begin(Some(who), &due, words.despite).await?,
        "dismiss" => {
            let reason = words.reason.unwrap_or_default().trim().to_owned();
            if reason.is_empty() || reason.len() > REASON_MOST {
                let message = format!("a reason is needed, of at most {REASON_MOST} bytes: it is journaled");
                return Err(Problem::bad(message));
            }
            counter.dismiss(who, &due, reason).await?
        }
        _ => return Err(Problem::new(StatusCode::NOT_FOUND, "there is no such action")),
    };
    // A kill before this leaves it: begun again it is the same request, and so the same run; dismissed again it is said twice.
    counter.held.remove(&id).map_err(unreadable)?;
    Ok(Json(told))
}
