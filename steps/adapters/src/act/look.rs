//! Steps that only look: what is wrong, whether it came back, whether all of it holds.

use std::time::{Duration, Instant};

use recover_steps::{AwaitOnline, Awaited, Loss, Observed, Validate, Validated};

use super::evidence::evidence;
use crate::authority::{Failure, Status};
use crate::connector::{Connector, Witnessed};
use crate::redact;
use crate::storage::{Identity, Looked};
use crate::trouble::Trouble;

/// How long `online` may outlive the connector that was, before it is a contradiction.
const STALE_WITHIN: Duration = Duration::from_secs(8);
const POLL_FIRST: Duration = Duration::from_millis(100);
const POLL_MOST: Duration = Duration::from_secs(1);

/// For how long a connector that was seen online may be seen as something else before that counts.
const FLAPS_WITHIN: Duration = Duration::from_secs(5);

/// A poll that becomes slower.
#[derive(Debug)]
pub(super) struct Poll(Duration);

impl Poll {
    pub(super) const fn new() -> Self {
        Self(POLL_FIRST)
    }

    pub(super) async fn pause(&mut self) {
        self.pause_until(None).await;
    }

    /// Pauses, but not beyond a time at which there is a last look.
    pub(super) async fn pause_until(&mut self, last: Option<Instant>) {
        let left = last.map_or(POLL_MOST, |last| last.saturating_duration_since(Instant::now()));
        tokio::time::sleep(self.0.min(left)).await;
        self.0 = (self.0 * 3 / 2).min(POLL_MOST);
    }
}

impl Connector {
    pub(crate) async fn observe(&self) -> Result<Witnessed<Observed>, Trouble> {
        let until = Instant::now() + STALE_WITHIN;
        let mut poll = Poll::new();
        loop {
            let told = self.authority.status().await.map_err(Failure::asking)?;
            let on_disk = self.storage.identity().await;
            // `online` is said for a while after the last heartbeat; without an identity on the storage it should pass.
            let stale = told.status.is_online() && told.status.serial() != serial(&on_disk);
            if stale && Instant::now() < until {
                poll.pause().await;
                continue;
            }
            let event = match (judge(&told.status, on_disk, stale), self.workload.running().await?) {
                (Observed::Lost(loss), running) => Observed::Lost(Loss { running, ..loss }),
                (Observed::Usable { status, online, serial, last_seen, running: _ }, running) => {
                    Observed::Usable { status, online, serial, running, last_seen }
                }
                (event @ (Observed::NeverPaired { .. } | Observed::Unclear { .. }), _) => event,
            };
            return Ok(Witnessed { event, evidence: vec![evidence("status before", &told.text, self.known())] });
        }
    }

    pub(crate) async fn await_online(&self, step: &AwaitOnline) -> Result<Awaited, Trouble> {
        let begun = Instant::now();
        let (within, observe) = (Duration::from_millis(step.within_ms), Duration::from_millis(step.observe_ms));
        let mut poll = Poll::new();
        let mut since: Option<Instant> = None;
        let mut first_seen: Option<Option<String>> = None;
        loop {
            let (told, shown) = match self.authority.status().await {
                Ok(told) => (Some(told.status), String::new()),
                Err(failure @ (Failure::Denied { .. } | Failure::Redirected { .. } | Failure::Forbidden(_))) => {
                    return Err(failure.asking());
                }
                Err(failure) => (None, failure.text()),
            };
            let last = if let Some(status) = told {
                let first = first_seen.get_or_insert_with(|| status.last_seen.clone());
                // A heartbeat that came while we watched: `online` may otherwise still speak of the life before.
                let fresh = status.last_seen.is_none() || *first != status.last_seen;
                match self.missing(&status, &step.serial, Some(&step.instance)).await? {
                    None if fresh => {
                        let since = since.get_or_insert_with(Instant::now);
                        if since.elapsed() >= observe {
                            return Ok(Awaited::Online { serial: step.serial.clone() });
                        }
                        String::new()
                    }
                    None => {
                        since = None;
                        "online, without a heartbeat since".to_owned()
                    }
                    Some(why) => {
                        since = None;
                        why
                    }
                }
            } else {
                since = None;
                shown
            };
            if since.is_none() && begun.elapsed() >= within {
                return Ok(Awaited::NotOnline { status: self.known().line(&last) });
            }
            // The last look is when it was watched long enough, and not a whole pause later.
            poll.pause_until(since.map(|since| since + observe)).await;
        }
    }

    pub(crate) async fn validate(&self, step: &Validate) -> Result<Witnessed<Validated>, Trouble> {
        let until = Instant::now() + FLAPS_WITHIN;
        let mut poll = Poll::new();
        let (told, missing) = loop {
            let told = self.authority.status().await.map_err(Failure::asking)?;
            let missing = self.missing(&told.status, &step.serial, Some(&step.instance)).await?;
            // One heartbeat that is late on a busy host is no recovery that failed; whatever else is wrong is said at once.
            let flaps = !told.status.is_online() && self.workload.running().await?.as_ref() == Some(&step.instance);
            if missing.is_none() || !flaps || Instant::now() >= until {
                break (told, missing);
            }
            poll.pause_until(Some(until)).await;
        };
        let invalid = |why: String| Validated::Invalid { why: self.known().line(&why) };
        let event = if let Some(why) = missing {
            invalid(why)
        } else if let Some(place) = self.workload.token_in_sight().await? {
            invalid(format!("a token is still within its sight: {place}"))
        } else {
            match self.storage.identity().await {
                Looked::There(identity) => agree(&told.status, &identity)
                    .map_or_else(|| Validated::Validated { fingerprint: identity.fingerprint() }, invalid),
                Looked::Absent | Looked::Unreadable(_) => {
                    invalid("its identity vanished while it was validated".into())
                }
            }
        };
        Ok(Witnessed { event, evidence: vec![evidence("status at validation", &told.text, self.known())] })
    }

    /// What is missing to being online, in this life, with this identity on the storage.
    async fn missing(
        &self,
        status: &Status,
        serial: &str,
        instance: Option<&recover_steps::Instance>,
    ) -> Result<Option<String>, Trouble> {
        let running = self.workload.running().await?;
        Ok(if !status.is_online() {
            Some(match self.storage.identity().await {
                // What a person must know to tell a lost identity from a slow start.
                Looked::Absent => format!("{}, and no identity is on its storage", status.status),
                Looked::There(_) | Looked::Unreadable(_) => status.status.clone(),
            })
        } else if status.serial() != Some(serial) {
            Some(format!("{} with identity {}, not {serial}", status.status, status.serial().unwrap_or("none")))
        } else if running.as_ref() != instance {
            Some(match running {
                Some(_) => "another life of the workload runs".into(),
                None => "the workload does not run".into(),
            })
        } else {
            match self.storage.identity().await {
                Looked::There(identity) if identity.serial == serial => None,
                Looked::There(identity) => {
                    Some(format!("identity {} is on the storage, not {serial}", identity.serial))
                }
                Looked::Absent => Some("the identity is not on the storage".into()),
                Looked::Unreadable(why) => Some(format!("the identity on the storage cannot be read: {why}")),
            }
        })
    }
}

fn serial(looked: &Looked) -> Option<&str> {
    match looked {
        Looked::There(identity) => Some(&identity.serial),
        Looked::Absent | Looked::Unreadable(_) => None,
    }
}

/// Where both sides name a fingerprint, it must be the same one.
pub(crate) fn agree(status: &Status, identity: &Identity) -> Option<String> {
    let issued = status.identity.as_ref().and_then(|i| i.fingerprint.as_deref());
    match (issued, identity.own_fingerprint.as_deref()) {
        (Some(issued), Some(own)) if issued != own => {
            Some(format!("the identity on the storage has fingerprint {own}, and the authority issued {issued}"))
        }
        (_, _) => None,
    }
}

fn judge(status: &Status, on_disk: Looked, stale: bool) -> Observed {
    let said = status.status.clone();
    let unclear = |why: String| Observed::Unclear { why: redact::line(&why) };
    let Some(epoch) = status.serial() else {
        return if status.paired_before {
            unclear("the authority says that it paired before and names no identity".into())
        } else if let Some(found) = serial(&on_disk) {
            unclear(format!("identity {found} is on the storage, and the authority never issued one"))
        } else {
            Observed::NeverPaired { status: said }
        };
    };
    if !status.paired_before {
        return unclear(format!("the authority names identity {epoch} and says that it never paired"));
    }
    match on_disk {
        Looked::Unreadable(why) => unclear(format!("the identity on the storage cannot be read: {why}")),
        Looked::There(identity) if identity.serial == epoch && identity.dead.is_some() && !status.is_online() => {
            let foreign = Some(redact::line(&identity.shown()));
            Observed::Lost(Loss { epoch: epoch.to_owned(), running: None, status: said, foreign })
        }
        Looked::There(identity) if identity.serial == epoch => match agree(status, &identity) {
            None => Observed::Usable {
                online: status.is_online(),
                status: said,
                serial: epoch.to_owned(),
                running: None,
                last_seen: status.last_seen.clone(),
            },
            Some(why) => unclear(why),
        },
        Looked::Absent | Looked::There(_) if stale => {
            unclear(format!("it is online with identity {epoch}, which is not on the storage: is this its storage?"))
        }
        Looked::Absent => Observed::Lost(Loss { epoch: epoch.to_owned(), running: None, status: said, foreign: None }),
        Looked::There(other) => {
            Observed::Lost(Loss { epoch: epoch.to_owned(), running: None, status: said, foreign: Some(other.serial) })
        }
    }
}
