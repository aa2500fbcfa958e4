//! A raw group commit: clients that each write their records one after another, and one thread that makes durable what waits.
//!
//! It is what is left of the journal without an engine: no record is put together, nothing is hashed, no ledger is asked. What
//! a client pays is handing over its bytes and being woken.

use std::rc::Rc;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use crate::raw::Raw;
use crate::work::{FRAME, Office};

#[derive(Default)]
struct Waiting {
    bytes: Vec<u8>,
    clients: Vec<oneshot::Sender<()>>,
    closed: bool,
}

/// The thread that writes, and what waits for it.
pub struct Group {
    shared: Arc<(Mutex<Waiting>, Condvar)>,
    thread: Option<std::thread::JoinHandle<u64>>,
}

impl Group {
    pub fn start(mut raw: Raw) -> Self {
        let shared = Arc::<(Mutex<Waiting>, Condvar)>::default();
        let at_work = Arc::clone(&shared);
        let thread = std::thread::spawn(move || {
            let (waiting, come) = &*at_work;
            let (mut frame, mut answered) = (vec![0; FRAME], Vec::<oneshot::Sender<()>>::new());
            let mut commits = 0;
            loop {
                {
                    let idle = |waiting: &mut Waiting| waiting.clients.is_empty() && !waiting.closed;
                    let mut waiting = come.wait_while(waiting.lock().unwrap(), idle).unwrap();
                    if waiting.clients.is_empty() {
                        return commits;
                    }
                    frame.truncate(FRAME);
                    frame.append(&mut waiting.bytes);
                    answered.append(&mut waiting.clients);
                }
                raw.append(&frame);
                commits += 1;
                for client in answered.drain(..) {
                    // Every client waits: none is gone.
                    client.send(()).unwrap();
                }
            }
        });
        Self { shared, thread: Some(thread) }
    }

    /// One write of one client, durable when it returns.
    async fn write(&self, bytes: &[u8]) {
        let (answer, answered) = oneshot::channel();
        {
            let mut waiting = self.shared.0.lock().unwrap();
            waiting.bytes.extend_from_slice(bytes);
            waiting.clients.push(answer);
        }
        self.shared.1.notify_one();
        answered.await.unwrap();
    }

    /// How many commits it made.
    pub fn end(mut self) -> u64 {
        self.shared.0.lock().unwrap().closed = true;
        self.shared.1.notify_one();
        self.thread.take().unwrap().join().unwrap()
    }
}

/// The time in which clients, one for each list, write their records of these lengths.
pub fn clients(office: &Office, group: &Rc<Group>, lengths: Vec<Vec<usize>>) -> Duration {
    let longest = lengths.iter().flatten().copied().max().unwrap_or(0);
    let bytes = Rc::new(vec![7; longest]);
    let begun = Instant::now();
    office.block_on(async {
        let tasks = lengths.into_iter().map(|lengths| {
            let (bytes, group) = (Rc::clone(&bytes), Rc::clone(group));
            tokio::task::spawn_local(async move {
                for len in lengths {
                    group.write(&bytes[..len]).await;
                }
            })
        });
        for task in tasks.collect::<Vec<_>>() {
            task.await.unwrap();
        }
    });
    begun.elapsed()
}
