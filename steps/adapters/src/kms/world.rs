//! The KMS as the engine's world: each step is carried out by a method of its own, within its time. Every step is a look or may be
//! repeated, so that nothing is ever fenced or asked about afterwards.

use std::time::Duration;

use recover_engine::{Act, Effect, FenceRaised, Performed, Probed, Seen, World};
use recover_steps::kms::{
    AwaitProvider, AwaitReload, CaptureKms, CheckProvider, CompareConfig, Converge, CopyPair, DisableUpsert, FindPair,
    ForbidDeletion, ImageSeen, InstallAuth, LoadImage, LookApiserver, LookAuth, LookImage, LookNode, LookOpenbao,
    LowerDecryption, LowerEncryption, MendSocket, Node as Name, ProviderRestarted, ProviderStarted, ProviderStopped,
    ReadEncryption, ReadKey, ReadObjects, ReadRegistry, RestartApiserver, RestartProvider, RestoreConfig,
    RestoreEncryption, RestoreKey, RewriteObjects, ScanEtcd, StartProvider, StopProvider, StopRotation, TakeSnapshot,
};

use super::key::Lowest;
use super::life::recoded;
use super::node::Node;
use super::{Kms, auth};
use crate::connector::with;
use crate::openbao::Change;
use crate::time::now;
use crate::trouble::{Trouble, code};

const GIVEN_AWAY: &str = "what came of it cannot be journaled: a secret is in it";

impl Kms {
    fn node(&self, name: &Name) -> Result<&Node, Trouble> {
        self.nodes.get(&name.0).ok_or_else(|| {
            Trouble::refused(code::UNKNOWN_STEP, format!("the configuration has no node {}", self.known.line(&name.0)))
        })
    }

    async fn dispatch(&self, act: &Act) -> Result<Seen, Trouble> {
        match act.doing.step {
            LookOpenbao::NAME => with(act, async |_: LookOpenbao| Ok(self.look_openbao().await)).await,
            ReadKey::NAME => with(act, async |_: ReadKey| self.read_key().await).await,
            RestoreKey::NAME => with(act, async |_: RestoreKey| self.change(Change::restore()).await).await,
            ForbidDeletion::NAME => {
                with(act, async |_: ForbidDeletion| self.change(Change::forbid_deletion()).await).await
            }
            StopRotation::NAME => with(act, async |_: StopRotation| self.change(Change::stop_rotation()).await).await,
            DisableUpsert::NAME => {
                with(act, async |_: DisableUpsert| self.change(Change::disable_upsert()).await).await
            }
            LowerDecryption::NAME => {
                with(act, async |step: LowerDecryption| self.lower(Lowest::Decrypting, step.to).await).await
            }
            LowerEncryption::NAME => {
                with(act, async |step: LowerEncryption| self.lower(Lowest::Encrypting, step.to).await).await
            }
            TakeSnapshot::NAME => with(act, async |_: TakeSnapshot| self.take_snapshot(act.run).await).await,
            ReadObjects::NAME => with(act, async |_: ReadObjects| self.read_objects().await).await,
            RewriteObjects::NAME => with(act, async |_: RewriteObjects| self.rewrite_objects().await).await,
            ScanEtcd::NAME => with(act, async |_: ScanEtcd| self.scan_etcd().await).await,
            Converge::NAME => with(act, async |_: Converge| Ok(self.converge().await)).await,
            CaptureKms::NAME => with(act, async |_: CaptureKms| self.capture().await).await,
            _ => self.of_a_node(act).await,
        }
    }

    async fn of_a_node(&self, act: &Act) -> Result<Seen, Trouble> {
        match act.doing.step {
            CompareConfig::NAME => {
                with(act, async |step: CompareConfig| Ok(self.compare_config(self.node(&step.node)?))).await
            }
            RestoreConfig::NAME => {
                with(act, async |step: RestoreConfig| self.restore_config(self.node(&step.node)?, &step, act.run)).await
            }
            ReadRegistry::NAME => {
                with(act, async |step: ReadRegistry| self.read_registry(self.node(&step.node)?).await).await
            }
            FindPair::NAME => with(act, async |step: FindPair| self.find_pair(self.node(&step.node)?)).await,
            CopyPair::NAME => {
                with(act, async |step: CopyPair| self.copy_pair(self.node(&step.node)?, &step, act.run).await).await
            }
            ReadEncryption::NAME => {
                with(act, async |step: ReadEncryption| self.read_encryption(self.node(&step.node)?)).await
            }
            RestoreEncryption::NAME => {
                let restore =
                    async |step: RestoreEncryption| self.restore_encryption(self.node(&step.node)?, &step, act.run);
                with(act, restore).await
            }
            LookApiserver::NAME => {
                with(act, async |step: LookApiserver| self.look_apiserver(self.node(&step.node)?).await).await
            }
            RestartApiserver::NAME => {
                let restart =
                    async |step: RestartApiserver| self.restart_apiserver(self.node(&step.node)?, &step).await;
                with(act, restart).await
            }
            AwaitReload::NAME => {
                with(act, async |step: AwaitReload| self.await_reload(self.node(&step.node)?, &step).await).await
            }
            _ => self.of_a_provider(act).await,
        }
    }

    async fn of_a_provider(&self, act: &Act) -> Result<Seen, Trouble> {
        match act.doing.step {
            LookNode::NAME => with(act, async |step: LookNode| self.look_node(self.node(&step.node)?).await).await,
            CheckProvider::NAME => {
                with(act, async |step: CheckProvider| self.check_provider(self.node(&step.node)?, &step).await).await
            }
            StopProvider::NAME => {
                let stop = async |step: StopProvider| {
                    self.node(&step.node)?.provider.stop().await.map_err(of_provider)?;
                    Ok(ProviderStopped::Stopped)
                };
                with(act, stop).await
            }
            StartProvider::NAME => {
                let start = async |step: StartProvider| {
                    let instance = self.node(&step.node)?.provider.start().await.map_err(of_provider)?;
                    Ok(ProviderStarted::Started { instance })
                };
                with(act, start).await
            }
            RestartProvider::NAME => {
                let restart = async |step: RestartProvider| {
                    let instance = self.node(&step.node)?.provider.restart(&step.from).await.map_err(of_provider)?;
                    Ok(ProviderRestarted::Restarted { instance })
                };
                with(act, restart).await
            }
            MendSocket::NAME => with(act, async |step: MendSocket| self.mend_socket(self.node(&step.node)?)).await,
            AwaitProvider::NAME => {
                with(act, async |step: AwaitProvider| self.await_provider(self.node(&step.node)?, &step).await).await
            }
            LookAuth::NAME => with(act, async |step: LookAuth| self.look_auth(self.node(&step.node)?)).await,
            InstallAuth::NAME => {
                with(act, async |step: InstallAuth| self.install_auth(self.node(&step.node)?, &step)).await
            }
            LookImage::NAME => with(act, async |step: LookImage| look_image(self.node(&step.node)?).await).await,
            LoadImage::NAME => {
                let load = async |step: LoadImage| {
                    let node = self.node(&step.node)?;
                    let pod = node.provider.pod().ok_or_else(|| Trouble::refused("image", "it is no static pod"))?;
                    pod.load_image(node.config.provider.image_archive.as_deref(), &step.digest).await
                };
                with(act, load).await
            }
            other => Err(Trouble::refused(
                code::UNKNOWN_STEP,
                format!("a target of the kind kms has no step {other}, or none of that kind"),
            )),
        }
    }

    fn install_auth(&self, node: &Node, step: &InstallAuth) -> Result<recover_steps::kms::AuthInstalled, Trouble> {
        let refused = |why: String| Trouble::refused("auth", why);
        let settings = node.settings().map_err(refused)?;
        let who = node.provider_user(&settings).map_err(refused)?;
        let brought = node.config.provider.fresh_auth.as_deref();
        auth::install(&settings.auth, brought, &who, &step.sha256, now().0 / 1_000).map_err(refused)
    }

    async fn claim(&self, act: &Act) -> Result<(), Trouble> {
        match &self.mark {
            Some(mark) => mark.claim(&act.run.to_string(), act.doing.step, act.doing.redoing.redo, None).await,
            None => Ok(()),
        }
    }

    async fn claimed(&self, act: &Act) -> Result<Seen, Trouble> {
        self.claim(act).await?;
        Box::pin(self.dispatch(act)).await
    }

    fn gives_away(&self, seen: &Seen) -> bool {
        self.known.holds(seen.told.data.as_str()) || self.bao.gives_away(seen.told.data.as_str())
    }
}

fn of_provider(trouble: Trouble) -> Trouble {
    recoded(trouble, "provider")
}

pub(super) async fn look_image(node: &Node) -> Result<ImageSeen, Trouble> {
    match node.provider.pod() {
        Some(pod) => pod.look_image(node.config.provider.image_archive.as_deref()).await,
        None => Ok(ImageSeen::NoStaticPod),
    }
}

impl World for Kms {
    async fn perform(&self, act: &Act) -> Performed {
        let limit = Duration::from_millis(act.doing.timeout_ms);
        tracing::debug!(run = %act.run, step = act.doing.step, attempt = act.attempt, "perform");
        match tokio::time::timeout(limit, Box::pin(self.claimed(act))).await {
            Ok(Ok(seen)) if self.gives_away(&seen) => Performed::Unknown { why: GIVEN_AWAY.to_owned() },
            Ok(Ok(seen)) => Performed::Happened(seen),
            Ok(Err(trouble)) => trouble.performed(&self.known),
            Err(_) => {
                Performed::Unknown { why: format!("{} did not end within {} ms", act.doing.step, act.doing.timeout_ms) }
            }
        }
    }

    async fn fence(&self, act: &Act) -> FenceRaised {
        FenceRaised::Failed(format!("{} needs no fence: it may be done again", act.doing.step))
    }

    async fn probe(&self, act: &Act) -> Probed {
        Probed::Unknown(format!("{} is not asked about: it may be done again", act.doing.step))
    }
}
