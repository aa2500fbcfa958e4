//! Whatever lies at the source and at the target: what is written equals a verified source, byte for byte, or nothing is written.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use recover_steps::kms::{PairCopied, PairFound, RegistrySeen};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{copy, find, seen};
use crate::kms::settings::Settings;
use crate::kms::settings::tests::text;

fn settings(state: &Path) -> Settings {
    Settings::understand(&text(state, Path::new("/r/kms.sock"))).unwrap()
}

fn key_id(cluster: &str, version: u64, created: i64) -> String {
    let parts = ["openbao-kubernetes-kms/key-id/v1", "openbao-kms", cluster, "bao-1", "team", "transit-1", "lineage-1"];
    let mut all: String = parts.iter().map(|part| format!("{part}\0")).collect();
    all.push_str(&format!("{version}\0{created}\0"));
    format!("obk2.{}", URL_SAFE_NO_PAD.encode(Sha256::digest(all)))
}

fn snapshot(cluster: &str, version: u64, state: &str) -> Value {
    let created = 1_700_000_000 + i64::try_from(version).unwrap();
    json!({ "providerName": "openbao-kms", "clusterId": cluster, "openbaoInstanceId": "bao-1", "openbaoNamespace": "team",
        "transitMountId": "transit-1", "transitKeyLineageId": "lineage-1", "transitVersion": version,
        "transitVersionCreatedAtUnix": created, "kubernetesKeyId": key_id(cluster, version, created), "state": state,
        "aadMode": "strict", "laterField": { "a , b": [1, "}\"{"] } })
}

/// A state's text, as a provider writes it: its hash is of everything else in it.
fn state(cluster: &str, generation: u64, versions: u64) -> (String, String) {
    let mut snapshots = vec![snapshot(cluster, versions, "active")];
    snapshots.extend((1..versions).map(|version| snapshot(cluster, version, "retired")));
    let mut value = json!({ "schemaVersion": "keyregistry.openbao-kms/v1alpha1", "generation": generation,
        "previousHash": "krs1.x", "activeKeyId": snapshots[0]["kubernetesKeyId"], "snapshots": snapshots });
    let hash = format!("krs1.{}", URL_SAFE_NO_PAD.encode(Sha256::digest(value.to_string())));
    value["currentHash"] = json!(hash);
    (serde_json::to_string_pretty(&value).unwrap() + "\n", hash)
}

fn checkpoint(generation: u64, hash: &str) -> String {
    let schema = "keyregistry.openbao-kms/checkpoint/v1alpha1";
    json!({ "schemaVersion": schema, "generation": generation, "currentHash": hash }).to_string()
}

fn put(path: &Path, text: &str) {
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o640)).unwrap();
}

fn beside(path: &Path) -> PathBuf {
    PathBuf::from(format!("{}.checkpoint", path.display()))
}

/// A whole pair in a folder.
fn lay(path: &Path, cluster: &str, generation: u64, versions: u64) -> String {
    let (text, hash) = state(cluster, generation, versions);
    put(path, &text);
    put(&beside(path), &checkpoint(generation, &hash));
    hash
}

fn site() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let (own, peer) = (dir.path().join("own/key-registry.json"), dir.path().join("peer/key-registry.json"));
    (dir, own, peer)
}

#[test]
fn what_is_whole_is_sound_and_every_rule_is_kept() {
    let (_dir, own, _) = site();
    let settings = settings(&own);
    assert_eq!(seen(&settings, true), RegistrySeen::Absent { checkpoint: false, bootstraps: true });
    let hash = lay(&own, "cluster-1", 3, 2);
    assert_eq!(seen(&settings, false), RegistrySeen::Sound { generation: 3, hash: hash.clone(), active: 2 });
    // One save behind is what the provider leaves behind when it is killed between the two.
    put(&beside(&own), &checkpoint(2, "krs1.older"));
    assert!(matches!(seen(&settings, false), RegistrySeen::Sound { generation: 3, .. }));
    put(&beside(&own), &checkpoint(4, "krs1.newer"));
    assert!(matches!(seen(&settings, false), RegistrySeen::RolledBack { .. }));
    put(&beside(&own), &checkpoint(3, "krs1.other"));
    assert!(matches!(seen(&settings, false), RegistrySeen::RolledBack { .. }));
    // A state in its place, or a checkpoint of another schema, is none.
    for schema in ["keyregistry.openbao-kms/v1alpha1", "keyregistry.openbao-kms/checkpoint/v9"] {
        put(&beside(&own), &checkpoint(3, &hash).replace("keyregistry.openbao-kms/checkpoint/v1alpha1", schema));
        assert!(matches!(seen(&settings, false), RegistrySeen::Corrupt { .. }), "{schema}");
    }
    put(&beside(&own), &checkpoint(3, &hash));
    std::fs::remove_file(&own).unwrap();
    assert_eq!(seen(&settings, true), RegistrySeen::Absent { checkpoint: true, bootstraps: false });
    lay(&own, "cluster-2", 3, 2);
    assert_eq!(seen(&settings, false), RegistrySeen::Foreign { fields: vec!["transit.keyIdScope.clusterId".into()] });
}

#[test]
fn a_byte_that_is_another_a_field_twice_a_link_or_a_wide_mode_is_no_registry() {
    let (dir, own, _) = site();
    let settings = settings(&own);
    lay(&own, "cluster-1", 3, 2);
    let whole = std::fs::read_to_string(&own).unwrap();
    for (from, to) in [
        ("\"generation\": 3", "\"generation\": 4"),
        ("\"generation\": 3", "\"generation\": 3,\n  \"generation\": 3"),
        ("\"retired\"", "\"removed\""),
        ("krs1.x", "krs1.y"),
        ("1700000001", "1700000009"),
        ("\"laterField\"", "\"laterfield\""),
    ] {
        assert!(whole.contains(from), "{from}");
        put(&own, &whole.replacen(from, to, 1));
        assert!(matches!(seen(&settings, false), RegistrySeen::Corrupt { .. }), "{from} {to}");
    }
    put(&own, &whole);
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o644)).unwrap();
    assert!(matches!(seen(&settings, false), RegistrySeen::Unsafe { .. }), "others may read it");
    std::fs::remove_file(&own).unwrap();
    let elsewhere = dir.path().join("elsewhere");
    put(&elsewhere, &whole);
    symlink(&elsewhere, &own).unwrap();
    assert!(matches!(seen(&settings, false), RegistrySeen::Unsafe { .. }), "a link");
    std::fs::remove_file(&own).unwrap();
    put(&own, &whole);
    std::fs::set_permissions(own.parent().unwrap(), std::fs::Permissions::from_mode(0o777)).unwrap();
    assert!(matches!(seen(&settings, false), RegistrySeen::Unsafe { .. }), "a folder of everybody's");
}

#[test]
fn the_newest_of_the_same_scope_is_found_and_never_one_before_a_known_checkpoint() {
    let (dir, own, peer) = site();
    let settings = settings(&own);
    let backup = dir.path().join("backup/key-registry.json");
    let sources = [("cp-2".to_owned(), peer.clone()), ("/backup".to_owned(), backup.clone())];
    assert!(matches!(find(&settings, &sources, None), PairFound::None { .. }));
    let hash = lay(&peer, "cluster-1", 5, 2);
    lay(&backup, "cluster-1", 4, 2);
    let found = PairFound::Found { source: "cp-2".into(), generation: 5, hash };
    assert_eq!(find(&settings, &sources, None), found);
    assert!(matches!(find(&settings, &sources, Some(6)), PairFound::None { .. }), "a person recorded a newer one");
    put(&beside(&own), &checkpoint(6, "krs1.own"));
    assert!(matches!(find(&settings, &sources, None), PairFound::None { .. }), "the node's own checkpoint is newer");
    std::fs::remove_file(beside(&own)).unwrap();
    lay(&peer, "cluster-2", 9, 2);
    assert!(matches!(find(&settings, &sources, None), PairFound::Found { generation: 4, .. }), "another scope is none");
    std::fs::remove_file(beside(&backup)).unwrap();
    assert!(matches!(find(&settings, &sources, None), PairFound::None { .. }), "half a pair is none");
}

#[test]
fn a_pair_is_copied_byte_for_byte_and_what_was_there_stays_beside_it() {
    let (_dir, own, peer) = site();
    let settings = settings(&own);
    let hash = lay(&peer, "cluster-1", 5, 3);
    put(&own, "{ \"generation\": 1");
    put(&beside(&own), &checkpoint(4, "krs1.old"));
    for _ in 0..2 {
        let copied = copy(&settings, &peer, 5, &hash, "run1").unwrap();
        assert!(matches!(copied, PairCopied::Copied { .. }));
        assert_eq!(std::fs::read(&own).unwrap(), std::fs::read(&peer).unwrap());
        assert_eq!(std::fs::read(beside(&own)).unwrap(), std::fs::read(beside(&peer)).unwrap());
    }
    let aside = own.with_file_name("key-registry.json.recover-run1");
    assert_eq!(std::fs::read_to_string(aside).unwrap(), "{ \"generation\": 1");
    assert!(copy(&settings, &peer, 4, &hash, "run1").is_err(), "not the generation that was found");
    assert!(copy(&settings, &peer, 5, "krs1.other", "run1").is_err(), "not the hash that was found");
}

#[test]
fn a_state_that_others_may_reach_is_left_alone_although_its_checkpoint_is_broken() {
    let (_dir, own, peer) = site();
    let settings = settings(&own);
    let hash = lay(&peer, "cluster-1", 5, 3);
    lay(&own, "cluster-1", 4, 2);
    put(&beside(&own), "no checkpoint");
    std::fs::set_permissions(&own, std::fs::Permissions::from_mode(0o666)).unwrap();
    let before = std::fs::read(&own).unwrap();
    assert!(matches!(seen(&settings, false), RegistrySeen::Unsafe { .. }));
    assert!(copy(&settings, &peer, 5, &hash, "run1").is_err_and(|why| why.contains("lets others at it")));
    assert_eq!(std::fs::read(&own).unwrap(), before);
}

/// What may happen to a file before it is asked for.
#[derive(Clone, Debug)]
enum Done {
    Nothing,
    Flip(usize, u8),
    Cut(usize),
    Insert(usize, String),
    Remove,
    Link,
    Mode(u32),
}

fn done() -> impl Strategy<Value = Done> {
    prop_oneof![
        3 => Just(Done::Nothing),
        3 => (any::<usize>(), 1_u8..).prop_map(|(at, by)| Done::Flip(at, by)),
        1 => any::<usize>().prop_map(Done::Cut),
        1 => (any::<usize>(), "[ -~]{1,12}").prop_map(|(at, text)| Done::Insert(at, text)),
        1 => Just(Done::Remove),
        1 => Just(Done::Link),
        1 => (0_u32..0o1000).prop_map(Done::Mode),
    ]
}

fn happens(path: &Path, done: &Done) {
    let mut bytes = std::fs::read(path).unwrap();
    match done {
        Done::Nothing => return,
        Done::Flip(at, by) => {
            let at = at % bytes.len();
            bytes[at] ^= by;
        }
        Done::Cut(at) => bytes.truncate(at % bytes.len()),
        Done::Insert(at, text) => {
            let at = at % bytes.len();
            bytes.splice(at..at, text.bytes());
        }
        Done::Remove => return std::fs::remove_file(path).unwrap(),
        Done::Link => {
            let to = path.with_extension("moved");
            std::fs::rename(path, &to).unwrap();
            return symlink(&to, path).unwrap();
        }
        Done::Mode(mode) => {
            return std::fs::set_permissions(path, std::fs::Permissions::from_mode(*mode)).unwrap();
        }
    }
    std::fs::write(path, bytes).unwrap();
}

fn content(path: &Path) -> Option<Vec<u8>> {
    std::fs::symlink_metadata(path).ok().filter(|meta| meta.is_file()).and_then(|_| std::fs::read(path).ok())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    /// N3: a registry is never authored. What lies at the target afterwards lay there before, or is the whole source as its provider
    /// wrote it.
    #[test]
    fn n3_whatever_is_asked_bytes_that_are_written_are_a_verified_source(
        changes in prop::array::uniform4(done()),
        cluster in prop::sample::select(vec!["cluster-1", "cluster-2"]),
        generation in 1_u64..4,
        asked in 1_u64..4,
        own_generation in prop::option::of(1_u64..5),
    ) {
        let (_dir, own, peer) = site();
        let hash = lay(&peer, cluster, generation, 2);
        std::fs::create_dir_all(own.parent().unwrap()).unwrap();
        if let Some(generation) = own_generation {
            lay(&own, "cluster-1", generation, 2);
        }
        let there = [peer.clone(), beside(&peer), own.clone(), beside(&own)];
        for (path, change) in there.iter().zip(&changes) {
            if path.exists() {
                happens(path, change);
            }
        }
        // A checkpoint has no hash of its own: what counts is that its bytes are the source's.
        let source = [content(&peer), content(&beside(&peer))];
        let before = [content(&own), content(&beside(&own))];
        let settings = settings(&own);
        let copied = copy(&settings, &peer, asked, &hash, "run1");
        let after = [content(&own), content(&beside(&own))];
        for (at, now) in after.iter().enumerate() {
            prop_assert!(*now == before[at] || *now == source[at], "{copied:?}");
        }
        if copied.is_ok() {
            // What has the hash of the source is the source, white space apart; and the pair that lies there is whole.
            prop_assert!(cluster == "cluster-1" && asked == generation);
            let is_sound = matches!(seen(&settings, false), RegistrySeen::Sound { generation, .. } if generation == asked);
            prop_assert!(is_sound);
        } else if before != after {
            prop_assert!(matches!(seen(&settings, false), RegistrySeen::Sound { .. }), "{copied:?}");
        }
    }
}
