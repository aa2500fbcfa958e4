//! The full engine on a workflow of seven steps that do nothing, alone and a hundred at once.

use std::cell::RefCell;
use std::path::Path;
use std::process::Command;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use recover_engine::{
    Act, Begun, Charter, Effect, Ending, Entry, Event, FenceRaised, Graph, Guard, Host, Idempotent, Illegal, Input,
    Json, Millis, Next, Outcome, Performed, Probed, Receipt, Request, Run, RunId, Scenario, ScenarioEntry, Seen, Told,
    Unwilling, Verdict, Woken, World, charter_digest, drive, explore,
};
use recover_journal::{FileJournal, Options};
use serde::{Deserialize, Serialize};

use crate::Row;
use crate::group::{self, Group};
use crate::raw::Raw;

pub const STEPS: u8 = 7;

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Nothing {
    number: u8,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum Done {
    Done,
}

impl Nothing {
    pub fn new(number: u8) -> Self {
        Self { number }
    }
}

impl Event for Done {
    fn ending(&self) -> &'static str {
        "done"
    }
}

impl Effect for Nothing {
    const NAME: &'static str = "nothing";
    type Event = Done;
    type Redo = Idempotent;
    const TIMEOUT_MS: u64 = 1_000;
    const ATTEMPTS: u32 = 1;
    fn summary(&self) -> String {
        String::new()
    }
    fn endings(&self) -> Vec<Outcome<Done>> {
        vec![Outcome::Happened(Done::Done)]
    }
}

recover_engine::step_set! {
    pub enum Step / Events { Nothing(Nothing) }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seven {
    At(u8),
    Closed(Ending),
}

impl Scenario for Seven {
    const NAME: &'static str = "seven";
    const VERSION: u16 = 1;
    const TITLE: &'static str = "seven steps that do nothing";
    type Params = u8;
    type Step = Step;
    fn begin(_: u8) -> Self {
        Self::At(0)
    }
    fn samples() -> Vec<u8> {
        vec![0]
    }
    fn state(&self) -> &'static str {
        match self {
            Self::At(n) => ["one", "two", "three", "four", "five", "six", "seven"][usize::from(*n)],
            Self::Closed(_) => "closed",
        }
    }
    fn next(&self) -> Next<Step> {
        match self {
            Self::At(number) => Next::Do(Nothing { number: *number }.into()),
            Self::Closed(ending) => Next::Done(ending.clone()),
        }
    }
    fn apply(self, input: &Input<Events>) -> Result<Self, Illegal> {
        match (self, input) {
            (Self::At(n), Input::Outcome(Outcome::Happened(_))) if n + 1 < STEPS => Ok(Self::At(n + 1)),
            (Self::At(_), Input::Outcome(Outcome::Happened(_))) => {
                Ok(Self::Closed(Ending::new(Verdict::Recovered, "all steps were done")))
            }
            (Self::At(_), _) => Ok(Self::Closed(Ending::new(Verdict::GivenUp, "a step was refused"))),
            (state, input) => Err(Illegal::new(state.state(), input)),
        }
    }
    fn guards() -> Vec<Guard> {
        Vec::new()
    }
    fn epoch(&self) -> Option<&str> {
        None
    }
    fn committed(&self) -> bool {
        false
    }
}

/// What every run of the workflow carries.
pub struct Plan {
    pub entry: ScenarioEntry,
    graph: Arc<Graph>,
    graph_json: Json,
    guards_json: Json,
    digest: recover_engine::Digest,
}

impl Plan {
    pub fn new() -> Self {
        let entry = ScenarioEntry::of::<Seven>();
        let graph = explore(&entry).graph;
        let (graph_json, guards_json) = (Json::of(&graph), Json::of(&entry.guards()));
        let digest = charter_digest(entry.name, 1, graph_json.as_str(), guards_json.as_str());
        Self { entry, graph: Arc::new(graph), graph_json, guards_json, digest }
    }

    pub fn charter(&self, subject: String) -> Charter {
        let begun = Begun {
            scenario: self.entry.name.into(),
            version: 1,
            target: "bench".into(),
            subject,
            params: Json::of(&0),
            graph: self.graph_json.clone(),
            guards: self.guards_json.clone(),
            digest: self.digest,
            alert: None,
            ticket: None,
            plan: None,
            request_id: None,
            despite: None,
            second_person: false,
            consumed: Vec::new(),
        };
        Charter { begun, graph: Arc::clone(&self.graph), guards: Arc::from([]) }
    }
}

pub struct Idle;

impl World for Idle {
    async fn perform(&self, _: &Act) -> Performed {
        Performed::Happened(Seen::plain(Told::of(&Done::Done)))
    }
    async fn fence(&self, _: &Act) -> FenceRaised {
        FenceRaised::Failed(String::new())
    }
    async fn probe(&self, _: &Act) -> Probed {
        Probed::Unknown(String::new())
    }
}

pub fn now() -> Millis {
    Millis(i64::try_from(SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis()).unwrap())
}

/// Counts the bytes of each commit, so that the raw limit writes the same.
#[derive(Default)]
pub struct Ears {
    commits: RefCell<Vec<usize>>,
}

impl Host for Ears {
    fn now(&self) -> Millis {
        now()
    }
    async fn wait(&self, _: Millis) -> Woken {
        Woken::Elapsed
    }
    fn request(&self) -> Option<Request> {
        None
    }
    fn waits_for_people(&self) -> bool {
        false
    }
    fn reply(&self, _: u64, _: Result<(), Unwilling>) {}
    fn recorded(&self, entries: &[Entry], _: Receipt) {
        self.commits.borrow_mut().push(entries.iter().map(|entry| entry.bytes().len()).sum());
    }
}

/// The length of a frame's own header.
pub const FRAME: usize = 64;

pub const ACTOR: &str = r#"{"uid":0,"host":"bench","machine":"bench","boot":"bench","version":"0.1.0"}"#;

pub fn journal(dir: &Path) -> FileJournal {
    FileJournal::open(dir, &recover_journal::Host::read().unwrap(), Options::default()).unwrap()
}

pub fn id(number: u64) -> RunId {
    let mut entropy = [0; 10];
    entropy[..8].copy_from_slice(&number.to_le_bytes());
    RunId::new(now(), entropy)
}

/// One run from its beginning to its end; the bytes of records in each of its commits.
pub async fn one<J: recover_engine::Journal>(plan: &Plan, journal: &J, number: u64) -> Vec<usize> {
    let machine = plan.entry.begin(&Json::of(&0)).unwrap();
    let charter = Arc::new(plan.charter(format!("bench/{number}")));
    let mut run = Run::begin(id(number), now(), ACTOR.into(), charter, machine).unwrap();
    let ears = Ears::default();
    drive(&mut run, journal, &Idle, &ears).await.unwrap();
    ears.commits.into_inner()
}

/// The one thread that an owner has for its runs.
pub struct Office(tokio::runtime::Runtime);

impl Office {
    pub fn new() -> Self {
        Self(tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap())
    }

    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        tokio::task::LocalSet::new().block_on(&self.0, future)
    }
}

/// The frames that one run takes.
pub fn alone_frames(state: &Path) -> u64 {
    alone_between(state, || {}, || {})
}

/// One run alone, between two calls; the frames that it takes.
pub fn alone_between(state: &Path, before: impl FnOnce(), after: impl FnOnce()) -> u64 {
    let plan = Plan::new();
    let journal = journal(state);
    let frame = journal.log().head().frame;
    before();
    Office::new().block_on(one(&plan, &journal, 0));
    after();
    journal.log().head().frame - frame
}

/// One run at a time, in turns with the raw limit: the same bytes in the same commits.
pub fn alone(dir: &Path, rounds: u64) -> Row {
    let plan = Plan::new();
    let journal = journal(&dir.join("alone"));
    let office = Office::new();
    let mut raw = Raw::new(&dir.join("raw"), 16 << 20);
    let (mut ours, mut limit) = (Vec::new(), Vec::new());
    for turn in 0..rounds {
        let begun = Instant::now();
        let commits = office.block_on(one(&plan, &journal, turn));
        ours.push(begun.elapsed());
        let frames: Vec<usize> = commits.iter().map(|len| len + FRAME).collect();
        limit.push(raw.appends(&frames));
    }
    let ratio = ratio(&ours, &limit);
    let each = |times: &[Duration]| half(times) * 1e6 / (f64::from(STEPS) + 1.0);
    Row {
        what: "7-step workflow, one run at a time, full engine",
        measured: format!(
            "{ratio:.2} of raw ({:.0} µs a commit, raw {:.0} µs; {})",
            each(&ours),
            each(&limit),
            spread(&ours, &limit)
        ),
        wanted: "0.90",
        reached: ratio >= 0.90,
    }
}

/// The mean of the turns that nothing else disturbed: the faster half. Seconds.
fn half(times: &[Duration]) -> f64 {
    let mut times = times.to_vec();
    times.sort();
    let len = times.len().div_ceil(2);
    times.iter().take(len).sum::<Duration>().as_secs_f64() / len as f64
}

/// How far the raw limit is reached, each side by its faster half.
fn ratio(ours: &[Duration], limit: &[Duration]) -> f64 {
    half(limit) / half(ours)
}

/// The quartiles of the ratios turn by turn: how far apart they are says how busy the machine was.
fn spread(ours: &[Duration], limit: &[Duration]) -> String {
    let mut ratios: Vec<f64> = ours.iter().zip(limit).map(|(o, l)| l.as_secs_f64() / o.as_secs_f64()).collect();
    ratios.sort_by(f64::total_cmp);
    let [low, middle, high] = [1, 2, 3].map(|quarter| ratios[(ratios.len() - 1) * quarter / 4]);
    format!("turn by turn {low:.2} · {middle:.2} · {high:.2}")
}

/// A hundred runs at once, in turns with a raw group commit by a hundred clients that write the same records, and with the bare
/// writes of somebody who has all hundred records of a step at once, and at no cost: eight appends, which nobody waits for.
pub fn together(dir: &Path, rounds: u64) -> Row {
    const AT_ONCE: u64 = 100;
    let plan = Rc::new(Plan::new());
    let journal = Rc::new(journal(&dir.join("together")));
    let office = Office::new();
    let mut raw = Raw::new(&dir.join("bare"), 64 << 20);
    let group = Rc::new(Group::start(Raw::new(&dir.join("group"), 64 << 20)));
    let (mut ours, mut limit, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    let before = journal.log().head().frame;
    for turn in 0..rounds {
        let begun = Instant::now();
        let lengths: Vec<Vec<usize>> = office.block_on(async {
            let tasks: Vec<_> = (0..AT_ONCE)
                .map(|number| {
                    let (plan, journal) = (Rc::clone(&plan), Rc::clone(&journal));
                    tokio::task::spawn_local(
                        async move { one(&plan, &*journal, 1_000 + turn * AT_ONCE + number).await },
                    )
                })
                .collect();
            let mut all = Vec::new();
            for task in tasks {
                all.push(task.await.unwrap());
            }
            all
        });
        ours.push(begun.elapsed());
        let step = |n| FRAME + lengths.iter().map(|run| run[n]).sum::<usize>();
        let groups: Vec<usize> = (0..=usize::from(STEPS)).map(step).collect();
        bare.push(raw.appends(&groups));
        limit.push(group::clients(&office, &group, lengths));
    }
    let ratio = ratio(&ours, &limit);
    let each = |commits: u64| commits as f64 / rounds as f64;
    let frames = each(journal.log().head().frame - before);
    let raw_commits = Rc::into_inner(group).map_or(0, Group::end);
    let per_s = AT_ONCE as f64 * (f64::from(STEPS) + 1.0) / half(&ours);
    Row {
        what: "100 runs at once, full engine",
        measured: format!(
            "{ratio:.2} of raw group commit, {:.2} of its bare writes ({per_s:.0} steps/s; {frames:.1} commits, raw {:.1}, bare {}; {})",
            half(&bare) / half(&ours),
            each(raw_commits),
            STEPS + 1,
            spread(&ours, &limit)
        ),
        wanted: "0.50",
        reached: ratio >= 0.50,
    }
}

/// The time of short commands, the median of many.
pub fn words(dir: &Path) -> Vec<Row> {
    let state = dir.join("words");
    crate::large::fill(&state, 10_000, 10);
    let recover = crate::profile().join("recover");
    let median = |words: &[&str]| {
        let mut times: Vec<Duration> = (0..31)
            .map(|_| {
                let begun = Instant::now();
                let output = Command::new(&recover).arg("--state-dir").arg(&state).args(words).output().unwrap();
                assert!(output.status.success(), "{words:?}");
                begun.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1_000.0
    };
    let (help, status) = (median(&["--help"]), median(&["status"]));
    vec![
        Row { what: "`recover --help`", measured: format!("{help:.1} ms"), wanted: "≤ 5 ms", reached: help <= 5.0 },
        Row {
            what: "`recover status` with 10⁵ records",
            measured: format!("{status:.1} ms"),
            wanted: "≤ 15 ms",
            reached: status <= 15.0,
        },
    ]
}
