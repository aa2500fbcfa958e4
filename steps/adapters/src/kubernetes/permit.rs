//! The list of what may be sent to an API server, beside the methods: whatever they become, nothing else leaves.
//!
//! No claim and no volume is ever deleted; of a volume one field may be set, to one value; nothing is deleted as a collection.

use hyper::Method;
use serde_json::{Value, json};

use super::api::{Asking, Kind};

/// What one workload's adapter may send.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Permit {
    /// The namespace; only volumes are outside of it.
    pub(super) namespace: String,
    /// `deployments` or `statefulsets`.
    pub(super) plural: &'static str,
    /// The workload.
    pub(super) name: String,
    /// The Secret through which a token is handed over.
    pub(super) secret: String,
    /// The pod that looks into a claim.
    pub(super) reader: String,
    /// The leases that may be written.
    pub(super) leases: [String; 2],
}

impl Permit {
    /// Whether this may be sent.
    pub(super) fn allows(&self, asking: &Asking<'_>) -> bool {
        if !plain(asking.path) {
            return false;
        }
        let core = format!("/api/v1/namespaces/{}/", self.namespace);
        let apps = format!("/apis/apps/v1/namespaces/{}/{}", self.namespace, self.plural);
        let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", self.namespace);
        if let Some(rest) = asking.path.strip_prefix("/api/v1/persistentvolumes/") {
            return !rest.contains('/') && (asking.method == Method::GET || self.retains(asking));
        }
        if let Some(rest) = asking.path.strip_prefix(&core) {
            return self.core(asking, &rest.split('/').collect::<Vec<_>>());
        }
        if let Some(rest) = asking.path.strip_prefix(&apps) {
            return self.workload(asking, rest);
        }
        let Some(rest) = asking.path.strip_prefix(&leases) else { return false };
        let ours = |name: &str| self.leases.iter().any(|lease| lease == name);
        match (asking.method.as_str(), rest.strip_prefix('/')) {
            ("POST", None) => rest.is_empty() && named(asking).is_some_and(ours),
            ("GET" | "PUT", Some(name)) => ours(name),
            _ => false,
        }
    }

    /// The one change of a volume: that it stays when its claim goes.
    fn retains(&self, asking: &Asking<'_>) -> bool {
        let Some((Kind::Merge, body)) = asking.body else { return false };
        asking.method == Method::PATCH && body["spec"] == json!({ "persistentVolumeReclaimPolicy": "Retain" }) && {
            let keys = |value: &Value| value.as_object().map(|o| o.keys().cloned().collect::<Vec<_>>());
            keys(body).is_some_and(|keys| keys.iter().all(|key| key == "spec" || key == "metadata"))
                && keys(&body["metadata"]).is_none_or(|keys| keys == ["resourceVersion"])
        }
    }

    fn core(&self, asking: &Asking<'_>, rest: &[&str]) -> bool {
        match (asking.method.as_str(), rest) {
            ("GET", ["pods"] | ["pods", _] | ["pods", _, "log"] | ["persistentvolumeclaims", _]) => true,
            // A claim may be made where there is none, and nothing of one that is there may be changed.
            ("POST", ["persistentvolumeclaims"]) => true,
            ("POST", ["pods"]) => named(asking) == Some(self.reader.as_str()),
            ("DELETE", ["pods", name]) => *name == self.reader,
            ("PATCH", ["pods", _, "ephemeralcontainers"]) => matches!(asking.body, Some((Kind::Strategic, _))),
            ("GET" | "DELETE", ["secrets", name]) => *name == self.secret,
            ("POST", ["secrets"]) => named(asking) == Some(self.secret.as_str()),
            _ => false,
        }
    }

    fn workload(&self, asking: &Asking<'_>, rest: &str) -> bool {
        let own = rest.strip_prefix('/').and_then(|rest| rest.strip_prefix(self.name.as_str()));
        match (asking.method.as_str(), own, asking.body) {
            ("GET", _, None) => rest.is_empty() || own == Some(""),
            ("PATCH", Some("/scale"), Some((Kind::Merge, body))) => {
                body["spec"] == json!({ "replicas": 0 }) || body["spec"] == json!({ "replicas": 1 })
            }
            ("PATCH", Some(""), Some((Kind::Apply, body))) => {
                body["spec"].as_object().is_some_and(|spec| spec.keys().eq(["template"]))
            }
            _ => false,
        }
    }
}

/// The name of the object that is to be made.
fn named<'a>(asking: &Asking<'a>) -> Option<&'a str> {
    asking.body?.1["metadata"]["name"].as_str()
}

/// A path of names alone: nothing in it is decoded or resolved by whoever reads it.
fn plain(path: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"/-._".contains(&b);
    path.bytes().all(allowed) && !path.split('/').skip(1).any(|part| part.is_empty() || part.starts_with('.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn permit() -> Permit {
        Permit {
            namespace: "edge".into(),
            plural: "deployments",
            name: "web".into(),
            secret: "token".into(),
            reader: "recover-look-web".into(),
            leases: ["recover-web".into(), "recover-web-before".into()],
        }
    }

    fn allows(method: &str, path: &str, body: Option<(Kind, &Value)>) -> bool {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        permit().allows(&Asking { method, path, query: "", body })
    }

    #[test]
    fn nothing_deletes_a_claim_a_volume_a_workload_or_a_collection() {
        for path in [
            "/api/v1/namespaces/edge/persistentvolumeclaims/data",
            "/api/v1/namespaces/edge/persistentvolumeclaims",
            "/api/v1/persistentvolumes/pv-1",
            "/api/v1/persistentvolumes",
            "/api/v1/namespaces/edge",
            "/api/v1/namespaces/edge/pods",
            "/api/v1/namespaces/edge/pods/web-1",
            "/api/v1/namespaces/edge/secrets",
            "/api/v1/namespaces/edge/secrets/other",
            "/apis/apps/v1/namespaces/edge/deployments/web",
            "/apis/coordination.k8s.io/v1/namespaces/edge/leases/recover-web",
            "/api/v1/namespaces/edge/pods/recover-look-web/../web-1",
            "/api/v1/namespaces/edge/pods//recover-look-web",
        ] {
            assert!(!allows("DELETE", path, None), "{path}");
        }
        assert!(allows("DELETE", "/api/v1/namespaces/edge/pods/recover-look-web", None));
        assert!(allows("DELETE", "/api/v1/namespaces/edge/secrets/token", None));
    }

    #[test]
    fn of_a_volume_one_field_may_be_set_and_of_a_claim_none() {
        let retain =
            json!({ "metadata": { "resourceVersion": "7" }, "spec": { "persistentVolumeReclaimPolicy": "Retain" } });
        let volume = "/api/v1/persistentvolumes/pv-1";
        assert!(allows("PATCH", volume, Some((Kind::Merge, &retain))));
        for (kind, body) in [
            (Kind::Merge, json!({ "spec": { "persistentVolumeReclaimPolicy": "Delete" } })),
            (Kind::Merge, json!({ "spec": { "persistentVolumeReclaimPolicy": "Retain", "claimRef": null } })),
            (
                Kind::Merge,
                json!({ "metadata": { "finalizers": null }, "spec": { "persistentVolumeReclaimPolicy": "Retain" } }),
            ),
            (Kind::Apply, retain.clone()),
        ] {
            assert!(!allows("PATCH", volume, Some((kind, &body))), "{body}");
        }
        assert!(!allows("PATCH", "/api/v1/namespaces/edge/persistentvolumeclaims/data", Some((Kind::Merge, &retain))));
    }

    #[test]
    fn of_the_workload_only_its_scale_and_its_template_change_and_of_others_nothing() {
        let (none, one, two) = ([0, 1, 2]).map(|n| json!({ "spec": { "replicas": n } })).into();
        let scale = "/apis/apps/v1/namespaces/edge/deployments/web/scale";
        assert!(
            allows("PATCH", scale, Some((Kind::Merge, &none))) && allows("PATCH", scale, Some((Kind::Merge, &one)))
        );
        assert!(!allows("PATCH", scale, Some((Kind::Merge, &two))));
        let template = json!({ "spec": { "template": {} } });
        let web = "/apis/apps/v1/namespaces/edge/deployments/web";
        assert!(allows("PATCH", web, Some((Kind::Apply, &template))));
        assert!(
            !allows("PATCH", web, Some((Kind::Apply, &one))) && !allows("PUT", web, Some((Kind::Object, &template)))
        );
        for other in ["web2", "webb/scale", "other"] {
            let path = format!("/apis/apps/v1/namespaces/edge/deployments/{other}");
            assert!(!allows("PATCH", &path, Some((Kind::Apply, &template))), "{other}");
        }
        assert!(!allows("GET", "/api/v1/namespaces/other/pods", None), "another namespace is nobody's business");
        assert!(!allows("GET", "/api/v1/namespaces/edge/secrets", None));
        let named = |name: &str| json!({ "metadata": { "name": name } });
        assert!(!allows("POST", "/api/v1/namespaces/edge/secrets", Some((Kind::Object, &named("other")))));
        assert!(!allows("POST", "/api/v1/namespaces/edge/pods", Some((Kind::Object, &named("other")))));
        assert!(!allows("POST", "/api/v1/namespaces/edge/pods/web-1/exec", None));
    }
}
