//! The few messages of SPIRE's server API that are spoken, by the numbers of their fields.

use prost::Message;

/// The methods, as paths.
pub(super) mod method {
    pub(crate) const HEALTH: &str = "/grpc.health.v1.Health/Check";
    pub(crate) const MINT: &str = "/spire.api.server.agent.v1.Agent/CreateJoinToken";
    pub(crate) const AGENTS: &str = "/spire.api.server.agent.v1.Agent/ListAgents";
    pub(crate) const AGENT: &str = "/spire.api.server.agent.v1.Agent/GetAgent";
    pub(crate) const EVICT: &str = "/spire.api.server.agent.v1.Agent/DeleteAgent";
    pub(crate) const ENTRIES: &str = "/spire.api.server.entry.v1.Entry/ListEntries";
    pub(crate) const CREATE: &str = "/spire.api.server.entry.v1.Entry/BatchCreateEntry";
    pub(crate) const UPDATE: &str = "/spire.api.server.entry.v1.Entry/BatchUpdateEntry";
}

/// What a reply says where nothing is left to say.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Nothing {}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HealthStatus {
    /// 1 is serving.
    #[prost(int32, tag = "1")]
    pub(super) status: i32,
}

#[derive(Clone, PartialEq, Eq, Hash, Message)]
pub(super) struct SpiffeId {
    #[prost(string, tag = "1")]
    pub(super) trust_domain: String,
    #[prost(string, tag = "2")]
    pub(super) path: String,
}

impl SpiffeId {
    /// The id in a text; none if it is not one.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (trust_domain, path) = text.strip_prefix("spiffe://")?.split_once('/')?;
        Some(Self { trust_domain: trust_domain.to_owned(), path: format!("/{path}") })
    }

    /// The id as it is in a certificate.
    pub(super) fn text(&self) -> String {
        format!("spiffe://{}{}", self.trust_domain, self.path)
    }
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Selector {
    #[prost(string, tag = "1")]
    pub(super) kind: String,
    #[prost(string, tag = "2")]
    pub(super) value: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Status {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateJoinToken {
    #[prost(int32, tag = "1")]
    pub(super) ttl: i32,
    #[prost(string, tag = "2")]
    pub(super) token: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct JoinToken {
    #[prost(string, tag = "1")]
    pub(super) value: String,
    /// Seconds since 1970.
    #[prost(int64, tag = "2")]
    pub(super) expires_at: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Agent {
    #[prost(message, optional, tag = "1")]
    pub(super) id: Option<SpiffeId>,
    #[prost(int64, tag = "4")]
    pub(super) expires_at: i64,
    #[prost(bool, tag = "6")]
    pub(super) banned: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OfAgent {
    #[prost(message, optional, tag = "1")]
    pub(super) id: Option<SpiffeId>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct AgentFilter {
    #[prost(string, tag = "1")]
    pub(super) attestation_type: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListAgents {
    #[prost(message, optional, tag = "1")]
    pub(super) filter: Option<AgentFilter>,
    #[prost(int32, tag = "3")]
    pub(super) page_size: i32,
    #[prost(string, tag = "4")]
    pub(super) page_token: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Agents {
    #[prost(message, repeated, tag = "1")]
    pub(super) agents: Vec<Agent>,
    #[prost(string, tag = "2")]
    pub(super) next: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entry {
    #[prost(string, tag = "1")]
    pub(super) id: String,
    #[prost(message, optional, tag = "2")]
    pub(super) spiffe_id: Option<SpiffeId>,
    #[prost(message, optional, tag = "3")]
    pub(super) parent_id: Option<SpiffeId>,
    #[prost(message, repeated, tag = "4")]
    pub(super) selectors: Vec<Selector>,
    #[prost(int64, tag = "15")]
    pub(super) created_at: i64,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EntryFilter {
    #[prost(message, optional, tag = "1")]
    pub(super) spiffe_id: Option<SpiffeId>,
    #[prost(message, optional, tag = "2")]
    pub(super) parent_id: Option<SpiffeId>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ListEntries {
    #[prost(message, optional, tag = "1")]
    pub(super) filter: Option<EntryFilter>,
    #[prost(int32, tag = "3")]
    pub(super) page_size: i32,
    #[prost(string, tag = "4")]
    pub(super) page_token: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct Entries {
    #[prost(message, repeated, tag = "1")]
    pub(super) entries: Vec<Entry>,
    #[prost(string, tag = "2")]
    pub(super) next: String,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct CreateEntries {
    #[prost(message, repeated, tag = "1")]
    pub(super) entries: Vec<Entry>,
}

/// Which fields of an entry are changed: its parent, and nothing else.
#[derive(Clone, PartialEq, Message)]
pub(super) struct EntryMask {
    #[prost(bool, tag = "3")]
    pub(super) parent_id: bool,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct UpdateEntries {
    #[prost(message, repeated, tag = "1")]
    pub(super) entries: Vec<Entry>,
    #[prost(message, optional, tag = "2")]
    pub(super) input_mask: Option<EntryMask>,
}

/// What came of each entry of a batch.
#[derive(Clone, PartialEq, Message)]
pub(super) struct Results {
    #[prost(message, repeated, tag = "1")]
    pub(super) results: Vec<OneResult>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct OneResult {
    #[prost(message, optional, tag = "1")]
    pub(super) status: Option<Status>,
}
