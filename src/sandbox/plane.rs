//! The control plane as a pure machine: a request and a time in, a reply and a changed state out.
//!
//! It keeps the promises of `docs/authority-http.md` and helps nobody beyond them: two mints make two tokens, and two
//! requests that are equal are two requests.

mod agent;
mod enrol;
mod request;

use std::collections::BTreeMap;

use recover_engine::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::sandbox::clock::rfc3339;
use agent::Agent;
pub(crate) use request::{About, Effect, Now, Reply, Request, Revoke, Rights};

/// Listings come in pages of this many.
pub(crate) const PAGE_LEN: usize = 50;

/// The state, as it is kept across restarts.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ControlPlane {
    agents: BTreeMap<String, Agent>,
    issued: u64,
}

impl ControlPlane {
    /// Makes an agent known. Nothing happens if it is.
    pub(crate) fn register(&mut self, agent: &str) {
        self.agents.entry(agent.to_owned()).or_default();
    }

    /// How many tokens would still work.
    pub(crate) fn live_tokens(&self, at: Millis) -> usize {
        self.agents.values().flat_map(|agent| &agent.tokens).filter(|token| token.is_live(at)).count()
    }

    /// Notes what the passing of time did. Says whether anything changed.
    pub(crate) fn settle(&mut self, at: Millis) -> bool {
        // Every agent, also after the first that changed: `any` would stop there.
        self.agents.values_mut().filter_map(|agent| agent.settle(at).then_some(())).count() > 0
    }

    /// Executes a request. Equal requests are executed again: nothing is deduplicated.
    pub(crate) fn handle(&mut self, now: Now, request: &Request) -> Reply {
        self.settle(now.at);
        match request {
            Request::Health => Reply::ok(json!({ "status": "ok", "time": rfc3339(now.at) })),
            Request::Status { agent } => self.on(agent, |state| Reply::ok(state.status(agent))),
            Request::Tokens { agent, label, accessor, cursor } => self.on(agent, |state| {
                let wanted = state.tokens.iter().enumerate().filter(|(_, token)| {
                    label.as_ref().is_none_or(|label| *label == token.label)
                        && accessor.as_ref().is_none_or(|accessor| *accessor == token.accessor)
                });
                page("tokens", wanted.map(|(at, token)| (at, token.listed(now.at))), *cursor)
            }),
            Request::Audit { agent, since, cursor } => self.on(agent, |state| {
                let wanted = state.audit.iter().enumerate();
                let wanted = wanted.filter(|(_, event)| since.is_none_or(|since| event.at >= since));
                page("events", wanted.map(|(at, event)| (at, event.listed())), *cursor)
            }),
            Request::Rights { agent, may } => {
                self.on(agent, |_| Reply::ok(json!({ "agent": agent, "rights": may.words() })))
            }
            Request::Mint { agent, label, ttl_s } => self.on(agent, |state| state.mint(now, label, *ttl_s)),
            Request::Revoke { agent, what } => self.on(agent, |state| state.revoke(now.at, what)),
            Request::Pair { agent, token, public_key } => self.pair(now, agent, token, public_key),
            Request::PairResult { public_key } => self.pair_result(public_key),
            Request::Heartbeat { agent, serial, proof } => {
                self.on(agent, |state| state.heartbeat(now.at, serial, proof))
            }
            Request::Bootstrap { agent } => self.on(agent, |state| state.bootstrap(now.at)),
        }
    }

    fn on(&mut self, agent: &str, act: impl FnOnce(&mut Agent) -> Reply) -> Reply {
        match self.agents.get_mut(agent) {
            Some(state) => act(state),
            None => Reply::error(404, "AGENT_UNKNOWN", "there is no agent of this name"),
        }
    }
}

/// One page from `cursor` on. A cursor is the position of the first entry not yet shown; positions never change.
fn page(name: &str, entries: impl Iterator<Item = (usize, Value)>, cursor: usize) -> Reply {
    let mut entries = entries.skip_while(|(at, _)| *at < cursor);
    let shown: Vec<Value> = entries.by_ref().take(PAGE_LEN).map(|(_, value)| value).collect();
    let next = entries.next().map(|(at, _)| at.to_string());
    Reply::ok(json!({ name: shown, "next": next }))
}

#[cfg(test)]
mod tests;
