//! One command's way: become the owner, or ask the one there is; and if it dies, begin again.

use std::path::Path;
use std::rc::Rc;
use std::time::Duration;

use recover_adapters::Holder;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::UnixStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::actor::Actor;
use crate::config::Config;
use crate::fault::{Code, Exit, Fault};
use crate::hooks::Hooks;
use crate::owner::ask::{Ask, Envelope, Tell, fault_of};
use crate::owner::live::Live;
use crate::owner::office::Office;
use crate::owner::{result, socket};
use crate::printer::Printer;
use crate::store::{Opened, Store};

/// How often a client looks for the lock or the socket while neither is to be had and nothing changes.
const TRIES: u32 = 100;
/// How often at most, though owners come and go: after a crash many commands take turns.
const TURNS: u32 = 1_200;
const BETWEEN_TRIES: Duration = Duration::from_millis(50);
/// An owner says at once that it has read a request. One that has not by then stands still.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// Has a request carried out, prints what is heard, and says how the process is to end.
pub(crate) fn submit(state: &Path, config: &Config, mut envelope: Envelope, printer: Printer) -> Result<Exit, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::caused(Code::NoResources, "the runtime cannot be started", &e))?;
    LocalSet::new().block_on(&runtime, async {
        let (mut silent, mut last_holder) = (0, 0);
        for _ in 0..TURNS {
            match Store::open(state)? {
                Opened::Own(store) => return own(state, *store, config, envelope, printer).await,
                Opened::Held { holder } => match ask(&socket::path(state), &envelope, printer).await {
                    Heard::Last(exit) => return exit,
                    Heard::OwnerDied => {
                        if silent > 0 || last_holder == 0 {
                            printer.talk("the owner of the state directory is gone; taking over");
                        }
                        silent = 0;
                        last_holder = holder;
                        envelope.again = true;
                    }
                    Heard::Nothing => return Err(unheard(&envelope, holder)),
                    Heard::NoSocket => {
                        tracing::debug!(holder, "the lock is held and no socket answers");
                        silent = if holder == last_holder { silent + 1 } else { 1 };
                        last_holder = holder;
                        if silent >= TRIES {
                            break;
                        }
                    }
                },
            }
            tokio::time::sleep(BETWEEN_TRIES).await;
        }
        Err(unheard(&envelope, last_holder))
    })
}

/// Nobody can say what becomes of a request that was not answered: an owner that stands still may go on, and then hear it.
fn unheard(envelope: &Envelope, holder: u32) -> Fault {
    let what = match &envelope.ask {
        Ask::Cancel { .. } => "cancel unconfirmed: ",
        Ask::Start(_)
        | Ask::Resume { .. }
        | Ask::Answer { .. }
        | Ask::Resolve { .. }
        | Ask::Abandon { .. }
        | Ask::Dismiss { .. }
        | Ask::Baseline(_) => "",
    };
    let said = format!("{what}process {holder} holds the state directory and does not answer");
    Fault::new(Code::OwnerGone, said)
        .hint("look at that process; whether it hears this later, `recover events` tells. Once it is ended, ask again")
}

/// As the owner: carries the request out, serves others, and stays until the last run has stopped.
async fn own(state: &Path, store: Store, config: &Config, envelope: Envelope, printer: Printer) -> Result<Exit, Fault> {
    let actor = envelope.actor.json();
    // Bound in the directory that was judged, and not in what has its name by now. The office holds it open.
    let anchored = store.journal().anchored();
    let office = Office::new(store, holder(state))?;
    let hooks = Hooks::start(&config.hook, state, &office)?;
    hear_approvals(config, &office)?;
    let listener = socket::bind(&anchored)
        .map_err(|e| Fault::caused(Code::Unreadable, "the owner's socket cannot be made", &e))?;
    tokio::task::spawn_local(socket::serve(Rc::clone(&office), listener));
    let (sender, mut heard) = mpsc::unbounded_channel();
    let first = Rc::clone(&office);
    tokio::task::spawn_local(async move { first.handle(envelope, sender).await });

    let stream = |kind| signal(kind).map_err(|e| Fault::caused(Code::NoResources, "signals cannot be caught", &e));
    let (mut int, mut term) = (stream(SignalKind::interrupt())?, stream(SignalKind::terminate())?);
    let mut signals = 0_u32;
    let mut said: Option<Result<Exit, Fault>> = None;
    let mut live = Live::new();
    loop {
        tokio::select! {
            biased;
            Some(()) = async { tokio::select! { s = int.recv() => s, s = term.recv() => s } } => {
                signals += 1;
                if signals > 1 {
                    crash();
                }
                printer.talk("stopping at the next boundary; a second signal ends the process at once");
                office.interrupt(&actor);
            }
            tell = heard.recv(), if said.is_none() => match tell {
                Some(tell) => said = show(tell, &mut live, printer),
                None => said = Some(Err(Fault::new(Code::Bug, "the request ended without a word"))),
            },
            () = office.idle(), if said.is_some() => break,
            () = live.tick() => live.draw(),
        }
        if let Some(why) = office.dead.get() {
            tracing::error!(why, "the process ends");
            let fault = match said {
                Some(Err(fault)) => fault,
                _ => Fault::new(Code::NotWritable, why),
            };
            die(&fault, printer);
        }
    }
    hooks.finish().await;
    said.unwrap_or(Ok(Exit::Bug))
}

/// From now on people who may approve are heard, where there are such.
pub(crate) fn hear_approvals(config: &Config, office: &Rc<Office>) -> Result<(), Fault> {
    if let Some(approvals) = &config.approvals {
        let listener = socket::bind_approvals(approvals)?;
        tokio::task::spawn_local(socket::serve_approvals(Rc::clone(office), listener));
    }
    Ok(())
}

/// Asks at a socket for approvals: whoever is there is the owner, and nobody here becomes one.
pub(crate) fn submit_at(socket: &Path, envelope: &Envelope, printer: Printer) -> Result<Exit, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::caused(Code::NoResources, "the runtime cannot be started", &e))?;
    match runtime.block_on(ask(socket, envelope, printer)) {
        Heard::Last(exit) => exit,
        Heard::NoSocket => Err(Fault::new(Code::OwnerGone, format!("nobody hears at {}", socket.display()))
            .hint("questions are heard there while an owner waits: `recover serve`, or a command with --wait")),
        Heard::OwnerDied => Err(Fault::new(Code::OwnerGone, "the owner is gone before it answered")),
        Heard::Nothing => {
            Err(Fault::new(Code::OwnerGone, format!("the owner at {} does not answer", socket.display())))
        }
    }
}

/// After a failed write or sync nothing may be flushed, retried or dropped: the process ends here.
#[expect(clippy::disallowed_methods, reason = "a poisoned journal must not run destructors, sled's least of all")]
pub(crate) fn die(fault: &Fault, printer: Printer) -> ! {
    crate::say(fault, printer);
    std::process::exit(i32::from(Exit::JournalNotWritable as u8))
}

/// A crash on demand, and nothing worse.
pub(crate) fn crash() {
    let _sent = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
}

enum Heard {
    Last(Result<Exit, Fault>),
    OwnerDied,
    NoSocket,
    /// It is there, and has not said within its time that it read the request.
    Nothing,
}

async fn ask(socket: &Path, envelope: &Envelope, printer: Printer) -> Heard {
    let Ok(stream) = UnixStream::connect(socket).await else { return Heard::NoSocket };
    let (read, mut write) = stream.into_split();
    let Ok(mut text) = serde_json::to_vec(envelope) else { return Heard::NoSocket };
    text.push(b'\n');
    if write.write_all(&text).await.is_err() {
        return Heard::OwnerDied;
    }
    let mut lines = BufReader::new(read).lines();
    let mut live = Live::new();
    let mut taken = false;
    let late = tokio::time::sleep(TAKEN_WITHIN);
    tokio::pin!(late);
    loop {
        let next = tokio::select! {
            biased;
            next = lines.next_line() => next,
            () = &mut late, if !taken => return Heard::Nothing,
            () = live.tick() => {
                live.draw();
                continue;
            }
        };
        let Ok(Some(line)) = next else { break };
        taken = true;
        match serde_json::from_str::<Tell>(&line) {
            // An owner that stops at a boundary hands its other runs over.
            Ok(Tell::Result { exit, .. }) if exit == Exit::Interrupted as u8 => return Heard::OwnerDied,
            Ok(Tell::Refused { code, .. }) if code == Code::OwnerGone.as_str() => return Heard::OwnerDied,
            Ok(tell) => {
                if let Some(last) = show(tell, &mut live, printer) {
                    return Heard::Last(last);
                }
            }
            Err(_) => return Heard::OwnerDied,
        }
    }
    Heard::OwnerDied
}

/// Prints what was heard; the last word is the end.
fn show(tell: Tell, live: &mut Live, printer: Printer) -> Option<Result<Exit, Fault>> {
    match tell {
        Tell::Taken => None,
        Tell::Event { line, text } => {
            if printer.json() {
                printer.data(&line.to_string());
            } else if !printer.quiet {
                live.show(&line, &text);
            }
            None
        }
        Tell::Done { text } => {
            if printer.json() {
                printer.data(&serde_json::json!({ "schema": "recover.done/v1", "text": text }).to_string());
            } else {
                printer.data(&text);
            }
            Some(Ok(Exit::Done))
        }
        Tell::Result { line, exit } => {
            printer.show(&line, || result::text(&line));
            Some(Ok(exit_of(exit)))
        }
        Tell::Refused { code, message, hint } => Some(Err(fault_of(&code, message, hint))),
    }
}

fn exit_of(code: u8) -> Exit {
    const ALL: &[Exit] = &[
        Exit::Done,
        Exit::Bug,
        Exit::AsFound,
        Exit::Residue,
        Exit::PersonNeeded,
        Exit::GuardRefused,
        Exit::Held,
        Exit::Damaged,
        Exit::NotApplicable,
        Exit::Usage,
        Exit::JournalNotWritable,
        Exit::Interrupted,
    ];
    ALL.iter().copied().find(|exit| *exit as u8 == code).unwrap_or(Exit::Bug)
}

/// Who acts, as the mark at a target names him: a copy of the directory elsewhere is another one.
pub(crate) fn holder(state: &Path) -> Holder {
    let actor = Actor::here();
    let path = std::fs::canonicalize(state).unwrap_or_else(|_| state.to_owned());
    Holder { machine: actor.machine, host: actor.host, state_dir: path.display().to_string() }
}
