//! The KMS family at the command line, with the fake OpenBao and the recording proxy before it.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Output;

use serde_json::{Value, json};

use crate::certificates::{ca, ca_of};
use crate::openbao::{Fake, Peer as _, Proxy, knows_what_is_forbidden};
use crate::tls::front;
use crate::{assert_error, code, lines, recover, stderr};

/// A Transit without a key, a token that could make one, and a configuration of one node of which nothing runs.
struct Site {
    home: tempfile::TempDir,
    fake: Fake,
    proxy: Proxy,
}

/// What a token may do that could do whatever is forbidden.
fn all() -> Value {
    let every = json!({ "capabilities": ["create", "read", "update", "delete", "list", "sudo"] });
    let paths = [
        "keys/kms",
        "keys/kms/config",
        "keys/kms/soft-delete-restore",
        "keys/kms/rotate",
        "encrypt/kms",
        "config/keys",
    ];
    Value::Object(paths.iter().map(|path| (format!("transit/{path}"), every.clone())).collect())
}

impl Site {
    fn new() -> Self {
        knows_what_is_forbidden();
        let (home, fake) = (tempfile::tempdir().unwrap(), Fake::start());
        let proxy = Proxy::before(fake.address());
        fake.told("POST", "sys/mounts/transit", &json!({ "type": "transit" }));
        let site = Self { home, fake, proxy };
        site.token(&all());
        std::fs::create_dir_all(site.at("state-of-the-provider")).unwrap();
        let state = site.at("state-of-the-provider/key-registry.json");
        let provider = format!(
            "configVersion: v1alpha1\nserver:\n  socketPath: {}\nopenbao:\n  address: x\n  instanceId: bao-1\nauth:\n  method: jwt\n  \
             jwt:\n    jwtFile: {}\ntransit:\n  mountPath: transit\n  keyName: kms\n  keyIdScope:\n    providerName: openbao-kms\n    \
             clusterId: c\n    transitMountId: t\n    keyLineageId: l\nstate:\n  path: {}\n",
            site.at("kms.sock").display(),
            site.at("identity.jwt").display(),
            state.display()
        );
        std::fs::write(site.at("config.yaml"), &provider).unwrap();
        std::fs::write(site.at("recorded.yaml"), &provider).unwrap();
        std::fs::write(site.at("encryption.yaml"), "kind: none\n").unwrap();
        std::fs::write(site.at("kube.token"), "kube-t0ken-canary").unwrap();
        std::fs::set_permissions(site.at("kube.token"), std::fs::Permissions::from_mode(0o600)).unwrap();
        site.configure("transit", "");
        site
    }

    fn at(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// The token of `recover`, with these capabilities.
    fn token(&self, paths: &Value) {
        let policy = json!({ "policy": json!({ "path": paths }).to_string() });
        self.fake.told("POST", "sys/policies/acl/of-recover", &policy);
        let told = self.fake.told("POST", "auth/token/create", &json!({ "policies": ["of-recover"] }));
        std::fs::write(self.at("bao.token"), told["auth"]["client_token"].as_str().unwrap()).unwrap();
        std::fs::set_permissions(self.at("bao.token"), std::fs::Permissions::from_mode(0o600)).unwrap();
    }

    fn configure(&self, mount: &str, more: &str) {
        let at = |name: &str| self.at(name).display().to_string();
        let text = format!(
            "state_dir = {:?}\n[target.cluster]\nkind = \"kms\"\n{more}\n[target.cluster.openbao]\naddress = \"http://{}\"\ntoken = \
             \"file:{}\"\nmount = {mount:?}\nkey = \"kms\"\n[target.cluster.cluster]\nbase = \"http://127.0.0.1:9\"\ncredential = \
             \"file:{}\"\nobjects = [\"secrets/default/old\"]\n[target.cluster.node.cp-1.provider]\ncommand = \"/bin/false\"\nconfig = \
             {:?}\nrecorded_config = {:?}\nhealth = \"http://127.0.0.1:9\"\nworkload = {{ process = {{ command = [\"/bin/sleep\", \
             \"8642\"], pidfile = {:?}, log = {:?} }} }}\n[target.cluster.node.cp-1.apiserver]\nencryption_config = {:?}\n",
            at("state"),
            self.proxy.address,
            at("bao.token"),
            at("kube.token"),
            at("config.yaml"),
            at("recorded.yaml"),
            at("provider.pid"),
            at("provider.log"),
            at("encryption.yaml"),
        );
        std::fs::write(self.at("recover.toml"), text).unwrap();
    }

    fn recover(&self, words: &[&str]) -> Output {
        recover(self.home.path()).env("RECOVER_CONFIG", self.at("recover.toml")).args(words).output().unwrap()
    }

    /// No key is there, and nothing was asked for that could have made one.
    fn nothing_was_made(&self) {
        assert_eq!(self.fake.admin("GET", "transit/keys/kms", "", &Value::Null).0, 404);
        assert_eq!(self.proxy.forbidden(), Vec::<String>::new());
        assert!(!self.proxy.ledger().is_empty(), "nothing went through the proxy");
        let writes =
            |asked: &&crate::openbao::Asked| asked.method != "GET" && asked.path != "/v1/sys/capabilities-self";
        assert_eq!(self.proxy.ledger().iter().filter(writes).count(), 0, "{:?}", self.proxy.ledger());
    }
}

const GO: &[&str] = &["--scenario", "kms-key-missing", "--target", "cluster"];

#[test]
fn k7_a_missing_key_is_never_made_with_a_token_that_could_and_a_person_is_told_what_to_do() {
    let site = Site::new();
    let output = site.recover(GO);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
    assert_eq!(code(&output), 4, "{said}");
    assert!(said.contains("There is no key of the recorded name") && said.contains("snapshot"), "{said}");
    site.nothing_was_made();
    // Whatever is answered, none is made.
    let status = lines(&site.recover(&["status", "--output", "json"]));
    let (run, choices) = (status[0]["run"].as_str().unwrap(), &status[0]["question"]["choices"]);
    let ids: Vec<&str> = choices.as_array().unwrap().iter().map(|choice| choice["id"].as_str().unwrap()).collect();
    let lost = ids.iter().find(|id| id.contains("no") || id.contains("lost")).or(ids.last()).unwrap();
    let output = site.recover(&["answer", run, "--choice", lost, "--reason", "there is no backup"]);
    assert_ne!(code(&output), 1, "{}", stderr(&output));
    site.nothing_was_made();
    for words in
        [&["show", run][..], &["replay", run], &["verify", "--all"], &["handoff", run], &["report", "--html", run]]
    {
        let output = site.recover(words);
        assert_eq!(code(&output), 0, "{words:?}: {}", stderr(&output));
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(!text.contains("s.token-of-the-tests") && !text.contains("kube-t0ken-canary"), "{words:?}");
    }
}

#[test]
fn k7_the_layer_at_which_the_key_is_missing_is_named() {
    for (mount, paths, said) in [
        (
            "elsewhere",
            json!({ "elsewhere/keys/kms": { "capabilities": ["read"] } }),
            "no Transit at the configured mount",
        ),
        ("transit", json!({ "transit/config/keys": { "capabilities": ["read"] } }), "may not be read"),
    ] {
        let site = Site::new();
        site.token(&paths);
        site.configure(mount, "");
        if mount != "transit" {
            for name in ["config.yaml", "recorded.yaml"] {
                let text = std::fs::read_to_string(site.at(name)).unwrap();
                std::fs::write(site.at(name), text.replace("mountPath: transit", "mountPath: elsewhere")).unwrap();
            }
        }
        let output = site.recover(GO);
        let text = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        assert!(code(&output) == 4 && text.contains(said), "{mount}: {text}");
        site.nothing_was_made();
    }
}

#[test]
fn bad_input_a_wrong_namespace_is_named_as_such_and_nothing_is_made_in_it() {
    let site = Site::new();
    let text = std::fs::read_to_string(site.at("recover.toml")).unwrap();
    let wrong = text.replace("mount = \"transit\"", "namespace = \"nowhere\"\nmount = \"transit\"");
    std::fs::write(site.at("recover.toml"), wrong).unwrap();
    let output = site.recover(GO);
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
    assert!(code(&output) == 4 && said.contains("no Transit at the configured mount and namespace"), "{said}");
    site.nothing_was_made();
}

#[test]
fn bad_input_a_token_with_too_many_or_too_few_rights_is_told_of_by_path() {
    let site = Site::new();
    let rights = |site: &Site| {
        let output = site.recover(&["doctor", "--target", "cluster"]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        said.lines().find(|line| line.contains("rights")).unwrap_or_default().to_owned()
    };
    let said = rights(&site);
    for path in ["transit/keys/kms", "transit/config/keys"] {
        assert!(said.contains(&format!("{path}: it also may")), "{said}");
    }
    assert!(said.contains("create") && said.contains("delete"), "{said}");
    site.token(&json!({ "transit/keys/kms": { "capabilities": ["read"] }, "transit/config/keys": { "capabilities": ["read"] } }));
    let said = rights(&site);
    assert!(said.contains("transit/config/keys: it lacks update") && !said.contains("it also may"), "{said}");
    site.nothing_was_made();
}

#[test]
fn bad_input_an_authority_whose_time_is_over_is_not_trusted_and_hears_nothing() {
    let site = Site::new();
    let (over, good) = (ca_of(site.home.path(), "over", (2019, 2021)), ca(site.home.path(), "good"));
    let text = std::fs::read_to_string(site.at("recover.toml")).unwrap();
    let upstream = site.proxy.address.to_string();
    for (ca, heard) in [(&over, false), (&good, true)] {
        // What the server shows is good, and signed by the authority that is configured.
        let front = front(&upstream, ca, "127.0.0.1", (2020, 2090));
        let plain = format!("address = \"http://{upstream}\"");
        let base = format!("address = {:?}\nca = {:?}", front.base, ca.file);
        assert!(text.contains(&plain));
        std::fs::write(site.at("recover.toml"), text.replace(&plain, &base)).unwrap();
        let output = site.recover(GO);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        let requests = front.requests.load(std::sync::atomic::Ordering::SeqCst);
        assert_eq!(requests > 0, heard, "{said}");
        assert!(heard || (said.contains("over.pem") && said.contains("has expired")), "{said}");
        assert_eq!(code(&output), if heard { 4 } else { 64 }, "{said}");
    }
    site.nothing_was_made();
}

#[test]
fn what_our_token_may_do_is_asked_and_what_it_lacks_stands_in_a_rehearsals_way() {
    let site = Site::new();
    let rights = |verb: &str| {
        let told = lines(&site.recover(&[verb, "--target", "cluster", "--output", "json"])).pop().unwrap();
        let found = told["checks"].as_array().unwrap().iter().find(|check| check["check"] == "rights").unwrap().clone();
        (found["is"].as_str().unwrap().to_owned(), found["said"].as_str().unwrap().to_owned())
    };
    let policy = |config: &[&str]| {
        let may = |words: &[&str]| json!({ "capabilities": words });
        json!({ "transit/keys/kms": may(&["read"]), "transit/keys/kms/config": may(config),
            "transit/keys/kms/soft-delete-restore": may(&["update"]), "transit/config/keys": may(&["read", "update"]) })
    };
    for (config, doctor, rehearse, said) in [
        (&["update"][..], "ok", "ok", "what is needed, and no more"),
        (&["update", "delete"], "warn", "warn", "transit/keys/kms/config: it also may delete"),
        (&["read"], "warn", "bad", "transit/keys/kms/config: it lacks update"),
        (&["delete"], "warn", "bad", "it also may delete"),
    ] {
        site.token(&policy(config));
        let (looked, rehearsed) = (rights("doctor"), rights("rehearse"));
        assert_eq!((looked.0.as_str(), rehearsed.0.as_str()), (doctor, rehearse), "{rehearsed:?}");
        assert!(looked.1.contains(said) && rehearsed.1.contains(said), "{rehearsed:?}");
    }
    site.nothing_was_made();
}

#[test]
fn bad_input_two_nodes_with_different_scope_are_told_apart_before_anything_is_copied() {
    let site = Site::new();
    site.fake.told("POST", "transit/keys/kms", &json!({}));
    let of_first = std::fs::read_to_string(site.at("config.yaml")).unwrap();
    for name in ["config-2.yaml", "recorded-2.yaml"] {
        std::fs::write(site.at(name), of_first.replace("clusterId: c\n", "clusterId: d\n")).unwrap();
    }
    let text = std::fs::read_to_string(site.at("recover.toml")).unwrap();
    let (_, node) = text.split_once("[target.cluster.node.cp-1.provider]").unwrap();
    let second = node
        .replace("cp-1", "cp-2")
        .replace("config.yaml", "config-2.yaml")
        .replace("recorded.yaml", "recorded-2.yaml");
    std::fs::write(site.at("recover.toml"), format!("{text}[target.cluster.node.cp-2.provider]{second}")).unwrap();
    let output = site.recover(&["diagnose", "--target", "cluster", "--output", "json"]);
    let told = &lines(&output)[0];
    let all = std::iter::once(&told["lowest"]).chain(told["others"].as_array().unwrap());
    let of_scope: Vec<_> = all
        .filter(|one| one["said"].as_str().is_some_and(|said| said.contains("transit.keyIdScope.clusterId")))
        .collect();
    assert_eq!((of_scope.len(), &of_scope[0]["row"]), (1, &json!("K8")), "{told}");
    assert_eq!(of_scope[0]["procedures"][0], "kms-unknown-key-id", "{told}");
    assert_eq!(site.proxy.forbidden(), Vec::<String>::new());
}

#[test]
fn a_procedure_for_another_kind_is_refused_by_name() {
    let site = Site::new();
    let output = site.recover(&["--scenario", "identity-loss", "--target", "cluster"]);
    assert_error(&output, "RCV0035", 64);
    assert!(stderr(&output).contains("kms-key-missing"), "{}", stderr(&output));
    assert!(site.proxy.ledger().is_empty());
}

#[test]
fn every_verb_works_on_a_kms_that_is_not_well_or_says_why_not() {
    let site = Site::new();
    let out = site.at("bundle.tar").display().to_string();
    let words: [&[&str]; 8] = [
        &["plan", "--scenario", "kms-key-missing", "--target", "cluster"],
        &["doctor", "--target", "cluster"],
        &["rehearse", "--target", "cluster"],
        &["diagnose", "--target", "cluster"],
        &["baseline", "record", "--target", "cluster", "--reason", "r", "--yes"],
        &["baseline", "diff", "--target", "cluster"],
        &["support-bundle", "--target", "cluster", "--out", &out],
        &["config", "show"],
    ];
    for words in words {
        let output = site.recover(words);
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), stderr(&output));
        assert!(![1, 101, -1].contains(&code(&output)) && !said.contains("panicked"), "{words:?}: {said}");
        assert!(!said.contains("s.token-of-the-tests") && !said.contains("kube-t0ken-canary"), "{words:?}: {said}");
    }
    let told = lines(&site.recover(&["diagnose", "--target", "cluster", "--output", "json"]));
    let lowest = &told[0]["lowest"];
    assert_eq!(
        (&lowest["check"], &lowest["row"], lowest["procedures"][0].as_str()),
        (&json!("key"), &json!("K7"), Some("kms-key-missing"))
    );
    assert!(told[0]["others"].as_array().is_some_and(|others| !others.is_empty()), "{}", told[0]);
    assert_error(&site.recover(&["baseline", "record", "--target", "cluster", "--reason", "r", "--yes"]), "RCV0038", 4);
    site.nothing_was_made();
}

#[test]
fn a_key_of_the_configuration_that_is_wrong_is_told_with_its_place_and_what_was_meant() {
    let site = Site::new();
    let with = |more: &str| {
        site.configure("transit", more);
        let output = site.recover(&["config", "show"]);
        assert_error(&output, "RCV0006", 64);
        stderr(&output)
    };
    let said = with("snapshotz = \"/x\"");
    assert!(said.contains("line 4, column 1: unknown field `snapshotz`") && said.contains("`snapshots`"), "{said}");
    let said = with("storage = { directory = { path = \"/x\" } }");
    assert!(said.contains("a target of the kind kms has no `storage`"), "{said}");
    let said = with("timing = { settel = \"1s\" }");
    assert!(said.contains("line 4, column 12: unknown field `settel`") && said.contains("`settle`"), "{said}");
    let said = with("timing = { token_ttl = \"1h\" }");
    assert!(said.contains("a target of the kind kms has no `timing.token_ttl`"), "{said}");
    let schema = site.recover(&["config", "schema"]);
    let schema = String::from_utf8_lossy(&schema.stdout).into_owned();
    assert!(schema.contains("recorded_encryption_config") && schema.contains("\"kms\""));
}
