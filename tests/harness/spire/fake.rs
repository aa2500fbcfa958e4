//! A server that answers as SPIRE's does, where `recover` asks it, and lets stand-in agents attest. Small pages, so that paging matters.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::header::HeaderMap;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;

use super::peer::Peer;
use super::wire::{
    Agent, Agents, CreateEntries, CreateJoinToken, Entries, Entry, HealthStatus, JoinToken, ListAgents, ListEntries,
    Nothing, OfAgent, OneResult, Results, Selector, SpiffeId, Status, UpdateEntries, method,
};
use super::{DOMAIN, agent};

/// How a stand-in agent presents its token, and asks whether it is still there. Of no interest to anybody else.
pub(super) const ATTEST: &str = "/stand-in/Attest";
pub(super) const RENEW: &str = "/stand-in/Renew";

const PAGE_MOST: usize = 2;
type Refusal = (u16, String);

/// What the server knows, and what was asked of it.
#[derive(Default)]
pub struct State {
    /// Tokens by value, with the end of each in milliseconds.
    tokens: BTreeMap<String, i64>,
    agents: BTreeMap<String, i64>,
    entries: Vec<Entry>,
    made: i64,
    /// How long an agent's certificate is good for, in seconds.
    agent_ttl_s: i64,
    /// How often each method was carried out.
    pub ledger: BTreeMap<&'static str, u32>,
    /// Of this method the next reply is lost, after it was carried out.
    pub lose: Option<&'static str>,
}

/// The server, on a socket of its own.
pub struct Fake {
    state: Arc<Mutex<State>>,
    socket: PathBuf,
    ends: Option<tokio::sync::oneshot::Sender<()>>,
}

impl Fake {
    pub fn start(home: &Path, agent_ttl_s: u32) -> Self {
        let state = State { agent_ttl_s: agent_ttl_s.into(), ..State::default() };
        let (state, socket) = (Arc::new(Mutex::new(state)), home.join("server.sock"));
        let (ends, ended) = tokio::sync::oneshot::channel();
        let (served, at) = (Arc::clone(&state), socket.clone());
        let (ready, is_ready) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let listener = tokio::net::UnixListener::bind(at).unwrap();
                ready.send(()).unwrap();
                tokio::select! { () = serve(listener, move |method, bytes| answer(&mut lock(&served), method, &bytes)) => {}, _ = ended => {} }
            });
        });
        is_ready.recv().unwrap();
        Self { state, socket, ends: Some(ends) }
    }

    pub fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        drop(self.ends.take());
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes connections for ever and answers each call by these rules.
pub(super) async fn serve(
    listener: tokio::net::UnixListener,
    answer: impl Fn(&str, Bytes) -> Option<Result<Vec<u8>, Refusal>> + Clone + Send + 'static,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer.clone();
            async move {
                let method = request.uri().path().to_owned();
                let bytes = request.into_body().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
                answer(&method, bytes.slice(bytes.len().min(5)..)).map(reply).ok_or(std::io::Error::other("lost"))
            }
        });
        tokio::spawn(async move {
            drop(
                hyper::server::conn::http2::Builder::new(TokioExecutor::new())
                    .serve_connection(TokioIo::new(stream), service)
                    .await,
            );
        });
    }
}

fn reply(answer: Result<Vec<u8>, Refusal>) -> Response<BoxBody<Bytes, Infallible>> {
    let (message, status, said) = match answer {
        Ok(message) => (Some(message), 0, String::new()),
        Err((status, said)) => (None, status, said),
    };
    let framed = message.map(|message| {
        let length = u32::try_from(message.len()).unwrap().to_be_bytes();
        [&[0][..], &length, &message].concat()
    });
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", status.to_string().parse().unwrap());
    trailers.insert("grpc-message", said.replace(' ', "%20").parse().unwrap());
    let body = Full::new(Bytes::from(framed.unwrap_or_default())).with_trailers(async move { Some(Ok(trailers)) });
    Response::builder().header("content-type", "application/grpc").body(body.boxed()).unwrap()
}

fn answer(state: &mut State, method: &str, bytes: &[u8]) -> Option<Result<Vec<u8>, Refusal>> {
    let known = [
        method::HEALTH,
        method::MINT,
        method::AGENTS,
        method::AGENT,
        method::EVICT,
        method::ENTRIES,
        method::CREATE,
        method::UPDATE,
        ATTEST,
        RENEW,
    ];
    let Some(name) = known.into_iter().find(|known| *known == method) else {
        return Some(Err((12, format!("unknown method {method}"))));
    };
    let answered = carry_out(state, name, bytes);
    *state.ledger.entry(name).or_default() += u32::from(answered.is_ok());
    if state.lose == Some(name) {
        state.lose = None;
        return None;
    }
    Some(answered)
}

fn carry_out(state: &mut State, method: &str, bytes: &[u8]) -> Result<Vec<u8>, Refusal> {
    Ok(match method {
        method::HEALTH => HealthStatus { status: 1 }.encode_to_vec(),
        method::MINT => state.mint(&read(bytes)).map(|token| token.encode_to_vec())?,
        method::AGENTS => state.list_agents(&read(bytes)).encode_to_vec(),
        method::AGENT => state.agent(&read(bytes))?.encode_to_vec(),
        method::EVICT => state.evict(&read(bytes)).map(|()| Nothing {}.encode_to_vec())?,
        method::ENTRIES => state.list_entries(&read(bytes)).encode_to_vec(),
        method::CREATE => state.create(read(bytes)).encode_to_vec(),
        method::UPDATE => state.update(&read(bytes)).encode_to_vec(),
        ATTEST => state.attest(&read(bytes)).map(|agent| agent.encode_to_vec())?,
        _ => state.agent(&read(bytes))?.encode_to_vec(),
    })
}

fn read<T: Message + Default>(bytes: &[u8]) -> T {
    T::decode(bytes).unwrap()
}

/// A page of a list, from the place that the last one named.
fn page<T: Clone>(all: &[T], token: &str, size: i32) -> (Vec<T>, String) {
    let from: usize = token.parse().unwrap_or_default();
    let size = usize::try_from(size).unwrap().clamp(1, PAGE_MOST);
    let next = if from + size < all.len() { (from + size).to_string() } else { String::new() };
    (all.iter().skip(from).take(size).cloned().collect(), next)
}

fn now_ms() -> i64 {
    i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap()
}

fn id_of(token: &str) -> String {
    format!("spiffe://{DOMAIN}/spire/agent/join_token/{token}")
}

impl State {
    /// A value that is there is not made again; one that was used is.
    fn mint(&mut self, asked: &CreateJoinToken) -> Result<JoinToken, Refusal> {
        if asked.ttl < 1 {
            return Err((3, "ttl is required, you must provide one".into()));
        }
        if self.tokens.contains_key(&asked.token) {
            return Err((13, "failed to create token: UNIQUE constraint failed: join_tokens.token".into()));
        }
        let expires_at = now_ms() / 1_000 + i64::from(asked.ttl);
        self.tokens.insert(asked.token.clone(), expires_at * 1_000);
        Ok(JoinToken { value: asked.token.clone(), expires_at })
    }

    /// Any attempt uses the token up, also one that comes too late.
    fn attest(&mut self, asked: &CreateJoinToken) -> Result<Agent, Refusal> {
        let Some(end) = self.tokens.remove(&asked.token) else {
            return Err((3, "failed to attest: join token does not exist or has already been used".into()));
        };
        if end < now_ms() {
            return Err((3, "join token expired".into()));
        }
        let (id, expires_at) = (id_of(&asked.token), now_ms() / 1_000 + self.agent_ttl_s);
        self.agents.insert(id.clone(), expires_at);
        Ok(Agent { id: SpiffeId::parse(&id), expires_at, banned: false })
    }

    fn agent(&self, asked: &OfAgent) -> Result<Agent, Refusal> {
        let id = asked.id.clone().unwrap_or_default();
        let expires_at = *self.agents.get(&id.text()).ok_or((5, "agent not found".to_owned()))?;
        Ok(Agent { id: Some(id), expires_at, banned: false })
    }

    fn list_agents(&self, asked: &ListAgents) -> Agents {
        let all: Vec<Agent> = self
            .agents
            .iter()
            .map(|(id, end)| Agent { id: SpiffeId::parse(id), expires_at: *end, banned: false })
            .collect();
        let (agents, next) = page(&all, &asked.page_token, asked.page_size);
        Agents { agents, next }
    }

    /// With the entry that gave the agent a name, and no other.
    fn evict(&mut self, asked: &OfAgent) -> Result<(), Refusal> {
        let id = asked.id.clone().unwrap_or_default();
        self.agents.remove(&id.text()).ok_or((5, "agent not found".to_owned()))?;
        let of_it = |entry: &Entry| {
            entry.parent_id.as_ref() == Some(&id)
                && entry.selectors.iter().all(|selector| selector.kind == "spiffe_id" && selector.value == id.text())
        };
        self.entries.retain(|entry| !of_it(entry));
        Ok(())
    }

    fn list_entries(&self, asked: &ListEntries) -> Entries {
        let filter = asked.filter.clone().unwrap_or_default();
        let by = |wanted: &Option<SpiffeId>, has: &Option<SpiffeId>| wanted.is_none() || wanted == has;
        let wanted =
            |entry: &&Entry| by(&filter.spiffe_id, &entry.spiffe_id) && by(&filter.parent_id, &entry.parent_id);
        let all: Vec<Entry> = self.entries.iter().filter(wanted).cloned().collect();
        let (entries, next) = page(&all, &asked.page_token, asked.page_size);
        Entries { entries, next }
    }

    fn create(&mut self, asked: CreateEntries) -> Results {
        let results = asked.entries.into_iter().map(|entry| {
            let same = |other: &Entry| {
                (&other.spiffe_id, &other.parent_id, &other.selectors)
                    == (&entry.spiffe_id, &entry.parent_id, &entry.selectors)
            };
            if self.entries.iter().any(same) {
                return status(6, "similar entry already exists");
            }
            self.made += 1;
            // No two in the same second: the server's clock is no part of what is tested.
            self.entries.push(Entry { id: format!("entry-{}", self.made), created_at: self.made, ..entry });
            status(0, "")
        });
        Results { results: results.collect() }
    }

    fn update(&mut self, asked: &UpdateEntries) -> Results {
        assert!(asked.input_mask.as_ref().is_some_and(|mask| mask.parent_id), "nothing but the parent is changed");
        let results =
            asked.entries.iter().map(|change| match self.entries.iter_mut().find(|entry| entry.id == change.id) {
                Some(entry) => {
                    entry.parent_id.clone_from(&change.parent_id);
                    status(0, "")
                }
                None => status(5, "entry not found"),
            });
        Results { results: results.collect() }
    }

    /// Tokens that would work now.
    pub fn live_tokens(&self) -> usize {
        self.tokens.values().filter(|end| **end > now_ms()).count()
    }

    pub fn count(&self, what: &str) -> u32 {
        self.ledger.iter().filter(|(method, _)| method.ends_with(what)).map(|(_, count)| count).sum()
    }
}

fn status(code: i32, message: &str) -> OneResult {
    OneResult { status: Some(Status { code, message: message.to_owned() }) }
}

impl Peer for Fake {
    fn name(&self) -> &'static str {
        "fake"
    }

    fn socket(&self) -> PathBuf {
        self.socket.clone()
    }

    fn command(&self, home: &Path) -> Vec<String> {
        agent::command(home, &self.socket)
    }

    fn mint(&self, ttl_s: u32, alias: Option<&str>) -> String {
        let mut state = self.state();
        let token = format!("by-hand-{}", state.made + 1);
        state.mint(&CreateJoinToken { ttl: i32::try_from(ttl_s).unwrap(), token: token.clone() }).unwrap();
        drop(state);
        if let Some(alias) = alias {
            self.entry(&id_of(&token), alias, ("spiffe_id", &id_of(&token)));
        }
        token
    }

    fn entry(&self, parent: &str, id: &str, (kind, value): (&str, &str)) {
        let (spiffe_id, parent_id) = (SpiffeId::parse(id), SpiffeId::parse(parent));
        let selectors = vec![Selector { kind: kind.into(), value: value.into() }];
        let entry = Entry { spiffe_id, parent_id, selectors, ..Entry::default() };
        let made = self.state().create(CreateEntries { entries: vec![entry] });
        assert_eq!(made.results, [status(0, "")]);
    }

    fn agents(&self) -> Vec<String> {
        self.state().agents.keys().cloned().collect()
    }

    fn entries(&self) -> Vec<(String, String)> {
        let text = |id: &Option<SpiffeId>| id.clone().unwrap_or_default().text();
        self.state().entries.iter().map(|entry| (text(&entry.spiffe_id), text(&entry.parent_id))).collect()
    }

    fn live_tokens(&self) -> Option<usize> {
        Some(self.state().live_tokens())
    }

    fn has_svid(&self, _home: &Path) -> Option<bool> {
        None
    }

    fn lose_next_reply(&self, what: &'static str) -> bool {
        self.state().lose = Some(what);
        true
    }
}
