//! A fake OpenBao, by plain HTTP and by TLS, with a ledger of every request. It deduplicates nothing.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use rustls::pki_types::CertificateDer;
use serde_json::json;

use super::state::{State, Stored, UNSEAL};
use super::{Asked, Peer, head, shown};

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    snapshots: Mutex<BTreeMap<String, Stored>>,
    down: AtomicBool,
}

pub struct Fake {
    address: SocketAddr,
    tls: Option<SocketAddr>,
    shared: Arc<Shared>,
}

fn listening(serve: impl Fn(TcpStream) -> Option<()> + Clone + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let serve = serve.clone();
            std::thread::spawn(move || serve(stream));
        }
    });
    address
}

impl Fake {
    pub fn start() -> Self {
        let shared = Arc::new(Shared::default());
        let kept = Arc::clone(&shared);
        let address = listening(move |stream| serve(stream, &kept, &[]));
        Self { address, tls: None, shared }
    }

    /// The same, with a listener for TLS besides: `server.pem` and `server.key` are in this folder.
    pub fn with_tls(home: &Path) -> Self {
        let read = |name: &str| std::fs::read_to_string(home.join(name)).unwrap();
        let config = shown::config(&read("server.pem"), &read("server.key"));
        let fake = Self::start();
        let kept = Arc::clone(&fake.shared);
        let tls = listening(move |stream| {
            let (stream, shown) = shown::shaken(stream, &config)?;
            serve(stream, &kept, &shown)
        });
        Self { tls: Some(tls), ..fake }
    }

    /// Every request that came.
    pub fn ledger(&self) -> Vec<Asked> {
        self.shared.state.lock().unwrap().ledger.clone()
    }
}

impl Peer for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn address(&self) -> SocketAddr {
        self.address
    }

    fn tls_address(&self) -> Option<SocketAddr> {
        self.tls
    }

    fn unseal(&self) {
        self.told("POST", "sys/unseal", &json!({ "key": UNSEAL }));
    }

    fn unseal_namespace(&self, name: &str) {
        self.told("POST", &format!("sys/namespaces/{name}/unseal"), &json!({ "key": UNSEAL }));
    }

    fn seals_namespaces(&self) -> bool {
        true
    }

    fn go_down(&self) {
        self.shared.down.store(true, Ordering::Relaxed);
    }

    fn come_back(&self) {
        // Who was away is sealed.
        self.shared.state.lock().unwrap().seal();
        self.shared.down.store(false, Ordering::Relaxed);
    }

    fn take_snapshot(&self, name: &str) {
        let stored = self.shared.state.lock().unwrap().stored.clone();
        self.shared.snapshots.lock().unwrap().insert(name.to_owned(), stored);
    }

    fn restore_snapshot(&self, name: &str) {
        let kept = self.shared.snapshots.lock().unwrap()[name].clone();
        self.shared.state.lock().unwrap().stored = kept;
    }

    fn hide_version(&self, namespace: &str, key: &str, version: u64, hidden: bool) {
        self.shared.state.lock().unwrap().stored.hide_version(namespace, key, version, hidden);
    }
}

fn serve(mut stream: impl Read + Write, shared: &Shared, shown: &[CertificateDer<'static>]) -> Option<()> {
    if shared.down.load(Ordering::Relaxed) {
        // Whoever calls hears nothing, and the connection ends.
        return None;
    }
    let (asked, _) = Asked::read(&mut stream)?;
    let (status, body) = shared.state.lock().unwrap().answer(asked, shown);
    let body = if body.is_null() { String::new() } else { body.to_string() };
    stream.write_all(format!("{}{body}", head(status, body.len())).as_bytes()).ok()?;
    stream.flush().ok()
}
