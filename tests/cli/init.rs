//! `init`: what it writes can be used as it stands, and nothing is overwritten.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use crate::{assert_error, code, recover, stderr};

const AUTHORITY: &[&str] =
    &["--authority", "https://control.example.com", "--credential", "file:/etc/recover/credential"];

const KUBERNETES: &[&str] = &[
    "--workload",
    "kubernetes",
    "--namespace",
    "edge",
    "--name",
    "edge-connector",
    "--data",
    "/data",
    "--reader",
    "registry.example.com/recover:1",
];

fn init(home: &Path, words: &[&str]) -> (PathBuf, Output) {
    let out = home.join("made/recover.toml");
    let output = recover(home).args(["init", "--out"]).arg(&out).args(words).args(AUTHORITY).output().unwrap();
    (out, output)
}

/// How `doctor` finds the configuration and its target.
fn doctor(home: &Path, config: &Path) -> Vec<(String, String)> {
    let output = recover(home).arg("--config").arg(config).args(["doctor", "--output", "json"]).output().unwrap();
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)));
    let word = |check: &Value, name: &str| check[name].as_str().unwrap().to_owned();
    let checks = found["checks"].as_array().unwrap().iter();
    let about = checks.filter(|c| matches!(c["check"].as_str(), Some("configuration" | "target")));
    about.map(|c| (word(c, "check"), word(c, "is"))).collect()
}

#[test]
fn what_is_written_can_be_used_for_each_kind_of_workload() {
    for kind in [
        &["--workload", "docker", "--name", "vaultpam-connector", "--data", "/data", "--original", "vaultpam-data"][..],
        &["--workload", "systemd", "--name", "vaultpam-connector.service", "--data", "/var/lib/vaultpam"],
        &[
            "--workload",
            "process",
            "--command",
            "/usr/bin/connector",
            "--command",
            "--run",
            "--data",
            "/var/lib/vaultpam",
        ],
        &["--workload", "systemd", "--name", "c.service", "--data", "/a \"b\" \\ c", "--agent", "e"],
        &[KUBERNETES, &["--original", "edge-data", "--kubeconfig", "/etc/recover/kubeconfig"]].concat(),
        &[KUBERNETES, &["--stateful-set", "--token-secret", "t"]].concat(),
    ] {
        let home = tempfile::tempdir().unwrap();
        let (out, made) = init(home.path(), &[&["--target", "edge.1"], kind].concat());
        assert_eq!(code(&made), 0, "{kind:?}: {}", stderr(&made));
        let ok = |check: &str| (check.to_owned(), "ok".to_owned());
        assert_eq!(doctor(home.path(), &out), [ok("configuration"), ok("target")], "{kind:?}");
        let text = std::fs::read_to_string(&out).unwrap();
        assert!(text.matches("\n# ").count() > 6, "{text}");
        let (_, again) = init(home.path(), &[&["--target", "other"], kind].concat());
        assert_error(&again, "RCV0040", 74);
        assert_eq!(std::fs::read_to_string(&out).unwrap(), text);
    }
}

#[test]
fn what_is_missing_or_cannot_be_used_is_named_and_nothing_is_written() {
    let home = tempfile::tempdir().unwrap();
    let docker = ["--target", "edge-1", "--workload", "docker", "--name", "c", "--data", "/data"];
    for (without, flag) in [(0, "--target"), (2, "--workload"), (4, "--name"), (6, "--data")] {
        let words: Vec<&str> =
            docker.iter().enumerate().filter(|(at, _)| at / 2 != without / 2).map(|(_, word)| *word).collect();
        let (out, refused) = init(home.path(), &words);
        assert_error(&refused, "RCV0002", 64);
        assert!(stderr(&refused).contains(flag) && !out.exists(), "{}", stderr(&refused));
    }
    let (out, refused) =
        init(home.path(), &["--target", "e", "--workload", "systemd", "--name", "no-service", "--data", "/d"]);
    assert_error(&refused, "RCV0002", 64);
    assert!(stderr(&refused).contains("full name of a service"), "{}", stderr(&refused));
    // A credential in the place of a reference is not repeated.
    let words = ["init", "--out", "x.toml", "--authority", "https://c", "--credential", "s3cr3t-itself"];
    let refused = recover(home.path()).current_dir(home.path()).args(words).args(docker).output().unwrap();
    assert_eq!(code(&refused), 64);
    assert!(!stderr(&refused).contains("s3cr3t-itself"), "{}", stderr(&refused));
    assert!(!out.exists() && !home.path().join("x.toml").exists());
}

#[test]
fn what_a_workload_of_kubernetes_needs_is_in_what_is_written() {
    let home = tempfile::tempdir().unwrap();
    let (out, made) = init(home.path(), &[&["--target", "edge-1", "--stateful-set"][..], KUBERNETES].concat());
    assert_eq!(code(&made), 0, "{}", stderr(&made));
    let text = std::fs::read_to_string(&out).unwrap();
    let table: toml::Table = text.parse().unwrap();
    let target = &table["target"]["edge-1"];
    let pod = &target["workload"]["kubernetes"];
    let words = |value: &toml::Value, names: &[&str]| -> Vec<String> {
        names.iter().map(|name| value[*name].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        words(pod, &["namespace", "kind", "name", "token_secret"]),
        ["edge", "stateful-set", "edge-connector", "edge-connector-token"]
    );
    assert!(pod.get("kubeconfig").is_none(), "the account of the pod that it runs in: {text}");
    assert_eq!(
        words(&target["storage"]["kubernetes-claim"], &["mount", "reader"]),
        ["/data", "registry.example.com/recover:1"]
    );
    assert_eq!(target["timing"]["pair_within"].as_str(), Some("2m"), "a kubelet is slow to show a Secret");
}

#[test]
fn a_flag_of_another_kind_of_workload_is_refused_and_what_kubernetes_needs_is_named() {
    let home = tempfile::tempdir().unwrap();
    let systemd = ["--target", "e", "--workload", "systemd", "--name", "c.service", "--data", "/d"];
    let pods = [&["--target", "e"], KUBERNETES].concat();
    for (words, flag) in [
        ([&systemd[..], &["--namespace", "edge"]].concat(), "--namespace"),
        ([&systemd[..], &["--stateful-set"]].concat(), "--stateful-set"),
        ([&systemd[..], &["--reader", "image"]].concat(), "--reader"),
        ([&pods[..], &["--token-file", "/run/e/token"]].concat(), "--token-file"),
        (pods.iter().filter(|word| !["--namespace", "edge"].contains(word)).copied().collect(), "--namespace"),
        (pods[..pods.len() - 2].to_vec(), "--reader"),
    ] {
        let (out, refused) = init(home.path(), &words);
        assert_error(&refused, "RCV0002", 64);
        assert!(stderr(&refused).contains(flag) && !out.exists(), "{words:?}: {}", stderr(&refused));
    }
    // What cannot be the name of anything there is refused before it is written.
    let spaced: Vec<&str> = pods.iter().map(|word| if *word == "edge" { "Edge Space" } else { *word }).collect();
    let (out, refused) = init(home.path(), &spaced);
    assert_error(&refused, "RCV0002", 64);
    assert!(stderr(&refused).contains("the name of a namespace") && !out.exists(), "{}", stderr(&refused));
}

#[test]
fn on_a_terminal_what_no_flag_says_is_asked_for() {
    let home = tempfile::tempdir().unwrap();
    let out = home.path().join("asked.toml");
    let words = format!("{} init --out {}", crate::sandbox::RECOVER, out.display());
    // It gives its command a terminal.
    let mut script = std::process::Command::new("script");
    script.args(["-qec", &words, "/dev/null"]).stdin(std::process::Stdio::piped()).stdout(std::process::Stdio::piped());
    let Ok(mut child) = script.spawn() else {
        eprintln!("SKIPPED: there is no script(1), so no terminal to ask on");
        return;
    };
    let answers =
        "edge-1\ndocker\nvaultpam-connector\n/data\nhttps://control.example.com\nfile:/etc/recover/credential\n";
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), answers.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert_eq!(code(&output), 0, "{}", String::from_utf8_lossy(&output.stdout));
    let text = std::fs::read_to_string(out).unwrap();
    assert!(text.contains("[target.edge-1]") && text.contains("container = \"vaultpam-connector\""), "{text}");
}
