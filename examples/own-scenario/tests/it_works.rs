//! The procedure is walked in every way there is, and carried out against a disk of the test's own.

use std::cell::Cell;
use std::sync::Arc;

use own_scenario::{Cleared, DiskFull, Looked};
use recover_engine::{
    Act, Begun, Charter, Consumed, Entry, FenceRaised, Host, Journal, JournalError, Json, Key, Ledger, Millis, OpenRun,
    Performed, Phase, Probed, Receipt, Request, Run, RunId, ScenarioEntry, Seen, Told, Unwilling, Verdict, Woken,
    World, charter_digest, drive, explore,
};

#[test]
fn every_way_through_it_keeps_the_guards_and_comes_to_an_end() {
    let explored = explore(&ScenarioEntry::of::<DiskFull>());
    assert!(explored.flaws.is_empty(), "{:?}", explored.flaws);
    assert!(
        explored
            .graph
            .edges
            .iter()
            .any(|(from, by, to)| (from.as_str(), by.as_str(), to.as_str()) == ("full", "clear:cleared", "cleared"))
    );
}

/// A disk, and how often it was cleared.
#[derive(Default)]
struct Disk {
    roomy: Cell<bool>,
    clears: Cell<u32>,
}

impl World for Disk {
    async fn perform(&self, act: &Act) -> Performed {
        let told = match act.doing.step {
            "look" => Told::of(if self.roomy.get() { &Looked::Roomy } else { &Looked::Full }),
            _ => {
                self.clears.set(self.clears.get() + 1);
                self.roomy.set(true);
                Told::of(&Cleared::Cleared)
            }
        };
        Performed::Happened(Seen::plain(told))
    }
    async fn fence(&self, _: &Act) -> FenceRaised {
        FenceRaised::Failed("no step of this procedure needs one".into())
    }
    async fn probe(&self, _: &Act) -> Probed {
        Probed::Unknown("no step of this procedure needs one".into())
    }
}

/// A journal in memory; `recover-journal` has the one for a disk.
#[derive(Default)]
struct InMemory(std::sync::Mutex<(Vec<Entry>, Ledger)>);

impl Journal for InMemory {
    async fn append(&self, batch: Vec<Entry>) -> Result<Receipt, JournalError> {
        let mut inner = self.0.lock().unwrap();
        for entry in batch {
            inner.1.note(entry.header(), entry.hash());
            inner.0.push(entry);
        }
        let frame = inner.0.len() as u64;
        Ok(Receipt { frame, head: inner.0.last().map_or(recover_engine::Digest::ZERO, Entry::hash) })
    }
    fn read(&self, _: RunId) -> Result<Vec<Entry>, JournalError> {
        Ok(self.0.lock().unwrap().0.clone())
    }
    fn open_runs(&self) -> Vec<(RunId, OpenRun)> {
        self.0.lock().unwrap().1.open().collect()
    }
    fn holder(&self, subject: Key) -> Option<RunId> {
        self.0.lock().unwrap().1.holder(subject)
    }
    fn effect(&self, key: Key) -> Option<Consumed> {
        self.0.lock().unwrap().1.effect(key)
    }
}

struct Alone;

impl Host for Alone {
    fn now(&self) -> Millis {
        Millis(0)
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
    fn recorded(&self, _: &[Entry], _: Receipt) {}
}

fn charter() -> Arc<Charter> {
    let entry = ScenarioEntry::of::<DiskFull>();
    let graph = Arc::new(explore(&entry).graph);
    let (graph_json, guards_json) = (Json::of(&*graph), Json::of(&entry.guards()));
    let begun = Begun {
        scenario: entry.name.into(),
        version: entry.version,
        target: "cache-1".into(),
        subject: "cache-1".into(),
        params: Json::null(),
        digest: charter_digest(entry.name, entry.version, graph_json.as_str(), guards_json.as_str()),
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
    Arc::new(Charter { begun, graph, guards: entry.guards().into() })
}

#[test]
fn it_recovers_and_a_run_that_is_cut_off_anywhere_goes_on_from_its_records() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let entry = ScenarioEntry::of::<DiskFull>();
    let machine = || entry.begin(&Json::null()).unwrap();
    let (journal, disk) = (InMemory::default(), Disk::default());
    let id = RunId::new(Millis(0), [1; 10]);
    let mut run = Run::begin(id, Millis(0), "{}".into(), charter(), machine()).unwrap();
    runtime.block_on(drive(&mut run, &journal, &disk, &Alone)).unwrap();
    let Phase::Closed(ending) = &run.position().phase else { panic!("it is not over") };
    assert_eq!((ending.verdict, disk.clears.get()), (Verdict::Recovered, 1));

    // As if it had been killed after any of its records.
    let records = journal.read(id).unwrap();
    for cut in 1..records.len() {
        let (again, disk) = (InMemory::default(), Disk::default());
        runtime.block_on(again.append(records[..cut].to_vec())).unwrap();
        let mut run = Run::resume(&records[..cut], charter(), machine(), "{}".into()).unwrap();
        runtime.block_on(drive(&mut run, &again, &disk, &Alone)).unwrap();
        assert!(matches!(run.position().phase, Phase::Closed(_)), "cut after {cut}");
    }
}
