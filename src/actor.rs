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
    /// The name in the certificate by which the person was known, where that was so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) certificate: Option<String>,
}

fn first_line(path: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().next().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty())
}

impl Actor {
    /// The process that calls this.
    pub(crate) fn here() -> Self {
        Self {
            uid: rustix::process::getuid().as_raw(),
            login_uid: login_uid_of(std::process::id().cast_signed()),
            host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
            machine: machine_id(),
            boot: first_line("/proc/sys/kernel/random/boot_id").unwrap_or_default(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            via: None,
            certificate: None,
        }
    }

    pub(crate) fn json(&self) -> Arc<str> {
        recover_engine::Json::of(self).as_str().into()
    }
}

/// The user that logged in behind a process, as the kernel tells it.
pub(crate) fn login_uid_of(pid: i32) -> Option<u32> {
    const UNSET: u32 = u32::MAX;
    first_line(&format!("/proc/{pid}/loginuid")).and_then(|line| line.parse().ok()).filter(|uid| *uid != UNSET)
}

/// Whether two who acted are surely two people. What cannot be told apart counts as one.
pub(crate) fn are_two(one: &Actor, other: &Actor) -> bool {
    let role = |via: &str| via.split(" from ").next().unwrap_or_default().to_owned();
    match (&one.via, &other.via) {
        (Some(via), Some(other_via)) => match (&one.certificate, &other.certificate) {
            (Some(one), Some(other)) => one != other,
            // Two roles are two tokens.
            (None, None) => role(via) != role(other_via),
            // Whoever has a certificate may have a token too.
            (Some(_), None) | (None, Some(_)) => false,
        },
        (None, None) => match (one.login_uid, other.login_uid) {
            (Some(one), Some(other)) => one != other,
            // Whoever did not log in is told by the user alone, which sudo changes; root is everybody.
            (None, _) | (_, None) => one.uid != other.uid && one.uid != 0 && other.uid != 0,
        },
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The id that binds a state directory to a machine. Where the system has none, the host's name stands for it.
pub(crate) fn machine_id() -> String {
    first_line("/etc/machine-id")
        .or_else(|| first_line("/var/lib/dbus/machine-id"))
        .unwrap_or_else(|| format!("host:{}", rustix::system::uname().nodename().to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn actor(uid: u32, login_uid: Option<u32>, via: Option<&str>) -> Actor {
        let word = || "x".to_owned();
        Actor {
            uid,
            login_uid,
            host: word(),
            machine: word(),
            boot: word(),
            version: word(),
            via: via.map(str::to_owned),
            certificate: None,
        }
    }

    #[test]
    fn what_cannot_be_told_apart_is_one_person() {
        let local = |uid, login| actor(uid, login, None);
        let web = |via| actor(990, None, Some(via));
        let shown = |name: &str| Actor { certificate: Some(name.to_owned()), ..web("http, approve from 10.0.0.1") };
        for (one, other, two) in [
            (local(1000, Some(1000)), local(1001, Some(1001)), true),
            (local(0, Some(1000)), local(0, Some(1001)), true),
            (local(0, Some(1000)), local(1000, Some(1000)), false),
            (local(1000, None), local(1001, None), true),
            (local(1000, None), local(0, None), false),
            (local(1000, Some(1000)), local(0, None), false),
            (web("http, operate from 10.0.0.1"), web("http, approve from 10.0.0.1"), true),
            (web("http, approve from 10.0.0.1"), web("http, approve from 10.0.0.2"), false),
            (shown("alice"), shown("bob"), true),
            (shown("alice"), shown("alice"), false),
            (shown("alice"), web("http, operate from 10.0.0.1"), false),
            (web("http, approve from 10.0.0.1"), local(1000, Some(1000)), false),
        ] {
            assert_eq!((are_two(&one, &other), are_two(&other, &one)), (two, two), "{one:?} {other:?}");
        }
    }
}
