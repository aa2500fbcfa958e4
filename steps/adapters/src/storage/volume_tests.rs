//! A volume found, judged, put in place and taken back, against a daemon that keeps a list of what it was told to change.

use recover_steps::{Durability, Storage};
use serde_json::json;

use super::*;
use crate::docker::fake::{Fake, Site};
use crate::facts::{IDENTITY_FINGERPRINT, IDENTITY_SERIAL};

const RUN: &str = "run_01hzy3k9m2p4q6r8s0t2v4w6x8";

fn at_data(volume: &str) -> Value {
    json!([{ "Type": "volume", "Name": volume, "Source": "/v", "Destination": "/data", "RW": true }])
}

/// The workload on an empty volume, and its original beside it.
fn lost() -> Site {
    let mut site = Site::default();
    site.add("edge-connector", false, &at_data("edge-new"));
    site.add_volume("edge-new", None);
    site.add_volume("edge-data", Some("s1"));
    site
}

fn on(fake: &Fake, originals: &[&str]) -> Volume {
    let originals = originals.iter().map(|name| (*name).to_owned()).collect();
    let config = VolumeConfig { mount: "/data".into(), originals, identity: "identity.json".into() };
    let docker = DockerConfig { container: "edge-connector".into(), socket: fake.socket(), token_file: "/t".into() };
    Volume::new(config, &docker)
}

async fn found(volume: &Volume) -> Original {
    match volume.search("s1", RUN).await {
        Searched::Found { original } => original,
        other @ (Searched::Gone { .. } | Searched::Unreadable { .. }) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn the_original_is_found_through_a_container_that_is_gone_afterwards() {
    let fake = Fake::new(lost());
    let original = found(&on(&fake, &["nobodys", "edge-new", "edge-data"])).await;
    assert_eq!((original.path.as_str(), original.file_id.as_str()), ("volume:edge-data", "edge-data@c"));
    assert_eq!(fake.site().names(), ["edge-connector"]);
    assert!(!fake.site().changes.iter().any(|change| change.contains("start") || change.contains("volumes")));
    let gone = on(&fake, &["nobodys"]).search("s1", RUN).await;
    assert!(matches!(gone, Searched::Gone { .. }), "looking for a volume does not make it");
    assert!(matches!(on(&fake, &["edge-data"]).search("s2", RUN).await, Searched::Unreadable { .. }));
    let volumes = fake.site().volumes.len();
    assert_eq!(volumes, 2);
}

#[tokio::test]
async fn a_look_that_was_cut_off_leaves_nothing_to_the_next() {
    for cut in 1..3 {
        let fake = Fake::new(lost());
        let volume = on(&fake, &["edge-data"]);
        fake.site().cut_after = Some(cut);
        assert!(matches!(volume.search("s1", RUN).await, Searched::Unreadable { .. }));
        fake.site().cut_after = None;
        found(&volume).await;
        assert_eq!(fake.site().names(), ["edge-connector"], "cut after {cut}");
    }
}

#[tokio::test]
async fn a_swap_that_was_cut_off_anywhere_is_finished_and_one_that_is_done_changes_nothing() {
    for cut in 1..4 {
        let fake = Fake::new(lost());
        let volume = on(&fake, &["edge-data"]);
        let original = found(&volume).await;
        let before = fake.site().changes.len();
        fake.site().cut_after = Some(before + cut);
        volume.reattach(&original, RUN).await.unwrap_err();
        fake.site().cut_after = None;
        volume.reattach(&original, RUN).await.unwrap();
        let aside = format!("edge-connector-recover-{RUN}");
        assert_eq!(fake.site().names(), ["edge-connector", &aside], "cut after {cut}");
        let mounts = fake.site().container("edge-connector").unwrap()["Mounts"].clone();
        assert!(mounts.as_array().unwrap().iter().any(|m| m["Name"] == "edge-data" && m["Destination"] == "/data"));
        assert_eq!(fake.site().changes.len(), before + 3, "made once, renamed twice");
        volume.reattach(&original, RUN).await.unwrap();
        assert_eq!(fake.site().changes.len(), before + 3, "and nothing again");
    }
}

#[tokio::test]
async fn the_way_back_leads_to_the_very_container_that_was_found_wherever_it_is_cut_off() {
    for cut in 1..4 {
        let fake = Fake::new(lost());
        let volume = on(&fake, &["edge-data"]);
        let original = found(&volume).await;
        let id = fake.site().container("edge-connector").unwrap()["Id"].clone();
        volume.reattach(&original, RUN).await.unwrap();
        let before = fake.site().changes.len();
        fake.site().cut_after = Some(before + cut);
        volume.detach(RUN).await.unwrap_err();
        fake.site().cut_after = None;
        volume.detach(RUN).await.unwrap();
        volume.detach(RUN).await.unwrap();
        assert_eq!(fake.site().names(), ["edge-connector"], "cut after {cut}");
        assert_eq!(fake.site().container("edge-connector").unwrap()["Id"], id);
        assert_eq!(fake.site().volumes.len(), 2, "the volumes stay");
    }
}

#[tokio::test]
async fn half_of_a_swap_is_undone_too() {
    for cut in 1..4 {
        let fake = Fake::new(lost());
        let volume = on(&fake, &["edge-data"]);
        let original = found(&volume).await;
        let id = fake.site().container("edge-connector").unwrap()["Id"].clone();
        let before = fake.site().changes.len();
        fake.site().cut_after = Some(before + cut);
        volume.reattach(&original, RUN).await.unwrap_err();
        fake.site().cut_after = None;
        volume.detach(RUN).await.unwrap();
        assert_eq!(fake.site().names(), ["edge-connector"], "cut after {cut}");
        assert_eq!(fake.site().container("edge-connector").unwrap()["Id"], id);
    }
}

#[tokio::test]
async fn a_foreign_identity_is_set_aside_with_its_volume_and_put_back() {
    let mut site = lost();
    site.identities.push(("edge-new".into(), r#"{"serial":"s0"}"#.into()));
    let fake = Fake::new(site);
    let volume = on(&fake, &[]);
    let id = fake.site().container("edge-connector").unwrap()["Id"].clone();
    for _ in 0..2 {
        volume.set_aside(RUN).await.unwrap();
    }
    assert_eq!(volume.identity().await, Looked::Absent);
    for _ in 0..2 {
        volume.put_back(RUN).await.unwrap();
    }
    assert!(matches!(volume.identity().await, Looked::There(found) if found.serial == "s0"));
    assert_eq!(fake.site().container("edge-connector").unwrap()["Id"], id);
    let fresh = format!("edge-connector-data-recover-{RUN}");
    assert_eq!(fake.site().volumes.iter().filter(|v| v["Name"] == fresh.as_str()).count(), 1, "made once, and kept");
    // A volume of that name that somebody else made is not taken.
    fake.site().volumes.iter_mut().for_each(|v| v["Labels"] = json!({}));
    assert!(volume.set_aside(RUN).await.is_err());
}

#[tokio::test]
async fn an_original_that_changed_or_is_in_use_is_refused() {
    let fake = Fake::new(lost());
    let volume = on(&fake, &["edge-data"]);
    let original = found(&volume).await;
    let prove =
        async |volume: &Volume| volume.prove_durable(&Storage::Original(original.clone()), RUN, Some("s1")).await;
    assert!(matches!(prove(&volume).await, Ok(Durability::Undecided { .. })), "its file system is not seen from here");
    fake.site().add("other", true, &at_data("edge-data"));
    let refused = prove(&volume).await.unwrap_err();
    assert!(refused.text().contains("in use by the container other"), "{refused:?}");
    fake.site().containers.pop();
    fake.site().volumes[1]["CreatedAt"] = "later".into();
    assert!(prove(&volume).await.is_err() && volume.reattach(&original, RUN).await.is_err(), "another of its name");
}

#[tokio::test]
async fn a_target_is_judged_by_what_is_mounted() {
    let prove = async |mounts: Value| {
        let mut site = lost();
        site.containers.clear();
        site.add("edge-connector", false, &mounts);
        site.add_volume(&"0a".repeat(32), None);
        let fake = Fake::new(site);
        on(&fake, &[]).prove_durable(&Storage::Target, RUN, Some("s1")).await
    };
    assert!(matches!(prove(json!([])).await, Ok(Durability::Refuted { on }) if on.contains("own layer")));
    assert!(matches!(prove(at_data(&"0a".repeat(32))).await, Ok(Durability::Refuted { .. })));
    let kind = |kind: &str, rw: bool| json!([{ "Type": kind, "Name": "edge-new", "Source": "/nowhere", "Destination": "/data", "RW": rw }]);
    assert!(matches!(prove(kind("tmpfs", true)).await, Ok(Durability::Refuted { .. })));
    assert!(matches!(prove(kind("volume", false)).await, Ok(Durability::Unwritable { .. })));
    assert!(matches!(prove(kind("bind", false)).await, Ok(Durability::Unwritable { .. })));
    assert!(matches!(prove(at_data("edge-data")).await, Err(why) if why.text().contains("s1 is back")));
    assert!(prove(at_data("nobodys")).await.is_err(), "a volume that is gone is not made");
    let dir = crate::fake::on_disk();
    std::fs::create_dir(dir.path().join("real")).unwrap();
    std::os::unix::fs::symlink(dir.path().join("real"), dir.path().join("link")).unwrap();
    let mut link = kind("bind", true);
    link[0]["Source"] = dir.path().join("link").to_str().unwrap().into();
    assert!(matches!(prove(link).await, Ok(Durability::Unwritable { why }) if why.contains("symbolic links")));
}

#[tokio::test]
async fn what_runs_left_goes_when_the_workload_runs_and_what_is_anybody_elses_stays() {
    let fake = Fake::new(lost());
    let volume = on(&fake, &["edge-data"]);
    let original = found(&volume).await;
    volume.reattach(&original, RUN).await.unwrap();
    fake.site().add("edge-connector-recover-plan", false, &json!([]));
    volume.tidy().await.unwrap();
    assert_eq!(fake.site().names().len(), 3, "it does not run, so there may be a way back");
    let id = fake.site().container("edge-connector").unwrap()["Id"].as_str().unwrap().to_owned();
    volume.daemon.start(&id).await.unwrap();
    volume.tidy().await.unwrap();
    assert_eq!(fake.site().names(), ["edge-connector", "edge-connector-recover-plan"]);
    assert_eq!(fake.site().volumes.len(), 2);
}

#[tokio::test]
async fn what_was_recorded_is_searched_too_and_tells_one_volume_from_another_of_its_name() {
    let fake = Fake::new(lost());
    let mut volume = on(&fake, &[]);
    let facts = |place: &str, fingerprint: &str| -> Facts {
        [
            (STORAGE_PATH, place),
            (IDENTITY_SERIAL, "s1"),
            (IDENTITY_FINGERPRINT, fingerprint),
            (STORAGE_FILE, "edge-new@c"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
    };
    volume.recorded(&facts("volume:edge-data", "sha256:other"));
    assert!(matches!(volume.search("s1", RUN).await, Searched::Unreadable { why, .. } if why.contains("fingerprint")));
    volume.recorded(&facts("volume:edge-new", "f"));
    use recover_steps::examined::Sameness;
    let same = async |volume: &Volume| volume.seen(None).await.value().unwrap().original;
    assert_eq!(same(&volume).await, Sameness::Same);
    fake.site().volumes[0]["CreatedAt"] = "later".into();
    assert_eq!(same(&volume).await, Sameness::Other);
}
