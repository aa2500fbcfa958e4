//! Arbitrary stories: a world, parameters, what goes wrong, and processes that are killed, resumed, answered and told things,
//! by people who are not always right.

use std::rc::Rc;
use std::sync::Arc;

use proptest::prelude::*;
use recover_engine::{Charter, Json, Millis, RunId, Stop, Wish};
use recover_scenarios::identity_loss::{Params, Reprovision};

use crate::host::Scripted;
use crate::judge::{Judge, Seen};
use crate::plan::Plan;
use crate::site::Ground;
use crate::trial::{Crash, End, NEVER, Sim};
use crate::world::{Fault, Hit};

const STEPS: [&str; 21] = [
    "observe",
    "search-original",
    "prove-durable",
    "stop",
    "prove-stopped",
    "reattach",
    "detach",
    "set-aside",
    "put-back",
    "start",
    "restart",
    "await-online",
    "revoke-stale",
    "revoke-orphan",
    "mint",
    "pair",
    "withdraw",
    "reparent",
    "evict",
    "validate",
    "capture-evidence",
];

/// How the world is found.
#[derive(Clone, Debug)]
pub(crate) struct Found {
    original: bool,
    unreadable: bool,
    original_dead: bool,
    ground: Ground,
    /// The serial of the identity at the target: none, another one, or the very one.
    serial: Option<&'static str>,
    running: bool,
}

/// What a person does who is asked, or whose word is needed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Person {
    /// Any of the choices, by its number.
    Chooses(prop::sample::Index),
    /// A word that is no choice.
    Mumbles,
    /// Looks first, and says what is so; says yes to what is asked.
    Helps,
    /// Says that it happened, or not, without having looked.
    Guesses(bool),
    /// Says nothing.
    Sleeps,
}

/// One process: how long it lives, what is asked of it meanwhile, and what becomes of the host when it dies.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    fuse: u32,
    crash: Crash,
    wishes: Vec<(u32, Unasked)>,
    waits: bool,
    person: Person,
}

/// What people say without being asked.
#[derive(Clone, Debug)]
pub(crate) enum Unasked {
    Cancel,
    Abandon,
    Interrupt,
    Answer(&'static str),
    Resolve(&'static str, bool),
}

/// See the file's first line.
#[derive(Clone, Debug)]
pub(crate) struct Story {
    found: Found,
    params: Params,
    hits: Vec<Hit>,
    processes: Vec<Process>,
}

/// What a story came to.
pub(crate) struct Told {
    pub(crate) breaches: Vec<String>,
    pub(crate) seen: Seen,
    pub(crate) records: Vec<String>,
}

fn found() -> impl Strategy<Value = Found> {
    let ground = prop_oneof![4 => Just(Ground::Durable), 2 => Just(Ground::Undecided), 1 => Just(Ground::Refuted)];
    let serial = prop_oneof![6 => Just(None), 2 => Just(Some("s0")), 1 => Just(Some("s1"))];
    (any::<bool>(), prop::bool::weighted(0.2), prop::bool::weighted(0.3), ground, serial, prop::bool::weighted(0.8))
        .prop_map(|(original, unreadable, original_dead, ground, serial, running)| {
            // There is one original: with it kept, what is at the target is something else.
            let serial = serial.filter(|serial| !original || *serial != "s1");
            Found { original, unreadable, original_dead, ground, serial, running }
        })
}

/// What configuration and `--set` let through, which is all that the type holds.
fn params() -> impl Strategy<Value = Params> {
    let span = || prop_oneof![2 => 0..100_000_u64, 1 => Just(30 * 24 * 3_600_000), 1 => any::<u64>()];
    let ttl = prop_oneof![4 => 60..3_600_u32, 1 => 0..5_u32, 1 => any::<u32>()];
    // Not longer than the simulated clock can be waited for: thirty thousand years.
    let answer = prop_oneof![4 => Just(24 * 3_600_000_u64), 1 => 0..1_000_000_000_000_000_u64];
    (any::<(bool, bool)>(), span(), span(), span(), ttl, answer).prop_map(
        |((ask, succession), observe_ms, online_within_ms, pair_within_ms, token_ttl_s, answer_within_ms)| Params {
            reprovision: if ask { Reprovision::Ask } else { Reprovision::Allow },
            observe_ms,
            online_within_ms,
            pair_within_ms,
            token_ttl_s,
            answer_within_ms,
            alert: None,
            succession,
        },
    )
}

fn hit() -> impl Strategy<Value = Hit> {
    let step = prop_oneof![1 => prop::sample::select(&STEPS[..]), 2 => prop::sample::select(&["mint", "pair"][..])];
    let fault = prop_oneof![
        Just(Fault::DropReply),
        (0..10_u32).prop_map(Fault::Late),
        Just(Fault::Error),
        Just(Fault::Duplicate),
        Just(Fault::Burn),
        Just(Fault::Refuse),
        Just(Fault::NoFence),
        Just(Fault::Bad),
    ];
    (step, fault, 0..3_u32, 1..4_u32).prop_map(|(step, fault, skip, times)| Hit { step, fault, skip, times })
}

fn person() -> impl Strategy<Value = Person> {
    prop_oneof![
        4 => any::<prop::sample::Index>().prop_map(Person::Chooses),
        1 => Just(Person::Mumbles),
        5 => Just(Person::Helps),
        1 => any::<bool>().prop_map(Person::Guesses),
        1 => Just(Person::Sleeps),
    ]
}

fn process() -> impl Strategy<Value = Process> {
    let wish = prop_oneof![
        2 => Just(Unasked::Cancel),
        1 => Just(Unasked::Abandon),
        2 => Just(Unasked::Interrupt),
        3 => prop::sample::select(&["approve", "deny", "retry", "yes", ""][..]).prop_map(Unasked::Answer),
        2 => (prop::sample::select(&STEPS[..]), any::<bool>()).prop_map(|(step, done)| Unasked::Resolve(step, done)),
    ];
    let wishes = prop_oneof![3 => Just(Vec::new()), 1 => prop::collection::vec((0..30_u32, wish), 1..3)];
    let fuse = prop_oneof![2 => 0..20_u32, 3 => 0..120_u32, 3 => Just(NEVER)];
    let crash =
        prop_oneof![Just(Crash::Kill), Just(Crash::SecretsLost), Just(Crash::Reboot), Just(Crash::LongDowntime)];
    (fuse, crash, wishes, prop::bool::weighted(0.2), person())
        .prop_map(|(fuse, crash, wishes, waits, person)| Process { fuse, crash, wishes, waits, person })
}

pub(crate) fn story() -> impl Strategy<Value = Story> {
    let processes = prop::collection::vec(process(), 1..14);
    (found(), params(), prop::collection::vec(hit(), 0..6), processes)
        .prop_map(|(found, params, hits, processes)| Story { found, params, hits, processes })
}

fn run_id(number: u8) -> RunId {
    RunId::new(Millis(1_000_000 + i64::from(number)), [number; 10])
}

impl Story {
    fn begin(&self) -> Sim {
        let plain = Plan::identity_loss(self.params.reprovision);
        let Charter { begun, graph, guards } = &*plain.charter;
        let begun = recover_engine::Begun { params: Json::of(&self.params), ..begun.clone() };
        let charter = Charter { begun, graph: Arc::clone(graph), guards: Arc::clone(guards) };
        let plan = Rc::new(Plan { entry: plain.entry, charter: Arc::new(charter) });
        let found = &self.found;
        let mut sim = Sim::new(&plan, found.original, &self.hits).prepared(|state| {
            let site = &mut state.site;
            (site.unreadable, site.original_dead, site.ground) = (found.unreadable, found.original_dead, found.ground);
            site.target.serial = found.serial.map(str::to_owned);
            if !found.running {
                site.stop();
            }
        });
        sim.run = run_id(1);
        sim
    }

    /// Plays it. `Err` is a run that fails over its own records or never stops.
    pub(crate) fn play(&self) -> Result<Told, String> {
        let mut sim = self.begin();
        let mut judge = Judge::new(self.params.reprovision == Reprovision::Ask, &sim.state);
        let mut number = 1;
        let mut word: Option<Wish> = None;
        for process in &self.processes {
            let said = word.take().map(|wish| Scripted { at: 0, wish });
            let unasked = process.wishes.iter().map(|(at, wish)| Scripted { at: *at, wish: wish.wish() });
            let script: Vec<Scripted> = said.into_iter().chain(unasked).collect();
            let run = sim.run.to_string();
            if process.wishes.iter().any(|(_, wish)| matches!(wish, Unasked::Resolve(..) | Unasked::Abandon)) {
                judge.excused.insert(run);
            }
            let went = sim.go_watched(process.fuse, &script, process.waits, Some(&judge));
            match went.end {
                End::Crashed => sim.after(process.crash),
                End::Failed(why) => return Err(format!("{why}; {:#?}", sim.kinds())),
                End::Stopped(Stop::Closed(_)) => {
                    // What is on its way from now on is on its way from a run that is over.
                    number += 1;
                    sim.run = run_id(number);
                    judge.another_run(&sim.state);
                }
                End::Stopped(Stop::Asked { question, .. }) => {
                    let choices: Vec<&str> = question.choices.iter().map(|choice| &*choice.id).collect();
                    word = process.person.answers(&choices);
                }
                End::Stopped(Stop::InDoubt { step, .. }) => word = process.person.resolves(step, &mut sim, &mut judge),
                End::Stopped(Stop::Interrupted) => {}
            }
        }
        Ok(Told { breaches: judge.breaches.take(), seen: judge.seen.take(), records: sim.kinds() })
    }
}

impl Unasked {
    fn wish(&self) -> Wish {
        let reason = || "said unasked".to_owned();
        match *self {
            Self::Cancel => Wish::Cancel { reason: reason() },
            Self::Abandon => Wish::Abandon { reason: reason() },
            Self::Interrupt => Wish::Interrupt,
            Self::Answer(choice) => Wish::Answer { question: None, choice: choice.into(), reason: reason() },
            Self::Resolve(step, happened) => {
                Wish::Resolve { step: step.into(), happened: happened.then(Json::null), reason: reason() }
            }
        }
    }
}

impl Person {
    fn answers(self, choices: &[&str]) -> Option<Wish> {
        let choice = match self {
            Self::Chooses(index) => choices.get(index.index(choices.len()))?,
            Self::Helps => choices.first()?,
            Self::Mumbles | Self::Guesses(_) => "perhaps",
            Self::Sleeps => return None,
        };
        Some(Wish::Answer { question: None, choice: choice.to_owned(), reason: "asked".into() })
    }

    fn resolves(self, step: String, sim: &mut Sim, judge: &mut Judge) -> Option<Wish> {
        match self {
            Self::Chooses(_) | Self::Helps => Some(sim.truth(step)),
            Self::Guesses(happened) => {
                judge.excused.insert(sim.run.to_string());
                Some(Wish::Resolve { step, happened: happened.then(Json::null), reason: "a guess".into() })
            }
            Self::Mumbles | Self::Sleeps => None,
        }
    }
}
