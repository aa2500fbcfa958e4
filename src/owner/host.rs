//! Time, requests and an audience for one run.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::future::poll_fn;
use std::rc::Rc;
use std::time::Duration;

use recover_engine::{Asked, Choice, Entry, Host, Kind, Millis, Receipt, Record, Request, Unwilling, Wish, Woken};
use tokio::sync::{mpsc, oneshot};

use crate::clock;
use crate::line;
use crate::owner::ask::Tell;

/// The wall clock may jump; it is looked at this often.
const LOOK: Duration = Duration::from_millis(500);

/// What the owner keeps of a run that it executes.
#[derive(Debug)]
pub(crate) struct RunHost {
    wishes: RefCell<mpsc::UnboundedReceiver<Request>>,
    sender: mpsc::UnboundedSender<Request>,
    replies: RefCell<HashMap<u64, oneshot::Sender<Result<(), Unwilling>>>>,
    audience: RefCell<Vec<mpsc::UnboundedSender<Tell>>>,
    next_id: Cell<u64>,
    /// Answers routine questions, in this actor's name.
    pub(crate) yes: RefCell<Option<std::sync::Arc<str>>>,
    /// Whether another person than the one who began it has to approve: then nothing is answered by itself.
    pub(crate) second_person: Cell<bool>,
    /// Until when people are waited for.
    pub(crate) wait_until: Cell<Option<Millis>>,
    /// Durable commits that this process made for the run.
    pub(crate) commits: Cell<u32>,
    pub(crate) head: Cell<Option<Receipt>>,
}

impl RunHost {
    pub(crate) fn new() -> Rc<Self> {
        let (sender, wishes) = mpsc::unbounded_channel();
        Rc::new(Self {
            wishes: RefCell::new(wishes),
            sender,
            replies: RefCell::new(HashMap::new()),
            audience: RefCell::new(Vec::new()),
            next_id: Cell::new(1),
            yes: RefCell::new(None),
            second_person: Cell::new(false),
            wait_until: Cell::new(None),
            commits: Cell::new(0),
            head: Cell::new(None),
        })
    }

    /// Follows the run from now on.
    pub(crate) fn listen(&self, listener: mpsc::UnboundedSender<Tell>) {
        self.audience.borrow_mut().push(listener);
    }

    /// Tells every listener.
    pub(crate) fn tell(&self, tell: &Tell) {
        self.audience.borrow_mut().retain(|listener| listener.send(tell.clone()).is_ok());
    }

    /// Puts a wish before the run; the answer comes when it is durable or refused.
    pub(crate) fn wish(&self, actor: std::sync::Arc<str>, wish: Wish) -> oneshot::Receiver<Result<(), Unwilling>> {
        let id = self.next_id.get();
        self.next_id.set(id + 1);
        let (reply, answer) = oneshot::channel();
        self.replies.borrow_mut().insert(id, reply);
        // The receiver lives as long as this host.
        let _sent = self.sender.send(Request { id, actor, wish });
        answer
    }
}

impl Host for RunHost {
    fn now(&self) -> Millis {
        clock::now()
    }

    async fn wait(&self, until: Millis) -> Woken {
        loop {
            let left = u64::try_from(until.0.saturating_sub(clock::now().0)).unwrap_or(0);
            if left == 0 {
                return Woken::Elapsed;
            }
            let nap = tokio::time::sleep(LOOK.min(Duration::from_millis(left)));
            let wish = poll_fn(|context| self.wishes.borrow_mut().poll_recv(context));
            tokio::select! {
                biased;
                Some(request) = wish => return Woken::Request(request),
                () = nap => {}
            }
            if self.wait_until.get().is_some_and(|end| clock::now() >= end) {
                return Woken::Elapsed;
            }
        }
    }

    async fn hear(&self) -> Request {
        match poll_fn(|context| self.wishes.borrow_mut().poll_recv(context)).await {
            Some(request) => request,
            // Never: the sender is this host's own.
            None => std::future::pending().await,
        }
    }

    fn request(&self) -> Option<Request> {
        self.wishes.borrow_mut().try_recv().ok()
    }

    fn waits_for_people(&self) -> bool {
        !self.wishes.borrow().is_empty() || self.wait_until.get().is_some_and(|end| clock::now() < end)
    }

    fn reply(&self, id: u64, reply: Result<(), Unwilling>) {
        if let Some(waiting) = self.replies.borrow_mut().remove(&id) {
            // A client that went away does not wait for it any more.
            let _gone = waiting.send(reply);
        }
    }

    fn recorded(&self, entries: &[Entry], receipt: Receipt) {
        self.commits.set(self.commits.get() + 1);
        self.head.set(Some(receipt));
        for entry in entries {
            self.tell(&Tell::Event { line: line::event(entry), text: line::sentence(entry) });
            if entry.header().kind == Kind::Asked
                && let Ok(Record::Asked(asked)) = Record::parse(Kind::Asked, entry.payload())
            {
                self.answer_routine(entry.header().seq, &asked);
            }
        }
    }
}

impl RunHost {
    /// `--yes` answers what the scenario calls routine, and nothing else.
    pub(crate) fn answer_routine(&self, seq: u32, asked: &Asked) {
        let Some(actor) = self.yes.borrow().clone() else { return };
        if let Some(choice) = asked.question.routine.clone() {
            debug_assert_ne!(choice, Choice::DENY, "a routine answer is never a no");
            let question = Some(seq);
            let reason = "answered by --yes".to_owned();
            let _answer = self.wish(actor, Wish::Answer { question, choice: choice.into_owned(), reason });
        }
    }
}
