//! Bytes as a configuration file, through the binary's own parser and checks.

use recover::outside::configuration;

use crate::Seeds;

/// Values that stand for secrets which got into a wrong place: a text, and a number such as a PIN.
const SECRETS: [&str; 2] = ["s3cr3t-canary", "735773577357"];

/// Reads the bytes, and judges what is said of them.
pub fn read_a_configuration(bytes: &[u8]) {
    let text = std::str::from_utf8(bytes);
    let refused = match configuration(bytes) {
        Ok(subjects) => {
            assert!(text.is_ok(), "what is no text was accepted");
            // A subject is journaled, and names an origin and an agent.
            let sound = |subject: &String| subject.contains("://") && !subject.contains(char::is_control);
            assert!(subjects.iter().all(sound), "{subjects:?}");
            return;
        }
        Err(refused) => refused,
    };
    assert_eq!((refused.code, refused.exit), ("RCV0006", 64), "{}", refused.text);
    assert!(refused.text.starts_with("error[RCV0006]: "));
    assert!(!refused.text.contains(|c: char| c.is_control() && c != '\n'), "{:?}", refused.text);
    let json: serde_json::Value = serde_json::from_str(&refused.json).expect("it is JSON");
    assert_eq!((json["code"].as_str(), json["exit"].as_u64()), (Some("RCV0006"), Some(64)));
    let Ok(text) = text else { return };
    // What is wrong with the text has a place in it; what is wrong with a whole target names the key.
    let place = refused.text.strip_prefix("error[RCV0006]: recover.toml: line ").and_then(|rest| rest.split_once(", column "));
    match place.map(|(line, _)| line.parse::<usize>().expect("a number")) {
        Some(line) => assert!((1..=text.matches('\n').count() + 1).contains(&line), "{}", refused.text),
        None => assert!(refused.text.starts_with("error[RCV0006]: the target cannot be used: "), "{}", refused.text),
    }
    // A key that nobody knows is repeated, so that it can be found; a value never is.
    let in_a_key = |secret: &str| text.parse::<toml::Table>().is_ok_and(|table| has_key_with(&table, secret));
    for secret in SECRETS.into_iter().filter(|secret| text.contains(secret) && !in_a_key(secret)) {
        let told = refused.text.contains(secret) || refused.json.contains(secret);
        assert!(!told, "a value is repeated: {}", refused.text);
    }
}

fn has_key_with(table: &toml::Table, secret: &str) -> bool {
    table.iter().any(|(key, value)| key.contains(secret) || value_has_key_with(value, secret))
}

fn value_has_key_with(value: &toml::Value, secret: &str) -> bool {
    match value {
        toml::Value::Table(table) => has_key_with(table, secret),
        toml::Value::Array(array) => array.iter().any(|value| value_has_key_with(value, secret)),
        _ => false,
    }
}

const WHOLE: &str = r#"state_dir = "/var/lib/recover"
secrets_dir = "/run/recover"
[policy]
reprovision = "ask"
answer_within = "24h"
[target.edge-1]
kind = "connector"
default = true
workload = { process = { command = ["/bin/c", "run"], pidfile = "/r/p", log = "/r/l", token_file = "/r/t", cwd = "/" } }
storage = { directory = { path = "/d/data", originals = ["/d/o"], identity = "identity.json" } }
authority = { http = { base = "https://cp.example:8443", agent = "edge-1", org = "o1", ca = "/c", credential = "file:/s" } }
timing = { observe = "30s", online_within = "30s", stop_within = "10s", pair_within = "30s", token_ttl = "10m" }
"#;

/// One that is whole, and one for each way of being wrong.
pub fn seeds() -> Seeds {
    let with = |from: &str, to: &str| {
        assert!(WHOLE.contains(from), "{from}");
        WHOLE.replacen(from, to, 1)
    };
    let texts = [
        ("whole", WHOLE.to_owned()),
        ("empty", String::new()),
        ("unknown-key", "[policy]\nreprovison = \"ask\"\n".to_owned()),
        ("unknown-variant", with("\"ask\"", "\"s3cr3t-canary\"")),
        ("number-for-a-path", with("\"/run/recover\"", "735773577357")),
        ("text-for-a-table", "target = \"s3cr3t-canary\"\n".to_owned()),
        ("missing-key", "[target.a]\nkind = \"connector\"\n".to_owned()),
        ("no-span", with("\"24h\"", "\"s3cr3t-canary\"")),
        ("no-reference", with("\"file:/s\"", "\"s3cr3t-canary\"")),
        ("fd", with("\"file:/s\"", "\"fd:3\"")),
        ("systemd", with("\"file:/s\"", "\"systemd-credential:n\"")),
        ("no-origin", with("https://cp.example:8443", "http://s3cr3t-canary@cp.example")),
        ("loopback", with("https://cp.example:8443", "http://[::1]:9")),
        ("relative", with("\"/r/p\"", "\"../p\"")),
        ("relative-program", with("\"/bin/c\"", "\"c\"")),
        ("own-original", with("\"/d/o\"", "\"/d/data\"")),
        ("short-ttl", with("\"10m\"", "\"1ms\"")),
        ("two-of-a-key", "state_dir = \"/a\"\nstate_dir = \"/b\"\n".to_owned()),
        ("unclosed", "state_dir = \"/a\n[".to_owned()),
        ("dates", "state_dir = 1979-05-27T07:32:00Z\nx = [1.5, inf, true, 0xff]\n".to_owned()),
        ("dotted", "policy.reprovision = 'allow'\ntarget.\"a b\".kind = '''connector'''\n".to_owned()),
    ];
    texts.into_iter().map(|(name, text)| (name.to_owned(), text.into_bytes())).collect()
}
