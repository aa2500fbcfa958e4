//! One test for each row of the runbook's table, and for what two rows have in common.

use recover_scenarios::diagnosis::{Class, Diagnosis, Finding, Sureness, diagnose};
use recover_scenarios::names::{BOOTSTRAP_FAILURE, CRASH_LOOP, IDENTITY_LOSS, RECONNECT_FAILURE};
use recover_steps::examined::{
    AgentStatus, Attachment, Handshake, IdentitySeen, Lasting, Look, Observations, Reached, Sameness, StorageKind,
    StorageSeen, TokenFate, WorkloadSeen,
};

use crate::seen::{alerted, fresh, intact, log, lost, standing, token};

#[track_caller]
fn is(seen: &Observations, class: Class, sureness: Sureness, scenario: &str) -> Diagnosis {
    let diagnosis = diagnose(seen);
    assert_eq!(diagnosis.finding, Finding::Failure(class), "{diagnosis:#?}");
    assert_eq!((diagnosis.sureness, diagnosis.scenario()), (sureness, Some(scenario)), "{diagnosis:#?}");
    assert!(!diagnosis.supporting.is_empty(), "nothing speaks for it: {diagnosis:#?}");
    assert!(sureness != Sureness::Certain || diagnosis.opposing.is_empty(), "certain in spite of: {diagnosis:#?}");
    assert!(!class.would().is_empty() && !class.must_not().is_empty() && !class.by_hand().is_empty());
    diagnosis
}

#[test]
fn c1_identity_intact_and_not_running_is_started_once() {
    let mut seen = intact();
    seen.workload = Look::seen("workload", WorkloadSeen::Stopped);
    is(&seen, Class::C1, Sureness::Certain, RECONNECT_FAILURE);
    // Started with its identity gone it would only ask to be enrolled.
    seen.standing = standing(AgentStatus::NeedsRecovery, Some("s1"));
    seen.identity = Look::seen("identity", IdentitySeen::Absent);
    is(&seen, Class::C12, Sureness::Certain, IDENTITY_LOSS);
}

#[test]
fn c2_control_plane_unreachable_hides_what_is_behind_it() {
    let mut seen = intact();
    seen.standing = Look::not_read("status", "not asked");
    seen.reach.tcp = Look::seen("tcp", Reached::No("connection refused".into()));
    // It answered and cannot be connected to: one of the two is wrong.
    is(&seen, Class::C2, Sureness::Unsure, RECONNECT_FAILURE);
    seen.reach.health = Look::not_read("health", "not tried");
    is(&seen, Class::C2, Sureness::Certain, RECONNECT_FAILURE);
    seen.reach.dns = Look::seen("dns", Reached::No("no such host".into()));
    is(&seen, Class::C2, Sureness::Certain, RECONNECT_FAILURE);
    seen.identity = Look::seen("identity", IdentitySeen::Absent);
    let two = is(&seen, Class::C2, Sureness::Likely, RECONNECT_FAILURE);
    assert!(
        two.possible.contains(&Class::C12) && two.besides.iter().any(|e| e.text.contains("no identity")),
        "{two:#?}"
    );
}

#[test]
fn c3_never_paired_and_token_expired() {
    let mut seen = fresh();
    seen.tokens = token(TokenFate::Expired);
    is(&seen, Class::C3, Sureness::Likely, BOOTSTRAP_FAILURE);
    seen.log = log(&["enrolment failed: the token has expired"]);
    is(&seen, Class::C3, Sureness::Certain, BOOTSTRAP_FAILURE);
    seen.tokens = token(TokenFate::Live);
    is(&seen, Class::C3, Sureness::Unsure, BOOTSTRAP_FAILURE);
}

#[test]
fn c4_never_paired_and_token_revoked_asks_who_did_it() {
    let mut seen = fresh();
    seen.tokens = token(TokenFate::Revoked);
    seen.log = log(&["401 enrolment token revoked"]);
    is(&seen, Class::C4, Sureness::Certain, BOOTSTRAP_FAILURE);
    assert!(Class::C4.would().contains("ask who") && Class::C4.must_not()[0].contains("mint before it is known who"));
}

#[test]
fn c5_certificate_request_refused_burns_the_token() {
    let mut seen = fresh();
    seen.tokens = token(TokenFate::Consumed);
    seen.log = log(&["CSR validation failed: name not allowed"]);
    is(&seen, Class::C5, Sureness::Certain, BOOTSTRAP_FAILURE);
    seen.log = log(&["CSR validation failed: name not allowed agent=edge-2"]);
    is(&seen, Class::C5, Sureness::Likely, BOOTSTRAP_FAILURE);
}

#[test]
fn c6_unknown_authority_is_told_by_the_handshake_or_by_the_log() {
    let mut seen = fresh();
    seen.log = log(&["x509: certificate signed by unknown authority"]);
    is(&seen, Class::C6, Sureness::Likely, BOOTSTRAP_FAILURE);
    let mut seen = intact();
    seen.standing = Look::not_read("status", "not asked");
    seen.reach.tls = Look::seen("tls", Handshake::UnknownIssuer("UnknownIssuer".into()));
    seen.reach.health = Look::not_read("health", "not asked");
    // It has an identity: nothing is bootstrapped.
    is(&seen, Class::C6, Sureness::Certain, RECONNECT_FAILURE);
}

#[test]
fn c7_identity_intact_and_not_online_is_reconnect_failure() {
    let mut seen = intact();
    let diagnosis = is(&seen, Class::C7, Sureness::Certain, RECONNECT_FAILURE);
    assert!(diagnosis.possible.is_empty());
    seen.standing = standing(AgentStatus::NeedsRecovery, Some("s1"));
    let doubt = is(&seen, Class::C7, Sureness::Unsure, RECONNECT_FAILURE);
    assert!(doubt.opposing.iter().any(|e| e.text.contains("needs recovery")), "{doubt:#?}");
    assert!(Class::C7.must_not()[0].contains("enrol again while"));
}

#[test]
fn c8_degraded_is_neither_restarted_nor_enrolled() {
    let mut seen = intact();
    seen.standing = standing(AgentStatus::Degraded, Some("s1"));
    is(&seen, Class::C8, Sureness::Certain, RECONNECT_FAILURE);
    assert!(Class::C8.must_not().iter().any(|must_not| must_not.contains("restart")));
}

#[test]
fn c9_another_volume_is_reattached_before_anything_is_minted() {
    is(&lost(StorageKind::Volume, |s| s.original = Sameness::Other), Class::C9, Sureness::Certain, IDENTITY_LOSS);
    is(&lost(StorageKind::Volume, |s| s.attachment = Attachment::Missing), Class::C9, Sureness::Certain, IDENTITY_LOSS);
    is(&lost(StorageKind::Anonymous, |s| s.lasting = Lasting::Refuted), Class::C9, Sureness::Likely, IDENTITY_LOSS);
}

#[test]
fn c10_wrong_path_or_permission_is_told_where_the_identity_is_found() {
    let elsewhere = |s: &mut StorageSeen| s.elsewhere = Some("/var/lib/old".into());
    let found = is(&lost(StorageKind::Directory, elsewhere), Class::C10, Sureness::Certain, IDENTITY_LOSS);
    assert!(found.why.contains("/var/lib/old"));
    let mut seen = lost(StorageKind::Directory, |s| s.attachment = Attachment::Denied);
    seen.identity = Look::seen("identity", IdentitySeen::Denied { why: "Permission denied".into() });
    is(&seen, Class::C10, Sureness::Certain, IDENTITY_LOSS);
}

#[test]
fn c11_empty_dir_or_another_claim() {
    is(&lost(StorageKind::EmptyDir, |s| s.lasting = Lasting::Refuted), Class::C11, Sureness::Likely, IDENTITY_LOSS);
    is(&lost(StorageKind::Claim, |s| s.original = Sameness::Other), Class::C11, Sureness::Certain, IDENTITY_LOSS);
    // What is on a claim is not looked at by whoever may change nothing: then it takes the authority's word.
    for other in [
        lost(StorageKind::EmptyDir, |s| s.lasting = Lasting::Refuted),
        lost(StorageKind::Claim, |s| s.original = Sameness::Other),
    ] {
        let mut seen = other;
        seen.identity = Look::not_read("identity", "no pod is made to look");
        is(&seen, Class::C11, Sureness::Likely, IDENTITY_LOSS);
        seen.standing = standing(AgentStatus::Offline, Some("s1"));
        is(&seen, Class::C7, Sureness::Unsure, RECONNECT_FAILURE);
    }
}

#[test]
fn c12_paired_before_and_nothing_on_its_storage_is_identity_loss() {
    let mut seen = lost(StorageKind::Volume, |s| s.original = Sameness::Same);
    is(&seen, Class::C12, Sureness::Certain, IDENTITY_LOSS);
    seen.identity = Look::not_read("identity", "i/o error");
    is(&seen, Class::C12, Sureness::Unsure, IDENTITY_LOSS);
}

#[test]
fn c13_restarting_again_and_again_is_a_crash_loop_whatever_its_cause() {
    let mut seen = lost(StorageKind::Claim, |_| {});
    seen.workload = Look::seen("workload", WorkloadSeen::Restarting { restarts: 12 });
    let diagnosis = is(&seen, Class::C13, Sureness::Certain, CRASH_LOOP);
    assert!(diagnosis.possible.contains(&Class::C12), "{diagnosis:#?}");
    seen.workload = Look::seen("workload", WorkloadSeen::Restarting { restarts: 1 });
    is(&seen, Class::C13, Sureness::Likely, CRASH_LOOP);
    let mut seen = alerted(intact(), "SandboxConnectorCrashLoopHigh");
    seen.workload = Look::not_read("workload", "no kubeconfig");
    is(&seen, Class::C13, Sureness::Likely, CRASH_LOOP);
}

#[test]
fn c14_fallback_alert_is_presumed_identity_loss_until_a_usable_identity_disproves_it() {
    let name = "ControlPlaneConnectorBootstrapFallbackSuspectedHigh";
    let mut seen = alerted(intact(), name);
    is(&seen, Class::C7, Sureness::Certain, RECONNECT_FAILURE);
    seen.identity = Look::not_read("identity", "not entered");
    is(&seen, Class::C14, Sureness::Unsure, IDENTITY_LOSS);
    is(&alerted(lost(StorageKind::Volume, |_| {}), name), Class::C12, Sureness::Certain, IDENTITY_LOSS);
}

#[test]
fn the_names_of_the_procedures_are_those_of_this_build_where_it_has_them() {
    assert!(recover_scenarios::find(IDENTITY_LOSS).is_some());
    for class in Class::ALL {
        for paired in [false, true] {
            let name = class.scenario(paired);
            assert!([IDENTITY_LOSS, RECONNECT_FAILURE, BOOTSTRAP_FAILURE, CRASH_LOOP].contains(&name), "{name}");
        }
        assert_eq!(class.as_str().parse(), Ok(class));
        let same = Class::ALL.into_iter().filter(|other| other.title() == class.title()).count();
        assert!(same == 1 && !class.title().is_empty(), "{class}: {}", class.title());
    }
}
