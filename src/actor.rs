//! Who acts: what every record says of the person and the machine behind it.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Who made a record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Actor {
    pub(crate) uid: u32,
    /// The user that logged in, whatever sudo made of it since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) login_uid: Option<u32>,
    pub(crate) host: String,
    pub(crate) machine: String,
    pub(crate) boot: String,
    pub(crate) version: String,
    /// By what means the person was heard, where that was not a command of that user's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) via: Option<String>,
}

fn first_line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

impl Actor {
    /// The process that calls this.
    pub(crate) fn here() -> Self {
        const UNSET: u32 = u32::MAX;
        let login = first_line("/proc/self/loginuid").and_then(|line| line.parse().ok());
        Self {
            uid: rustix::process::getuid().as_raw(),
            login_uid: login.filter(|uid| *uid != UNSET),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            machine: machine_id(),
            boot: first_line("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            via: None,
        }
    }

    pub(crate) fn json(&self) -> Arc<str> {
        recover_engine::Json::of(self).as_str().into()
    }
}

/// The id that binds a state directory to a machine. Where the system has none, the host's name stands for it.
pub(crate) fn machine_id() -> String {
    first_line("/etc/machine-id")
        .or_else(|| first_line("/var/lib/dbus/machine-id"))
        .unwrap_or_else(|| format!("host:{}", rustix::system::uname().nodename().to_string_lossy()))
}
