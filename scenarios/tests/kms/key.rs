//! The Transit key: its profile, its absence, its versions.

use recover_engine::Verdict;
use recover_scenarios::kms::{Event, Step};
use recover_scenarios::kms_key_missing::Missing;
use recover_scenarios::kms_min_decryption::MinDecryption;
use recover_scenarios::kms_transit_profile::TransitProfile;
use recover_scenarios::kms_version_drift::VersionDrift;
use recover_scenarios::names;
use recover_steps::kms::*;

use crate::story::{Story, one};

fn original(change: impl FnOnce(&mut KeyFacts)) -> Event {
    let mut facts = KeyFacts::sound();
    change(&mut facts);
    Event::ReadKey(KeySeen::Original { facts })
}

fn altered(versions: &[u64]) -> Event {
    Event::ReadKey(KeySeen::Altered { facts: KeyFacts::sound(), versions: versions.to_vec() })
}

fn missing() -> Event {
    Event::ReadKey(KeySeen::Missing)
}

#[test]
fn k4_what_endangers_the_cryptography_is_never_toggled() {
    let export = || original(|facts| facts.exportable = true);
    let asked = || Story::<TransitProfile>::of(1).until("read-key").sees(export());
    let text = asked().question().text;
    assert!(text.contains("nothing is toggled") && text.contains("key material export is enabled"), "{text}");
    let (ending, story) = asked().answers("profile-restored", "deny").ends();
    assert_eq!((ending.verdict, story.changes.len()), (Verdict::GivenUp, 0));
    let restored = asked().answers("profile-restored", "retry").sees(export()).answers("profile-restored", "retry");
    assert_eq!(restored.recovers(), Vec::<String>::new());
    // Also where something beside it could be mended: writes stay blocked.
    let both = original(|facts| (facts.exportable, facts.deletion_allowed) = (true, true));
    assert_eq!(Story::<TransitProfile>::of(1).until("read-key").sees(both).next(), "ask profile-restored");
}

#[test]
fn k5_what_keeps_requests_from_working_is_set_to_its_recorded_value() {
    let blocked = || original(|facts| (facts.deletion_allowed, facts.min_encryption) = (true, 4));
    let asked = || Story::<TransitProfile>::of(1).until("read-key").sees(blocked());
    let story = asked().answers("mend-profile", "approve").until("lower-encryption");
    assert!(matches!(story.step(), Step::LowerEncryption(step) if step.to == 0));
    assert_eq!(story.recovers(), ["forbid-deletion", "lower-encryption"]);
    // Read again as before, it is not tried a second time.
    let (ending, story) = asked().answers("mend-profile", "approve").until("read-key").sees(blocked()).ends();
    assert_eq!((ending.verdict, story.changes.len(), ending.residue.len()), (Verdict::GivenUp, 2, 2), "{ending:?}");
    assert!(asked().elapses().ends().1.changes.is_empty());
    let none_recorded = original(|facts| (facts.min_encryption, facts.recorded_min_encryption) = (4, None));
    assert_eq!(Story::<TransitProfile>::of(1).until("read-key").sees(none_recorded).next(), "ask profile-restored");
}

#[test]
fn k5_only_what_a_recorded_value_mends_is_set_and_only_what_is_beyond_its_limit() {
    // Three versions. Deletion is allowed in each, so that there is something to mend.
    let asked = |change: fn(&mut KeyFacts)| {
        let seen = original(|facts| {
            facts.deletion_allowed = true;
            change(facts);
        });
        Story::<TransitProfile>::of(1).until("read-key").sees(seen)
    };
    let by_hand: [fn(&mut KeyFacts); 5] = [
        |facts| facts.usable = false,
        |facts| (facts.latest, facts.min_decryption) = (0, 0),
        |facts| facts.min_available = 4,
        |facts| (facts.min_decryption, facts.recorded_min_decryption) = (5, Some(4)),
        |facts| (facts.min_encryption, facts.recorded_min_encryption) = (5, Some(4)),
    ];
    for (number, change) in by_hand.into_iter().enumerate() {
        assert_eq!(asked(change).next(), "ask profile-restored", "case {number}");
    }
    let mended = |change| asked(change).answers("mend-profile", "approve").recovers();
    assert_eq!(mended(|facts| facts.min_available = 3), ["forbid-deletion"]);
    assert_eq!(mended(|facts| facts.min_encryption = 3), ["forbid-deletion"]);
    let lowered = ["forbid-deletion", "lower-decryption"];
    assert_eq!(mended(|facts| (facts.min_decryption, facts.recorded_min_decryption) = (4, Some(3))), lowered);
    assert_eq!(
        mended(|facts| (facts.min_decryption, facts.recorded_min_decryption) = (3, Some(3))),
        ["forbid-deletion"]
    );
    let lowered = ["forbid-deletion", "lower-encryption"];
    assert_eq!(mended(|facts| (facts.min_encryption, facts.recorded_min_encryption) = (4, Some(3))), lowered);
}

#[test]
fn k5_a_soft_deletion_is_taken_back() {
    let soft = Event::ReadKey(KeySeen::SoftDeleted { facts: KeyFacts::sound() });
    let story = Story::<TransitProfile>::of(1).until("read-key").sees(soft).answers("undelete", "approve");
    assert_eq!(story.recovers(), ["restore-key"]);
}

#[test]
fn k19_upsert_is_disabled_and_nothing_encrypts_before() {
    let open = original(|facts| facts.upsert_disabled = false);
    let story = Story::<TransitProfile>::of(1).until("read-key").sees(open).answers("mend-profile", "approve");
    let story = story.until("check-provider cp-1");
    assert!(matches!(story.step(), Step::CheckProvider(step) if !step.metadata_only), "it was read again as disabled");
    assert_eq!(story.recovers(), ["disable-upsert"]);
}

#[test]
fn k7_a_missing_key_is_never_made_and_a_person_restores_the_snapshot() {
    let story = Story::<Missing>::of(2).until("read-key").sees(missing());
    assert_eq!(story.next(), "take-snapshot");
    let story = story.until("ask snapshot-restored");
    let text = story.question().text;
    assert!(text.contains("Never create a key") && text.contains("second person"), "{text}");
    // Nothing was restored; then the wrong snapshot; then the right one.
    let story = story.answers("snapshot-restored", "restored").sees(missing()).answers("snapshot-restored", "restored");
    let story = story.sees(altered(&[3])).until("ask snapshot-restored");
    let changes = story.answers("snapshot-restored", "restored").recovers();
    let stops =
        ["take-snapshot", "stop-provider cp-1", "stop-provider cp-2", "start-provider cp-1", "start-provider cp-2"];
    // Providers that were stopped meanwhile are started with the original alone.
    assert_eq!(changes[..3], stops[..3]);
}

#[test]
fn k7_without_a_backup_it_ends_by_saying_what_is_lost() {
    let story = Story::<Missing>::of(1).until("read-key").sees(missing()).until("ask snapshot-restored");
    let (ending, story) = story.answers("snapshot-restored", "lost").ends();
    assert_eq!((ending.verdict, story.changes.as_slice()), (Verdict::GivenUp, ["take-snapshot".to_owned()].as_slice()));
    for word in ["cannot be decrypted by anything", "do not restart them", "Do not create a key under the old name"] {
        assert!(ending.reason.contains(word), "{word}: {}", ending.reason);
    }
}

#[test]
fn k7_a_snapshot_that_cannot_be_taken_is_said() {
    let story = Story::<Missing>::of(1).until("read-key").sees(missing());
    let story = story.sees(Event::TakeSnapshot(SnapshotTaken::Impossible { why: "not raft".into() }));
    let (ending, _) = story.answers("snapshot-restored", "deny").ends();
    assert!(ending.residue.iter().any(|line| line.contains("no raft snapshot")), "{ending:?}");
}

#[test]
fn k7_a_soft_deletion_a_typo_and_a_place_that_is_wrong() {
    let soft = Event::ReadKey(KeySeen::SoftDeleted { facts: KeyFacts::sound() });
    let story = || Story::<Missing>::of(1).until("read-key");
    assert_eq!(story().sees(soft).answers("undelete", "approve").recovers(), ["restore-key"]);
    let typo = Event::CompareConfig(ConfigSeen::Drifted {
        fields: vec!["transit.keyName".into()],
        recorded: Some("r".into()),
    });
    let story = Story::<Missing>::of(1).until("compare-config cp-1").sees(typo).answers("restore-config", "approve");
    assert_eq!(story.recovers(), ["restore-config cp-1", "restart-provider cp-1"]);
    for seen in [KeySeen::Denied { why: "no".into() }, KeySeen::Elsewhere { why: "no".into() }] {
        let story = Story::<Missing>::of(1).until("read-key").sees(Event::ReadKey(seen));
        assert_eq!(story.answers("key-reachable", "retry").recovers(), Vec::<String>::new());
    }
}

#[test]
fn k17_another_key_under_the_old_name_stops_the_providers_and_keeps_them_stopped() {
    let story = || Story::<Missing>::of(2).until("read-key").sees(altered(&[1])).until("ask snapshot-restored");
    let stopped = ["stop-provider cp-1", "stop-provider cp-2", "take-snapshot"];
    assert_eq!(story().changes, stopped);
    for ended in [
        story().answers("snapshot-restored", "deny"),
        story().answers("snapshot-restored", "lost"),
        story().elapses(),
        story().cancels(),
    ] {
        let (ending, story) = ended.ends();
        assert_eq!(story.changes, stopped, "none is started again");
        let held = ending.residue.iter().filter(|line| line.contains("must stay so")).count();
        assert_eq!(held, 2, "{ending:?}");
    }
    // The original is back: they run again, also where the run ends right then.
    let back = || story().answers("snapshot-restored", "restored").until("read-key").sees(original(|_| ()));
    let (ending, story) = back().cancels().ends();
    assert_eq!((ending.verdict, ending.residue.len()), (Verdict::Cancelled, 1), "{ending:?}");
    assert_eq!(story.changes[3..], ["start-provider cp-1", "start-provider cp-2"]);
}

#[test]
fn k17_is_told_apart_before_anything_else_is_thought_of() {
    let story = Story::<recover_scenarios::kms_aad_mismatch::AadMismatch>::of(1).until("read-key");
    story.sees(altered(&[1])).names(names::KMS_KEY_MISSING);
}

#[test]
fn k9_providers_stay_stopped_until_the_original_metadata_is_back() {
    let story = || Story::<VersionDrift>::of(1).until("read-key").sees(altered(&[3])).until("ask snapshot-restored");
    // The wrong snapshot: asked again, and stopped still.
    let wrong = story().answers("snapshot-restored", "restored").sees(altered(&[2]));
    assert_eq!(wrong.next(), "ask snapshot-restored");
    let none = wrong.answers("snapshot-restored", "restored").sees(missing());
    assert_eq!(none.next(), "ask snapshot-restored");
    let stopped = Event::AwaitProvider(ProviderAwaited::NotServing { instance: None, why: "stopped".into() });
    let right = none.answers("snapshot-restored", "restored").until("await-provider cp-1").sees(stopped);
    assert_eq!(right.recovers(), ["stop-provider cp-1", "take-snapshot", "start-provider cp-1"]);
    let (ending, _) = story().answers("snapshot-restored", "deny").ends();
    assert!(ending.residue.iter().any(|line| line.contains("must stay so")), "{ending:?}");
}

#[test]
fn k10_rotation_is_stopped_before_anybody_restores_and_a_lost_pair_is_copied() {
    let facts = KeyFacts { auto_rotate_s: 3_600, ..KeyFacts::sound() };
    let incomplete = || Event::ReadKey(KeySeen::Incomplete { facts: facts.clone(), versions: vec![2] });
    let story = Story::<VersionDrift>::of(2).until("read-key").sees(incomplete()).answers("stop-rotation", "approve");
    let story = story.until("ask snapshot-restored").answers("snapshot-restored", "restored").sees(incomplete());
    // It is not stopped twice.
    let story = story.answers("snapshot-restored", "restored").until("read-registry cp-1");
    let lost = Event::ReadRegistry(RegistrySeen::Absent { checkpoint: true, bootstraps: false });
    let story = story.sees(lost);
    assert_eq!(story.next(), "find-pair cp-1");
    let changes = story.recovers();
    assert_eq!(
        changes,
        ["stop-rotation", "take-snapshot", "stop-provider cp-1", "copy-pair cp-1", "start-provider cp-1"]
    );
}

/// Versions come back for all nodes at once, and each takes the latest over in its own time.
#[test]
fn k10_a_node_that_takes_a_version_over_later_than_the_other_is_waited_for_at_the_end() {
    let incomplete = || Event::ReadKey(KeySeen::Incomplete { facts: KeyFacts::sound(), versions: vec![2] });
    let diverged = || Event::Converge(Converged::Diverged { hashes: vec![] });
    let waited = || {
        let other = Event::AwaitProvider(ProviderAwaited::Serving { instance: one(), hash: "other".into() });
        let story = Story::<VersionDrift>::of(2).until("read-key").sees(incomplete()).until("ask snapshot-restored");
        let story = story.answers("snapshot-restored", "restored").until("await-provider cp-2").sees(other);
        let story = story.until("converge").sees(diverged());
        assert_eq!(story.next(), "wait probe");
        story.elapses()
    };
    assert_eq!(waited().sees(diverged()).ends().0.verdict, Verdict::GivenUp, "it is waited for once");
    assert_eq!(waited().recovers(), ["take-snapshot"]);
}

#[test]
fn k13_the_minimum_is_lowered_to_the_recorded_value_and_never_raised() {
    let raised = || original(|facts| facts.min_decryption = 3);
    let story = Story::<MinDecryption>::of(1).until("read-key").sees(raised()).answers("lower-decryption", "approve");
    assert!(matches!(story.step(), Step::LowerDecryption(step) if step.to == 1));
    assert_eq!(story.recovers(), ["lower-decryption"]);
    let gone = original(|facts| (facts.min_decryption, facts.min_available) = (3, 3));
    assert_eq!(Story::<MinDecryption>::of(1).until("read-key").sees(gone).next(), "take-snapshot");
    let unknown = original(|facts| (facts.min_decryption, facts.recorded_min_decryption) = (3, None));
    assert_eq!(Story::<MinDecryption>::of(1).until("read-key").sees(unknown).next(), "ask minimum-recorded");
    let lowest = Story::<MinDecryption>::of(1).ends().0;
    assert_eq!(lowest.verdict, Verdict::NotApplicable, "nothing is raised either");
}

#[test]
fn k7_a_key_that_nothing_recorded_tells_of_is_a_persons_to_know() {
    let unrecorded = || Event::ReadKey(KeySeen::Unrecorded { facts: KeyFacts::sound() });
    let restored = || {
        let story = Story::<Missing>::of(1).until("read-key").sees(missing()).until("ask snapshot-restored");
        story.answers("snapshot-restored", "restored").sees(unrecorded())
    };
    assert_eq!(restored().question().routine, None);
    assert_eq!(restored().answers("unrecorded-key", "deny").ends().0.verdict, Verdict::GivenUp);
    let vouched = restored().answers("unrecorded-key", "approve").sees(unrecorded());
    assert_eq!(vouched.recovers(), ["take-snapshot"]);
}
