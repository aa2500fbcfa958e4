//! Hooks: others are told of what is durable, signed, again where they did not hear, and also after a kill.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::Sandbox;
use crate::{code, stderr};

/// The lines of a request's head, and its body.
type Request = (Vec<String>, String);

/// One that listens: it says no so often at first.
struct Ear {
    url: String,
    heard: Arc<Mutex<Vec<Request>>>,
}

impl Ear {
    fn new(mut refusals: u32) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/told", listener.local_addr().unwrap());
        let heard: Arc<Mutex<Vec<Request>>> = Arc::default();
        let kept = Arc::clone(&heard);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut reader = BufReader::new(stream.try_clone().unwrap());
                let head: Vec<String> =
                    reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()).collect();
                let length =
                    head.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                let mut body = vec![0; length.unwrap_or_default()];
                if reader.read_exact(&mut body).is_err() {
                    continue;
                }
                let status = if refusals > 0 { "503 Later" } else { "200 OK" };
                refusals = refusals.saturating_sub(1);
                kept.lock().unwrap().push((head, String::from_utf8(body).unwrap()));
                let _gone = write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            }
        });
        Self { url, heard }
    }

    fn heard(&self) -> Vec<Request> {
        self.heard.lock().unwrap().clone()
    }

    fn events(&self) -> Vec<Value> {
        self.heard().iter().map(|(_, body)| serde_json::from_str(body).unwrap()).collect()
    }
}

/// The sandbox that has lost its identity, with this at the end of its configuration.
fn with(hook: &str) -> Sandbox {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let text =
        std::fs::read_to_string(sandbox.config()).unwrap().replace("reprovision = \"allow\"", "reprovision = \"ask\"");
    std::fs::write(sandbox.config(), format!("{text}\n{hook}\n")).unwrap();
    sandbox
}

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1"];

#[test]
fn whoever_is_told_can_tell_by_whom_and_is_told_again() {
    let ear = Ear::new(1);
    let sandbox = with("");
    let secret = sandbox.dir().join("hook-secret");
    std::fs::write(&secret, "s3cret-s3cret-s3cret\n").unwrap();
    std::fs::set_permissions(&secret, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let hook = format!("[[hook]]\nname = \"pager\"\nurl = {:?}\nsecret = \"file:{}\"\n", ear.url, secret.display());
    std::fs::write(sandbox.config(), format!("{text}{hook}")).unwrap();

    let asked = sandbox.recover(GO);
    assert_eq!(code(&asked), 4, "{}", stderr(&asked));
    let heard = ear.heard();
    assert_eq!(heard.len(), 2, "once in vain, once heard: {heard:?}");
    assert_eq!(heard[0].1, heard[1].1);
    let header = |name: &str, at: usize| {
        let line = heard[at].0.iter().find_map(|line| line.strip_prefix(&format!("{name}: ")).map(str::to_owned));
        line.unwrap_or_else(|| panic!("{name}: {:?}", heard[at].0))
    };
    assert_eq!(header("recover-delivery", 0), header("recover-delivery", 1), "the same, told again");
    let signature = header("recover-signature", 1);
    let (seconds, tag) = signature.strip_prefix("t=").unwrap().split_once(",v1=").unwrap();
    let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, b"s3cret-s3cret-s3cret");
    let tag: Vec<u8> = (0..tag.len()).step_by(2).map(|at| u8::from_str_radix(&tag[at..at + 2], 16).unwrap()).collect();
    ring::hmac::verify(&key, format!("{seconds}.{}", heard[1].1).as_bytes(), &tag).unwrap();
    let event: Value = serde_json::from_str(&heard[1].1).unwrap();
    assert_eq!((event["on"].as_str(), event["hook"].as_str()), (Some("asked"), Some("pager")));
    let next = event["next"].as_str().unwrap().to_owned();
    assert!(next.starts_with("recover approve run_"), "{next}");
    assert!(!heard.iter().any(|(head, body)| format!("{head:?}{body}").contains("s3cret-s3cret")));

    let run = next.split(' ').nth(2).unwrap();
    let approved = sandbox.recover(&["approve", run, "--reason", "it is lost"]);
    assert_eq!(code(&approved), 0, "{}", stderr(&approved));
    let last = ear.events().pop().unwrap();
    assert_eq!((last["on"].as_str(), last["event"]["verdict"].as_str()), (Some("closed"), Some("recovered")));
}

#[test]
fn a_command_hears_on_its_standard_input_and_what_it_missed_comes_later() {
    let sandbox = with("");
    let (heard, script) = (sandbox.dir().join("heard"), sandbox.dir().join("hook.sh"));
    let text = format!("#!/bin/sh\n[ -e {0}.deaf ] && exec sleep 60\ncat >>{0}\necho >>{0}\n", heard.display());
    std::fs::write(&script, text).unwrap();
    std::fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let deaf = sandbox.dir().join("heard.deaf");
    std::fs::write(&deaf, "").unwrap();
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let hook =
        format!("[[hook]]\nname = \"file\"\ncommand = [{script:?}]\non = [\"begun\", \"asked\"]\nwithin = \"60s\"\n");
    std::fs::write(sandbox.config(), format!("{text}\n{hook}")).unwrap();

    // It stands still and the owner is killed: the run has asked, and nobody was told.
    let mut child = sandbox.recovering(GO).stderr(std::process::Stdio::null()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(20);
    while !String::from_utf8_lossy(&sandbox.recover(&["status"]).stdout).contains("operator-needed") {
        assert!(Instant::now() < until, "it does not ask");
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!heard.exists());
    std::fs::remove_file(&deaf).unwrap();
    let resumed = sandbox.recover(&["resume", "--all"]);
    assert_eq!(code(&resumed), 4, "{}", stderr(&resumed));
    let text = std::fs::read_to_string(&heard).unwrap();
    let told: Vec<Value> =
        text.lines().filter(|line| !line.is_empty()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let on: Vec<&str> = told.iter().map(|event| event["on"].as_str().unwrap()).collect();
    assert_eq!(on, ["begun", "asked"], "by the next owner, in order");
}

#[test]
fn a_hook_that_cannot_be_is_refused_before_anything_is_done() {
    for (hook, says) in [
        ("name = \"a\"", "either a url or a command"),
        ("name = \"a/b\"\nurl = \"https://x.example\"", "made of letters"),
        ("name = \"a\"\nurl = \"http://x.example\"", "https://"),
        ("name = \"a\"\ncommand = [\"sh\"]", "whole path"),
        ("name = \"a\"\nurl = \"https://x.example\"\nsecrets = \"x\"", "secret"),
    ] {
        let sandbox = with(&format!("[[hook]]\n{hook}"));
        let refused = sandbox.recover(GO);
        assert_eq!(code(&refused), 64, "{hook}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(says), "{hook}: {}", stderr(&refused));
        assert!(!sandbox.state().join("log").exists(), "nothing was begun");
    }
}
