//! The steps one after another, and after a kill in between, on a real process and a directory, with an authority that
//! keeps the contract and can be told to lose or double what it does.

use std::path::Path;
use std::sync::{Arc, Mutex};

use recover_engine::{Doing, Key, Millis, Reason, RunId};
use recover_steps::{
    Awaited, Captured, Durability, Instance, Loss, Minted, Observed, Original, Paired, Proven, Restarted, Revoked,
    Searched, Started, Stopped, Storage, Token, Validated, Withdrawn, refusal,
};
use serde_json::json;

use super::*;
use crate::config::tests::sample;
use crate::fake::Server;

#[path = "connector_plane.rs"]
mod plane;
use plane::{Fault, Plane, answer, device, lock};
#[path = "connector_reconnect_tests.rs"]
mod reconnect;

struct Bench {
    connector: Connector,
    plane: Arc<Mutex<Plane>>,
    run: RunId,
    disk: tempfile::TempDir,
    shm: tempfile::TempDir,
    _server: Server,
    device: tokio::task::JoinHandle<()>,
}

impl Bench {
    async fn new() -> Self {
        Self::at(None).await
    }

    /// With the authority elsewhere than where it answers.
    async fn at(base: Option<String>) -> Self {
        let disk = crate::fake::on_disk();
        let shm = tempfile::tempdir_in("/dev/shm").unwrap();
        std::fs::create_dir(disk.path().join("data")).unwrap();
        std::fs::write(disk.path().join("credential"), "cr3d3ntial-canary").unwrap();
        let private: std::fs::Permissions = std::os::unix::fs::PermissionsExt::from_mode(0o600);
        std::fs::set_permissions(disk.path().join("credential"), private).unwrap();
        let plane =
            Arc::new(Mutex::new(Plane { serial: "s1".into(), status: "needs_recovery".into(), ..Plane::default() }));
        let answering = Arc::clone(&plane);
        let server = Server::new(move |asked| answer(&mut lock(&answering), &asked)).await;
        let mut config = sample();
        let at = |name: &str| disk.path().join(name).display().to_string();
        config["workload"]["process"] = json!({ "command": ["/bin/sleep", unique()], "pidfile": at("pid"), "log": at("log"),
            "token_file": shm.path().join("token").display().to_string() });
        config["storage"]["directory"] = json!({ "path": at("data"), "originals": [at("original")] });
        config["authority"]["http"] = json!({ "base": base.unwrap_or_else(|| server.base.clone()), "agent": "edge-1", "credential": format!("file:{}", at("credential")) });
        config["timing"]["stop_within"] = "3s".into();
        let secrets = SecretsDir::new(Some(shm.path().join("secrets")), None);
        let connector = Connector::new(serde_json::from_value(config).unwrap(), secrets).unwrap();
        let device = tokio::spawn(device(Arc::clone(&plane), disk.path().join("data"), shm.path().join("token")));
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_millis();
        let run = RunId::new(Millis(i64::try_from(now).unwrap()), [7; 10]);
        Self { connector, plane, run, disk, shm, _server: server, device }
    }

    fn plane(&self) -> std::sync::MutexGuard<'_, Plane> {
        lock(&self.plane)
    }

    /// How many tokens work.
    fn live(&self) -> usize {
        self.plane().live()
    }

    /// How many tokens there are.
    fn minted(&self) -> usize {
        self.plane().tokens.len()
    }

    fn fault(&self, fault: Fault) {
        self.plane().fault = fault;
    }

    fn act<E: Effect>(&self, effect: &E) -> Act {
        let doing = Doing::of(effect);
        let key = Key::effect("subject", "s1", doing.step, 0);
        let (target, subject) = ("edge-1".into(), self.plane().serial.as_str().into());
        Act {
            run: self.run,
            target,
            subject,
            epoch: Some("s1".into()),
            doing: doing.into(),
            ordinal: 0,
            attempt: 1,
            key,
            fenced: false,
        }
    }

    async fn perform<E: Effect>(&self, effect: E) -> Performed {
        let performed = self.connector.perform(&self.act(&effect)).await;
        let shown = format!("{performed:?} {:?}", self.connector);
        assert!(!shown.contains("canary"), "{shown}");
        performed
    }

    async fn happens<E: Effect>(&self, effect: E) -> E::Event {
        let performed = self.perform(effect).await;
        let Performed::Happened(seen) = performed else { panic!("{performed:?}") };
        seen.told.data.to().unwrap()
    }

    async fn fenced<E: Effect>(&self, effect: &E) -> Probed {
        let mut act = self.act(effect);
        for _ in 0..2 {
            let raised = self.connector.fence(&act).await;
            assert!(matches!(raised, FenceRaised::Up(_)), "{raised:?}");
        }
        act.fenced = true;
        self.connector.probe(&act).await
    }

    async fn token(&self) -> Token {
        let Minted::Minted { token } = self.happens(Mint { ttl_s: 600 }).await;
        token
    }

    async fn start(&self) -> Instance {
        let Started::Started { instance } = self.happens(Start {}).await;
        instance
    }

    /// Every file on tmpfs, also in folders.
    fn in_memory(&self) -> usize {
        fn count(path: &Path) -> usize {
            let entries = std::fs::read_dir(path).unwrap().map(|e| e.unwrap().path());
            entries.map(|p| if p.is_dir() { count(&p) } else { 1 }).sum()
        }
        count(self.shm.path())
    }

    async fn end(self) {
        self.happens(Stop {}).await;
        self.device.abort();
    }
}

fn unique() -> String {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    format!("700.{}{:04}", std::process::id(), NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed))
}

#[tokio::test]
async fn a_lost_identity_is_replaced_step_by_step() {
    let bench = Bench::new().await;
    bench.plane().unwell = true;
    bench.connector.reach_authority().await.unwrap_err();
    bench.plane().unwell = false;
    bench.connector.reach_authority().await.unwrap();
    let running = bench.start().await;
    let Observed::Lost(loss) = bench.happens(Observe {}).await else { panic!("is lost") };
    assert_eq!(
        loss,
        Loss { epoch: "s1".into(), running: Some(running), status: "needs_recovery".into(), foreign: None }
    );
    assert!(matches!(bench.happens(ProveStopped {}).await, Proven::Running { .. }));
    assert_eq!(bench.happens(Stop {}).await, Stopped::Stopped);
    assert_eq!(bench.happens(ProveStopped {}).await, Proven::Stopped);
    assert!(matches!(bench.happens(Search { epoch: "s1".into() }).await, Searched::Gone { .. }));
    bench.plane().mint(&json!({ "label": "stale" }));
    assert_eq!(bench.happens(RevokeStale {}).await, Revoked::Revoked { live: 1 });
    assert_eq!(bench.happens(RevokeStale {}).await, Revoked::Revoked { live: 0 });
    let proven = bench.happens(ProveDurable { storage: Storage::Target }).await;
    assert!(!matches!(proven, Durability::Occupied { .. } | Durability::Unwritable { .. }), "{proven:?}");
    let token = bench.token().await;
    assert_eq!((bench.live(), bench.in_memory()), (1, 1));
    let Paired::Paired { serial, instance } = bench.happens(Pair { token: token.clone(), within_ms: 10_000 }).await;
    assert_eq!(serial, "s2");
    let awaiting = |instance: &Instance| AwaitOnline {
        serial: "s2".into(),
        instance: instance.clone(),
        observe_ms: 300,
        within_ms: 5_000,
    };
    let first = instance.unwrap();
    assert!(matches!(bench.happens(awaiting(&first)).await, Awaited::Online { .. }));
    let invalid = bench.happens(Validate { serial: "s2".into(), instance: first.clone() }).await;
    assert!(matches!(&invalid, Validated::Invalid { why } if why.contains("token")), "{invalid:?}");
    for _ in 0..2 {
        assert_eq!(bench.happens(Withdraw { token: token.clone() }).await, Withdrawn::Withdrawn);
        assert_eq!(bench.in_memory(), 0);
    }
    let Restarted::Restarted { instance } = bench.happens(Restart { from: first.clone() }).await;
    assert_ne!(instance, first);
    let gone = AwaitOnline { within_ms: 300, ..awaiting(&first) };
    assert!(matches!(bench.happens(gone).await, Awaited::NotOnline { status } if status.contains("another life")));
    assert!(matches!(bench.happens(awaiting(&instance)).await, Awaited::Online { .. }));
    assert!(matches!(bench.happens(Validate { serial: "s2".into(), instance }).await, Validated::Validated { .. }));
    std::fs::write(bench.disk.path().join("log"), "pairing completed token=s3cr3t-canary-1\n").unwrap();
    let captured = bench.happens(Capture { serial: "s2".into(), alert: None }).await;
    assert_eq!(captured, Captured::Captured { status: "online".into(), texts: 2 });
    assert!(matches!(bench.happens(Observe {}).await, Observed::Usable { online: true, .. }));
    bench.end().await;
}

/// It happens where the connector was started for a pairing and fetched, with a key that it had kept, what was lost.
#[tokio::test]
async fn nothing_is_minted_where_an_identity_is() {
    let bench = Bench::new().await;
    let identity = bench.disk.path().join("data/identity.json");
    std::fs::write(&identity, r#"{"serial":"s1"}"#).unwrap();
    let refused = bench.perform(Mint { ttl_s: 600 }).await;
    assert!(matches!(&refused, Performed::Refused(r) if r.code == refusal::IDENTITY), "{refused:?}");
    assert_eq!((bench.minted(), bench.in_memory()), (0, 0));
    // Nor beside another one: a pairing that somebody took for failed may have left it.
    std::fs::write(&identity, r#"{"serial":"s2"}"#).unwrap();
    let refused = bench.perform(Mint { ttl_s: 600 }).await;
    assert!(matches!(&refused, Performed::Refused(r) if r.code == refusal::IDENTITY), "{refused:?}");
    assert_eq!((bench.minted(), bench.in_memory()), (0, 0));
    std::fs::remove_file(&identity).unwrap();
    bench.token().await;
    assert_eq!(bench.minted(), 1);
    bench.end().await;
}

#[tokio::test]
async fn a_mint_whose_answer_was_lost_is_absent_once_it_is_fenced() {
    let bench = Bench::new().await;
    bench.fault(Fault::Lost);
    assert!(matches!(bench.perform(Mint { ttl_s: 600 }).await, Performed::Unknown { .. }));
    assert_eq!(bench.live(), 1, "it was minted");
    let mint = Mint { ttl_s: 600 };
    assert!(!matches!(bench.connector.probe(&bench.act(&mint)).await, Probed::Happened(_)));
    assert!(matches!(bench.fenced(&mint).await, Probed::Absent(_)));
    assert_eq!(bench.live(), 0);
    assert!(
        matches!(bench.perform(mint).await, Performed::Refused(r) if r.code == code::AUTHORITY),
        "the label stays closed"
    );
    bench.end().await;
}

#[tokio::test]
async fn a_mint_that_was_killed_after_its_secret_was_kept_is_found() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let mint = Mint { ttl_s: 600 };
    let Probed::Happened(seen) = bench.connector.probe(&bench.act(&mint)).await else { panic!("is found") };
    let found: Minted = seen.told.data.to().unwrap();
    assert_eq!(found, Minted::Minted { token });
    assert!(
        matches!(bench.perform(mint.clone()).await, Performed::Unknown { .. }),
        "never a second one under its label"
    );
    assert_eq!(bench.minted(), 1);
    assert!(matches!(bench.fenced(&mint).await, Probed::Absent(_)));
    assert_eq!((bench.live(), bench.in_memory()), (0, 0));
    bench.end().await;
}

#[tokio::test]
async fn a_mint_that_was_done_twice_leaves_none() {
    let bench = Bench::new().await;
    bench.fault(Fault::Double);
    let refused = bench.perform(Mint { ttl_s: 600 }).await;
    assert!(matches!(&refused, Performed::Refused(r) if r.code == code::DUPLICATED), "{refused:?}");
    assert_eq!((bench.minted(), bench.live(), bench.in_memory()), (2, 0, 0));
    bench.end().await;
}

#[tokio::test]
async fn nothing_is_minted_without_a_place_in_memory_for_it() {
    let mut bench = Bench::new().await;
    bench.connector.secrets = SecretsDir::new(Some(bench.disk.path().join("secrets")), None);
    let refused = bench.perform(Mint { ttl_s: 600 }).await;
    assert!(
        matches!(&refused, Performed::Refused(r) if r.code == code::SECRETS && r.text.contains("tmpfs")),
        "{refused:?}"
    );
    assert!(bench.plane().tokens.is_empty());
    bench.end().await;
}

#[tokio::test]
async fn a_pairing_is_found_after_the_fact_and_a_burnt_token_is_said() {
    let bench = Bench::new().await;
    let token = bench.token().await;
    let pair = Pair { token, within_ms: 10_000 };
    assert!(matches!(bench.happens(pair.clone()).await, Paired::Paired { .. }));
    let Probed::Happened(seen) = bench.connector.probe(&bench.act(&pair)).await else { panic!("is found") };
    assert!(matches!(seen.told.data.to().unwrap(), Paired::Paired { instance: Some(_), serial } if serial == "s2"));
    assert!(matches!(bench.fenced(&pair).await, Probed::Happened(_)), "a fence cannot undo it");
    assert_eq!((bench.connector.workload.running().await, bench.in_memory()), (Ok(None), 0));
    bench.end().await;

    let bench = Bench::new().await;
    bench.fault(Fault::Burn);
    let pair = Pair { token: bench.token().await, within_ms: 10_000 };
    assert!(matches!(bench.perform(pair.clone()).await, Performed::Refused(r) if r.code == refusal::BURNT));
    assert!(matches!(bench.fenced(&pair).await, Probed::Absent(_)));
    bench.end().await;
}

#[tokio::test]
async fn a_pairing_that_does_not_come_is_unknown_until_it_is_fenced() {
    let bench = Bench::new().await;
    bench.fault(Fault::Sleep);
    let pair = Pair { token: bench.token().await, within_ms: 1_000 };
    assert!(matches!(bench.perform(pair.clone()).await, Performed::Unknown { .. }));
    assert!(matches!(bench.connector.probe(&bench.act(&pair)).await, Probed::Unknown(_)));
    assert!(matches!(bench.fenced(&pair).await, Probed::Absent(_)));
    assert_eq!((bench.connector.workload.running().await, bench.live(), bench.in_memory()), (Ok(None), 0, 0));
    bench.end().await;
}

#[tokio::test]
async fn what_was_not_handed_over_was_surely_not_used() {
    // The workload runs.
    let bench = Bench::new().await;
    let pair = Pair { token: bench.token().await, within_ms: 2_000 };
    bench.start().await;
    assert!(matches!(bench.perform(pair.clone()).await, Performed::Refused(r) if r.code == code::WORKLOAD));
    bench.happens(Stop {}).await;
    // Its program is gone.
    let mut config = sample();
    let at = |name: &str| bench.disk.path().join(name).display().to_string();
    config["workload"]["process"] = json!({ "command": ["/nowhere/program"], "pidfile": at("pid"), "log": at("log"),
        "token_file": bench.shm.path().join("token").display().to_string() });
    let gone: ConnectorConfig = serde_json::from_value(config).unwrap();
    let mut bench = bench;
    let working = std::mem::replace(
        &mut bench.connector.workload,
        Workload::new(gone.workload, &gone.storage, &gone.timing).unwrap(),
    );
    assert!(matches!(bench.perform(pair.clone()).await, Performed::Refused(r) if r.code == code::WORKLOAD));
    assert!(!bench.shm.path().join("token").exists(), "and the token is out of sight again");
    bench.connector.workload = working;
    // The token was revoked; its secret was lost.
    bench.plane().revoke(&json!({ "label": pair.token.label }));
    assert!(matches!(bench.perform(pair.clone()).await, Performed::Refused(r) if r.code == Reason::ABSENT));
    std::fs::remove_dir_all(bench.shm.path().join("secrets")).unwrap();
    assert!(matches!(bench.perform(pair).await, Performed::Refused(r) if r.code == Reason::ABSENT));
    assert_eq!(bench.connector.workload.running().await, Ok(None));
    bench.end().await;
}

#[tokio::test]
async fn an_original_is_found_proven_reattached_and_detached_while_nothing_runs() {
    let bench = Bench::new().await;
    let at = |name: &str| bench.disk.path().join(name);
    std::fs::create_dir_all(at("original/backup")).unwrap();
    std::fs::write(at("original/backup/identity.json"), r#"{"serial":"s1"}"#).unwrap();
    let Searched::Found { original } = bench.happens(Search { epoch: "s1".into() }).await else { panic!("is found") };
    let proven = bench.happens(ProveDurable { storage: Storage::Original(original.clone()) }).await;
    assert!(!matches!(proven, Durability::Occupied { .. } | Durability::Unwritable { .. }));
    let reattach = recover_steps::Reattach { original: original.clone() };
    bench.start().await;
    assert!(matches!(bench.perform(reattach.clone()).await, Performed::Refused(r) if r.code == code::WORKLOAD));
    bench.happens(Stop {}).await;
    for _ in 0..2 {
        bench.happens(reattach.clone()).await;
    }
    assert!(matches!(bench.happens(Observe {}).await, Observed::Usable { online: false, .. }));
    bench.happens(recover_steps::Detach { original: original.clone() }).await;
    assert!(matches!(bench.happens(Observe {}).await, Observed::Lost(_)));
    std::fs::write(at("data/identity.json"), r#"{"serial":"s0"}"#).unwrap();
    assert!(matches!(bench.happens(Observe {}).await, Observed::Lost(Loss { foreign: Some(f), .. }) if f == "s0"));
    bench.happens(SetAside {}).await;
    assert!(matches!(bench.happens(Observe {}).await, Observed::Lost(Loss { foreign: None, .. })));
    bench.happens(PutBack {}).await;
    std::fs::write(at("data/identity.json"), "torn").unwrap();
    assert!(matches!(bench.happens(Observe {}).await, Observed::Unclear { .. }));
    let moved = Original { file_id: "1:1".into(), ..original };
    assert!(
        matches!(bench.perform(recover_steps::Reattach { original: moved }).await, Performed::Refused(r) if r.code == code::STORAGE)
    );
    bench.end().await;
}

#[tokio::test]
async fn online_that_outlives_the_connector_is_waited_out_or_called_a_contradiction() {
    let bench = Bench::new().await;
    bench.plane().status = "online".into();
    let later = Arc::clone(&bench.plane);
    let fall = tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(700)).await;
        lock(&later).status = "offline".into();
    });
    assert!(matches!(bench.happens(Observe {}).await, Observed::Lost(_)));
    fall.await.unwrap();
    bench.plane().status = "online".into();
    assert!(matches!(bench.happens(Observe {}).await, Observed::Unclear { .. }));
    // Online by the authority's word alone, without a heartbeat while it is watched.
    std::fs::write(bench.disk.path().join("data/identity.json"), r#"{"serial":"s1"}"#).unwrap();
    let instance = bench.start().await;
    bench.plane().status = "offline".into();
    let step = AwaitOnline { serial: "s1".into(), instance, observe_ms: 100, within_ms: 300 };
    assert!(matches!(bench.happens(step).await, Awaited::NotOnline { status } if status == "offline"));
    bench.end().await;
}

#[tokio::test]
async fn what_is_no_step_of_ours_is_refused() {
    let bench = Bench::new().await;
    let mut act = bench.act(&Observe {});
    std::sync::Arc::make_mut(&mut act.doing).step = "rotate-transit-key";
    assert!(matches!(bench.connector.perform(&act).await, Performed::Refused(r) if r.code == code::UNKNOWN_STEP));
    assert!(matches!(bench.connector.fence(&act).await, FenceRaised::Failed(_)));
    assert!(matches!(bench.connector.probe(&act).await, Probed::Unknown(_)));
    let mut act = bench.act(&Mint { ttl_s: 1 });
    std::sync::Arc::make_mut(&mut act.doing).body = recover_engine::Json::of(&json!({ "ttl_s": "x" }));
    assert!(matches!(bench.connector.perform(&act).await, Performed::Refused(r) if r.code == code::UNKNOWN_STEP));
    let mut act = bench.act(&Stop {});
    std::sync::Arc::make_mut(&mut act.doing).timeout_ms = 0;
    let held = bench.connector.workload.lock().await.unwrap();
    assert!(matches!(bench.connector.perform(&act).await, Performed::Unknown { .. }), "its time is over");
    drop(held);
    bench.end().await;
}
