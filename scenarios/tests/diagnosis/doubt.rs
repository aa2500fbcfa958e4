//! What is said where something that would decide was not read, and what each observation speaks for.

use recover_scenarios::diagnosis::Class::{self, C1, C2, C3, C4, C5, C6, C7, C10, C12, C13};
use recover_scenarios::diagnosis::Sureness::{self, Certain, Likely, Unsure};
use recover_scenarios::diagnosis::{Diagnosis, Finding, diagnose};
use recover_scenarios::names::RECONNECT_FAILURE;
use recover_steps::Instance;
use recover_steps::examined::{
    AgentStatus, Health, IdentitySeen, Lasting, Look, Observations, Sameness, StorageKind, TokenFate, TokenSeen,
    WorkloadSeen,
};

use crate::seen::{alerted, fresh, intact, log, lost, standing, storage, token};

/// What a log can say of the way to the control plane, each by itself.
const NO_WAY: [&str; 3] = ["connection refused", "no such host", "i/o timeout"];

/// This, with a log that says so.
fn saying(mut seen: Observations, lines: &[&str]) -> Observations {
    seen.log = log(lines);
    seen
}

/// The authority was not read.
fn silent() -> Observations {
    Observations { standing: Look::not_read("status", "no answer"), ..intact() }
}

/// The identity was not read.
fn unread() -> Observations {
    Observations { identity: Look::not_read("identity", "not entered"), ..intact() }
}

/// Neither the authority nor the identity was read, nor whether the control plane is well.
fn blind(lines: &[&str]) -> Observations {
    let mut seen = Observations { standing: silent().standing, ..unread() };
    seen.reach.health = Look::not_read("health", "no answer");
    saying(seen, lines)
}

#[track_caller]
fn is(seen: &Observations, class: Class, sureness: Sureness, possible: &[Class]) -> Diagnosis {
    let diagnosis = diagnose(seen);
    assert_eq!(diagnosis.class(), Some(class), "{diagnosis:#?}");
    assert_eq!((diagnosis.sureness, diagnosis.possible.as_slice()), (sureness, possible), "{diagnosis:#?}");
    diagnosis
}

#[track_caller]
fn tells_nothing(seen: &Observations) {
    assert_eq!(diagnose(seen).finding, Finding::Undetermined);
}

fn runs(restarts: u32) -> Look<WorkloadSeen> {
    Look::seen("workload", WorkloadSeen::Running { instance: Instance("1".into()), restarts: Some(restarts) })
}

fn spoken(diagnosis: &Diagnosis) -> Vec<&str> {
    let all = [&diagnosis.supporting, &diagnosis.opposing, &diagnosis.besides];
    all.into_iter().flatten().map(|evidence| evidence.text.as_str()).collect()
}

#[test]
fn the_log_alone_is_a_hint_each_word_by_itself() {
    tells_nothing(&blind(&[]));
    is(&blind(&["the enrolment token was revoked"]), C4, Unsure, &[C12]);
    is(&blind(&["the enrolment token has expired"]), C3, Unsure, &[C12]);
    is(&blind(&["csr rejected"]), C5, Unsure, &[C12]);
    // A certificate that is not trusted says nothing of what is on its storage.
    is(&blind(&["x509: certificate signed by unknown authority"]), C6, Likely, &[]);
    is(&blind(&["401 ENROLLMENT_TOKEN_INVALID"]), C12, Unsure, &[C3, C4, C5]);
    is(&blind(&["event=connector_identity_recovery_started"]), C12, Unsure, &[C3, C4, C5]);
    is(&blind(&["open /data/x: permission denied"]), C10, Likely, &[C12]);
    is(&blind(&["connection refused"]), C2, Likely, &[C7]);
    is(&blind(&["no such host"]), C2, Likely, &[C7]);
    is(&blind(&["heartbeat timed out"]), C7, Unsure, &[C2, C12]);
    is(&blind(&["i/o timeout"]), C7, Unsure, &[C2, C12]);
}

#[test]
fn a_spike_of_refused_enrolments_begins_with_five() {
    let refused = |count| {
        let mut seen = blind(&[]);
        seen.refusals = Look::seen("audit", count);
        seen
    };
    tells_nothing(&refused(4));
    let spike = is(&refused(5), C12, Unsure, &[C3, C4, C5]);
    assert_eq!(spoken(&spike), ["5 enrolments were refused lately"]);
}

#[test]
fn it_paired_by_the_authoritys_word_by_a_serial_or_by_its_own_log() {
    let mut seen = lost(StorageKind::Volume, |_| {});
    for (paired_before, serial) in [(true, None), (false, Some("s1"))] {
        let mut told = standing(AgentStatus::NeedsRecovery, serial);
        if let recover_steps::examined::Found::Seen(standing) = &mut told.found {
            standing.paired_before = paired_before;
        }
        seen.standing = told;
        assert!(diagnose(&seen).paired_before, "{paired_before} {serial:?}");
    }
    // Where the authority says nothing: it was connected once, whatever came after that.
    let connected = "reconnected with persisted identity serial=s1";
    for lines in [&[connected, "heartbeat timed out"][..], &[connected, connected, "heartbeat timed out"]] {
        let diagnosis = is(&blind(lines), C7, Unsure, &[C1, C12]);
        assert!(diagnosis.paired_before, "{lines:?}");
    }
    assert!(!diagnose(&blind(&["heartbeat timed out"])).paired_before);
    // Then what its log says last is a matter of an identity that it has, and nothing is bootstrapped.
    let unknown_ca = is(&blind(&[connected, "x509: certificate signed by unknown authority"]), C6, Likely, &[]);
    assert_eq!(unknown_ca.scenario(), Some(RECONNECT_FAILURE));
    is(&blind(&[connected, "open /data/x: permission denied"]), C10, Likely, &[C12]);
    is(&blind(&[connected, "connection refused"]), C2, Likely, &[C7]);
    let mut ended = blind(&[connected]);
    ended.workload = Look::seen("workload", WorkloadSeen::Stopped);
    is(&ended, C1, Likely, &[C12]);
}

#[test]
fn an_identity_that_was_not_read_leaves_the_word_to_the_authority_and_to_the_log() {
    is(&unread(), C7, Unsure, &[C1, C12]);
    let asks = diagnose(&saying(unread(), &["401 ENROLLMENT_TOKEN_INVALID"]));
    assert_eq!((asks.class(), asks.sureness), (Some(C12), Unsure), "{asks:#?}");
}

#[test]
fn a_connection_that_is_only_reported_lost_is_likely() {
    tells_nothing(&silent());
    for line in ["heartbeat timed out", "i/o timeout", "connection refused"] {
        is(&saying(silent(), &[line]), C7, Likely, &[C2]);
    }
}

#[test]
fn what_answers_beside_a_status_that_it_gave_is_no_outage() {
    let mut seen = intact();
    seen.reach.health = Look::seen("health", Health::Unwell("503".into()));
    is(&seen, C7, Likely, &[]);
    seen.standing = silent().standing;
    is(&seen, C2, Likely, &[]);
}

#[test]
fn a_loop_that_is_only_reported_is_over_where_it_runs_and_is_online() {
    let mut seen = alerted(intact(), "SandboxConnectorCrashLoopHigh");
    assert_eq!(diagnose(&seen).class(), Some(C13));
    seen.standing = standing(AgentStatus::Online, Some("s1"));
    let over = diagnose(&seen);
    assert_eq!((over.finding, over.sureness), (Finding::Healthy, Likely), "{over:#?}");
}

#[test]
fn many_restarts_begin_with_three() {
    let told = |restarts| {
        let mut seen = alerted(intact(), "SandboxConnectorCrashLoopHigh");
        seen.workload = runs(restarts);
        let diagnosis = is(&seen, C13, if restarts == 0 { Unsure } else { Likely }, &[C6, C10]);
        diagnosis.supporting.iter().any(|evidence| evidence.text.contains("was restarted"))
    };
    assert_eq!([0, 2, 3, 4].map(told), [false, false, true, true]);
}

#[test]
fn before_its_first_pairing_the_log_is_held_against_the_token() {
    let told = |tokens: Look<Vec<TokenSeen>>, lines: &[&str]| {
        let mut seen = fresh();
        (seen.tokens, seen.log) = (tokens, log(lines));
        seen.reach.health = Look::not_read("health", "no answer");
        seen
    };
    let none = || Look::not_read("tokens", "403");
    tells_nothing(&told(none(), &[]));
    is(&told(none(), &["csr rejected"]), C5, Likely, &[]);
    is(&told(none(), &["the enrolment token was revoked"]), C4, Likely, &[]);
    is(&told(none(), &["the enrolment token has expired"]), C3, Likely, &[]);
    let refused = is(&told(none(), &["401 ENROLLMENT_TOKEN_INVALID"]), C3, Unsure, &[C4, C5]);
    assert!(refused.supporting.iter().any(|evidence| evidence.text.contains("ENROLLMENT")), "it speaks of the token");
    for line in NO_WAY {
        is(&told(token(TokenFate::Live), &[line]), C2, Likely, &[C3]);
    }
}

#[test]
fn what_was_read_is_said_for_and_against() {
    let mut seen = lost(StorageKind::Volume, |s| {
        (s.original, s.lasting) = (Sameness::Other, Lasting::Refuted);
    });
    let diagnosis = diagnose(&seen);
    let spoken = spoken(&diagnosis);
    for text in ["it is not the recorded storage", "the storage does not last: ext4 on /dev/sda1"] {
        assert!(spoken.contains(&text), "{text}: {spoken:#?}");
    }
    // A token that paired it speaks against every class of one that never paired; and a clock that is far off explains much.
    seen = fresh();
    seen.identity = Look::seen("identity", IdentitySeen::Absent);
    seen.storage = storage(StorageKind::Volume, |_| {});
    seen.tokens = Look::seen("tokens", vec![TokenSeen { fate: TokenFate::Consumed, paired: true }]);
    let against = |seen: &Observations, text: &str| diagnose(seen).opposing.iter().any(|e| e.text == text);
    assert!(against(&seen, "its newest token paired it"), "{:#?}", diagnose(&seen));
    seen.tokens = token(TokenFate::Expired);
    seen.log = log(&["the enrolment token has expired"]);
    for (off, said) in [(29_999, false), (30_000, true), (-30_000, true)] {
        seen.reach.health = Look::seen("health", Health::Well(Some(off)));
        let diagnosis = is(&seen, C3, Certain, &[]);
        assert_eq!(diagnosis.supporting.iter().any(|e| e.text.contains("30 s off")), said, "{off}");
    }
}
