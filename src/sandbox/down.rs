//! Ending a sandbox: exactly the processes that its pid files name, and what it has on tmpfs.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::sandbox::error::Error;
use crate::sandbox::layout::Layout;
use crate::sandbox::up::GRACE;
use crate::sandbox::{files, process};

/// What was ended.
#[derive(Debug, Serialize)]
pub(crate) struct Down {
    schema: &'static str,
    /// Whether a connector was running.
    connector: bool,
    /// Whether a control plane was running.
    control_plane: bool,
}

/// Ends both processes, the connector first. Done again, it does nothing. Its directory stays, and `up` brings it back.
pub(crate) fn down(dir: &Path) -> Result<Down, Error> {
    let layout = Layout::open(dir)?;
    let _lock = files::lock(&layout.lock()).map_err(Error::io("lock the sandbox"))?;
    let stop =
        |pidfile: &Path, what: &str| process::stop(pidfile, GRACE).map_err(Error::io(format!("stop the {what}")));
    let connector = stop(&layout.connector_pidfile(), "connector")?;
    let control_plane = stop(&layout.plane_pidfile(), "control plane")?;
    let tmpfs = layout.tmpfs()?;
    files::remove_if_there(&tmpfs.join("token")).map_err(Error::io("remove the token"))?;
    // Only if they are empty: secrets of a run that is still open are not ours to remove.
    let _left = fs::remove_dir(layout.secrets()?).and_then(|()| fs::remove_dir(&tmpfs));
    Ok(Down { schema: "recover.sandbox/v1", connector, control_plane })
}
