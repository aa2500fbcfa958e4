//! Claims looked into, judged and exchanged, against an API server that keeps a list of what it was told to change.

use recover_steps::examined::{Attachment, Lasting, Sameness, StorageKind};
use recover_steps::{Durability, Storage};
use serde_json::json;

use super::*;
use crate::kubernetes::fake::{Fake, claim_config};

const RUN: &str = "run_01m83zgpyv8qxec6a1r5yg88nm";

fn on(fake: &Fake, originals: &[&str]) -> Claim {
    Claim::new(claim_config(originals), &fake.config())
}

fn stop(fake: &Fake) {
    let mut site = fake.site();
    site.owner["spec"]["replicas"] = 0.into();
    site.pods.clear();
}

#[tokio::test]
async fn an_identity_is_seen_through_the_pod_or_through_one_that_is_made_and_taken_away() {
    let fake = Fake::new().await;
    let claim = on(&fake, &[]);
    assert_eq!(claim.identity().await, Looked::Absent);
    fake.site().identities.push(("edge-data".into(), "s1".into()));
    assert_eq!(Fake::serial(&claim.identity().await), Some("s1"));
    let changes = fake.site().changes.clone();
    assert_eq!(changes.len(), 1, "one container was added, and looks again: {changes:?}");
    stop(&fake);
    assert_eq!(Fake::serial(&claim.identity().await), Some("s1"));
    assert!(fake.site().pods.is_empty(), "nothing is left of the look");
    fake.site().claims.clear();
    assert!(matches!(claim.identity().await, Looked::Unreadable(why) if why.contains("no claim edge-data")));
}

#[tokio::test]
async fn c11_what_goes_with_the_pod_is_no_storage() {
    let fake = Fake::new().await;
    *fake.site().data() = json!({ "name": "data", "emptyDir": {} });
    let claim = on(&fake, &["edge-data"]);
    let proven = claim.prove_durable(&Storage::Target, None).await.unwrap();
    assert!(matches!(proven, Durability::Refuted { on } if on.contains("emptyDir at /data")));
    let seen = claim.seen().await;
    let seen = seen.value().unwrap();
    assert_eq!(
        (seen.kind, seen.attachment, seen.lasting),
        (StorageKind::EmptyDir, Attachment::Attached, Lasting::Refuted)
    );
    stop(&fake);
    assert_eq!(claim.identity().await, Looked::Absent, "it went with the pod");
    // What would take its place is durable; but once it is stopped, an identity may be made on what is mounted.
    fake.site().identities.push(("edge-data".into(), "s1".into()));
    let of = async |epoch| claim.prove_durable(&Storage::Target, Some(epoch)).await.unwrap();
    assert!(matches!(of("s1").await, Durability::Refuted { .. }));
    fake.site().owner["spec"]["replicas"] = 1.into();
    fake.site().run_pod();
    assert!(matches!(of("s1").await, Durability::Durable { on } if on.contains("takes the place of emptyDir")));
    assert!(matches!(of("s2").await, Durability::Refuted { .. }), "it is not the lost one");
    stop(&fake);
    *fake.site().data() = json!({ "name": "data", "nfs": {} });
    let proven = claim.prove_durable(&Storage::Target, None).await.unwrap();
    assert!(matches!(proven, Durability::Undecided { .. }));
    *fake.site().data() = json!({ "name": "data", "ephemeral": {} });
    assert!(matches!(claim.prove_durable(&Storage::Target, None).await, Ok(Durability::Refuted { .. })));
}

#[tokio::test]
async fn a_claim_is_durable_if_it_is_bound_and_what_is_seen_there_lasts() {
    let fake = Fake::new().await;
    let claim = on(&fake, &[]);
    let target = async || claim.prove_durable(&Storage::Target, Some("s1")).await;
    assert!(matches!(target().await, Ok(Durability::Durable { on }) if on.contains("pv-edge-data (csi disk.example)")));
    fake.site().identities.push(("edge-data".into(), "s0".into()));
    assert!(matches!(target().await, Ok(Durability::Occupied { serial, .. }) if serial == "s0"));
    fake.site().data()["persistentVolumeClaim"]["readOnly"] = true.into();
    assert!(matches!(target().await, Ok(Durability::Unwritable { .. })));
    fake.site().claims[0]["status"]["phase"] = "Lost".into();
    assert!(target().await.unwrap_err().text().contains("is Lost"));
    fake.site().claims.clear();
    assert!(target().await.unwrap_err().text().contains("is gone"));
}

#[tokio::test]
async fn c11_a_claim_is_put_back_in_place_with_every_volume_retained_first() {
    let fake = Fake::new().await;
    fake.site().add_claim("old-data", Some("s1"));
    stop(&fake);
    let claim = on(&fake, &["nobody-has-it", "old-data"]);
    let Searched::Found { original } = claim.search("s1").await else { panic!("it is there") };
    assert_eq!((original.path.as_str(), original.file_id.as_str()), ("claim:old-data", "pv-old-data@uid-old-data"));
    assert!(matches!(claim.search("s2").await, Searched::Unreadable { path, .. } if path == "claim:old-data"));
    fake.site().changes.clear();
    for _ in 0..2 {
        claim.reattach(&original, RUN).await.unwrap();
    }
    assert_eq!(fake.site().data()["persistentVolumeClaim"]["claimName"], "old-data");
    let changes = fake.site().changes.clone();
    let at = |what: &str| changes.iter().position(|change| change.contains(what)).unwrap();
    assert!(
        at("persistentvolumes/pv-old-data") < at("deployments/edge")
            && at("persistentvolumes/pv-edge-data") < at("deployments/edge")
    );
    assert!(at("leases") < at("deployments/edge"), "the way back is known before: {changes:?}");
    assert!(changes.iter().all(|change| !change.starts_with("DELETE")), "{changes:?}");
    for _ in 0..2 {
        claim.detach(RUN).await.unwrap();
    }
    assert_eq!(fake.site().data()["persistentVolumeClaim"]["claimName"], "edge-data");
    assert!(fake.site().volumes.iter().all(|one| one["spec"]["persistentVolumeReclaimPolicy"] == "Retain"));
    // What was found must be what is put in place.
    fake.site().volumes.iter_mut().for_each(|one| one["metadata"]["uid"] = "made anew".into());
    assert!(claim.reattach(&original, RUN).await.unwrap_err().text().contains("no longer there"));
}

#[tokio::test]
async fn an_empty_claim_takes_the_place_of_one_that_is_set_aside_and_stays() {
    let fake = Fake::new().await;
    stop(&fake);
    let claim = on(&fake, &[]);
    for _ in 0..2 {
        claim.set_aside(RUN).await.unwrap();
    }
    let fresh = "edge-data-recover-run-01m83zgpyv8qxec6a1r5yg88nm";
    assert_eq!(fake.site().data()["persistentVolumeClaim"]["claimName"], fresh);
    for _ in 0..2 {
        claim.put_back(RUN).await.unwrap();
    }
    assert_eq!(fake.site().data()["persistentVolumeClaim"]["claimName"], "edge-data");
    assert_eq!(fake.site().claims.len(), 2, "what was made stays");
    fake.site().owner["spec"]["replicas"] = 1.into();
    claim.tidy().await.unwrap();
    assert_eq!(fake.site().leases[0]["metadata"]["annotations"]["recover.io/before"], "{}");
}

#[tokio::test]
async fn what_a_stateful_set_makes_itself_is_not_changed() {
    let fake = Fake::new().await;
    fake.site().add_claim("data-edge-0", None);
    fake.site().add_claim("old-data", Some("s1"));
    fake.site().owner["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" } }]);
    stop(&fake);
    let claim = on(&fake, &["old-data"]);
    let Searched::Found { original } = claim.search("s1").await else { panic!("it is there") };
    fake.site().changes.clear();
    let why = claim.reattach(&original, RUN).await.unwrap_err();
    assert!(why.text().contains("by hand") && fake.site().changes.is_empty(), "{why:?}");
}

#[tokio::test]
async fn a_claim_that_another_workload_uses_is_nobodys_to_take() {
    let fake = Fake::new().await;
    fake.site().add_claim("old-data", Some("s1"));
    let user = json!({ "metadata": { "name": "backup", "uid": "u", "labels": {} }, "status": { "phase": "Running" },
        "spec": { "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "old-data" } }] } });
    fake.site().pods.push(user);
    let claim = on(&fake, &["old-data"]);
    let Searched::Found { original } = claim.search("s1").await else { panic!("it is there") };
    let why = claim.prove_durable(&Storage::Original(original), None).await.unwrap_err();
    assert!(why.text().contains("in use by the pod backup"), "{why:?}");
}

#[tokio::test]
async fn what_was_recorded_is_told_from_what_is_there() {
    let fake = Fake::new().await;
    let mut facts = Facts::new();
    on(&fake, &[]).facts(&mut facts).await.unwrap();
    assert_eq!(
        (facts["storage.path"].as_str(), facts["storage.file"].as_str()),
        ("claim:edge-data", "pv-edge-data@uid-edge-data")
    );
    assert_eq!(facts["storage.reclaim"], "Delete");
    facts.insert("identity.serial".into(), "s1".into());
    facts.insert("identity.fingerprint".into(), "f".into());
    let mut claim = on(&fake, &[]);
    claim.recorded(&facts);
    let original = async |claim: &Claim| claim.seen().await.value().unwrap().original;
    fake.site().changes.clear();
    assert_eq!(original(&claim).await, Sameness::Same);
    fake.site().volumes[0]["metadata"]["uid"] = "made anew".into();
    assert_eq!(original(&claim).await, Sameness::Other);
    *fake.site().data() = json!({ "name": "data", "emptyDir": {} });
    assert_eq!(original(&claim).await, Sameness::Other);
    assert!(fake.site().changes.is_empty(), "a look that may change nothing changes nothing");
    stop(&fake);
    assert!(
        matches!(claim.search("s1").await, Searched::Gone { searched } if searched == ["claim:edge-data"]),
        "the recorded one is searched too"
    );
}
