//! The detailed outside of `identity-loss`: a control plane with tokens that expire, a host that reboots, and a second operator
//! who works on the same connector by hand. It keeps the ledger that counts.

use recover_engine::{Act, Json, Kind, Open, Performed, Phase, RunId, Verdict};
use recover_steps::{Instance, Pair, Paired};

use crate::authority::{Minted, Worth};
use crate::broken::{Broken, Invariant};
use crate::choices::Choices;
use crate::faults::Fault;
use crate::site::{Dir, Ground, Placement};
use crate::watch::Watch;
use crate::world::{self, State};

/// The outside of one subject.
#[derive(Debug)]
pub(crate) struct Connector {
    pub(crate) state: State,
    /// Pairings before the present loss.
    before: u32,
    /// Runs that a person closed with an effect in doubt: what they left on its way is that person's.
    abandoned: Vec<String>,
    /// How it was when the present run began, unless somebody else touched it since.
    found: Option<(Placement, Option<String>)>,
    dirs: u32,
    /// Whether it is tidy that counts too, and not the pairings alone.
    strict: bool,
}

impl Connector {
    /// A connector that lost its identity in one of many ways.
    pub(crate) fn chosen(choices: &mut Choices, strict: bool) -> Self {
        let mut state = State::new(choices.once_in(2), &[]);
        let site = &mut state.site;
        site.unreadable = choices.once_in(8);
        site.original_dead = choices.once_in(6);
        site.ground =
            [Ground::Durable, Ground::Durable, Ground::Durable, Ground::Undecided, Ground::Refuted][choices.one_of(5)];
        if choices.once_in(6) {
            site.target.serial = Some("s0".into());
        }
        if choices.once_in(5) {
            site.stop();
        }
        Self { state, before: 0, abandoned: Vec::new(), found: None, dirs: 100, strict }
    }

    /// One attempt; what goes wrong was decided before.
    pub(crate) fn perform(&mut self, act: &Act, fault: Fault, choices: &mut Choices, now: i64) -> Performed {
        self.state.one_call(now);
        let fault = match fault {
            Fault::Nothing => None,
            Fault::Lost => return Performed::Unknown { why: "the request was lost".into() },
            Fault::Drop => Some(world::Fault::DropReply),
            Fault::Late => Some(world::Fault::Late(choices.one_of(12) as u32)),
            Fault::Busy => Some(world::Fault::Error),
            Fault::Refuse => Some(world::Fault::Refuse),
            Fault::Duplicate => Some(world::Fault::Duplicate),
            Fault::Burn => Some(world::Fault::Burn),
            // Storage does not change its nature while nobody looks.
            Fault::Bad if act.doing.step == "prove-durable" => None,
            Fault::Bad => {
                // Somebody starts what is to be proven stopped.
                if let Some((found, _)) = self.found.as_mut().filter(|_| act.doing.step == "prove-stopped") {
                    found.running = true;
                }
                Some(world::Fault::Bad)
            }
        };
        self.state.attempt(act, now, fault)
    }

    /// What a person says who fenced by hand and looked.
    pub(crate) fn truth(&mut self, run: RunId, open: &Open, now: i64) -> Option<Json> {
        let label = format!("{run}-{}", open.intent.ordinal);
        self.state.fence_by_hand(&open.intent.step, &label, &open.intent.body, now);
        self.state.settle(now);
        self.found = None;
        let pair: Option<Pair> = (open.intent.step == "pair").then(|| open.intent.body.to().expect("a pair"));
        let serial = pair.and_then(|pair| self.state.authority.issued_for(&pair.token.accessor))?;
        let instance = self.state.site.running.map(|life| Instance(life.to_string()));
        Some(Json::of(&Paired::Paired { serial, instance }))
    }

    /// The second operator does something, and nobody tells the run.
    pub(crate) fn by_hand(&mut self, choices: &mut Choices, now: i64) -> &'static str {
        self.found = None;
        match choices.one_of(4) {
            0 => {
                let running = self.state.site.running.is_some();
                self.state.site.stop();
                let violations = self.state.violations.len();
                let _life = self.state.started();
                // What a person starts is a person's to answer for.
                self.state.violations.truncate(violations);
                if running { "restarts the workload" } else { "starts the workload" }
            }
            1 => {
                self.state.authority.revoke_all(now);
                "revokes every token"
            }
            2 => {
                let accessor = format!("a{}", self.state.authority.tokens.len());
                self.state.authority.tokens.push(Minted {
                    accessor,
                    label: "by-hand".into(),
                    worth: Worth::Live,
                    expires_at: now + 600_000,
                    ours: false,
                    known: false,
                });
                "mints a token"
            }
            _ => {
                self.state.site.stop();
                "stops the workload"
            }
        }
    }

    /// The host goes down and comes up.
    pub(crate) fn reboot(&mut self) {
        self.found = None;
        self.state.site.reboot();
    }

    /// A connector that is well loses its identity once more: a new loss.
    pub(crate) fn lose_again(&mut self) -> bool {
        let (site, authority) = (&mut self.state.site, &self.state.authority);
        if site.target.serial.as_deref() != Some(&authority.serial) {
            return false;
        }
        self.dirs += 1;
        site.target = Dir { id: self.dirs, serial: None, key_for: None };
        self.before = authority.pairs;
        self.found = None;
        true
    }

    /// A record of a run on this subject is written.
    pub(crate) fn recorded(
        &mut self,
        run: RunId,
        kind: Kind,
        in_doubt: bool,
        watch: &Watch,
        now: i64,
    ) -> Result<(), Broken> {
        // What an abandoned run left on its way may arrive at any time; and a connector that waits for what was issued to its key
        // fetches it at any start.
        if kind == Kind::Begun && self.strict && self.abandoned.is_empty() && self.state.site.target.key_for.is_none() {
            self.found = Some((self.state.site.placement(), self.state.site.handed.clone()));
        }
        let Phase::Closed(ending) = &watch.position.phase else { return Ok(()) };
        // It paired, the connector does not show the new identity, and the person who was asked, or abandoned it, let it be: that
        // identity is lost now, and the authority names this loss by its serial.
        let kept = self.state.site.target.serial.as_deref() == Some(&self.state.authority.serial);
        if matches!(ending.verdict, Verdict::GivenUp | Verdict::Abandoned) && !kept {
            self.before = self.state.authority.pairs;
        }
        if ending.verdict == Verdict::Abandoned {
            self.found = None;
            if in_doubt {
                self.abandoned.push(run.to_string());
            }
        }
        let Some(found) = self.found.take() else { return Ok(()) };
        let (site, authority) = (&self.state.site, &self.state.authority);
        // What an earlier run left, and said so, is not this one's.
        let (own, handed) = (run.to_string(), site.handed.is_some());
        let live = authority.live(now).any(|token| token.label.starts_with(&own));
        let wrong = match ending.verdict {
            Verdict::Recovered => {
                let well = site.target.serial.as_ref() == Some(&authority.serial) && site.running.is_some();
                !well || live || handed
            }
            Verdict::GivenUp | Verdict::Cancelled | Verdict::NotApplicable if ending.residue.is_empty() => {
                live || (handed && site.handed != found.1) || site.placement() != found.0
            }
            _ => false,
        };
        let not_so = if site.running.is_some() { "stopped" } else { "running" };
        let lies = ending.workload.as_ref().is_some_and(|workload| workload.left == not_so);
        if wrong || lies {
            return Err(Broken::new(Invariant::Recovered, format!("{ending:?}, found {found:?}: {:?}", self.state)));
        }
        Ok(())
    }

    fn counts(&self, token: &Minted) -> bool {
        !self.abandoned.iter().any(|run| token.label.starts_with(run))
    }

    /// What must hold at every instant.
    pub(crate) fn check(&self, now: i64) -> Result<(), Broken> {
        let authority = &self.state.authority;
        let pairs = authority.pairs - self.before;
        if pairs > 1 {
            return Err(Broken::new(Invariant::PairedOnce, format!("{pairs} pairings for loss {}", self.before)));
        }
        if !self.strict {
            return Ok(());
        }
        let tokens = authority.live(now).filter(|token| token.known && self.counts(token)).count();
        if tokens > 1 {
            return Err(Broken::new(Invariant::OneToken, format!("{tokens} tokens: {:?}", authority.tokens)));
        }
        match self.state.violations.first() {
            Some(violation) => Err(Broken::new(Invariant::House, violation.clone())),
            None => Ok(()),
        }
    }
}
