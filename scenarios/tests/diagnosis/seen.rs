//! Situations as observations: a whole one, and what is changed of it.

use recover_steps::Instance;
use recover_steps::examined::{
    AgentStatus, AlertSeen, Attachment, Handshake, Health, IdentitySeen, Lasting, Look, Observations, Reach, Reached,
    Sameness, Standing, StorageKind, StorageSeen, TokenFate, TokenSeen, WorkloadSeen,
};

/// A connector that paired, is offline, and has everything that it needs.
pub(crate) fn intact() -> Observations {
    Observations {
        agent: "edge-1".into(),
        standing: standing(AgentStatus::Offline, Some("s1")),
        tokens: Look::seen("tokens", vec![TokenSeen { fate: TokenFate::Consumed, paired: true }]),
        refusals: Look::seen("audit", 0),
        identity: Look::seen("identity", IdentitySeen::Usable { serial: "s1".into() }),
        storage: storage(StorageKind::Volume, |_| {}),
        workload: Look::seen("workload", WorkloadSeen::Running { instance: Instance("1".into()), restarts: None }),
        reach: Reach {
            dns: Look::seen("dns", Reached::Yes("192.0.2.1".into())),
            tcp: Look::seen("tcp", Reached::Yes("192.0.2.1:443".into())),
            tls: Look::seen("tls", Handshake::Trusted),
            health: Look::seen("health", Health::Well(None)),
        },
        log: Look::seen("log", Vec::new()),
        alerts: Vec::new(),
    }
}

/// One that never paired and has a token that would work.
pub(crate) fn fresh() -> Observations {
    let mut seen = intact();
    seen.standing = standing(AgentStatus::NeverPaired, None);
    seen.identity = Look::seen("identity", IdentitySeen::Absent);
    seen.tokens = token(TokenFate::Live);
    seen
}

/// One that paired and has nothing on its storage.
pub(crate) fn lost(kind: StorageKind, change: impl FnOnce(&mut StorageSeen)) -> Observations {
    let mut seen = intact();
    seen.standing = standing(AgentStatus::NeedsRecovery, Some("s1"));
    seen.identity = Look::seen("identity", IdentitySeen::Absent);
    seen.storage = storage(kind, change);
    seen
}

pub(crate) fn standing(status: AgentStatus, serial: Option<&str>) -> Look<Standing> {
    let serial = serial.map(str::to_owned);
    Look::seen(
        "status",
        Standing { status, paired_before: serial.is_some(), serial, last_seen: None, last_error: None },
    )
}

pub(crate) fn token(fate: TokenFate) -> Look<Vec<TokenSeen>> {
    Look::seen("tokens", vec![TokenSeen { fate, paired: false }])
}

pub(crate) fn storage(kind: StorageKind, change: impl FnOnce(&mut StorageSeen)) -> Look<StorageSeen> {
    let mut seen = StorageSeen {
        kind,
        attachment: Attachment::Attached,
        lasting: Lasting::Durable,
        on: "ext4 on /dev/sda1".into(),
        original: Sameness::Untold,
        elsewhere: None,
    };
    change(&mut seen);
    Look::seen("storage", seen)
}

pub(crate) fn log(lines: &[&str]) -> Look<Vec<String>> {
    Look::seen("log", lines.iter().map(|line| (*line).to_owned()).collect())
}

pub(crate) fn alerted(mut seen: Observations, name: &str) -> Observations {
    seen.alerts = vec![AlertSeen { name: name.into(), from: "--alert".into() }];
    seen
}
