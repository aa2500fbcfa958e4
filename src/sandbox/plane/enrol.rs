//! Enrolment: minting, revoking and presenting tokens, and what keeps an identity alive.

use recover_engine::{Digest, Millis};
use serde_json::json;

use super::agent::{Agent, AuditEvent, End, Identity, Token};
use super::{About, ControlPlane, Effect, Now, Reply, Revoke};
use crate::sandbox::key;

/// The longest life of a token. Seconds.
pub(crate) const TTL_S_MAX: u64 = 86_400;
const LABEL_LEN_MAX: usize = 128;

fn token_invalid() -> Reply {
    Reply::error(401, "ENROLLMENT_TOKEN_INVALID", "the enrollment token is missing, unknown, used, revoked or expired")
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Agent {
    pub(super) fn mint(&mut self, now: Now, label: &str, ttl_s: u64) -> Reply {
        if label.is_empty() || label.len() > LABEL_LEN_MAX {
            return Reply::error(400, "LABEL_INVALID", "a label has 1 to 128 bytes");
        }
        if ttl_s == 0 || ttl_s > TTL_S_MAX {
            return Reply::error(400, "TTL_INVALID", "a token lives 1 to 86400 seconds");
        }
        if self.closed_labels.contains(label) {
            return Reply::error(409, "LABEL_CLOSED", "the label was revoked: no token is minted under it any more");
        }
        let (accessor, secret) = now.entropy.split_at(8);
        let secret = format!("rst_{}", hex(secret));
        let token = Token {
            accessor: format!("acc_{}", hex(accessor)),
            label: label.to_owned(),
            digest: Digest::of(secret.as_bytes()),
            created_at: now.at,
            expires_at: now.at.plus(ttl_s.saturating_mul(1_000)),
            end: None,
        };
        let about = About { accessor: Some(token.accessor.clone()), label: Some(label.to_owned()), serial: None };
        let event = AuditEvent::new(now.at, "token.minted");
        self.audit.push(AuditEvent { accessor: about.accessor.clone(), ..event });
        let mut body = token.listed(now.at);
        body["secret"] = json!(secret);
        self.tokens.push(token);
        Reply { status: 201, ..Reply::ok(body) }.with(Effect::Minted, about)
    }

    pub(super) fn revoke(&mut self, at: Millis, what: &Revoke) -> Reply {
        let mut about = About::default();
        let closed = match what {
            Revoke::Accessor(accessor) => {
                about.accessor = Some(accessor.clone());
                false
            }
            Revoke::Label(label) => {
                about.label = Some(label.clone());
                self.closed_labels.insert(label.clone())
            }
        };
        let mut revoked = 0;
        for token in self.tokens.iter_mut().filter(|token| token.is_live(at)) {
            let named = match what {
                Revoke::Accessor(accessor) => token.accessor == *accessor,
                Revoke::Label(label) => token.label == *label,
            };
            if named {
                token.end = Some(End::Revoked);
                revoked += 1;
                let accessor = Some(token.accessor.clone());
                self.audit.push(AuditEvent { accessor, ..AuditEvent::new(at, "token.revoked") });
            }
        }
        let effect = match (revoked, closed) {
            (0, false) => Effect::None,
            (0, true) => Effect::LabelClosed,
            (_, _) => Effect::Revoked,
        };
        Reply::ok(json!({ "revoked": revoked })).with(effect, about)
    }

    pub(super) fn heartbeat(&mut self, at: Millis, serial: &str, proof: &str) -> Reply {
        let about = About { serial: Some(serial.to_owned()), ..About::default() };
        let known = self.current().is_some_and(|id| id.serial == serial && key::proves(proof, &id.public_key));
        if !known {
            let reply = Reply::error(401, "IDENTITY_UNKNOWN", "this is not the identity that was issued last");
            return reply.with(Effect::HeartbeatRefused, about);
        }
        self.last_seen = Some(at);
        self.needs_recovery = false;
        let reply = Reply::ok(json!({ "status": "online" }));
        if self.online {
            return reply;
        }
        self.online = true;
        self.audit.push(AuditEvent { serial: about.serial.clone(), ..AuditEvent::new(at, "agent.online") });
        reply.with(Effect::Online, about)
    }

    pub(super) fn bootstrap(&mut self, at: Millis) -> Reply {
        let detail = Some("401 ENROLLMENT_TOKEN_INVALID: bootstrap without a token".to_owned());
        self.audit.push(AuditEvent { detail, ..AuditEvent::new(at, "gateway.enrollment_failed") });
        if let Some(serial) = self.current().map(|identity| identity.serial.clone())
            && !self.needs_recovery
        {
            self.needs_recovery = true;
            self.audit.push(AuditEvent { serial: Some(serial), ..AuditEvent::new(at, "agent.needs_recovery") });
        }
        token_invalid().with(Effect::BootstrapRefused, About::default())
    }
}

impl ControlPlane {
    /// Consuming the token and issuing the identity are one change of state: there is no moment between them.
    pub(super) fn pair(&mut self, now: Now, agent: &str, secret: &str, public_key: &str) -> Reply {
        let digest = Digest::of(secret.as_bytes());
        // Looked for under every agent: to present a token anywhere is to use it up.
        let found = self.agents.iter_mut().find_map(|(owner, state)| {
            let token = state.tokens.iter_mut().find(|token| token.digest == digest && token.is_live(now.at))?;
            Some((owner == agent, token))
        });
        let Some((own, token)) = found else {
            if let Some(state) = self.agents.get_mut(agent) {
                let detail = Some("401 ENROLLMENT_TOKEN_INVALID".to_owned());
                state.audit.push(AuditEvent { detail, ..AuditEvent::new(now.at, "gateway.enrollment_failed") });
            }
            return token_invalid().with(Effect::PairRefused, About::default());
        };
        let mut about =
            About { accessor: Some(token.accessor.clone()), label: Some(token.label.clone()), serial: None };
        let fingerprint = key::fingerprint(public_key).filter(|_| own);
        if let Some(fingerprint) = fingerprint {
            self.issued += 1;
            let serial = format!("{:06}-{}", self.issued, hex(now.entropy.get(..6).unwrap_or_default()));
            token.end = Some(End::Consumed { at: now.at, serial: Some(serial.clone()) });
            about.serial = Some(serial.clone());
            let identity = Identity { serial, public_key: public_key.to_owned(), fingerprint, issued_at: now.at };
            let reply = Reply::ok(identity.issued(agent));
            let event = AuditEvent::new(now.at, "agent.pairing_completed");
            let event = AuditEvent { accessor: about.accessor.clone(), serial: about.serial.clone(), ..event };
            if let Some(state) = self.agents.get_mut(agent) {
                state.identities.push(identity);
                state.audit.push(event);
                // A heartbeat of the identity before this one says nothing about this one.
                state.online = false;
            }
            return reply.with(Effect::Paired, about);
        }
        token.end = Some(End::Consumed { at: now.at, serial: None });
        let detail = Some(if own { "the public key is not one" } else { "the token is another agent's" }.to_owned());
        let event = AuditEvent { accessor: about.accessor.clone(), ..AuditEvent::new(now.at, "agent.pairing_failed") };
        if let Some(state) = self.agents.get_mut(agent) {
            state.audit.push(AuditEvent { detail, ..event });
        }
        let reply = if own {
            Reply::error(400, "PUBLIC_KEY_INVALID", "the public key is not 64 hexadecimal digits; the token is used up")
        } else {
            token_invalid()
        };
        reply.with(Effect::PairRefused, about)
    }

    pub(super) fn pair_result(&self, public_key: &str) -> Reply {
        let newest = |agent: &Agent| agent.identities.iter().rfind(|id| id.public_key == public_key).cloned();
        match self.agents.iter().find_map(|(name, agent)| newest(agent).map(|identity| identity.issued(name))) {
            Some(body) => Reply::ok(body),
            None => Reply::error(404, "PAIRING_UNKNOWN", "no identity was issued to this key"),
        }
    }
}
