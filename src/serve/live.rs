//! Records as they come, as server-sent events.
//!
//! Facts: WHATWG HTML, "server-sent events": a browser that lost the connection asks again, with the last id that it heard in
//! `Last-Event-ID`. The id of a record is its number, so a run is told from there on without a gap.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use http_body_util::channel::{Channel, Sender};
use recover_engine::RunId;
use serde_json::Value;
use tokio::sync::broadcast::{Receiver, error::RecvError};

use super::api::{Named, Problem, Viewer, blocking};
use super::counter::Counter;
use crate::line;
use crate::store::parse_run;

/// So that whatever is between notices that somebody listens.
const STILL_HERE: Duration = Duration::from_secs(15);

/// Every record of every run from now on.
pub(super) async fn all(_: Viewer, State(counter): State<Arc<Counter>>) -> Response {
    stream(counter.listen(), None, Vec::new())
}

/// Every record of one run, those that there are first.
pub(super) async fn one(
    _: Viewer,
    State(counter): State<Arc<Counter>>,
    Named(run): Named<String>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let id = parse_run(&run)?;
    let last = headers.get("last-event-id").and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    // Before the log is read: what comes meanwhile is heard twice, and said once.
    let live = counter.listen();
    let entries = blocking(move || counter.records()?.entries(id)).await?;
    let after = last.unwrap_or_default();
    let past = entries.iter().filter(|entry| entry.header().seq > after).map(line::event).collect();
    Ok(stream(live, Some(id), past))
}

fn stream(live: Receiver<Arc<Value>>, only: Option<RunId>, past: Vec<Value>) -> Response {
    let (sender, body) = Channel::<Bytes, Infallible>::new(64);
    tokio::spawn(tell(sender, live, only.map(|run| run.to_string()), past));
    let headers = [(header::CONTENT_TYPE, "text/event-stream"), (header::CACHE_CONTROL, "no-store")];
    (headers, Body::new(body)).into_response()
}

/// Until the listener goes.
async fn tell(
    mut to: Sender<Bytes, Infallible>,
    mut live: Receiver<Arc<Value>>,
    only: Option<String>,
    past: Vec<Value>,
) {
    let mut last = 0;
    if to.send_data(Bytes::from_static(b": records of runs\n\n")).await.is_err() {
        return;
    }
    for record in past {
        last = record["seq"].as_u64().unwrap_or(last);
        if to.send_data(said(&record)).await.is_err() {
            return;
        }
    }
    loop {
        let said = match tokio::time::timeout(STILL_HERE, live.recv()).await {
            Err(_) => Bytes::from_static(b": still here\n\n"),
            Ok(Ok(record)) => match &only {
                Some(run) if record["run"] != **run || record["seq"].as_u64().is_some_and(|seq| seq <= last) => {
                    continue;
                }
                Some(_) | None => said(&record),
            },
            // Too slow: what is missing is in the log, and whoever hears this asks for it.
            Ok(Err(RecvError::Lagged(_))) => Bytes::from_static(b"event: lagged\ndata: {}\n\n"),
            Ok(Err(RecvError::Closed)) => return,
        };
        if to.send_data(said).await.is_err() {
            return;
        }
    }
}

fn said(record: &Value) -> Bytes {
    Bytes::from(format!("id: {}\nevent: record\ndata: {record}\n\n", record["seq"]))
}
