//! What each step says of itself: to a person its summary, to the engine its endings, its time and its deadline.

use recover_engine::{Effect, Event, Millis, Outcome};
use recover_steps::*;

/// A step's own words, in one line.
fn said<E: Effect>(step: &E) -> String {
    let ending = |outcome: &Outcome<E::Event>| match outcome {
        Outcome::Happened(event) => event.ending().to_owned(),
        Outcome::Refused(reason) => format!("!{}", reason.code),
    };
    let endings: Vec<String> = step.endings().iter().map(ending).collect();
    let before = step.not_after().map(|Millis(at)| format!(", before {at}")).unwrap_or_default();
    format!("{} ({} ms{before}): {}: {}", E::NAME, step.timeout_ms(), endings.join(" "), step.summary())
}

fn token() -> Token {
    Token { accessor: "acc-7".into(), label: "label-7".into(), expires_at: Millis(5_000) }
}

fn original() -> Original {
    Original { path: "/old".into(), file_id: "8:15".into() }
}

#[test]
fn every_step_names_what_it_acts_on_how_it_can_end_and_how_long_it_takes() {
    let instance = || Instance("life-1".into());
    let serial = || "s1".to_owned();
    let said = [
        said(&Observe {}),
        said(&AwaitOnline { serial: serial(), instance: instance(), observe_ms: 300, within_ms: 4_000 }),
        said(&Stop {}),
        said(&ProveStopped {}),
        said(&Start {}),
        said(&Restart { from: instance() }),
        said(&Reach {}),
        said(&Repair { from: Some(instance()) }),
        said(&Repair { from: None }),
        said(&Search { epoch: serial() }),
        said(&InspectEnrollment {}),
        said(&InstallTrust {}),
        said(&WatchLoop { within_ms: 1_000 }),
        said(&ProveDurable { storage: Storage::Target }),
        said(&ProveDurable { storage: Storage::Held { serial: serial() } }),
        said(&ProveDurable { storage: Storage::Original(original()) }),
        said(&Reattach { original: original() }),
        said(&Detach { original: original() }),
        said(&SetAside {}),
        said(&PutBack {}),
        said(&RevokeStale {}),
        said(&RevokeOrphan { token: token() }),
        said(&Mint { ttl_s: 600 }),
        said(&Pair { token: token(), within_ms: 7_000 }),
        said(&Withdraw { token: token() }),
        said(&Validate { serial: serial(), instance: instance() }),
        said(&Capture { serial: serial(), alert: None }),
    ];
    let expected = [
        "observe (20000 ms): lost lost usable usable usable usable never-paired unclear !authority: \
         observe the connector, its storage and the authority's view of it",
        // The time to come online, the time to stay so, and some for the replies.
        "await-online (14300 ms): online not-online !authority: wait until the connector is online with identity s1",
        "stop (30000 ms): stopped !workload: stop the workload",
        "prove-stopped (10000 ms): stopped running !workload: prove that nothing of the workload runs",
        "start (30000 ms): started !workload: start the workload",
        "restart (60000 ms): restarted !workload: restart the workload once, to validate",
        "reach (60000 ms): reached unreachable unreachable unreachable unreachable !authority: \
         look whether the control plane can be reached: DNS, TCP, TLS, healthz",
        "repair (60000 ms): repaired !workload: restart the workload once, to repair",
        "repair (60000 ms): repaired !workload: start the workload once, to repair",
        "search-original (30000 ms): found gone unreadable !storage: search for the original storage with identity s1",
        "inspect-enrollment (30000 ms): paired paired skewed unclear expired revoked denied outstanding untrusted untrusted \
         expired revoked denied outstanding untrusted untrusted !authority: \
         look why the connector never paired: its tokens at the authority, the clock, the CA bundle it trusts",
        "install-trust (30000 ms): installed installed !storage: \
         install the CA bundle with the configured fingerprints where the connector looks for it",
        "watch-loop (31000 ms): looping looping steady stopped !workload: \
         capture the log, and watch whether the workload ends again and again",
        "prove-durable (10000 ms): durable refuted undecided !storage occupied unwritable: \
         prove that the workload's storage is durable, writable and free",
        "prove-durable (10000 ms): durable refuted undecided !storage occupied unwritable: \
         prove that the workload's storage is durable and writable, and has identity s1",
        // Of the original neither is asked: it holds an identity, and nothing is written there.
        "prove-durable (10000 ms): durable refuted undecided !storage: prove that /old is durable",
        "reattach (30000 ms): reattached !storage: reattach the original storage from /old",
        "detach (30000 ms): detached !storage: put both storages back where they were found",
        "set-aside (30000 ms): done !storage: set the unusable identity's directory aside",
        "put-back (30000 ms): done !storage: put the directory that was set aside back",
        "revoke-stale (20000 ms): revoked !authority: revoke the stale enrollment token, if one still works",
        "revoke-orphan (20000 ms): revoked !authority: revoke token acc-7 and remove its secret",
        "mint (20000 ms): minted !duplicated !identity-there !authority: mint one single-use enrollment token that works for 600 s",
        "pair (7000 ms, before 5000): paired paired !burnt !absent !workload: \
         pair once: hand token acc-7 over and start the workload",
        "withdraw (10000 ms): withdrawn !storage: withdraw token acc-7",
        "validate (20000 ms): validated invalid !authority: \
         validate: online with identity s1 from its storage, without a token",
        "capture-evidence (30000 ms): captured !authority: capture the evidence: status, log line, audit entries",
    ];
    for (said, expected) in said.iter().zip(expected) {
        assert_eq!(said, expected);
    }
    assert_eq!(said.len(), expected.len());
}
