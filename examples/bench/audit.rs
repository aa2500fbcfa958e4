//! What an auditor waits for: a run of ten thousand records as one file, verified, and as a report. And what it costs to serve.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use recover_engine::{
    Begun, Charter, Ending, Graph, Guard, Illegal, Input, Json, Next, Outcome, Run, Scenario, ScenarioEntry, Verdict,
    charter_digest, drive, explore,
};

use crate::Row;
use crate::work::{ACTOR, Ears, Events, Idle, Nothing, Office, Step, id, journal, now};

/// Steps to and fro.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ToAndFro {
    To(u32),
    Fro(u32),
    Closed(Ending),
}

impl Scenario for ToAndFro {
    const NAME: &'static str = "to-and-fro";
    const VERSION: u16 = 1;
    const TITLE: &'static str = "many steps that do nothing";
    type Params = u32;
    type Step = Step;
    fn begin(steps: u32) -> Self {
        Self::To(steps)
    }
    fn samples() -> Vec<u32> {
        vec![2, 3]
    }
    fn state(&self) -> &'static str {
        match self {
            Self::To(_) => "to",
            Self::Fro(_) => "fro",
            Self::Closed(_) => "closed",
        }
    }
    fn next(&self) -> Next<Step> {
        match self {
            Self::To(_) | Self::Fro(_) => Next::Do(Nothing::new(0).into()),
            Self::Closed(ending) => Next::Done(ending.clone()),
        }
    }
    fn apply(self, input: &Input<Events>) -> Result<Self, Illegal> {
        let happened = matches!(input, Input::Outcome(Outcome::Happened(_)));
        match self {
            Self::To(n) | Self::Fro(n) if n == 0 && happened => {
                Ok(Self::Closed(Ending::new(Verdict::Recovered, "all steps were done")))
            }
            Self::To(n) if happened => Ok(Self::Fro(n - 1)),
            Self::Fro(n) if happened => Ok(Self::To(n - 1)),
            Self::To(_) | Self::Fro(_) => Ok(Self::Closed(Ending::new(Verdict::GivenUp, "a step was refused"))),
            Self::Closed(_) => Err(Illegal::new(self.state(), input)),
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

/// A run of at least so many records, in a journal there; its id.
fn long(state: &Path, records: u32) -> String {
    let entry = ScenarioEntry::of::<ToAndFro>();
    let graph: Arc<Graph> = Arc::new(explore(&entry).graph);
    let (graph_json, guards_json) = (Json::of(&*graph), Json::of(&entry.guards()));
    let params = Json::of(&(records / 2));
    let begun = Begun {
        scenario: entry.name.into(),
        version: 1,
        target: "bench".into(),
        subject: "bench/long".into(),
        params: params.clone(),
        digest: charter_digest(entry.name, 1, graph_json.as_str(), guards_json.as_str()),
        graph: graph_json,
        guards: guards_json,
        alert: None,
        ticket: None,
        request_id: None,
        despite: None,
        second_person: false,
        plan: None,
        consumed: Vec::new(),
    };
    let charter = Arc::new(Charter { begun, graph, guards: Arc::from([]) });
    let journal = journal(state);
    let id = id(9_999_999);
    let mut run = Run::begin(id, now(), ACTOR.into(), charter, entry.begin(&params).unwrap()).unwrap();
    Office::new().block_on(async { drive(&mut run, &journal, &Idle, &Ears::default()).await.unwrap() });
    id.to_string()
}

pub fn all(dir: &Path) -> Vec<Row> {
    let state = dir.join("audit");
    let run = long(&state, 10_000);
    let recover = crate::profile().join("recover");
    let file = dir.join("run.dsse");
    let timed = |words: &[&str]| {
        let mut times: Vec<Duration> = (0..7)
            .map(|_| {
                drop(std::fs::remove_file(&file).filter_missing());
                let begun = Instant::now();
                let output = Command::new(&recover).arg("--state-dir").arg(&state).args(words).output().unwrap();
                assert!(output.status.success(), "{words:?}: {}", String::from_utf8_lossy(&output.stderr));
                begun.elapsed()
            })
            .collect();
        times.sort();
        times[times.len() / 2].as_secs_f64() * 1e3
    };
    let out = file.to_str().unwrap();
    let export = timed(&["export", &run, "--out", out]);
    let report = timed(&["report", &run, "--html"]);
    let output =
        Command::new(&recover).arg("--state-dir").arg(&state).args(["export", &run, "--out", out]).output().unwrap();
    assert!(output.status.success());
    let mut times: Vec<Duration> = (0..7)
        .map(|_| {
            let begun = Instant::now();
            let output = Command::new(&recover).args(["verify", out]).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            begun.elapsed()
        })
        .collect();
    times.sort();
    let verify = times[times.len() / 2].as_secs_f64() * 1e3;
    vec![
        Row {
            what: "`export` and `verify FILE` of a run with 10⁴ records",
            measured: format!("{export:.0} ms and {verify:.0} ms"),
            wanted: "≤ 200 ms together",
            reached: export + verify <= 200.0,
        },
        Row {
            what: "`report --html` of the same",
            measured: format!("{report:.0} ms"),
            wanted: "≤ 300 ms",
            reached: report <= 300.0,
        },
        served(dir, &recover),
    ]
}

/// Nothing to be removed is as good as removed.
trait FilterMissing {
    fn filter_missing(self) -> Self;
}

impl FilterMissing for std::io::Result<()> {
    fn filter_missing(self) -> Self {
        self.or_else(|e| if e.kind() == std::io::ErrorKind::NotFound { Ok(()) } else { Err(e) })
    }
}

/// `recover serve` with nothing to do: its memory, its time, and whether it syncs.
fn served(dir: &Path, recover: &Path) -> Row {
    let state = dir.join("served");
    let trace = dir.join("serve.trace");
    let mut command = Command::new("strace");
    command.args(["-f", "-qq", "-e", "trace=fdatasync,fsync,sync,syncfs,sync_file_range,msync", "-o"]).arg(&trace);
    command.arg(recover).arg("--state-dir").arg(&state).args(["serve", "--listen", "127.0.0.1:0", "--output", "json"]);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stdout.take().unwrap()), &mut line).unwrap();
    let pid = serde_json::from_str::<serde_json::Value>(&line).unwrap()["pid"].as_u64().unwrap();
    // What opening leaves to be done in the background is not idleness.
    std::thread::sleep(Duration::from_secs(2));
    let syncs = || std::fs::read_to_string(&trace).unwrap_or_default().lines().count();
    let before = syncs();
    std::thread::sleep(Duration::from_secs(10));
    let synced = syncs() - before;
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let rss =
        status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next()?.parse::<f64>().ok());
    let mib = rss.unwrap() / 1024.0;
    rustix::process::kill_process(
        rustix::process::Pid::from_raw(i32::try_from(pid).unwrap()).unwrap(),
        rustix::process::Signal::TERM,
    )
    .unwrap();
    child.wait().unwrap();
    Row {
        what: "idle `recover serve`",
        measured: format!("{mib:.1} MiB, {synced} syncs in 10 s"),
        wanted: "≤ 30 MiB, 0 syncs",
        reached: mib <= 30.0 && synced == 0,
    }
}
