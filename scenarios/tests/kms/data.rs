//! What is stored: objects that cannot be read, and plain text.

use recover_engine::Verdict;
use recover_scenarios::kms::Event;
use recover_scenarios::kms_aad_mismatch::AadMismatch;
use recover_scenarios::kms_identity_fallback::IdentityFallback;
use recover_steps::kms::*;

use crate::story::{Story, one};

fn fallback(without: Option<&str>) -> Event {
    Event::ReadEncryption(EncryptionSeen::Fallback { without: without.map(str::to_owned) })
}

fn plain() -> Event {
    Event::ScanEtcd(EtcdScanned::Plaintext { encrypted: 1, plain: 1, resources: vec!["secrets".into()] })
}

#[test]
fn k11_aad_is_never_disabled_and_a_backup_of_etcd_is_a_persons() {
    let unreadable = || {
        Event::ReadObjects(ObjectsRead::Unreadable { objects: vec!["secrets/default/old".into()], why: "aad".into() })
    };
    let story = Story::<AadMismatch>::of(1).until("read-objects").sees(unreadable());
    assert!(story.question().text.contains("AAD is not disabled"));
    let story = story.answers("objects-restored", "retry").sees(unreadable()).answers("objects-restored", "retry");
    assert_eq!(story.recovers(), Vec::<String>::new());
    let drifted = Event::CompareConfig(ConfigSeen::Drifted {
        fields: vec!["transit.keyIdScope.keyLineageId".into()],
        recorded: Some("r".into()),
    });
    let story =
        Story::<AadMismatch>::of(1).until("compare-config cp-1").sees(drifted).answers("restore-config", "approve");
    assert_eq!(story.recovers(), ["restore-config cp-1", "restart-provider cp-1"]);
}

#[test]
fn k15_identity_goes_only_when_nothing_is_in_plain_text_and_old_backups_are_acknowledged() {
    let begun = || {
        let story = Story::<IdentityFallback>::of(2).until("read-encryption cp-1");
        story.sees(fallback(Some("w"))).sees(fallback(Some("w")))
    };
    let story = begun().sees(plain());
    assert_eq!(story.next(), "rewrite-objects");
    let story = story.until("ask old-backups");
    assert_eq!(story.question().routine, None);
    let story = story.answers("old-backups", "approve").until("read-encryption cp-2").sees(fallback(Some("w")));
    assert_eq!(story.next(), "restore-encryption cp-2", "neither scanned nor asked twice");
    let changes = story.recovers();
    assert_eq!(changes, ["rewrite-objects", "restore-encryption cp-1", "restore-encryption cp-2"]);

    let (ending, story) = begun().sees(plain()).until("scan-etcd").sees(plain()).ends();
    assert_eq!((ending.verdict, story.changes.len()), (Verdict::GivenUp, 1), "{ending:?}");
    assert!(ending.reason.contains("identity is left configured"), "{ending:?}");
    let (ending, story) = begun().until("ask old-backups").answers("old-backups", "deny").ends();
    assert!(ending.residue.is_empty() && story.changes.is_empty(), "{ending:?}");
}

#[test]
fn k15_a_file_that_is_not_taken_over_needs_a_restart_of_a_node_whose_kms_serves() {
    let story = Story::<IdentityFallback>::of(1).until("read-encryption cp-1").sees(fallback(Some("w")));
    let story = story.until("ask old-backups").answers("old-backups", "approve").until("await-reload cp-1");
    let needed = story.sees(Event::AwaitReload(Adopted::RestartNeeded { instance: Some(one()) }));
    assert_eq!(needed.next(), "look-node cp-1");
    assert_eq!(needed.recovers(), ["restore-encryption cp-1", "restart-apiserver cp-1"]);
    let story = Story::<IdentityFallback>::of(1).until("read-encryption cp-1").sees(fallback(Some("w")));
    let story = story.until("ask old-backups").answers("old-backups", "approve").until("await-reload cp-1");
    let (ending, _) = story.sees(Event::AwaitReload(Adopted::NotAdopted { why: "unhealthy".into() })).ends();
    assert_eq!((ending.verdict, ending.residue.len()), (Verdict::GivenUp, 1), "{ending:?}");
}

#[test]
fn k15_a_node_that_writes_plain_text_comes_first() {
    let first = || Event::ReadEncryption(EncryptionSeen::IdentityFirst { recorded: Some("r".into()) });
    let story = Story::<IdentityFallback>::of(2).until("read-encryption cp-1").sees(fallback(Some("w"))).sees(first());
    // Its turn comes after the second node's, which still writes plain text.
    assert_eq!(story.next(), "read-encryption cp-2");
    let story = story.sees(first()).answers("put-back", "approve").until("read-encryption cp-2");
    let story = story.sees(fallback(Some("w"))).until("ask old-backups").answers("old-backups", "approve");
    let story = story.until("read-encryption cp-1").sees(fallback(Some("w")));
    let changes = story.recovers();
    assert_eq!(changes, ["restore-encryption cp-2", "restore-encryption cp-2", "restore-encryption cp-1"]);
}

#[test]
fn k16_the_last_good_configuration_is_put_back_on_one_node_then_identity_goes_again() {
    let sound = || Event::ReadEncryption(EncryptionSeen::Sound { fallback: Some("f".into()) });
    let story = Story::<IdentityFallback>::of(2).until("read-encryption cp-1").sees(sound()).sees(sound());
    let story = story.sees(plain()).answers("put-back", "approve").until("read-encryption cp-1");
    assert_eq!(story.changes, ["restore-encryption cp-1"]);
    let story = story.sees(fallback(Some("w"))).sees(plain()).until("ask old-backups");
    let changes = story.answers("old-backups", "approve").recovers();
    assert_eq!(changes, ["restore-encryption cp-1", "rewrite-objects", "restore-encryption cp-1"]);
}

#[test]
fn k16_without_a_recorded_file_a_person_brings_one() {
    let story = Story::<IdentityFallback>::of(1).until("scan-etcd").sees(plain());
    let story = story.answers("file-brought", "retry").sees(fallback(Some("w"))).sees(plain());
    let changes = story.until("ask old-backups").answers("old-backups", "approve").recovers();
    assert_eq!(changes, ["rewrite-objects", "restore-encryption cp-1"]);
}
