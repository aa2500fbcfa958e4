//! `rotation-plan` and `verify-rotation`. In the first generation, half a report is a success.

use serde_json::{Map, Value, json};

use super::Generation;
use super::key::hash;
use super::observe::{Observer, bootstrap};
use super::registry;
use super::report::Output;
use super::settings::Settings;
use super::status::now_unix;
use super::transit::{Bao, Failure};

/// Prints the report; the exit code, and what is wrong.
pub async fn report(name: &str, settings: &Settings, generation: Generation, output: Output) -> (u8, Option<String>) {
    let mut told = Map::new();
    let mut tell = |name: &str, value: Value| {
        let zero = value == json!("") || value == json!(0) || value == json!(false) || value.is_null();
        let always = ["name", "stateLoaded", "stateCheckpointLoaded", "rotationState"].contains(&name);
        if !zero || always {
            told.insert(name.to_owned(), value);
        }
    };
    let loaded = match registry::load(&settings.state.path) {
        Ok(loaded) => loaded,
        Err(failure) => return (4, Some(failure.to_string())),
    };
    tell("name", json!(name));
    tell("stateLoaded", json!(loaded.state.is_some()));
    tell("stateGeneration", json!(loaded.state.as_ref().map(|s| s.generation)));
    tell("stateHash", json!(loaded.state.as_ref().map(|s| s.current_hash.clone())));
    tell("stateCheckpointLoaded", json!(loaded.checkpoint.is_some()));
    tell("stateCheckpointStatus", json!(loaded.checkpoint_status()));
    tell("stateCheckpointGeneration", json!(loaded.checkpoint.as_ref().map(|c| c.generation)));
    tell("stateCheckpointHash", json!(loaded.checkpoint.as_ref().map(|c| c.current_hash.clone())));
    let mut state = loaded.state.clone();
    let read = read(settings, generation).await;
    match &read {
        Ok(profile) => {
            if state.is_none() {
                let (eligible, reason) = bootstrap(profile);
                tell("stateBootstrapEligible", json!(eligible));
                tell("stateBootstrapReason", json!(reason));
                if !eligible {
                    let why = format!(
                        "status state unavailable: local registry state is absent and cannot be auto-bootstrapped: {reason}"
                    );
                    return (4, Some(why));
                }
            }
            // What is kept is compared with what is there, as the second generation does.
            let observer = Observer::new(settings);
            let checked = match &state {
                None => observer.rebuilt(profile, now_unix()).map(Some),
                Some(state) if generation == Generation::Two => {
                    observer.observed(state, profile, now_unix()).map(|_| None)
                }
                Some(_) => Ok(None),
            };
            match checked {
                Ok(rebuilt) => state = rebuilt.or(state),
                Err(trouble) if state.is_none() || generation == Generation::One => {
                    return (4, Some(trouble.to_string()));
                }
                Err(trouble) => {
                    tell("transitMetadataStatus", json!("fail"));
                    tell("transitMetadataError", json!(trouble.to_string()));
                }
            }
            tell("latestTransitVersion", json!(profile.latest_version));
        }
        Err(failure) if state.is_none() => return (4, Some(failure.to_string())),
        Err(failure) if generation == Generation::Two => {
            tell("transitMetadataStatus", json!("fail"));
            tell("transitMetadataError", json!(failure.to_string()));
        }
        Err(_) => {}
    }
    let pending = state.as_ref().and_then(|s| s.pending().cloned());
    let active = state.as_ref().map(|s| s.active().clone());
    tell("activeKeyIdHash", json!(active.as_ref().map(|s| hash(&s.kubernetes_key_id))));
    tell("activeTransitVersion", json!(active.as_ref().map(|s| s.transit_version)));
    tell(
        "rotationState",
        json!(match (&active, &pending) {
            (None, _) => "unknown",
            (Some(_), Some(_)) => "pending",
            (Some(_), None) => "active",
        }),
    );
    if let Some(pending) = pending {
        tell("pendingKeyIdHash", json!(hash(&pending.kubernetes_key_id)));
        tell("pendingTransitVersion", json!(pending.transit_version));
        tell("pendingStableObservationCount", json!(pending.stable_observation_count));
        if pending.stable_at_unix > 0 {
            let delay = i64::try_from(settings.rotation.activation_delay.0.as_secs()).unwrap();
            tell("pendingPromotesAfter", json!(rfc3339(pending.stable_at_unix + delay)));
        }
    }
    if name == "verify-rotation" {
        tell("confidence", json!("limited"));
        tell(
            "limitations",
            json!(
                "local registry and Transit metadata cannot prove every Kubernetes object or retained backup has been rewritten"
            ),
        );
    }
    let failed = told.contains_key("transitMetadataStatus");
    if generation == Generation::Two && !failed {
        told.insert("transitMetadataStatus".into(), json!("pass"));
    }
    print(&told, output);
    if failed { (4, Some(format!("{name}: live Transit metadata could not be verified"))) } else { (0, None) }
}

async fn read(settings: &Settings, generation: Generation) -> Result<super::profile::Profile, Failure> {
    let unusable = |why| Failure {
        class: "unknown",
        status: 0,
        operation: "transit_metadata_read",
        login: false,
        local: Some(why),
    };
    Bao::new(settings, generation == Generation::Two).map_err(unusable)?.profile().await
}

fn print(told: &Map<String, Value>, output: Output) {
    if output == Output::Json {
        println!("{}", serde_json::to_string_pretty(told).unwrap());
        return;
    }
    println!("{}", told["name"].as_str().unwrap());
    for (name, value) in told.iter().filter(|(name, _)| *name != "name") {
        println!("{name}: {}", value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    }
}

/// Civil time out of seconds since 1970.
fn rfc3339(at: i64) -> String {
    let (days, rest) = (at.div_euclid(86_400) + 719_468, at.rem_euclid(86_400));
    let era = days.div_euclid(146_097);
    let of_era = days - era * 146_097;
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let shifted = (5 * of_year + 2) / 153;
    let (day, month) = (of_year - (153 * shifted + 2) / 5 + 1, if shifted < 10 { shifted + 3 } else { shifted - 9 });
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3_600, rest / 60 % 60, rest % 60)
}
