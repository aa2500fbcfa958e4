//! Who comes in at `recover serve`, and how often: by certificate, by token, and not without measure.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::certificates::{Ca, ca, issued};
use crate::sandbox::Sandbox;
use crate::served::Served;
use crate::{code, stderr};

/// A sandbox that is served over TLS, and knows two people by their certificates.
struct Site {
    sandbox: Sandbox,
    home: tempfile::TempDir,
    ca: Ca,
    child: Child,
    address: String,
}

impl Drop for Site {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Site {
    fn up() -> Self {
        let sandbox = Sandbox::up();
        sandbox.lose(false);
        let home = tempfile::tempdir().unwrap();
        let ca = ca(home.path(), "authority");
        let (certificate, key) = issued(home.path(), &ca, "server", &["localhost"]);
        let text = std::fs::read_to_string(sandbox.config()).unwrap();
        let text = text
            .replace("reprovision = \"allow\"", "reprovision = \"ask\"")
            .replace("[policy]\n", "[policy]\nsecond_person = true\n");
        let tls = format!(
            "\n[serve.tls]\ncertificate = {certificate:?}\nkey = {key:?}\nclient_ca = {:?}\nclients = {{ alice = \"approve\", bob = \"approve\", \
             eve = \"view\" }}\n",
            ca.file
        );
        std::fs::write(sandbox.config(), text + &tls).unwrap();
        let mut command = sandbox.recovering(&["serve", "--listen", "127.0.0.1:0", "--output", "json"]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::inherit()).spawn().unwrap();
        let mut line = String::new();
        std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
        let line: Value = serde_json::from_str(&line).unwrap();
        let address = line["url"].as_str().unwrap().trim_start_matches("https://").trim_end_matches('/').to_owned();
        Self { sandbox, home, ca, child, address }
    }

    /// A request with this certificate, or with none: status and body.
    fn ask(&self, shown: Option<&(PathBuf, PathBuf)>, method: &str, path: &str, body: &Value) -> (u16, String) {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.ca.file).unwrap()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match shown {
            None => builder.with_no_client_auth(),
            Some((certificate, key)) => builder
                .with_client_auth_cert(
                    vec![CertificateDer::from_pem_file(certificate).unwrap()],
                    PrivateKeyDer::from_pem_file(key).unwrap(),
                )
                .unwrap(),
        };
        let connection = rustls::ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, TcpStream::connect(&self.address).unwrap());
        let (port, body) = (self.address.rsplit(':').next().unwrap(), body.to_string());
        let request = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost:{port}\r\nConnection: close\r\nContent-Type: application/json\r\n\
             Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
        // Whoever is refused in the handshake hears nothing.
        drop(stream.write_all(request.as_bytes()));
        let mut bytes = Vec::new();
        drop(stream.read_to_end(&mut bytes));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let status = text.split(' ').nth(1).and_then(|word| word.parse().ok()).unwrap_or_default();
        (status, text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned()).unwrap_or_default())
    }

    fn person(&self, ca: &Ca, name: &str) -> (PathBuf, PathBuf) {
        issued(self.home.path(), ca, name, &[])
    }
}

#[test]
fn two_people_with_certificates_are_two_and_a_stranger_is_nobody() {
    let site = Site::up();
    let [alice, bob, eve, mallory] = ["alice", "bob", "eve", "mallory"].map(|name| site.person(&site.ca, name));
    let other = ca(site.home.path(), "another-authority");
    let forged = site.person(&other, "alice-forged");
    assert_eq!(
        site.ask(None, "GET", "/healthz", &Value::Null).0,
        200,
        "without a certificate there is still a token to show"
    );
    assert_eq!(site.ask(None, "GET", "/api/v1/runs", &Value::Null).0, 401);
    assert_eq!(
        site.ask(Some(&mallory), "GET", "/api/v1/runs", &Value::Null).0,
        401,
        "the authority signed it, and nobody knows her"
    );
    assert_eq!(
        site.ask(Some(&forged), "GET", "/api/v1/runs", &Value::Null).0,
        0,
        "another authority's is refused in the handshake"
    );
    assert_eq!(site.ask(Some(&eve), "GET", "/api/v1/runs", &Value::Null).0, 200);
    let begin = json!({ "scenario": "identity-loss", "target": "edge-1" });
    assert_eq!(site.ask(Some(&eve), "POST", "/api/v1/runs", &begin).0, 403, "she may look");
    let (status, begun) = site.ask(Some(&alice), "POST", "/api/v1/runs", &begin);
    assert_eq!(status, 202, "{begun}");
    let run = serde_json::from_str::<Value>(&begun).unwrap()["run"].as_str().unwrap().to_owned();
    let until = |status: &str| -> Value {
        let until = std::time::Instant::now() + std::time::Duration::from_secs(60);
        loop {
            let told = site.ask(Some(&eve), "GET", &format!("/api/v1/runs/{run}"), &Value::Null).1;
            let body = told.find('{').and_then(|from| told.rfind('}').map(|to| &told[from..=to])).unwrap_or_default();
            let told: Value = serde_json::from_str(body).unwrap_or_default();
            if told["status"]["status"] == status {
                return told;
            }
            assert!(std::time::Instant::now() < until, "{told}");
            std::thread::sleep(std::time::Duration::from_millis(50));
        }
    };
    let question = until("operator-needed")["status"]["question"]["id"].clone();
    let answer = json!({ "question": question, "reason": "I looked" });
    let path = format!("/api/v1/runs/{run}/approve");
    let (status, said) = site.ask(Some(&alice), "POST", &path, &answer);
    assert!(status == 409 && said.contains("RCV0050"), "she began it: {status} {said}");
    assert_eq!(site.ask(Some(&bob), "POST", &path, &answer).0, 200, "he is somebody else, with the same role");
    until("closed");
    assert_eq!(site.sandbox.ledger()["pairs"], 1);
    let report = site.sandbox.recover(&["report", &run, "--markdown"]);
    let text = String::from_utf8(report.stdout).unwrap();
    assert!(text.contains("bob: http, approve from 127.0.0.1") && text.contains("alice: http"), "{text}");
}

#[test]
fn a_certificate_that_says_nothing_is_a_mistake() {
    let sandbox = Sandbox::up();
    let home = tempfile::tempdir().unwrap();
    let authority = ca(home.path(), "authority");
    let (certificate, key) = issued(home.path(), &authority, "server", &["localhost"]);
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    let with = |more: &str, path: &Path| {
        let tls = format!("{text}\n[serve.tls]\ncertificate = {certificate:?}\nkey = {key:?}\n{more}\n");
        std::fs::write(path, tls).unwrap();
        sandbox.recover(&["serve", "--listen", "127.0.0.1:0"])
    };
    for (more, says) in [
        (format!("client_ca = {:?}", authority.file), "no client in"),
        ("clients = { alice = \"view\" }".to_owned(), "no `serve.tls.client_ca`"),
        (format!("client_ca = {key:?}\nclients = {{ alice = \"view\" }}"), "no certificate in it"),
        (format!("client_ca = {:?}\nclients = {{ alice = \"root\" }}", authority.file), "unknown variant"),
    ] {
        let refused = with(&more, &sandbox.config());
        assert_eq!(code(&refused), 64, "{more}: {}", stderr(&refused));
        assert!(stderr(&refused).contains(says), "{more}: {}", stderr(&refused));
    }
}

#[test]
fn whoever_asks_without_measure_waits_and_the_others_do_not() {
    let sandbox = Sandbox::up();
    let served = Served::start(&sandbox);
    // One connection, so that nothing but the measure holds it up.
    let from = |local: [u8; 4], path: &str, most: usize| -> (usize, String) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
        let stream = runtime.block_on(async {
            let socket = tokio::net::TcpSocket::new_v4().unwrap();
            socket.bind((std::net::Ipv4Addr::from(local), 0).into()).unwrap();
            socket.connect(served.address.parse().unwrap()).await.unwrap().into_std().unwrap()
        });
        stream.set_nonblocking(false).unwrap();
        let mut stream = stream;
        let request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", served.address);
        let mut reader = std::io::BufReader::new(stream.try_clone().unwrap());
        for asked in 0..most {
            stream.write_all(request.as_bytes()).unwrap();
            let reply = String::from_utf8(crate::certificates::message(&mut reader).unwrap()).unwrap();
            if !reply.starts_with("HTTP/1.1 200") {
                return (asked, reply);
            }
        }
        (most, String::new())
    };
    let (heard, refused) = from([127, 0, 0, 1], "/healthz", 30_000);
    assert!((2_000..30_000).contains(&heard), "{heard} were heard");
    assert!(refused.starts_with("HTTP/1.1 429") && refused.to_lowercase().contains("retry-after: "), "{refused}");
    let webhook = served.with("POST", "/alerts", &[], "{}");
    assert!([401, 503].contains(&webhook.status), "what is sent again is not refused for good: {}", webhook.head);
    assert_eq!(from([127, 0, 0, 2], "/healthz", 20).0, 20, "another address is heard");
}
