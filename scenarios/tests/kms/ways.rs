//! The ways out: what is said, what is started again, and which procedure is named, where a run does not get to its end.

use recover_engine::{Ending, Reason, Verdict};
use recover_scenarios::kms::{Event, Step, class_of};
use recover_scenarios::kms_key_id_mismatch::KeyIdMismatch;
use recover_scenarios::kms_min_decryption::MinDecryption;
use recover_scenarios::kms_socket::Socket;
use recover_scenarios::kms_transit_profile::TransitProfile;
use recover_scenarios::kms_version_drift::VersionDrift;
use recover_scenarios::names;
use recover_steps::kms::*;

use crate::story::{Story, one};

fn stopped() -> Event {
    Event::LookNode(NodeSeen::Stopped)
}

fn disagrees() -> Event {
    Event::LookNode(NodeSeen::Disagrees { instance: one(), status: "h".into(), encrypt: "i".into() })
}

fn another_hash() -> Event {
    Event::AwaitProvider(ProviderAwaited::Serving { instance: one(), hash: "other".into() })
}

fn facts(change: impl FnOnce(&mut KeyFacts)) -> KeyFacts {
    let mut facts = KeyFacts::sound();
    change(&mut facts);
    facts
}

fn original(change: impl FnOnce(&mut KeyFacts)) -> Event {
    Event::ReadKey(KeySeen::Original { facts: facts(change) })
}

/// A provider was stopped so that a registry pair could be put in place, which is there now.
fn copied() -> Story<VersionDrift> {
    let incomplete = Event::ReadKey(KeySeen::Incomplete { facts: KeyFacts::sound(), versions: vec![2] });
    let lost = Event::ReadRegistry(RegistrySeen::Absent { checkpoint: true, bootstraps: false });
    let story = Story::<VersionDrift>::of(2).until("read-key").sees(incomplete).until("ask snapshot-restored");
    let story = story.answers("snapshot-restored", "restored").until("read-registry cp-1").sees(lost);
    let story = story.until("read-registry cp-1");
    assert_eq!(story.changes, ["take-snapshot", "stop-provider cp-1", "copy-pair cp-1"]);
    story
}

#[track_caller]
fn started(story: Story<VersionDrift>) -> Ending {
    assert_eq!(story.next(), "start-provider cp-1", "what was stopped for a moment is started first");
    story.ends().0
}

#[test]
fn what_was_stopped_for_a_moment_is_started_again_and_the_end_is_the_one_that_was_meant() {
    let corrupt = || copied().sees(Event::ReadRegistry(RegistrySeen::Corrupt { why: "its hash".into() }));
    let given_up = started(corrupt());
    let meant = (given_up.verdict, given_up.suggested.as_deref());
    assert_eq!(meant, (Verdict::GivenUp, Some(names::KMS_UNKNOWN_KEY_ID)), "{given_up:?}");
    assert!(given_up.reason.contains("corrupt"), "{given_up:?}");
    // A person who cancels meanwhile gets that end, and the provider all the same.
    let cancelled = started(corrupt().cancels());
    assert_eq!((cancelled.verdict, cancelled.suggested.as_deref()), (Verdict::Cancelled, None), "{cancelled:?}");
    assert_eq!(cancelled.reason, "a person cancelled the run");
}

#[test]
fn a_provider_that_was_started_again_is_no_residue_and_one_that_was_found_stopped_is() {
    let dead = || Event::AwaitProvider(ProviderAwaited::NotServing { instance: Some(one()), why: "no".into() });
    let says = |ending: &Ending| ending.residue.iter().any(|line| line.contains("was started, and is left so"));
    let (ending, _) = copied().until("await-provider cp-1").sees(dead()).ends();
    assert!(ending.verdict == Verdict::GivenUp && !says(&ending), "{ending:?}");
    let story = Story::<Socket>::of(1).until("look-node cp-1").sees(stopped()).until("await-provider cp-1");
    let (ending, _) = story.sees(dead()).ends();
    assert!(ending.verdict == Verdict::GivenUp && says(&ending), "{ending:?}");
}

#[test]
fn several_that_were_stopped_together_and_started_again_are_no_residue() {
    let altered = Event::ReadKey(KeySeen::Altered { facts: KeyFacts::sound(), versions: vec![3] });
    let stopped = || Event::AwaitProvider(ProviderAwaited::NotServing { instance: None, why: "stopped".into() });
    let story = Story::<VersionDrift>::of(2).until("read-key").sees(altered).until("ask snapshot-restored");
    let story = story.answers("snapshot-restored", "restored").until("await-provider cp-1").sees(stopped());
    let story = story.until("await-provider cp-2").sees(stopped()).until("read-objects");
    let unreadable = Event::ReadObjects(ObjectsRead::Unreadable { objects: vec!["a".into()], why: "no".into() });
    let (ending, story) = story.sees(unreadable).ends();
    assert_eq!(story.changes[3..], ["start-provider cp-1", "start-provider cp-2"]);
    let said = ending.residue.iter().any(|line| line.contains("was started"));
    assert!(ending.verdict == Verdict::GivenUp && !said, "{ending:?}");
}

#[test]
fn another_key_id_is_named_as_its_own_procedures_case_and_never_as_that_of_the_one_at_work() {
    let both = Story::<Socket>::of(2).until("look-node cp-1").sees(stopped()).sees(stopped());
    let both = both.until("look-node cp-2").sees(stopped()).until("await-provider cp-2");
    let (ending, _) = both.sees(another_hash()).ends();
    let named = (ending.verdict, ending.suggested.as_deref());
    assert_eq!(named, (Verdict::GivenUp, Some(names::KMS_KEY_ID_MISMATCH)), "{ending:?}");
    let both = Story::<KeyIdMismatch>::of(2).until("look-node cp-1").sees(disagrees()).until("look-node cp-2");
    let both = both.sees(disagrees()).until("look-node cp-2").sees(disagrees()).until("await-provider cp-2");
    let (ending, _) = both.sees(another_hash()).ends();
    assert_eq!((ending.verdict, ending.suggested), (Verdict::GivenUp, None));
}

#[test]
fn only_where_no_other_api_server_is_ready_a_person_is_asked_to_restart_the_last_one() {
    let unhealthy = || Event::LookApiserver(ApiserverSeen::KmsUnhealthy { instance: Some(one()), why: "kms".into() });
    let restarting = || {
        let story = Story::<Socket>::of(1).until("look-node cp-1").sees(stopped()).until("look-apiserver cp-1");
        story.sees(unhealthy()).elapses().sees(unhealthy()).until("restart-apiserver cp-1")
    };
    let (ending, _) = restarting().refused("host").ends();
    assert!(ending.verdict == Verdict::GivenUp && ending.reason.contains("could not be changed"), "{ending:?}");
    let story = restarting().refused("sole").answers("sole-apiserver", "approve");
    assert_eq!(story.next(), "look-node cp-1", "its KMS is asked right before");
    let (ending, _) = restarting().refused(Reason::CANCELLED).ends();
    assert_eq!(ending.verdict, Verdict::Cancelled);
}

#[test]
fn a_minimum_is_beyond_what_is_recorded_or_it_is_not_this_procedures_case() {
    let seen = |now, recorded| {
        let key = original(|facts| (facts.min_decryption, facts.recorded_min_decryption) = (now, recorded));
        Story::<MinDecryption>::of(1).until("read-key").sees(key)
    };
    for (now, recorded) in [(1, None), (2, Some(3)), (3, Some(3))] {
        assert_eq!(seen(now, recorded).ends().0.verdict, Verdict::NotApplicable, "{now} {recorded:?}");
    }
    assert_eq!(seen(2, None).next(), "ask minimum-recorded");
    // After it was lowered, what is recorded is gone, so that nothing says whether it is right now.
    let lowered = seen(3, Some(1)).answers("lower-decryption", "approve").until("read-key");
    let unsure = original(|facts| (facts.min_decryption, facts.recorded_min_decryption) = (3, None));
    let (ending, _) = lowered.sees(unsure).ends();
    assert_eq!(ending.verdict, Verdict::GivenUp);
    assert!(ending.reason.contains("it is as before"), "{ending:?}");
}

#[test]
fn a_key_that_a_person_vouched_for_is_rotated_and_encrypted_with_as_a_recorded_one_is() {
    let vouched = |change: fn(&mut KeyFacts)| {
        let seen = || Event::ReadKey(KeySeen::Unrecorded { facts: facts(change) });
        let story = Story::<KeyIdMismatch>::of(1).until("read-key").sees(seen());
        story.answers("unrecorded-key", "approve").sees(seen()).until("look-node cp-1").sees(disagrees())
    };
    assert_eq!(vouched(|facts| facts.auto_rotate_s = 1).next(), "ask stop-rotation");
    assert_eq!(vouched(|_| ()).next(), "restart-provider cp-1", "it is not rotated by itself");
    let encrypts = |story: Story<KeyIdMismatch>| match story.until("check-provider cp-1").step() {
        Step::CheckProvider(check) => !check.metadata_only,
        other => panic!("no check: {other:?}"),
    };
    assert!(encrypts(vouched(|_| ())));
    let open = || Event::ReadKey(KeySeen::Unrecorded { facts: facts(|facts| facts.upsert_disabled = false) });
    let story = Story::<TransitProfile>::of(1).until("read-key").sees(open());
    let story = story.answers("unrecorded-key", "approve").sees(open()).answers("mend-profile", "approve");
    let story = story.until("read-key").sees(Event::ReadKey(KeySeen::Unrecorded { facts: KeyFacts::sound() }));
    let Step::CheckProvider(check) = story.until("check-provider cp-1").step() else { panic!("no check") };
    assert!(!check.metadata_only, "it cannot make a key any more");
}

#[test]
fn what_is_wrong_with_a_key_is_said_with_its_versions() {
    let why = |seen| {
        let class = class_of(&Event::ReadKey(seen)).expect("a class");
        (class.row, class.why)
    };
    let (row, text) = why(KeySeen::Altered { facts: KeyFacts::sound(), versions: vec![2, 3] });
    assert!(row == Some("K9") && text.ends_with(": 2, 3"), "{text}");
    let (row, text) = why(KeySeen::Incomplete { facts: KeyFacts::sound(), versions: vec![4] });
    assert!(row == Some("K10") && text.ends_with(": 4"), "{text}");
    assert_eq!(why(KeySeen::Original { facts: facts(|facts| facts.deletion_allowed = true) }).0, Some("K5"));
}
