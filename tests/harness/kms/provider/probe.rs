//! `probe` (second generation): one round trip through the socket that runs, as whoever calls it.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use super::super::call::{CallFailure, call};
use super::super::wire::{
    DecryptRequest, DecryptResponse, EncryptRequest, EncryptResponse, StatusRequest, StatusResponse, method,
};
use super::key::is_key_id;
use super::report::Report;

pub async fn probe(socket: &Path, expected: Option<&str>) -> Report {
    let mut report = Report::new("probe");
    let uid = nix::unistd::geteuid();
    let groups: Vec<_> = nix::unistd::getgroups().unwrap_or_default().iter().map(|g| g.as_raw()).collect();
    let identity = format!("uid={uid} gid={} groups={groups:?}", nix::unistd::getegid()).replace(',', "");
    if uid.is_root() {
        report.warn(
            "client.identity",
            "Caller identity",
            format!("{identity}; root does not prove non-root socket access"),
        );
    } else {
        report.pass("client.identity", "Caller identity", identity);
    }
    let (id, title) = ("socket.path", "Unix socket");
    let about = match std::fs::symlink_metadata(socket) {
        Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
            report.fail(id, title, "access denied; check caller groups and parent-directory search permission");
            return report;
        }
        Ok(about) if about.file_type().is_socket() => about,
        _ => {
            report.fail(id, title, "socket missing or wrong file type; check the path and provider readiness");
            return report;
        }
    };
    report.pass(id, title, "path is a Unix socket, not a symlink");
    if about.uid() == uid.as_raw() {
        report.warn(
            "socket.access_scope",
            "Socket access scope",
            "caller owns the socket; this round trip does not verify access through the socket group",
        );
    }
    round_trip(&mut report, socket, expected).await;
    report
}

async fn round_trip(report: &mut Report, socket: &Path, expected: Option<&str>) {
    let (id, title) = ("kms.status", "Running provider Status");
    let told: Result<StatusResponse, CallFailure> = call(socket, method::STATUS, &StatusRequest {}).await;
    let Ok(status) = told else {
        return report.fail(
            id,
            title,
            "Status request failed; check provider readiness, caller socket-group access, and the deadline",
        );
    };
    if status.version != "v2" || status.healthz != "ok" {
        return report.fail(id, title, "provider is unhealthy or not KMS v2; inspect provider diagnostics");
    }
    if !is_key_id(&status.key_id) {
        return report.fail(
            "kms.key_id",
            "Active key ID",
            "provider returned an invalid key ID; check the selected socket",
        );
    }
    report.pass(id, title, "KMS v2 provider reports healthy");
    if expected.is_some_and(|expected| expected != status.key_id) {
        return report.fail(
            "kms.key_id",
            "Peer key agreement",
            "active key differs; check node identity and rotation convergence",
        );
    }
    let mut plaintext = vec![0; 32];
    ring::rand::SecureRandom::fill(&ring::rand::SystemRandom::new(), &mut plaintext).unwrap();
    let asked = EncryptRequest { plaintext: plaintext.clone(), uid: "probe-encrypt".into() };
    let told: Result<EncryptResponse, CallFailure> = call(socket, method::ENCRYPT, &asked).await;
    let Some(encrypted) = told.ok().filter(|told| !told.ciphertext.is_empty()) else {
        return report.fail(
            "kms.encrypt",
            "Running provider Encrypt",
            "Encrypt failed; check provider readiness and OpenBao access",
        );
    };
    if encrypted.key_id != status.key_id {
        return report.fail(
            "kms.key_id",
            "Active key agreement",
            "key changed during probe; wait for rotation convergence and retry",
        );
    }
    report.pass("kms.encrypt", "Running provider Encrypt", "fresh probe bytes encrypted through the live socket");
    let EncryptResponse { ciphertext, key_id, annotations } = encrypted;
    let asked = DecryptRequest { ciphertext, uid: "probe-decrypt".into(), key_id, annotations };
    let told: Result<DecryptResponse, CallFailure> = call(socket, method::DECRYPT, &asked).await;
    if told.ok().is_none_or(|told| told.plaintext != plaintext) {
        return report.fail(
            "kms.decrypt",
            "Running provider Decrypt",
            "Decrypt failed or returned different bytes; check provider diagnostics and Transit decrypt permissions",
        );
    }
    report.pass("kms.decrypt", "Running provider Decrypt", "live round trip returned the original probe bytes");
    report.pass("kms.key_id", "Active key ID", status.key_id);
}
