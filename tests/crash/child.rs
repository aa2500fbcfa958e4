//! The child: begins the run or takes it up, with the engine, journal and adapters that the binary uses.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use recover_adapters::Connector;
use recover_adapters::config::ConnectorConfig;
use recover_engine::{
    Begun, Entry, Host, Journal as _, Json, Millis, Receipt, Record, Request, Run, RunId, Stop, Unwilling, Verdict,
    Wish, Woken, drive,
};
use recover_journal::{FileJournal, Options};
use recover_scenarios::identity_loss::{Params, Reprovision};

use crate::fuse::{self, FusedJournal, FusedWorld};

/// Time from the system, nobody to ask.
struct Alone;

fn now() -> Millis {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Millis(i64::try_from(since.as_millis()).unwrap())
}

impl Host for Alone {
    fn now(&self) -> Millis {
        now()
    }
    async fn wait(&self, until: Millis) -> Woken {
        let left = u64::try_from(until.0 - now().0).unwrap_or(0);
        tokio::time::sleep(Duration::from_millis(left)).await;
        Woken::Elapsed
    }
    fn request(&self) -> Option<Request> {
        None
    }
    fn waits_for_people(&self) -> bool {
        false
    }
    fn reply(&self, _: u64, _: Result<(), Unwilling>) {}
    fn recorded(&self, _: &[Entry], _: Receipt) {}
}

/// The parts of the sandbox's configuration that a target is made of.
#[derive(serde::Deserialize)]
struct Config {
    secrets_dir: Option<PathBuf>,
    target: std::collections::BTreeMap<String, Target>,
}

#[derive(serde::Deserialize)]
struct Target {
    workload: recover_adapters::config::WorkloadConfig,
    storage: recover_adapters::config::StorageConfig,
    authority: recover_adapters::config::AuthorityConfig,
}

pub fn main(words: &[String]) -> ExitCode {
    let [config, state, fuse] = words else { panic!("child CONFIG STATE FUSE") };
    let config: Config = toml::from_str(&std::fs::read_to_string(config).unwrap()).unwrap();
    let target = config.target.into_values().next().unwrap();
    let connector = ConnectorConfig {
        trust: None,
        workload: target.workload,
        storage: target.storage,
        authority: target.authority,
        timing: recover_adapters::config::Timing::default(),
    };
    let secrets = config.secrets_dir;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let stop = runtime.block_on(run(connector, secrets, Path::new(state), fuse.parse().unwrap()));
    println!("burnt {}", fuse::burnt());
    println!("{stop:?}");
    match stop {
        Stop::Closed(ending) if ending.verdict == Verdict::Recovered => ExitCode::SUCCESS,
        Stop::Closed(_) => ExitCode::from(2),
        Stop::InDoubt { .. } => ExitCode::from(4),
        Stop::Asked { .. } | Stop::Interrupted => ExitCode::from(75),
    }
}

async fn run(config: ConnectorConfig, secrets: Option<PathBuf>, state: &Path, fuse_length: u64) -> Stop {
    let subject = config.subject();
    let actor: Arc<str> = r#"{"uid":0,"host":"test","machine":"test","boot":"test","version":"test"}"#.into();
    let journal = FileJournal::open(state, &recover_journal::Host::read().unwrap(), Options::default()).unwrap();
    let scenario = recover_scenarios::find("identity-loss").unwrap();
    let open = journal.open_runs().first().copied();
    if open.is_none() && journal.log().head().frame > 0 {
        // The kill came after the closing commit: there is nothing to take up.
        return Stop::Closed(recover_engine::Ending::new(Verdict::Recovered, "it was closed before"));
    }
    let mut run = match open {
        Some((id, _)) => {
            let entries = journal.read(id).unwrap();
            let Record::Begun(begun) = Record::parse(entries[0].header().kind, entries[0].payload()).unwrap() else {
                panic!("a run begins with its beginning");
            };
            let machine = scenario.entry.begin(&begun.params).unwrap();
            let charter = Arc::new(scenario.charter_of(*begun).unwrap());
            Run::resume(&entries, charter, machine, Arc::clone(&actor)).unwrap()
        }
        None => {
            let params = Json::of(&Params {
                reprovision: Reprovision::Allow,
                observe_ms: 50,
                online_within_ms: 10_000,
                pair_within_ms: 3_000,
                ..Params::default()
            });
            let machine = scenario.entry.begin(&params).unwrap();
            let charter = scenario.charter(|begun| Begun { target: "edge-1".into(), subject, params, ..begun });
            let entropy = std::process::id().to_le_bytes();
            let mut bytes = [0; 10];
            bytes[..4].copy_from_slice(&entropy);
            Run::begin(RunId::new(now(), bytes), now(), Arc::clone(&actor), Arc::new(charter), machine).unwrap()
        }
    };
    let world = FusedWorld(Connector::with_secrets_in(config, secrets).unwrap());
    fuse::light(fuse_length);
    let stop = drive(&mut run, &FusedJournal(&journal), &world, &Alone).await.unwrap();
    // A doubled pairing pairs once, and its second reply tells the connector that it did not: it stands still, and a person is
    // asked. One retry must do.
    let Stop::Asked { seq, ref question, .. } = stop else { return stop };
    if question.id != "not-validated" {
        return stop;
    }
    let wish = Wish::Answer { question: Some(seq), choice: "retry".into(), reason: "it stands still".into() };
    run.request(now(), Request { id: 1, actor, wish }).unwrap();
    drive(&mut run, &FusedJournal(&journal), &world, &Alone).await.unwrap()
}
