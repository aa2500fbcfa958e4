//! The steps of a reconnect failure: the way to the control plane, the one repair, and what is degraded.

use recover_steps::{Instance, Observe, Observed, Reach, Reached, Repair, Repaired, Stage, Validate, Validated};

use super::{Bench, Server, lock};

async fn seen(bench: &Bench) -> (bool, String, Option<Instance>) {
    match bench.happens(Observe {}).await {
        Observed::Usable { online, status, serial, running, .. } => {
            assert_eq!(serial, "s1");
            (online, status, running)
        }
        other @ (Observed::Lost(_) | Observed::NeverPaired { .. } | Observed::Unclear { .. }) => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn c7_a_repair_names_the_life_it_ends_and_is_done_once_however_often_it_is_tried() {
    let bench = Bench::new().await;
    std::fs::write(bench.disk.path().join("data/identity.json"), r#"{"serial":"s1"}"#).unwrap();
    let Repaired::Repaired { instance: first } = bench.happens(Repair { from: None }).await;
    let Repaired::Repaired { instance: same } = bench.happens(Repair { from: None }).await;
    assert_eq!(first, same, "what runs is not started again");
    lock(&bench.plane).status = "offline".into();
    assert_eq!(seen(&bench).await, (false, "offline".into(), Some(first.clone())));
    let Repaired::Repaired { instance: second } = bench.happens(Repair { from: Some(first.clone()) }).await;
    let Repaired::Repaired { instance: again } = bench.happens(Repair { from: Some(first.clone()) }).await;
    assert!(second != first && second == again, "another life runs: the repair was done");
    assert_eq!((bench.minted(), bench.live()), (0, 0));
    bench.end().await;
}

/// One heartbeat that came late on a busy host ended a recovery that was well with a question.
#[tokio::test]
async fn a_flap_at_the_validation_is_looked_at_again_and_an_outage_is_not_well() {
    let bench = Bench::new().await;
    std::fs::write(bench.disk.path().join("data/identity.json"), r#"{"serial":"s1"}"#).unwrap();
    let Repaired::Repaired { instance } = bench.happens(Repair { from: None }).await;
    let validate = || Validate { serial: "s1".into(), instance: instance.clone() };
    lock(&bench.plane).status = "offline".into();
    let plane = std::sync::Arc::clone(&bench.plane);
    let back = tokio::spawn(async move {
        tokio::time::sleep(std::time::Duration::from_millis(300)).await;
        lock(&plane).status = "online".into();
    });
    assert!(matches!(bench.happens(validate()).await, Validated::Validated { .. }));
    back.await.unwrap();
    lock(&bench.plane).status = "offline".into();
    let invalid = bench.happens(validate()).await;
    assert!(matches!(&invalid, Validated::Invalid { why } if why == "offline"), "{invalid:?}");
    bench.end().await;
}

#[tokio::test]
async fn c8_degraded_is_said_as_the_authority_says_it() {
    let bench = Bench::new().await;
    std::fs::write(bench.disk.path().join("data/identity.json"), r#"{"serial":"s1"}"#).unwrap();
    lock(&bench.plane).status = "degraded".into();
    assert_eq!(seen(&bench).await, (false, "degraded".into(), None));
    bench.end().await;
}

#[tokio::test]
async fn c2_where_the_way_to_the_control_plane_ends_is_said() {
    let bench = Bench::new().await;
    assert_eq!(bench.happens(Reach {}).await, Reached::Reached);
    lock(&bench.plane).unwell = true;
    let unwell = bench.happens(Reach {}).await;
    assert!(matches!(&unwell, Reached::Unreachable { stage: Stage::Healthz, .. }), "{unwell:?}");
    bench.end().await;

    // Nobody listens at a port that was just given back.
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    // It listens, and it is no server of TLS.
    let plain = Server::new(|_| crate::fake::Reply::Reset).await;
    let tls = plain.base.replace("http://", "https://");
    for (base, wanted) in [
        (format!("http://{gone}"), Stage::Tcp),
        (tls, Stage::Tls),
        ("https://control-plane.invalid".to_owned(), Stage::Dns),
    ] {
        let bench = Bench::at(Some(base)).await;
        let reached = bench.happens(Reach {}).await;
        assert!(matches!(&reached, Reached::Unreachable { stage, .. } if *stage == wanted), "{wanted:?}: {reached:?}");
        bench.end().await;
    }
}
