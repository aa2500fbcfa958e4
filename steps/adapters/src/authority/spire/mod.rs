//! A SPIRE server: join tokens that we name ourselves, agents by their ids, and the entries that hang below them.
//!
//! A join token can be neither listed nor revoked: what it may still do is told by its time alone. The token is the last part of the id
//! of the agent that it enrolls, so that an id is as secret as its token until that is used. What is journaled is a digest of the id: it
//! names the token before, and the identity after.

mod channel;
mod entries;
mod wire;

use recover_engine::{Digest, Millis};
use recover_steps::examined::RightsSeen;
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::json;

use super::failure::Failure;
use super::http::Told;
use super::model::{Issued, Status, Token, TokenState};
use crate::config::SpireConfig;
use crate::facts::Facts;
use crate::known::Known;
use crate::time;
use channel::{CALL_WITHIN, Channel, code};
use wire::{
    Agent, AgentFilter, Agents, CreateJoinToken, HealthStatus, JoinToken, ListAgents, Nothing, OfAgent, SpiffeId,
    method,
};

const PAGE: i32 = 500;
/// A list of more pages than these does not end.
const PAGES_MOST: usize = 1_000;
const SERVING: i32 = 1;
/// How long after a token's end an attempt that was begun before it may still be carried out by the server.
const GRACE_MS: i64 = 2_000;

/// What was minted.
pub(crate) enum Asked {
    /// The server made it, and says when it stops working.
    Made(Millis),
    /// It was there already: the request before this one was carried out.
    There,
}

/// A SPIRE server and the agent that is meant there.
#[derive(Debug)]
pub(crate) struct Spire {
    server: Channel,
    agent: Channel,
    alias: SpiffeId,
    config: SpireConfig,
    known: Known,
}

impl Spire {
    pub(crate) fn new(config: SpireConfig) -> Result<Self, String> {
        Ok(Self {
            server: Channel::new(&config.socket, "spire-server"),
            agent: Channel::new(&config.agent_socket, "spire-agent"),
            alias: SpiffeId::parse(&config.alias).ok_or("the alias is no SPIFFE id")?,
            config,
            known: Known::default(),
        })
    }

    pub(crate) const fn known(&self) -> &Known {
        &self.known
    }

    /// The agent's stable name.
    pub(crate) fn alias(&self) -> &str {
        &self.config.alias
    }

    /// The server's socket, for people.
    pub(crate) fn place(&self) -> String {
        self.server.socket().display().to_string()
    }

    /// Who it is, for a baseline.
    pub(crate) fn facts(&self, facts: &mut Facts) {
        let mut note = |name: &str, value: String| facts.insert(format!("authority.{name}"), value);
        note("kind", "spire-join-token".into());
        note("trust_domain", self.config.trust_domain.clone());
        note("alias", self.config.alias.clone());
    }

    /// Whether the server says that it is well.
    pub(crate) async fn health(&self) -> Result<(), Failure> {
        let health: HealthStatus = self.server.call(method::HEALTH, &Nothing {}).await?;
        if health.status == SERVING { Ok(()) } else { Err(Failure::Unavailable("it says that it is not well".into())) }
    }

    /// Whether the agent serves: it does so once it has an identity and has spoken with its server. Whatever goes wrong is a no.
    async fn agent_serves(&self) -> bool {
        let asked = self.agent.call::<_, HealthStatus>(method::HEALTH, &Nothing {}).await;
        asked.is_ok_and(|health| health.status == SERVING)
    }

    /// What is known of the agent that has the alias.
    pub(crate) async fn status(&self) -> Result<Told, Failure> {
        let told = |status: &str, agent: Option<&SpiffeId>, expires_at: Option<i64>| {
            let serial = agent.map(|id| serial_of(&id.text()));
            let text = json!({ "alias": self.config.alias, "status": status, "agent": serial,
                "expires_at": expires_at.map(|s| time::format(seconds(s))) });
            let status = Status {
                status: status.to_owned(),
                paired_before: agent.is_some(),
                identity: serial.map(|serial| Issued { serial, fingerprint: None }),
                last_seen: None,
            };
            Ok(Told { status, text: text.to_string() })
        };
        let named = self.named().await?;
        let Some(newest) = named.last() else { return told("never_paired", None, None) };
        // The alias is given to the next one before the last is evicted, so the newest that is there is the one.
        for id in named.iter().rev() {
            let Some(agent) = self.agent(id).await? else { continue };
            if agent.banned {
                let hint =
                    "its agent is banned there, which somebody decided; lift the ban or evict it first".to_owned();
                return Err(Failure::Denied { status: code::PERMISSION_DENIED, code: None, hint });
            }
            let status = if seconds(agent.expires_at).0 <= now().0 {
                // Such an agent cannot attest again: a join token works once.
                "needs_recovery"
            } else if self.agent_serves().await {
                "online"
            } else {
                "offline"
            };
            return told(status, Some(id), Some(agent.expires_at));
        }
        told("needs_recovery", Some(newest), None)
    }

    /// What may be done over its socket: a server lets whoever reaches that do everything, and has no smaller right to ask for.
    pub(crate) async fn rights(&self) -> Result<RightsSeen, Failure> {
        self.named().await?;
        let why =
            "its server lets whoever reaches its socket do everything; a join token is not revoked, its time ends it";
        Ok(RightsSeen::Given { why: why.into() })
    }

    /// Asks for a token of this value, which nobody else has. Only where it surely was not used: asked for after that, it would work anew.
    pub(crate) async fn mint(&self, secret: &SecretString, ttl_s: u32) -> Result<Asked, Failure> {
        self.known.note(secret);
        let asked =
            CreateJoinToken { ttl: i32::try_from(ttl_s).unwrap_or(i32::MAX), token: secret.expose_secret().to_owned() };
        match self.server.call::<_, JoinToken>(method::MINT, &asked).await {
            Ok(made) if made.value == asked.token => Ok(Asked::Made(seconds(made.expires_at))),
            Ok(_) => Err(Failure::Lost("it made another token than the one that was asked for".into())),
            // In the words of its three databases.
            Err(Failure::Lost(why))
                if ["UNIQUE constraint", "duplicate key", "Duplicate entry"].iter().any(|said| why.contains(said)) =>
            {
                Ok(Asked::There)
            }
            Err(failure) => Err(failure),
        }
    }

    /// When a token that is asked for now will surely have stopped working.
    pub(crate) fn surely_over(ttl_s: u32) -> Millis {
        let call = i64::try_from(CALL_WITHIN.as_millis()).unwrap_or(i64::MAX);
        Millis(now().0.saturating_add(i64::from(ttl_s) * 1_000).saturating_add(call))
    }

    /// When a token was to end that is sealed with this end: [`Self::surely_over`] without the time of the call.
    pub(crate) fn asked_by(expires_at: Millis) -> Millis {
        let call = i64::try_from(CALL_WITHIN.as_millis()).unwrap_or(i64::MAX);
        Millis(expires_at.0.saturating_sub(call).saturating_sub(GRACE_MS))
    }

    /// How long a token may still work, in milliseconds; nothing once it surely does not.
    pub(crate) fn may_work_for(expires_at: Millis) -> Option<u64> {
        let left = expires_at.0.saturating_add(GRACE_MS).saturating_sub(now().0);
        u64::try_from(left).ok().filter(|left| *left > 0)
    }

    /// What can be said of a token: used where an agent came of it, over where its time is, and otherwise it may work.
    pub(crate) async fn token(&self, token: &recover_steps::Token) -> Result<Token, Failure> {
        let paired = self.agent_of(&token.accessor).await?.is_some();
        let state = match Self::may_work_for(token.expires_at) {
            _ if paired => TokenState::Consumed,
            Some(_) => TokenState::Live,
            None => TokenState::Expired,
        };
        Ok(Token {
            accessor: token.accessor.clone(),
            label: token.label.clone(),
            state,
            expires_at: time::format(token.expires_at),
            paired_serial: paired.then(|| token.accessor.clone()),
        })
    }

    /// The id of the agent that a token of this value enrolls.
    fn id_of(&self, secret: &SecretString) -> String {
        format!("spiffe://{}/spire/agent/join_token/{}", self.config.trust_domain, secret.expose_secret())
    }

    /// The name of a token of this value, and of the identity that comes of it.
    pub(crate) fn accessor_of(&self, secret: &SecretString) -> String {
        serial_of(&self.id_of(secret))
    }

    /// The agent whose id has this digest.
    async fn agent_of(&self, serial: &str) -> Result<Option<SpiffeId>, Failure> {
        let (mut page_token, filter) = (String::new(), AgentFilter { attestation_type: "join_token".into() });
        for _ in 0..PAGES_MOST {
            let asked = ListAgents { filter: Some(filter.clone()), page_size: PAGE, page_token };
            let page: Agents = self.server.call(method::AGENTS, &asked).await?;
            let mut ids = page.agents.into_iter().filter_map(|agent| agent.id);
            if let Some(id) = ids.find(|id| serial_of(&id.text()) == serial) {
                return Ok(Some(id));
            }
            if page.next.is_empty() {
                return Ok(None);
            }
            page_token = page.next;
        }
        Err(Failure::Lost(format!("its list of agents does not end within {PAGES_MOST} pages")))
    }

    async fn agent(&self, id: &SpiffeId) -> Result<Option<Agent>, Failure> {
        match self.server.call(method::AGENT, &OfAgent { id: Some(id.clone()) }).await {
            Ok(agent) => Ok(Some(agent)),
            Err(Failure::Denied { status: code::NOT_FOUND, .. }) => Ok(None),
            Err(failure) => Err(failure),
        }
    }
}

/// The name of an agent by its id, which gives no token away.
pub(crate) fn serial_of(id: &str) -> String {
    let digest = Digest::of(id.as_bytes()).to_string();
    format!("agent-{}", digest.get(..40).unwrap_or(&digest))
}

/// A value that nobody can guess, of letters that an id may have.
pub(crate) fn fresh_value() -> Result<SecretString, String> {
    let mut bytes = zeroize::Zeroizing::new([0_u8; 20]);
    let mut filled = 0;
    while let Some(rest) = bytes.get_mut(filled..).filter(|rest| !rest.is_empty()) {
        filled += rustix::rand::getrandom(rest, rustix::rand::GetRandomFlags::empty()).map_err(|e| e.to_string())?;
    }
    let mut text = zeroize::Zeroizing::new(String::with_capacity(bytes.len() * 2));
    for byte in bytes.iter() {
        for digit in [byte >> 4, byte & 15] {
            text.extend(char::from_digit(digit.into(), 16));
        }
    }
    Ok(SecretString::from(text.as_str()))
}

fn seconds(at: i64) -> Millis {
    Millis(at.saturating_mul(1_000))
}

/// The time by the clock of this host, which is the server's: it is spoken with over a socket.
pub(crate) use crate::time::now;
