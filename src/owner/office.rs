//! The owner of a state directory: executes runs, and carries out what clients ask.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use recover_adapters::Holder;
use recover_engine::{
    Admission, Choice, DriveError, Journal as _, JournalError, Key, Owner, Phase, Run, RunId, Start, Stop, Wish, drive,
};
use recover_scenarios::Registered;
use tokio::sync::mpsc;
use tokio::task::spawn_local;

use crate::actor::{Actor, are_two};
use crate::anchor;
use crate::clock;
use crate::fault::{Code, Fault};
use crate::keeping::Keeping;
use crate::owner::ask::{Ask, Envelope, StartAsk, Tell};
use crate::owner::hear::{held, prepare, unwilling, without_secrets};
use crate::owner::host::RunHost;
use crate::owner::result;
use crate::owner::watch::Watch;
use crate::store::{self, Store};
use crate::target::Target;

type Listener = mpsc::UnboundedSender<Tell>;

/// The owner.
pub(crate) struct Office {
    store: Store,
    holder: Holder,
    owner: RefCell<Owner>,
    live: RefCell<HashMap<RunId, Rc<RunHost>>>,
    /// Closed runs by the request that began them; nothing before it was asked for.
    requests: RefCell<Option<HashMap<String, RunId>>>,
    stopping: Cell<bool>,
    /// Set when the journal took no more: the process must end.
    pub(crate) dead: Cell<Option<&'static str>>,
    idle: tokio::sync::Notify,
    /// Who hears of every run, where somebody does.
    watch: RefCell<Option<Watch>>,
}

/// A run ready to be driven.
struct Ready {
    run: Run,
    target: Box<Target>,
}

fn bug(what: &str, error: &dyn std::error::Error) -> Fault {
    Fault::caused(Code::Bug, what, error)
}

impl Office {
    pub(crate) fn new(store: Store, holder: Holder) -> Result<Rc<Self>, Fault> {
        let mut owner = Owner::default();
        for (id, begun, open) in store.begun_runs()? {
            owner.note(id, &begun, open, false);
        }
        Ok(Rc::new(Self {
            store,
            holder,
            owner: RefCell::new(owner),
            live: RefCell::new(HashMap::new()),
            requests: RefCell::default(),
            stopping: Cell::new(false),
            dead: Cell::new(None),
            idle: tokio::sync::Notify::new(),
            watch: RefCell::new(None),
        }))
    }

    /// From now on this one hears of every run.
    pub(crate) fn watch(&self, watch: Watch) {
        *self.watch.borrow_mut() = Some(watch);
    }

    /// Returns when the journal took no more.
    pub(crate) async fn died(&self) {
        while self.dead.get().is_none() {
            self.idle.notified().await;
        }
    }

    /// The last durable frame.
    pub(crate) fn head(&self) -> u64 {
        self.store.journal().log().head().frame
    }

    /// Where every open run is that can be read.
    pub(crate) fn open(&self) -> Vec<recover_engine::Position> {
        let open = self.store.journal().open_runs().into_iter();
        open.filter_map(|(id, _)| self.store.position(id).ok()).collect()
    }

    /// Open runs that nobody executes and whose wait or question is over.
    pub(crate) fn overdue(&self) -> Vec<String> {
        let now = clock::now();
        let open = self.store.journal().open_runs().into_iter().map(|(id, _)| id);
        let idle = open.filter(|id| self.host(*id).is_none());
        let over = |id: &RunId| match self.store.position(*id).map(|position| position.phase) {
            Ok(Phase::Asked { asked, .. }) => asked.deadline <= now,
            Ok(Phase::Waiting { until }) => until <= now,
            Ok(Phase::Ready | Phase::Open(_) | Phase::Closed(_)) | Err(_) => false,
        };
        idle.filter(over).map(|id| id.to_string()).collect()
    }

    /// Returns when no run is executed any more.
    pub(crate) async fn idle(&self) {
        while !self.live.borrow().is_empty() && self.dead.get().is_none() {
            self.idle.notified().await;
        }
    }

    /// Stops every run at its next boundary. They stay open.
    pub(crate) fn interrupt(&self, actor: &Arc<str>) {
        self.stopping.set(true);
        for host in self.live.borrow().values() {
            let _reply = host.wish(Arc::clone(actor), Wish::Interrupt);
        }
    }

    /// Carries out a request. Everything that is heard of it goes to `listener`, the last word last.
    pub(crate) async fn handle(self: &Rc<Self>, envelope: Envelope, listener: Listener) {
        if let Err(fault) = self.carry_out(envelope, &listener).await {
            // A client that went away does not wait for it any more.
            let _gone = listener.send(Tell::fault(fault));
        }
    }

    async fn carry_out(self: &Rc<Self>, envelope: Envelope, listener: &Listener) -> Result<(), Fault> {
        if self.stopping.get() {
            return Err(Fault::new(Code::OwnerGone, "the owner of the state directory is stopping")
                .hint("try again: whoever comes first becomes the owner"));
        }
        let actor = envelope.actor.json();
        match without_secrets(&envelope) {
            Ask::Start(start) => self.start(&envelope, *start, listener),
            Ask::Resume { run } => self.go_on(self.find(&run)?, &envelope, listener),
            Ask::Answer { run, question, choice, deny, reason } => {
                let choice = choice.unwrap_or_else(|| if deny { Choice::DENY } else { Choice::APPROVE }.to_owned());
                if choice != Choice::DENY {
                    self.another_person(&run, &envelope.actor)?;
                }
                self.wish(&run, &envelope, listener, actor, Wish::Answer { question, choice, reason }).await
            }
            // An owner that died had recorded it: its asker waits for what comes of it.
            Ask::Cancel { run, .. } if envelope.again && self.store.position(self.find(&run)?)?.cancelled => {
                let id = self.find(&run)?;
                if let Ok((line, exit)) = self.store.closed_result(id) {
                    let _gone = listener.send(Tell::Result { line, exit: exit as u8 });
                    return Ok(());
                }
                self.go_on(id, &envelope, listener)
            }
            Ask::Cancel { run, reason } => self.wish(&run, &envelope, listener, actor, Wish::Cancel { reason }).await,
            Ask::Resolve { run, step, happened, reason } => {
                self.wish(&run, &envelope, listener, actor, Wish::Resolve { step, happened, reason }).await
            }
            Ask::Abandon { run, reason } => {
                if self.host(self.find(&run)?).is_some() {
                    return Err(Fault::new(Code::RunLive, format!("{run} is being executed"))
                        .hint("stop its owner or cancel the run first"));
                }
                self.wish(&run, &envelope, listener, actor, Wish::Abandon { reason }).await
            }
            Ask::Baseline(baseline) => {
                self.store.baseline(&actor, &baseline, clock::now())?;
                let _gone = listener.send(Tell::Done { text: "recorded".to_owned() });
                Ok(())
            }
            Ask::Dismiss { alert, reason } => {
                self.store.dismiss(&actor, reason, alert)?;
                let _gone = listener.send(Tell::Done { text: "dismissed".to_owned() });
                Ok(())
            }
        }
    }

    /// Where a run wants a second person, whoever began it does not approve it; also not by `--yes`.
    fn another_person(&self, run: &str, actor: &Actor) -> Result<(), Fault> {
        let entries = self.store.entries(self.find(run)?)?;
        if !store::begun_of(&entries)?.second_person {
            return Ok(());
        }
        let first = entries.first().and_then(|entry| serde_json::from_str::<Actor>(entry.actor()).ok());
        if first.is_some_and(|first| are_two(&first, actor)) {
            return Ok(());
        }
        Err(Fault::new(Code::SamePerson, format!("{run} is approved by another person than the one who began it"))
            .hint("ask somebody who logs in as another user; who cannot be told apart counts as one"))
    }

    fn find(&self, run: &str) -> Result<RunId, Fault> {
        store::parse_run(run).and_then(|id| self.store.exists(id).map(|()| id))
    }

    fn host(&self, id: RunId) -> Option<Rc<RunHost>> {
        self.live.borrow().get(&id).map(Rc::clone)
    }

    /// Puts a wish before a run, taking it up first if nobody executes it.
    async fn wish(
        self: &Rc<Self>,
        run: &str,
        envelope: &Envelope,
        listener: &Listener,
        actor: Arc<str>,
        wish: Wish,
    ) -> Result<(), Fault> {
        let id = self.find(run)?;
        let cancels = matches!(wish, Wish::Cancel { .. });
        if let Some(host) = self.host(id) {
            if cancels {
                // Whoever cancels wants to know what came of it, and that is known at the end: heard from before, lest it be missed.
                host.listen(listener.clone());
            }
            let reply = host.wish(actor, wish).await;
            let () = reply
                .map_err(|_| Fault::new(Code::OwnerGone, "the run stopped before it heard this"))?
                .map_err(unwilling)?;
            if !cancels {
                let _gone = listener.send(Tell::Done { text: format!("done; {id} is executed by its owner") });
            }
            return Ok(());
        }
        let ready = self.take_up(id, envelope)?;
        let host = RunHost::new();
        let reply = host.wish(actor, wish);
        let (quiet, mut heard) = mpsc::unbounded_channel();
        self.execute_on(host, ready, envelope, quiet);
        // A refusal is the last word; whatever else is heard before it is only about the run's being taken up.
        let mut before = Vec::new();
        let mut reply = std::pin::pin!(reply);
        loop {
            tokio::select! {
                biased;
                reply = &mut reply => {
                    if let Ok(Err(refused)) = reply {
                        return Err(unwilling(refused));
                    }
                    break;
                }
                tell = heard.recv() => match tell {
                    Some(tell) if tell.is_last() => { before.push(tell); break; }
                    Some(tell) => before.push(tell),
                    None => break,
                }
            }
        }
        for tell in before {
            let _gone = listener.send(tell);
        }
        while let Some(tell) = heard.recv().await {
            let _gone = listener.send(tell);
        }
        Ok(())
    }

    fn start(self: &Rc<Self>, envelope: &Envelope, ask: StartAsk, listener: &Listener) -> Result<(), Fault> {
        let scenario = recover_scenarios::find(&ask.scenario)
            .ok_or_else(|| Fault::new(Code::UnknownScenario, format!("no scenario is called {}", ask.scenario)))?;
        if let Some(request_id) = &ask.request_id
            && let Some((id, begun)) = self.request(request_id)?
        {
            self.owner.borrow_mut().note(id, &begun, false, false);
        }
        let admission = self.owner.borrow().admit(&Start {
            scenario: ask.scenario.clone(),
            target: ask.target.clone(),
            subject: ask.subject.clone(),
            params: ask.params.clone(),
            request_id: ask.request_id.clone(),
            attach: ask.attach,
        });
        match admission {
            Admission::Begin => {
                self.brake(&ask)?;
                let ready = self.begin(scenario, envelope, ask)?;
                self.execute(ready, envelope, listener.clone());
            }
            Admission::Resume(id) => {
                let ready = self.take_up(id, envelope)?;
                self.execute(ready, envelope, listener.clone());
            }
            Admission::Attach(id) => match self.host(id) {
                Some(host) => self.follow(&host, envelope, listener),
                None => return Err(Fault::new(Code::OwnerGone, format!("{id} has just stopped"))),
            },
            Admission::Known(id) => {
                let (line, exit) = self.store.closed_result(id)?;
                let _gone = listener.send(Tell::Result { line, exit: exit as u8 });
            }
            Admission::Held { by, live, same } => return Err(held(by, live, same)),
            Admission::RequestIdReused(by) => {
                return Err(Fault::new(
                    Code::RequestIdReused,
                    format!("that request id began {by}, for something else"),
                ));
            }
        }
        Ok(())
    }

    /// The run that was begun with this request id. The log is read for it once: a thousand alerts may come at once.
    fn request(&self, request_id: &str) -> Result<Option<(RunId, recover_engine::Begun)>, Fault> {
        let mut requests = self.requests.borrow_mut();
        let known = match requests.as_mut() {
            Some(known) => known,
            None => requests.insert(self.store.requests()?),
        };
        let found = known.get(request_id).copied();
        found.map(|id| self.store.begun(id).map(|begun| (id, begun))).transpose()
    }

    /// Whether what was begun or recovered shortly before keeps this run from being begun.
    fn brake(&self, ask: &StartAsk) -> Result<(), Fault> {
        let (now, subject) = (clock::now(), Key::subject(&ask.subject));
        if ask.despite.is_some() {
            return Ok(());
        }
        let earlier = self.store.since(now, ask.brake.reach_ms())?;
        match ask.brake.holds(now, &ask.scenario, subject, &earlier) {
            None => Ok(()),
            Some(braked) => Err(Fault::new(Code::Braked, format!("{} is held: {braked}", ask.target))
                .hint("look at what they share first; then begin it with --despite REASON, or wait")),
        }
    }

    fn begin(&self, scenario: &'static Registered, envelope: &Envelope, ask: StartAsk) -> Result<Ready, Fault> {
        let target = envelope
            .target
            .clone()
            .ok_or_else(|| Fault::new(Code::UnknownTarget, "the request does not say how its target is reached"))?;
        let now = clock::now();
        let id = clock::run_id(now).map_err(|e| bug("no entropy for a run id", &e))?;
        let machine =
            scenario.entry.begin(&ask.params).map_err(|e| Fault::caused(Code::BadParameter, "parameters", &e))?;
        let consumed = self.store.spent_on(&ask.subject)?;
        let charter = scenario.charter(|begun| recover_engine::Begun {
            target: ask.target,
            subject: ask.subject,
            params: ask.params,
            alert: ask.alert,
            ticket: ask.ticket,
            request_id: ask.request_id,
            despite: ask.despite,
            second_person: ask.second_person,
            plan: ask.plan,
            consumed,
            ..begun
        });
        let run = Run::begin(id, now, envelope.actor.json(), Arc::new(charter), machine)
            .map_err(|e| bug("the run cannot begin", &e))?;
        Ok(Ready { run, target })
    }

    /// A run that nobody executes, folded from its records.
    fn take_up(&self, id: RunId, envelope: &Envelope) -> Result<Ready, Fault> {
        let entries = self.store.entries(id)?;
        let begun = store::begun_of(&entries)?;
        if entries.last().is_some_and(|entry| entry.header().kind == recover_engine::Kind::Closed) {
            return Err(Fault::new(Code::RunClosed, format!("{id} is closed"))
                .hint(format!("`recover show {id}` tells how it ended")));
        }
        let scenario = recover_scenarios::find(&begun.scenario)
            .filter(|scenario| scenario.entry.version == begun.version)
            .ok_or_else(|| {
                Fault::new(
                    Code::TooNew,
                    format!("{id} is of {} version {}, which this build does not know", begun.scenario, begun.version),
                )
                .hint("resume it with the build that began it; replay and verify work with any")
            })?;
        let target = envelope.target.clone().ok_or_else(|| {
            Fault::new(
                Code::UnknownTarget,
                format!("the configuration has no target {}, which {id} is about", begun.target),
            )
        })?;
        let machine =
            scenario.entry.begin(&begun.params).map_err(|e| bug("the run's parameters are not the scenario's", &e))?;
        let charter = scenario.charter_of(begun).map_err(|e| Fault::caused(Code::Damaged, "the run", &e))?;
        let run = Run::resume(&entries, Arc::new(charter), machine, envelope.actor.json())
            .map_err(|e| bug("the run cannot be taken up", &e))?;
        Ok(Ready { run, target })
    }

    /// Executes an open run, or follows it where it is executed.
    fn go_on(self: &Rc<Self>, id: RunId, envelope: &Envelope, listener: &Listener) -> Result<(), Fault> {
        match self.host(id) {
            Some(host) => self.follow(&host, envelope, listener),
            None => {
                let ready = self.take_up(id, envelope)?;
                self.execute(ready, envelope, listener.clone());
            }
        }
        Ok(())
    }

    fn follow(&self, host: &Rc<RunHost>, envelope: &Envelope, listener: &Listener) {
        prepare(host, envelope);
        host.listen(listener.clone());
    }

    fn execute(self: &Rc<Self>, ready: Ready, envelope: &Envelope, listener: Listener) {
        self.execute_on(RunHost::new(), ready, envelope, listener);
    }

    fn execute_on(self: &Rc<Self>, host: Rc<RunHost>, ready: Ready, envelope: &Envelope, listener: Listener) {
        let Ready { mut run, target } = ready;
        let id = run.position().run;
        host.second_person.set(run.position().charter.begun.second_person);
        prepare(&host, envelope);
        if let recover_engine::Phase::Asked { seq, asked } = &run.position().phase {
            host.answer_routine(*seq, asked);
        }
        host.listen(listener);
        let watch = self.watch.borrow().clone();
        if let Some(watch) = &watch {
            host.listen(watch.listener());
            watch.begins(id);
        }
        self.owner.borrow_mut().note(id, &run.position().charter.begun, true, true);
        self.live.borrow_mut().insert(id, Rc::clone(&host));
        let office = Rc::clone(self);
        spawn_local(async move {
            let tell = office.drive(&mut run, &host, &target).await;
            // Before the last word is said, so that whoever hears it finds the run given up.
            office.live.borrow_mut().remove(&id);
            if let Some(watch) = &watch {
                watch.ends(id);
            }
            let closed = matches!(run.position().phase, recover_engine::Phase::Closed(_));
            if closed {
                if let (Some(known), Some(request)) =
                    (office.requests.borrow_mut().as_mut(), &run.position().charter.begun.request_id)
                {
                    known.insert(request.clone(), id);
                }
                office.owner.borrow_mut().closed(id);
            } else {
                office.owner.borrow_mut().live(id, false);
            }
            host.tell(&tell);
            office.idle.notify_waiters();
            office.idle.notify_one();
        });
    }

    async fn drive(&self, run: &mut Run, host: &RunHost, target: &Target) -> Tell {
        let world = match target.world() {
            Ok(world) => world.held_by(self.holder.clone()),
            Err(fault) => return Tell::fault(fault),
        };
        let world = match self.store.baseline_of(&run.position().charter.begun.subject) {
            Ok(baseline) => world.recorded_as(baseline.as_ref().map(|recorded| &recorded.baseline.facts)),
            Err(fault) => return Tell::fault(fault),
        };
        if let Err(fault) = world.is_free().await {
            return Tell::fault(fault);
        }
        let world = Keeping { world, files: self.store.journal().evidence() };
        match drive(run, self.store.journal(), &world, host).await {
            Ok(stop) => {
                if matches!(stop, Stop::Closed(_)) {
                    world.world.release().await;
                }
                let commits = self.store.commits(run.position().run).unwrap_or(host.commits.get());
                let (mut line, exit) = result::result(run.position(), &stop, commits, host.head.get());
                result::explain(&mut line, &self.store.entries(run.position().run).unwrap_or_default());
                if matches!(stop, Stop::Closed(_)) {
                    anchor::send(&line);
                }
                Tell::Result { line, exit: exit as u8 }
            }
            Err(DriveError::Journal(error)) => {
                if let JournalError::Poisoned(_) = error {
                    self.dead.set(Some("the journal could not be written"));
                }
                Tell::fault(store::journal_fault(&error))
            }
            Err(DriveError::Run(error)) => Tell::fault(bug("the run cannot go on", &error)),
        }
    }
}
