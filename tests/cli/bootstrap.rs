//! `bootstrap-failure`, end to end: a connector that never paired gets one fresh token, once what kept it away is settled.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::Value;

use crate::certificates::ca;
use crate::sandbox::Sandbox;
use crate::tls::front;
use crate::{code, result, stderr};

const GO: &[&str] = &["--scenario", "bootstrap-failure", "--target", "edge-1", "--output", "json"];

/// Mints, tokens presented, pairings, tokens that would work.
fn credentials(sandbox: &Sandbox) -> [u64; 4] {
    let ledger = sandbox.ledger();
    ["mints", "pair_attempts", "pairs", "live_tokens"].map(|name| ledger[name].as_u64().unwrap())
}

fn starts(sandbox: &Sandbox) -> u64 {
    sandbox.ledger()["starts"].as_u64().unwrap()
}

/// Stops with the question of this name; gives the run.
fn asked(sandbox: &Sandbox, words: &[&str], question: &str) -> String {
    let output = sandbox.recover(&[GO, words].concat());
    let line = result(&output);
    assert_eq!((line["verdict"].as_str(), code(&output)), (Some("operator-needed"), 4), "{}", stderr(&output));
    assert_eq!(line["question"]["name"], question, "{line}");
    line["run"].as_str().unwrap().to_owned()
}

fn recovered(output: &std::process::Output) -> Value {
    let line = result(output);
    assert_eq!((line["verdict"].as_str(), code(output)), (Some("recovered"), 0), "{line} {}", stderr(output));
    line
}

#[test]
fn c3_a_token_that_expired_is_replaced_by_one_fresh_one_and_presented_once() {
    let sandbox = Sandbox::first_boot("expired");
    let line = recovered(&sandbox.recover(GO));
    assert_eq!(credentials(&sandbox), [1, 1, 1, 0]);
    assert_eq!(starts(&sandbox), 2, "one to pair, one to validate");
    assert!(sandbox.has_identity());
    let again = sandbox.recover(GO);
    assert_eq!((result(&again)["suggested_scenario"].as_str(), code(&again)), (Some("reconnect-failure"), 8));
    assert_eq!(credentials(&sandbox), [1, 1, 1, 0]);
    for words in [&["replay", line["run"].as_str().unwrap()][..], &["verify", "--all"]] {
        let output = sandbox.recover(words);
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
    }
}

#[test]
fn c3_a_connector_without_any_token_gets_one_and_by_default_a_person_is_asked() {
    let sandbox = Sandbox::first_boot("no-token");
    let run = asked(&sandbox, &["--set", "enroll=ask"], "fresh-token");
    assert_eq!((credentials(&sandbox), starts(&sandbox)), ([0; 4], 0), "nothing is done before the answer");
    recovered(&sandbox.recover(&["approve", &run, "--reason", "it is new", "--output", "json"]));
    assert_eq!(credentials(&sandbox), [1, 1, 1, 0]);
}

#[test]
fn c4_a_token_that_somebody_revoked_is_that_persons_matter_first() {
    let sandbox = Sandbox::first_boot("revoked");
    // A general yes is no answer to who did it.
    let run = asked(&sandbox, &["--yes"], "token-revoked");
    let denied = sandbox.recover(&["deny", &run, "--reason", "nobody knows who did it", "--output", "json"]);
    assert_eq!((result(&denied)["verdict"].as_str(), code(&denied)), (Some("given-up"), 2), "{}", stderr(&denied));
    assert_eq!((credentials(&sandbox), starts(&sandbox)), ([0; 4], 0));

    let run = asked(&sandbox, &[], "token-revoked");
    recovered(&sandbox.recover(&["approve", &run, "--reason", "my mistake", "--output", "json"]));
    assert_eq!(credentials(&sandbox), [1, 1, 1, 0]);
}

#[test]
fn c5_a_refused_request_is_mended_before_another_token_is_burnt() {
    let sandbox = Sandbox::first_boot("refused");
    let run = asked(&sandbox, &["--yes"], "request-refused");
    // It is not mended after all: one more token is burnt, and no third.
    sandbox.command(&["fault", "bad-csr", "--on", "pair", "--times", "5"]);
    let failed = sandbox.recover(&["approve", &run, "--reason", "should be mended", "--output", "json"]);
    let line = result(&failed);
    assert_eq!(line["verdict"], "given-up", "{line}");
    assert!(line["reason"].as_str().unwrap().contains("a person must find out why"), "{line}");
    assert_eq!(
        (line["workload"]["found"].as_str(), line["workload"]["left"].as_str()),
        (Some("running"), Some("running"))
    );
    assert_eq!(credentials(&sandbox), [1, 1, 0, 0]);

    sandbox.command(&["fault", "clear"]);
    let run = asked(&sandbox, &[], "request-refused");
    recovered(&sandbox.recover(&["approve", &run, "--reason", "the name is right now", "--output", "json"]));
    assert_eq!(credentials(&sandbox), [2, 2, 1, 0]);
}

#[test]
fn c5_a_token_that_still_works_is_not_doubled_without_a_word() {
    let sandbox = Sandbox::first_boot("outstanding");
    assert_eq!(sandbox.ledger()["live_tokens"], 1);
    let run = asked(&sandbox, &["--yes"], "token-outstanding");
    assert_eq!(sandbox.ledger()["live_tokens"], 1);
    recovered(&sandbox.recover(&["approve", &run, "--reason", "nobody has it", "--output", "json"]));
    assert_eq!(credentials(&sandbox), [1, 1, 1, 0]);
    assert_eq!(sandbox.ledger()["revokes"], 1);
}

/// Makes the connector ask the control plane over TLS and not trust it. Gives the configuration without `trust`, that line, and
/// the copy that it names.
fn untrusting(sandbox: &Sandbox, home: &Path) -> (String, String, PathBuf) {
    let (ours, other) = (ca(home, "ours"), ca(home, "other"));
    let bundle = home.join("ca.crt");
    std::fs::copy(&other.file, &bundle).unwrap();
    let original = std::fs::read_to_string(sandbox.config()).unwrap();
    let plain = original.split("base = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let front = front(&plain, &ours, "127.0.0.1", (2020, 2090));
    let config = original
        .replace(&format!("base = \"{plain}\""), &format!("base = \"{}\", ca = {:?}", front.base, ours.file))
        .replace(&format!("\"{plain}\""), &format!("\"{}\", \"--ca\", {bundle:?}", front.base));
    let der = CertificateDer::from_pem_slice(&std::fs::read(&ours.file).unwrap()).unwrap();
    let fingerprint = recover_engine::Digest::of(&der);
    let trust =
        format!("trust = {{ bundle = {bundle:?}, source = {:?}, fingerprints = [\"{fingerprint}\"] }}\n", ours.file);
    (config, trust, ours.file)
}

#[test]
fn c6_the_pinned_bundle_is_installed_and_never_the_peers_own() {
    let sandbox = Sandbox::first_boot("no-token");
    let home = tempfile::tempdir().unwrap();
    let (config, trust, brought) = untrusting(&sandbox, home.path());
    let bundle = home.path().join("ca.crt");
    let before = std::fs::read(&bundle).unwrap();

    // Nobody was told a fingerprint: the log is believed, and nothing is done.
    std::fs::write(sandbox.config(), &config).unwrap();
    let log = sandbox.dir().join("connector.log");
    let said = "2026-11-22T03:00:00.000Z the bootstrap call failed: x509: certificate signed by unknown authority\n";
    std::fs::write(&log, said).unwrap();
    let unpinned = sandbox.recover(GO);
    let line = result(&unpinned);
    assert_eq!((line["verdict"].as_str(), code(&unpinned)), (Some("given-up"), 2), "{line}");
    assert!(line["reason"].as_str().unwrap().contains("never taken from the peer"), "{line}");

    // Told another one than the copy has: nothing is installed, nothing minted.
    let digits = trust.split("[\"").nth(1).unwrap().split('"').next().unwrap();
    let wrong = trust.replace(digits, &"0".repeat(64));
    std::fs::write(sandbox.config(), format!("{config}{wrong}")).unwrap();
    let refused = sandbox.recover(GO);
    let line = result(&refused);
    assert_eq!(line["verdict"], "given-up", "{line}");
    assert!(line["reason"].as_str().unwrap().contains("not the bundle that was told"), "{line}");
    assert_eq!((std::fs::read(&bundle).unwrap(), credentials(&sandbox)), (before.clone(), [0; 4]));

    std::fs::write(sandbox.config(), format!("{config}{trust}")).unwrap();
    let line = recovered(&sandbox.recover(GO));
    assert_eq!(std::fs::read(&bundle).unwrap(), std::fs::read(&brought).unwrap());
    let kept = home.path().join(format!("ca.crt.before-{}", line["run"].as_str().unwrap()));
    assert_eq!(std::fs::read(kept).unwrap(), before, "what was there is kept");
    assert_eq!(credentials(&sandbox), [1, 1, 1, 0]);
}

#[test]
fn c3_whatever_moment_it_is_killed_at_resume_pairs_it_once() {
    for ms in [10, 40, 90, 200, 500, 1_500] {
        let sandbox = Sandbox::first_boot("expired");
        let mut child = sandbox.recovering(GO).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(ms));
        child.kill().unwrap();
        child.wait().unwrap();
        let resumed = sandbox.recover(&["resume", "--all"]);
        // Killed between the intent and the pairing, the run takes its unused token back and ends as it found things: exit code 2.
        assert!([0, 2].contains(&code(&resumed)), "killed after {ms} ms: {}", stderr(&resumed));
        if sandbox.ledger()["pairs"] == 0 {
            recovered(&sandbox.recover(GO));
        }
        let ledger = sandbox.ledger();
        assert_eq!(
            (&ledger["pairs"], &ledger["live_tokens"]),
            (&1.into(), &0.into()),
            "killed after {ms} ms: {ledger}"
        );
        assert_eq!(code(&sandbox.recover(&["verify", "--all"])), 0);
    }
}

#[test]
fn a_connector_that_paired_before_is_not_bootstrapped() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let output = sandbox.recover(GO);
    let line = result(&output);
    assert_eq!((line["suggested_scenario"].as_str(), code(&output)), (Some("identity-loss"), 8), "{line}");
    assert_eq!(sandbox.ledger()["mints"], 0);
}
