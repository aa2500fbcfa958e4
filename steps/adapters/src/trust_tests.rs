//! A bundle is what was told out of band, or it is refused; installing it loses nothing and may be cut off anywhere.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

struct Ca {
    pem: String,
    fingerprint: String,
}

fn ca() -> Ca {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let certificate = params.self_signed(&key).unwrap();
    Ca { pem: certificate.pem(), fingerprint: Digest::of(certificate.der()).to_string() }
}

fn trust(dir: &Path, pinned: &[&Ca]) -> Trust {
    let colons = |text: &str| {
        let pairs: Vec<&str> = (0..32).map(|at| &text[at * 2..at * 2 + 2]).collect();
        pairs.join(":").to_uppercase()
    };
    Trust::new(TrustConfig {
        bundle: dir.join("ca.crt"),
        source: dir.join("brought.pem"),
        fingerprints: pinned.iter().map(|ca| colons(&ca.fingerprint)).collect(),
    })
}

#[test]
fn a_bundle_holds_what_was_told_and_nothing_else() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (ca(), ca());
    let trust = trust(dir.path(), &[&ours]);
    let wrong = |text: Option<&str>| {
        match text {
            Some(text) => std::fs::write(trust.bundle(), text).unwrap(),
            None => std::fs::remove_file(trust.bundle()).unwrap_or_default(),
        }
        trust.wrong().unwrap()
    };
    assert!(wrong(None).unwrap().contains("is not there"));
    assert!(wrong(Some("")).unwrap().contains("no certificate"));
    assert!(wrong(Some("-----BEGIN CERTIFICATE-----\n%\n-----END CERTIFICATE-----\n")).is_some());
    assert!(wrong(Some(&other.pem)).unwrap().contains(&other.fingerprint));
    assert!(wrong(Some(&format!("{}{}", ours.pem, other.pem))).unwrap().contains(&other.fingerprint));
    assert_eq!(wrong(Some(&ours.pem)), None);
    assert_eq!(wrong(Some(&format!("{}{}", ours.pem, ours.pem))), None);
}

#[test]
fn c6_the_bundle_that_was_told_is_installed_and_what_was_there_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (ca(), ca());
    let trust = trust(dir.path(), &[&ours]);
    std::fs::write(trust.bundle(), &other.pem).unwrap();
    std::fs::set_permissions(trust.bundle(), std::fs::Permissions::from_mode(0o640)).unwrap();
    std::fs::write(trust.source(), &ours.pem).unwrap();
    // As one leaves it that was killed before the rename.
    std::fs::write(dir.path().join("ca.crt.recover-new"), "half").unwrap();
    for _ in 0..2 {
        let kept = trust.install("run_1").unwrap().unwrap();
        assert_eq!(std::fs::read_to_string(&kept).unwrap(), other.pem);
        assert_eq!(std::fs::read_to_string(trust.bundle()).unwrap(), ours.pem);
    }
    let mode = std::fs::metadata(trust.bundle()).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o640);
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 3, "the bundle, the copy, and what was there before");
    assert_eq!(trust.wrong().unwrap(), None);
}

#[test]
fn c6_nothing_is_installed_that_was_not_told() {
    let dir = tempfile::tempdir().unwrap();
    let (ours, other) = (ca(), ca());
    let trust = trust(dir.path(), &[&ours]);
    std::fs::write(trust.bundle(), &other.pem).unwrap();
    for source in [None, Some(String::new()), Some(other.pem.clone()), Some(format!("{}{}", ours.pem, other.pem))] {
        let _ = std::fs::remove_file(trust.source());
        if let Some(text) = source {
            std::fs::write(trust.source(), text).unwrap();
        }
        assert!(trust.install("run_1").is_err());
        assert_eq!(std::fs::read_to_string(trust.bundle()).unwrap(), other.pem);
    }
    // A link is neither read nor replaced.
    std::fs::write(dir.path().join("elsewhere"), &ours.pem).unwrap();
    let _ = std::fs::remove_file(trust.source());
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), trust.source()).unwrap();
    assert!(trust.install("run_1").is_err());
}
