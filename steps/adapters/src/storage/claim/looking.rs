//! Looking at what is mounted, through a container of the run's own. It is never there while the workload starts or ends but in the
//! workload's own pod, so that no claim is held by us on another node.

use std::time::Duration;

use super::{Claim, refused};
use crate::kubernetes::{Answer, Failure, Mounted, Owner, Pod, READER, Reader};
use crate::storage::Looked;
use crate::trouble::Trouble;

/// How long a container that looks has to start and to say something. A step's own limit may be shorter.
const WITHIN: Duration = Duration::from_secs(25);
const PAUSE: Duration = Duration::from_millis(100);

/// What can be looked into.
pub(super) enum View {
    /// Something looked.
    Answer(Answer),
    /// Nothing is there to be looked into, and what was there went with its pod.
    Gone,
}

impl Claim {
    fn reader(&self) -> Reader<'_> {
        Reader { image: &self.config.reader, mount: &self.config.mount, identity: &self.config.identity }
    }

    pub(super) async fn looked(&self) -> Result<Looked, Trouble> {
        let owner = self.cluster.owner().await?;
        Ok(match self.view(&owner).await? {
            View::Answer(answer) => answer.looked(),
            View::Gone => Looked::Absent,
        })
    }

    /// What the workload sees at its place: through its own pod, where there is one.
    pub(super) async fn view(&self, owner: &Owner) -> Result<View, Trouble> {
        let pods = self.cluster.pods(owner, &[]).await.map_err(Failure::asking)?;
        let pod = pods.into_iter().rfind(|pod| !pod.is_leaving() && !pod.is_over());
        match (pod, self.mounted(owner)) {
            // What runs was made from an earlier template, perhaps; it is what the pod itself has mounted that counts.
            (Some(pod), mounted) => match self.through_pod(&pod, owner).await? {
                Some(answer) => Ok(View::Answer(answer)),
                None => Err(refused(format!(
                    "{}; that cannot be looked into from outside, and it is lost with the pod",
                    self.no_claim(&mounted)
                ))),
            },
            (None, Mounted::Claim(claimed)) => {
                Ok(View::Answer(self.through_claim(owner, &claimed.name, !claimed.writable).await?))
            }
            (None, Mounted::EmptyDir | Mounted::Above(_) | Mounted::Nothing) => Ok(View::Gone),
            (None, mounted @ Mounted::Other(_)) => {
                Err(refused(format!("{}, which is not looked into", self.no_claim(&mounted))))
            }
        }
    }

    /// Through a container that is added to the pod; none where the pod has nothing mounted there.
    async fn through_pod(&self, pod: &Pod, owner: &Owner) -> Result<Option<Answer>, Trouble> {
        let running = pod.added().find(|name| name.starts_with(READER) && pod.runs(name)).map(str::to_owned);
        let (name, after) = match running {
            // One look may have begun before this was asked.
            Some(name) => {
                let last = self.said(pod.name(), &name).await;
                (name, last.map_or(0, |answer| answer.n + 2))
            }
            None => {
                let Some((name, container)) = self.reader().added(pod, owner) else { return Ok(None) };
                self.cluster.look_into(pod, &container).await.map_err(Failure::asking)?;
                (name, 0)
            }
        };
        let until = tokio::time::Instant::now() + WITHIN;
        loop {
            if let Some(answer) = self.said(pod.name(), &name).await.filter(|answer| answer.n >= after) {
                return Ok(Some(answer));
            }
            let now = self.cluster.pod(pod.name()).await.map_err(Failure::asking)?;
            let gone = now.as_ref().is_none_or(|now| now.uid() != pod.uid() || now.is_leaving());
            if gone || now.as_ref().is_some_and(|now| now.has_ended(&name)) {
                return Err(Trouble::retry(format!("the pod {} went while it was looked into", pod.name())));
            }
            if tokio::time::Instant::now() >= until {
                let state = now.map(|now| now.shown(&name)).unwrap_or_default();
                return Err(Trouble::retry(format!(
                    "the container {name} in the pod {} says nothing: {state}",
                    pod.name()
                )));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// The newest answer in a log; nothing where there is none yet, or no log.
    async fn said(&self, pod: &str, container: &str) -> Option<Answer> {
        let log = self.cluster.log(pod, container, Some(3), false).await.ok()?;
        Answer::last(&log)
    }

    /// Through a pod of its own that ends by itself and is taken away, before anything else happens to the claim.
    pub(super) async fn through_claim(&self, owner: &Owner, claim: &str, read_only: bool) -> Result<Answer, Trouble> {
        if self.cluster.claim(claim).await.map_err(Failure::asking)?.is_none() {
            return Err(refused(format!("there is no claim {claim}")));
        }
        self.sweep().await?;
        let name = self.cluster.reader_name();
        let body = self.reader().pod(&name, owner, claim, read_only);
        self.cluster.make_reader(&body).await.map_err(Failure::asking)?;
        let answer = self.ended(&name).await;
        self.sweep().await?;
        answer
    }

    async fn ended(&self, name: &str) -> Result<Answer, Trouble> {
        let until = tokio::time::Instant::now() + WITHIN;
        loop {
            let Some(pod) = self.cluster.pod(name).await.map_err(Failure::asking)? else {
                return Err(Trouble::retry(format!("the pod {name} was taken away by somebody else")));
            };
            if pod.is_over() {
                return match self.said(name, READER).await {
                    Some(answer) if pod.has_succeeded() => Ok(answer),
                    Some(_) | None => Err(Trouble::retry(format!("the pod {name} ended without an answer"))),
                };
            }
            if tokio::time::Instant::now() >= until {
                return Err(Trouble::retry(format!("the pod {name} does not end: {}", pod.shown(READER))));
            }
            tokio::time::sleep(PAUSE).await;
        }
    }

    /// Takes the pod that looks away, also one that a kill left, and waits until it is gone.
    pub(super) async fn sweep(&self) -> Result<(), Trouble> {
        let name = self.cluster.reader_name();
        let until = tokio::time::Instant::now() + WITHIN;
        while let Some(pod) = self.cluster.pod(&name).await.map_err(Failure::asking)? {
            if !pod.is_leaving() {
                self.cluster.remove_reader().await.map_err(Failure::asking)?;
            } else if tokio::time::Instant::now() >= until {
                return Err(Trouble::retry(format!("the pod {name} does not go")));
            } else {
                tokio::time::sleep(PAUSE).await;
            }
        }
        Ok(())
    }
}
