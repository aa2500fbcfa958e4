//! What has to be right on this machine: configuration, state directory, journal.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use recover_adapters::CredentialRef;
use recover_adapters::config::AuthorityConfig;
use recover_adapters::openbao::LoginConfig;
use rustix::fs::Access;

use super::Check;
use crate::fault::Code;
use crate::place::Place;
use crate::records::Records;
use crate::target::{ConnectorTarget, KmsTarget, Target};

/// A run needs little, but it needs it. Bytes.
const ROOM_LEAST: u64 = 64 << 20;

/// Configuration, state directory and journal.
pub(crate) fn local(place: &Place) -> Vec<Check> {
    let mut checks = vec![configuration(place)];
    for (name, target) in &place.loaded.config.target {
        checks.push(described(place, target).of(name));
        checks.extend(credentials(target).into_iter().map(|check| check.of(name)));
    }
    checks.push(state_dir(place));
    checks.extend(journal(&place.state));
    checks
}

fn configuration(place: &Place) -> Check {
    const CHECK: &str = "configuration";
    let Some(from) = &place.loaded.from else {
        return Check::warn(CHECK, "there is none: only the target `sandbox` is known").hint("recover init makes one");
    };
    let config = &place.loaded.config;
    let said = format!("{}, {} targets", from.display(), config.target.len());
    if !config.target.is_empty() && !place.named {
        return Check::bad(CHECK, format!("{said}, and no state directory is named")).hint("set `state_dir` in it");
    }
    match std::fs::metadata(from) {
        Ok(meta) if meta.mode() & 0o020 != 0 => {
            Check::warn(CHECK, format!("{said}; its group may write it")).hint(format!("chmod g-w {}", from.display()))
        }
        Ok(meta) if meta.uid() != 0 && meta.uid() != rustix::process::geteuid().as_raw() => {
            Check::warn(CHECK, format!("{said}; it is neither yours nor root's, but user {}'s", meta.uid()))
        }
        Ok(_) => Check::ok(CHECK, said),
        Err(e) => Check::bad(CHECK, format!("{}: {e}", from.display())),
    }
}

/// What a target's shape alone does not say.
fn described(place: &Place, target: &Target) -> Check {
    const CHECK: &str = "target";
    let usable = || {
        target.check()?;
        for scenario in target.kind().scenarios() {
            target.params(scenario, &place.loaded.config.policy, None, &[])?;
        }
        target.world().map(drop)
    };
    match usable() {
        Ok(()) => Check::ok(CHECK, format!("described as can be used; its subject is {}", target.subject())),
        Err(fault) => Check::bad(CHECK, fault.message),
    }
}

/// The files with credentials of ours.
fn credentials(target: &Target) -> Vec<Check> {
    match target {
        Target::Connector(target) => of_connector(target).and_then(credential).into_iter().collect(),
        Target::Kms(target) => of_kms(target).into_iter().filter_map(credential).collect(),
    }
}

fn of_connector(target: &ConnectorTarget) -> Option<&CredentialRef> {
    match &target.authority {
        AuthorityConfig::Http(http) => Some(&http.credential),
        AuthorityConfig::SpireJoinToken(_) => None,
    }
}

fn of_kms(target: &KmsTarget) -> Vec<&CredentialRef> {
    let login = target.openbao.login.as_ref().and_then(|login| match login {
        LoginConfig::Approle(approle) => Some(&approle.secret_id),
        LoginConfig::Jwt(jwt) => Some(&jwt.jwt),
        LoginConfig::Cert(_) => None,
    });
    target.openbao.token.iter().chain(login).chain(&target.cluster.credential).collect()
}

/// A credential's file: there, and nobody else's to read. What is in it is not looked at.
fn credential(reference: &CredentialRef) -> Option<Check> {
    const CHECK: &str = "credential";
    let CredentialRef::File(path) = reference else { return None };
    let shown = path.display();
    Some(match std::fs::metadata(path) {
        Ok(meta) if !meta.is_file() => Check::bad(CHECK, format!("{shown} is no regular file")),
        Ok(meta) if meta.mode() & 0o077 != 0 => {
            Check::bad(CHECK, format!("{shown} may be read by others")).hint(format!("chmod 600 {shown}"))
        }
        Ok(_) => match rustix::fs::access(path, Access::READ_OK) {
            Ok(()) => Check::ok(CHECK, format!("{shown} is there, and its owner's alone")),
            Err(e) => Check::bad(CHECK, format!("{shown} cannot be read: {e}")),
        },
        Err(e) => Check::bad(CHECK, format!("{shown}: {e}")),
    })
}

fn state_dir(place: &Place) -> Check {
    const CHECK: &str = "state";
    let (path, shown) = (&place.state, place.state.display());
    let meta = match path.symlink_metadata() {
        Ok(meta) => meta,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return not_yet(path),
        Err(e) => return Check::bad(CHECK, format!("{shown}: {e}")),
    };
    if !meta.is_dir() || meta.uid() != rustix::process::geteuid().as_raw() || meta.mode() & 0o022 != 0 {
        return Check::bad(CHECK, format!("{shown} is not a directory of your own that nobody else may write"))
            .hint("recover explain RCV0015");
    }
    writable(path).unwrap_or_else(|| Check::ok(CHECK, format!("{shown} is yours, and has room")))
}

/// The first run makes it, if its folder lets it.
fn not_yet(path: &Path) -> Check {
    let above = path.ancestors().find(|above| above.is_dir()).unwrap_or(Path::new("/"));
    writable(above)
        .unwrap_or_else(|| Check::ok("state", format!("{} is not there yet; the first run makes it", path.display())))
}

/// Why a folder takes nothing, if it does not.
fn writable(path: &Path) -> Option<Check> {
    let shown = path.display();
    if let Err(e) = rustix::fs::access(path, Access::WRITE_OK | Access::EXEC_OK) {
        return Some(Check::bad("state", format!("{shown} cannot be written: {e}")));
    }
    match rustix::fs::statvfs(path) {
        Ok(room) if room.f_bavail.saturating_mul(room.f_frsize) < ROOM_LEAST => {
            Some(Check::bad("state", format!("{shown} has less than {} MiB left", ROOM_LEAST >> 20)))
        }
        Ok(_) => None,
        Err(e) => Some(Check::bad("state", format!("{shown}: {e}"))),
    }
}

/// The journal, frame by frame; and what is open in it.
fn journal(state: &Path) -> Vec<Check> {
    const CHECK: &str = "journal";
    let records = match Records::open(state) {
        Ok(records) => records,
        Err(fault) if fault.code == Code::StateDirMissing => {
            return vec![Check::ok(CHECK, "there is none yet")];
        }
        Err(fault) => return vec![Check::bad(CHECK, fault.message)],
    };
    let verified = match records.verify_log() {
        Ok(report) if report["damage"].as_array().is_some_and(Vec::is_empty) => {
            Check::ok(CHECK, format!("{} frames hold, {} records", report["frames"], report["records"]))
        }
        Ok(_) => Check::bad(CHECK, "it is damaged").hint("recover journal verify names every place"),
        Err(fault) => Check::bad(CHECK, fault.message),
    };
    let open = match records.open_runs() {
        Ok(runs) if runs.is_empty() => Check::ok("runs", "none is open"),
        Ok(runs) => Check::warn("runs", format!("{} open", runs.len())).hint("recover status"),
        Err(fault) => Check::bad("runs", fault.message),
    };
    vec![verified, open]
}
