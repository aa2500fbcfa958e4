//! The simulated world: the connector's steps against the simulated control plane and host, with faults and late arrivals.
//!
//! It does what the adapters must do by the arguments of the steps, and no more: it never deduplicates.

use recover_engine::{Act, Event, FenceRaised, Json, Millis, Performed, Probed, Reason, Seen, Told};
use recover_steps::{
    AwaitOnline, Awaited, Captured, Detached, Durability, Evict, Evicted, Instance, Loss, Minted, Observed, Original,
    Pair, Paired, ProveDurable, Proven, Reattached, Reparent, Reparented, Restart, Restarted, Restored, RevokeOrphan,
    Revoked, Search, Searched, Started, Stopped, Storage, Token, Validate, Validated, Withdrawn, refusal,
};

use crate::authority::{Authority, Worth};
use crate::site::{Ground, Site};

/// What goes wrong, the first times that a step is performed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Applied; the reply never comes.
    DropReply,
    /// Applied after that many further calls; the reply never comes.
    Late(u32),
    /// Surely not applied; may be tried again.
    Error,
    /// The request reaches the control plane twice.
    Duplicate,
    /// The attempt consumes the token, and no identity is issued.
    Burn,
    /// Surely not applied, for good.
    Refuse,
    /// The fence cannot be raised.
    NoFence,
    /// A look shows the bad answer: not online, running, invalid, refuted.
    Bad,
}

/// A fault and the step and number of calls that it hits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hit {
    pub(crate) step: &'static str,
    pub(crate) fault: Fault,
    /// Calls that pass before it.
    pub(crate) skip: u32,
    pub(crate) times: u32,
}

/// A request that was sent and has not arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Flight {
    Mint { label: String, expires_at: i64 },
    Pair { accessor: String },
}

/// Everything outside of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) authority: Authority,
    pub(crate) site: Site,
    pub(crate) hits: Vec<Hit>,
    flight: Vec<(u32, Flight)>,
    pub(crate) calls: u32,
    /// It mints beside an identity too, so that what the machine alone prevents can be seen.
    pub(crate) blind: bool,
    /// What must never be, seen at the instant it was.
    pub(crate) violations: Vec<String>,
}

impl State {
    pub(crate) fn new(original: bool, hits: &[Hit]) -> Self {
        Self {
            authority: Authority::new(),
            site: Site::new(original),
            hits: hits.to_vec(),
            flight: Vec::new(),
            calls: 0,
            blind: false,
            violations: Vec::new(),
        }
    }

    /// Whatever is on its way arrives; false if nothing was.
    pub(crate) fn settle(&mut self, now: i64) -> bool {
        let flying = std::mem::take(&mut self.flight);
        let any = !flying.is_empty();
        for (_, flight) in flying {
            self.arrive(flight, now);
        }
        any
    }

    pub(crate) fn one_call(&mut self, now: i64) {
        self.calls += 1;
        for (left, _) in &mut self.flight {
            *left = left.saturating_sub(1);
        }
        let (due, flying) = std::mem::take(&mut self.flight).into_iter().partition(|(left, _)| *left == 0);
        self.flight = flying;
        let due: Vec<(u32, Flight)> = due;
        for (_, flight) in due {
            self.arrive(flight, now);
        }
    }

    fn arrive(&mut self, flight: Flight, now: i64) {
        match flight {
            // Its reply goes nowhere: nobody gets to know the secret, and it works all the same.
            Flight::Mint { label, expires_at } => {
                self.authority.mint(&label, expires_at, true);
            }
            Flight::Pair { accessor } => {
                self.present(&accessor, now, false);
            }
        }
    }

    /// The connector's request arrives at the control plane; the connector, if it still runs, hears the result.
    fn present(&mut self, accessor: &str, now: i64, burn: bool) -> Option<String> {
        let serial = self.authority.pair(accessor, now, burn);
        if self.site.running.is_some() && serial.is_some() && self.site.target.key_for.as_deref() == Some(accessor) {
            self.site.target.key_for = None;
            self.site.target.serial.clone_from(&serial);
        }
        serial
    }

    /// What a starting connector does first: ask for the result of the key that it kept.
    pub(crate) fn started(&mut self) -> Instance {
        let life = self.site.start();
        if self.site.ground == Ground::Refuted {
            self.violations.push("started on storage that is refuted".into());
        }
        if let Some(serial) = self.site.target.key_for.as_deref().and_then(|a| self.authority.issued_for(a)) {
            self.site.target.key_for = None;
            self.site.target.serial = Some(serial);
        }
        Instance(life.to_string())
    }

    pub(crate) fn hit(&mut self, step: &str, fences: bool) -> Option<Fault> {
        let hit =
            self.hits.iter_mut().find(|h| h.step == step && h.times > 0 && (h.fault == Fault::NoFence) == fences)?;
        if hit.skip > 0 {
            hit.skip -= 1;
            return None;
        }
        hit.times -= 1;
        Some(hit.fault)
    }

    pub(crate) fn invariants(&mut self, now: i64) {
        let usable = self.authority.live(now).filter(|t| t.known).count();
        if usable > 1 {
            self.violations.push(format!("{usable} tokens work at once"));
        }
        if self.authority.pairs > 1 {
            self.violations.push(format!("{} pairings", self.authority.pairs));
        }
    }

    fn online(&self, serial: &str, instance: &Instance) -> bool {
        let site = &self.site;
        site.running.map(|life| life.to_string()).as_deref() == Some(&instance.0)
            && site.target.serial.as_deref() == Some(serial)
            && self.authority.serial == serial
            && !(site.original_dead && site.target.id == 2)
    }
}

fn happened<E: Event>(event: &E) -> Performed {
    Performed::Happened(Seen::plain(Told::of(event)))
}

fn body<T: serde::de::DeserializeOwned>(body: &Json) -> T {
    body.to().expect("the step's own type")
}

/// The label under which a step's token is minted: unique to run and try.
fn label(act: &Act) -> String {
    format!("{}-{}", act.run, act.ordinal)
}

impl State {
    /// One attempt at an effect, with what goes wrong with it.
    pub(crate) fn attempt(&mut self, act: &Act, now: i64, fault: Option<Fault>) -> Performed {
        match fault {
            Some(Fault::Error) => Performed::Retry { why: "connection refused".into(), after_ms: None },
            Some(Fault::Refuse) => Performed::Refused(Reason::new("refused", "the other side said no")),
            Some(Fault::DropReply) => {
                let _lost = apply(self, act, now, fault);
                Performed::Unknown { why: "no reply came".into() }
            }
            Some(Fault::Late(_) | Fault::Duplicate | Fault::Burn | Fault::NoFence | Fault::Bad) | None => {
                apply(self, act, now, fault)
            }
        }
    }

    /// Raises the fence of an effect, unless it cannot be raised.
    pub(crate) fn raise(&mut self, act: &Act, now: i64, fault: bool) -> FenceRaised {
        if fault {
            return FenceRaised::Failed("the control plane does not answer".into());
        }
        self.fence_by_hand(act.doing.step, &label(act), &act.doing.body, now);
        FenceRaised::Up("as the step says".into())
    }

    /// Looks for an effect.
    pub(crate) fn look(&self, act: &Act, now: i64) -> Probed {
        match act.doing.step {
            "mint" => probe_mint(self, &label(act), act.fenced, now),
            "pair" => probe_pair(self, &body::<Pair>(&act.doing.body), act.fenced, now),
            other => Probed::Unknown(format!("{other} has no probe")),
        }
    }

    /// What a fence does, and what a person does who cannot wait for it.
    pub(crate) fn fence_by_hand(&mut self, step: &str, label: &str, data: &Json, now: i64) {
        if step == "pair" {
            let pair: Pair = body(data);
            self.site.stop();
            self.site.handed = None;
            self.authority.revoke_label(&pair.token.label, now);
        } else {
            self.authority.revoke_label(label, now);
            self.site.tmpfs.remove(label);
        }
    }
}

fn probe_mint(state: &State, label: &str, fenced: bool, now: i64) -> Probed {
    let live: Vec<_> = state.authority.live_under(label, now).collect();
    if let ([token], Some(kept)) = (live.as_slice(), state.site.tmpfs.get(label))
        && token.accessor == *kept
    {
        let token = Token { accessor: kept.clone(), label: label.into(), expires_at: Millis(token.expires_at) };
        return Probed::Happened(Seen::plain(Told::of(&Minted::Minted { token })));
    }
    if !fenced {
        return Probed::Unknown("a request may be on its way".into());
    }
    Probed::Absent("the label is closed".into())
}

fn probe_pair(state: &State, pair: &Pair, fenced: bool, now: i64) -> Probed {
    let Some(token) = state.authority.token(&pair.token.accessor) else {
        return Probed::Unknown("the control plane does not know the token".into());
    };
    match &token.worth {
        Worth::Consumed(Some(serial)) => {
            let instance = state.site.running.map(|life| Instance(life.to_string()));
            Probed::Happened(Seen::plain(Told::of(&Paired::Paired { serial: serial.clone(), instance })))
        }
        Worth::Consumed(None) | Worth::Revoked => Probed::Absent("it can pair nothing any more".into()),
        Worth::Live if token.expires_at <= now && fenced => Probed::Absent("it is expired".into()),
        // Only said before the fence, where it is not believed.
        Worth::Live => Probed::Absent("it was not consumed yet".into()),
    }
}

#[expect(clippy::too_many_lines, reason = "the table of what each step does, read as a whole")]
fn apply(state: &mut State, act: &Act, now: i64, hit: Option<Fault>) -> Performed {
    let bad = hit == Some(Fault::Bad);
    let data = &act.doing.body;
    match act.doing.step {
        "observe" => happened(&observe(state)),
        "search-original" => {
            let wanted: Search = body(data);
            happened(&match &state.site.original {
                Some(_) if state.site.unreadable => {
                    Searched::Unreadable { path: "/original".into(), why: "permission denied".into() }
                }
                Some(dir) if dir.serial.as_deref() == Some(&wanted.epoch) => Searched::Found {
                    original: Original { path: "/original".into(), file_id: format!("1:{}", dir.id) },
                },
                Some(_) | None => Searched::Gone { searched: vec!["/original".into()] },
            })
        }
        "prove-durable" => {
            let which: ProveDurable = body(data);
            if bad && !matches!(which.storage, Storage::Original(_)) {
                state.site.ground = Ground::Refuted;
            }
            let on = || "the simulated disk".to_owned();
            let foreign = state.site.target.serial.clone().filter(|s| *s != state.authority.serial);
            happened(&match (which.storage, state.site.ground, foreign) {
                (Storage::Original(_), ..) => Durability::Durable { on: on() },
                (_, Ground::Refuted, _) => Durability::Refuted { on: "tmpfs".into() },
                (_, _, Some(serial)) => Durability::Occupied { on: on(), serial },
                (_, Ground::Undecided, None) => Durability::Undecided { on: "nfs4".into() },
                (_, Ground::Durable, None) => Durability::Durable { on: on() },
            })
        }
        "stop" => {
            state.site.stop();
            happened(&Stopped::Stopped)
        }
        "prove-stopped" => {
            if bad {
                state.started();
            }
            happened(&match state.site.running {
                None => Proven::Stopped,
                Some(life) => Proven::Running { what: format!("life {life}") },
            })
        }
        "reattach" => {
            state.site.reattach();
            happened(&Reattached::Reattached)
        }
        "detach" => {
            state.site.detach();
            happened(&Detached::Detached)
        }
        "set-aside" => {
            state.site.set_aside();
            happened(&Restored::Done)
        }
        "put-back" => {
            state.site.put_back();
            happened(&Restored::Done)
        }
        "start" => happened(&Started::Started { instance: state.started() }),
        "restart" => {
            let restart: Restart = body(data);
            if state.site.running.map(|life| life.to_string()).as_deref() == Some(&restart.from.0) {
                state.site.stop();
            }
            happened(&Restarted::Restarted { instance: state.started() })
        }
        "await-online" => {
            let wanted: AwaitOnline = body(data);
            let online = !bad && state.online(&wanted.serial, &wanted.instance);
            happened(&if online {
                Awaited::Online { serial: wanted.serial }
            } else {
                Awaited::NotOnline { status: "needs_recovery".into() }
            })
        }
        "revoke-stale" => happened(&Revoked::Revoked { live: state.authority.revoke_all(now) }),
        "revoke-orphan" => {
            let RevokeOrphan { token } = body(data);
            state.site.tmpfs.remove(&token.label);
            state.site.handed = None;
            happened(&Revoked::Revoked { live: state.authority.revoke_label(&token.label, now) })
        }
        "mint" => mint(state, act, now, hit),
        "pair" => pair(state, &body(data), now, hit),
        "withdraw" => {
            state.site.tmpfs.clear();
            state.site.handed = None;
            happened(&Withdrawn::Withdrawn)
        }
        "validate" => {
            let wanted: Validate = body(data);
            let clean = state.site.tmpfs.is_empty() && state.site.handed.is_none();
            happened(&if !bad && clean && state.online(&wanted.serial, &wanted.instance) {
                Validated::Validated { fingerprint: format!("fp-{}", wanted.serial) }
            } else {
                Validated::Invalid { why: "it is not online with this identity from its storage alone".into() }
            })
        }
        "reparent" => {
            let wanted: Reparent = body(data);
            let entries = state.authority.reparent(&wanted.from, &wanted.serial);
            happened(&Reparented::Reparented { entries })
        }
        "evict" => {
            let wanted: Evict = body(data);
            // As the adapter does, right before: what was validated may have been lost again since.
            if !state.site.running.is_some_and(|life| state.online(&wanted.serial, &Instance(life.to_string()))) {
                return Performed::Retry {
                    why: "the new agent is offline, so the old one stays".into(),
                    after_ms: None,
                };
            }
            if state.authority.evict(&wanted.from) {
                state.violations.push("an agent was evicted that entries hang below".into());
            }
            happened(&Evicted::Evicted)
        }
        "capture-evidence" => happened(&Captured::Captured { status: "online".into(), texts: 2 }),
        other => Performed::Refused(Reason::new("unknown-step", other)),
    }
}

fn observe(state: &State) -> Observed {
    let (site, authority) = (&state.site, &state.authority);
    let status = "needs_recovery".to_owned();
    if site.target.serial.as_deref() == Some(&authority.serial) {
        let running = site.running.map(|life| Instance(life.to_string()));
        let (serial, online) = (authority.serial.clone(), running.is_some());
        return Observed::Usable { status, online, serial, running, last_seen: None };
    }
    Observed::Lost(Loss {
        epoch: authority.serial.clone(),
        running: site.running.map(|life| Instance(life.to_string())),
        status,
        foreign: site.target.serial.clone(),
    })
}

/// Mints, keeps the secret, and looks whether the token is the only one under its label.
fn mint(state: &mut State, act: &Act, now: i64, hit: Option<Fault>) -> Performed {
    let recover_steps::Mint { ttl_s } = body(&act.doing.body);
    let (label, expires_at) = (label(act), now + i64::from(ttl_s) * 1000);
    if state.site.target.serial.is_some() && !state.blind {
        return Performed::Refused(Reason::new(recover_steps::refusal::IDENTITY, "an identity is there"));
    }
    if let Some(Fault::Late(calls)) = hit {
        state.flight.push((calls + 1, Flight::Mint { label, expires_at }));
        return Performed::Unknown { why: "no reply came".into() };
    }
    let Some(accessor) = state.authority.mint(&label, expires_at, true) else {
        return Performed::Refused(Reason::new("label-closed", "the label is closed"));
    };
    if hit == Some(Fault::Duplicate) {
        // The second token's secret is in a reply that nobody reads.
        state.authority.mint(&label, expires_at, false);
    }
    if hit == Some(Fault::DropReply) {
        return Performed::Unknown { why: "no reply came".into() };
    }
    state.site.tmpfs.insert(label.clone(), accessor.clone());
    if state.authority.live_under(&label, now).count() != 1 {
        return Performed::Unknown { why: "there is more than one token under the label".into() };
    }
    happened(&Minted::Minted { token: Token { accessor, label, expires_at: Millis(expires_at) } })
}

/// Hands the token over and starts the workload, which presents it.
fn pair(state: &mut State, pair: &Pair, now: i64, hit: Option<Fault>) -> Performed {
    let accessor = pair.token.accessor.clone();
    if state.site.tmpfs.get(&pair.token.label) != Some(&accessor) {
        return Performed::Refused(Reason::new("secret-lost", "the token's secret is not on tmpfs any more"));
    }
    state.site.handed = Some(accessor.clone());
    state.site.stop();
    let instance = state.started();
    state.site.target.key_for = Some(accessor.clone());
    if let Some(Fault::Late(calls)) = hit {
        state.flight.push((calls + 1, Flight::Pair { accessor }));
        return Performed::Unknown { why: "the connector did not pair in time".into() };
    }
    if hit == Some(Fault::Duplicate)
        && let Some(serial) = state.authority.pair(&accessor, now, false)
    {
        // The connector hears that the second request was refused, and stands still with the key it made.
        let second = state.authority.pair(&accessor, now, false);
        debug_assert_eq!(second, None, "a token pairs once");
        return happened(&Paired::Paired { serial, instance: Some(instance) });
    }
    // What came of this very attempt, not of an earlier one with the same token.
    match state.present(&accessor, now, hit == Some(Fault::Burn)) {
        Some(serial) => happened(&Paired::Paired { serial, instance: Some(instance) }),
        None => Performed::Refused(Reason::new(refusal::BURNT, "the token was refused or burnt")),
    }
}
