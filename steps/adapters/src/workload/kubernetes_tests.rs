//! A Deployment stopped, started and proven to be down, against an API server that keeps a list of what it was told to change.

use secrecy::SecretString;

use super::*;
use crate::fake::Reply;
use crate::kubernetes::fake::Fake;

fn on(fake: &Fake) -> Kubernetes {
    Kubernetes::new(&fake.config(), Some("/data".into()))
}

fn run() -> RunId {
    "run_01m83zgpyv8qxec6a1r5yg88nm".parse().unwrap()
}

#[tokio::test]
async fn a_life_ends_and_another_begins() {
    let fake = Fake::new().await;
    let edge = on(&fake);
    let first = edge.running().await.unwrap().unwrap();
    assert_eq!(edge.start().await.unwrap(), first, "what runs is not started again");
    let second = edge.restart(&first).await.unwrap();
    assert_ne!(first, second);
    assert_eq!(edge.restart(&first).await.unwrap(), second, "that life has ended before");
    edge.stop().await.unwrap();
    assert_eq!((edge.running().await.unwrap(), edge.traces().await.unwrap()), (None, None));
    edge.stop().await.unwrap();
    let scaled = fake.site().changes.iter().filter(|change| change.ends_with("/edge/scale")).count();
    assert_eq!(scaled, 3, "two stops and a start: {:?}", fake.site().changes);
}

#[tokio::test]
async fn what_is_not_there_or_is_two_is_refused_with_what_to_do() {
    let fake = Fake::new().await;
    let said =
        async |config: KubernetesConfig| Kubernetes::new(&config, None).running().await.unwrap_err().text().to_owned();
    let named = KubernetesConfig { name: "egde".into(), ..fake.config() };
    assert!(said(named).await.contains("did you mean edge?"));
    let named = KubernetesConfig { name: "quite-another".into(), ..fake.config() };
    assert!(said(named).await.contains("kubectl --namespace edge get deployments"));
    fake.site().owner["spec"]["replicas"] = 2.into();
    assert!(said(fake.config()).await.contains("scale it to 1 first"));
    assert!(fake.site().changes.is_empty());
    fake.site().owner["spec"]["replicas"] = 1.into();
    let other = KubernetesConfig { container: Some("sidecar".into()), ..fake.config() };
    assert!(said(other).await.contains("no container sidecar"));
}

#[tokio::test]
async fn an_api_server_that_is_down_or_answers_badly_is_said_to() {
    let fake = Fake::new().await;
    let edge = on(&fake);
    let raw = |status: u16, more: &str, body: &str| {
        Reply::Raw(format!(
            "HTTP/1.1 {status} X\r\nconnection: close\r\n{more}content-length: {}\r\n\r\n{body}",
            body.len()
        ))
    };
    let half = "HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1000\r\n\r\n{\"spec\":";
    for (reply, wanted) in [
        (raw(403, "", r#"{"message":"deployments.apps \"edge\" is forbidden"}"#), "docs/access.md"),
        (raw(401, "", "{}"), "does not accept the credential"),
        (raw(429, "retry-after: 7\r\n", "{}"), "429"),
        (raw(500, "", "<html>"), "500"),
        (raw(200, "", "no json"), "no JSON"),
        (Reply::Raw(half.into()), "not understood"),
        (Reply::Reset, "not understood"),
    ] {
        fake.site().instead.push(reply);
        let trouble = edge.running().await.unwrap_err();
        assert!(trouble.text().contains(wanted), "{wanted}: {trouble:?}");
        assert_eq!(matches!(trouble, Trouble::Retry { after_ms: Some(7_000), .. }), wanted == "429");
    }
    let config = fake.config();
    let kubeconfig = std::fs::read_to_string(config.kubeconfig.as_ref().unwrap()).unwrap();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let at = kubeconfig.find("http://").unwrap();
    let end = at + kubeconfig[at..].find('"').unwrap();
    std::fs::write(
        config.kubeconfig.as_ref().unwrap(),
        format!("{}http://{nobody}{}", &kubeconfig[..at], &kubeconfig[end..]),
    )
    .unwrap();
    let why = on(&fake).running().await.unwrap_err();
    assert!(why.text().contains("cannot be reached") && why.text().contains(&nobody.to_string()), "{why:?}");
    drop(fake);
    let none = Kubernetes::new(&config, None).running().await.unwrap_err();
    assert!(matches!(&none, Trouble::Refused(reason) if reason.text.contains("kubeconfig")), "{none:?}");
}

#[tokio::test]
async fn a_stop_that_somebody_undoes_is_seen_before_the_next_change() {
    let fake = Fake::new().await;
    let edge = on(&fake);
    edge.stop().await.unwrap();
    fake.site().owner["spec"]["replicas"] = 1.into();
    assert!(edge.traces().await.unwrap().unwrap().contains("is scaled to 1"), "a pod may come at any moment");
    fake.site().run_pod();
    assert!(edge.traces().await.unwrap().unwrap().contains("the pod edge-2 is Running"));
    fake.site().owner["spec"]["replicas"] = 0.into();
    assert!(edge.traces().await.unwrap().is_some(), "one that is not gone yet");
    assert!(edge.start().await.is_err(), "no second one is started beside it");
    let other = json!({ "metadata": { "name": "backup", "uid": "u", "labels": {} }, "status": { "phase": "Running" },
        "spec": { "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": "edge-data" } }] } });
    fake.site().pods = vec![other];
    assert!(edge.traces().await.unwrap().unwrap().contains("another workload"));
}

fn waits(reason: &str, restarts: u32) -> Value {
    json!([{ "name": "connector", "restartCount": restarts, "state": { "waiting": { "reason": reason } },
        "lastState": { "terminated": { "startedAt": "T0" } } }])
}

#[tokio::test]
async fn c13_a_loop_is_told_with_its_count_and_what_waits_says_why() {
    let fake = Fake::new().await;
    let edge = on(&fake);
    fake.site().pods[0]["status"]["containerStatuses"] = waits("CrashLoopBackOff", 4);
    assert_eq!(edge.seen().await.value(), Some(&WorkloadSeen::Restarting { restarts: 4 }));
    assert_eq!(edge.running().await.unwrap(), None);
    assert_eq!(
        edge.start().await.unwrap(),
        Instance("pod-1:T0:4".into()),
        "it was begun, and is its kubelet's to begin again"
    );
    fake.site().pods[0]["status"]["containerStatuses"] = json!([{ "name": "connector", "restartCount": 0,
        "state": { "waiting": { "reason": "ImagePullBackOff" } } }]);
    let seen = serde_json::to_string(&edge.seen().await).unwrap();
    assert!(seen.contains("ImagePullBackOff"), "{seen}");
    fake.site().pods.clear();
    assert_eq!(edge.seen().await.value(), Some(&WorkloadSeen::Stopped));
    assert!(edge.log_tail().await.unwrap_err().contains("has no pod"));
}

#[tokio::test]
async fn a_token_is_a_secret_of_the_runs_and_only_that_is_taken_back() {
    let fake = Fake::new().await;
    let edge = on(&fake);
    let secret = SecretString::from("s3cr3t");
    edge.prove_handover().await.unwrap();
    for _ in 0..2 {
        edge.hand_over(run(), "label-1", &secret).await.unwrap();
    }
    assert_eq!(fake.site().secrets[0]["data"]["token"], "czNjcjN0");
    assert_eq!(edge.token_in_sight().await.unwrap().as_deref(), Some("the Secret edge-token"));
    edge.take_back(run(), "label-2").await.unwrap();
    assert!(edge.token_in_sight().await.unwrap().is_some(), "another label's stays");
    assert!(edge.hand_over(run(), "label-2", &secret).await.is_err());
    for _ in 0..2 {
        edge.take_back(run(), "label-1").await.unwrap();
    }
    assert!(fake.site().secrets.is_empty());
    fake.site().secrets.push(json!({ "metadata": { "name": "edge-token" } }));
    assert!(edge.prove_handover().await.unwrap_err().text().contains("not a run's"));
    edge.take_back(run(), "label-1").await.unwrap();
    assert_eq!(fake.site().secrets.len(), 1);
    fake.site().secrets.clear();
    fake.site().owner["spec"]["template"]["spec"]["volumes"].as_array_mut().unwrap().remove(1);
    assert!(edge.prove_handover().await.unwrap_err().text().contains("would never see a token"));
}

#[tokio::test]
async fn what_it_is_has_no_arguments_in_it() {
    let fake = Fake::new().await;
    let mut facts = Facts::new();
    on(&fake).facts(&mut facts).await.unwrap();
    assert_eq!((facts["workload.kind"].as_str(), facts["workload.uid"].as_str()), ("deployment", "owner-1"));
    assert!(!format!("{facts:?}").contains("secret-looking"), "{facts:?}");
}
