//! Configurations that cannot be used: each is refused before anything is journaled or asked, with its place or key.

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use crate::{CANARY, Case, World, handled, refused};

const PLAN: &[&str] = &["plan", "--scenario", "identity-loss", "--target", "edge-1"];
const SHOW: &[&str] = &["config", "show"];

/// Every key with a value, by its path: required ones first.
const KEYS: &[(&str, bool)] = &[
    ("state_dir", false),
    ("secrets_dir", false),
    ("policy", false),
    ("policy.reprovision", false),
    ("policy.answer_within", false),
    ("target", false),
    ("target.edge-1.kind", true),
    ("target.edge-1.default", false),
    ("target.edge-1.workload", true),
    ("target.edge-1.workload.process", true),
    ("target.edge-1.workload.process.command", true),
    ("target.edge-1.workload.process.pidfile", true),
    ("target.edge-1.workload.process.log", true),
    ("target.edge-1.workload.process.token_file", true),
    ("target.edge-1.workload.process.cwd", false),
    ("target.edge-1.storage", true),
    ("target.edge-1.storage.directory", true),
    ("target.edge-1.storage.directory.path", true),
    ("target.edge-1.storage.directory.originals", false),
    ("target.edge-1.storage.directory.identity", false),
    ("target.edge-1.authority", true),
    ("target.edge-1.authority.http", true),
    ("target.edge-1.authority.http.base", true),
    ("target.edge-1.authority.http.agent", true),
    ("target.edge-1.authority.http.org", false),
    ("target.edge-1.authority.http.ca", false),
    ("target.edge-1.authority.http.credential", true),
    ("target.edge-1.timing", false),
    ("target.edge-1.timing.observe", false),
    ("target.edge-1.timing.online_within", false),
    ("target.edge-1.timing.stop_within", false),
    ("target.edge-1.timing.pair_within", false),
    ("target.edge-1.timing.token_ttl", false),
];

/// The working configuration with the value at a path replaced, or taken away.
fn changed(world: &World, path: &str, value: Option<toml::Value>) -> String {
    let mut config: toml::Table = toml::from_str(&world.config).unwrap();
    let mut table = &mut config;
    let (folders, key) = path.rsplit_once('.').map_or((None, path), |(folders, key)| (Some(folders), key));
    for name in folders.into_iter().flat_map(|folders| folders.split('.')) {
        table = table.entry(name).or_insert_with(|| toml::Table::new().into()).as_table_mut().unwrap();
    }
    match value {
        Some(value) => _ = table.insert(key.to_owned(), value),
        None => _ = table.remove(key).unwrap(),
    }
    toml::to_string(&config).unwrap()
}

pub fn cases(world: &World) -> Vec<Case> {
    let mut cases = Vec::new();
    let bad = |name: String, text: String| refused(name, PLAN, "RCV0006", 64).config(text);
    for (path, required) in KEYS {
        let key = path.rsplit('.').next().unwrap();
        if *required {
            cases.push(bad(format!("{path} is missing"), changed(world, path, None)));
        }
        let wrong = toml::Value::Array(vec![7.into()]);
        cases.push(bad(format!("{path} is a list of numbers"), changed(world, path, Some(wrong))).says("line "));
        if key != "default" {
            cases.push(bad(format!("{path} is a boolean"), changed(world, path, Some(true.into()))).says("line "));
        }
        cases.push(bad(format!("{path} is a number"), changed(world, path, Some(7.into()))).says("line "));
    }
    for path in [
        "",
        "policy.",
        "target.edge-1.",
        "target.edge-1.workload.process.",
        "target.edge-1.storage.directory.",
        "target.edge-1.authority.http.",
        "target.edge-1.timing.",
    ] {
        let text = changed(world, &format!("{path}surprise"), Some(CANARY.into()));
        cases.push(bad(format!("an unknown key {path}surprise"), text).says("surprise"));
    }
    for key in ["policy.answer_within", "target.edge-1.timing.observe", "target.edge-1.timing.token_ttl"] {
        for span in ["", "5 parsecs", "0s", "-1s", "1.5s", "30", "721h", "999999999999999999999s", "1d", " 1s", "１s"]
        {
            let text = changed(world, key, Some(span.into()));
            cases.push(bad(format!("{key} is {span:?}"), text).says("500ms"));
        }
    }
    for (key, values) in semantic() {
        for value in values {
            let text = changed(world, key, Some(value.clone()));
            let short: String = value.to_string().chars().take(60).collect();
            cases.push(bad(format!("{key} is {short}"), text));
        }
    }
    syntax(world, &mut cases);
    places(world, &mut cases);
    cases
}

/// Values of the right type that no configuration can mean.
fn semantic() -> Vec<(&'static str, Vec<toml::Value>)> {
    let texts = |texts: &[&str]| texts.iter().map(|text| (*text).into()).collect::<Vec<toml::Value>>();
    let list = |words: &[&str]| toml::Value::Array(words.iter().map(|word| (*word).into()).collect());
    vec![
        ("target.edge-1.kind", texts(&["", "toaster", "Connector"])),
        ("policy.reprovision", texts(&["", "maybe", "ALLOW"])),
        (
            "target.edge-1.authority.http.base",
            texts(&[
                "",
                "cp.example",
                "ftp://127.0.0.1",
                "http://cp.example",
                "https://u:p@cp.example",
                "https://cp.example/api",
                "https://cp.example?x",
                "https://cp.example#x",
                "https://169.254.169.254",
                "https://[fe80::1]",
                "https://0.0.0.0",
                "https://224.0.0.1",
                "https://[::ffff:169.254.169.254]",
                "https://100.100.100.200",
                "https://2852039166",
                "file:///etc/passwd",
                "https://",
                "javascript:alert(1)",
            ]),
        ),
        ("target.edge-1.authority.http.agent", texts(&["", "..", ".a", "a/b", "a b", "a\nb", "ä", &"a".repeat(129)])),
        ("target.edge-1.authority.http.org", texts(&["", "a\r\nx-admin: 1", "a b", "ä"])),
        ("target.edge-1.authority.http.ca", texts(&["/no/such/ca.pem", "/etc", "/dev/null", "/etc/passwd"])),
        (
            "target.edge-1.authority.http.credential",
            texts(&[
                "",
                CANARY,
                "file:relative",
                "env:TOKEN",
                "fd:0",
                "fd:1",
                "fd:x",
                "systemd-credential:../x",
                "https://x",
            ]),
        ),
        (
            "target.edge-1.workload.process.command",
            vec![list(&[]), list(&[""]), list(&["recover"]), list(&["./recover"]), list(&["/bin/x", "a\0b"])],
        ),
        ("target.edge-1.workload.process.pidfile", texts(&["", "p", "/a/../p", "/", "/a\0b"])),
        ("target.edge-1.workload.process.log", texts(&["", "l", "/a/../l"])),
        ("target.edge-1.workload.process.token_file", texts(&["", "t", "/a/../t", "/"])),
        ("target.edge-1.storage.directory.path", texts(&["", "data", "/a/../d", "/"])),
        ("target.edge-1.storage.directory.identity", texts(&["", "..", "a/b", "/etc/passwd", "a\0b"])),
        ("target.edge-1.storage.directory.originals", vec![list(&[""]), list(&["rel"]), list(&["/a/.."])]),
        ("target.edge-1.timing.token_ttl", texts(&["1ms", "999ms"])),
    ]
}

/// Texts that are no TOML, or not this program's.
fn syntax(world: &World, cases: &mut Vec<Case>) {
    for (name, text) in [
        ("no value", "state_dir ="),
        ("no key", "= 1"),
        ("a table that is not closed", "[policy\n"),
        ("a string that is not closed", "state_dir = \"/x\n"),
        ("a list that is not closed", "x = [1, 2\n"),
        ("a key twice", "state_dir = \"/x\"\nstate_dir = \"/y\"\n"),
        ("a table twice", "[policy]\n[policy]\n"),
        ("JSON", "{\"state_dir\": \"/x\"}"),
        ("YAML", "state_dir: /x\n"),
        ("an escape that is none", "state_dir = \"\\q\"\n"),
        ("a NUL", "state_dir = \"/x\0\"\n"),
        ("a bare word", "state_dir = /x\n"),
        ("a number that overflows", "x = 99999999999999999999\n"),
    ] {
        cases.push(refused(format!("syntax: {name}"), SHOW, "RCV0006", 64).config(text).says("line "));
    }
    let deep = format!("x = {}1{}", "[".repeat(100_000), "]".repeat(100_000));
    cases.push(refused("syntax: lists 100,000 deep", SHOW, "RCV0006", 64).config(deep));
    let tables = format!("[{}a]\n", "a.".repeat(100_000));
    cases.push(refused("syntax: tables 100,000 deep", SHOW, "RCV0006", 64).config(tables));
    let long = format!("state_dir = \"/{}\u{1b}[2J\"\n", "x".repeat(10));
    cases.push(refused("syntax: an escape character in a string", SHOW, "RCV0006", 64).config(long));
    cases.push(
        refused("syntax: a secret beside the mistake", SHOW, "RCV0006", 64).config(format!("x = \"{CANARY}\" \"\n")),
    );
    cases.push(refused("not UTF-8", SHOW, "RCV0006", 64).config(b"state_dir = \"\xff\"\n"));
    cases.push(refused("UTF-16", SHOW, "RCV0006", 64).config(b"\xff\xfes\0t\0"));
    cases.push(refused("more than 1 MiB", SHOW, "RCV0006", 64).config("#".repeat((1 << 20) + 1)).says("1 MiB"));
    cases.push(handled("1 MiB of comment", SHOW, 0).config("#".repeat(1 << 20)));
    cases.push(handled("nothing in it", SHOW, 0).config(""));
    cases.push(handled("a byte order mark", SHOW, 0).config(format!("\u{feff}{}", world.config)));
    cases.push(handled("lines that end as on Windows", SHOW, 0).config(world.config.replace('\n', "\r\n")));
    let two = world.config.replace("default = true\n", "");
    let second = two.split_once("[target.edge-1]").unwrap().1;
    let both = format!("{two}\n[target.edge-2]{second}");
    let no_target = ["plan", "--scenario", "identity-loss"];
    cases.push(refused("two targets and none is meant", &no_target, "RCV0004", 64).config(&*both));
    let defaults = both.replace("kind = \"connector\"", "kind = \"connector\"\ndefault = true");
    cases.push(refused("two targets and both are meant", &no_target, "RCV0004", 64).config(defaults));
}

fn at(name: &str, error: &'static str, prepare: fn(&Path)) -> Case {
    refused(format!("the file {name}"), &["--config", "@/c", "config", "show"], error, 64).prepare(prepare)
}

/// Files that are none, or not to be trusted.
fn places(world: &World, cases: &mut Vec<Case>) {
    cases.push(at("is not there", "RCV0005", |_| {}));
    cases.push(at("is a directory", "RCV0006", |dir| std::fs::create_dir(dir.join("c")).unwrap()));
    cases.push(at("is a link to nothing", "RCV0005", |dir| symlink("/no/such", dir.join("c")).unwrap()));
    cases.push(at("is a link to itself", "RCV0005", |dir| symlink(dir.join("c"), dir.join("c")).unwrap()));
    cases.push(at("is a FIFO", "RCV0006", |dir| crate::files::fifo(&dir.join("c"))));
    cases.push(at("is a socket", "RCV0006", |dir| {
        drop(std::os::unix::net::UnixListener::bind(dir.join("c")).unwrap());
    }));
    cases.push(at("is a device without end", "RCV0006", |dir| symlink("/dev/zero", dir.join("c")).unwrap()));
    cases.push(at("is writable by everybody", "RCV0006", |dir| {
        std::fs::write(dir.join("c"), "").unwrap();
        std::fs::set_permissions(dir.join("c"), std::fs::Permissions::from_mode(0o666)).unwrap();
    }));
    let ca = changed(world, "target.edge-1.authority.http.ca", Some("@/ca".into()));
    for (what, make) in [
        ("is a FIFO", (|dir| crate::files::fifo(&dir.join("ca"))) as fn(&Path)),
        ("is empty", |dir| std::fs::write(dir.join("ca"), "").unwrap()),
        ("is larger than 1 MiB", |dir| std::fs::write(dir.join("ca"), vec![b'x'; (1 << 20) + 1]).unwrap()),
        ("has no certificate that can be read", |dir| {
            let text = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
            std::fs::write(dir.join("ca"), text).unwrap();
        }),
    ] {
        cases.push(refused(format!("the CA file {what}"), PLAN, "RCV0006", 64).config(&*ca).prepare(make));
    }
    let text = world.config.clone();
    let linked = handled("the file is a link to a good one", &["--config", "@/c", "config", "show"], 0);
    cases.push(linked.prepare(move |dir| {
        std::fs::write(dir.join("real"), &text).unwrap();
        symlink(dir.join("real"), dir.join("c")).unwrap();
    }));
    let long = format!("/{}", "x".repeat(5_000));
    cases.push(refused("a path that is too long", &["--config", &long, "config", "show"], "RCV0005", 64));
    cases.push(refused("an empty path", &["--config", "", "config", "show"], "RCV0002", 64));
}
