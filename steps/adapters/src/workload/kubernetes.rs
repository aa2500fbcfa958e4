//! A Deployment or StatefulSet of Kubernetes: scaled to none and to one, and believed only by the pods that are there afterwards.
//!
//! Whoever else sets the scale (an autoscaler, a pipeline) undoes a stop: it is not prevented, and seen by the look before each change
//! of a credential. Nothing of the workload is deleted; a restart is a stop and a start, so that two pods never have the volume.

use std::time::Duration;

use base64::Engine as _;
use recover_engine::RunId;
use recover_steps::Instance;
use recover_steps::examined::{Look, WorkloadSeen};
use secrecy::{ExposeSecret as _, SecretString};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::LOG_TAIL;
use crate::config::KubernetesConfig;
use crate::facts::{Facts, digest_of_words};
use crate::kubernetes::{Cluster, Failure, LABEL_OF, LABEL_RUN, Mounted, Owner, Pod, lower};
use crate::trouble::{Trouble, code};

/// How long pods have to be gone, or to be there: a little less than a step may take.
const SETTLED_WITHIN: Duration = Duration::from_secs(25);
const PAUSE: Duration = Duration::from_millis(100);

/// The label of a token, at its Secret.
const TOKEN_LABEL: &str = "recover.io/token";
/// With these words the kubelet says that a container ends again and again.
const LOOPS: &str = "CrashLoopBackOff";

/// One Deployment or StatefulSet.
#[derive(Debug)]
pub(crate) struct Kubernetes {
    cluster: Box<Cluster>,
    /// Where its storage is mounted, if that is a claim.
    mount: Option<String>,
}

impl Kubernetes {
    pub(crate) fn new(config: &KubernetesConfig, mount: Option<String>) -> Self {
        Self { cluster: Box::new(Cluster::of(config)), mount }
    }

    fn config(&self) -> &KubernetesConfig {
        self.cluster.config()
    }

    /// Its pods, and those that use the claim that it has mounted; the newest last.
    async fn pods(&self, owner: &Owner) -> Result<Vec<Pod>, Trouble> {
        let claim = match self.mount.as_deref().map(|mount| owner.mounted(mount)) {
            Some(Mounted::Claim(claimed)) => Some(claimed.name),
            Some(Mounted::EmptyDir | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing) | None => None,
        };
        let claims: Vec<&str> = claim.as_deref().into_iter().collect();
        self.cluster.pods(owner, &claims).await.map_err(Failure::asking)
    }

    /// The pod that the workload is in now, if it is in one: not one that leaves or is over.
    async fn pod(&self, owner: &Owner) -> Result<Option<Pod>, Trouble> {
        let pods = self.pods(owner).await?;
        let mut live =
            pods.into_iter().filter(|pod| owner.selects(pod.labels()) && !pod.is_leaving() && !pod.is_over());
        match (live.next(), live.next()) {
            (first, None) => Ok(first),
            (Some(first), Some(second)) => Err(Trouble::retry(format!(
                "{} has two pods at once, {} and {}",
                self.cluster.shown(),
                first.name(),
                second.name()
            ))),
            (None, Some(_)) => Ok(None),
        }
    }

    /// The life that runs, if one does.
    pub(crate) async fn running(&self) -> Result<Option<Instance>, Trouble> {
        let owner = self.cluster.owner().await?;
        Ok(self.pod(&owner).await?.and_then(|pod| pod.life(owner.container())))
    }

    /// What the API server says of it.
    pub(crate) async fn seen(&self) -> Look<WorkloadSeen> {
        let from = format!("the API server's word on {}", self.cluster.shown());
        let look = async {
            let owner = self.cluster.owner().await?;
            Ok::<_, Trouble>((self.pod(&owner).await?, owner))
        };
        let (pod, owner) = match look.await {
            Ok(seen) => seen,
            Err(why) => return Look::not_read(from, why.text()),
        };
        let Some(pod) = pod else { return Look::seen(from, WorkloadSeen::Stopped) };
        let (container, from) = (owner.container(), format!("{from}, pod {}", pod.name()));
        let restarts = pod.restarts(container);
        match (pod.life(container), pod.waits_for(container)) {
            (Some(instance), _) => Look::seen(from, WorkloadSeen::Running { instance, restarts: Some(restarts) }),
            (None, Some(LOOPS)) => Look::seen(from, WorkloadSeen::Restarting { restarts }),
            // It has ended, and the kubelet has not said yet when it starts the next.
            (None, _) if restarts > 0 || pod.has_ended(container) => {
                Look::seen(from, WorkloadSeen::Restarting { restarts })
            }
            (None, _) => Look::not_read(from, format!("its container does not run: {}", pod.shown(container))),
        }
    }

    pub(crate) fn log_place(&self) -> String {
        format!("the log of the pod of {}", self.cluster.shown())
    }

    /// The end of its log, the life before included where the kubelet started it again.
    pub(crate) async fn log_tail(&self) -> Result<String, String> {
        let told = |trouble: Trouble| trouble.text().to_owned();
        let owner = self.cluster.owner().await.map_err(told)?;
        let pods = self.pods(&owner).await.map_err(told)?;
        let pod = pods.into_iter().rfind(|pod| owner.selects(pod.labels()));
        let pod = pod.ok_or_else(|| format!("{} has no pod, and a log goes with its pod", self.cluster.shown()))?;
        let container = owner.container();
        let mut text = Vec::new();
        if pod.restarts(container) > 0 {
            // It may be gone already, which is no reason not to have the other one.
            text.extend_from_slice(&self.cluster.log(pod.name(), container, None, true).await.unwrap_or_default());
        }
        match self.cluster.log(pod.name(), container, None, false).await {
            Ok(now) => text.extend_from_slice(&now),
            Err(_) if !text.is_empty() => {}
            Err(failure) => return Err(failure.text()),
        }
        let most = usize::try_from(LOG_TAIL).unwrap_or(usize::MAX);
        Ok(String::from_utf8_lossy(text.get(text.len().saturating_sub(most)..).unwrap_or_default()).into_owned())
    }

    /// What of the workload runs, or runs on what it keeps its files on, or is about to, in words; `None` if nothing does.
    pub(crate) async fn traces(&self) -> Result<Option<String>, Trouble> {
        let owner = self.cluster.owner().await?;
        self.traces_of(&owner).await
    }

    async fn traces_of(&self, owner: &Owner) -> Result<Option<String>, Trouble> {
        if let Some(pod) = self.pods(owner).await?.into_iter().find(|pod| !pod.is_over()) {
            let state = pod.shown(owner.container());
            return Ok(Some(if owner.selects(pod.labels()) {
                format!("the pod {} is {state}", pod.name())
            } else {
                format!("the pod {} of another workload is {state}, with the same claim", pod.name())
            }));
        }
        // None is there, and one is to be made at any moment.
        let wanted = owner.replicas() > 0;
        Ok(wanted.then(|| format!("{} is scaled to {}", self.cluster.shown(), owner.replicas())))
    }

    /// Scales it to none and proves that no pod is left.
    pub(crate) async fn stop(&self) -> Result<(), Trouble> {
        let owner = self.cluster.owner().await?;
        if owner.replicas() > 0 {
            self.cluster.scale(false).await.map_err(Failure::changing)?;
        }
        let until = tokio::time::Instant::now() + SETTLED_WITHIN;
        loop {
            match self.traces().await? {
                None => return Ok(()),
                Some(what) if tokio::time::Instant::now() >= until => {
                    return Err(Trouble::retry(format!("still there after it was scaled to none: {what}")));
                }
                Some(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Scales it to one unless it runs, and waits for its container's life, which may have ended since. An error other than
    /// [`Trouble::Unknown`] means that it was surely not started.
    pub(crate) async fn start(&self) -> Result<Instance, Trouble> {
        let owner = self.cluster.owner().await?;
        if owner.replicas() == 0 {
            if let Some(what) = self.traces_of(&owner).await? {
                return Err(refused(format!("a second one will not be started beside {what}")));
            }
            self.sees_its_token(&owner).await?;
            self.cluster.scale(true).await.map_err(Failure::changing)?;
        }
        let until = tokio::time::Instant::now() + SETTLED_WITHIN;
        loop {
            let pod = self.pod(&owner).await.map_err(Trouble::midway)?;
            if let Some(begun) = pod.as_ref().and_then(|pod| pod.latest(owner.container())) {
                return Ok(begun);
            }
            if tokio::time::Instant::now() >= until {
                let state = pod.map_or_else(
                    || "no pod is made".to_owned(),
                    |pod| format!("the pod {} is {}", pod.name(), pod.shown(owner.container())),
                );
                return Err(Trouble::Unknown(format!("{} was scaled to 1, and {state}", self.cluster.shown())));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// A token that the container cannot see would be lost.
    async fn sees_its_token(&self, owner: &Owner) -> Result<(), Trouble> {
        match owner.sees_secret(&self.config().token_secret) {
            Ok(()) => Ok(()),
            Err(why) if self.cluster.secret().await.map_err(Failure::asking)?.is_some() => Err(refused(why)),
            Err(_) => Ok(()),
        }
    }

    /// Ends that life, if it is the one that is there, and begins the next, unless another one has begun.
    pub(crate) async fn restart(&self, from: &Instance) -> Result<Instance, Trouble> {
        let owner = self.cluster.owner().await?;
        let begun = self.pod(&owner).await?.and_then(|pod| pod.latest(owner.container()));
        if begun.as_ref() == Some(from) {
            self.stop().await?;
        }
        self.start().await
    }

    /// What it is, for a baseline. Its arguments may hold what is nobody's business, so they are told by a digest.
    pub(crate) async fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        let owner = self.cluster.owner().await.map_err(|why| why.text().to_owned())?;
        let mut note = |name: &str, value: String| facts.insert(format!("workload.{name}"), value);
        note("kind", self.config().kind.word().into());
        note("namespace", self.config().namespace.clone());
        note("name", self.config().name.clone());
        note("uid", owner.uid().into());
        note("image.name", owner.image().into());
        note("command.sha256", digest_of_words(&owner.command()));
        Ok(())
    }

    /// See [`super::Workload::prove_handover`].
    pub(crate) async fn prove_handover(&self) -> Result<(), Trouble> {
        let owner = self.cluster.owner().await?;
        let secret = &self.config().token_secret;
        owner.sees_secret(secret).map_err(|why| Trouble::refused(code::SECRETS, why))?;
        match self.cluster.secret().await.map_err(Failure::asking)? {
            Some(found) if label_of(&found).is_none() => Err(Trouble::refused(
                code::SECRETS,
                format!(
                    "there is a Secret {secret} already, and it is not a run's; take it away, or name another `token_secret`"
                ),
            )),
            Some(_) | None => Ok(()),
        }
    }

    /// See [`super::Workload::hand_over`].
    pub(crate) async fn hand_over(&self, run: RunId, label: &str, secret: &SecretString) -> Result<(), Trouble> {
        let name = &self.config().token_secret;
        match self.cluster.secret().await.map_err(Failure::asking)? {
            None => {}
            Some(found) if label_of(&found) == Some(label) => return Ok(()),
            Some(_) => return Err(Trouble::refused(code::SECRETS, format!("there is a Secret {name} already"))),
        }
        let value = Zeroizing::new(base64::engine::general_purpose::STANDARD.encode(secret.expose_secret()));
        let body = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "Opaque", "immutable": true,
            "metadata": {
                "name": name, "annotations": { TOKEN_LABEL: label },
                "labels": { LABEL_OF: self.config().name, LABEL_RUN: lower(&run.to_string()) },
            },
            "data": { self.config().token_key.as_str(): value.as_str() },
        });
        self.cluster.make_secret(&body).await.map_err(Failure::changing)
    }

    /// See [`super::Workload::take_back`]. Only what has our label is taken away.
    pub(crate) async fn take_back(&self, run: RunId, label: &str) -> Result<(), Trouble> {
        let Some(found) = self.cluster.secret().await.map_err(Failure::asking)? else { return Ok(()) };
        let of_run = found["metadata"]["labels"][LABEL_RUN] == lower(&run.to_string()).as_str();
        if !of_run || label_of(&found) != Some(label) {
            return Ok(());
        }
        self.cluster.remove_secret().await.map_err(|failure| Trouble::retry(failure.text()))
    }

    /// See [`super::Workload::token_in_sight`].
    pub(crate) async fn token_in_sight(&self) -> Result<Option<String>, Trouble> {
        let found = self.cluster.secret().await.map_err(Failure::asking)?;
        Ok(found.map(|_| format!("the Secret {}", self.config().token_secret)))
    }
}

fn label_of(secret: &Value) -> Option<&str> {
    secret["metadata"]["annotations"][TOKEN_LABEL].as_str()
}

fn refused(text: String) -> Trouble {
    Trouble::refused(code::WORKLOAD, text)
}

#[cfg(test)]
#[path = "kubernetes_tests.rs"]
mod tests;
