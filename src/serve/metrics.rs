//! Counts for Prometheus: no name of a target, no secret, nothing that has to be hidden.

use std::fmt::Write as _;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use axum::extract::State;
use axum::http::header;
use axum::response::IntoResponse;
use recover_engine::{Phase, Position};

use super::api::{Problem, blocking};
use super::counter::Counter;
use crate::clock;
use crate::verbs::rehearsals;

pub(super) async fn metrics(State(counter): State<Arc<Counter>>) -> Result<impl IntoResponse, Problem> {
    let text = blocking(move || {
        let records = counter.records()?;
        let stats = records.stats()?;
        let (open, _) = records.open_positions()?;
        let asked = |position: &&Position| matches!(position.phase, Phase::Asked { .. });
        let in_doubt = |position: &&Position| matches!(&position.phase, Phase::Open(open) if open.doubt.is_some());
        let positions: Vec<_> = open.iter().filter_map(|position| position.as_ref().ok()).collect();
        let held = counter.held.all().map_or(0, |held| held.len());
        let mut out = String::new();
        let mut gauge = |name: &str, help: &str, value: u64| {
            _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} gauge\n{name} {value}");
        };
        let count = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        gauge("recover_runs_open", "Runs that have not ended.", count(open.len()));
        gauge("recover_runs_executing", "Runs that are executed now.", counter.watch.live());
        gauge(
            "recover_runs_asking",
            "Runs that wait for a person's answer.",
            count(positions.iter().copied().filter(asked).count()),
        );
        gauge(
            "recover_runs_in_doubt",
            "Runs with an effect whose outcome is unknown.",
            count(positions.iter().copied().filter(in_doubt).count()),
        );
        gauge("recover_alerts_held", "Alerts that wait for a person.", count(held));
        gauge("recover_runs", "Runs in the journal.", stats["runs"].as_u64().unwrap_or_default());
        gauge(
            "recover_journal_frames",
            "Durable commits in the journal.",
            stats["frames"].as_u64().unwrap_or_default(),
        );
        gauge(
            "recover_journal_bytes",
            "Bytes of the journal's log.",
            stats["log"]["bytes"].as_u64().unwrap_or_default(),
        );
        let rehearsals = rehearsals(&counter.place);
        let ready = rehearsals.iter().filter(|(ready, _)| *ready).count();
        gauge("recover_targets", "Targets of the configuration.", count(counter.place.loaded.config.target.len()));
        gauge(
            "recover_ready",
            "Targets whose last rehearsal found nothing in a run's way and nothing unproven.",
            count(ready),
        );
        if let Some(oldest) = rehearsals.iter().map(|(_, at)| *at).min() {
            let age = u64::try_from(clock::now().0 - oldest.0).unwrap_or_default() / 1_000;
            gauge("recover_rehearsal_age_seconds", "How long ago the oldest of the last rehearsals was.", age);
        }
        let mut counter_of = |name: &str, help: &str, values: Vec<(String, u64)>| {
            _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} counter");
            values.into_iter().for_each(|(labels, value)| _ = writeln!(out, "{name}{labels} {value}"));
        };
        let seen = counter.counts.records.load(Ordering::Relaxed);
        counter_of("recover_records_total", "Records since the start.", vec![(String::new(), seen)]);
        let closed = counter.counts.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let closed = closed.iter().map(|(verdict, n)| (format!("{{verdict=\"{verdict}\"}}"), *n)).collect();
        counter_of("recover_runs_closed_total", "Runs that ended since the start, by verdict.", closed);
        let alerts = counter.counts.alerts.lock().unwrap_or_else(PoisonError::into_inner);
        let alerts = alerts.iter().map(|(what, n)| (format!("{{outcome=\"{what}\"}}"), *n)).collect();
        counter_of("recover_alerts_total", "Alerts since the start, by what came of them.", alerts);
        Ok(out)
    });
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], text.await?))
}
