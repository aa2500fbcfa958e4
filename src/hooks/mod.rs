//! Hooks: who else is told of what a run does, over HTTP or by a command, once it is durable.
//!
//! Each hook has a place in the log up to which it was told, in a file of the state directory: whoever owns the directory next goes on
//! from there. So a kill loses none and may repeat one; `recover-delivery` names each for whoever must not act twice. A hook that fails
//! holds up nothing but itself.

pub(crate) mod config;
mod deliver;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::Duration;

use recover_engine::{Entry, Kind, Record};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::task::{JoinHandle, spawn_local};

use crate::fault::{Code, Fault};
use crate::hooks::config::{Hook, On};
use crate::hooks::deliver::{Delivery, Sink};
use crate::line;
use crate::owner::Office;
use crate::records::Records;

/// How often it is looked whether something is new. Looking is reading one number.
const LOOK: Duration = Duration::from_millis(100);
/// How long an owner that ends waits for its hooks.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The hooks of one owner.
pub(crate) struct Hooks {
    tasks: Vec<JoinHandle<()>>,
    aside: Vec<mpsc::UnboundedSender<(On, Value)>>,
    told: RefCell<BTreeSet<(String, u64)>>,
    behind: Rc<RefCell<Vec<u64>>>,
    office: Rc<Office>,
}

impl Hooks {
    /// Begins to tell.
    pub(crate) fn start(hooks: &[Hook], state: &Path, office: &Rc<Office>) -> Result<Self, Fault> {
        let mut this = Self {
            tasks: Vec::new(),
            aside: Vec::new(),
            told: RefCell::default(),
            behind: Rc::new(RefCell::new(vec![0; hooks.len()])),
            office: Rc::clone(office),
        };
        for (number, hook) in hooks.iter().enumerate() {
            let cursor = Cursor::of(state, &hook.name, office.head())?;
            let records = Records::open(state)?;
            let sink = Sink::of(hook)?;
            let (sender, heard) = mpsc::unbounded_channel();
            this.aside.push(sender);
            this.behind.borrow_mut()[number] = cursor.frame;
            let teller =
                Teller { hook: hook.clone(), sink, cursor, records, heard, number, behind: Rc::clone(&this.behind) };
            this.tasks.push(spawn_local(teller.tell(Rc::clone(office))));
        }
        Ok(this)
    }

    /// Says that nothing has come of a run for long, once for each record that was its last.
    pub(crate) fn stuck(&self, status: &Value) {
        let run = status["run"].as_str().unwrap_or_default().to_owned();
        let last = status["records"].as_u64().unwrap_or_default();
        if self.told.borrow_mut().insert((run, last)) {
            for aside in &self.aside {
                // A hook that has ended hears nothing.
                let _gone = aside.send((On::Stuck, status.clone()));
            }
        }
    }

    /// Waits a little for what is not told yet. What is left is told by the next owner.
    pub(crate) async fn finish(self) {
        let all = async {
            let head = self.office.head();
            while self.behind.borrow().iter().any(|frame| *frame < head) {
                tokio::time::sleep(LOOK / 4).await;
            }
        };
        if tokio::time::timeout(LAST_WORDS, all).await.is_err() {
            tracing::warn!("some hooks were not told of everything; the next owner goes on");
        }
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// One hook at work.
struct Teller {
    hook: Hook,
    sink: Sink,
    cursor: Cursor,
    records: Records,
    heard: mpsc::UnboundedReceiver<(On, Value)>,
    number: usize,
    behind: Rc<RefCell<Vec<u64>>>,
}

impl Teller {
    async fn tell(mut self, office: Rc<Office>) {
        let mut follower = self.records.follower(self.cursor.frame);
        loop {
            while let Ok((on, status)) = self.heard.try_recv() {
                if self.hook.hears(on) {
                    self.sink.deliver(&aside(&self.hook, on, &status)).await;
                }
            }
            let head = office.head();
            if self.cursor.frame >= head {
                tokio::time::sleep(LOOK).await;
                continue;
            }
            // What is visible and not yet durable is nobody's business.
            let frames = match follower.poll(head) {
                Ok(frames) => frames,
                Err(error) => {
                    tracing::warn!(hook = self.hook.name, %error, "the hook cannot read on");
                    return;
                }
            };
            let Some(last) = frames.last().map(|frame| frame.number) else {
                tokio::time::sleep(LOOK).await;
                continue;
            };
            for entry in frames.iter().flat_map(|frame| &frame.entries) {
                if let Some(on) = on(entry).filter(|on| self.hook.hears(*on)) {
                    self.sink.deliver(&delivery(&self.hook, on, entry)).await;
                }
            }
            self.cursor.set(last);
            self.behind.borrow_mut()[self.number] = last;
        }
    }
}

/// What a record is for those who are told.
fn on(entry: &Entry) -> Option<On> {
    match entry.header().kind {
        Kind::Begun => Some(On::Begun),
        Kind::Intent | Kind::Outcome | Kind::Fenced | Kind::Waiting => Some(On::Step),
        Kind::Attempt => match Record::parse(Kind::Attempt, entry.payload()) {
            Ok(Record::Attempt(attempt)) if attempt.doubt => Some(On::Doubt),
            Ok(_) | Err(_) => Some(On::Step),
        },
        Kind::Asked => Some(On::Asked),
        Kind::Answered | Kind::Denied | Kind::Resolved | Kind::CancelRequested => Some(On::Answered),
        Kind::Closed => Some(On::Closed),
        Kind::Adopted | Kind::Salvaged | Kind::Cleared | Kind::Baselined | Kind::Dismissed => None,
    }
}

fn delivery(hook: &Hook, on: On, entry: &Entry) -> Delivery {
    let header = entry.header();
    let next = match on {
        On::Asked => Some(format!("recover approve {} --reason …", header.run)),
        On::Doubt => Some(format!("recover status {}", header.run)),
        On::Begun | On::Step | On::Answered | On::Stuck | On::Closed => None,
    };
    let body = json!({
        "schema": "recover.hook/v1", "hook": hook.name, "on": on, "event": line::event(entry),
        "text": line::sentence(entry), "next": next,
    });
    Delivery { id: format!("{}:{}", header.run, header.seq), body: body.to_string() }
}

fn aside(hook: &Hook, on: On, status: &Value) -> Delivery {
    let (run, records) = (status["run"].as_str().unwrap_or_default(), &status["records"]);
    let body = json!({
        "schema": "recover.hook/v1", "hook": hook.name, "on": on, "event": status,
        "text": format!("nothing has come of {run} for a while: {}", status["why"].as_str().unwrap_or_default()),
        "next": format!("recover status {run}"),
    });
    Delivery { id: format!("{run}:{records}:stuck"), body: body.to_string() }
}

/// Up to which frame a hook was told.
struct Cursor {
    path: PathBuf,
    frame: u64,
}

impl Cursor {
    /// That of a hook; a new one begins at the head, so that it is not told of last year.
    fn of(state: &Path, name: &str, head: u64) -> Result<Self, Fault> {
        let folder = state.join("hooks");
        let failed = |e: std::io::Error| Fault::caused(Code::Unreadable, "the hooks' folder", &e);
        match std::os::unix::fs::DirBuilderExt::mode(&mut std::fs::DirBuilder::new(), 0o700).create(&folder) {
            Err(e) if e.kind() != std::io::ErrorKind::AlreadyExists => return Err(failed(e)),
            Ok(()) | Err(_) => {}
        }
        let path = folder.join(name);
        let frame = match std::fs::read_to_string(&path) {
            // One that is ahead is of another log.
            Ok(text) => text.trim().parse().ok().filter(|frame| *frame <= head).unwrap_or(head),
            Err(_) => head,
        };
        let this = Self { path, frame };
        std::fs::write(&this.path, format!("{frame}\n")).map_err(failed)?;
        Ok(this)
    }

    /// It is not synced: a power cut may lead to being told again, which is promised to no one not to happen.
    fn set(&mut self, frame: u64) {
        self.frame = frame;
        if let Err(error) = std::fs::write(&self.path, format!("{frame}\n")) {
            tracing::warn!(%error, "how far a hook was told cannot be kept; it may be told again");
        }
    }
}
