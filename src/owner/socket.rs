//! `control.sock`: how clients reach the owner. Only the same user, or root, is heard.

use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::rc::Rc;

use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::actor::{Actor, login_uid_of};
use crate::config::Approvals;
use crate::fault::{Code, Fault};
use crate::owner::ask::{Ask, Envelope, Tell, VERSION};
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

/// Binds the socket for people who may approve and do nothing else: for that group, in a folder that nobody else can change.
pub(crate) fn bind_approvals(config: &Approvals) -> Result<UnixListener, Fault> {
    let path = &config.socket;
    let failed = |why: &str| Fault::new(Code::BadConfig, format!("{}: {why}", path.display()));
    let group = match config.group.parse() {
        Ok(number) => Some(number),
        Err(_) => nix::unistd::Group::from_name(&config.group).ok().flatten().map(|group| group.gid.as_raw()),
    };
    let group = group.ok_or_else(|| failed(&format!("there is no group {}", config.group)))?;
    let folder = path.parent().ok_or_else(|| failed("it is in no folder"))?;
    let about = std::fs::symlink_metadata(folder).map_err(|e| failed(&format!("its folder: {e}")))?;
    let own = rustix::process::getuid().as_raw();
    if !about.is_dir() || !(about.uid() == own || about.uid() == 0) || about.mode() & 0o022 != 0 {
        return Err(failed("its folder must be yours or root's, and writable by nobody else"));
    }
    match std::fs::symlink_metadata(path) {
        Ok(about) if !about.file_type().is_socket() => return Err(failed("something else is there")),
        // The lock is held, so a socket that is there belongs to nobody.
        Ok(_) => std::fs::remove_file(path).map_err(|e| failed(&e.to_string()))?,
        Err(_) => {}
    }
    let bound = UnixListener::bind(path).and_then(|listener| {
        std::os::unix::fs::chown(path, None, Some(group))?;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o660))?;
        Ok(listener)
    });
    bound.map_err(|e| failed(&e.to_string()))
}

/// Serves that group for as long as it is polled.
pub(crate) async fn serve_approvals(office: Rc<Office>, listener: UnixListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let office = Rc::clone(&office);
                spawn_local(async move {
                    if let Err(e) = approver(&office, stream).await {
                        tracing::debug!(error = %e, "an approver went away");
                    }
                });
            }
            Err(e) => {
                tracing::warn!(error = %e, "an approver could not be accepted");
                tokio::time::sleep(std::time::Duration::from_millis(100)).await;
            }
        }
    }
}

/// Whoever reaches the socket is of the group. An answer is heard, and nothing that comes with it.
async fn approver(office: &Rc<Office>, stream: UnixStream) -> std::io::Result<()> {
    let credentials = stream.peer_cred()?;
    let (read, write) = stream.into_split();
    let mut line = Vec::new();
    BufReader::new(read.take(REQUEST_LEN_MAX)).read_until(b'\n', &mut line).await?;
    let envelope = match serde_json::from_slice::<Envelope>(&line) {
        Ok(Envelope { v: VERSION, actor, ask: ask @ Ask::Answer { .. }, .. }) => {
            let login_uid = credentials.pid().and_then(login_uid_of);
            let actor = Actor { uid: credentials.uid(), login_uid, via: None, certificate: None, ..actor };
            Ok(Envelope { v: VERSION, actor, yes: false, wait_ms: None, target: None, again: false, ask })
        }
        Ok(_) => Err(Fault::new(Code::Usage, "questions are answered here, and nothing else is done")),
        Err(e) => Err(Fault::caused(Code::Usage, "the request cannot be read", &e)),
    };
    answer(office, envelope, write).await
}

async fn client(office: &Rc<Office>, stream: UnixStream) -> std::io::Result<()> {
    let credentials = stream.peer_cred()?;
    let peer = credentials.uid();
    let own = rustix::process::getuid().as_raw();
    let (read, write) = stream.into_split();
    let mut line = Vec::new();
    BufReader::new(read.take(REQUEST_LEN_MAX)).read_until(b'\n', &mut line).await?;
    let envelope = match serde_json::from_slice::<Envelope>(&line) {
        _ if peer != own && peer != 0 => {
            Err(Fault::new(Code::Usage, format!("user {peer} may not ask the owner, who is user {own}")))
        }
        Ok(envelope) if envelope.v == VERSION => {
            // What the peer says of itself is believed but for its user and its login, which the kernel says.
            let mut envelope = envelope;
            envelope.actor.uid = peer;
            envelope.actor.login_uid = credentials.pid().and_then(login_uid_of);
            envelope.actor.via = None;
            Ok(envelope)
        }
        Ok(_) => Err(Fault::new(Code::TooNew, "the owner is another build, which does not understand this one")),
        Err(e) => Err(Fault::caused(Code::Usage, "the request cannot be read", &e)),
    };
    answer(office, envelope, write).await
}

/// Has the request carried out, and says what is heard of it.
async fn answer(
    office: &Rc<Office>,
    envelope: Result<Envelope, Fault>,
    mut write: tokio::net::unix::OwnedWriteHalf,
) -> std::io::Result<()> {
    let (listener, mut heard) = mpsc::unbounded_channel();
    match envelope {
        Ok(envelope) => {
            let office = Rc::clone(office);
            let _sent = listener.send(Tell::Taken);
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
