//! Faults: what is executed, what is answered, and what the ledger says of it.

use std::time::{Duration, Instant};

use crate::guard::{Sandbox, eventually};
use serde_json::{Value, json};

const SHORT: Duration = Duration::from_millis(400);
const LONG: Duration = Duration::from_secs(10);

fn fault(sandbox: &Sandbox, kind: &str, on: &str) {
    let set = sandbox.run(&["fault", kind, "--on", on]);
    assert_eq!(set["faults"], json!([{ "on": on, "kind": kind, "times": 1 }]));
}

fn mint(sandbox: &Sandbox, limit: Duration) -> Option<(u16, Value)> {
    sandbox.ask("POST", "/tokens", Some(json!({ "label": "run-1", "ttl_s": 600 })), limit)
}

/// How many tokens were minted, and what the last call of the ledger met.
fn minted(sandbox: &Sandbox) -> (u64, Value, Value) {
    let ledger = sandbox.ledger();
    let last = ledger["calls"].as_array().and_then(|calls| calls.last().cloned()).unwrap_or_default();
    (ledger["mints"].as_u64().expect("a count"), last["status"].clone(), last["fault"].clone())
}

#[test]
fn a_mint_whose_reply_is_dropped_was_executed() {
    let sandbox = Sandbox::lost(&[]);
    fault(&sandbox, "drop-reply", "mint");
    assert_eq!(mint(&sandbox, LONG), None);
    assert_eq!(minted(&sandbox), (1, json!(201), json!("drop-reply")));
    assert!(mint(&sandbox, LONG).is_some(), "the fault is used up");
    assert_eq!(minted(&sandbox), (2, json!(201), Value::Null));
}

#[test]
fn a_mint_that_is_refused_or_hangs_or_fails_was_not_executed() {
    let sandbox = Sandbox::lost(&[]);
    fault(&sandbox, "refuse", "mint");
    assert_eq!(mint(&sandbox, LONG), None);
    assert_eq!(minted(&sandbox), (0, Value::Null, json!("refuse")));
    fault(&sandbox, "hang", "mint");
    let before = Instant::now();
    assert_eq!(mint(&sandbox, SHORT), None);
    assert!(before.elapsed() >= SHORT, "it was the client that gave up");
    assert_eq!(minted(&sandbox), (0, Value::Null, json!("hang")));
    fault(&sandbox, "error=503", "mint");
    let answer = mint(&sandbox, LONG).map(|(status, body)| (status, body["error"].clone()));
    assert_eq!(answer, Some((503, json!("FAULT_INJECTED"))));
    assert_eq!(minted(&sandbox), (0, json!(503), json!("error=503")));
}

#[test]
fn a_mint_that_is_duplicated_makes_two_tokens_of_which_the_second_is_told() {
    let sandbox = Sandbox::lost(&[]);
    fault(&sandbox, "duplicate", "mint");
    let (_, told) = mint(&sandbox, LONG).expect("is answered");
    let listed = sandbox.admin("GET", "/tokens?label=run-1", None);
    assert_eq!(listed["tokens"].as_array().map(Vec::len), Some(2));
    assert_eq!(listed["tokens"][1]["accessor"], told["accessor"]);
}

#[test]
fn a_mint_that_is_delayed_arrives_also_if_nobody_waits_for_it() {
    let sandbox = Sandbox::lost(&[]);
    fault(&sandbox, "delay=1000", "mint");
    assert_eq!(mint(&sandbox, SHORT), None);
    assert_eq!(sandbox.ledger()["mints"], 0, "it is still on its way");
    assert!(eventually(LONG, || sandbox.ledger()["mints"] == 1));
    // And if its label was closed meanwhile, it comes to nothing.
    fault(&sandbox, "delay=1000", "mint");
    assert_eq!(mint(&sandbox, SHORT), None);
    sandbox.admin("POST", "/tokens/revoke", Some(json!({ "label": "run-1" })));
    let late = |call: &Value| call["fault"] == "delay=1000" && call["status"] == 409;
    assert!(eventually(LONG, || sandbox.ledger()["calls"].as_array().is_some_and(|calls| calls.iter().any(late))));
    assert_eq!((&sandbox.ledger()["mints"], &sandbox.ledger()["live_tokens"]), (&json!(1), &json!(1)));
}

#[test]
fn a_revoke_whose_reply_is_dropped_was_executed_and_may_be_said_again() {
    let sandbox = Sandbox::lost(&[]);
    fault(&sandbox, "drop-reply", "revoke");
    let body = json!({ "label": "onboarding" });
    assert_eq!(sandbox.ask("POST", "/tokens/revoke", Some(body.clone()), LONG), None);
    assert_eq!(sandbox.admin("POST", "/tokens/revoke", Some(body)), json!({ "revoked": 0 }));
    assert_eq!((&sandbox.ledger()["revokes"], &sandbox.ledger()["live_tokens"]), (&json!(1), &json!(0)));
}

#[test]
fn faults_on_the_status_come_in_order_and_can_be_taken_back() {
    let sandbox = Sandbox::lost(&[]);
    let status = || sandbox.ask("GET", "", None, LONG).map(|(status, _)| status);
    sandbox.run(&["fault", "error=500", "--on", "status", "--times", "2"]);
    sandbox.run(&["fault", "error=429", "--on", "status", "--times", "3"]);
    // The sandbox's own commands are spared.
    assert_eq!(sandbox.up()["status"], "needs_recovery");
    assert_eq!([status(), status(), status()], [Some(500), Some(500), Some(429)]);
    sandbox.kill("control-plane");
    sandbox.up();
    assert_eq!(status(), Some(429), "a restart does not forget them");
    assert_eq!(sandbox.run(&["fault", "clear"])["faults"], json!([]));
    assert_eq!(status(), Some(200));
}

#[test]
fn a_pairing_whose_reply_is_dropped_is_found_by_its_key() {
    let sandbox = Sandbox::lost(&[]);
    fault(&sandbox, "drop-reply", "pair");
    sandbox.restart_with_token(&sandbox.mint("run-1"));
    sandbox.await_status("online");
    let ledger = sandbox.ledger();
    assert_eq!((&ledger["pair_attempts"], &ledger["pairs"], &ledger["starts"]), (&json!(1), &json!(1), &json!(1)));
}

#[test]
fn a_pairing_that_was_not_executed_is_not_tried_again() {
    let sandbox = Sandbox::lost(&[]);
    for (kind, words) in [("refuse", "no identity came of it"), ("error=503", "pairing failed: 503 FAULT_INJECTED")] {
        fault(&sandbox, kind, "pair");
        sandbox.restart_with_token(&sandbox.mint("run-1"));
        sandbox.await_log(words);
    }
    std::thread::sleep(SHORT);
    let ledger = sandbox.ledger();
    assert_eq!((&ledger["pair_attempts"], &ledger["live_tokens"]), (&json!(0), &json!(3)));
    assert_eq!(sandbox.status()["status"], "needs_recovery");
}

#[test]
fn a_pairing_that_is_duplicated_is_told_as_failed_and_found_at_the_next_start() {
    let sandbox = Sandbox::lost(&[]);
    fault(&sandbox, "duplicate", "pair");
    sandbox.restart_with_token(&sandbox.mint("run-1"));
    sandbox.await_log("pairing failed: 401 ENROLLMENT_TOKEN_INVALID");
    let ledger = sandbox.ledger();
    assert_eq!((&ledger["pair_attempts"], &ledger["pairs"]), (&json!(2), &json!(1)));
    let token = sandbox.admin("GET", "/tokens?label=run-1", None);
    assert_eq!(token["tokens"][0]["state"], "consumed");
    assert_eq!(token["tokens"][0]["paired_serial"], sandbox.status()["identity"]["serial"]);
    sandbox.restart();
    sandbox.await_status("online");
    assert_eq!(sandbox.ledger()["pair_attempts"], 2);
}

#[test]
fn a_pairing_that_arrives_late_is_stopped_by_revoking_its_token() {
    let sandbox = Sandbox::lost(&[]);
    fault(&sandbox, "delay=4000", "pair");
    sandbox.restart_with_token(&sandbox.mint("run-1"));
    sandbox.await_log("no identity came of it");
    assert_eq!(sandbox.ledger()["pair_attempts"], 0, "it is still on its way");
    assert_eq!(sandbox.admin("POST", "/tokens/revoke", Some(json!({ "label": "run-1" }))), json!({ "revoked": 1 }));
    assert!(eventually(LONG, || sandbox.ledger()["pair_attempts"] == 1));
    assert_eq!(sandbox.ledger()["pairs"], 0);
}
