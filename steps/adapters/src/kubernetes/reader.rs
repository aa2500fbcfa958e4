//! Looking at what is on a claim: from outside a cluster nobody can, so a container of the run's own does it and prints what it found.
//!
//! It prints the public part of an identity and nothing else: a container's log lies on its node. Where a pod of the workload runs, a
//! container is added to that pod, which sees exactly what the workload sees; where none does, a pod is made that ends by itself.

use std::path::Path;

use recover_engine::Millis;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::names::LABEL_OF;
use super::owner::Owner;
use super::pod::Pod;
use crate::files;
use crate::storage::{Identity, Judged, Looked, look_in, mount_judged};

/// The name of the container that looks, and the beginning of those that are added.
pub(crate) const CONTAINER: &str = "recover-look";
/// For so long one that was added goes on. Seconds.
const GOES_ON_S: u32 = 900;

/// What a look found, as it is printed: one line of JSON.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Answer {
    /// The version of this format, and how it is told from other lines.
    recover_look: u8,
    /// The how manieth look of this container it was.
    pub(crate) n: u64,
    found: Found,
    /// The file system and what it is on, and whether that lasts; none where the directory cannot be opened.
    pub(crate) on: Option<(String, Lasts)>,
    /// Why the user who looks could not write there.
    pub(crate) unwritable: Option<String>,
}

const FORMAT: u8 = 1;

/// Whether a file system outlives the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Lasts {
    Durable,
    Refuted,
    Undecided,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Found {
    Identity { serial: String, own: Option<String>, fingerprint: String, not_after: Option<i64>, dead: Option<String> },
    Absent,
    Unreadable(String),
}

impl Answer {
    /// Looks into a directory.
    pub(crate) fn at(directory: &Path, name: &str, n: u64) -> Self {
        let folder = match files::open_dir(directory) {
            Ok(folder) => folder,
            Err(e) => {
                let why = format!("{}: {e}", directory.display());
                return Self { recover_look: FORMAT, n, found: Found::Unreadable(why), on: None, unwritable: None };
            }
        };
        let found = match look_in(&folder, name) {
            Looked::There(identity) => Found::Identity {
                own: identity.own_fingerprint.clone(),
                fingerprint: identity.fingerprint(),
                not_after: identity.not_after.map(|end| end.0),
                dead: identity.dead,
                serial: identity.serial,
            },
            Looked::Absent => Found::Absent,
            Looked::Unreadable(why) => Found::Unreadable(why),
        };
        let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
        let may = rustix::fs::accessat(&folder, ".", access, rustix::fs::AtFlags::EACCESS);
        let on = mount_judged(&folder, directory).map(|(judged, on)| {
            let lasts = match judged {
                Judged::Durable => Lasts::Durable,
                Judged::Refuted => Lasts::Refuted,
                Judged::Undecided => Lasts::Undecided,
            };
            (on, lasts)
        });
        Self { recover_look: FORMAT, n, found, on, unwritable: may.err().map(|e| e.to_string()) }
    }

    /// The newest of the answers in a log.
    pub(crate) fn last(log: &[u8]) -> Option<Self> {
        let lines = log.split(|byte| *byte == b'\n').rev();
        let mut answers = lines.filter_map(|line| serde_json::from_slice::<Self>(line).ok());
        answers.find(|answer| answer.recover_look == FORMAT)
    }

    /// What it says of the identity.
    pub(crate) fn looked(&self) -> Looked {
        let word = |text: &str| !text.is_empty() && text.len() <= 200 && text.bytes().all(|b| b.is_ascii_graphic());
        match &self.found {
            Found::Identity { serial, own, fingerprint, .. }
                if !word(serial) || !word(fingerprint) || !own.as_deref().is_none_or(word) =>
            {
                Looked::Unreadable("what was printed of it is no identity".to_owned())
            }
            Found::Identity { serial, own, fingerprint, not_after, dead } => Looked::There(Identity::told(
                serial.clone(),
                (own.clone(), fingerprint.clone()),
                not_after.map(Millis),
                dead.clone(),
            )),
            Found::Absent => Looked::Absent,
            Found::Unreadable(why) => Looked::Unreadable(why.clone()),
        }
    }
}

/// What `recover look` prints: one line.
#[must_use]
pub fn printed(directory: &Path, name: &str, n: u64) -> String {
    serde_json::to_string(&Answer::at(directory, name, n)).unwrap_or_default()
}

/// The containers that look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    /// The image, whose entrypoint is this program.
    pub(crate) image: &'a str,
    /// Where the identity is.
    pub(crate) mount: &'a str,
    /// The file's name.
    pub(crate) identity: &'a str,
}

impl Reader<'_> {
    fn container(&self, name: &str, volume: &str, like: &Value, read_only: bool, follow: bool) -> Value {
        let mut words =
            vec!["look".to_owned(), self.mount.to_owned(), "--identity".to_owned(), self.identity.to_owned()];
        if follow {
            words.extend(["--follow".to_owned(), GOES_ON_S.to_string()]);
        }
        // As whoever the workload runs, or it would say of another what is readable and writable.
        let user: serde_json::Map<String, Value> = ["runAsUser", "runAsGroup", "runAsNonRoot", "seLinuxOptions"]
            .iter()
            .filter_map(|key| Some(((*key).to_owned(), like["securityContext"].get(key)?.clone())))
            .collect();
        let mut security = json!({
            "allowPrivilegeEscalation": false, "readOnlyRootFilesystem": true, "capabilities": { "drop": ["ALL"] },
        });
        user.into_iter().for_each(|(key, value)| security[key] = value);
        json!({
            "name": name, "image": self.image, "args": words, "securityContext": security,
            "volumeMounts": [{ "name": volume, "mountPath": self.mount, "readOnly": read_only }],
        })
    }

    /// One that is added to a pod that runs, and goes on looking for a while. None where nothing is mounted there.
    pub(crate) fn added(&self, pod: &Pod, owner: &Owner) -> Option<(String, Value)> {
        let like = pod.container_spec(owner.container());
        let mounts = like["volumeMounts"].as_array().into_iter().flatten();
        let mount = mounts
            .into_iter()
            .find(|m| m["mountPath"].as_str().map(|at| at.trim_end_matches('/')) == Some(self.mount))?;
        let name = (0..).map(|n| format!("{CONTAINER}-{n}")).find(|name| !pod.added().any(|other| other == name))?;
        let mut container = self.container(&name, mount["name"].as_str()?, like, true, true);
        if let Some(below) = mount.get("subPath") {
            // The API takes no `subPath` here: what is below it is looked for there.
            let at = format!("{}/{}", self.mount, below.as_str()?);
            container["args"][1] = at.into();
        }
        Some((name, container))
    }

    /// A pod that looks into a claim once and ends.
    pub(crate) fn pod(&self, name: &str, owner: &Owner, claim: &str, read_only: bool) -> Value {
        let spec = owner.pod_spec();
        let like = owner.container_spec();
        let mount = owner.mount(self.mount);
        let mut container = self.container(CONTAINER, "looked-into", like, read_only, false);
        if let Some(below) = mount.and_then(|mount| mount.get("subPath")) {
            container["volumeMounts"][0]["subPath"] = below.clone();
        }
        let mut pod = json!({
            "restartPolicy": "Never", "automountServiceAccountToken": false, "enableServiceLinks": false,
            "terminationGracePeriodSeconds": 1, "activeDeadlineSeconds": 120, "containers": [container],
            "volumes": [{ "name": "looked-into", "persistentVolumeClaim": { "claimName": claim } }],
        });
        // Where the workload may be, a volume can be that is bound to a place.
        for key in [
            "nodeSelector",
            "tolerations",
            "affinity",
            "imagePullSecrets",
            "securityContext",
            "runtimeClassName",
            "priorityClassName",
        ] {
            if let Some(value) = spec.get(key) {
                pod[key] = value.clone();
            }
        }
        let workload = name.trim_start_matches("recover-look-");
        json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": name, "labels": { LABEL_OF: workload } },
            "spec": pod,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_printed_is_read_again_and_has_nothing_private_in_it() {
        let dir = crate::fake::on_disk();
        let file = dir.path().join("identity.json");
        let again = || Answer::last(printed(dir.path(), "identity.json", 7).as_bytes()).unwrap();
        assert_eq!((again().looked(), again().n), (Looked::Absent, 7));
        std::fs::write(
            &file,
            r#"{"serial":"s1","secret_key":"s3cr3t","certificate":"c","not_after":"2026-11-22T03:00:00Z"}"#,
        )
        .unwrap();
        let line = printed(dir.path(), "identity.json", 8);
        assert!(!line.contains("s3cr3t") && !line.contains('\n'), "{line}");
        let direct = look_in(&files::open_dir(dir.path()).unwrap(), "identity.json");
        let (Looked::There(told), Looked::There(seen)) = (again().looked(), direct) else { panic!("it is there") };
        assert_eq!(
            (&told.serial, told.fingerprint(), told.not_after),
            (&seen.serial, seen.fingerprint(), seen.not_after)
        );
        std::fs::write(&file, "half").unwrap();
        assert!(matches!(again().looked(), Looked::Unreadable(_)));
        assert!(matches!(Answer::at(Path::new("/nobody/has/this"), "i", 0).looked(), Looked::Unreadable(_)));
    }

    #[test]
    fn of_a_log_the_last_whole_answer_counts() {
        let dir = crate::fake::on_disk();
        let line = |n| printed(dir.path(), "i", n);
        let log = format!("noise\n{}\n{}\n{}", line(1), line(2), &line(3)[..20]);
        assert_eq!(Answer::last(log.as_bytes()).unwrap().n, 2);
        assert_eq!(Answer::last(b"{\"n\":1}\nhello"), None);
        let foreign = line(4).replace(
            "\"absent\"",
            "{\"identity\":{\"serial\":\"a b\",\"own\":null,\"fingerprint\":\"f\",\"not_after\":null,\"dead\":null}}",
        );
        assert!(matches!(Answer::last(foreign.as_bytes()).unwrap().looked(), Looked::Unreadable(_)));
    }

    #[test]
    fn a_pod_that_looks_is_like_the_workloads_and_may_do_nothing() {
        let mut told = super::super::fake::deployment("edge", 1);
        told["spec"]["template"]["spec"]["nodeSelector"] = json!({ "disk": "ssd" });
        told["spec"]["template"]["spec"]["containers"][0]["securityContext"] =
            json!({ "runAsUser": 7, "privileged": true });
        let owner = Owner::of(told, None).unwrap();
        let reader = Reader { image: "recover", mount: "/data", identity: "identity.json" };
        let pod = reader.pod("recover-look-edge", &owner, "old", true);
        let container = &pod["spec"]["containers"][0];
        assert_eq!(pod["spec"]["nodeSelector"]["disk"], "ssd");
        assert_eq!(pod["spec"]["volumes"][0]["persistentVolumeClaim"]["claimName"], "old");
        assert_eq!(
            (&container["securityContext"]["runAsUser"], &container["securityContext"]["privileged"]),
            (&json!(7), &Value::Null)
        );
        assert_eq!(
            (&container["volumeMounts"][0]["readOnly"], &pod["spec"]["automountServiceAccountToken"]),
            (&json!(true), &json!(false))
        );
        assert!(!pod.to_string().contains("edge-token"), "it sees no token");
    }
}
