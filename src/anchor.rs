//! The head of the log at the end of each run, sent to where whoever edits the state directory later does not reach: syslog.
//!
//! One datagram to `/dev/log`, where syslog daemons and journald listen alike; `RECOVER_SYSLOG` names another socket, or `off`. What does
//! not arrive is no reason to fail: the run is closed, and its head is printed too.

use std::ffi::OsString;
use std::os::unix::net::UnixDatagram;

use serde_json::Value;

const VARIABLE: &str = "RECOVER_SYSLOG";
const SOCKET: &str = "/dev/log";
/// Facility local0, severity notice. RFC 3164.
const PRIORITY: u8 = 16 * 8 + 5;

/// Sends the head in the result line of a run that ended.
pub(crate) fn send(result: &Value) {
    let socket = std::env::var_os(VARIABLE).unwrap_or_else(|| OsString::from(SOCKET));
    if socket == "off" {
        return;
    }
    let Some(message) = message(result, std::process::id()) else { return };
    let sent = UnixDatagram::unbound().and_then(|datagram| {
        // A daemon that stands still must not hold up the end of a run.
        datagram.set_nonblocking(true)?;
        datagram.send_to(message.as_bytes(), &socket)
    });
    if let Err(why) = sent {
        tracing::debug!(%why, ?socket, "the head of the log did not go to syslog");
    }
}

fn message(result: &Value, pid: u32) -> Option<String> {
    let word = |key: &str| result[key].as_str();
    let (run, verdict, head) = (word("run")?, word("verdict")?, word("head")?);
    // Names from a configuration: in one line, whatever is in them.
    let target = crate::line::shown(word("target").unwrap_or_default());
    Some(format!("<{PRIORITY}>recover[{pid}]: {run} on {target} ended {verdict}; head of the log {head}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_message_names_run_and_head_in_one_line() {
        let result = json!({ "run": "run_1", "target": "edge\n-1", "verdict": "recovered", "head": "24:ab" });
        let wanted = "<133>recover[7]: run_1 on edge\\u{a}-1 ended recovered; head of the log 24:ab";
        assert_eq!(message(&result, 7).as_deref(), Some(wanted));
        assert_eq!(message(&json!({ "run": "run_1" }), 7), None, "a run without a head has none to send");
    }
}
