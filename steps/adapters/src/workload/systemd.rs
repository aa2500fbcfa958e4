//! A unit of systemd: asked and told over D-Bus, each job awaited, nothing believed but what the manager says afterwards.
//!
//! Facts: `org.freedesktop.systemd1(5)`. `StartUnit` and `StopUnit` give a job; `JobRemoved` tells its result, `done` or why not.
//! `InvocationID` is another one each time a unit is started, also by its own `Restart=`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use recover_steps::Instance;
use recover_steps::examined::{Look, WorkloadSeen};
use secrecy::{ExposeSecret as _, SecretString};

use super::LOG_TAIL;
use super::lock::Lock;
use crate::config::{Manager, SystemdConfig, TokenAs};
use crate::facts::{Facts, digest_of};
use crate::files;
use crate::systemd::{Bus, DropIn, Lasting, State};
use crate::trouble::{Trouble, code};

/// How long what is said to have ended has to be seen to have.
const SETTLED_WITHIN: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_millis(20);

/// One service.
#[derive(Debug)]
pub(crate) struct Systemd {
    config: SystemdConfig,
    lock: PathBuf,
}

impl Systemd {
    pub(crate) fn new(config: SystemdConfig) -> Self {
        let mut lock = config.token_file.clone().into_os_string();
        lock.push(".lock");
        Self { config, lock: lock.into() }
    }

    pub(crate) fn token_file(&self) -> &Path {
        &self.config.token_file
    }

    /// Waits for the lock.
    pub(crate) async fn lock(&self) -> Result<Lock, Trouble> {
        Lock::take(&self.lock).await
    }

    async fn bus(&self) -> Result<Bus, Trouble> {
        Bus::to(self.config.manager, &self.config.unit).await
    }

    /// The life that runs; one that waits to be started again does not.
    pub(crate) async fn running(&self) -> Result<Option<Instance>, Trouble> {
        Ok(self.bus().await?.state().await?.life())
    }

    /// What the manager says of it. One that is down or is between two lives does not run.
    pub(crate) async fn seen(&self) -> Look<WorkloadSeen> {
        let from = format!("systemd's word on {}", self.config.unit);
        let asked = async {
            let bus = self.bus().await?;
            let (state, restarts) = (bus.state().await?, bus.restarts().await?);
            Ok::<_, Trouble>(match state.life() {
                _ if state.is_between_lives() => WorkloadSeen::Restarting { restarts },
                Some(instance) => WorkloadSeen::Running { instance, restarts: Some(restarts) },
                None => WorkloadSeen::Stopped,
            })
        };
        match asked.await {
            Ok(seen) => Look::seen(from, seen),
            Err(why) => Look::not_read(from, why.text()),
        }
    }

    pub(crate) fn log_place(&self) -> String {
        let path = self.config.log.as_ref().map(|path| path.display().to_string());
        path.unwrap_or_else(|| format!("the journal of {}", self.config.unit))
    }

    /// What of the unit runs or is about to, in words; `None` if nothing does.
    pub(crate) async fn traces(&self) -> Result<Option<String>, Trouble> {
        let bus = self.bus().await?;
        traces(&bus, &bus.state().await?).await
    }

    /// Stops the unit and proves that nothing of it is left.
    pub(crate) async fn stop(&self) -> Result<(), Trouble> {
        let bus = self.bus().await?;
        bus.state().await?;
        let result = bus.stop().await?;
        if result != "done" {
            return Err(Trouble::retry(format!("{}: the job to stop it ended as {result}", self.config.unit)));
        }
        let until = tokio::time::Instant::now() + SETTLED_WITHIN;
        loop {
            match traces(&bus, &bus.state().await?).await? {
                None => return Ok(()),
                Some(what) if tokio::time::Instant::now() >= until => {
                    return Err(Trouble::refused(code::WORKLOAD, format!("still there after the stop: {what}")));
                }
                Some(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Starts the unit unless it runs, or its manager does so already. The life that was begun may have ended since.
    pub(crate) async fn start(&self) -> Result<Instance, Trouble> {
        let bus = self.bus().await?;
        let state = bus.state().await?;
        if let Some(life) = state.begun() {
            return Ok(life);
        }
        if let Some(what) = traces(&bus, &state).await? {
            return Err(Trouble::refused(code::WORKLOAD, format!("a second one will not be started beside {what}")));
        }
        let result = bus.start().await?;
        // A job that failed may have started the program, and that may have used a token up before it ended.
        match bus.state().await.map_err(Trouble::midway)?.latest() {
            Some(life) if result == "done" && Some(&life) != state.latest().as_ref() => Ok(life),
            _ => Err(Trouble::Unknown(format!("{}: the job to start it ended as {result}", self.config.unit))),
        }
    }

    /// Ends that life, if it is the one that runs, and begins the next, unless another one has begun.
    pub(crate) async fn restart(&self, from: &Instance) -> Result<Instance, Trouble> {
        if self.bus().await?.state().await?.begun().as_ref() == Some(from) {
            self.stop().await?;
        }
        self.start().await
    }

    /// The token as the unit is to find it in the file.
    pub(crate) fn worded(&self, secret: &SecretString) -> SecretString {
        match &self.config.token {
            TokenAs::File | TokenAs::Credential(_) => secret.clone(),
            TokenAs::Environment(name) => format!("{name}={}", secret.expose_secret()).into(),
        }
    }

    fn drop_in(&self) -> Result<DropIn, Trouble> {
        let made =
            DropIn::of(self.config.manager, &self.config.unit, Lasting::UntilBoot, "91-recover-token.conf".to_owned());
        made.map_err(|e| Trouble::refused(code::SECRETS, e.to_string()))
    }

    /// Tells the unit of the file with the token. There is no secret in what is written.
    pub(crate) async fn show_token(&self) -> Result<(), Trouble> {
        let file = self.config.token_file.display();
        let line = match &self.config.token {
            TokenAs::File => return Ok(()),
            TokenAs::Credential(name) => format!("LoadCredential={name}:{file}"),
            TokenAs::Environment(_) => format!("EnvironmentFile={file}"),
        };
        let drop_in = self.drop_in()?;
        let failed = |e| Trouble::refused(code::SECRETS, format!("{}: {e}", drop_in.path().display()));
        drop_in
            .write(&format!("# Written by recover, until the token is withdrawn.\n[Service]\n{line}\n"))
            .map_err(failed)?;
        self.bus().await?.reload().await
    }

    /// Takes back that the unit was told of it: without the file the unit would not start.
    pub(crate) async fn hide_token(&self) -> Result<(), Trouble> {
        if self.config.token == TokenAs::File {
            return Ok(());
        }
        let drop_in = self.drop_in()?;
        drop_in.remove().map_err(|e| Trouble::retry(format!("{} cannot be removed: {e}", drop_in.path().display())))?;
        self.bus().await?.reload().await
    }

    /// The end of its log.
    pub(crate) async fn log_tail(&self) -> Result<String, String> {
        match &self.config.log {
            Some(path) => files::tail(path, LOG_TAIL).map_err(|e| format!("{}: {e}", path.display())),
            None => self.journal().await,
        }
    }

    /// The unit's last lines in the journal. The program that reads it knows every format of it.
    async fn journal(&self) -> Result<String, String> {
        let unit = match self.config.manager {
            Manager::System => "--unit",
            Manager::User => "--user-unit",
        };
        let mut command = tokio::process::Command::new("/usr/bin/journalctl");
        command.args(["--no-pager", "--quiet", "--output=cat", "--lines=500", unit, &self.config.unit]);
        command.env_clear().stdin(std::process::Stdio::null()).kill_on_drop(true);
        let output = command.output().await.map_err(|e| format!("journalctl: {e}"))?;
        if !output.status.success() {
            return Err(format!("journalctl: {}", String::from_utf8_lossy(&output.stderr).trim()));
        }
        let most = usize::try_from(LOG_TAIL).unwrap_or(usize::MAX);
        let end = output.stdout.get(output.stdout.len().saturating_sub(most)..).unwrap_or_default();
        Ok(String::from_utf8_lossy(end).into_owned())
    }

    /// What it is, for a baseline: where the unit's text is, what else changes it, and what they say, by digest.
    pub(crate) async fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        let told = |trouble: Trouble| trouble.text().to_owned();
        let (fragment, drop_ins) = self.bus().await.map_err(told)?.texts().await.map_err(told)?;
        let mut note = |name: &str, value: String| facts.insert(format!("workload.{name}"), value);
        note("kind", "systemd".into());
        note("unit", self.config.unit.clone());
        let digest = |path: &str| digest_of(Path::new(path)).map_err(|e| format!("{path}: {e}"));
        note("unit.sha256", digest(&fragment)?);
        note("unit.file", fragment);
        for path in drop_ins {
            note(&format!("drop-in {path}"), digest(&path)?);
        }
        Ok(())
    }
}

async fn traces(bus: &Bus, state: &State) -> Result<Option<String>, Trouble> {
    let processes = bus.processes().await?;
    Ok(match (state.is_down(), processes.as_slice()) {
        (true, []) => None,
        (_, []) => Some(format!("{} is {} ({})", bus.unit(), state.active, state.sub)),
        (_, [first, ..]) => Some(format!(
            "{} is {} ({}), with {} processes, pid {first}",
            bus.unit(),
            state.active,
            state.sub,
            processes.len()
        )),
    })
}
