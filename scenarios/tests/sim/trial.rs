//! One run in the simulation, through any number of processes: begin, crash, resume, answer, resolve, close.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use recover_engine::{
    Ending, Journal as _, Json, Kind, Millis, Phase, Reason, Record, Run, RunId, Stop, Unwilling, Wish, drive,
};
use recover_steps::{Instance, Pair, Paired};

use crate::checked::{Onlooker, SimWorld};
use crate::fuse::{Fuse, FusedJournal, FusedWorld, block_on};
use crate::host::{Scripted, SimHost};
use crate::journal::MemoryJournal;
pub(crate) use crate::plan::Plan;
use crate::site::Placement;
use crate::world::{Hit, State};

/// A fuse that outlives every run.
pub(crate) const NEVER: u32 = u32::MAX;

/// Everything that survives a process, and the process's plan.
#[derive(Clone, Debug)]
pub(crate) struct Sim {
    pub(crate) plan: Rc<Plan>,
    pub(crate) run: RunId,
    pub(crate) journal: MemoryJournal,
    pub(crate) state: State,
    pub(crate) now: i64,
    pub(crate) found: Placement,
    /// How often a person was asked.
    pub(crate) asked: u32,
}

/// What else happens when the process dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Crash {
    /// Nothing.
    Kill,
    /// The files on tmpfs are gone.
    SecretsLost,
    /// The whole host went down: every secret is gone and what ran has another life.
    Reboot,
    /// Nobody resumes until every token has expired.
    LongDowntime,
}

/// How a process ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Crashed,
    Stopped(Stop),
    Failed(String),
}

/// What one process did.
#[derive(Debug)]
pub(crate) struct Went {
    pub(crate) end: End,
    pub(crate) replies: Vec<Result<(), Unwilling>>,
    /// Requests that came and got no reply.
    pub(crate) unanswered: u64,
}

impl Sim {
    pub(crate) fn new(plan: &Rc<Plan>, original: bool, hits: &[Hit]) -> Self {
        let state = State::new(original, hits);
        Self {
            plan: Rc::clone(plan),
            run: RunId::new(Millis(1_000_000), [7; 10]),
            journal: MemoryJournal::default(),
            found: state.site.placement(),
            state,
            now: 1_000_000,
            asked: 0,
        }
    }

    /// What is found once the storage or the world was prepared differently.
    pub(crate) fn prepared(mut self, prepare: impl FnOnce(&mut State)) -> Self {
        prepare(&mut self.state);
        self.found = self.state.site.placement();
        self
    }

    fn taken_up(&self) -> Result<Run, String> {
        let actor = r#"{"uid":0}"#.into();
        let machine = self.plan.entry.begin(&self.plan.charter.begun.params).map_err(|e| e.to_string())?;
        let charter = Arc::clone(&self.plan.charter);
        let entries = self.journal.read(self.run).map_err(|e| e.to_string())?;
        let run = if entries.is_empty() {
            Run::begin(self.run, Millis(self.now), actor, charter, machine)
        } else {
            Run::resume(&entries, charter, machine, actor)
        };
        run.map_err(|e| format!("it cannot be taken up: {e}"))
    }

    /// One process, from taking the run up to its end or the fuse's.
    pub(crate) fn go(&mut self, length: u32, script: &[Scripted], waits_for_people: bool) -> Went {
        self.go_watched(length, script, waits_for_people, None)
    }

    /// The same, with somebody looking on.
    pub(crate) fn go_watched(
        &mut self,
        length: u32,
        script: &[Scripted],
        waits_for_people: bool,
        onlooker: Option<&dyn Onlooker>,
    ) -> Went {
        let mut run = match self.taken_up() {
            Ok(run) => run,
            Err(why) => return Went { end: End::Failed(why), replies: Vec::new(), unanswered: 0 },
        };
        let (clock, fuse) = (Cell::new(self.now), Fuse::new(length));
        let state = RefCell::new(self.state.clone());
        let host = SimHost::new(&clock, script, waits_for_people);
        let world = SimWorld { state: &state, clock: &clock, journal: &self.journal, onlooker };
        let (fused_journal, fused_world) = (FusedJournal(&self.journal, &fuse), FusedWorld(&world, &fuse));
        let end = match block_on(&fuse, drive(&mut run, &fused_journal, &fused_world, &host)) {
            None => End::Crashed,
            Some(Ok(stop)) => End::Stopped(stop),
            Some(Err(e)) => End::Failed(e.to_string()),
        };
        let unanswered = host.unanswered();
        let replies = host.replies.into_inner().into_iter().map(|(_, reply)| reply).collect();
        self.state = state.into_inner();
        self.now = clock.get();
        Went { end, replies, unanswered }
    }

    /// Whether the same survived two neighbouring crashes of one process: as many records, and the whole world. Only the
    /// clock may differ.
    pub(crate) fn same(&self, other: &Self) -> bool {
        let tail = |sim: &Self| sim.journal.last(|last| (last.header().kind, last.header().seq));
        tail(self) == tail(other) && self.state == other.state
    }

    /// The process died; this is what the world looks like to the next one.
    pub(crate) fn after(&mut self, crash: Crash) {
        match crash {
            Crash::Kill => self.now += 1,
            Crash::SecretsLost => self.state.site.lose_secrets(),
            Crash::Reboot => self.state.site.reboot(),
            Crash::LongDowntime => self.now += 3_600_000,
        }
    }

    /// Resumes until the run is closed. A person helps where one is needed, and says nothing but the truth.
    pub(crate) fn finish(&mut self) -> Ending {
        let mut script: Vec<Scripted> = Vec::new();
        for _ in 0..12 {
            let went = self.go(NEVER, &script, false);
            assert!(went.replies.iter().all(Result::is_ok), "the person's word was refused: {:?}", went.replies);
            assert_eq!(went.unanswered, 0, "a request got no reply");
            let wish = match went.end {
                End::Stopped(Stop::Closed(ending)) => {
                    self.state.settle(self.now);
                    return ending;
                }
                End::Stopped(Stop::InDoubt { step, .. }) => self.truth(step),
                End::Stopped(Stop::Asked { question, .. }) => {
                    self.asked += 1;
                    let choice = self.honest(&question.id);
                    Wish::Answer { question: None, choice: choice.into(), reason: "looked at it".into() }
                }
                other => panic!("{other:?}; {:#?}", self.kinds()),
            };
            script = vec![Scripted { at: 0, wish }];
        }
        panic!("it never closes: {:#?}", self.kinds());
    }

    /// What a person answers who has looked: the original is only called dead if it is, and what does not come right is
    /// tried again twice and then left.
    fn honest(&self, question: &str) -> &'static str {
        let site = &self.state.site;
        match question {
            "original-unrecoverable" if !site.unreadable && !site.original_dead => "deny",
            "not-validated" if self.asked <= 2 => "retry",
            "not-validated" => "deny",
            _ => "approve",
        }
    }

    /// A person makes sure that nothing can arrive any more, looks, and says what is so.
    pub(crate) fn truth(&mut self, step: String) -> Wish {
        let Ok(run) = self.taken_up() else { panic!("a run in doubt is taken up") };
        let Phase::Open(open) = &run.position().phase else { panic!("a run in doubt has an open intent") };
        let label = format!("{}-{}", self.run, open.intent.ordinal);
        self.state.fence_by_hand(&step, &label, &open.intent.body, self.now);
        self.state.settle(self.now);
        let happened = (step == "pair")
            .then(|| open.intent.body.to::<Pair>().expect("a pair"))
            .and_then(|pair| self.state.authority.issued_for(&pair.token.accessor))
            .map(|serial| {
                let instance = self.state.site.running.map(|life| Instance(life.to_string()));
                Json::of(&Paired::Paired { serial, instance })
            });
        Wish::Resolve { step, happened, reason: "asked the control plane after revoking".into() }
    }

    /// What the journal holds, for a message.
    pub(crate) fn kinds(&self) -> Vec<String> {
        let line = |record: Result<Record, serde_json::Error>, kind: Kind| match record {
            Ok(Record::Intent(intent)) => format!("intent {} in {}", intent.step, intent.state),
            Ok(Record::Outcome(out)) => format!("outcome {} to {}", out.label, out.to),
            Ok(other) if other.kind() != Kind::Begun => format!("{other:?}"),
            Ok(_) | Err(_) => kind.as_str().to_owned(),
        };
        let entries = self.journal.all();
        entries.iter().map(|e| line(Record::parse(e.header().kind, e.payload()), e.header().kind)).collect()
    }

    /// Whether a record of that kind is durable.
    pub(crate) fn holds(&self, kind: Kind) -> bool {
        self.journal.all().iter().any(|e| e.header().kind == kind)
    }

    /// Whether a cancel is durable: asked for at a boundary, or between two attempts.
    pub(crate) fn cancelled(&self) -> bool {
        self.journal.all().iter().any(|e| match Record::parse(e.header().kind, e.payload()) {
            Ok(Record::CancelRequested(_)) => true,
            Ok(Record::Outcome(out)) => out.refused.is_some_and(|r| r.code == Reason::CANCELLED),
            _ => false,
        })
    }
}
