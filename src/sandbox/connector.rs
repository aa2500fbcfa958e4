//! The connector's process: it pairs once with a token, keeps its identity, and says so every 100 ms.
//!
//! It behaves as the real one in all that the runbook speaks of: it reads a token at its start only, an identity on disk
//! outweighs any token, it never presents a token twice, and without identity and token it asks like a new one and is
//! refused. What it must not do is help: nothing here repairs itself.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::AsFd as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::sandbox::error::{Error, chain};
use crate::sandbox::http::{Answer, Client};
use crate::sandbox::key::{self, Key};
use crate::sandbox::ledger::StartLine;
use crate::sandbox::{clock, files, random};

/// The identity's file in the data directory.
pub(crate) const IDENTITY: &str = "identity.json";
/// The file of a key whose pairing has no result yet.
pub(crate) const PENDING: &str = "pending-key.json";
const HEARTBEAT_MS: u64 = 100;
/// How often a lost reply to a pairing is asked for.
const RESULT_TRIES: u32 = 5;
const RESULT_PAUSE_MS: u64 = 200;
const TIMEOUT_S: u64 = 2;

/// Where it lives and whom it talks to.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) data: PathBuf,
    pub(crate) token_file: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) starts: PathBuf,
    pub(crate) control_plane: String,
    pub(crate) agent: String,
    /// The certificates that it trusts, where the control plane is asked over TLS.
    pub(crate) ca: Option<PathBuf>,
    /// Whether it ends where it has nothing left to do.
    pub(crate) ends: bool,
}

/// What pairing gave, as it lies on disk. It names the secret key, so the file is readable by its owner only.
#[derive(Serialize, Deserialize)]
struct Identity {
    agent: String,
    serial: String,
    secret_key: String,
    public_key: String,
    fingerprint: String,
    certificate: String,
}

/// A key that was made for a pairing whose result is not on disk yet.
#[derive(Serialize, Deserialize)]
struct Pending {
    secret_key: String,
}

/// A connector at work.
struct Connector {
    settings: Settings,
    client: Client,
    log: File,
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(settings: Settings) -> Result<(), Error> {
    let log = match settings.log.to_str() {
        // Its output may be a socket, as that of a unit of systemd is, and those cannot be opened by a path.
        Some("-") => io::stdout().as_fd().try_clone_to_owned().map(File::from),
        _ => files::appender(&settings.log),
    };
    let log = log.map_err(Error::io("open the connector's log"))?;
    end_on_signal(log.try_clone().map_err(Error::io("open the connector's log"))?)?;
    let mut starts = files::appender(&settings.starts).map_err(Error::io("open the list of starts"))?;
    let start = StartLine { at: clock::rfc3339(clock::now()), pid: std::process::id() };
    files::append_line(&mut starts, &start).map_err(Error::io("note the start"))?;
    let client = Client::new(&settings.control_plane, Duration::from_secs(TIMEOUT_S))?;
    let client = match &settings.ca {
        Some(ca) => client.trusting(ca)?,
        None => client,
    };
    let mut connector = Connector { settings, client, log };
    connector.say("started");
    if let Some(identity) = connector.identity() {
        connector.keep_alive(&identity);
    }
    if connector.settings.ends {
        connector.say("ended: it cannot serve");
        return Err(Error::Usage("the connector cannot serve; its log says why".to_owned()));
    }
    // Nothing is left to do, and a connector does not end on its own: it stays, and stays offline.
    loop {
        thread::park();
    }
}

/// The signals are taken by a thread of their own, so that no request in progress delays the end.
fn end_on_signal(mut log: File) -> Result<(), Error> {
    let mut signals = SigSet::empty();
    signals.add(Signal::SIGTERM);
    signals.add(Signal::SIGINT);
    signals.thread_block().map_err(|errno| Error::io("block signals")(errno.into()))?;
    thread::spawn(move || {
        if signals.wait().is_ok() {
            line(&mut log, "stopped");
            #[expect(
                clippy::disallowed_methods,
                reason = "a signal ends this process, whatever its other thread waits for"
            )]
            std::process::exit(0);
        }
    });
    Ok(())
}

fn line(log: &mut File, text: &str) {
    // A log that cannot be written is no reason to stop serving; there is nowhere to say it either.
    let _written = log.write_all(format!("{} {text}\n", clock::rfc3339(clock::now())).as_bytes());
}

impl Connector {
    fn say(&mut self, text: &str) {
        line(&mut self.log, text);
    }

    /// The identity of this start: from disk, from a pairing whose reply was lost, or from the token.
    fn identity(&mut self) -> Option<Identity> {
        if let Err(error) = files::private_dir(&self.settings.data) {
            self.say(&format!("the data directory cannot be made: {error}"));
            return None;
        }
        let path = self.settings.data.join(IDENTITY);
        match files::read_if_there(&path).map(|text| text.map(|text| serde_json::from_str::<Identity>(&text))) {
            Ok(Some(Ok(identity))) => {
                self.say(&format!("reconnected with persisted identity serial={}", identity.serial));
                return Some(identity);
            }
            Ok(Some(Err(_))) => {
                // Not the parser's message: it could quote the file.
                self.say("the persisted identity is damaged");
                return None;
            }
            Err(error) => {
                self.say(&format!("the persisted identity cannot be read: {error}"));
                return None;
            }
            Ok(None) => {}
        }
        match self.pending_result() {
            Ok(Some(identity)) => return Some(identity),
            Ok(None) => {}
            Err(Doubt) => return None,
        }
        match fs::read_to_string(&self.settings.token_file) {
            Ok(token) => self.pair(token.trim()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                self.bootstrap();
                None
            }
            Err(error) => {
                self.say(&format!("the token cannot be read: {error}"));
                None
            }
        }
    }

    /// A start before this one may have paired and not learnt it. Until that is known, no token is presented.
    fn pending_result(&mut self) -> Result<Option<Identity>, Doubt> {
        let text = files::read_if_there(&self.settings.data.join(PENDING)).map_err(|_| Doubt)?;
        let Some(text) = text else { return Ok(None) };
        let pending = serde_json::from_str::<Pending>(&text).ok();
        let Some(key) = pending.and_then(|pending| Key::from_secret(&pending.secret_key)) else {
            self.say("the pending key is damaged: no identity could be used with it");
            return Ok(None);
        };
        self.result(&key, Absence::Final)
    }

    fn pair(&mut self, token: &str) -> Option<Identity> {
        let key = Key::new(random::bytes());
        let pending = Pending { secret_key: key.secret() };
        if let Err(error) = self.persist(PENDING, &pending) {
            self.say(&format!("the key cannot be kept, so no token is presented: {error}"));
            return None;
        }
        let body = json!({ "agent": self.settings.agent, "token": token, "public_key": key.public_key() });
        match self.client.post("/v1/pair", &body) {
            Ok(answer) if answer.status == 200 => self.keep(&key, &answer),
            Ok(answer) => {
                self.say(&format!("pairing failed: {} {}", answer.status, answer.code()));
                None
            }
            Err(error) => {
                self.say(&format!("the reply to the pairing was lost ({}): asking for its result", chain(&error)));
                let found = self.result(&key, Absence::MayChange).unwrap_or(None);
                if found.is_none() {
                    self.say("pairing failed: no identity came of it");
                }
                found
            }
        }
    }

    /// Asks what was issued to a key, a few times where there is no answer or it may yet change.
    fn result(&mut self, key: &Key, absence: Absence) -> Result<Option<Identity>, Doubt> {
        let path = format!("/v1/pair/result?public_key={}", key.public_key());
        let mut denied = false;
        for attempt in 0..RESULT_TRIES {
            if attempt > 0 {
                thread::sleep(Duration::from_millis(RESULT_PAUSE_MS));
            }
            denied = match self.client.get(&path) {
                Ok(answer) if answer.status == 200 => return self.keep(key, &answer).map(Some).ok_or(Doubt),
                Ok(answer) => answer.status == 404,
                Err(_) => false,
            };
            if denied && absence == Absence::Final {
                break;
            }
        }
        if denied {
            self.say("no identity was issued to the pending key");
            return Ok(None);
        }
        self.say("whether an identity was issued to the pending key is not known");
        Err(Doubt)
    }

    fn keep(&mut self, key: &Key, answer: &Answer) -> Option<Identity> {
        let field = |name: &str| answer.body[name].as_str().map(str::to_owned);
        let (Some(serial), Some(certificate)) = (field("serial"), field("certificate")) else {
            self.say("pairing failed: the reply names no identity");
            return None;
        };
        let public_key = key.public_key();
        let fingerprint = key::fingerprint(&public_key)?;
        let agent = self.settings.agent.clone();
        let identity = Identity { agent, serial, secret_key: key.secret(), public_key, fingerprint, certificate };
        if let Err(error) = self.persist(IDENTITY, &identity) {
            self.say(&format!("the identity cannot be kept: {error}"));
            return None;
        }
        if let Err(error) = files::remove_if_there(&self.settings.data.join(PENDING)) {
            self.say(&format!("the pending key stays behind: {error}"));
        }
        self.say(&format!("pairing completed serial={}", identity.serial));
        Some(identity)
    }

    fn persist(&self, name: &str, value: &impl Serialize) -> std::io::Result<()> {
        files::replace_durably(&self.settings.data.join(name), &serde_json::to_vec_pretty(value)?)
    }

    fn bootstrap(&mut self) {
        self.say("no identity and no token: asking to be let in");
        match self.client.post("/v1/bootstrap", &json!({ "agent": self.settings.agent })) {
            Ok(answer) => self.say(&format!("{} {}", answer.status, answer.code())),
            Err(error) => self.say(&format!("the bootstrap call failed: {}", chain(&error))),
        }
    }

    fn keep_alive(&mut self, identity: &Identity) {
        let Some(key) = Key::from_secret(&identity.secret_key) else {
            self.say("the persisted identity is damaged");
            return;
        };
        let body = json!({ "agent": identity.agent, "serial": identity.serial, "proof": key.proof() });
        let mut online = None;
        loop {
            let now_online = match self.client.post("/v1/heartbeat", &body) {
                Ok(answer) if answer.status == 401 => {
                    self.say(&format!("the identity is refused: {} {}", answer.status, answer.code()));
                    return;
                }
                Ok(answer) => answer.status == 200,
                Err(_) => false,
            };
            if online != Some(now_online) {
                online = Some(now_online);
                self.say(if now_online { "online" } else { "the control plane cannot be reached" });
            }
            thread::sleep(Duration::from_millis(HEARTBEAT_MS));
        }
    }
}

/// Whether a pairing happened cannot be told.
struct Doubt;

/// What it means that nothing was issued to a key.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Absence {
    /// The request was made by an earlier start; it is not waited for.
    Final,
    /// The request may still be on its way.
    MayChange,
}

/// The command line of a connector, as the configuration names it: no secret is in it.
pub(crate) fn command(program: &Path, settings: &Settings) -> Result<Vec<String>, Error> {
    let mut words = vec![super::layout::text(program)?, "sandbox".to_owned(), "connector".to_owned()];
    for (flag, path) in [
        ("--data", &settings.data),
        ("--token-file", &settings.token_file),
        ("--log", &settings.log),
        ("--starts", &settings.starts),
    ] {
        words.extend([flag.to_owned(), super::layout::text(path)?]);
    }
    words.extend(["--control-plane".to_owned(), settings.control_plane.clone()]);
    words.extend(["--agent".to_owned(), settings.agent.clone()]);
    Ok(words)
}
