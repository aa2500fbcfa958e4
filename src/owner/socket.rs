//! `control.sock`: how clients reach the owner. Only the same user, or root, is heard.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::fault::{Code, Fault};
use crate::owner::ask::{Envelope, Tell, VERSION};
use crate::owner::office::Office;

/// A request longer than this is not read to its end. Bytes.
const REQUEST_LEN_MAX: u64 = 1 << 20;

pub(crate) fn path(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// Binds the socket. The lock is held, so a socket that is there belongs to nobody.
pub(crate) fn bind(state: &Path) -> std::io::Result<UnixListener> {
    let path = path(state);
    match std::fs::remove_file(&path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e),
        Ok(()) | Err(_) => {}
    }
    // The directory is 0700, so nobody else reaches the socket before its mode is set.
    let listener = UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600))?;
    Ok(listener)
}

/// Serves clients for as long as it is polled.
pub(crate) async fn serve(office: Rc<Office>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let office = Rc::clone(&office);
                spawn_local(async move {
                    if let Err(e) = client(&office, stream).await {
                        tracing::debug!(error = %e, "a client went away");
                    }
                });
            }
            // Out of descriptors, or the like: it passes or it does not, and runs go on either way.
            Err(e) => {
                tracing::warn!(error = %e, "a client could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

async fn client(office: &Rc<Office>, stream: UnixStream) -> std::io::Result<()> {
    let peer = stream.peer_cred()?.uid();
    let own = rustix::process::getuid().as_raw();
    let (read, mut write) = stream.into_split();
    let mut line = Vec::new();
    BufReader::new(read.take(REQUEST_LEN_MAX)).read_until(b'\n', &mut line).await?;
    let envelope = match serde_json::from_slice::<Envelope>(&line) {
        _ if peer != own && peer != 0 => {
            Err(Fault::new(Code::Usage, format!("user {peer} may not ask the owner, who is user {own}")))
        }
        Ok(envelope) if envelope.v == VERSION => {
            // What the peer says of itself is believed but for its user, which the kernel says.
            let mut envelope = envelope;
            envelope.actor.uid = peer;
            Ok(envelope)
        }
        Ok(_) => Err(Fault::new(Code::TooNew, "the owner is another build, which does not understand this one")),
        Err(e) => Err(Fault::caused(Code::Usage, "the request cannot be read", &e)),
    };
    let (listener, mut heard) = mpsc::unbounded_channel();
    match envelope {
        Ok(envelope) => {
            let office = Rc::clone(office);
            spawn_local(async move { office.handle(envelope, listener).await });
        }
        Err(fault) => {
            let _sent = listener.send(Tell::fault(fault));
        }
    }
    while let Some(tell) = heard.recv().await {
        let mut text = serde_json::to_vec(&tell)?;
        text.push(b'\n');
        write.write_all(&text).await?;
        if tell.is_last() {
            break;
        }
    }
    write.shutdown().await
}
