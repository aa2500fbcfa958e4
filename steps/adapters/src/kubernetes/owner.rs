//! A Deployment or StatefulSet as the API server tells of it: how many pods it wants, which are its, and what is mounted where.

use serde_json::Value;

/// What is at a path in the workload's container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mounted {
    /// A claim.
    Claim(Claimed),
    /// The pod's scratch space, which goes with the pod.
    EmptyDir,
    /// A volume of another kind.
    Other(String),
    /// Nothing, but something is at a path above.
    Above(String),
    /// Nothing: it is in the container's own layer.
    Nothing,
}

/// A claim that is mounted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Claimed {
    /// Its name.
    pub(crate) name: String,
    /// Whether it is made from a template of a StatefulSet: the pod template cannot name another then.
    pub(crate) templated: bool,
    /// Whether the workload may write to it.
    pub(crate) writable: bool,
}

/// What the API server says of one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Owner {
    told: Value,
    container: String,
}

impl Owner {
    /// What was told, if the container can be told among the pod's.
    pub(crate) fn of(told: Value, container: Option<&str>) -> Result<Self, String> {
        let all = told["spec"]["template"]["spec"]["containers"].as_array().cloned().unwrap_or_default();
        let names: Vec<&str> = all.iter().filter_map(|one| one["name"].as_str()).collect();
        let container = match (container, names.as_slice()) {
            (Some(wanted), names) if names.contains(&wanted) => wanted.to_owned(),
            (Some(wanted), names) => {
                return Err(format!("has no container {wanted}; it has {}", names.join(" and ")));
            }
            (None, [one]) => (*one).to_owned(),
            (None, []) => return Err("has no container".to_owned()),
            (None, names) => {
                return Err(format!("has the containers {}: name the connector's as `container`", names.join(" and ")));
            }
        };
        Ok(Self { told, container })
    }

    pub(crate) fn uid(&self) -> &str {
        self.told["metadata"]["uid"].as_str().unwrap_or_default()
    }

    pub(crate) fn version(&self) -> &str {
        self.told["metadata"]["resourceVersion"].as_str().unwrap_or_default()
    }

    /// How many pods are wanted. One, where nothing is said.
    pub(crate) fn replicas(&self) -> u64 {
        self.told["spec"]["replicas"].as_u64().unwrap_or(1)
    }

    /// The container's name.
    pub(crate) fn container(&self) -> &str {
        &self.container
    }

    /// What is said of the container.
    pub(crate) fn container_spec(&self) -> &Value {
        let all = self.pod_spec()["containers"].as_array();
        all.into_iter().flatten().find(|one| one["name"] == self.container.as_str()).unwrap_or(&Value::Null)
    }

    /// What is said of the pods.
    pub(crate) fn pod_spec(&self) -> &Value {
        &self.told["spec"]["template"]["spec"]
    }

    /// The image that is asked for.
    pub(crate) fn image(&self) -> &str {
        self.container_spec()["image"].as_str().unwrap_or_default()
    }

    /// The words that it runs, where they are said.
    pub(crate) fn command(&self) -> Vec<String> {
        let words = |name: &str| self.container_spec()[name].as_array().cloned().unwrap_or_default();
        let all = words("command").into_iter().chain(words("args"));
        all.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    }

    /// Whether a pod with these labels is the workload's.
    pub(crate) fn selects(&self, labels: &Value) -> bool {
        let selector = &self.told["spec"]["selector"];
        let wanted = selector["matchLabels"].as_object();
        let expressions = selector["matchExpressions"].as_array();
        let some = wanted.is_some_and(|o| !o.is_empty()) || expressions.is_some_and(|e| !e.is_empty());
        some && wanted.into_iter().flatten().all(|(key, value)| &labels[key] == value)
            && expressions.into_iter().flatten().all(|one| matches(one, labels))
    }

    /// The mount at this very path.
    pub(crate) fn mount(&self, path: &str) -> Option<&Value> {
        self.mounts().iter().find(|mount| at(mount) == path.trim_end_matches('/'))
    }

    fn mounts(&self) -> &[Value] {
        self.container_spec()["volumeMounts"].as_array().map_or(&[], Vec::as_slice)
    }

    /// The volume of this name in the pod template.
    pub(crate) fn volume(&self, name: &str) -> Option<&Value> {
        self.pod_spec()["volumes"].as_array().into_iter().flatten().find(|volume| volume["name"] == name)
    }

    /// What is at this path.
    pub(crate) fn mounted(&self, path: &str) -> Mounted {
        let Some(mount) = self.mount(path) else {
            let above =
                self.mounts().iter().map(at).filter(|at| path.strip_prefix(at).is_some_and(|r| r.starts_with('/')));
            return above.max_by_key(|at| at.len()).map_or(Mounted::Nothing, |at| Mounted::Above(at.to_owned()));
        };
        let (name, writable) = (mount["name"].as_str().unwrap_or_default(), mount["readOnly"] != true);
        let templates = self.told["spec"]["volumeClaimTemplates"].as_array();
        if templates.into_iter().flatten().any(|template| template["metadata"]["name"] == name) {
            let own = self.told["metadata"]["name"].as_str().unwrap_or_default();
            return Mounted::Claim(Claimed { name: format!("{name}-{own}-0"), templated: true, writable });
        }
        let Some(volume) = self.volume(name) else { return Mounted::Nothing };
        let claim = &volume["persistentVolumeClaim"];
        if let Some(claim_name) = claim["claimName"].as_str() {
            let writable = writable && claim["readOnly"] != true;
            return Mounted::Claim(Claimed { name: claim_name.to_owned(), templated: false, writable });
        }
        if volume.get("emptyDir").is_some() {
            return Mounted::EmptyDir;
        }
        let kind = volume.as_object().and_then(|fields| fields.keys().find(|key| *key != "name"));
        Mounted::Other(kind.cloned().unwrap_or_default())
    }

    /// Whether the container sees this Secret where there is one, and starts where there is none.
    pub(crate) fn sees_secret(&self, secret: &str) -> Result<(), String> {
        let volumes = self.pod_spec()["volumes"].as_array();
        let Some(volume) = volumes.into_iter().flatten().find(|volume| volume["secret"]["secretName"] == secret) else {
            return Err(format!(
                "its pod template has no volume of the Secret {secret}, so it would never see a token"
            ));
        };
        if volume["secret"]["optional"] != true {
            return Err(format!(
                "the volume of the Secret {secret} is not `optional`, so it cannot start without a token"
            ));
        }
        if self.mounts().iter().any(|mount| mount["name"] == volume["name"]) {
            return Ok(());
        }
        Err(format!("the container {} does not mount the Secret {secret}", self.container))
    }
}

fn at(mount: &Value) -> &str {
    mount["mountPath"].as_str().unwrap_or_default().trim_end_matches('/')
}

fn matches(expression: &Value, labels: &Value) -> bool {
    let value = &labels[expression["key"].as_str().unwrap_or_default()];
    let among = || expression["values"].as_array().is_some_and(|values| values.contains(value));
    match expression["operator"].as_str().unwrap_or_default() {
        "In" => among(),
        "NotIn" => !among(),
        "Exists" => !value.is_null(),
        "DoesNotExist" => value.is_null(),
        // What cannot be told is counted in: a pod too many is asked about, one too few is overlooked.
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn owner(change: impl FnOnce(&mut Value)) -> Owner {
        let mut told = super::super::fake::deployment("edge", 1);
        change(&mut told);
        Owner::of(told, None).unwrap()
    }

    #[test]
    fn c11_what_is_mounted_is_told_by_its_kind_and_its_place() {
        let claim = |name: &str| Mounted::Claim(Claimed { name: name.into(), templated: false, writable: true });
        assert_eq!(owner(|_| ()).mounted("/data"), claim("edge-data"));
        assert_eq!(owner(|_| ()).mounted("/data/"), claim("edge-data"));
        let volumes = "/spec/template/spec/volumes/0";
        let with = |volume: Value| owner(move |told| *told.pointer_mut(volumes).unwrap() = volume);
        assert_eq!(with(json!({ "name": "data", "emptyDir": {} })).mounted("/data"), Mounted::EmptyDir);
        assert_eq!(with(json!({ "name": "data", "hostPath": {} })).mounted("/data"), Mounted::Other("hostPath".into()));
        let read_only = json!({ "name": "data", "persistentVolumeClaim": { "claimName": "c", "readOnly": true } });
        assert!(matches!(with(read_only).mounted("/data"), Mounted::Claim(claimed) if !claimed.writable));
        assert_eq!(owner(|_| ()).mounted("/data/deeper"), Mounted::Above("/data".into()));
        assert_eq!(owner(|_| ()).mounted("/database"), Mounted::Nothing);
        let templated = owner(|told| {
            told["spec"]["volumeClaimTemplates"] = json!([{ "metadata": { "name": "data" } }]);
        });
        assert!(matches!(templated.mounted("/data"), Mounted::Claim(c) if c.templated && c.name == "data-edge-0"));
    }

    #[test]
    fn pods_are_told_by_the_selector_and_an_empty_one_selects_none() {
        let labels = json!({ "app": "edge" });
        assert!(owner(|_| ()).selects(&labels) && !owner(|_| ()).selects(&json!({ "app": "other" })));
        assert!(!owner(|told| told["spec"]["selector"] = json!({})).selects(&labels));
        let with = |operator: &str, values: Value| {
            let one = json!({ "key": "app", "operator": operator, "values": values });
            owner(move |told| told["spec"]["selector"]["matchExpressions"] = json!([one])).selects(&labels)
        };
        assert!(with("In", json!(["edge"])) && !with("NotIn", json!(["edge"])) && with("Exists", json!([])));
        assert!(!with("DoesNotExist", json!([])) && with("SomethingNew", json!([])));
    }

    #[test]
    fn the_connectors_container_must_be_told_among_several() {
        let two = json!([{ "name": "a" }, { "name": "b" }]);
        let told = json!({ "spec": { "template": { "spec": { "containers": two } } } });
        assert!(Owner::of(told.clone(), None).unwrap_err().contains("a and b"));
        assert!(Owner::of(told.clone(), Some("c")).unwrap_err().contains("no container c"));
        assert_eq!(Owner::of(told, Some("b")).unwrap().container(), "b");
        assert!(Owner::of(json!({}), None).is_err());
    }

    #[test]
    fn a_token_is_seen_only_through_an_optional_volume_that_is_mounted() {
        assert_eq!(owner(|_| ()).sees_secret("edge-token"), Ok(()));
        assert!(owner(|_| ()).sees_secret("other").is_err());
        let optional = "/spec/template/spec/volumes/1/secret/optional";
        let must = owner(|told| *told.pointer_mut(optional).unwrap() = false.into());
        assert!(must.sees_secret("edge-token").unwrap_err().contains("optional"));
        let mounts = "/spec/template/spec/containers/0/volumeMounts/1/name";
        assert!(owner(|told| *told.pointer_mut(mounts).unwrap() = "x".into()).sees_secret("edge-token").is_err());
    }
}
