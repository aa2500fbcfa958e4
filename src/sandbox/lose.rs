//! Taking the connector's identity away: the accident that `recover` is for.

use std::fs::{self, DirBuilder};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use crate::sandbox::error::Error;
use crate::sandbox::layout::{AGENT, Layout};
use crate::sandbox::up::{self, GRACE};
use crate::sandbox::{clock, files, ledger, process};

const WAIT_S: u64 = 15;

/// An identity that is lost.
#[derive(Debug, Serialize)]
pub(crate) struct Lost {
    schema: &'static str,
    target: &'static str,
    /// Where the data was put aside; nowhere, if it is gone.
    original: Option<PathBuf>,
    /// The connector's status.
    status: String,
    /// The label of the stale token that was left behind.
    stale_label: String,
}

/// Replaces the connector's data directory by an empty one and restarts the connector, so that it notices. A live token
/// that nobody will use is left at the control plane, and what the ledger tells begins anew.
pub(crate) fn lose_identity(dir: &Path, keep_original: bool) -> Result<Lost, Error> {
    let layout = Layout::open(dir)?;
    let _lock = files::lock(&layout.lock()).map_err(Error::io("lock the sandbox"))?;
    let plane = process::find(&layout.plane_pidfile()).map_err(Error::io("look for the control plane"))?;
    if plane.is_none() {
        return Err(Error::Down);
    }
    let client = up::client(&layout)?;
    if !layout.has_identity() {
        return Err(Error::AlreadyLost);
    }
    process::stop(&layout.connector_pidfile(), GRACE).map_err(Error::io("stop the connector"))?;
    let original = take_away(&layout, keep_original)?;
    files::remove_if_there(&layout.token()?).map_err(Error::io("remove the token"))?;
    let log_len = fs::metadata(layout.connector_log()).map(|found| found.len()).unwrap_or_default();
    up::restart(&layout)?;
    up::wait("the connector's refusal", Duration::from_secs(WAIT_S), &layout.connector_log(), || {
        let log = fs::read(layout.connector_log()).map_err(Error::io("read the connector's log"))?;
        let news = usize::try_from(log_len).ok().and_then(|from| log.get(from..)).unwrap_or_default();
        Ok(String::from_utf8_lossy(news).contains("401 ENROLLMENT_TOKEN_INVALID").then_some(()))
    })?;
    up::await_status(&layout, &client, "needs_recovery", Duration::from_secs(WAIT_S))?;
    let stale = up::mint(&client, "onboarding", up::TOKEN_TTL_S)?;
    ledger::mark_loss(&layout, clock::now())?;
    Ok(Lost {
        schema: "recover.sandbox/v1",
        target: AGENT,
        original,
        status: "needs_recovery".to_owned(),
        stale_label: stale["label"].as_str().unwrap_or_default().to_owned(),
    })
}

/// Leaves an empty data directory. Without a kept original, copies of earlier losses go too: gone means gone.
fn take_away(layout: &Layout, keep_original: bool) -> Result<Option<PathBuf>, Error> {
    let (data, aside) = (layout.data(), layout.original());
    let kept = if keep_original {
        let date: String = clock::rfc3339(clock::now()).chars().filter(char::is_ascii_alphanumeric).collect();
        let kept = aside.join(format!("data.bak-{date}"));
        files::private_dir(&aside).map_err(Error::io("make the folder of originals"))?;
        fs::rename(&data, &kept).map_err(Error::io("put the data aside"))?;
        Some(kept)
    } else {
        fs::remove_dir_all(&data).map_err(Error::io("remove the data"))?;
        fs::remove_dir_all(&aside).map_err(Error::io("remove the originals"))?;
        files::private_dir(&aside).map_err(Error::io("make the folder of originals"))?;
        None
    };
    DirBuilder::new().mode(0o700).create(&data).map_err(Error::io("make an empty data directory"))?;
    Ok(kept)
}
