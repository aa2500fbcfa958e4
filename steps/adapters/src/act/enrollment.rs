//! Why a connector never paired, as far as authority, clock, trust and log tell.

use recover_engine::{Act, Millis};
use recover_steps::{Enrollment, Installed, Unpaired};

use super::evidence::evidence;
use crate::authority::{AuditEvent, Authority, Failure, Http, Token, TokenState, now};
use crate::connector::{Connector, Witnessed};
use crate::storage::Looked;
use crate::time;
use crate::trouble::{Trouble, code};

/// A clock that is so far off explains tokens and certificates that are refused. The table's row C3.
const SKEW_MS: i64 = 30_000;
/// How far back the authority's audit is looked at for the reason of a refusal. Longer than any token works.
const AUDIT_MS: i64 = 7 * 24 * 3_600_000;
/// With these words a log says that the control plane's certificate is not trusted: Go's, OpenSSL's and rustls's.
const UNTRUSTED: [&str; 3] =
    ["certificate signed by unknown authority", "unable to get local issuer certificate", "unknownissuer"];

impl Connector {
    pub(crate) async fn inspect_enrollment(&self) -> Result<Witnessed<Enrollment>, Trouble> {
        let http = self.control_plane()?;
        let clock = http.health_and_time().await.map_err(Failure::asking)?;
        let told = http.status().await.map_err(Failure::asking)?;
        let tokens = http.tokens().await.map_err(Failure::asking)?;
        let now = now();
        let since = time::format(Millis(now.0.saturating_sub(AUDIT_MS)));
        let audit = http.audit(&since).await.map_err(Failure::asking)?;
        let log = self.workload.log_tail().await.unwrap_or_default();
        let on_disk = self.storage.identity().await;
        let running = self.workload.running().await?;
        let found = |why: String| Unpaired { why: self.known().line(&why), running: running.clone() };

        let event = if told.status.paired_before {
            match told.status.serial() {
                Some(serial) => Enrollment::Paired {
                    serial: serial.to_owned(),
                    there: matches!(&on_disk, Looked::There(identity) if identity.serial == serial),
                },
                None => Enrollment::Unclear { why: "it paired before, and the authority names no identity".into() },
            }
        } else if let Looked::There(identity) = &on_disk {
            let why = format!("identity {} is on the storage, and the authority never issued one", identity.serial);
            Enrollment::Unclear { why: self.known().line(&why) }
        } else if let Some(off_ms) =
            clock.map(|theirs| theirs.0.saturating_sub(now.0)).filter(|off| off.abs() >= SKEW_MS)
        {
            Enrollment::Skewed { off_ms }
        } else if let Some(why) = self.untrusted(&log).await? {
            Enrollment::Untrusted { found: found(why), pinned: self.trust.is_some() }
        } else {
            by_tokens(&tokens, &audit, found)
        };
        let mut shown = vec![evidence("status before", &told.text, self.known())];
        shown.push(evidence("log before", &log, self.known()));
        Ok(Witnessed { event, evidence: shown })
    }

    /// The authority, where a first enrolment can be made there.
    fn control_plane(&self) -> Result<&Http, Trouble> {
        match &self.authority {
            Authority::Http(http) => Ok(http),
            Authority::Spire(_) => Err(Trouble::refused(
                code::AUTHORITY,
                "the first enrolment of an agent of SPIRE is made by hand: `spire-server token generate -spiffeID ALIAS`, and start it with that",
            )),
        }
    }

    /// Why the connector does not trust the control plane, if it does not. With a bundle that is configured, the connection is
    /// tried with that bundle alone; else the connector's own log is believed.
    async fn untrusted(&self, log: &str) -> Result<Option<String>, Trouble> {
        let Some(trust) = &self.trust else { return Ok(said_untrusted(log)) };
        if let Some(why) = trust.wrong()? {
            return Ok(Some(why));
        }
        match self.control_plane()?.health_trusting(trust.bundle()).await {
            Ok(()) => Ok(None),
            Err(Failure::Untrusted(why)) => Ok(Some(why)),
            Err(failure) => Err(failure.asking()),
        }
    }

    pub(crate) async fn install_trust(&self, act: &Act) -> Result<Installed, Trouble> {
        let Some(trust) = &self.trust else {
            return Err(Trouble::refused(code::CERTIFICATE, "no CA bundle is configured for this target (`trust`)"));
        };
        // What would not help is not installed.
        match self.control_plane()?.health_trusting(trust.source()).await {
            Ok(()) => {}
            Err(Failure::Untrusted(why)) => {
                return Err(Trouble::refused(
                    code::CERTIFICATE,
                    format!("the control plane is not trusted with the pinned bundle either: {why}"),
                ));
            }
            Err(failure) => return Err(failure.asking()),
        }
        let _stopped = self.stopped().await?;
        Ok(Installed::Installed { kept: trust.install(&act.run.to_string())? })
    }
}

/// What became of the tokens. One that works comes first, since presenting another beside it would leave it to somebody.
fn by_tokens(tokens: &[Token], audit: &[AuditEvent], found: impl Fn(String) -> Unpaired) -> Enrollment {
    if let Some(live) = tokens.iter().rfind(|token| token.state == TokenState::Live) {
        return Enrollment::Outstanding(found(format!("token {} works", live.accessor)));
    }
    // What a run of ours took back tells nothing of who wants what.
    let own = |token: &Token| token.state == TokenState::Revoked && token.label.starts_with("recover-run_");
    match tokens.iter().rfind(|token| !own(token)) {
        None => Enrollment::Expired(found("it has no enrollment token".into())),
        Some(token) => {
            let which = format!("token {}", token.accessor);
            match token.state {
                TokenState::Expired | TokenState::Live => Enrollment::Expired(found(format!("{which} has expired"))),
                TokenState::Revoked => Enrollment::Revoked(found(format!("{which} was revoked"))),
                TokenState::Consumed => {
                    let why = audit.iter().rfind(|event| event.kind() == "agent.pairing_failed");
                    let why = why.map(|event| format!(": {}", event.detail())).unwrap_or_default();
                    Enrollment::Denied(found(format!("{which} was presented and no identity was issued{why}")))
                }
            }
        }
    }
}

/// The last line that tells of trust or of success, if it tells of missing trust.
pub(super) fn said_untrusted(log: &str) -> Option<String> {
    let tells = |line: &str| {
        let lower = line.to_lowercase();
        let untrusted = UNTRUSTED.iter().any(|words| lower.contains(words));
        (untrusted || lower.contains("pairing completed")).then_some(untrusted)
    };
    let (line, untrusted) = log.lines().rev().find_map(|line| tells(line).map(|untrusted| (line, untrusted)))?;
    untrusted.then(|| format!("its log says: {line}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn tokens(of: &[(&str, &str)]) -> Vec<Token> {
        let token = |(at, (label, state)): (usize, &(&str, &str))| {
            let value = json!({ "accessor": format!("acc-{at}"), "label": label, "state": state, "expires_at": "2099-01-01T00:00:00Z" });
            serde_json::from_value(value).unwrap()
        };
        of.iter().enumerate().map(token).collect()
    }

    fn told(of: &[(&str, &str)]) -> (&'static str, String) {
        let audit: Vec<AuditEvent> = serde_json::from_value(json!([
            { "at": "2026-11-22T03:00:00Z", "type": "agent.pairing_failed", "detail": "CSR: wrong name" },
            { "at": "2026-11-22T03:00:01Z", "type": "gateway.enrollment_failed" },
        ]))
        .unwrap();
        let found = |why| Unpaired { why, running: None };
        match by_tokens(&tokens(of), &audit, found) {
            Enrollment::Outstanding(found) => ("outstanding", found.why),
            Enrollment::Expired(found) => ("expired", found.why),
            Enrollment::Revoked(found) => ("revoked", found.why),
            Enrollment::Denied(found) => ("denied", found.why),
            other @ (Enrollment::Paired { .. }
            | Enrollment::Skewed { .. }
            | Enrollment::Untrusted { .. }
            | Enrollment::Unclear { .. }) => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_newest_token_tells_and_one_that_works_comes_first() {
        assert_eq!(told(&[]).0, "expired");
        assert_eq!(
            told(&[("onboarding", "revoked"), ("onboarding", "expired")]),
            ("expired", "token acc-1 has expired".into())
        );
        assert_eq!(told(&[("onboarding", "expired"), ("onboarding", "revoked")]).0, "revoked");
        assert_eq!(
            told(&[("onboarding", "live"), ("onboarding", "revoked")]),
            ("outstanding", "token acc-0 works".into())
        );
        let (denied, why) = told(&[("onboarding", "consumed")]);
        assert_eq!((denied, why.contains("CSR: wrong name")), ("denied", true), "{why}");
    }

    #[test]
    fn what_a_run_took_back_is_nobodys_word() {
        assert_eq!(told(&[("onboarding", "expired"), ("recover-run_1-1", "revoked")]).0, "expired");
        assert_eq!(told(&[("onboarding", "revoked"), ("recover-run_1-1", "revoked")]).0, "revoked");
        assert_eq!(told(&[("recover-run_1-1", "consumed")]).0, "denied", "that attempt was refused");
    }

    #[test]
    fn a_log_is_believed_up_to_its_last_word() {
        let go = "tls: failed to verify certificate: x509: certificate signed by unknown authority";
        assert!(said_untrusted(&format!("started\n{go}\nnoise")).unwrap().contains("x509"));
        assert_eq!(said_untrusted(&format!("{go}\npairing completed serial=s1")), None);
        assert_eq!(said_untrusted("all is well"), None);
    }
}
