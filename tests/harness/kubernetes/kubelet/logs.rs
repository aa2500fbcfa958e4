//! The kubelet's own API, as far as an API server asks for logs: over TLS, one request for each connection.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::{Api, Cluster, log_of};

/// Serves the logs below this folder; gives the port. The thread ends with the test.
pub(super) fn serve(cluster: &Cluster, home: &Path) -> u16 {
    let (certificate, key) = cluster.server_files();
    let shown = vec![CertificateDer::from_pem_file(certificate).unwrap()];
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(shown, PrivateKeyDer::from_pem_file(key).unwrap())
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (config, pods, api) = (Arc::new(config), home.join("pods"), cluster.api());
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // Whoever hangs up in the middle does not want to know.
            drop(answer(stream, &config, &pods, &api));
        }
    });
    port
}

fn answer(stream: TcpStream, config: &Arc<ServerConfig>, pods: &Path, api: &Api) -> std::io::Result<()> {
    stream.set_read_timeout(Some(std::time::Duration::from_secs(5)))?;
    let connection = ServerConnection::new(Arc::clone(config)).map_err(std::io::Error::other)?;
    let mut stream = StreamOwned::new(connection, stream);
    let (mut head, mut byte) = (Vec::new(), [0]);
    while !head.ends_with(b"\r\n\r\n") {
        stream.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&head).into_owned();
    let path = head.split(' ').nth(1).unwrap_or_default();
    let body = log(path, pods, api);
    let (status, body) = body.map_or((404, Vec::new()), |body| (200, body));
    let length = body.len();
    write!(stream, "HTTP/1.1 {status} X\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n")?;
    stream.write_all(&body)?;
    stream.conn.send_close_notify();
    stream.flush()
}

/// `/containerLogs/NAMESPACE/POD/CONTAINER?tailLines=N&previous=true`
fn log(path: &str, pods: &Path, api: &Api) -> Option<Vec<u8>> {
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let ["", "containerLogs", namespace, pod, container] = path.split('/').collect::<Vec<_>>()[..] else { return None };
    let told = api.get(&format!("/api/v1/namespaces/{namespace}/pods/{pod}")).ok()?.body;
    let uid = told["metadata"]["uid"].as_str()?;
    let lives = (0..).take_while(|life| log_of(pods, uid, container, *life).exists()).count();
    let life = u32::try_from(lives.checked_sub(1)?).ok()?;
    let previous = query.split('&').any(|word| word == "previous=true");
    let file: PathBuf = log_of(pods, uid, container, if previous { life.checked_sub(1)? } else { life });
    let text = std::fs::read(file).ok()?;
    let tail = query.split('&').find_map(|word| word.strip_prefix("tailLines=")?.parse::<usize>().ok());
    let lines: Vec<&[u8]> = text.split_inclusive(|byte| *byte == b'\n').collect();
    let from = lines.len().saturating_sub(tail.unwrap_or(usize::MAX));
    Some(lines.get(from..)?.concat())
}
