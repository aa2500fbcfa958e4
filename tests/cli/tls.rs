//! A control plane behind TLS: one whose certificate is not trusted hears nothing, one with a private CA is worked with.

use std::io::Write;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use crate::certificates::{Ca, Years, ca, message, server};
use crate::sandbox::Sandbox;
use crate::{code, result, stderr};

const GO: &[&str] = &["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"];

/// TLS in front of a plain server, with a certificate of this CA for this name.
pub struct Front {
    pub base: String,
    pub requests: Arc<AtomicUsize>,
}

pub fn front(upstream: &str, ca: &Ca, name: &str, years: Years) -> Front {
    let config = server(Some(ca), name, years, false);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("https://127.0.0.1:{}", listener.local_addr().unwrap().port());
    let requests = Arc::new(AtomicUsize::new(0));
    let (upstream, counted) = (upstream.trim_start_matches("http://").to_owned(), Arc::clone(&requests));
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (config, upstream, counted) = (Arc::clone(&config), upstream.clone(), Arc::clone(&counted));
            std::thread::spawn(move || relay(stream.ok()?, config, &upstream, &counted));
        }
    });
    Front { base, requests }
}

/// One request there and one reply back.
fn relay(stream: TcpStream, config: Arc<ServerConfig>, upstream: &str, requests: &AtomicUsize) -> Option<()> {
    let mut tls = StreamOwned::new(ServerConnection::new(config).ok()?, stream);
    let request = message(&mut tls)?;
    requests.fetch_add(1, Ordering::SeqCst);
    let mut plain = TcpStream::connect(upstream).ok()?;
    plain.write_all(&request).ok()?;
    tls.write_all(&message(&mut plain)?).ok()?;
    tls.conn.send_close_notify();
    tls.flush().ok()
}

pub fn configure(sandbox: &Sandbox, original: &str, base: &str, ca: Option<&Path>) {
    // Each of them is another subject, and a brake would rightly hold the sixth.
    let original = original.replace("[policy]\n", "[policy]\nbrake = { targets = 0, within = \"1m\" }\n");
    let (before, rest) = original.split_once("base = \"").unwrap();
    let (_, after) = rest.split_once('"').unwrap();
    let ca = ca.map(|path| format!(", ca = {path:?}")).unwrap_or_default();
    std::fs::write(sandbox.config(), format!("{before}base = \"{base}\"{ca}{after}")).unwrap();
}

#[test]
fn a_certificate_that_is_not_trusted_is_named_and_a_private_ca_is_enough() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let starts = sandbox.ledger()["starts"].clone();
    let home = tempfile::tempdir().unwrap();
    let (ours, other) = (ca(home.path(), "ours"), ca(home.path(), "other"));
    let original = std::fs::read_to_string(sandbox.config()).unwrap();
    let (_, base) = original.split_once("base = \"").unwrap();
    let plain = base.split('"').next().unwrap();
    let good = (2020, 2090);

    let refused: &[(&str, &str, Years, Option<&Path>, &str)] = &[
        ("the issuer is in no store of this system", "127.0.0.1", good, None, "UnknownIssuer"),
        ("another private CA is configured", "127.0.0.1", good, Some(&other.file), "UnknownIssuer"),
        ("it is for another name", "cp.example", good, Some(&ours.file), "not valid for name"),
        ("it is for another address", "127.0.0.2", good, Some(&ours.file), "not valid for name"),
        ("it has expired", "127.0.0.1", (2020, 2021), Some(&ours.file), "expired"),
        ("its time has not come", "127.0.0.1", (2089, 2090), Some(&ours.file), "not valid yet"),
    ];
    for (what, name, years, trusted, said) in refused {
        let front = front(plain, &ours, name, *years);
        configure(&sandbox, &original, &front.base, *trusted);
        let begun = std::time::Instant::now();
        let output = sandbox.recover(GO);
        let line = result(&output);
        assert_eq!((line["verdict"].as_str(), code(&output)), (Some("given-up"), 2), "{what}: {line}");
        assert_eq!(line["code"], "RCV0036", "{what}: {line}");
        let reason = line["reason"].as_str().unwrap();
        assert!(reason.contains("certificate is not trusted") && reason.contains(said), "{what}: {reason}");
        assert!(begun.elapsed().as_secs() < 8, "{what}: it is not tried over and over");
        assert_eq!(front.requests.load(Ordering::SeqCst), 0, "{what}: nothing was sent");
        let shown = sandbox.recover(&["show", line["run"].as_str().unwrap()]);
        assert!(String::from_utf8_lossy(&shown.stdout).contains("error[RCV0036]"), "{what}");
    }
    let ledger = sandbox.ledger();
    assert_eq!((&ledger["starts"], &ledger["mints"], &ledger["revokes"]), (&starts, &0.into(), &0.into()), "{ledger}");

    let front = front(plain, &ours, "127.0.0.1", good);
    configure(&sandbox, &original, &front.base, Some(&ours.file));
    let output = sandbox.recover(GO);
    assert_eq!(result(&output)["verdict"], "recovered", "{}", stderr(&output));
    assert!(front.requests.load(Ordering::SeqCst) > 0, "it went through the front");
    assert_eq!(sandbox.ledger()["pairs"], 1);
}
