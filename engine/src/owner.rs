//! The owner of a state directory as a pure protocol: what a request to start a run leads to.

use crate::id::{Digest, Key, RunId};
use crate::json::Json;
use crate::record::Begun;

/// A request to start a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Start {
    /// The scenario.
    pub scenario: String,
    /// The target's name.
    pub target: String,
    /// What the run is about.
    pub subject: String,
    /// What the scenario is to be begun with.
    pub params: Json,
    /// The client's own name for the request.
    pub request_id: Option<String>,
    /// Whether to follow a run that holds the subject.
    pub attach: bool,
}

/// What the owner does with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admission {
    /// Begin a new run.
    Begin,
    /// The same request again: take up the open run, which nobody executes.
    Resume(RunId),
    /// Follow the run.
    Attach(RunId),
    /// The subject is held by this run.
    Held {
        /// The run.
        by: RunId,
        /// Whether it is being executed.
        live: bool,
        /// Whether it was begun with the same scenario, target and parameters.
        same: bool,
    },
    /// The request id was used before: this is its run.
    Known(RunId),
    /// The request id was used before for something else.
    RequestIdReused(RunId),
}

/// What the owner knows: the open runs, and which of them it executes.
#[derive(Clone, Debug, Default)]
pub struct Owner {
    runs: Vec<Held>,
}

#[derive(Clone, Debug)]
struct Held {
    id: RunId,
    subject: Key,
    request: Digest,
    request_id: Option<String>,
    open: bool,
    live: bool,
}

fn request_digest(scenario: &str, target: &str, subject: &str, params: &Json) -> Digest {
    // As JSON, so that no part can run into the next.
    Digest::of(Json::of(&(scenario, target, subject, params)).as_str().as_bytes())
}

impl Owner {
    /// Takes note of a run in the journal: open or closed, executed by this owner or not.
    pub fn note(&mut self, id: RunId, begun: &Begun, open: bool, live: bool) {
        self.runs.retain(|run| run.id != id);
        self.runs.push(Held {
            id,
            subject: Key::subject(&begun.subject),
            request: request_digest(&begun.scenario, &begun.target, &begun.subject, &begun.params),
            request_id: begun.request_id.clone(),
            open,
            live,
        });
    }

    /// This owner executes the run from now on, or no longer.
    pub fn live(&mut self, id: RunId, live: bool) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.id == id) {
            run.live = live;
        }
    }

    /// The run closed.
    pub fn closed(&mut self, id: RunId) {
        if let Some(run) = self.runs.iter_mut().find(|run| run.id == id) {
            (run.open, run.live) = (false, false);
        }
    }

    /// Whether this owner executes the run.
    #[must_use]
    pub fn is_live(&self, id: RunId) -> bool {
        self.runs.iter().any(|run| run.id == id && run.live)
    }

    /// How many runs this owner executes. It stays until there are none.
    #[must_use]
    pub fn executing(&self) -> usize {
        self.runs.iter().filter(|run| run.live).count()
    }

    /// What a request to start leads to.
    #[must_use]
    pub fn admit(&self, start: &Start) -> Admission {
        let request = request_digest(&start.scenario, &start.target, &start.subject, &start.params);
        if let Some(wanted) = &start.request_id
            && let Some(known) = self.runs.iter().find(|run| run.request_id.as_ref() == Some(wanted))
        {
            return match (known.request == request, known.open, known.live) {
                (false, ..) => Admission::RequestIdReused(known.id),
                (true, true, false) => Admission::Resume(known.id),
                (true, true, true) => Admission::Attach(known.id),
                (true, false, _) => Admission::Known(known.id),
            };
        }
        let subject = Key::subject(&start.subject);
        let Some(holder) = self.runs.iter().find(|run| run.open && run.subject == subject) else {
            return Admission::Begin;
        };
        let same = holder.request == request;
        match (holder.live, same, start.attach) {
            (true, _, true) => Admission::Attach(holder.id),
            (false, true, _) => Admission::Resume(holder.id),
            (live, ..) => Admission::Held { by: holder.id, live, same },
        }
    }
}
