//! The provider, its socket, its login, its image, and OpenBao behind it.

use recover_engine::Verdict;
use recover_scenarios::kms::Event;
use recover_scenarios::kms_auth::Auth;
use recover_scenarios::kms_key_id_mismatch::KeyIdMismatch;
use recover_scenarios::kms_openbao_unavailable::OpenbaoUnavailable;
use recover_scenarios::kms_socket::Socket;
use recover_scenarios::kms_static_pod_image::StaticPodImage;
use recover_scenarios::names;
use recover_steps::Stage;
use recover_steps::kms::*;

use crate::story::{Story, one};

fn stopped() -> Event {
    Event::LookNode(NodeSeen::Stopped)
}

fn dead(instance: bool) -> Event {
    Event::AwaitProvider(ProviderAwaited::NotServing { instance: instance.then(one), why: "no".into() })
}

fn failed(layer: Layer) -> Event {
    let checks = vec![Check { layer, id: "check".into(), message: "no".into() }];
    Event::CheckProvider(ProviderChecked::Failed { checks })
}

fn kms_unhealthy() -> Event {
    Event::LookApiserver(ApiserverSeen::KmsUnhealthy { instance: Some(one()), why: "kms".into() })
}

#[test]
fn k1_what_is_stopped_is_started_node_by_node_and_recovered() {
    let story = Story::<Socket>::of(2).until("look-node cp-1").sees(stopped()).sees(stopped());
    assert_eq!(story.next(), "start-provider cp-1");
    let story = story.until("look-node cp-2");
    let first = story.steps.iter().skip_while(|step| *step != "start-provider cp-1").cloned().collect::<Vec<_>>();
    let mended = ["start-provider cp-1", "await-provider cp-1", "check-provider cp-1", "look-apiserver cp-1"];
    assert_eq!(first, mended, "the second node is not touched before the first one is mended and seen");
    assert_eq!(story.sees(stopped()).recovers(), ["start-provider cp-1", "start-provider cp-2"]);
}

#[test]
fn k1_what_came_back_meanwhile_is_not_touched() {
    let story = Story::<Socket>::of(2).until("look-node cp-1").sees(stopped()).sees(stopped());
    assert_eq!(story.until("look-node cp-2").recovers(), ["start-provider cp-1"]);
}

#[test]
fn k1_no_start_while_a_layer_below_fails() {
    let sealed = Event::LookOpenbao(OpenbaoSeen::Sealed { what: "the server".into(), shares: "0 of 3".into() });
    Story::<Socket>::of(1).sees(sealed).names(names::KMS_OPENBAO_UNAVAILABLE);
    let corrupt = Event::ReadRegistry(RegistrySeen::Corrupt { why: "its hash".into() });
    Story::<Socket>::of(1).until("read-registry cp-1").sees(corrupt).names(names::KMS_UNKNOWN_KEY_ID);
    let image = Event::LookImage(ImageSeen::Missing { digest: "sha256:0".into(), archive: true });
    Story::<Socket>::of(1).until("look-image cp-1").sees(image).names(names::KMS_STATIC_POD_IMAGE);
}

#[test]
fn k1_an_api_server_that_does_not_reconnect_is_restarted_once_and_only_while_its_kms_serves() {
    let waited = |story: Story<Socket>| {
        let story = story.sees(kms_unhealthy());
        assert_eq!(story.next(), "wait reconnect");
        story.elapses().sees(kms_unhealthy())
    };
    let begun = || Story::<Socket>::of(1).until("look-node cp-1").sees(stopped()).until("look-apiserver cp-1");
    let story = waited(begun());
    assert_eq!(story.next(), "look-node cp-1", "its KMS is asked right before");
    assert_eq!(story.recovers(), ["start-provider cp-1", "restart-apiserver cp-1"]);

    let (ending, story) = waited(begun()).sees(stopped()).ends();
    assert_eq!((ending.verdict, story.changes.len()), (Verdict::GivenUp, 1), "{ending:?}");
    assert!(ending.reason.contains("left running"), "{ending:?}");

    let (ending, story) = waited(waited(begun()).until("look-apiserver cp-1")).ends();
    assert_eq!((ending.verdict, story.changes.len()), (Verdict::GivenUp, 2), "not a second time: {ending:?}");
}

#[test]
fn k1_the_only_api_server_is_restarted_on_a_persons_word_alone() {
    let story = Story::<Socket>::of(1).until("look-node cp-1").sees(stopped()).until("look-apiserver cp-1");
    let story = story.sees(kms_unhealthy()).elapses().sees(kms_unhealthy()).until("restart-apiserver cp-1");
    assert!(matches!(story.step(), recover_scenarios::kms::Step::RestartApiserver(step) if !step.sole));
    let story = story.refused("sole");
    assert_eq!(story.question().routine, None, "no flag answers it");
    let story = story.answers("sole-apiserver", "approve");
    assert_eq!(story.next(), "look-node cp-1", "its KMS is asked again");
    let story = story.until("restart-apiserver cp-1");
    assert!(matches!(story.step(), recover_scenarios::kms::Step::RestartApiserver(step) if step.sole));
    assert_eq!(story.ends().0.verdict, Verdict::Recovered);
}

#[test]
fn k1_a_refused_start_a_cancel_and_a_check_that_fails_end_with_what_was_done() {
    let starting = || Story::<Socket>::of(1).until("look-node cp-1").sees(stopped());
    let (ending, _) = starting().refused("provider").ends();
    assert_eq!((ending.verdict, ending.residue.len()), (Verdict::GivenUp, 1), "{ending:?}");
    let (ending, story) = starting().cancels().ends();
    assert_eq!((ending.verdict, ending.residue.len(), story.changes.len()), (Verdict::Cancelled, 0, 0));
    let (ending, _) = starting().until("await-provider cp-1").cancels().ends();
    assert_eq!((ending.verdict, ending.residue.len()), (Verdict::Cancelled, 1), "{ending:?}");
    let (ending, _) = starting().until("check-provider cp-1").sees(failed(Layer::Auth)).ends();
    assert_eq!((ending.verdict, ending.suggested.as_deref()), (Verdict::GivenUp, Some(names::KMS_AUTH)));
}

#[test]
fn k1_an_endpoint_that_is_not_the_recorded_one_is_put_back() {
    let drifted = Event::ReadEncryption(EncryptionSeen::Drifted { why: "endpoint".into(), recorded: Some("d".into()) });
    let story = Story::<Socket>::of(1).until("read-encryption cp-1").sees(drifted).answers("put-back", "approve");
    let restart = Event::AwaitReload(Adopted::RestartNeeded { instance: Some(one()) });
    let changes = story.until("await-reload cp-1").sees(restart).recovers();
    assert_eq!(changes, ["restore-encryption cp-1", "restart-apiserver cp-1"]);
}

#[test]
fn k2_a_barred_socket_gets_its_recorded_rights_and_a_restart_only_if_it_still_does_not_serve() {
    let barred = || Event::LookNode(NodeSeen::Barred { instance: one(), why: "mode 0600".into() });
    let story = || Story::<Socket>::of(1).until("look-node cp-1").sees(barred()).until("look-node cp-1");
    assert_eq!(story().recovers(), ["mend-socket cp-1"]);
    assert_eq!(story().sees(barred()).recovers(), ["mend-socket cp-1", "restart-provider cp-1"]);
}

#[test]
fn k3_a_person_unseals_and_no_provider_is_restarted_that_recovers_by_itself() {
    let sealed = || Event::LookOpenbao(OpenbaoSeen::Sealed { what: "the server".into(), shares: "0 of 3".into() });
    let story = Story::<OpenbaoUnavailable>::of(2).sees(sealed());
    assert_eq!(story.question().routine, None, "no flag unseals");
    let story = story.answers("openbao-back", "retry").sees(sealed()).answers("openbao-back", "retry");
    assert_eq!(story.recovers(), Vec::<String>::new());
}

#[test]
fn k3_a_provider_that_does_not_recover_by_itself_is_restarted_once_after_the_key_was_read() {
    let down = Event::LookOpenbao(OpenbaoSeen::Unreachable { stage: Stage::Tcp, why: "refused".into() });
    let story =
        Story::<OpenbaoUnavailable>::of(1).sees(down).answers("openbao-back", "retry").until("await-provider cp-1");
    assert!(story.steps.contains(&"read-key".to_owned()));
    let again = story.sees(dead(true)).until("await-provider cp-1");
    let (ending, story) = again.sees(dead(true)).ends();
    assert_eq!((ending.verdict, story.changes), (Verdict::GivenUp, vec!["restart-provider cp-1".to_owned()]));
}

#[test]
fn k3_the_deadline_and_a_denial_leave_everything_as_it_was() {
    let asked = || Story::<OpenbaoUnavailable>::of(1).sees(Event::LookOpenbao(OpenbaoSeen::Uninitialized));
    assert!(asked().question().text.contains("Do not set it up anew"));
    for story in [asked().elapses(), asked().answers("openbao-back", "deny"), asked().cancels()] {
        let (ending, story) = story.ends();
        assert!(ending.residue.is_empty() && story.changes.is_empty(), "{ending:?}");
    }
    let mended = Story::<OpenbaoUnavailable>::of(1).until("check-provider cp-1").sees(failed(Layer::Openbao));
    assert_eq!(mended.answers("way-mended", "retry").recovers(), Vec::<String>::new());
}

#[test]
fn k6_fresh_material_that_lies_ready_is_put_in_place_and_the_provider_left_to_log_in() {
    let expired = |fresh: Option<&str>| {
        Event::LookAuth(AuthSeen::Unusable { why: "expired".into(), fresh: fresh.map(str::to_owned) })
    };
    let story = || Story::<Auth>::of(1).until("look-auth cp-1");
    let changes = story().sees(expired(Some("f"))).answers("install-auth", "approve").recovers();
    assert_eq!(changes, ["install-auth cp-1"]);
    // None is ready: a person brings it, and it is put in place then.
    let brought = story().sees(expired(None)).answers("auth-mended", "retry").sees(expired(Some("f")));
    assert_eq!(brought.answers("install-auth", "approve").recovers(), ["install-auth cp-1"]);
    // What is put in place and is not usable ends it.
    let (ending, _) = story()
        .sees(expired(Some("f")))
        .answers("install-auth", "approve")
        .until("look-auth cp-1")
        .sees(expired(None))
        .ends();
    assert_eq!((ending.verdict, ending.residue.len()), (Verdict::GivenUp, 1), "{ending:?}");
}

#[test]
fn k6_a_login_that_is_refused_is_a_matter_for_role_issuer_and_clocks() {
    let story = Story::<Auth>::of(1).until("check-provider cp-1").sees(failed(Layer::Auth));
    let text = story.question().text;
    assert!(["JWKS", "clocks", "wider"].iter().all(|word| text.contains(word)), "{text}");
    assert_eq!(story.answers("auth-mended", "retry").recovers(), Vec::<String>::new());
}

#[test]
fn k6_a_login_that_is_refused_although_it_looks_right_gets_what_lies_ready() {
    let ready =
        |fresh: Option<&str>| Event::LookAuth(AuthSeen::Usable { for_s: 3_600, fresh: fresh.map(str::to_owned) });
    let refused = |story: Story<Auth>| story.until("check-provider cp-1").sees(failed(Layer::Auth));
    let story = refused(Story::<Auth>::of(1).until("look-auth cp-1").sees(ready(Some("f"))));
    let text = story.question().text;
    assert!(text.contains("sha256 f") && text.contains("signs with another key"), "{text}");
    assert_eq!(story.answers("install-auth", "approve").recovers(), ["install-auth cp-1"]);
    // What is brought after the question is seen before the login is looked at again.
    let story = refused(Story::<Auth>::of(1)).answers("auth-mended", "retry");
    assert_eq!(story.next(), "look-auth cp-1");
    let story = refused(story.sees(ready(Some("f"))));
    assert_eq!(story.answers("install-auth", "approve").recovers(), ["install-auth cp-1"]);
    // It lies ready, and nothing is wrong: it stays where it is.
    let (ending, story) = Story::<Auth>::of(1).until("look-auth cp-1").sees(ready(Some("f"))).ends();
    assert_eq!((ending.verdict, story.changes.len()), (Verdict::NotApplicable, 0));
    // It is in place, and refused too: a person must look.
    let (ending, _) = refused(
        refused(Story::<Auth>::of(1).until("look-auth cp-1").sees(ready(Some("f")))).answers("install-auth", "approve"),
    )
    .ends();
    assert_eq!(ending.verdict, Verdict::GivenUp, "{ending:?}");
}

#[test]
fn k12_rotation_is_stopped_and_only_the_provider_that_disagrees_is_restarted() {
    let rotating = Event::ReadKey(KeySeen::Original { facts: KeyFacts { auto_rotate_s: 3_600, ..KeyFacts::sound() } });
    let disagrees =
        || Event::LookNode(NodeSeen::Disagrees { instance: one(), status: "h".into(), encrypt: "i".into() });
    let story =
        Story::<KeyIdMismatch>::of(2).until("read-key").sees(rotating).until("look-node cp-2").sees(disagrees());
    let changes = story.answers("stop-rotation", "approve").recovers();
    assert_eq!(changes, ["stop-rotation", "restart-provider cp-2"]);
    let (ending, _) = Story::<KeyIdMismatch>::of(1)
        .until("look-node cp-1")
        .sees(disagrees())
        .until("look-node cp-1")
        .sees(disagrees())
        .ends();
    assert_eq!(ending.verdict, Verdict::GivenUp);
}

#[test]
fn k12_another_key_id_than_the_node_before_stops_it_there() {
    let disagrees =
        || Event::LookNode(NodeSeen::Disagrees { instance: one(), status: "h".into(), encrypt: "i".into() });
    let other = Event::AwaitProvider(ProviderAwaited::Serving { instance: one(), hash: "other".into() });
    let both = Story::<KeyIdMismatch>::of(2).until("look-node cp-1").sees(disagrees()).until("look-node cp-2");
    let second = both.sees(disagrees()).until("look-node cp-2").sees(disagrees());
    let (ending, story) = second.until("await-provider cp-2").sees(other).ends();
    assert_eq!((ending.verdict, story.changes.len()), (Verdict::GivenUp, 2), "{ending:?}");
    assert!(ending.reason.contains("no further node"), "{ending:?}");
}

#[test]
fn k14_the_manifests_digest_is_imported_and_nothing_else() {
    let missing = |archive| Event::LookImage(ImageSeen::Missing { digest: "sha256:0".into(), archive });
    let story = || Story::<StaticPodImage>::of(1).until("look-image cp-1");
    assert_eq!(story().sees(missing(true)).recovers(), ["load-image cp-1"]);
    let story = story().sees(missing(false));
    assert!(story.question().text.contains("restart kubelet"));
    assert_eq!(story.answers("image-brought", "retry").recovers(), Vec::<String>::new());
    let tag = Event::LookImage(ImageSeen::Unpinned { image: "p:latest".into() });
    let pinned = Story::<StaticPodImage>::of(1).until("look-image cp-1").sees(tag).answers("image-brought", "deny");
    assert_eq!(pinned.ends().0.verdict, Verdict::GivenUp);
}
