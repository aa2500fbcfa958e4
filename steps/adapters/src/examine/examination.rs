//! One examination: each thing that can be read, within its limits of time and size.

use std::time::Duration;

use recover_engine::Millis;
use recover_steps::examined::{
    AgentStatus, AlertSeen, Attachment, IdentitySeen, Look, Observations, RightsSeen, Standing, StorageSeen, TokenFate,
    TokenSeen,
};

use super::reach;
use crate::act::agree;
use crate::authority::{AuditEvent, Authority, Failure, Status, Token, TokenState};
use crate::connector::Connector;
use crate::storage::{Identity, Looked};
use crate::time;

/// So much of a log is shown and looked through, and no more of a line.
const LINES_MOST: usize = 200;
const LINE_MOST: usize = 500;
/// Refused enrolments count that are not older than this, unless somebody says since when.
const LATELY_MS: i64 = 600_000;
/// Listings of many pages come to an end.
const LISTED_WITHIN: Duration = Duration::from_secs(20);

/// What an examination is given besides the connector.
#[derive(Clone, Debug, Default)]
pub struct Examination {
    /// The time.
    pub now: Millis,
    /// How far back log and audit are looked at.
    pub since: Option<Millis>,
    /// A log from elsewhere, with where it is from, in place of the workload's own.
    pub log: Option<(String, String)>,
    /// Alerts that are said to be active.
    pub alerts: Vec<AlertSeen>,
}

impl Connector {
    /// Reads what can be read. Bounded in time and size; nothing is changed anywhere.
    pub async fn examine(&self, given: &Examination) -> Observations {
        let known = self.authority.known();
        let since = given.since.unwrap_or(Millis(given.now.0.saturating_sub(LATELY_MS)));
        let status = async { self.authority.status().await.map(|told| told.status) };
        let (reach, standing, tokens, audit) = match &self.authority {
            Authority::Http(http) => {
                let reach = reach::reach(http, given.now).await;
                let open = reach::is_open(&reach);
                let from = |path: &str| format!("GET {}/v1/connectors/{}{path}", http.origin(), http.agent());
                let audit = self.asked(open, from("/audit"), http.audit(&time::format(since))).await;
                let standing = self.asked(open, from(""), status).await;
                let tokens = self.asked(open, from("/tokens"), http.tokens()).await;
                (reach, standing, tokens, audit)
            }
            Authority::Spire(spire) => {
                let reach = reach::reach_socket(spire).await;
                let open = reach::is_open(&reach);
                let standing = self.asked(open, format!("agents and entries at {}", spire.place()), status).await;
                let (place, unseen) = (spire.place(), "a SPIRE server lists no join tokens, used or not");
                let elsewhere = "a SPIRE server notes refused enrolments in its log alone";
                (reach, standing, Look::not_read(place.clone(), unseen), Look::not_read(place, elsewhere))
            }
        };
        let serial = standing.value().and_then(|s| s.serial().map(str::to_owned));
        let newest = audit.value().and_then(|events| events.iter().rfind(|e| refused(e)));
        let last_error = newest.map(|event| known.line(&format!("{} {}", event.kind(), event.detail())));
        let recent = |events: Vec<AuditEvent>| {
            let counted = events.iter().filter(|e| refused(e) && e.at().is_none_or(|at| at.0 >= since.0)).count();
            u32::try_from(counted).unwrap_or(u32::MAX)
        };
        let alerts =
            given.alerts.iter().map(|alert| AlertSeen { name: known.line(&alert.name), from: alert.from.clone() });
        let storage = self.storage.seen(serial.as_deref()).await;
        let identity = self.identity(given.now, standing.value(), &storage).await;
        Observations {
            agent: match &self.authority {
                Authority::Http(http) => http.agent().to_owned(),
                Authority::Spire(spire) => spire.alias().to_owned(),
            },
            standing: map(standing, |status| Standing {
                last_seen: status.last_seen.as_deref().map(|at| known.line(at)),
                ..stand(&status, last_error)
            }),
            tokens: map(tokens, |all| all.iter().map(token).collect()),
            refusals: map(audit, recent),
            identity,
            storage,
            workload: self.workload.seen().await,
            reach,
            log: self.log(given).await,
            alerts: alerts.collect(),
        }
    }

    /// What the authority says that our credential may do. Not among the observations: it tells nothing of what is wrong.
    pub async fn rights(&self) -> Look<RightsSeen> {
        match &self.authority {
            Authority::Http(http) => self.asked(true, format!("rights at {}", http.origin()), http.rights()).await,
            Authority::Spire(spire) => {
                self.asked(true, format!("what {} lets do", spire.place()), spire.rights()).await
            }
        }
    }

    /// What the authority answered, as a look.
    async fn asked<T>(&self, open: bool, from: String, asking: impl Future<Output = Result<T, Failure>>) -> Look<T> {
        if !open {
            return Look::not_read(from, "not asked: the control plane cannot be reached");
        }
        match tokio::time::timeout(LISTED_WITHIN, asking).await {
            Ok(Ok(told)) => Look::seen(from, told),
            Ok(Err(failure)) => Look::not_read(from, self.authority.known().line(&failure.text())),
            Err(_) => Look::not_read(from, format!("it did not end within {} s", LISTED_WITHIN.as_secs())),
        }
    }

    async fn identity(&self, now: Millis, status: Option<&Status>, storage: &Look<StorageSeen>) -> Look<IdentitySeen> {
        let from = self.storage.place();
        let known = self.authority.known();
        if let Some(why) = self.storage.blind() {
            return Look::not_read(from, why);
        }
        let disputed = |identity: &Identity| {
            // Of another serial it is another identity, and no wrong copy of this one.
            let status = status.filter(|status| status.serial() == Some(identity.serial.as_str()))?;
            agree(status, identity)
        };
        match self.storage.identity().await {
            Looked::There(identity) if disputed(&identity).is_some() => {
                let why = known.line(&disputed(&identity).unwrap_or_default());
                Look::seen(from, IdentitySeen::Damaged { why })
            }
            Looked::There(identity)
                if identity.not_after.is_none_or(|end| end.0 > now.0) && identity.dead.is_some() =>
            {
                let why = known.line(&identity.dead.unwrap_or_default());
                Look::seen(from, IdentitySeen::Damaged { why })
            }
            Looked::There(identity) => Look::seen(
                from,
                match identity.not_after {
                    Some(end) if end.0 <= now.0 => {
                        IdentitySeen::Expired { serial: known.line(&identity.serial), since: time::format(end) }
                    }
                    Some(_) | None => IdentitySeen::Usable { serial: known.line(&identity.serial) },
                },
            ),
            Looked::Absent => Look::seen(from, IdentitySeen::Absent),
            Looked::Unreadable(why) => {
                let denied = storage.value().is_some_and(|s| s.attachment == Attachment::Denied);
                let why = known.line(&why);
                if denied || why.contains("ermission denied") {
                    Look::seen(from, IdentitySeen::Denied { why })
                } else if why.contains("os error") || storage.value().is_none() {
                    // The disk, or whoever has it, did not give it: that says nothing of what it is.
                    Look::not_read(from, why)
                } else {
                    Look::seen(from, IdentitySeen::Damaged { why })
                }
            }
        }
    }

    async fn log(&self, given: &Examination) -> Look<Vec<String>> {
        let (from, raw) = match &given.log {
            Some((from, text)) => (from.clone(), Ok(text.clone())),
            None => (self.workload.log_place(), self.workload.log_tail().await),
        };
        match raw {
            Ok(raw) => {
                // All of it first: what spans lines, as a key in PEM does, is taken out whole.
                let text = self.authority.known().text(&raw);
                Look::seen(from, lines(&text, given.since))
            }
            Err(why) => Look::not_read(from, self.authority.known().line(&why)),
        }
    }
}

fn map<T, U>(look: Look<T>, change: impl FnOnce(T) -> U) -> Look<U> {
    use recover_steps::examined::Found;
    match look.found {
        Found::Seen(value) => Look::seen(look.from, change(value)),
        Found::NotRead(why) => Look::not_read(look.from, why),
    }
}

/// The audit's words for an enrolment that was refused.
fn refused(event: &AuditEvent) -> bool {
    matches!(event.kind(), "gateway.enrollment_failed" | "agent.pairing_failed")
}

fn stand(status: &Status, last_error: Option<String>) -> Standing {
    Standing {
        // The contract's five words, which were checked when it was read.
        status: match status.status.as_str() {
            "online" => AgentStatus::Online,
            "degraded" => AgentStatus::Degraded,
            "needs_recovery" => AgentStatus::NeedsRecovery,
            "never_paired" => AgentStatus::NeverPaired,
            _ => AgentStatus::Offline,
        },
        paired_before: status.paired_before,
        serial: status.serial().map(str::to_owned),
        last_seen: None,
        last_error,
    }
}

fn token(token: &Token) -> TokenSeen {
    let fate = match token.state {
        TokenState::Live => TokenFate::Live,
        TokenState::Consumed => TokenFate::Consumed,
        TokenState::Revoked => TokenFate::Revoked,
        TokenState::Expired => TokenFate::Expired,
    };
    TokenSeen { fate, paired: token.paired_serial.is_some() }
}

/// The last lines, none longer than anyone reads, none older than asked for. A line without a time is as old as the one before.
fn lines(text: &str, since: Option<Millis>) -> Vec<String> {
    let mut fresh = true;
    let kept = text.lines().filter(|line| {
        let stamp = line.split([' ', '\t']).next().and_then(time::parse);
        if let (Some(at), Some(since)) = (stamp, since) {
            fresh = at.0 >= since.0;
        }
        fresh
    });
    let mut kept: Vec<String> = kept.map(|line| line.chars().take(LINE_MOST).collect()).collect();
    let drop = kept.len().saturating_sub(LINES_MOST);
    kept.split_off(drop)
}

#[cfg(test)]
#[path = "tests.rs"]
mod tests;
