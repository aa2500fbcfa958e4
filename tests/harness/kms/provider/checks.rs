//! `doctor` and `verify-key`. A prerequisite that fails ends the run early: what is not in the report has not passed.

use std::path::Path;

use super::key::hash;
use super::login;
use super::observe::{Observer, bootstrap};
use super::profile::{Profile, findings};
use super::registry::{self, Loaded};
use super::report::Report;
use super::settings::Settings;
use super::status::round_trip;
use super::transit::Bao;
use super::{Generation, encryption, socket};

const LOGIN: (&str, &str) = ("openbao.auth", "OpenBao login");

/// The report, and the exit code where it is not the checks that decide.
pub async fn doctor(path: &Path, encryption: Option<&Path>, generation: Generation) -> (Report, Option<u8>) {
    let mut report = Report::new("doctor");
    let Some(settings) = loaded(&mut report, path, "local configuration is syntactically safe") else {
        return (report, Some(3));
    };
    if let Err(why) = socket::folder_flaw(&settings) {
        report.fail("config.validate", "Config validation", why);
        report.skip(LOGIN.0, LOGIN.1, "config validation failed");
        return (report, Some(3));
    }
    let group = socket::group(&settings.server.socket_group);
    report.judge("socket.group", "Socket group", group.map(|_| "configured group resolves locally".into()));
    let mut locally = true;
    for (id, title, found) in login::local(&settings) {
        locally &= report.judge(id, title, found);
    }
    let (id, title) = ("kubernetes.encryption_config", "EncryptionConfiguration");
    match encryption.map(|file| encryption::identity_remains(file, &settings, generation)) {
        None => report.skip(id, title, "no --encryption-config path supplied"),
        Some(Ok(true)) => report.warn(id, title, "identity fallback remains configured"),
        Some(Ok(false)) => report.pass(id, title, "KMS v2 provider matches local config"),
        Some(Err(why)) => report.fail(id, title, why),
    }
    if !locally {
        report.skip(LOGIN.0, LOGIN.1, "local validation of what is shown failed");
        return (report, None);
    }
    let Some((bao, profile, sound)) = transit(&mut report, &settings, generation).await else { return (report, None) };
    let (id, title) = ("transit.probe", "Transit probe");
    if sound {
        let tried = round_trip(&bao, profile.latest_version, b"openbao-kubernetes-kms/doctor-probe/v1").await;
        let tried = tried.map(|()| "non-secret encrypt/decrypt probe succeeded".into()).map_err(|e| e.to_string());
        report.judge(id, title, tried);
    } else {
        report.skip(id, title, "Transit key profile failed");
    }
    if deterministic(&mut report, &settings, &profile, sound) {
        // In this process alone: the socket that runs is not asked.
        report.pass("kms.status_encrypt", "Status/encrypt consistency", "local invariant holds");
    }
    (report, None)
}

pub async fn verify_key(path: &Path, generation: Generation) -> (Report, Option<u8>) {
    let mut report = Report::new("verify-key");
    let Some(settings) = loaded(&mut report, path, "identity-bearing configuration is valid") else {
        return (report, Some(3));
    };
    let Some((_, profile, sound)) = transit(&mut report, &settings, generation).await else { return (report, None) };
    if deterministic(&mut report, &settings, &profile, sound) {
        registry_state(&mut report, &settings, &profile);
    }
    (report, None)
}

fn loaded(report: &mut Report, path: &Path, sound: &str) -> Option<Settings> {
    let (id, title) = ("config.load", "Config load");
    let settings = match Settings::load(path) {
        Ok(settings) => settings,
        Err(why) => {
            report.fail(id, title, why);
            return None;
        }
    };
    report.pass(id, title, "loaded typed provider configuration");
    match settings.problem() {
        None => {
            report.pass("config.validate", "Config validation", sound);
            Some(settings)
        }
        Some(problem) => {
            report.fail("config.validate", "Config validation", problem);
            report.skip(LOGIN.0, LOGIN.1, "config validation failed");
            None
        }
    }
}

/// Everything up to the key's profile, and whether that is as it must be.
async fn transit(report: &mut Report, settings: &Settings, generation: Generation) -> Option<(Bao, Profile, bool)> {
    let (id, title) = ("openbao.tls", "OpenBao TLS config");
    let bao = match Bao::new(settings, generation == Generation::Two) {
        Ok(bao) => bao,
        Err(why) => {
            report.fail(id, title, why);
            report.skip(LOGIN.0, LOGIN.1, "TLS configuration failed");
            return None;
        }
    };
    report.pass(id, title, "CA bundle and server name are usable");
    let came = bao.token().await.map(|_| "authenticated with configured role".into()).map_err(|e| e.to_string());
    if !report.judge(LOGIN.0, LOGIN.1, came) {
        return None;
    }
    let may = capabilities(&bao, settings).await.map(|()| "required hot-path capabilities are present".into());
    report.judge("transit.capabilities", "Transit policy capabilities", may);
    let profile = match bao.profile().await {
        Ok(profile) => profile,
        Err(failure) => {
            report.fail("transit.metadata", "Transit metadata", failure.to_string());
            return None;
        }
    };
    report.pass("transit.metadata", "Transit metadata", "configured key metadata is readable");
    let found = findings(&profile);
    let sound = found.is_empty();
    let judged = if sound { Ok("key settings are suitable for KMS".into()) } else { Err(found.join("; ")) };
    report.judge("transit.profile", "Transit key profile", judged);
    let upsert = match bao.upsert_disabled().await {
        Ok(true) => Ok("implicit key creation is disabled".into()),
        Ok(false) => Err("mount allows implicit key creation".into()),
        Err(failure) => Err(failure.to_string()),
    };
    report.judge("transit.disable_upsert", "Transit disable_upsert", upsert);
    Some((bao, profile, sound))
}

async fn capabilities(bao: &Bao, settings: &Settings) -> Result<(), String> {
    let (mount, key) = (&settings.transit.mount_path, &settings.transit.key_name);
    let [metadata, encrypt, decrypt, rotate, export, backup] = [
        format!("{mount}/keys/{key}"),
        format!("{mount}/encrypt/{key}"),
        format!("{mount}/decrypt/{key}"),
        format!("{mount}/keys/{key}/rotate"),
        format!("{mount}/export/encryption-key/{key}"),
        format!("{mount}/backup/{key}"),
    ];
    let paths = [&metadata, &encrypt, &decrypt, &rotate, &export, &backup].map(Clone::clone);
    let told = bao.capabilities(&paths).await.map_err(|e| e.to_string())?;
    let may = |path: &String, words: &[&str]| {
        told[path]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(|w| w.as_str())
            .any(|w| w == "root" || words.contains(&w))
    };
    let manages = [
        (&metadata, &["create", "update", "delete", "sudo"] as &[_]),
        (&rotate, &["update", "sudo"]),
        (&export, &["create", "read", "update", "sudo"]),
        (&backup, &["create", "read", "update", "sudo"]),
        (&encrypt, &["sudo"]),
        (&decrypt, &["sudo"]),
    ];
    if manages.iter().any(|(path, words)| may(path, words)) {
        return Err("token can perform non-hot-path key management".into());
    }
    for (path, word, what) in [
        (&metadata, "read", "metadata read"),
        (&encrypt, "update", "encrypt update"),
        (&decrypt, "update", "decrypt update"),
    ] {
        if !may(path, &[word]) {
            return Err(format!("{what} capability is missing"));
        }
    }
    Ok(())
}

/// Derives the registry anew over every version that is available: after a raised lowest version that fails, and no key is lost.
fn deterministic(report: &mut Report, settings: &Settings, profile: &Profile, sound: bool) -> bool {
    let (id, title) = ("key_id.deterministic", "Key ID determinism");
    if !sound {
        report.skip(id, title, "Transit key profile failed");
        return false;
    }
    let rebuilt = Observer::new(settings).rebuilt(profile, 1_778_277_600);
    let told = rebuilt.map(|state| format!("active key_id hash {}", hash(&state.active_key_id)));
    report.judge(id, title, told.map_err(|e| e.to_string()))
}

fn registry_state(report: &mut Report, settings: &Settings, profile: &Profile) {
    let (id, title) = ("registry.state", "Registry state");
    let (restrictions, its_title) = ("transit.version_restrictions", "Transit version restrictions");
    let state = match registry::load(&settings.state.path) {
        Err(failure) => return report.fail(id, title, failure.to_string()),
        Ok(Loaded { state: None, .. }) => {
            let (eligible, reason) = bootstrap(profile);
            report.warn(id, title, format!("state file is absent; auto-bootstrap eligible={eligible}: {reason}"));
            let usable = profile.min_available_version.max(profile.min_decryption_version) <= profile.latest_version;
            let told = if usable {
                Ok("latest Transit version is usable".into())
            } else {
                Err("minimum decryption version blocks latest version".into())
            };
            report.judge(restrictions, its_title, told);
            return;
        }
        Ok(found) => {
            match found.checkpoint_status() {
                "missing" => report.warn(
                    id,
                    title,
                    "state file loaded but replay checkpoint is absent; rollback detection is not anchored",
                ),
                "behind" => {
                    report.warn(id, title, "state file loaded but replay checkpoint lags the accepted state generation")
                }
                _ => report.pass(id, title, "loaded local key registry state and checkpoint"),
            }
            found.state.unwrap()
        }
    };
    let mut blocked = Vec::new();
    for snapshot in state.snapshots.iter().filter(|s| s.decrypts()) {
        let version = snapshot.transit_version;
        for (is, what) in [
            (profile.min_available_version > version, "minimum available version blocks required historical version"),
            (profile.min_decryption_version > version, "minimum decryption version blocks required historical version"),
            (
                snapshot.is_active() && profile.min_encryption_version > version,
                "minimum encryption version blocks active version",
            ),
        ] {
            if is && !blocked.contains(&what) {
                blocked.push(what);
            }
        }
    }
    let told = if blocked.is_empty() {
        Ok("active and historical versions remain usable".into())
    } else {
        Err(blocked.join("; "))
    };
    report.judge(restrictions, its_title, told);
}
