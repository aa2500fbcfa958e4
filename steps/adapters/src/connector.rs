//! The connector as the engine's world: each step is carried out by a method of its own, within its time.

use std::path::PathBuf;
use std::time::Duration;

use recover_engine::{Act, Effect, Event, Evidence, FenceRaised, Performed, Probed, RunId, Seen, Told, World};
use recover_steps::{
    AwaitOnline, Capture, Detach, Evict, InspectEnrollment, InstallTrust, Mint, Observe, Pair, ProveDurable,
    ProveStopped, PutBack, Reach, Reattach, Repair, Reparent, Restart, RevokeOrphan, RevokeStale, Search, SetAside,
    Start, Stop, Validate, WatchLoop, Withdraw,
};

use crate::authority::{Authority, Spire};
use crate::config::{ConfigError, ConnectorConfig, StorageConfig, WorkloadConfig};
use crate::mark::{Claim, Holder, Mark};
use crate::secrets::SecretsDir;
use crate::storage::Storage;
use crate::trouble::{Trouble, code};
use crate::trust::Trust;
use crate::workload::Workload;

/// How long a fence may take: it may have to stop a stubborn workload.
const FENCE_WITHIN: Duration = Duration::from_secs(60);
const PROBE_WITHIN: Duration = Duration::from_secs(30);
const GIVEN_AWAY: &str = "what came of it cannot be journaled: a secret is in it";

/// One connector: its workload, its storage and its authority.
#[derive(Debug)]
pub struct Connector {
    pub(crate) workload: Workload,
    pub(crate) storage: Storage,
    pub(crate) authority: Authority,
    pub(crate) secrets: SecretsDir,
    /// The CA bundle that the connector trusts, where one is configured.
    pub(crate) trust: Option<Trust>,
    /// The mark at the target; none where nobody acts for a state directory.
    mark: Option<Mark>,
    configured: (WorkloadConfig, StorageConfig),
}

/// Why a configuration gives no connector.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// A value in it.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Something that it names.
    #[error("{0}")]
    Named(String),
}

/// An event with what was captured on the way to it.
pub(crate) struct Witnessed<E> {
    pub(crate) event: E,
    pub(crate) evidence: Vec<Evidence>,
}

impl<E> From<E> for Witnessed<E> {
    fn from(event: E) -> Self {
        Self { event, evidence: Vec::new() }
    }
}

impl<E: Event> From<Witnessed<E>> for Seen {
    fn from(witnessed: Witnessed<E>) -> Self {
        Self { told: Told::of(&witnessed.event), evidence: witnessed.evidence }
    }
}

impl Connector {
    /// A connector as configured. Nothing is asked or touched yet, but the CA file, if there is one, is read.
    ///
    /// # Errors
    /// If a value in the configuration cannot be used.
    pub fn new(config: ConnectorConfig, secrets: SecretsDir) -> Result<Self, Unusable> {
        config.check()?;
        Ok(Self {
            workload: Workload::new(config.workload.clone(), &config.storage, &config.timing)?,
            storage: Storage::new(config.storage.clone(), &config.workload)?,
            configured: (config.workload, config.storage),
            mark: None,
            authority: Authority::new(config.authority).map_err(Unusable::Named)?,
            secrets,
            trust: config.trust.map(Trust::new),
        })
    }

    /// The connector, with the secrets where the configuration says or where this user's are by default.
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_secrets_in(config: ConnectorConfig, configured: Option<PathBuf>) -> Result<Self, Unusable> {
        let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(PathBuf::from);
        Self::new(config, SecretsDir::new(configured, runtime))
    }

    /// The connector, acted on for this holder: its mark is put at the target before anything is changed.
    #[must_use]
    pub fn held_by(mut self, holder: Holder) -> Self {
        self.mark = Some(Mark::new(holder, &self.configured.0, &self.configured.1));
        self
    }

    /// The connector, with what a person recorded of it while it was well.
    #[must_use]
    pub fn recorded_as(mut self, facts: &crate::Facts) -> Self {
        self.storage.recorded(facts);
        self
    }

    /// Who else acts on the target, and where that is written. Where the target cannot be asked at all, nobody is named: a run
    /// says what is the matter with it, and claims it before it changes anything.
    ///
    /// # Errors
    /// With a sentence, if a mark is there that cannot be understood.
    pub async fn held_by_another(&self) -> Result<Option<(Claim, String)>, String> {
        let Some(mark) = &self.mark else { return Ok(None) };
        match mark.other().await {
            Ok(other) => Ok(other.map(|claim| (claim, mark.place()))),
            Err(trouble) if trouble.is(code::MARKED) => Err(trouble.text().to_owned()),
            Err(_) => Ok(None),
        }
    }

    /// Gives the target free: the run is closed. What it kept only for a way back goes, if the workload runs.
    ///
    /// # Errors
    /// With a sentence; what is left of the run then stays until the next one of the same holder ends.
    pub async fn release(&self) -> Result<(), String> {
        let Some(mark) = &self.mark else { return Ok(()) };
        let told = |trouble: Trouble| trouble.text().to_owned();
        // As long as the mark is ours nobody else's run needs what would be taken away.
        if mark.other().await.map_err(told)?.is_none() {
            self.storage.tidy().await.map_err(told)?;
        }
        mark.release().await.map_err(told)
    }

    /// Whether the authority answers at all.
    ///
    /// # Errors
    /// With a sentence that says why not.
    pub async fn reach_authority(&self) -> Result<(), String> {
        self.authority.health().await.map_err(|f| self.authority.known().line(&f.text()))
    }

    /// What a person wrote, without the secrets that this connector uses.
    #[must_use]
    pub fn without_secrets(&self, run: Option<RunId>, text: &str) -> String {
        if let Some(run) = run {
            self.learn_of(run);
        }
        self.authority.known().hide(text)
    }

    /// What a process before this one kept for the run is a secret too.
    fn learn(&self, act: &Act) {
        self.learn_of(act.run);
    }

    fn learn_of(&self, run: RunId) {
        let known = self.authority.known();
        self.secrets.kept(&run.to_string()).iter().for_each(|sealed| known.note(&sealed.secret));
    }

    fn gives_away(&self, seen: &Seen) -> bool {
        self.authority.known().holds(seen.told.data.as_str())
    }

    async fn dispatch(&self, act: &Act) -> Result<Seen, Trouble> {
        let run = act.run.to_string();
        match act.doing.step {
            Observe::NAME => with(act, async |_: Observe| self.observe().await).await,
            Reach::NAME => with(act, async |_: Reach| Ok(self.reach().await)).await,
            InspectEnrollment::NAME => with(act, async |_: InspectEnrollment| self.inspect_enrollment().await).await,
            InstallTrust::NAME => with(act, async |_: InstallTrust| self.install_trust(act).await).await,
            WatchLoop::NAME => with(act, async |step: WatchLoop| self.watch_loop(&step).await).await,
            AwaitOnline::NAME => with(act, async |step: AwaitOnline| self.await_online(&step).await).await,
            Stop::NAME => with(act, async |_: Stop| self.stop().await).await,
            ProveStopped::NAME => with(act, async |_: ProveStopped| self.prove_stopped().await).await,
            Start::NAME => with(act, async |_: Start| self.start().await).await,
            Restart::NAME => with(act, async |step: Restart| self.restart(&step).await).await,
            Repair::NAME => with(act, async |step: Repair| self.repair(&step).await).await,
            Search::NAME => with(act, async |step: Search| self.search(&step, &run).await).await,
            ProveDurable::NAME => {
                with(act, async |step: ProveDurable| self.prove_durable(&step, &run, act.epoch.as_deref()).await).await
            }
            Reattach::NAME => with(act, async |step: Reattach| self.reattach(&step, &run).await).await,
            Detach::NAME => with(act, async |step: Detach| self.detach(&step, &run).await).await,
            SetAside::NAME => with(act, async |_: SetAside| self.set_aside(&run).await).await,
            PutBack::NAME => with(act, async |_: PutBack| self.put_back(&run).await).await,
            RevokeStale::NAME => with(act, async |_: RevokeStale| self.revoke_stale().await).await,
            RevokeOrphan::NAME => with(act, async |step: RevokeOrphan| self.revoke_orphan(act, &step).await).await,
            Mint::NAME => with(act, async |step: Mint| self.mint(act, &step).await).await,
            Pair::NAME => with(act, async |step: Pair| self.pair(act, &step).await).await,
            Withdraw::NAME => with(act, async |step: Withdraw| self.withdraw_step(act, &step).await).await,
            Reparent::NAME => with(act, async |step: Reparent| self.reparent(&step).await).await,
            Evict::NAME => with(act, async |step: Evict| self.evict(&step).await).await,
            Validate::NAME => with(act, async |step: Validate| self.validate(&step).await).await,
            Capture::NAME => with(act, async |_: Capture| self.capture(act).await).await,
            other => Err(unknown(other)),
        }
    }

    /// Claims the target, and does it. What surely did not pair is not marked as paired for.
    async fn marked(&self, act: &Act) -> Result<Seen, Trouble> {
        self.claim(act).await?;
        let done = self.dispatch(act).await;
        if let (Err(Trouble::Refused(_)), Pair::NAME) = (&done, act.doing.step) {
            self.unpaired(act).await.map_err(Trouble::midway)?;
        }
        done
    }

    async fn claim(&self, act: &Act) -> Result<(), Trouble> {
        match &self.mark {
            Some(mark) => {
                mark.claim(&act.run.to_string(), act.doing.step, act.doing.redoing.redo, act.epoch.as_deref()).await
            }
            None => Ok(()),
        }
    }

    async fn unpaired(&self, act: &Act) -> Result<(), Trouble> {
        match &self.mark {
            Some(mark) => mark.unpaired(act.epoch.as_deref()).await,
            None => Ok(()),
        }
    }

    async fn raise(&self, act: &Act) -> Result<String, Trouble> {
        self.claim(act).await?;
        match act.doing.step {
            Mint::NAME => self.fence_mint(act).await,
            Pair::NAME => self.fence_pair(act, &body::<Pair>(act)?).await,
            other => Err(unknown(other)),
        }
    }

    /// How long the fence of an act may have to wait where a token cannot be revoked.
    fn waits_out(&self, act: &Act) -> Duration {
        let until = match (&self.authority, act.doing.step) {
            (Authority::Spire(_), Mint::NAME) => body::<Mint>(act).ok().map(|step| Spire::surely_over(step.ttl_s)),
            (Authority::Spire(_), Pair::NAME) => body::<Pair>(act).ok().map(|step| step.token.expires_at),
            (Authority::Http(_) | Authority::Spire(_), _) => None,
        };
        until.and_then(Spire::may_work_for).map_or(Duration::ZERO, Duration::from_millis)
    }

    async fn ask(&self, act: &Act) -> Result<Probed, Trouble> {
        match act.doing.step {
            Mint::NAME => self.probe_mint(act).await,
            Pair::NAME => {
                let probed = self.probe_pair(&body::<Pair>(act)?).await?;
                if matches!(probed, Probed::Absent(_)) && act.fenced {
                    self.unpaired(act).await?;
                }
                Ok(probed)
            }
            other => Err(unknown(other)),
        }
    }
}

impl World for Connector {
    async fn perform(&self, act: &Act) -> Performed {
        self.learn(act);
        let limit = Duration::from_millis(act.doing.timeout_ms);
        tracing::debug!(run = %act.run, step = act.doing.step, attempt = act.attempt, "perform");
        match tokio::time::timeout(limit, Box::pin(self.marked(act))).await {
            Ok(Ok(seen)) if self.gives_away(&seen) => Performed::Unknown { why: GIVEN_AWAY.to_owned() },
            Ok(Ok(seen)) => Performed::Happened(seen),
            Ok(Err(trouble)) => trouble.performed(self.authority.known()),
            Err(_) => {
                Performed::Unknown { why: format!("{} did not end within {} ms", act.doing.step, act.doing.timeout_ms) }
            }
        }
    }

    async fn fence(&self, act: &Act) -> FenceRaised {
        self.learn(act);
        let limit = FENCE_WITHIN + self.waits_out(act);
        match tokio::time::timeout(limit, Box::pin(self.raise(act))).await {
            Ok(Ok(how)) => FenceRaised::Up(how),
            Ok(Err(trouble)) => FenceRaised::Failed(self.authority.known().line(trouble.text())),
            Err(_) => FenceRaised::Failed("it took too long".into()),
        }
    }

    async fn probe(&self, act: &Act) -> Probed {
        self.learn(act);
        match tokio::time::timeout(PROBE_WITHIN, Box::pin(self.ask(act))).await {
            Ok(Ok(Probed::Happened(seen))) if self.gives_away(&seen) => Probed::Unknown(GIVEN_AWAY.to_owned()),
            Ok(Ok(probed)) => probed,
            Ok(Err(trouble)) => Probed::Unknown(self.authority.known().line(trouble.text())),
            Err(_) => Probed::Unknown("it took too long".into()),
        }
    }
}

fn body<E: Effect>(act: &Act) -> Result<E, Trouble> {
    act.doing
        .body
        .to()
        .map_err(|e| Trouble::refused(code::UNKNOWN_STEP, format!("the data of {} has another shape: {e}", E::NAME)))
}

pub(crate) async fn with<E: Effect, W: Into<Witnessed<E::Event>>>(
    act: &Act,
    perform: impl AsyncFnOnce(E) -> Result<W, Trouble>,
) -> Result<Seen, Trouble> {
    Ok(perform(body::<E>(act)?).await?.into().into())
}

fn unknown(step: &str) -> Trouble {
    Trouble::refused(code::UNKNOWN_STEP, format!("a connector has no step {step}, or none of that kind"))
}

#[cfg(test)]
#[path = "connector_tests.rs"]
mod tests;
