//! Bringing a sandbox up: whatever of it is down is started, and a connector that never paired is paired once.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;
use serde_json::{Value, json};

use crate::sandbox::connector::{self, Settings};
use crate::sandbox::error::Error;
use crate::sandbox::http::Client;
use crate::sandbox::launch::launch;
use crate::sandbox::layout::{AGENT, Layout, text};
use crate::sandbox::{config, files, process, random};

const WAIT_S: u64 = 15;
const POLL_MS: u64 = 20;
const CALL_S: u64 = 5;
/// How long a process may take to end before it is made to.
pub(crate) const GRACE: Duration = Duration::from_secs(5);
/// The life of a token of the sandbox's own: the runbook's default.
pub(crate) const TOKEN_TTL_S: u64 = 4 * 3_600;

/// A sandbox that is up.
#[derive(Debug, Serialize)]
pub(crate) struct Up {
    schema: &'static str,
    /// The configuration for `recover --config`.
    pub(crate) config: PathBuf,
    /// The target's name in it.
    pub(crate) target: &'static str,
    /// `recover`'s state directory.
    pub(crate) state_dir: PathBuf,
    /// The control plane's address.
    pub(crate) base: String,
    /// The connector's status there.
    pub(crate) status: String,
    /// The processes.
    pub(crate) pids: Pids,
}

/// The processes of a sandbox.
#[derive(Debug, Serialize)]
pub(crate) struct Pids {
    pub(crate) control_plane: i32,
    pub(crate) connector: i32,
}

/// A sandbox with a control plane that runs, and a connector that may or may not.
pub(crate) struct Furnished {
    pub(crate) layout: Layout,
    /// No other command changes the sandbox meanwhile.
    pub(crate) _lock: fs::File,
    /// The control plane's process.
    pub(crate) plane: i32,
    pub(crate) client: Client,
    /// What the control plane says of the connector.
    pub(crate) before: Value,
}

/// Makes the sandbox in `dir` if need be, and starts its control plane.
pub(crate) fn furnish(dir: &Path) -> Result<Furnished, Error> {
    let layout = Layout::create(dir)?;
    let lock = files::lock(&layout.lock()).map_err(Error::io("lock the sandbox"))?;
    layout.furnish()?;
    if !layout.credential().is_file() {
        let secret: String = random::bytes::<24>().iter().map(|byte| format!("{byte:02x}")).collect();
        let written = files::replace_durably(&layout.credential(), format!("pat_{secret}\n").as_bytes());
        written.map_err(Error::io("write the sandbox's credential"))?;
    }
    let plane = start_plane(&layout)?;
    let client = client(&layout)?;
    let base = layout.base()?.ok_or(Error::Down)?;
    let words = connector::command(&program()?, &settings(&layout, &base)?)?;
    let text = match fs::read_to_string(layout.config()) {
        Ok(text) => config::renewed(&text, &words[0])?,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Some(config::text_of(&layout, &base, &words)?),
        Err(error) => return Err(Error::io("read the configuration")(error)),
    };
    if let Some(text) = text {
        files::replace_durably(&layout.config(), text.as_bytes()).map_err(Error::io("write the configuration"))?;
    }
    let before = status(&client)?;
    Ok(Furnished { layout, _lock: lock, plane, client, before })
}

/// Brings the sandbox in `dir` up, making it if need be. Done again, it starts what is down and pairs nothing.
pub(crate) fn up(dir: &Path) -> Result<Up, Error> {
    let Furnished { layout, _lock, plane, client, before } = furnish(dir)?;
    let connector = match before["paired_before"].as_bool() {
        Some(true) => restart(&layout)?,
        Some(false) | None => pair_first(&layout, &client)?,
    };
    if layout.has_identity() || layout.has_pending_key() {
        // An identity that is not the current one, or a key that nothing was issued to, never comes online: this is not
        // insisted on. What it said before it was last stopped may still count as online: only a word since then does.
        let heard = |status: &Value| status["status"] == "online" && status["last_seen"] != before["last_seen"];
        let seen = || Ok(status(&client).ok().filter(heard));
        let _seen = wait("the connector's coming online", Duration::from_secs(3), &layout.connector_log(), seen);
    }
    Up::of(&layout, &client, plane, connector)
}

impl Up {
    /// The sandbox as it is now.
    pub(crate) fn of(layout: &Layout, client: &Client, plane: i32, connector: i32) -> Result<Self, Error> {
        Ok(Self {
            schema: "recover.sandbox/v1",
            config: layout.config(),
            target: AGENT,
            state_dir: layout.state_dir(),
            base: layout.base()?.ok_or(Error::Down)?,
            status: status(client)?["status"].as_str().unwrap_or_default().to_owned(),
            pids: Pids { control_plane: plane, connector },
        })
    }
}

/// Starts the control plane if it is down, and nothing else: a run may be at work on the connector.
pub(crate) fn control_plane_up(dir: &Path) -> Result<(), Error> {
    let layout = Layout::open(dir)?;
    let _lock = files::lock(&layout.lock()).map_err(Error::io("lock the sandbox"))?;
    start_plane(&layout).map(|_| ())
}

fn start_plane(layout: &Layout) -> Result<i32, Error> {
    let words = ["sandbox", "control-plane", "--dir"].map(str::to_owned);
    let words: Vec<String> = [text(&program()?)?].into_iter().chain(words).chain([text(layout.dir())?]).collect();
    let pid = launch(&words, &layout.plane_pidfile(), &layout.plane_log())?;
    let healthy = || {
        let client = layout.base()?.map(|base| Client::new(&base, Duration::from_secs(1)));
        let answer = client.transpose()?.map(|client| client.get("/healthz"));
        // Port and process are both asked: another program may have got the port of one that ended.
        let alive = process::find(&layout.plane_pidfile()).map_err(Error::io("look for the control plane"))?.is_some();
        Ok((alive && answer.is_some_and(|answer| answer.is_ok_and(|answer| answer.status == 200))).then_some(()))
    };
    wait("the start of the control plane", Duration::from_secs(WAIT_S), &layout.plane_log(), healthy)?;
    Ok(pid)
}

/// Starts the connector unless it runs. No token is handed over.
pub(crate) fn restart(layout: &Layout) -> Result<i32, Error> {
    let base = layout.base()?.ok_or(Error::Down)?;
    let words = connector::command(&program()?, &settings(layout, &base)?)?;
    launch(&words, &layout.connector_pidfile(), &layout.connector_log())
}

fn pair_first(layout: &Layout, client: &Client) -> Result<i32, Error> {
    // One that runs and never paired is left over from an `up` that was interrupted: it read its token, if any, at its start.
    process::stop(&layout.connector_pidfile(), GRACE).map_err(Error::io("stop the connector"))?;
    files::private_dir(&layout.data()).map_err(Error::io("make the connector's data directory"))?;
    let minted = mint(client, "install", TOKEN_TTL_S)?;
    let secret = minted["secret"].as_str().unwrap_or_default();
    let token = layout.token()?;
    files::replace(&token, secret.as_bytes()).map_err(Error::io("hand over the first token"))?;
    let pid = restart(layout)?;
    let paired = await_status(layout, client, "online", Duration::from_secs(WAIT_S));
    files::remove_if_there(&token).map_err(Error::io("take the first token back"))?;
    if paired.is_err() {
        // It has given up and would stay so: the next `up` starts it anew, and it asks what came of its pairing.
        process::stop(&layout.connector_pidfile(), GRACE).map_err(Error::io("stop the connector"))?;
    }
    paired.map(|()| pid)
}

/// Mints a token, trying `label`, `label-2` and so on where one was closed.
pub(crate) fn mint(client: &Client, label: &str, ttl_s: u64) -> Result<Value, Error> {
    let path = format!("/v1/connectors/{AGENT}/tokens");
    let mut ordinal = 1;
    loop {
        let name = if ordinal == 1 { label.to_owned() } else { format!("{label}-{ordinal}") };
        let answer = client.post(&path, &json!({ "label": name, "ttl_s": ttl_s }))?;
        match answer.status {
            201 => return Ok(answer.body),
            409 if ordinal < 1_000 => ordinal += 1,
            status => return Err(Error::Unexpected { what: "a mint", status, code: answer.code().to_owned() }),
        }
    }
}

/// The control plane's word on the connector.
pub(crate) fn status(client: &Client) -> Result<Value, Error> {
    let answer = client.get(&format!("/v1/connectors/{AGENT}"))?;
    match answer.status {
        200 => Ok(answer.body),
        status => Err(Error::Unexpected { what: "a status call", status, code: answer.code().to_owned() }),
    }
}

/// Waits until the control plane says this of the connector.
pub(crate) fn await_status(layout: &Layout, client: &Client, wanted: &str, limit: Duration) -> Result<(), Error> {
    let what = if wanted == "online" { "the connector's coming online" } else { "the connector's need of recovery" };
    // A call that fails is asked again: the sandbox may have been told to fail it.
    let seen = || Ok(status(client).ok().filter(|status| status["status"] == wanted).map(|_| ()));
    wait(what, limit, &layout.connector_log(), seen)
}

/// Asks again and again until there is something.
pub(crate) fn wait<T>(
    what: &'static str,
    limit: Duration,
    log: &Path,
    ask: impl Fn() -> Result<Option<T>, Error>,
) -> Result<T, Error> {
    let until = Instant::now() + limit;
    loop {
        if let Some(found) = ask()? {
            return Ok(found);
        }
        if Instant::now() >= until {
            return Err(Error::Late { what, seconds: limit.as_secs(), log: log.to_owned() });
        }
        thread::sleep(Duration::from_millis(POLL_MS));
    }
}

/// A client with the administrator's credential.
pub(crate) fn client(layout: &Layout) -> Result<Client, Error> {
    let base = layout.base()?.ok_or(Error::Down)?;
    let credential = fs::read_to_string(layout.credential()).map_err(Error::io("read the sandbox's credential"))?;
    Ok(Client::new(&base, Duration::from_secs(CALL_S))?.commanding(credential.trim().to_owned()))
}

fn settings(layout: &Layout, base: &str) -> Result<Settings, Error> {
    Ok(Settings {
        data: layout.data(),
        token_file: layout.token()?,
        log: layout.connector_log(),
        starts: layout.starts(),
        control_plane: base.to_owned(),
        agent: AGENT.to_owned(),
        ca: None,
        ends: false,
    })
}

fn program() -> Result<PathBuf, Error> {
    std::env::current_exe().map_err(Error::io("find the running program"))
}
