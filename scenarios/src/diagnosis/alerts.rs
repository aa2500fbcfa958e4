//! The map from alerts to what they presume, as data.

use super::class::Class;

/// An alert that is known.
#[derive(Debug)]
pub struct Alert {
    /// Its name.
    pub name: &'static str,
    /// What it presumes.
    pub presumes: Class,
    /// What the runbook says of it.
    pub says: &'static str,
    /// Where that is from.
    pub source: &'static str,
}

const RUNBOOK: &str = "connector runbook, alert to runbook map";

/// Every alert that is known.
pub const ALERTS: &[Alert] = &[
    Alert {
        name: "ControlPlaneConnectorBootstrapFallbackSuspectedHigh",
        presumes: Class::C14,
        says: "treat it as a likely loss of the durable identity until proven otherwise",
        source: RUNBOOK,
    },
    Alert {
        name: "ControlPlaneTunnelHeartbeatTimeoutsHigh",
        presumes: Class::C7,
        says: "follow the reconnect-failure branch first",
        source: RUNBOOK,
    },
    Alert {
        name: "cp_tunnel_heartbeat_timeouts_total",
        presumes: Class::C7,
        says: "the metric behind the heartbeat alert: a reconnect failure while it rises",
        source: "connector runbook, normal reconnect failure, common signals",
    },
    Alert {
        name: "SandboxConnectorCrashLoopHigh",
        presumes: Class::C13,
        says: "confirm whether the sandbox still reports ready: then it is identity loss or invalid configuration",
        source: RUNBOOK,
    },
    Alert {
        name: "SandboxConnectorCrashLoopBackOffCritical",
        presumes: Class::C13,
        says: "investigate the logs at once and validate the storage mount before retrying",
        source: RUNBOOK,
    },
];

/// The alert of that name, whatever its case.
#[must_use]
pub fn alert(name: &str) -> Option<&'static Alert> {
    ALERTS.iter().find(|alert| alert.name.eq_ignore_ascii_case(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_is_found_whatever_its_case() {
        for known in ALERTS {
            assert_eq!(alert(&known.name.to_uppercase()).map(|a| a.name), Some(known.name));
            assert!(!known.says.is_empty() && !known.source.is_empty());
        }
        assert!(alert("ControlPlaneConnectorBootstrapFallback").is_none());
    }
}
