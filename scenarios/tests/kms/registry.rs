//! Configurations and key registries.

use recover_engine::Verdict;
use recover_scenarios::kms::{Event, Step};
use recover_scenarios::kms_unknown_key_id::UnknownKeyId;
use recover_scenarios::names;
use recover_steps::kms::*;

use crate::story::Story;

fn lost() -> Event {
    Event::ReadRegistry(RegistrySeen::Absent { checkpoint: true, bootstraps: false })
}

fn none() -> Event {
    Event::FindPair(PairFound::None { why: "no peer".into() })
}

fn drifted(field: &str, recorded: Option<&str>) -> Event {
    let recorded = recorded.map(str::to_owned);
    Event::CompareConfig(ConfigSeen::Drifted { fields: vec![field.into()], recorded })
}

#[test]
fn k8_a_configuration_that_drifted_gets_its_recorded_values_back() {
    let field = "transit.keyIdScope.clusterId";
    let story = || Story::<UnknownKeyId>::of(2).until("compare-config cp-1");
    let asked = || story().sees(drifted(field, Some("r"))).sees(drifted(field, Some("r")));
    let first = asked().answers("restore-config", "approve");
    assert!(matches!(first.step(), Step::RestoreConfig(step) if step.sha256 == "r"));
    let second =
        first.until("compare-config cp-2").sees(drifted(field, Some("r"))).answers("restore-config", "approve");
    let each = |n| [format!("restore-config cp-{n}"), format!("restart-provider cp-{n}")];
    assert_eq!(second.recovers(), [each(1), each(2)].concat());
    let (ending, story) = asked().answers("restore-config", "deny").ends();
    assert_eq!((ending.verdict, story.changes.len()), (Verdict::GivenUp, 0));
    // No file has the recorded values: a person gives them back, and no other ones.
    let by_hand = Story::<UnknownKeyId>::of(1).until("compare-config cp-1").sees(drifted(field, None));
    assert!(by_hand.question().text.contains("never new ones"));
    assert_eq!(by_hand.answers("config-mended", "retry").recovers(), Vec::<String>::new());
}

#[test]
fn k8_a_registry_comes_back_only_as_a_verified_pair_while_the_provider_is_stopped() {
    for seen in [
        lost(),
        Event::ReadRegistry(RegistrySeen::Corrupt { why: "hash".into() }),
        Event::ReadRegistry(RegistrySeen::RolledBack { why: "older".into() }),
        Event::ReadRegistry(RegistrySeen::Foreign { fields: vec!["clusterId".into()] }),
    ] {
        let story = Story::<UnknownKeyId>::of(1).until("read-registry cp-1").sees(seen);
        let changes = story.recovers();
        assert_eq!(changes, ["stop-provider cp-1", "copy-pair cp-1", "start-provider cp-1"]);
    }
}

#[test]
fn k8_without_a_pair_a_person_brings_one_and_nothing_is_stopped_before() {
    let story = Story::<UnknownKeyId>::of(1).until("read-registry cp-1").sees(lost()).sees(none());
    assert!(story.changes.is_empty());
    let story = story.answers("pair-brought", "retry").sees(none()).answers("pair-brought", "retry");
    assert_eq!(story.recovers(), ["stop-provider cp-1", "copy-pair cp-1", "start-provider cp-1"]);
    let denied = Story::<UnknownKeyId>::of(1).until("read-registry cp-1").sees(lost()).sees(none());
    let (ending, story) = denied.answers("pair-brought", "deny").ends();
    assert!(ending.residue.is_empty() && story.changes.is_empty(), "{ending:?}");
}

#[test]
fn k8_what_was_stopped_for_the_copy_runs_again_wherever_it_ends() {
    let stopping = || Story::<UnknownKeyId>::of(1).until("read-registry cp-1").sees(lost()).until("stop-provider cp-1");
    let copying = || stopping().until("copy-pair cp-1");
    for story in [stopping().refused("provider"), copying().cancels(), copying().refused("registry")] {
        let (_, story) = story.ends();
        assert_eq!(story.changes.last().map(String::as_str), Some("start-provider cp-1"), "{:?}", story.changes);
    }
    let (ending, _) = copying().cancels().refused("provider").ends();
    assert!(ending.residue.iter().any(|line| line.contains("start it by hand")), "{ending:?}");
    // What was found stopped is not started by a run that gives up.
    let found_stopped = Story::<UnknownKeyId>::of(1).until("read-registry cp-1").sees(lost()).until("look-node cp-1");
    let (_, story) = found_stopped.sees(Event::LookNode(NodeSeen::Stopped)).until("copy-pair cp-1").cancels().ends();
    assert_eq!(story.changes, ["stop-provider cp-1"]);
}

#[test]
fn k8_what_another_provider_encrypted_and_what_is_not_safe_to_read_is_a_persons() {
    let foreign = Event::ScanEtcd(EtcdScanned::Foreign { providers: vec!["k8s:enc:kms:v2:other".into()] });
    let story = Story::<UnknownKeyId>::of(1).until("scan-etcd").sees(foreign);
    assert_eq!(story.answers("provider-back", "retry").recovers(), Vec::<String>::new());
    let link = Event::ReadRegistry(RegistrySeen::Unsafe { why: "a link".into() });
    let story = Story::<UnknownKeyId>::of(1).until("read-registry cp-1").sees(link);
    assert_eq!(story.answers("registry-mended", "retry").recovers(), Vec::<String>::new());
    let key = drifted("transit.keyName", Some("r"));
    Story::<UnknownKeyId>::of(1).until("compare-config cp-1").sees(key).names(names::KMS_KEY_MISSING);
}

#[test]
fn k18_a_new_node_gets_its_peers_pair_and_a_key_that_was_never_rotated_needs_none() {
    let fresh = |bootstraps| Event::ReadRegistry(RegistrySeen::Absent { checkpoint: false, bootstraps });
    let story = Story::<UnknownKeyId>::of(2).until("read-registry cp-2").sees(fresh(false));
    let story = story.until("look-node cp-2").sees(Event::LookNode(NodeSeen::Stopped));
    let changes = story.recovers();
    assert_eq!(changes, ["stop-provider cp-2", "copy-pair cp-2", "start-provider cp-2"]);
    let first = Story::<UnknownKeyId>::of(1).until("read-registry cp-1").sees(fresh(true)).ends().0;
    assert_eq!(first.verdict, Verdict::NotApplicable);
}

#[test]
fn k20_a_person_frees_the_disk_and_nothing_of_the_registry_is_deleted() {
    let degraded = || {
        let instance = crate::story::one();
        Event::LookNode(NodeSeen::Degraded { instance, hash: "h".into(), why: "no space".into() })
    };
    let story = Story::<UnknownKeyId>::of(1).until("look-node cp-1").sees(degraded());
    assert!(story.question().text.contains("never deleted"));
    let story =
        story.answers("disk-freed", "retry").elapses().sees(degraded()).answers("disk-freed", "retry").elapses();
    assert_eq!(story.recovers(), Vec::<String>::new());
    // A version that cannot be remembered is not taken over: then it is not even ready, and for no other reason.
    let unhealthy = |reason: &str| {
        let reasons = vec![reason.to_owned(), format!("metadata: {reason}")];
        Event::LookNode(NodeSeen::Unhealthy { instance: crate::story::one(), reasons })
    };
    let unsaved = unhealthy("state_save_failed");
    assert_eq!(recover_scenarios::kms::class_of(&unsaved).and_then(|class| class.row), Some("K20"));
    let story = Story::<UnknownKeyId>::of(1).until("look-node cp-1").sees(unsaved);
    assert_eq!(story.answers("disk-freed", "retry").elapses().recovers(), Vec::<String>::new());
    let (ending, _) =
        Story::<UnknownKeyId>::of(1).until("look-node cp-1").sees(unhealthy("metadata_read_failed")).ends();
    assert_eq!(ending.suggested.as_deref(), Some("kms-openbao-unavailable"), "{ending:?}");
}
