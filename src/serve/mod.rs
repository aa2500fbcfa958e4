//! `recover serve`: the owner of a state directory for as long as it is told to be. It resumes what is open, hears alerts, waits with
//! people for their questions' deadlines, and shows all of it to a browser and to machines.

mod alerts;
mod api;
mod auth;
mod clients;
pub(crate) mod config;
mod counter;
mod listen;
mod live;
mod metrics;
mod pace;
mod page;
mod waiting;
mod webhook;

use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use recover_adapters::Credential;
use recover_engine::{Phase, Position};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::{LocalSet, spawn_local};

use crate::actor::Actor;
use crate::args::Global;
use crate::clock;
use crate::fault::{Code, Exit, Fault};
use crate::hooks::Hooks;
use crate::owner::{Office, Watch, die, hear_approvals, holder, socket};
use crate::place::Place;
use crate::printer::Printer;
use crate::serve::auth::{Auth, Role};
use crate::serve::config::{Resume, Serve};
use crate::serve::counter::Counter;
use crate::store::{Opened, Store};
use crate::verbs::{rehearse_quietly, status_line};
use crate::whole;

/// How long another owner is waited for.
const OWNED_FOR: Duration = Duration::from_secs(30);
const BETWEEN_TRIES: Duration = Duration::from_millis(200);
/// How often what nobody executes is looked at: a question there whose time is over takes its consequence.
const WARDEN: Duration = Duration::from_secs(10);
/// The token that it makes for itself.
const TOKEN: &str = "serve.token";

/// Serves until a signal.
pub(crate) fn serve(global: &Global, listen: Option<SocketAddr>, printer: Printer) -> Result<Exit, Fault> {
    let place = Place::of(global)?;
    if !place.named {
        return Err(Fault::new(Code::StateDirUnnamed, "no state directory is named")
            .hint("set `state_dir` in the configuration"));
    }
    let mut config = place.loaded.config.serve.clone();
    config.listen = listen.unwrap_or(config.listen);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::caused(Code::NoResources, "the runtime cannot be started", &e))?;
    LocalSet::new().block_on(&runtime, run(place, config, printer))
}

async fn run(place: Place, mut config: Serve, printer: Printer) -> Result<Exit, Fault> {
    let tls = listen::tls(&config)?;
    let store = own(&place.state).await?;
    let anchored = store.journal().anchored();
    let tokens = tokens(&place.state, &config)?;
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .and_then(|listener| listener.local_addr().map(|address| (listener, address)));
    let (listener, address) = listener
        .map_err(|e| Fault::caused(Code::BadConfig, &format!("{} cannot be listened at", config.listen), &e))?;
    config.listen = address;
    let auth = Auth::new(&tokens, address, &config.hosts, tls.is_some());
    let office = Office::new(store, holder(&place.state))?;
    let control = socket::bind(&anchored)
        .map_err(|e| Fault::caused(Code::Unreadable, "the owner's socket cannot be made", &e))?;
    spawn_local(socket::serve(Rc::clone(&office), control));
    hear_approvals(&place.loaded.config, &office)?;
    let (watch, heard) = Watch::new();
    office.watch(watch.clone());
    let (counter, mut asks) = Counter::new(place.clone(), config.clone(), auth, watch)?;
    let counter = Arc::new(counter);
    spawn_local(Arc::clone(&counter).spread(heard));
    let asked = Rc::clone(&office);
    spawn_local(async move {
        while let Some((envelope, listener)) = asks.recv().await {
            let office = Rc::clone(&asked);
            spawn_local(async move { office.handle(envelope, listener).await });
        }
    });
    spawn_local(listen::serve(listener, tls, Arc::clone(&counter)));
    let hooks = Hooks::start(&place.loaded.config.hook, &place.state, &office)?;
    announce(&place.state, &config, &counter, printer);
    let (first, warden, overdue) = (Arc::clone(&counter), Arc::clone(&counter), Rc::clone(&office));
    if config.resume == Resume::All {
        spawn_local(async move { first.resume_all(printer).await });
    }
    if let Some(every) = config.rehearse_every {
        spawn_local(rehearse(place.clone(), every.as_duration(), printer));
    }
    let looks = async {
        loop {
            tokio::time::sleep(WARDEN).await;
            for run in overdue.overdue() {
                warden.resume(&run, printer).await;
            }
            stuck(&overdue, &warden, &hooks);
        }
    };
    let ended = tokio::select! {
        ended = until_told(&office, printer) => ended,
        () = looks => Ok(Exit::Bug),
    };
    hooks.finish().await;
    ended
}

/// Rehearses every target, one after another, again and again.
async fn rehearse(place: Place, every: Duration, printer: Printer) {
    loop {
        let names: Vec<String> = place.loaded.config.target.keys().cloned().collect();
        for name in names {
            let place = place.clone();
            let done = tokio::task::spawn_blocking(move || rehearse_quietly(&place, &name, printer)).await;
            if let Ok(Err(fault)) = done {
                printer.talk(&format!("a target was not rehearsed: {}", fault.text()));
            }
        }
        tokio::time::sleep(every).await;
    }
}

/// Says which open runs nothing has come of for long, and that are not meant to wait.
fn stuck(office: &Office, counter: &Counter, hooks: &Hooks) {
    let now = clock::now();
    let waits = |position: &Position| matches!(position.phase, Phase::Waiting { until } if until > now);
    let long = |position: &Position| position.at.plus(counter.config.stuck_after.as_ms()) <= now;
    for position in office.open().iter().filter(|position| long(position) && !waits(position)) {
        hooks.stuck(&status_line(position, counter.watch.is_live(position.run)).0);
    }
}

/// Until a signal, or until the journal takes no more.
async fn until_told(office: &Rc<Office>, printer: Printer) -> Result<Exit, Fault> {
    let stream = |kind| signal(kind).map_err(|e| Fault::caused(Code::NoResources, "signals cannot be caught", &e));
    let (mut int, mut term) = (stream(SignalKind::interrupt())?, stream(SignalKind::terminate())?);
    tokio::select! {
        biased;
        () = office.died() => {}
        _ = int.recv() => {}
        _ = term.recv() => {}
    }
    if let Some(why) = office.dead.get() {
        die(&Fault::new(Code::NotWritable, why), printer);
    }
    printer.talk("stopping at the next boundary of each run; a second signal ends the process at once");
    office.interrupt(&Actor::here().json());
    tokio::select! {
        () = office.idle() => {}
        _ = int.recv() => crate::owner::crash(),
        _ = term.recv() => crate::owner::crash(),
    }
    if let Some(why) = office.dead.get() {
        die(&Fault::new(Code::NotWritable, why), printer);
    }
    Ok(Exit::Done)
}

/// Opens the state directory for writing; a command that owns it is waited for a little.
async fn own(state: &Path) -> Result<Store, Fault> {
    let until = tokio::time::Instant::now() + OWNED_FOR;
    loop {
        match Store::open(state)? {
            Opened::Own(store) => return Ok(*store),
            Opened::Held { holder } if tokio::time::Instant::now() >= until => {
                return Err(Fault::new(Code::RunLive, format!("process {holder} owns {}", state.display()))
                    .hint("it ends when its runs have stopped; or stop it with SIGTERM"));
            }
            Opened::Held { .. } => tokio::time::sleep(BETWEEN_TRIES).await,
        }
    }
}

/// The tokens that are known: those of the configuration, and one of its own.
fn tokens(state: &Path, config: &Serve) -> Result<Vec<(String, Role)>, Fault> {
    use secrecy::ExposeSecret as _;
    let mut tokens = Vec::new();
    let named = &config.tokens;
    for (reference, role) in
        [(&named.view, Role::View), (&named.operate, Role::Operate), (&named.approve, Role::Approve)]
    {
        if let Some(reference) = reference {
            let token = Credential::new(reference.clone()).read().map_err(|e| Fault::new(Code::BadConfig, e))?;
            if token.expose_secret().trim().len() < 16 {
                let message = format!("the token {reference} is shorter than 16 characters");
                return Err(Fault::new(Code::BadConfig, message).hint("openssl rand -base64 32"));
            }
            tokens.push((token.expose_secret().to_owned(), role));
        }
    }
    if config.listen.ip().is_loopback() {
        tokens.push((own_token(state)?, Role::Approve));
    } else if tokens.is_empty() && config.tls.as_ref().is_none_or(|tls| tls.clients.is_empty()) {
        return Err(Fault::new(
            Code::BadConfig,
            "elsewhere than on loopback nobody is heard without a token or a certificate",
        )
        .hint("name them in `serve.tokens` or `serve.tls.clients`"));
    }
    Ok(tokens)
}

/// Its own token: whoever can read the state directory may do everything anyway.
fn own_token(state: &Path) -> Result<String, Fault> {
    let path = state.join(TOKEN);
    let failed = |e: std::io::Error| Fault::caused(Code::Unreadable, &format!("{}", path.display()), &e);
    let made = auth::random().map_err(failed)?;
    match whole::write_new(&path, |file| writeln!(file, "{made}")) {
        Ok(()) => Ok(made),
        Err(e) if e.kind() == std::io::ErrorKind::AlreadyExists => {
            let token = std::fs::read_to_string(&path).map_err(failed)?;
            if token.trim().len() < 16 {
                return Err(Fault::new(Code::Unreadable, format!("{} is no token", path.display()))
                    .hint("remove it: a new one is made"));
            }
            Ok(token)
        }
        Err(e) => Err(failed(e)),
    }
}

fn announce(state: &Path, config: &Serve, counter: &Counter, printer: Printer) {
    let scheme = if counter.auth.is_tls() { "https" } else { "http" };
    let url = format!("{scheme}://{}/", config.listen);
    let token = config.listen.ip().is_loopback().then(|| state.join(TOKEN));
    let value = serde_json::json!({
        "schema": "recover.serve/v1", "url": url, "state_dir": state, "token_file": token, "pid": std::process::id(),
    });
    printer.show(&value, || {
        let token = token.as_ref().map_or_else(String::new, |path| format!("; its token is in {}", path.display()));
        format!("serving {} at {url}{token}", state.display())
    });
}
