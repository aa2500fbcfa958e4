//! One pod as the API server tells of it: which life of the container runs, and how often it was started again.

use recover_steps::Instance;
use serde_json::Value;

/// What the API server says of one pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pod(Value);

impl Pod {
    /// What was told, if it names a pod.
    pub(crate) fn of(told: Value) -> Option<Self> {
        let pod = Self(told);
        (!pod.uid().is_empty() && !pod.name().is_empty()).then_some(pod)
    }

    pub(crate) fn name(&self) -> &str {
        self.0["metadata"]["name"].as_str().unwrap_or_default()
    }

    pub(crate) fn uid(&self) -> &str {
        self.0["metadata"]["uid"].as_str().unwrap_or_default()
    }

    pub(crate) fn labels(&self) -> &Value {
        &self.0["metadata"]["labels"]
    }

    /// Whether it is on its way out.
    pub(crate) fn is_leaving(&self) -> bool {
        !self.0["metadata"]["deletionTimestamp"].is_null()
    }

    fn phase(&self) -> &str {
        self.0["status"]["phase"].as_str().unwrap_or("in no phase that is told")
    }

    /// Whether every container of it has ended for good.
    pub(crate) fn is_over(&self) -> bool {
        matches!(self.phase(), "Succeeded" | "Failed")
    }

    /// Whether it ended well.
    pub(crate) fn has_succeeded(&self) -> bool {
        self.phase() == "Succeeded"
    }

    /// What it is, in a word or two.
    pub(crate) fn shown(&self, container: &str) -> String {
        if self.is_leaving() {
            return "on its way out".to_owned();
        }
        match (self.waits_for(container), self.0["status"]["conditions"].as_array()) {
            (Some(reason), _) => reason.to_owned(),
            (None, Some(all)) if self.phase() == "Pending" => {
                let unmet = all.iter().find(|one| one["type"] == "PodScheduled" && one["status"] == "False");
                let why = unmet.and_then(|one| one["message"].as_str()).unwrap_or("Pending");
                crate::redact::line(why).chars().take(200).collect()
            }
            (None, _) => self.phase().to_owned(),
        }
    }

    fn status(&self, container: &str) -> &Value {
        let of = |list: &str| self.0["status"][list].as_array().into_iter().flatten();
        let all = of("containerStatuses").chain(of("ephemeralContainerStatuses"));
        all.into_iter().find(|status| status["name"] == container).unwrap_or(&Value::Null)
    }

    /// Why a container does not run, in the kubelet's word.
    pub(crate) fn waits_for(&self, container: &str) -> Option<&str> {
        self.status(container)["state"]["waiting"]["reason"].as_str()
    }

    /// Whether it runs now.
    pub(crate) fn runs(&self, container: &str) -> bool {
        !self.is_leaving() && !self.is_over() && self.status(container)["state"]["running"].is_object()
    }

    /// Whether it has ended, and will not be started again.
    pub(crate) fn has_ended(&self, container: &str) -> bool {
        self.status(container)["state"]["terminated"].is_object()
    }

    /// How often the kubelet started it again.
    pub(crate) fn restarts(&self, container: &str) -> u32 {
        let count = self.status(container)["restartCount"].as_u64();
        count.and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
    }

    /// The life that was begun last, whether it runs or has ended: no other has this pod, this beginning and this count.
    pub(crate) fn latest(&self, container: &str) -> Option<Instance> {
        let status = self.status(container);
        let begun = [&status["state"]["running"], &status["state"]["terminated"], &status["lastState"]["terminated"]];
        let at = begun.into_iter().find_map(|state| state["startedAt"].as_str())?;
        Some(Instance(format!("{}:{at}:{}", self.uid(), self.restarts(container))))
    }

    /// The life that runs.
    pub(crate) fn life(&self, container: &str) -> Option<Instance> {
        self.runs(container).then(|| self.latest(container)).flatten()
    }

    /// Whether it mounts this claim, running or about to.
    pub(crate) fn uses(&self, claim: &str) -> bool {
        let volumes = self.0["spec"]["volumes"].as_array().into_iter().flatten();
        !self.is_over() && volumes.into_iter().any(|volume| volume["persistentVolumeClaim"]["claimName"] == claim)
    }

    /// The containers that were added to look, with their arguments.
    pub(crate) fn added(&self) -> impl Iterator<Item = &str> {
        let all = self.0["spec"]["ephemeralContainers"].as_array().into_iter().flatten();
        all.filter_map(|one| one["name"].as_str())
    }

    /// What is said of its own container of this name.
    pub(crate) fn container_spec(&self, container: &str) -> &Value {
        let all = self.0["spec"]["containers"].as_array().into_iter().flatten();
        all.into_iter().find(|one| one["name"] == container).unwrap_or(&Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn pod(status: Value) -> Pod {
        Pod::of(json!({ "metadata": { "name": "p", "uid": "u" }, "status": status })).unwrap()
    }

    fn with(state: Value, last: Value, restarts: u32) -> Pod {
        let one = json!({ "name": "c", "state": state, "lastState": last, "restartCount": restarts });
        pod(json!({ "phase": "Running", "containerStatuses": [one] }))
    }

    #[test]
    fn a_life_is_the_pod_the_beginning_and_the_count() {
        let running = json!({ "running": { "startedAt": "T1" } });
        let ended = json!({ "terminated": { "startedAt": "T0" } });
        assert_eq!(with(running.clone(), json!({}), 0).life("c"), Some(Instance("u:T1:0".into())));
        let again = with(running, ended.clone(), 1);
        assert_eq!(again.life("c"), Some(Instance("u:T1:1".into())));
        assert_eq!(again.life("other"), None);
        let waits = with(json!({ "waiting": { "reason": "CrashLoopBackOff" } }), ended, 4);
        assert_eq!((waits.life("c"), waits.waits_for("c")), (None, Some("CrashLoopBackOff")));
        assert_eq!(waits.latest("c"), Some(Instance("u:T0:4".into())));
        assert_eq!(with(json!({ "waiting": {} }), json!({}), 0).latest("c"), None);
    }

    #[test]
    fn what_leaves_or_is_over_does_not_run() {
        let running = json!({ "state": { "running": { "startedAt": "T1" } }, "name": "c" });
        let over = pod(json!({ "phase": "Failed", "containerStatuses": [running] }));
        assert!(over.is_over() && over.life("c").is_none());
        let mut leaving = with(json!({ "running": { "startedAt": "T1" } }), json!({}), 0);
        leaving.0["metadata"]["deletionTimestamp"] = "T2".into();
        assert!(leaving.is_leaving() && leaving.life("c").is_none() && leaving.shown("c").contains("way out"));
    }

    #[test]
    fn why_a_pod_is_pending_is_told() {
        let unmet = json!({ "type": "PodScheduled", "status": "False", "message": "0/3 nodes are available" });
        let pod = pod(json!({ "phase": "Pending", "conditions": [unmet] }));
        assert_eq!(pod.shown("c"), "0/3 nodes are available");
    }
}
