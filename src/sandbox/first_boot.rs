//! A connector that never paired and does not come through its first boot, in one of the ways that the runbook names.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::sandbox::error::Error;
use crate::sandbox::fault::{self, Fault, Kind, Operation};
use crate::sandbox::layout::AGENT;
use crate::sandbox::up::{self, GRACE, Up};
use crate::sandbox::{clock, files, ledger, process};

const WAIT: Duration = Duration::from_secs(15);

/// What keeps the connector from pairing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Failing {
    /// Its token has expired.
    Expired,
    /// Its token was revoked.
    Revoked,
    /// Its request for a certificate was refused, and the token is used up.
    Refused,
    /// Its token works and was not handed over.
    Outstanding,
    /// It has no token.
    NoToken,
}

/// Brings up a sandbox whose connector never paired, and lets it fail once. What the ledger tells begins anew.
pub(crate) fn first_boot(dir: &Path, failing: Failing) -> Result<Up, Error> {
    let up::Furnished { layout, _lock, plane, client, before } = up::furnish(dir)?;
    if before["paired_before"] != false {
        return Err(Error::Usage("the connector of this sandbox has paired: name a new directory".to_owned()));
    }
    process::stop(&layout.connector_pidfile(), GRACE).map_err(Error::io("stop the connector"))?;
    let token = match failing {
        Failing::NoToken => None,
        Failing::Expired => {
            let minted = up::mint(&client, "onboarding", 1)?;
            thread::sleep(Duration::from_millis(1_100));
            Some(minted)
        }
        Failing::Revoked | Failing::Refused | Failing::Outstanding => {
            Some(up::mint(&client, "onboarding", up::TOKEN_TTL_S)?)
        }
    };
    if let (Failing::Revoked, Some(token)) = (failing, &token) {
        let path = format!("/v1/connectors/{AGENT}/tokens/revoke");
        client.post(&path, &json!({ "accessor": token["accessor"] }))?;
    }
    if failing == Failing::Refused {
        fault::fault(&layout, Fault { on: Operation::Pair, kind: Kind::BadCsr, times: 1 })?;
    }
    let handed = layout.token()?;
    files::remove_if_there(&handed).map_err(Error::io("remove the token"))?;
    let secret = token.as_ref().filter(|_| failing != Failing::Outstanding).and_then(|token| token["secret"].as_str());
    if let Some(secret) = secret {
        files::replace(&handed, secret.as_bytes()).map_err(Error::io("hand over the token"))?;
    }
    let connector = up::restart(&layout)?;
    let refusal = if secret.is_some() { "pairing failed: " } else { "401 ENROLLMENT_TOKEN_INVALID" };
    up::wait("the connector's refusal", WAIT, &layout.connector_log(), || {
        let log = fs::read(layout.connector_log()).map_err(Error::io("read the connector's log"))?;
        Ok(String::from_utf8_lossy(&log).contains(refusal).then_some(()))
    })?;
    files::remove_if_there(&handed).map_err(Error::io("take the token back"))?;
    ledger::mark_loss(&layout, clock::now())?;
    Up::of(&layout, &client, plane, connector)
}
