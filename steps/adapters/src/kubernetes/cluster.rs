//! What is asked of an API server and told to it, about one workload: a method for each, and none that deletes a claim or a volume.

use hyper::Method;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::api::{Api, Asking, Kind};
use super::failure::Failure;
use super::names::{BEFORE, LABEL_OF, MANAGER, MARK};
use super::owner::Owner;
use super::permit::Permit;
use super::pod::Pod;
use crate::config::{KubernetesConfig, WorkloadKind};
use crate::trouble::{Trouble, code};

/// So much of the end of a log.
const LOG_LINES: u32 = 500;

/// One workload's part of a cluster.
#[derive(Debug)]
pub(crate) struct Cluster {
    api: Api,
    config: KubernetesConfig,
}

const fn plural(kind: WorkloadKind) -> &'static str {
    match kind {
        WorkloadKind::Deployment => "deployments",
        WorkloadKind::StatefulSet => "statefulsets",
    }
}

impl Cluster {
    pub(crate) fn of(config: &KubernetesConfig) -> Self {
        let permit = Permit {
            namespace: config.namespace.clone(),
            plural: plural(config.kind),
            name: config.name.clone(),
            secret: config.token_secret.clone(),
            reader: format!("recover-look-{}", config.name),
            leases: [format!("recover-{}", config.name), format!("recover-{}-before", config.name)],
        };
        let api = Api::new(config.kubeconfig.clone(), config.context.clone(), permit);
        Self { api, config: config.clone() }
    }

    pub(crate) const fn config(&self) -> &KubernetesConfig {
        &self.config
    }

    /// The workload as people name it.
    pub(crate) fn shown(&self) -> String {
        let KubernetesConfig { namespace, name, kind, .. } = &self.config;
        format!("the {} {namespace}/{name}", kind.word())
    }

    /// The name of the pod that looks into a claim.
    pub(crate) fn reader_name(&self) -> String {
        format!("recover-look-{}", self.config.name)
    }

    /// The name of the lease that is the mark at the target.
    pub(crate) fn mark_name(&self) -> String {
        format!("recover-{}", self.config.name)
    }

    fn core(&self, rest: &str) -> String {
        format!("/api/v1/namespaces/{}/{rest}", self.config.namespace)
    }

    fn apps(&self) -> String {
        format!("/apis/apps/v1/namespaces/{}/{}", self.config.namespace, plural(self.config.kind))
    }

    fn own(&self) -> String {
        format!("{}/{}", self.apps(), self.config.name)
    }

    /// The workload. Where there is none, that is refused with the nearest name.
    pub(crate) async fn owner(&self) -> Result<Owner, Trouble> {
        let told = match self.api.json(Asking::get(&self.own())).await {
            Err(failure) if failure.is_missing() => return Err(self.missing().await),
            told => told.map_err(Failure::asking)?,
        };
        let owner = Owner::of(told, self.config.container.as_deref())
            .map_err(|why| Trouble::refused(code::WORKLOAD, format!("{} {why}", self.shown())))?;
        if owner.replicas() > 1 {
            return Err(Trouble::refused(
                code::WORKLOAD,
                format!(
                    "{} wants {} replicas: one identity is one pod's, so scale it to 1 first",
                    self.shown(),
                    owner.replicas()
                ),
            ));
        }
        Ok(owner)
    }

    async fn missing(&self) -> Trouble {
        let name = &self.config.name;
        // Who may not list them is told how to.
        let listed = self.api.json(Asking::get(&self.apps())).await.ok();
        let none = listed.as_ref().is_some_and(|listed| listed["items"].as_array().is_none_or(Vec::is_empty));
        let all = listed.and_then(|listed| listed["items"].as_array().cloned()).unwrap_or_default();
        let names = all.iter().filter_map(|item| item["metadata"]["name"].as_str());
        let near = names.map(|other| (strsim::damerau_levenshtein(name, other), other));
        let hint = match near.filter(|(distance, _)| *distance <= 3).min() {
            Some((_, other)) => format!("did you mean {other}?"),
            None if none => {
                let plural = plural(self.config.kind);
                format!("the namespace {} has no {plural}; is it the right one?", self.config.namespace)
            }
            None => format!(
                "`kubectl --namespace {} get {}` names those there are",
                self.config.namespace,
                plural(self.config.kind)
            ),
        };
        Trouble::refused(code::WORKLOAD, format!("there is no {}; {hint}", self.shown().trim_start_matches("the ")))
    }

    /// The pods that the workload's selector matches, and those that use one of these claims; but none that only look.
    pub(crate) async fn pods(&self, owner: &Owner, claims: &[&str]) -> Result<Vec<Pod>, Failure> {
        let told = self.list("pods", "").await?;
        let all = told.into_iter().filter_map(Pod::of);
        let reader = self.reader_name();
        Ok(all
            .filter(|pod| {
                pod.name() != reader && (owner.selects(pod.labels()) || claims.iter().any(|claim| pod.uses(claim)))
            })
            .collect())
    }

    async fn list(&self, what: &str, query: &str) -> Result<Vec<Value>, Failure> {
        let told = self.api.json(Asking { query, ..Asking::get(&self.core(what)) }).await?;
        told["items"].as_array().cloned().ok_or_else(|| Failure::Broken(format!("the {what} are no list")))
    }

    async fn one(&self, path: &str) -> Result<Option<Value>, Failure> {
        match self.api.json(Asking::get(path)).await {
            Ok(told) => Ok(Some(told)),
            Err(failure) if failure.is_missing() => Ok(None),
            Err(failure) => Err(failure),
        }
    }

    async fn change(
        &self,
        method: Method,
        path: &str,
        query: &str,
        kind: Kind,
        body: &Value,
    ) -> Result<Value, Failure> {
        self.api.json(Asking { method, path, query, body: Some((kind, body)) }).await
    }

    /// How many pods there are to be: none or one.
    pub(crate) async fn scale(&self, up: bool) -> Result<(), Failure> {
        let body = json!({ "spec": { "replicas": u8::from(up) } });
        let query = format!("fieldManager={MANAGER}");
        self.change(Method::PATCH, &format!("{}/scale", self.own()), &query, Kind::Merge, &body).await.map(|_| ())
    }

    /// Owns one volume of the pod template, if the workload is still as it was read.
    pub(crate) async fn apply_volume(&self, owner: &Owner, volume: &Value) -> Result<(), Failure> {
        let (kind, version) = (self.config.kind.kind(), owner.version());
        let body = json!({
            "apiVersion": "apps/v1", "kind": kind,
            "metadata": { "name": self.config.name, "namespace": self.config.namespace, "resourceVersion": version },
            "spec": { "template": { "spec": { "volumes": [volume] } } },
        });
        let query = format!("fieldManager={MANAGER}&force=true");
        self.change(Method::PATCH, &self.own(), &query, Kind::Apply, &body).await.map(|_| ())
    }

    /// A claim; `None` if there is none.
    pub(crate) async fn claim(&self, name: &str) -> Result<Option<Value>, Failure> {
        self.one(&self.core(&format!("persistentvolumeclaims/{name}"))).await
    }

    /// Makes a claim; the name must be free.
    pub(crate) async fn make_claim(&self, body: &Value) -> Result<Value, Failure> {
        self.change(Method::POST, &self.core("persistentvolumeclaims"), "", Kind::Object, body).await
    }

    /// The volume that a claim has.
    pub(crate) async fn volume(&self, name: &str) -> Result<Option<Value>, Failure> {
        self.one(&format!("/api/v1/persistentvolumes/{name}")).await
    }

    /// Sees to it that a volume stays when its claim goes.
    pub(crate) async fn retain(&self, volume: &Value) -> Result<(), Failure> {
        let name = volume["metadata"]["name"].as_str().unwrap_or_default();
        let body = json!({
            "metadata": { "resourceVersion": volume["metadata"]["resourceVersion"] },
            "spec": { "persistentVolumeReclaimPolicy": "Retain" },
        });
        let path = format!("/api/v1/persistentvolumes/{name}");
        self.change(Method::PATCH, &path, &format!("fieldManager={MANAGER}"), Kind::Merge, &body).await.map(|_| ())
    }

    /// A pod.
    pub(crate) async fn pod(&self, name: &str) -> Result<Option<Pod>, Failure> {
        Ok(self.one(&self.core(&format!("pods/{name}"))).await?.and_then(Pod::of))
    }

    /// Makes the pod that looks.
    pub(crate) async fn make_reader(&self, body: &Value) -> Result<(), Failure> {
        self.change(Method::POST, &self.core("pods"), "", Kind::Object, body).await.map(|_| ())
    }

    /// Takes the pod that looks away, if there is one.
    pub(crate) async fn remove_reader(&self) -> Result<(), Failure> {
        let path = self.core(&format!("pods/{}", self.reader_name()));
        self.remove(&path, "gracePeriodSeconds=1").await
    }

    async fn remove(&self, path: &str, query: &str) -> Result<(), Failure> {
        match self.api.ask(Asking { method: Method::DELETE, query, ..Asking::get(path) }).await {
            Ok(_) => Ok(()),
            Err(failure) if failure.is_missing() => Ok(()),
            Err(failure) => Err(failure),
        }
    }

    /// Adds a container that looks to a pod that runs.
    pub(crate) async fn look_into(&self, pod: &Pod, container: &Value) -> Result<(), Failure> {
        let body = json!({ "spec": { "ephemeralContainers": [container] } });
        let path = self.core(&format!("pods/{}/ephemeralcontainers", pod.name()));
        self.change(Method::PATCH, &path, "", Kind::Strategic, &body).await.map(|_| ())
    }

    /// The end of a container's log.
    pub(crate) async fn log(
        &self,
        pod: &str,
        container: &str,
        lines: Option<u32>,
        previous: bool,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let lines = lines.unwrap_or(LOG_LINES);
        let query = format!("container={container}&tailLines={lines}&previous={previous}");
        self.api.ask(Asking { query: &query, ..Asking::get(&self.core(&format!("pods/{pod}/log"))) }).await
    }

    /// The Secret through which a token is handed over.
    pub(crate) async fn secret(&self) -> Result<Option<Value>, Failure> {
        self.one(&self.core(&format!("secrets/{}", self.config.token_secret))).await
    }

    /// Makes it; the name must be free.
    pub(crate) async fn make_secret(&self, body: &Value) -> Result<(), Failure> {
        self.change(Method::POST, &self.core("secrets"), "", Kind::Object, body).await.map(|_| ())
    }

    /// Takes it away.
    pub(crate) async fn remove_secret(&self) -> Result<(), Failure> {
        self.remove(&self.core(&format!("secrets/{}", self.config.token_secret)), "").await
    }

    fn leases(&self) -> String {
        format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.config.namespace)
    }

    /// Changes what a lease says, from what it said; nothing is written where nothing changes. Whoever is quicker is asked again.
    pub(crate) async fn noted(
        &self,
        which: Noted,
        change: impl Fn(Option<&str>) -> Result<(String, Option<String>), Trouble>,
    ) -> Result<(), Trouble> {
        for _ in 0..TRIES {
            let found = self.note(which).await.map_err(Failure::asking)?;
            let said = found.as_ref().and_then(|lease| lease["metadata"]["annotations"][which.annotation()].as_str());
            let (says, holder) = change(said)?;
            if said == Some(says.as_str()) {
                return Ok(());
            }
            let done = match found.clone() {
                Some(mut lease) => {
                    lease["metadata"]["annotations"][which.annotation()] = says.into();
                    lease["spec"]["holderIdentity"] = holder.into();
                    let path = format!("{}/{}", self.leases(), self.note_name(which));
                    self.change(Method::PUT, &path, "", Kind::Object, &lease).await
                }
                None => {
                    let lease = json!({
                        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
                        "metadata": {
                            "name": self.note_name(which), "labels": { LABEL_OF: self.config.name },
                            "annotations": { which.annotation(): says },
                        },
                        "spec": { "holderIdentity": holder },
                    });
                    self.change(Method::POST, &self.leases(), "", Kind::Object, &lease).await
                }
            };
            match done {
                Ok(_) => return Ok(()),
                Err(failure) if failure.is_conflict() || failure.is_missing() => {}
                Err(failure) => return Err(failure.changing()),
            }
        }
        Err(Trouble::retry(format!("the lease {} changes all the time", self.note_name(which))))
    }

    fn note_name(&self, which: Noted) -> String {
        match which {
            Noted::Mark => self.mark_name(),
            Noted::Before => format!("{}-before", self.mark_name()),
        }
    }

    /// A lease.
    pub(crate) async fn note(&self, which: Noted) -> Result<Option<Value>, Failure> {
        self.one(&format!("{}/{}", self.leases(), self.note_name(which))).await
    }
}

/// Between two looks at a lease that somebody else changes.
const TRIES: u32 = 5;

/// What is noted at the target, each in a lease of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Noted {
    /// Who acts on it.
    Mark,
    /// What was in the pod template before.
    Before,
}

impl Noted {
    pub(crate) const fn annotation(self) -> &'static str {
        match self {
            Self::Mark => MARK,
            Self::Before => BEFORE,
        }
    }
}
