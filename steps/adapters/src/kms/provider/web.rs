//! `/live`, `/ready` with its body whatever the status, and `/metrics`: what the provider says of itself.

use std::path::Path;

use reqwest::Client;
use serde::Deserialize;

use crate::authority::Origin;
use crate::client;

/// The provider's own listeners.
#[derive(Debug)]
pub(in crate::kms) struct Web {
    client: Client,
    health: Origin,
    metrics: Option<(Client, Origin)>,
}

/// What `/ready` says. A field that is missing is not taken for good.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kms) struct Ready {
    pub(in crate::kms) status: u16,
    pub(in crate::kms) body: String,
    said: Option<Said>,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Said {
    status: String,
    #[serde(default)]
    healthz: String,
    #[serde(default)]
    stale: bool,
    #[serde(default)]
    reasons: Vec<String>,
    #[serde(default)]
    metadata_error_class: Option<String>,
    #[serde(default)]
    deep_error_class: Option<String>,
    #[serde(default)]
    persistence_degraded: bool,
}

impl Ready {
    fn of(status: u16, body: String) -> Self {
        let said = serde_json::from_str(&body).ok();
        Self { status, body, said }
    }

    /// Why it is not ready, in its own words; `None` if it is.
    pub(in crate::kms) fn not(&self) -> Option<Vec<String>> {
        let Some(said) = &self.said else {
            return Some(vec![format!("/ready answers {} and is not the provider's", self.status)]);
        };
        if self.status == 200 && said.status == "ok" {
            return None;
        }
        let mut reasons = said.reasons.clone();
        let classes = [("metadata", &said.metadata_error_class), ("deep probe", &said.deep_error_class)];
        reasons.extend(classes.into_iter().filter_map(|(of, class)| Some(format!("{of}: {}", class.as_ref()?))));
        if reasons.is_empty() {
            reasons.push(if said.stale { "status_stale".into() } else { format!("healthz: {}", said.healthz) });
        }
        Some(reasons)
    }

    /// What it could not save, while it is ready.
    pub(in crate::kms) fn degraded(&self) -> Option<String> {
        let said = self.said.as_ref()?;
        let failed = said.reasons.iter().any(|reason| reason == "state_save_failed");
        (said.persistence_degraded || failed).then(|| "persistence_degraded".to_owned())
    }
}

impl Web {
    pub(in crate::kms) fn new(health: &Origin, metrics: Option<&Origin>) -> Result<Self, String> {
        let of = |origin: &Origin| client::client(origin, None::<&Path>, "it must be plain http on loopback");
        let metrics = metrics.map(|origin| Ok::<_, String>((of(origin)?, origin.clone()))).transpose()?;
        Ok(Self { client: of(health)?, health: health.clone(), metrics })
    }

    /// Whether it says that it lives. That says nothing of OpenBao.
    pub(in crate::kms) async fn live(&self) -> Result<bool, String> {
        Ok(get(&self.client, &self.health, "/live").await?.0 == 200)
    }

    pub(in crate::kms) async fn ready(&self) -> Result<Ready, String> {
        let (status, body) = get(&self.client, &self.health, "/ready").await?;
        Ok(Ready::of(status, body))
    }

    /// Its metrics; `None` where none are configured or they cannot be had.
    pub(in crate::kms) async fn metrics(&self) -> Option<String> {
        let (client, origin) = self.metrics.as_ref()?;
        let (status, body) = get(client, origin, "/metrics").await.ok()?;
        (status == 200).then_some(body)
    }
}

async fn get(client: &Client, origin: &Origin, path: &str) -> Result<(u16, String), String> {
    let failed = |e: reqwest::Error| client::chain(&e.without_url());
    let mut response = client.get(origin.at(path)).send().await.map_err(failed)?;
    let body = client::body(&mut response).await?;
    Ok((response.status().as_u16(), String::from_utf8_lossy(&body).into_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_body_counts_whatever_the_status() {
        let not = |status: u16, body: &str| Ready::of(status, body.into()).not();
        assert_eq!(not(200, r#"{"status":"ok","healthz":"ok"}"#), None);
        assert_eq!(
            not(
                503,
                r#"{"status":"unavailable","reasons":["metadata_read_failed"],"metadata_error_class":"openbao_sealed"}"#
            ),
            Some(vec!["metadata_read_failed".into(), "metadata: openbao_sealed".into()])
        );
        assert_eq!(
            not(503, r#"{"status":"unavailable","healthz":"","stale":true}"#),
            Some(vec!["status_stale".into()])
        );
        assert!(not(200, "<html>").is_some() && not(200, r#"{"status":"unavailable"}"#).is_some());
        let degraded = Ready::of(200, r#"{"status":"ok","persistence_degraded":true}"#.into());
        assert_eq!((degraded.not(), degraded.degraded()), (None, Some("persistence_degraded".into())));
    }
}
