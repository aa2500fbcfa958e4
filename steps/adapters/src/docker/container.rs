//! One container as the daemon tells of it: whether it runs, and what is mounted where.

use std::fmt;

use recover_steps::Instance;
use serde_json::Value;

/// What the daemon says of one container.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Container(Value);

/// What is at a path in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Mounted {
    /// A volume.
    Volume {
        /// Its name.
        name: String,
        /// Whether the container may write to it.
        writable: bool,
    },
    /// A path of the host.
    Bind {
        /// Which.
        source: String,
        /// Whether the container may write to it.
        writable: bool,
    },
    /// Memory.
    Tmpfs,
    /// Something that this build does not know.
    Other(String),
    /// Nothing, but something is at a path above.
    Above(String),
    /// Nothing: it is in the container's own layer.
    Nothing,
}

/// The environment is in it.
impl fmt::Debug for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Container({} {})", self.name(), self.id())
    }
}

impl Container {
    /// What was told, if it names a container.
    pub(crate) fn of(told: Value) -> Option<Self> {
        let container = Self(told);
        (!container.id().is_empty() && !container.name().is_empty()).then_some(container)
    }

    pub(super) const fn told(&self) -> &Value {
        &self.0
    }

    pub(crate) fn id(&self) -> &str {
        self.0["Id"].as_str().unwrap_or_default()
    }

    pub(crate) fn name(&self) -> &str {
        self.0["Name"].as_str().unwrap_or_default().trim_start_matches('/')
    }

    /// The image that it was made of, by its id.
    pub(crate) fn image(&self) -> &str {
        self.0["Image"].as_str().unwrap_or_default()
    }

    /// The image's name at that time.
    pub(crate) fn image_name(&self) -> &str {
        self.0["Config"]["Image"].as_str().unwrap_or_default()
    }

    /// The words that it runs.
    pub(crate) fn command(&self) -> Vec<String> {
        let config = &self.0["Config"];
        let words = |name: &str| config[name].as_array().cloned().unwrap_or_default();
        let all = words("Entrypoint").into_iter().chain(words("Cmd"));
        all.filter_map(|word| word.as_str().map(str::to_owned)).collect()
    }

    pub(crate) fn label(&self, name: &str) -> Option<&str> {
        self.0["Config"]["Labels"][name].as_str()
    }

    pub(crate) fn restart_policy(&self) -> &str {
        self.0["HostConfig"]["RestartPolicy"]["Name"].as_str().unwrap_or_default()
    }

    /// How often the daemon started it again by itself.
    pub(crate) fn restarts(&self) -> u32 {
        self.0["RestartCount"].as_u64().and_then(|n| u32::try_from(n).ok()).unwrap_or_default()
    }

    /// Whether the daemon takes it away as soon as it stops, with the volumes that nobody named.
    pub(crate) fn goes_when_stopped(&self) -> bool {
        self.0["HostConfig"]["AutoRemove"] == true
    }

    /// Whether it has the volumes of another container, which its own specification does not name.
    pub(crate) fn borrows_volumes(&self) -> bool {
        self.0["HostConfig"]["VolumesFrom"].as_array().is_some_and(|from| !from.is_empty())
    }

    /// Whether it is between two lives.
    pub(crate) fn is_restarting(&self) -> bool {
        self.state("Restarting")
    }

    /// Whether nothing of it runs and nothing will start it by itself before the daemon starts again.
    pub(crate) fn is_down(&self) -> bool {
        !["Running", "Restarting", "Paused"].iter().any(|state| self.state(state))
    }

    fn state(&self, name: &str) -> bool {
        self.0["State"][name] == true
    }

    /// The state in the daemon's word.
    pub(crate) fn status(&self) -> &str {
        self.0["State"]["Status"].as_str().unwrap_or("in no state that is told")
    }

    pub(crate) fn exit_code(&self) -> i64 {
        self.0["State"]["ExitCode"].as_i64().unwrap_or_default()
    }

    /// When it was last started, in the daemon's words.
    pub(crate) fn started_at(&self) -> &str {
        self.0["State"]["StartedAt"].as_str().unwrap_or_default()
    }

    /// The life that runs, if one does: no other has this id and this beginning.
    pub(crate) fn life(&self) -> Option<Instance> {
        let runs = self.state("Running") && !self.is_restarting();
        runs.then(|| self.latest())
    }

    /// The life that was begun last, whether it runs or has ended.
    pub(crate) fn latest(&self) -> Instance {
        Instance(format!("{}:{}", self.id(), self.started_at()))
    }

    /// The life that the daemon is about: it runs, or it has ended and the next follows by itself.
    pub(crate) fn begun(&self) -> Option<Instance> {
        if self.is_restarting() { Some(self.latest()) } else { self.life() }
    }

    /// What is at this path.
    pub(crate) fn mounted(&self, path: &str) -> Mounted {
        let all = self.mounts();
        if let Some(mount) = all.iter().find(|mount| mount["Destination"] == path) {
            return of_kind(mount);
        }
        // `--tmpfs` is told apart from the other mounts.
        if self.0["HostConfig"]["Tmpfs"].get(path).is_some() {
            return Mounted::Tmpfs;
        }
        let above = all.iter().filter_map(|mount| mount["Destination"].as_str()).filter(|at| is_below(path, at));
        above.max_by_key(|at| at.len()).map_or(Mounted::Nothing, |at| Mounted::Above(at.to_owned()))
    }

    /// Whether this path of the host can be seen in it.
    pub(crate) fn sees(&self, host: &str) -> bool {
        let binds = self.mounts().iter().filter(|mount| mount["Type"] == "bind");
        binds.filter_map(|mount| mount["Source"].as_str()).any(|source| source == host || is_below(host, source))
    }

    /// Whether it is on this network.
    pub(crate) fn is_on(&self, network: &str) -> bool {
        self.0["NetworkSettings"]["Networks"].get(network).is_some()
    }

    pub(super) fn mounts(&self) -> &[Value] {
        self.0["Mounts"].as_array().map_or(&[], Vec::as_slice)
    }
}

/// Whether a path is strictly below another.
fn is_below(path: &str, above: &str) -> bool {
    path.strip_prefix(above.trim_end_matches('/')).is_some_and(|rest| rest.starts_with('/') && rest.len() > 1)
}

fn of_kind(mount: &Value) -> Mounted {
    let word = |name: &str| mount[name].as_str().unwrap_or_default().to_owned();
    let writable = mount["RW"] == true;
    match mount["Type"].as_str().unwrap_or_default() {
        "volume" => Mounted::Volume { name: word("Name"), writable },
        "bind" => Mounted::Bind { source: word("Source"), writable },
        "tmpfs" => Mounted::Tmpfs,
        other => Mounted::Other(other.to_owned()),
    }
}

/// Docker names a volume that nobody named by 64 hexadecimal digits.
pub(crate) fn is_anonymous(volume: &str) -> bool {
    volume.len() == 64 && volume.bytes().all(|b| b.is_ascii_hexdigit())
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// As Engine 20.10.24 tells it over API 1.41, shortened where it repeats itself.
    pub(crate) fn recorded() -> Value {
        serde_json::from_str(include_str!("recorded/container.json")).unwrap()
    }

    fn with(change: impl FnOnce(&mut Value)) -> Container {
        let mut told = recorded();
        change(&mut told);
        Container::of(told).unwrap()
    }

    #[test]
    fn a_recorded_container_is_read() {
        let container = with(|_| ());
        assert_eq!((container.name(), container.restart_policy()), ("edge-connector", "unless-stopped"));
        assert_eq!(container.command()[0], "/bin/recover");
        let life = container.life().unwrap().0;
        assert!(life.starts_with(container.id()) && life.ends_with('Z'), "{life}");
        assert!(!container.is_down() && !container.goes_when_stopped() && !container.borrows_volumes());
        assert_eq!(container.mounted("/data"), Mounted::Volume { name: "edge-data".into(), writable: true });
        assert!(container.sees("/run/edge/handover") && container.sees("/run/edge/handover/deeper"));
        assert!(!container.sees("/run/edge") && !container.sees("/run/edge/handover-other"));
        assert!(!format!("{container:?}").contains("hunter2"), "the environment is not shown");
    }

    #[test]
    fn a_mount_is_told_by_its_kind_and_its_place() {
        let kinds = [
            (r#"{"Type":"bind","Source":"/srv","Destination":"/data","RW":false}"#, "Bind"),
            (r#"{"Type":"tmpfs","Destination":"/data","RW":true}"#, "Tmpfs"),
            (r#"{"Type":"npipe","Destination":"/data"}"#, "Other"),
        ];
        for (mount, kind) in kinds {
            let mount: Value = serde_json::from_str(mount).unwrap();
            let container = with(|told| told["Mounts"] = serde_json::json!([mount]));
            assert!(format!("{:?}", container.mounted("/data")).starts_with(kind), "{kind}");
            assert_eq!(container.mounted("/data/deeper"), Mounted::Above("/data".into()));
            assert_eq!(container.mounted("/database"), Mounted::Nothing);
        }
        let flag = with(|told| {
            told["Mounts"] = Value::Null;
            told["HostConfig"]["Tmpfs"] = serde_json::json!({"/data": ""});
        });
        assert_eq!((flag.mounted("/data"), flag.mounted("/other")), (Mounted::Tmpfs, Mounted::Nothing));
    }

    #[test]
    fn what_restarts_or_is_paused_is_not_down_and_what_restarts_has_no_life() {
        let state = |name: &str, running: bool| {
            with(|told| {
                told["State"]["Running"] = running.into();
                told["State"][name] = true.into();
            })
        };
        assert!(!state("Restarting", true).is_down() && state("Restarting", true).life().is_none());
        assert!(!state("Paused", true).is_down() && state("Paused", true).life().is_some());
        assert!(state("Dead", false).is_down() && state("Dead", false).life().is_none());
    }

    #[test]
    fn a_volume_that_nobody_named_is_told_by_its_name() {
        assert!(is_anonymous(&"0a".repeat(32)));
        assert!(!is_anonymous("edge-data") && !is_anonymous(&"0g".repeat(32)) && !is_anonymous(&"0a".repeat(31)));
    }
}
