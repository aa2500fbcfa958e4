//! N1 to N5 and N10: a request that the list forbids is not sent, whatever method, path, agent and body it is asked for with.
//!
//! No client has a method for any of them. This is the layer below, which would stop one that had.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::transport::{Call, Transport};
use super::wire::{CREDENTIAL, Wire, block_on};
use crate::fake::Reply;

/// A request of the list: a path with `*` where a name stands, and what would be written.
type Forbidden = (&'static str, fn() -> Value);

const NOTHING: fn() -> Value = || json!({});

/// How a path may be dressed up so that it looks like one of the contract.
const DRESS: &[&str] = &[
    "",
    "/v1/connectors/AGENT/..",
    "/v1/connectors/AGENT/../../..",
    "/v1/connectors/AGENT/tokens/../../../..",
    "/v1/connectors/AGENT/%2e%2e/%2E%2E",
    "/v1/connectors/AGENT/..%2f..%2f",
    "/v1/connectors/AGENT",
    "/v1/connectors/AGENT/tokens",
    "/v1/connectors/AGENT/tokens/revoke",
    "/healthz/..",
    "/healthz",
    "//127.0.0.1:1",
    "\\",
    "/v1/connectors/AGENT?",
    "/v1/connectors/AGENT/tokens#",
    "/v1/connectors/AGENT\t",
];

fn never(requests: &'static [Forbidden]) {
    const METHODS: &[&str] = &["GET", "POST", "PUT", "PATCH", "DELETE", "LIST", "HEAD", "OPTIONS", "CONNECT", "MOVE"];
    let asked = (
        prop::sample::select(requests),
        prop::sample::select(METHODS),
        prop::sample::select(DRESS),
        "[a-z0-9_-]{1,8}",
        prop_oneof![Just("edge-1".to_owned()), "[A-Za-z0-9_-][A-Za-z0-9._-]{0,12}"],
        prop::collection::vec(("[a-z_]{1,8}", "\\PC{0,8}"), 0..2),
        any::<bool>(),
    );
    let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
    let told = TestRunner::new(config).run(&asked, |((path, body), method, dress, name, agent, query, with_body)| {
        let path = format!("{}{}", dress.replace("AGENT", &agent), path.replace('*', &name));
        let sent = block_on(async {
            let wire = Wire::new(CREDENTIAL, |_, _| Reply::Json(200, "{}".into())).await;
            let transport = Transport::new(wire.config(&agent)).unwrap();
            let call = Call {
                method: Method::from_bytes(method.as_bytes()).unwrap(),
                path: path.clone(),
                query: query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect(),
                body: with_body.then(body),
            };
            _ = transport.send(call).await;
            [wire.authority.requests(), wire.elsewhere.requests()].concat()
        });
        prop_assert!(sent.is_empty(), "{method} {path} was sent: {sent:?}");
        Ok(())
    });
    if let Err(why) = told {
        panic!("{why}");
    }
}

#[test]
fn n1_no_request_makes_imports_rotates_or_deletes_a_transit_key() {
    never(&[
        ("/v1/transit/keys/*", NOTHING),
        ("/v1/transit/keys/*/rotate", NOTHING),
        ("/v1/transit/keys/*/trim", || json!({ "min_available_version": 2 })),
        ("/v1/transit/keys/*/import", || json!({ "ciphertext": "x" })),
        ("/v1/transit/encrypt/*", || json!({ "plaintext": "eA==" })),
        ("/v1/another-mount/encrypt/*", || json!({ "plaintext": "eA==" })),
        ("/v1/transit/restore/*", || json!({ "backup": "x" })),
    ]);
}

#[test]
fn n2_no_request_changes_what_a_transit_key_allows() {
    never(&[
        ("/v1/transit/keys/*/config", || json!({ "min_decryption_version": 2 })),
        ("/v1/transit/keys/*/config", || json!({ "exportable": true })),
        ("/v1/transit/keys/*/config", || json!({ "allow_plaintext_backup": true, "deletion_allowed": true })),
        ("/v1/transit/cache-config", || json!({ "size": 0 })),
    ]);
}

#[test]
fn n3_no_request_writes_registry_state_or_a_checkpoint() {
    never(&[
        ("/v1/registry/*", || json!({ "state": {} })),
        ("/v1/registry/*/checkpoint", || json!({ "checkpoint": {} })),
        ("/v1/kv/data/registry/*", || json!({ "data": {} })),
    ]);
}

#[test]
fn n4_no_request_changes_a_field_of_an_identity() {
    never(&[
        ("/identity", || json!({ "serial": "s9", "fingerprint": "f" })),
        ("/serial", || json!("s9")),
        ("/v1/agents/*/identity", || json!({ "serial": "s9" })),
        ("/v1/providers/*", || json!({ "name": "another" })),
        ("/v1/pair", || json!({ "agent": "edge-1", "token": "t", "public_key": "k" })),
    ]);
}

#[test]
fn n5_no_request_writes_to_etcd() {
    never(&[
        ("/v3/kv/put", || json!({ "key": "L3JlZ2lzdHJ5", "value": "eA==" })),
        ("/v3/kv/deleterange", || json!({ "key": "AA==", "range_end": "AA==" })),
        ("/v3/kv/txn", NOTHING),
        ("/v3/kv/compaction", NOTHING),
        ("/etcdserverpb.KV/Put", NOTHING),
        ("/v2/keys/registry/*", NOTHING),
    ]);
}

#[test]
fn n10_no_request_restarts_an_apiserver_or_touches_a_node() {
    never(&[
        ("/api/v1/namespaces/kube-system/pods/kube-apiserver-*", NOTHING),
        ("/api/v1/nodes/*", || json!({ "spec": { "unschedulable": true } })),
        ("/api/v1/namespaces/kube-system/pods/kube-apiserver-*/eviction", NOTHING),
        ("/apis/apps/v1/namespaces/kube-system/daemonsets/*", NOTHING),
        ("/run/kube-system/kube-apiserver-*/kube-apiserver", || json!({ "cmd": ["kill", "1"] })),
    ]);
}
