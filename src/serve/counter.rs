//! What every request has in common: the configuration, who is known, the way to the owner, and what is heard of runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use recover_engine::{Json, Phase, RunId};
use serde_json::{Value, json};
use tokio::sync::{broadcast, mpsc};

use crate::actor::Actor;
use crate::args::StartArgs;
use crate::fault::{Code, Fault};
use crate::owner::Watch;
use crate::owner::ask::{Ask, Envelope, Tell, VERSION, fault_of};
use crate::place::Place;
use crate::printer::Printer;
use crate::records::Records;
use crate::serve::alerts::{Due, Held};
use crate::serve::auth::{Auth, Who};
use crate::serve::config::Serve;
use crate::target::Target;
use crate::verbs::{choose_in, status_line, target_of};

/// A request on its way to the owner.
pub(super) type Asked = (Envelope, mpsc::UnboundedSender<Tell>);

/// While it serves, runs wait for people in it. Their questions have deadlines of their own.
const PATIENCE_MS: u64 = 30 * 24 * 3_600_000;
/// How long the first word of a request is waited for.
const FIRST_WORD: Duration = Duration::from_secs(30);
/// How often it is looked whether a run that is resumed leaves the next one its turn.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);
/// Records that a slow listener may be behind.
const BEHIND_MOST: usize = 4_096;

/// What was counted since its start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    pub(super) alerts: Mutex<BTreeMap<&'static str, u64>>,
    pub(super) closed: Mutex<BTreeMap<String, u64>>,
    pub(super) records: AtomicU64,
}

/// See the module.
pub(super) struct Counter {
    pub(super) place: Place,
    pub(super) config: Serve,
    pub(super) auth: Auth,
    pub(super) held: Held,
    pub(super) counts: Counts,
    pub(super) watch: Watch,
    asks: mpsc::UnboundedSender<Asked>,
    events: broadcast::Sender<Arc<Value>>,
    /// What closed runs look like in a list: it does not change any more.
    closed: Mutex<BTreeMap<RunId, Value>>,
    /// What came of requests that have an id; nothing before it was asked for.
    requests: Mutex<Option<BTreeMap<String, Known>>>,
}

/// What came of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// This run was begun.
    Begun(String),
    /// A person dismissed the alert.
    Dismissed,
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Counter {
    pub(super) fn new(
        place: Place,
        config: Serve,
        auth: Auth,
        watch: Watch,
    ) -> Result<(Self, mpsc::UnboundedReceiver<Asked>), Fault> {
        let held = Held::at(&place.state)
            .map_err(|e| Fault::caused(Code::Unreadable, "the folder of held alerts cannot be made", &e))?;
        let (asks, asked) = mpsc::unbounded_channel();
        let (events, _) = broadcast::channel(BEHIND_MOST);
        let counter = Self {
            place,
            config,
            auth,
            held,
            counts: Counts::default(),
            watch,
            asks,
            events,
            closed: Mutex::default(),
            requests: Mutex::default(),
        };
        Ok((counter, asked))
    }

    /// Passes on what is heard of runs, to whoever listens.
    pub(super) async fn spread(self: Arc<Self>, mut heard: mpsc::UnboundedReceiver<Tell>) {
        while let Some(tell) = heard.recv().await {
            if let Tell::Event { line, .. } = tell {
                self.counts.records.fetch_add(1, Ordering::Relaxed);
                if line["kind"] == "closed" {
                    let verdict = line["verdict"].as_str().unwrap_or_default().to_owned();
                    *locked(&self.counts.closed).entry(verdict).or_default() += 1;
                }
                // Nobody may be listening.
                let _nobody = self.events.send(Arc::new(line));
            }
        }
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<Value>> {
        self.events.subscribe()
    }

    pub(super) fn records(&self) -> Result<Records, Fault> {
        Records::open(&self.place.state)
    }

    pub(super) fn count_alert(&self, what: &'static str) {
        *locked(&self.counts.alerts).entry(what).or_default() += 1;
    }

    /// Asks the owner, and waits for its first word: a record that is durable, or a refusal.
    pub(super) async fn ask(&self, who: Option<Who>, target: Option<Target>, ask: Ask) -> Result<Value, Fault> {
        let gone = || Fault::new(Code::OwnerGone, "the owner does not answer");
        let mut actor = Actor::here();
        actor.via = Some(match &who {
            Some(who) => format!("http, {} from {}", who.role.as_str(), who.peer.ip()),
            None => "serve".to_owned(),
        });
        actor.certificate = who.and_then(|who| who.name).map(|name| name.as_ref().to_owned());
        let target = target.map(Box::new);
        let envelope =
            Envelope { v: VERSION, actor, yes: false, wait_ms: Some(PATIENCE_MS), target, again: false, ask };
        let (listener, mut heard) = mpsc::unbounded_channel();
        self.asks.send((envelope, listener)).map_err(|_| gone())?;
        match tokio::time::timeout(FIRST_WORD, heard.recv()).await {
            Ok(Some(Tell::Event { line, .. })) => Ok(json!({ "run": line["run"], "record": line })),
            Ok(Some(Tell::Done { text })) => Ok(json!({ "done": text })),
            Ok(Some(Tell::Result { line, .. })) => Ok(json!({ "run": line["run"], "result": line })),
            Ok(Some(Tell::Refused { code, message, hint })) => Err(fault_of(&code, message, hint)),
            // That a request was taken is said on the socket alone.
            Ok(Some(Tell::Taken) | None) | Err(_) => Err(gone()),
        }
    }

    /// Begins a run.
    pub(super) async fn start(&self, who: Option<Who>, start: &StartArgs) -> Result<Value, Fault> {
        let chosen = choose_in(self.place.clone(), start)?;
        self.ask(who, Some(chosen.target), Ask::Start(Box::new(chosen.ask))).await
    }

    /// Begins what an alert is about. Twice is once: its request has a name.
    pub(super) async fn begin(&self, who: Option<Who>, due: &Due, despite: Option<String>) -> Result<Value, Fault> {
        let start = StartArgs {
            scenario: Some(due.scenario.clone()),
            target: Some(due.target.clone()),
            alert: Some(due.alert.clone()),
            request_id: Some(due.request_id.clone()),
            despite,
            ..StartArgs::default()
        };
        let begun = self.start(who, &start).await?;
        if let (Some(known), Some(run)) = (locked(&self.requests).as_mut(), begun["run"].as_str()) {
            known.insert(due.request_id.clone(), Known::Begun(run.to_owned()));
        }
        Ok(begun)
    }

    /// Records that nothing is begun for an alert, however often it is sent.
    pub(super) async fn dismiss(&self, who: Who, due: &Due, reason: String) -> Result<Value, Fault> {
        let target = self.place.loaded.config.target.get(&due.target).cloned();
        let alert = Json::of(due);
        let told = self.ask(Some(who), target, Ask::Dismiss { alert, reason }).await?;
        if let Some(known) = locked(&self.requests).as_mut() {
            known.insert(due.request_id.clone(), Known::Dismissed);
        }
        Ok(told)
    }

    /// What came of the request of this id.
    pub(super) fn is_known(&self, request_id: &str) -> Result<Option<Known>, Fault> {
        let mut requests = locked(&self.requests);
        let known = match requests.as_mut() {
            Some(known) => known,
            None => requests.insert(self.requests()?),
        };
        Ok(known.get(request_id).cloned())
    }

    fn requests(&self) -> Result<BTreeMap<String, Known>, Fault> {
        let records = self.records()?;
        let named = |run: crate::records::Listed| {
            let begun = records.begun(run.id).ok()?;
            begun.request_id.map(|request| (request, Known::Begun(run.id.to_string())))
        };
        let dismissed = records.dismissed()?.into_iter().map(|request| (request, Known::Dismissed));
        Ok(dismissed.chain(records.listing()?.0.into_iter().filter_map(named)).collect())
    }

    /// Asks something of a run that there is.
    pub(super) async fn on_run(&self, who: Option<Who>, run: &str, ask: Ask) -> Result<Value, Fault> {
        let target = target_of(&self.place, run)?;
        self.ask(who, target, ask).await
    }

    /// Resumes one run; what keeps it from that is said and is in nobody's way.
    pub(super) async fn resume(&self, run: &str, printer: Printer) {
        if let Err(fault) = self.on_run(None, run, Ask::Resume { run: run.to_owned() }).await {
            printer.talk(&format!("{run} is not resumed: {}", fault.text()));
        }
    }

    /// Resumes what is open, one by one: the next when the one before has ended, stopped, or waits.
    pub(super) async fn resume_all(&self, printer: Printer) {
        match self.records().and_then(|records| records.open_runs()) {
            Ok(runs) => {
                for run in runs {
                    self.resume(&run.to_string(), printer).await;
                    self.settled(run).await;
                }
            }
            Err(fault) => printer.talk(&fault.text()),
        }
    }

    /// Until nothing is under way in a run, or has been for so long that others do not wait for it.
    async fn settled(&self, run: RunId) {
        let until = tokio::time::Instant::now() + self.config.stuck_after.as_duration();
        while self.watch.is_live(run) && tokio::time::Instant::now() < until {
            let position = self.records().and_then(|records| records.position(run));
            if matches!(position.map(|position| position.phase), Ok(Phase::Asked { .. } | Phase::Waiting { .. })) {
                return;
            }
            tokio::time::sleep(BETWEEN_LOOKS).await;
        }
    }

    /// The last runs, the latest first, as `recover status` tells each.
    pub(super) fn runs(&self, most: usize) -> Result<Vec<Value>, Fault> {
        let records = self.records()?;
        let (runs, _) = records.listing()?;
        let mut told = Vec::new();
        for run in runs.into_iter().rev().take(most) {
            if let Some(known) = locked(&self.closed).get(&run.id).filter(|_| !run.open) {
                told.push(known.clone());
                continue;
            }
            let value = match records.position(run.id) {
                Ok(position) => status_line(&position, self.watch.is_live(run.id)).0,
                // A run that cannot be read does not hide the others.
                Err(fault) => json!({ "run": run.id.to_string(), "status": "unreadable", "why": fault.message }),
            };
            if !run.open {
                locked(&self.closed).insert(run.id, value.clone());
            }
            told.push(value);
        }
        Ok(told)
    }
}
