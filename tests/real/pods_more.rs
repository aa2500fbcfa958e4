//! What a lane of kills does not show of a workload of Kubernetes: two at once, somebody who scales it up again, bad input, rights that
//! are missing, a loop.

use std::process::Output;
use std::time::Duration;

use serde_json::{Value, json};

use crate::bench::Bench;
use crate::lane::{self, told};
use crate::pods::{LEASES, NAME, ORIGINAL, PODS, Pods};

/// The exit of a run that ends with everything as it was found, and of one that left something for a person.
const AS_FOUND: i32 = 2;
const LEFT: i32 = 3;

pub fn all(system: &mut Pods, bench: &Bench) -> Vec<String> {
    type Part = (&'static str, fn(&mut Pods, &Bench) -> Vec<String>);
    let parts: [Part; 7] = [
        ("two at once", two_at_once),
        ("bad input", bad_input),
        ("rights", rights),
        ("C11", c11),
        ("C14", c14),
        ("C13", c13),
        ("the API server is down", down),
    ];
    for (what, part) in parts {
        let found = part(system, bench);
        // What comes after would only tell of the same.
        if !found.is_empty() {
            return found.into_iter().map(|problem| format!("{what}: {problem}")).collect();
        }
    }
    Vec::new()
}

fn claim(name: &str) -> Value {
    json!({ "persistentVolumeClaim": { "claimName": name } })
}

fn two_at_once(system: &mut Pods, bench: &Bench) -> Vec<String> {
    let lease = format!("{LEASES}/recover-{NAME}");
    let is_marked = || !system.api.get(&lease).unwrap().body["spec"]["holderIdentity"].is_null();
    lane::two_at_once(system, bench, is_marked)
}

/// What can be wrong with the workload or its storage: each is said, and nothing is changed.
fn bad_input(system: &mut Pods, bench: &Bench) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |what: &str, output: &Output, code: i32, said: &str| {
        if output.status.code() != Some(code) || !told(output).contains(said) {
            problems.push(format!("{what}: exit {:?}: {}", output.status.code(), told(output)));
        }
    };
    system.lose_into(bench, true, &claim(&system.fresh()));
    let other = |word: &str, other: &str| bench.with_workload(word, other, None).args(lane::GO).output().unwrap();
    expect(
        "no such deployment",
        &other(&format!("name = \"{NAME}\""), "name = \"edge-conector\""),
        AS_FOUND,
        "deployments.apps \"edge-conector\" is forbidden",
    );
    expect(
        "no such namespace",
        &other("namespace = \"default\"", "namespace = \"nowhere\""),
        AS_FOUND,
        "namespace \"nowhere\"",
    );
    expect(
        "no such kubeconfig",
        &other("recover.kubeconfig", "nobodys.kubeconfig"),
        AS_FOUND,
        "failed to read kubeconfig",
    );

    let replicas = |n: u32| {
        system.api.patch(&system.at(), &json!({ "spec": { "replicas": n } }));
    };
    replicas(2);
    expect("two replicas", &bench.recover(lane::GO), AS_FOUND, "scale it to 1 first");
    replicas(1);
    let one = || system.runs();
    assert!(one(), "one pod again");

    let user = json!({
        "metadata": { "name": "backup" },
        "spec": { "containers": [{ "name": "c", "image": "edge:1", "command": ["sleep", "1000"] }], "automountServiceAccountToken": false,
            "terminationGracePeriodSeconds": 1, "volumes": [{ "name": "v", "persistentVolumeClaim": { "claimName": ORIGINAL } }] },
    });
    system.api.post(PODS, &user);
    expect("the original is in use", &bench.recover(lane::GO), AS_FOUND, "in use by the pod backup");
    system.api.delete(&format!("{PODS}/backup"));

    // Where the original is not there to be put in its place, scratch space is no storage.
    let (identity, away) = (system.claim(ORIGINAL).join("identity.json"), bench.sandbox().dir().join("away"));
    std::fs::copy(&identity, &away).unwrap();
    std::fs::remove_file(&identity).unwrap();
    for (what, data, said) in [
        ("C11, the original gone, emptyDir", json!({ "emptyDir": {} }), "would not survive a restart"),
        ("read-only", json!({ "persistentVolumeClaim": { "claimName": ORIGINAL, "readOnly": true } }), "read-only"),
    ] {
        system.clear();
        system.create(&data, &[]);
        assert!(system.runs(), "{what}: its pod does not run");
        expect(what, &bench.recover(lane::GO), AS_FOUND, said);
        assert!(system.runs(), "{what}: it was left stopped");
    }
    std::fs::copy(&away, &identity).unwrap();
    system.clear();
    system.create(&claim(ORIGINAL), &[]);
    assert!(system.runs(), "it runs as it was installed");
    let ledger = bench.ledger();
    if ledger["mints"] != 0 || ledger["pairs"] != 0 {
        problems.push(format!("something was changed where nothing may be: {ledger}"));
    }
    problems.extend(system.left());
    problems
}

/// Without a right it ends as found, and says which is missing.
fn rights(system: &mut Pods, bench: &Bench) -> Vec<String> {
    let mut problems = Vec::new();
    system.lose_into(bench, false, &claim(ORIGINAL));
    let role = "/apis/rbac.authorization.k8s.io/v1/namespaces/default/roles/recover-edge-connector";
    let whole = system.api.get(role).unwrap().body["rules"].clone();
    for (resource, verb, said) in [
        ("deployments", "get", "cannot get resource \"deployments\""),
        ("deployments/scale", "patch", "cannot patch resource \"deployments/scale\""),
        ("pods", "list", "cannot list resource \"pods\""),
        ("leases", "get", "cannot get resource \"leases\""),
        ("secrets", "get", "cannot get resource \"secrets\""),
    ] {
        let mut rules = whole.clone();
        for rule in rules.as_array_mut().unwrap() {
            if rule["resources"] == json!([resource]) {
                rule["verbs"].as_array_mut().unwrap().retain(|one| one != verb);
            }
        }
        rules.as_array_mut().unwrap().retain(|rule| rule["verbs"].as_array().is_some_and(|verbs| !verbs.is_empty()));
        system.api.patch(role, &json!({ "rules": rules }));
        std::thread::sleep(Duration::from_millis(300));
        let refused = bench.recover(lane::GO);
        system.api.patch(role, &json!({ "rules": whole }));
        std::thread::sleep(Duration::from_millis(300));
        if refused.status.success() || !told(&refused).contains(said) {
            problems.push(format!("{verb} {resource}: exit {:?}: {}", refused.status.code(), told(&refused)));
        }
    }
    if bench.ledger()["pairs"] != 0 {
        problems.push(format!("something paired: {}", bench.ledger()));
    }
    let recovered = bench.recover(lane::GO);
    if !recovered.status.success() {
        problems.push(format!("with all of them it does not recover: {}", told(&recovered)));
    }
    problems
}

/// Scratch space, and a claim that is not there, are told by the pod template and the API server alone: nobody looks into a pod.
fn c11(system: &mut Pods, bench: &Bench) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |what: &str, sureness: &str| {
        problems.extend(lane::diagnosed(bench, &[], "C11", sureness).map(|why| format!("{what}: {why}")));
    };
    system.lose_into(bench, true, &json!({ "emptyDir": {} }));
    expect("an emptyDir", "likely");
    system.clear();
    // Its pod waits for it.
    system.create(&claim("edge-nobody-has"), &[]);
    expect("a claim that is not there", "certain");
    system.clear();
    system.create(&json!({ "emptyDir": {} }), &[]);
    assert!(system.runs(), "its pod does not run");
    let recovered = bench.recover(lane::GO);
    if !recovered.status.success() {
        problems.push(format!("the original claim is not put back: {}", told(&recovered)));
    }
    problems.extend(system.left());
    problems
}

/// The alert presumes an identity loss, and nobody may look at the claim: presumed, and no more.
fn c14(system: &mut Pods, bench: &Bench) -> Vec<String> {
    const ALERT: &str = "ControlPlaneConnectorBootstrapFallbackSuspectedHigh";
    system.lose_into(bench, false, &claim(ORIGINAL));
    let mut problems: Vec<String> = lane::diagnosed(bench, &["--alert", ALERT], "C14", "unsure").into_iter().collect();
    // A run looks, and then it is known.
    let recovered = bench.recovering(lane::GO).args(["--alert", ALERT]).output().unwrap();
    if !recovered.status.success() || bench.ledger()["pairs"] != 1 {
        problems.push(format!("it does not recover: {} {}", told(&recovered), bench.ledger()));
    }
    problems
}

/// A pod whose container ends again and again: told by its restarts, held stopped, named.
fn c13(system: &mut Pods, bench: &Bench) -> Vec<String> {
    let mut problems = Vec::new();
    system.lose_into(bench, false, &claim(ORIGINAL));
    system.clear();
    system.create(&claim(ORIGINAL), &["--ends"]);
    let looping = |told: &Value| {
        let pod = &told["items"][0]["status"]["containerStatuses"][0];
        pod["restartCount"].as_u64() >= Some(2) && pod["state"]["waiting"]["reason"] == "CrashLoopBackOff"
    };
    if !crate::kubernetes_cluster::until(&system.api, PODS, looping) {
        return vec!["it does not loop".to_owned()];
    }
    problems.extend(lane::diagnosed(bench, &[], "C13", "certain"));
    let ran = bench.recover(&["--scenario", "crash-loop", "--target", "edge-1", "--output", "json"]);
    let said = String::from_utf8_lossy(&ran.stdout).into_owned();
    let replicas = system.owner()["spec"]["replicas"].clone();
    if ran.status.code() != Some(LEFT) || !said.contains("\"suggested_scenario\":\"identity-loss\"") || replicas != 0 {
        problems.push(format!("exit {:?}, {replicas} replicas: {said} {}", ran.status.code(), told(&ran)));
    }
    problems.extend(system.left());
    problems
}

/// With nobody to ask, it is said so, and nothing is done.
fn down(system: &mut Pods, bench: &Bench) -> Vec<String> {
    let mut problems = Vec::new();
    system.kubelet = None;
    system.cluster.stop_apiserver();
    let refused = bench.recover(lane::GO);
    if refused.status.code() != Some(AS_FOUND) || !told(&refused).contains("cannot be reached") {
        problems.push(format!("exit {:?}: {}", refused.status.code(), told(&refused)));
    }
    problems
}
