//! The pure core of `recover`: typed machines, the rules of a legal history, the run and the owner as protocols.
//!
//! Nothing in here reads a clock, a file, a socket or a source of randomness: they come in as arguments.

mod brake;
mod charter;
mod drive;
mod effect;
mod entry;
mod explore;
mod graph;
mod guard;
mod id;
mod journal;
mod json;
mod ledger;
mod machine;
mod owner;
mod position;
mod record;
mod run;
mod scenario;
mod world;

pub use brake::{Brake, Braked, Earlier, Rate};
pub use charter::{Charter, charter, charter_digest};
pub use drive::{DriveError, drive};
pub use effect::{
    AtMostOnce, Doing, Effect, Event, Idempotent, OnlyIfAbsent, Outcome, Probe, Pure, Reason, Redo, RedoPolicy,
    Redoing, StepSet, Told,
};
#[doc(hidden)]
pub use effect::{endings_of, event_of};
pub use entry::{BadEntry, Entry, HEADER_LEN, Header, Kind, Latch, RECORD_LEN_MAX};
pub use explore::{AskedFor, Explored, Flaw, explore};
pub use graph::{Asks, Edge, Graph, Node};
pub use guard::{Breach, Guard, Tally};
pub use id::{BadId, Digest, Key, Millis, RunId};
pub use journal::{Journal, JournalError, Receipt};
pub use json::Json;
pub use ledger::{Conflict, Consumed, Ledger, OpenRun};
pub use machine::{Entry as ScenarioEntry, Machine};
pub use owner::{Admission, Owner, Start};
pub use position::{IllegalRecord, Open, Phase, Position};
pub use record::{
    Answered, Asked, Attempt, Baseline, Begun, CancelRequested, Evidence, Fenced, Intent, Noted, Record, Resolved,
    Resulted, Spent, Waiting,
};
pub use run::{Action, Run, RunError, Stop, input_of};
pub use scenario::{Choice, Ending, Illegal, Input, Next, Question, Scenario, Verdict, Wait, Workload};
pub use world::{Act, FenceRaised, Host, Performed, Probed, Request, Seen, Unwilling, Wish, Woken, World};
