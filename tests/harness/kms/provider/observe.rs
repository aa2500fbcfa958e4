//! What an observation of the key makes of the registry: nothing, a version that is pending, a promotion, or a refusal.

use std::fmt;

use super::key::Scope;
use super::profile::{Profile, blocking};
use super::registry::{Snapshot, State};
use super::settings::Settings;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    Config(String),
    Unavailable(String),
    Metadata(String),
    Unusable(String),
    Rollback(String),
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(why) => write!(f, "status config invalid: {why}"),
            Self::Unavailable(why) => write!(f, "status state unavailable: {why}"),
            Self::Metadata(why) => write!(f, "transit metadata invalid: {why}"),
            Self::Unusable(why) => write!(f, "transit key unusable: {why}"),
            Self::Rollback(why) => write!(f, "transit version rollback rejected: {why}"),
        }
    }
}

/// Whether a registry may be made of what the key tells, and why.
pub fn bootstrap(profile: &Profile) -> (bool, String) {
    let denied = |what: &str| (false, format!("{what}; restore state and checkpoint from backup or a matching peer"));
    if profile.latest_version != 1 {
        denied("latest_version is not 1")
    } else if profile.min_available_version > 1 {
        denied("min_available_version is above 1")
    } else if profile.min_decryption_version > 1 {
        denied("min_decryption_version is above 1")
    } else {
        (true, "key was never rotated".into())
    }
}

pub struct Observer {
    pub scope: Scope,
    activation_delay_s: f64,
    stable_count: i64,
    reject_rollback: bool,
}

impl Observer {
    pub fn new(settings: &Settings) -> Self {
        Self {
            scope: settings.scope(),
            activation_delay_s: settings.rotation.activation_delay.0.as_secs_f64(),
            stable_count: settings.rotation.require_stable_observation_count.into(),
            reject_rollback: settings.rotation.reject_version_rollback,
        }
    }

    fn snapshot(&self, version: u64, created: i64, state: &str) -> Snapshot {
        let of = &self.scope;
        Snapshot {
            provider_name: of.provider.clone(),
            cluster_id: of.cluster.clone(),
            openbao_instance_id: of.instance.clone(),
            openbao_namespace: of.namespace.clone(),
            transit_mount_id: of.mount.clone(),
            transit_key_lineage_id: of.lineage.clone(),
            transit_version: version,
            transit_version_created_at_unix: created,
            kubernetes_key_id: of.key_id(version, created),
            state: state.into(),
            aad_mode: "required".into(),
            observed_at_unix: 0,
            stable_observation_count: 0,
            stable_at_unix: 0,
            promoted_at_unix: 0,
        }
    }

    /// A first registry, out of what the key tells alone.
    pub fn rebuilt(&self, profile: &Profile, now: i64) -> Result<State, Trouble> {
        usable(profile)?;
        let mut snapshots = Vec::new();
        for version in (profile.min_available_version.max(1)..=profile.latest_version).rev() {
            let state = if version == profile.latest_version { "active" } else { "retired" };
            let mut snapshot = self.snapshot(version, created(profile, version)?, state);
            snapshot.observed_at_unix = now;
            snapshot.promoted_at_unix = if state == "active" { now } else { 0 };
            snapshots.push(snapshot);
        }
        let active = snapshots[0].kubernetes_key_id.clone();
        let state = State::new(&active, snapshots, 1, "");
        fits(profile, &state)?;
        Ok(state)
    }

    /// What follows, if anything changes.
    pub fn observed(&self, state: &State, profile: &Profile, now: i64) -> Result<Option<State>, Trouble> {
        usable(profile)?;
        self.same_scope(state)?;
        let active = state.active();
        if profile.latest_version < active.transit_version {
            return if self.reject_rollback {
                Err(Trouble::Rollback("observed Transit version is behind active version".into()))
            } else {
                Ok(None)
            };
        }
        fits(profile, state)?;
        let next = if profile.latest_version == active.transit_version {
            let kept: Vec<_> = state.snapshots.iter().filter(|s| s.state != "pending").cloned().collect();
            (kept.len() != state.snapshots.len()).then(|| state.followed_by(&state.active_key_id, kept))
        } else {
            Some(self.newer(state, profile, now)?)
        };
        if let Some(next) = &next {
            fits(profile, next)?;
        }
        Ok(next)
    }

    fn newer(&self, state: &State, profile: &Profile, now: i64) -> Result<State, Trouble> {
        let active = state.active();
        let candidate = self.snapshot(profile.latest_version, created(profile, profile.latest_version)?, "pending");
        let mut pending = candidate.clone();
        let mut snapshots = Vec::new();
        for snapshot in &state.snapshots {
            if snapshot.state != "pending" {
                snapshots.push(snapshot.clone());
            } else if snapshot.kubernetes_key_id == candidate.kubernetes_key_id {
                pending = snapshot.clone();
            }
        }
        for version in active.transit_version + 1..profile.latest_version {
            let at = profile
                .created(version)
                .ok_or_else(|| Trouble::Metadata("intermediate Transit version creation time not found".into()))?;
            let mut between = self.snapshot(version, at, "retired");
            between.observed_at_unix = now;
            if !snapshots.iter().any(|s| s.transit_version == version) {
                snapshots.push(between);
            }
        }
        pending.stable_observation_count += 1;
        if pending.observed_at_unix == 0 {
            pending.observed_at_unix = now;
        }
        if pending.stable_observation_count >= self.stable_count && pending.stable_at_unix == 0 {
            pending.stable_at_unix = now;
        }
        let due = pending.stable_at_unix != 0 && now as f64 >= pending.stable_at_unix as f64 + self.activation_delay_s;
        if !due {
            snapshots.push(pending);
            return Ok(state.followed_by(&state.active_key_id, snapshots));
        }
        for snapshot in snapshots.iter_mut().filter(|s| s.is_active()) {
            "retired".clone_into(&mut snapshot.state);
            (snapshot.stable_at_unix, snapshot.stable_observation_count) = (0, 0);
        }
        "active".clone_into(&mut pending.state);
        pending.promoted_at_unix = now;
        let active = pending.kubernetes_key_id.clone();
        snapshots.push(pending);
        Ok(state.followed_by(&active, snapshots))
    }

    fn same_scope(&self, state: &State) -> Result<(), Trouble> {
        let of = &self.scope;
        for s in &state.snapshots {
            for (kept, now, what) in [
                (&s.provider_name, &of.provider, "provider name"),
                (&s.cluster_id, &of.cluster, "cluster ID"),
                (&s.openbao_instance_id, &of.instance, "OpenBao instance ID"),
                (&s.openbao_namespace, &of.namespace, "OpenBao namespace"),
                (&s.transit_mount_id, &of.mount, "Transit mount ID"),
                (&s.transit_key_lineage_id, &of.lineage, "Transit key lineage ID"),
            ] {
                if kept != now {
                    let why = format!("persisted state {what} differs from current configuration");
                    return Err(Trouble::Config(why));
                }
            }
            if s.aad_mode != "required" {
                return Err(Trouble::Config("persisted state AAD mode differs from current configuration".into()));
            }
        }
        Ok(())
    }
}

fn created(profile: &Profile, version: u64) -> Result<i64, Trouble> {
    let missing = || Trouble::Metadata("Transit version creation time not found".into());
    profile.created(version).ok_or_else(missing)
}

/// Whether the key could be used at all.
fn usable(profile: &Profile) -> Result<(), Trouble> {
    if profile.latest_version == 0 {
        return Err(Trouble::Metadata("latest Transit version must be positive".into()));
    }
    if profile.soft_deleted {
        return Err(Trouble::Unusable("Transit key is soft-deleted".into()));
    }
    if profile.min_available_version > profile.latest_version {
        return Err(Trouble::Unusable("minimum available version exceeds latest version".into()));
    }
    let findings = blocking(profile);
    if !findings.is_empty() {
        let why = format!("Transit key profile has blocking settings: {}", findings.join("; "));
        return Err(Trouble::Unusable(why));
    }
    created(profile, profile.latest_version).map(|_| ())
}

/// Whether it is the key that the registry knows, and every version that is needed can be used.
fn fits(profile: &Profile, state: &State) -> Result<(), Trouble> {
    for snapshot in state.snapshots.iter().filter(|s| s.decrypts()) {
        let (version, label) = (snapshot.transit_version, if snapshot.is_active() { "active" } else { "historical" });
        let unusable = |what: &str| Err(Trouble::Unusable(format!("{label} Transit version {what}")));
        if snapshot.is_active() && profile.min_encryption_version > version {
            return unusable("cannot encrypt");
        }
        if profile.min_available_version > version {
            return unusable("is unavailable");
        }
        if profile.min_decryption_version > version {
            return unusable("cannot decrypt");
        }
        let (kept, now) = (snapshot.transit_version_created_at_unix, created(profile, version)?);
        if kept != now {
            return Err(Trouble::Metadata(format!(
                "{label} Transit version creation time changed (persisted_unix={kept} observed_unix={now})"
            )));
        }
    }
    Ok(())
}
