//! What the probes found last: the one thing that Status, Encrypt, `/ready` and the metrics speak from. No request makes a probe.

use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::observe::{Observer, Trouble, bootstrap};
use super::registry::{self, Snapshot, State};
use super::settings::Settings;
use super::transit::{Bao, Failure};

/// After so many failures in a row, OpenBao is left alone for a while.
const FAILURES_MOST: u32 = 5;

/// Why something is not as it should be: the reason of `/ready`, and the class beside it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Why {
    pub reason: &'static str,
    pub class: String,
    pub text: String,
}

impl Why {
    fn new(reason: &'static str, class: &str, text: String) -> Self {
        Self { reason, class: class.to_owned(), text }
    }

    fn of(reason: &'static str, failure: &Failure) -> Self {
        Self::new(reason, failure.shown(), failure.to_string())
    }
}

#[derive(Clone, Debug, Default)]
pub struct View {
    pub state: Option<State>,
    pub updated: Option<Instant>,
    pub metadata: Option<Result<(), Why>>,
    pub deep: Option<Result<(), Why>>,
    pub degraded: bool,
    failures: u32,
    open_until: Option<Instant>,
}

impl View {
    pub fn stale(&self, most: Duration) -> bool {
        self.updated.is_none_or(|at| at.elapsed() > most)
    }

    pub fn healthy(&self, most: Duration) -> bool {
        let ok = |of: &Option<Result<(), Why>>| matches!(of, Some(Ok(())));
        self.state.is_some() && ok(&self.metadata) && ok(&self.deep) && !self.stale(most)
    }

    pub fn active(&self) -> Option<&Snapshot> {
        self.state.as_ref().map(State::active)
    }

    pub fn breaker_open(&self) -> bool {
        self.open_until.is_some_and(|until| until > Instant::now())
    }

    pub fn reasons(&self, most: Duration) -> Vec<&'static str> {
        let mut reasons = Vec::new();
        let mut add = |reason| {
            if !reasons.contains(&reason) {
                reasons.push(reason);
            }
        };
        if self.state.is_none() {
            add("state_unavailable");
        }
        if self.stale(most) {
            add("status_stale");
        }
        match &self.metadata {
            None => add("metadata_unverified"),
            Some(Err(why)) => add(why.reason),
            Some(Ok(())) => {}
        }
        match &self.deep {
            _ if self.state.is_none() => {}
            None => add("deep_probe_pending"),
            Some(Err(why)) => add(why.reason),
            Some(Ok(())) => {}
        }
        reasons
    }
}

pub struct Controller {
    pub bao: Bao,
    observer: Observer,
    path: PathBuf,
    breaker_for: Duration,
    pub most_stale: Duration,
    pub view: Mutex<View>,
}

pub fn now_unix() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs()).unwrap()
}

impl Controller {
    /// Loads the registry that is there; a missing checkpoint is made good for.
    pub fn new(settings: &Settings, fine_classes: bool) -> Result<Self, String> {
        let bao = Bao::new(settings, fine_classes)?;
        let loaded = registry::load(&settings.state.path).map_err(|e| e.to_string())?;
        if let Some(state) = &loaded.state
            && loaded.checkpoint_status() != "current"
        {
            registry::save(&settings.state.path, state).map_err(|e| e.to_string())?;
        }
        Ok(Self {
            bao,
            observer: Observer::new(settings),
            path: settings.state.path.clone(),
            breaker_for: settings.status.probe_interval.0 * 2,
            most_stale: settings.status.status_max_staleness.0,
            view: Mutex::new(View { state: loaded.state, ..View::default() }),
        })
    }

    pub fn seen(&self) -> View {
        self.view.lock().unwrap().clone()
    }

    fn failed(&self) {
        let mut view = self.view.lock().unwrap();
        view.failures += 1;
        if view.failures >= FAILURES_MOST {
            view.open_until = Some(Instant::now() + self.breaker_for);
        }
    }

    fn succeeded(&self) {
        let mut view = self.view.lock().unwrap();
        (view.failures, view.open_until) = (0, None);
    }

    /// Reads the key, and what that makes of the registry.
    pub async fn probe_metadata(&self) -> Result<(), Why> {
        let ended = self.metadata().await;
        let status = ended.as_ref().err().map_or("ok", |why| why.class.as_str()).to_owned();
        self.bao.metrics.count("openbao_kms_transit_metadata_observation_total", &[("status", &status)]);
        let mut view = self.view.lock().unwrap();
        view.metadata = Some(ended.clone());
        view.updated = Some(Instant::now());
        ended
    }

    async fn metadata(&self) -> Result<(), Why> {
        if self.seen().breaker_open() {
            let text = "circuit breaker open: probe skipped while circuit breaker is open".to_owned();
            return Err(Why::new("circuit_breaker_open", "circuit_breaker_open", text));
        }
        match self.bao.upsert_disabled().await {
            Ok(true) => {}
            Ok(false) => {
                let text = "status probe failed: Transit disable_upsert is false".to_owned();
                return Err(Why::new("upsert_allowed", "upsert_allowed", text));
            }
            Err(failure) => {
                self.failed();
                return Err(Why::of("upsert_check_failed", &failure));
            }
        }
        let profile = match self.bao.profile().await {
            Ok(profile) => profile,
            Err(failure) => {
                self.failed();
                return Err(Why::of("metadata_read_failed", &failure));
            }
        };
        let (before, now) = (self.seen().state, now_unix());
        let next = match &before {
            Some(state) => self.observer.observed(state, &profile, now),
            None => match bootstrap(&profile) {
                (true, _) => self.observer.rebuilt(&profile, now).map(Some),
                (false, why) => {
                    let text = format!("local registry state is absent and cannot be auto-bootstrapped: {why}");
                    Err(Trouble::Unavailable(text))
                }
            },
        };
        let next = next.map_err(|trouble| {
            let reason = match &trouble {
                Trouble::Rollback(_) => "version_rollback",
                Trouble::Unavailable(_) => "state_unavailable",
                Trouble::Config(_) | Trouble::Metadata(_) | Trouble::Unusable(_) => "profile_invalid",
            };
            Why::new(reason, reason, trouble.to_string())
        })?;
        if let Some(next) = next {
            self.adopt(before.as_ref(), next)?;
        } else {
            self.view.lock().unwrap().degraded = false;
        }
        self.succeeded();
        Ok(())
    }

    fn adopt(&self, before: Option<&State>, next: State) -> Result<(), Why> {
        if let Err(failure) = registry::save(&self.path, &next) {
            // What only counts observations can wait; everything else cannot.
            let only_counts = before.is_some_and(|before| {
                let pending = |state: &State| state.pending().map(|s| s.kubernetes_key_id.clone());
                before.active_key_id == next.active_key_id
                    && before.snapshots.len() == next.snapshots.len()
                    && pending(before).is_some()
                    && pending(before) == pending(&next)
            });
            if only_counts && registry::load(&self.path).is_ok_and(|loaded| loaded.state.as_ref() == before) {
                self.view.lock().unwrap().degraded = true;
                return Ok(());
            }
            let text = format!("status probe failed: save registry state: {failure}");
            return Err(Why::new("state_save_failed", "state_save_failed", text));
        }
        let mut view = self.view.lock().unwrap();
        if view.active().is_some_and(|active| active.kubernetes_key_id != next.active_key_id) {
            view.deep = None;
        }
        view.degraded = false;
        view.state = Some(next);
        Ok(())
    }

    pub fn deep_is_due(&self) -> bool {
        let view = self.seen();
        view.state.is_some() && matches!(view.metadata, Some(Ok(()))) && !matches!(view.deep, Some(Ok(())))
    }

    /// Encrypts and decrypts something of no value.
    pub async fn probe_deep(&self) {
        let Some(active) = self.seen().active().cloned() else { return };
        let ended = if self.seen().breaker_open() {
            let text = "probe skipped while circuit breaker is open".to_owned();
            Err(Why::new("circuit_breaker_open", "circuit_breaker_open", text))
        } else {
            self.round_trip(active.transit_version).await.map_err(|failure| {
                self.failed();
                Why::of("deep_probe_failed", &failure)
            })
        };
        if ended.is_ok() {
            self.succeeded();
        }
        self.view.lock().unwrap().deep = Some(ended);
    }

    async fn round_trip(&self, version: u64) -> Result<(), Failure> {
        round_trip(&self.bao, version, b"openbao-kubernetes-kms/status-probe/v1").await
    }
}

pub async fn round_trip(bao: &Bao, version: u64, aad: &[u8]) -> Result<(), Failure> {
    let mut plaintext = [0; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut plaintext).unwrap();
    let ciphertext = bao.encrypt(&plaintext, aad, version).await?;
    let back = bao.decrypt(&ciphertext, aad).await?;
    let differs = Failure { class: "unknown", status: 200, operation: "transit_decrypt", login: false, local: None };
    if back == plaintext { Ok(()) } else { Err(differs) }
}
