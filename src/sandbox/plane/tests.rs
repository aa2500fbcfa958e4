//! The promises of `docs/authority-http.md`, asked of the pure control plane.

use super::*;
use crate::sandbox::key::Key;

const AGENT: &str = "edge-1";

/// A control plane, a clock and a counter for randomness.
struct World {
    plane: ControlPlane,
    at: Millis,
    drawn: u8,
}

impl World {
    fn new() -> Self {
        let mut plane = ControlPlane::default();
        plane.register(AGENT);
        Self { plane, at: Millis(1_000_000), drawn: 0 }
    }

    fn ask(&mut self, request: Request) -> Reply {
        self.drawn += 1;
        self.plane.handle(Now { at: self.at, entropy: [self.drawn; 32] }, &request)
    }

    fn mint(&mut self, label: &str) -> (String, String) {
        let reply = self.ask(Request::Mint { agent: AGENT.into(), label: label.into(), ttl_s: 60 });
        assert_eq!((reply.status, reply.effect), (201, Effect::Minted));
        (text(&reply.body["accessor"]), text(&reply.body["secret"]))
    }

    fn pair(&mut self, secret: &str, key: &Key) -> Reply {
        self.ask(Request::Pair { agent: AGENT.into(), token: secret.into(), public_key: key.public_key() })
    }

    fn paired(&mut self) -> (Key, String) {
        let (_, secret) = self.mint("install");
        let key = Key::new([self.drawn; 32]);
        let reply = self.pair(&secret, &key);
        assert_eq!((reply.status, reply.effect), (200, Effect::Paired));
        (key, text(&reply.body["serial"]))
    }

    fn beat(&mut self, key: &Key, serial: &str) -> Reply {
        self.ask(Request::Heartbeat { agent: AGENT.into(), serial: serial.into(), proof: key.proof() })
    }

    fn status(&mut self) -> Value {
        self.ask(Request::Status { agent: AGENT.into() }).body
    }

    fn token(&mut self, accessor: &str) -> Value {
        let accessor = Some(accessor.to_owned());
        let mut reply = self.ask(Request::Tokens { agent: AGENT.into(), label: None, accessor, cursor: 0 });
        reply.body["tokens"][0].take()
    }

    fn revoke(&mut self, what: Revoke) -> Reply {
        self.ask(Request::Revoke { agent: AGENT.into(), what })
    }

    fn audit(&mut self) -> Vec<String> {
        let reply = self.ask(Request::Audit { agent: AGENT.into(), since: None, cursor: 0 });
        reply.body["events"].as_array().into_iter().flatten().map(|event| text(&event["type"])).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

#[test]
fn a_token_works_once() {
    let mut world = World::new();
    let (accessor, secret) = world.mint("install");
    let first = world.pair(&secret, &Key::new([1; 32]));
    let second = world.pair(&secret, &Key::new([1; 32]));
    assert_eq!((first.status, second.status), (200, 401));
    assert_eq!(second.body["error"], "ENROLLMENT_TOKEN_INVALID");
    let token = world.token(&accessor);
    assert_eq!((&token["state"], &token["paired_serial"]), (&json!("consumed"), &first.body["serial"]));
    assert!(token["consumed_at"].is_string() && token["secret"].is_null());
}

#[test]
fn an_attempt_that_fails_consumes_the_token_too() {
    let mut world = World::new();
    let (accessor, secret) = world.mint("install");
    let bad = Request::Pair { agent: AGENT.into(), token: secret.clone(), public_key: "no key".into() };
    assert_eq!(world.ask(bad).status, 400);
    let token = world.token(&accessor);
    assert_eq!((&token["state"], &token["paired_serial"]), (&json!("consumed"), &Value::Null));
    assert_eq!(world.pair(&secret, &Key::new([1; 32])).status, 401);
    assert_eq!(world.audit(), ["token.minted", "agent.pairing_failed", "gateway.enrollment_failed"]);
}

#[test]
fn another_agents_token_is_used_up_and_pairs_nobody() {
    let mut world = World::new();
    world.plane.register("edge-2");
    let (accessor, secret) = world.mint("install");
    let public_key = Key::new([1; 32]).public_key();
    let reply = world.ask(Request::Pair { agent: "edge-2".into(), token: secret, public_key });
    assert_eq!((reply.status, reply.effect), (401, Effect::PairRefused));
    assert_eq!(world.token(&accessor)["state"], "consumed");
    assert_eq!(world.status()["status"], "never_paired");
}

#[test]
fn a_token_expires_at_its_time() {
    let mut world = World::new();
    let (accessor, secret) = world.mint("install");
    world.at = world.at.plus(59_999);
    assert_eq!((world.token(&accessor)["state"].clone(), world.plane.live_tokens(world.at)), (json!("live"), 1));
    world.at = world.at.plus(1);
    assert_eq!((world.token(&accessor)["state"].clone(), world.plane.live_tokens(world.at)), (json!("expired"), 0));
    assert_eq!(world.pair(&secret, &Key::new([1; 32])).status, 401);
    assert_eq!(world.revoke(Revoke::Accessor(accessor)).body, json!({ "revoked": 0 }));
}

#[test]
fn a_revoked_token_never_works_and_revoking_again_does_nothing() {
    let mut world = World::new();
    let (accessor, secret) = world.mint("install");
    let first = world.revoke(Revoke::Accessor(accessor.clone()));
    let second = world.revoke(Revoke::Accessor(accessor.clone()));
    assert_eq!((first.body, first.effect), (json!({ "revoked": 1 }), Effect::Revoked));
    assert_eq!((second.body, second.effect), (json!({ "revoked": 0 }), Effect::None));
    assert_eq!(world.pair(&secret, &Key::new([1; 32])).status, 401);
    assert_eq!(world.token(&accessor)["state"], "revoked");
}

#[test]
fn revoking_a_consumed_token_changes_nothing() {
    let mut world = World::new();
    let (accessor, secret) = world.mint("install");
    world.pair(&secret, &Key::new([1; 32]));
    let before = world.token(&accessor);
    assert_eq!(world.revoke(Revoke::Accessor(accessor.clone())).body, json!({ "revoked": 0 }));
    assert_eq!(world.token(&accessor), before);
}

#[test]
fn revoking_a_label_closes_it_for_a_mint_that_was_on_its_way() {
    let mut world = World::new();
    world.mint("run-1");
    world.mint("run-1");
    let (other, _) = world.mint("run-2");
    assert_eq!(world.revoke(Revoke::Label("run-1".into())).body, json!({ "revoked": 2 }));
    let late = world.ask(Request::Mint { agent: AGENT.into(), label: "run-1".into(), ttl_s: 60 });
    assert_eq!((late.status, &late.body["error"], late.effect), (409, &json!("LABEL_CLOSED"), Effect::None));
    assert_eq!(world.token(&other)["state"], "live");
    let unused = world.revoke(Revoke::Label("run-3".into()));
    assert_eq!((unused.body, unused.effect), (json!({ "revoked": 0 }), Effect::LabelClosed));
    assert_eq!(world.ask(Request::Mint { agent: AGENT.into(), label: "run-3".into(), ttl_s: 60 }).status, 409);
}

#[test]
fn two_equal_mints_are_two_tokens() {
    let mut world = World::new();
    let ((first, _), (second, _)) = (world.mint("run"), world.mint("run"));
    assert_ne!(first, second);
    assert_eq!(world.plane.live_tokens(world.at), 2);
}

#[test]
fn a_mint_out_of_bounds_is_refused() {
    let mut world = World::new();
    for (label, ttl_s) in [("", 60), ("x", 0), ("x", 86_401), (&"x".repeat(129), 60)] {
        let reply = world.ask(Request::Mint { agent: AGENT.into(), label: label.into(), ttl_s });
        assert_eq!((reply.status, reply.effect), (400, Effect::None), "{label} {ttl_s}");
    }
    assert_eq!(world.plane.live_tokens(world.at), 0);
}

#[test]
fn the_status_follows_heartbeats_of_the_current_identity_only() {
    let mut world = World::new();
    assert_eq!((&world.status()["status"], &world.status()["paired_before"]), (&json!("never_paired"), &json!(false)));
    let (key, serial) = world.paired();
    assert_eq!(world.status()["status"], "offline");
    assert_eq!(world.beat(&key, &serial).effect, Effect::Online);
    assert_eq!(world.beat(&key, &serial).effect, Effect::None);
    world.at = world.at.plus(500);
    assert_eq!(world.status()["status"], "online");
    world.at = world.at.plus(1);
    assert_eq!(world.status()["status"], "offline");
    let forged = world.beat(&Key::new([99; 32]), &serial);
    assert_eq!((forged.status, &forged.body["error"]), (401, &json!("IDENTITY_UNKNOWN")));
    assert_eq!(world.status()["status"], "offline");
    assert_eq!(world.audit(), ["token.minted", "agent.pairing_completed", "agent.online", "agent.offline"]);
}

#[test]
fn pairing_again_supersedes_the_identity_and_its_serial_never_repeats() {
    let mut world = World::new();
    let (old_key, old) = world.paired();
    let (new_key, new) = world.paired();
    assert_ne!(old, new);
    assert_eq!(world.beat(&old_key, &old).status, 401);
    assert_eq!(world.status()["status"], "offline");
    assert_eq!(world.beat(&new_key, &new).status, 200);
    assert_eq!(world.status()["identity"]["serial"], json!(new));
}

#[test]
fn a_bootstrap_call_means_recovery_only_for_who_paired_before() {
    let mut world = World::new();
    let bootstrap = Request::Bootstrap { agent: AGENT.into() };
    let reply = world.ask(bootstrap.clone());
    assert_eq!((reply.status, &reply.body["error"]), (401, &json!("ENROLLMENT_TOKEN_INVALID")));
    assert_eq!(world.status()["status"], "never_paired");
    let (key, serial) = world.paired();
    world.beat(&key, &serial);
    world.ask(bootstrap.clone());
    world.ask(bootstrap);
    assert_eq!(world.status()["status"], "needs_recovery");
    assert_eq!(world.audit().iter().filter(|kind| *kind == "agent.needs_recovery").count(), 1);
    world.beat(&key, &serial);
    assert_eq!(world.status()["status"], "online");
}

#[test]
fn the_result_of_a_pairing_is_found_by_its_key() {
    let mut world = World::new();
    let (key, serial) = world.paired();
    let found = world.ask(Request::PairResult { public_key: key.public_key() });
    assert_eq!((found.status, &found.body["serial"]), (200, &json!(serial)));
    assert_eq!(world.ask(Request::PairResult { public_key: Key::new([99; 32]).public_key() }).status, 404);
}

#[test]
fn listings_come_in_pages_that_neither_skip_nor_repeat() {
    let mut world = World::new();
    let minted: Vec<String> = (0..120).map(|_| world.mint("many").0).collect();
    let (mut seen, mut cursor, mut lengths) = (Vec::new(), Some(0), Vec::new());
    while let Some(at) = cursor {
        let label = Some("many".to_owned());
        let reply = world.ask(Request::Tokens { agent: AGENT.into(), label, accessor: None, cursor: at });
        let tokens: Vec<String> =
            reply.body["tokens"].as_array().into_iter().flatten().map(|token| text(&token["accessor"])).collect();
        lengths.push(tokens.len());
        seen.extend(tokens);
        cursor = reply.body["next"].as_str().and_then(|next| next.parse().ok());
    }
    assert_eq!((lengths, seen), (vec![50, 50, 20], minted));
}

#[test]
fn a_full_last_page_has_no_next() {
    let mut world = World::new();
    for _ in 0..50 {
        world.mint("many");
    }
    let reply = world.ask(Request::Tokens { agent: AGENT.into(), label: None, accessor: None, cursor: 0 });
    assert_eq!((reply.body["tokens"].as_array().map(Vec::len), &reply.body["next"]), (Some(50), &Value::Null));
}

#[test]
fn an_unknown_agent_is_said_to_be_unknown() {
    let mut world = World::new();
    let reply = world.ask(Request::Status { agent: "nobody".into() });
    assert_eq!((reply.status, &reply.body["error"]), (404, &json!("AGENT_UNKNOWN")));
}

#[test]
fn the_state_survives_being_written_and_read() {
    let mut world = World::new();
    let (key, serial) = world.paired();
    let (_, secret) = world.mint("onboarding");
    let kept = serde_json::to_string(&world.plane).expect("serialises");
    assert!(!kept.contains(&secret) && !kept.contains(&key.secret()), "no secret is kept");
    world.plane = serde_json::from_str(&kept).expect("reads back");
    assert_eq!(world.beat(&key, &serial).status, 200);
    assert_eq!(world.pair(&secret, &Key::new([5; 32])).status, 200);
}
