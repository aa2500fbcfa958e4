//! The socket: whose it is, and that none is taken away that somebody listens on.

use std::fs;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;

use super::settings::Settings;

/// The group's number.
pub fn group(name: &str) -> Result<Option<u32>, String> {
    if name.is_empty() {
        return Ok(None);
    }
    if let Ok(gid) = name.parse() {
        return Ok(Some(gid));
    }
    let found = nix::unistd::Group::from_name(name).map_err(|e| format!("lookup socket group: {e}"))?;
    found
        .map(|group| Some(group.gid.as_raw()))
        .ok_or_else(|| format!("lookup socket group: group: unknown group {name}"))
}

/// What is wrong with the folder of the socket or with what stands at its place.
pub fn folder_flaw(settings: &Settings) -> Result<(), String> {
    let path = &settings.server.socket_path;
    let flaw = |why: &str| Err(format!("invalid configuration: server.socketPath: {why}"));
    match fs::symlink_metadata(path.parent().unwrap_or(path)) {
        Ok(about) if about.is_dir() && about.mode() & 0o002 == 0 => {}
        Ok(about) if about.is_dir() => return flaw("parent directory must not be world-writable"),
        _ => return flaw("parent directory must exist and must not be a symlink"),
    }
    match fs::symlink_metadata(path) {
        Ok(about) if !about.file_type().is_socket() => flaw("target exists and is not a socket"),
        _ => Ok(()),
    }
}

/// Listens, with the mode and the group of the configuration. Says whether one that was left over had to go.
pub fn bind(settings: &Settings) -> Result<(std::os::unix::net::UnixListener, bool), String> {
    let path = &settings.server.socket_path;
    let stale = fs::symlink_metadata(path).is_ok();
    if stale {
        if UnixStream::connect(path).is_ok() {
            return Err("socket is in use by another process".into());
        }
        fs::remove_file(path).map_err(|e| format!("remove stale socket: {e}"))?;
    }
    let listener = std::os::unix::net::UnixListener::bind(path).map_err(|e| format!("listen on socket: {e}"))?;
    if let Some(gid) = group(&settings.server.socket_group)? {
        std::os::unix::fs::chown(path, None, Some(gid)).map_err(|e| format!("chown socket: {e}"))?;
    }
    let mode = fs::Permissions::from_mode(settings.socket_mode().unwrap_or(0o660));
    fs::set_permissions(path, mode).map_err(|e| format!("chmod socket: {e}"))?;
    listener.set_nonblocking(true).map_err(|e| e.to_string())?;
    Ok((listener, stale))
}
