//! The published contract of the `http` authority: the sandbox's control plane keeps it, whatever it is asked.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};

use crate::sandbox::Sandbox;

struct Contract(Value);

impl Contract {
    fn read() -> Self {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/authority-http.openapi.json");
        Self(serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap())
    }

    /// Whether this reply to this operation is one that the contract allows.
    #[track_caller]
    fn allows(&self, method: &str, path: &str, (status, body): &(u16, Value)) {
        let operation = &self.0["paths"][path][method];
        assert!(operation.is_object(), "{method} {path} is not in the contract");
        let response = &operation["responses"][status.to_string()];
        assert!(response.is_object(), "{method} {path}: {status} is not in the contract: {body}");
        let mut schema = response["content"]["application/json"]["schema"].clone();
        schema["components"] = self.0["components"].clone();
        let validator = jsonschema::options().should_validate_formats(true).build(&schema).unwrap();
        let wrong: Vec<String> = validator.iter_errors(body).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(wrong.is_empty(), "{method} {path}: {wrong:?}: {body}");
    }
}

struct Plane {
    address: String,
    credential: String,
}

impl Plane {
    fn of(sandbox: &Sandbox) -> Self {
        let config = std::fs::read_to_string(sandbox.config()).unwrap();
        let address = config.split("base = \"http://").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let credential = std::fs::read_to_string(sandbox.dir().join("credential")).unwrap().trim().to_owned();
        Self { address, credential }
    }

    fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        self.ask_as(&self.credential, method, path, body)
    }

    fn ask_as(&self, credential: &str, method: &str, path: &str, body: Option<&Value>) -> (u16, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let body = body.map(Value::to_string).unwrap_or_default();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {credential}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        (status, serde_json::from_str(body).unwrap_or_else(|_| panic!("no JSON: {answer}")))
    }
}

const AGENT: &str = "/v1/connectors/{agent}";
const TOKENS: &str = "/v1/connectors/{agent}/tokens";
const REVOKE: &str = "/v1/connectors/{agent}/tokens/revoke";
const AUDIT: &str = "/v1/connectors/{agent}/audit";
const RIGHTS: &str = "/v1/connectors/{agent}/rights";

#[test]
fn the_sandbox_keeps_the_published_contract() {
    let (contract, sandbox) = (Contract::read(), Sandbox::up());
    sandbox.lose(false);
    let plane = Plane::of(&sandbox);
    let at = |path: &str| path.replace("{agent}", "edge-1");
    let seen = std::cell::RefCell::new(BTreeSet::new());
    let holds = |method: &str, path: &str, query: &str, body: Option<&Value>, status: u16| {
        let answer = plane.ask(&method.to_uppercase(), &format!("{}{query}", at(path)), body);
        assert_eq!(answer.0, status, "{method} {path}{query}: {}", answer.1);
        contract.allows(method, path, &answer);
        seen.borrow_mut().insert((method.to_owned(), path.to_owned()));
        answer.1
    };

    holds("get", "/healthz", "", None, 200);
    let status = holds("get", AGENT, "", None, 200);
    assert_eq!((&status["status"], &status["paired_before"]), (&"needs_recovery".into(), &true.into()));
    let mint = json!({ "label": "one", "ttl_s": 60 });
    let fresh = holds("post", TOKENS, "", Some(&mint), 201);
    for _ in 0..60 {
        holds("post", TOKENS, "", Some(&json!({ "label": "many", "ttl_s": 60 })), 201);
    }
    let page = holds("get", TOKENS, "", None, 200);
    let cursor = page["next"].as_str().expect("there is a second page");
    holds("get", TOKENS, &format!("?cursor={cursor}"), None, 200);
    let one = holds("get", TOKENS, &format!("?accessor={}", fresh["accessor"].as_str().unwrap()), None, 200);
    assert!(one["tokens"].as_array().is_some_and(|all| all.len() == 1 && all[0].get("secret").is_none()), "{one}");
    holds("post", REVOKE, "", Some(&json!({ "accessor": fresh["accessor"] })), 200);
    let many = holds("post", REVOKE, "", Some(&json!({ "label": "many" })), 200);
    assert_eq!(many["revoked"], 60);
    holds("post", TOKENS, "", Some(&json!({ "label": "many", "ttl_s": 60 })), 409);
    holds("get", AUDIT, "?since=2020-01-01T00:00:00Z", None, 200);
    // What it says that the credential may do is what it lets it do.
    assert_eq!(holds("get", RIGHTS, "", None, 200)["rights"], json!(["mint", "revoke"]));
    sandbox.command(&["rights", "mint"]);
    assert_eq!(holds("get", RIGHTS, "", None, 200)["rights"], json!(["mint"]));
    holds("post", REVOKE, "", Some(&json!({ "label": "one" })), 403);
    holds("post", TOKENS, "", Some(&json!({ "label": "two", "ttl_s": 60 })), 201);
    sandbox.command(&["rights"]);
    assert_eq!(holds("get", RIGHTS, "", None, 200)["rights"], json!([]));
    holds("post", TOKENS, "", Some(&json!({ "label": "two", "ttl_s": 60 })), 403);
    sandbox.command(&["rights", "revoke", "mint"]);

    // What is asked wrongly is refused as the contract says.
    holds("post", REVOKE, "", Some(&json!({ "accessor": "a", "label": "l" })), 400);
    holds("post", TOKENS, "", Some(&json!({ "label": "", "ttl_s": 60 })), 400);
    holds("post", TOKENS, "", Some(&json!({ "label": "l", "ttl_s": 0 })), 400);
    holds("get", AUDIT, "?since=yesterday", None, 400);
    for (method, path) in seen.borrow().iter().filter(|(_, path)| path != "/healthz") {
        let body = (method == "post").then(|| json!({ "label": "l", "ttl_s": 60, "accessor": "a" }));
        let denied = plane.ask_as("another", &method.to_uppercase(), &at(path), body.as_ref());
        assert_eq!(denied.0, 401, "{method} {path}");
        contract.allows(method, path, &denied);
    }
    let nobody = plane.ask("GET", "/v1/connectors/nobody", None);
    assert_eq!(nobody.0, 404);
    contract.allows("get", AGENT, &nobody);

    let published: BTreeSet<(String, String)> = contract.0["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, item)| {
            let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
            methods.map(move |method| (method.clone(), path.clone()))
        })
        .collect();
    assert_eq!(*seen.borrow(), published, "every operation was asked for");
}
