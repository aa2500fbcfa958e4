//! What a configuration says about one connector: where its workload, storage and authority are, and how long things take.

use std::path::{Component, Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::authority::{CredentialRef, Dialect, Origin};
use crate::span::Span;

/// One connector target. The configuration around it says that its kind is `connector`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ConnectorConfig {
    /// What runs.
    pub workload: WorkloadConfig,
    /// Where it keeps its identity.
    pub storage: StorageConfig,
    /// Who issues identities.
    pub authority: AuthorityConfig,
    /// How long things may take.
    #[serde(default)]
    pub timing: Timing,
}

/// What runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum WorkloadConfig {
    /// A process on this host.
    Process(ProcessConfig),
    /// A unit of systemd on this host.
    Systemd(SystemdConfig),
    /// A container of Docker on this host.
    Docker(DockerConfig),
}

/// How a unit of systemd gets to see the token in `token_file`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum TokenAs {
    /// It reads the file itself.
    #[default]
    File,
    /// As a credential of this name: a drop-in with `LoadCredential=` is there until the token is withdrawn.
    Credential(String),
    /// As a variable of this name: a drop-in with `EnvironmentFile=` is there until then. Only for a workload that knows nothing else:
    /// what it starts inherits the variable.
    Environment(String),
}

/// A directory that a unit of systemd is told of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnitStorageConfig {
    /// The directory, if the unit's text says nothing else; without `variable`, also where it is seen in the unit's own view of the files.
    pub path: PathBuf,
    /// The variable that tells the workload its directory, such as `PAM_AGENT_DATA_DIR`. If not given, `BindPaths=` does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variable: Option<String>,
    /// As of a directory.
    #[serde(default)]
    pub originals: Vec<PathBuf>,
    /// The name of the file with the identity.
    #[serde(default = "identity_json")]
    pub identity: String,
}

/// A container of Docker.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DockerConfig {
    /// Its exact name.
    pub container: String,
    /// The daemon's socket. Whoever may use it is as good as root.
    #[serde(default = "docker_sock")]
    pub socket: PathBuf,
    /// Where it looks for a token, as a path on this host, on tmpfs. The folder is mounted into the container.
    pub token_file: PathBuf,
}

fn docker_sock() -> PathBuf {
    "/var/run/docker.sock".into()
}

/// A service of systemd.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SystemdConfig {
    /// The unit's full name: `vaultpam-connector.service`.
    pub unit: String,
    /// Whose manager has it.
    #[serde(default)]
    pub manager: Manager,
    /// The file with the token, on tmpfs.
    pub token_file: PathBuf,
    /// How the unit gets to see it.
    #[serde(default)]
    pub token: TokenAs,
    /// The file that its output goes to; the journal if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub log: Option<PathBuf>,
}

/// A manager of systemd.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Manager {
    /// The system's, over the system bus.
    #[default]
    System,
    /// That of the user who runs `recover`, over that user's session bus.
    User,
}

/// A process on this host, started without a shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ProcessConfig {
    /// The program, with its absolute path, and its arguments.
    pub command: Vec<String>,
    /// Where the running process is named: `{"pid":N,"start":TICKS,"boot":"UUID"}`. Its lock is this path and `.lock`.
    pub pidfile: PathBuf,
    /// Where its output is appended.
    pub log: PathBuf,
    /// Where it looks for a token, on tmpfs.
    pub token_file: PathBuf,
    /// Its working directory; `/` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

/// Where the workload keeps its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum StorageConfig {
    /// A directory on this host.
    Directory(DirectoryConfig),
    /// A directory of this host that the workload, a unit of systemd, is told of: another takes its place by a drop-in.
    SystemdUnit(UnitStorageConfig),
    /// What is mounted in the container of Docker that is the workload: a volume, or a directory of this host.
    DockerVolume(VolumeConfig),
}

/// What is mounted at one path of a container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeConfig {
    /// The path in the container.
    pub mount: String,
    /// The names of volumes that may be the original, if it is not mounted there.
    #[serde(default)]
    pub originals: Vec<String>,
    /// The name of the file with the identity.
    #[serde(default = "identity_json")]
    pub identity: String,
}

/// A directory on this host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DirectoryConfig {
    /// The directory.
    pub path: PathBuf,
    /// Where the original may be if it is not there: a directory with the identity in it, or one that has such directories in it.
    #[serde(default)]
    pub originals: Vec<PathBuf>,
    /// The name of the file with the identity.
    #[serde(default = "identity_json")]
    pub identity: String,
}

fn identity_json() -> String {
    "identity.json".to_owned()
}

/// Who issues identities.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum AuthorityConfig {
    /// A control plane that speaks the contract in `docs/authority-http.md`.
    Http(HttpConfig),
}

/// A control plane over HTTP.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HttpConfig {
    /// Its origin: scheme, host and port. Plain `http` only on loopback.
    pub base: Origin,
    /// The connector's id there.
    pub agent: String,
    /// The organisation, if there are several.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub org: Option<String>,
    /// A file with the certificates that alone are trusted; the system's if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ca: Option<PathBuf>,
    /// Where the credential is, never the credential itself.
    pub credential: CredentialRef,
    /// How it says what the contract says, where it does not speak the contract itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub dialect: Option<Box<Dialect>>,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// How long the connector must stay online, on either side of a restart.
    pub observe: Span,
    /// How long it has to come online.
    pub online_within: Span,
    /// How long the workload has to end by itself.
    pub stop_within: Span,
    /// How long it has to pair.
    pub pair_within: Span,
    /// How long a minted token works.
    pub token_ttl: Span,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            observe: Span::from_ms(30_000),
            online_within: Span::from_ms(30_000),
            stop_within: Span::from_ms(10_000),
            pair_within: Span::from_ms(30_000),
            token_ttl: Span::from_ms(600_000),
        }
    }
}

/// What is wrong with a configuration that has the right shape.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {wrong}")]
pub struct ConfigError {
    /// The key.
    pub key: &'static str,
    /// What is wrong with its value.
    pub wrong: String,
}

impl ConfigError {
    pub(crate) fn of_no_unit() -> Self {
        let wrong = "needs `workload.systemd`: it is changed by a drop-in of the unit".to_owned();
        Self { key: "storage.systemd-unit", wrong }
    }

    pub(crate) fn of_no_container() -> Self {
        let wrong = "needs `workload.docker`: it is mounted in a container".to_owned();
        Self { key: "storage.docker-volume", wrong }
    }
}

impl ConnectorConfig {
    /// What a run on this target is about: the authority's origin and the agent's id there. No name in this configuration
    /// takes part in it.
    #[must_use]
    pub fn subject(&self) -> String {
        let AuthorityConfig::Http(http) = &self.authority;
        format!("{}/{}", http.base, http.agent)
    }

    /// Checks what the shape alone does not say.
    ///
    /// # Errors
    /// On the first value that cannot be used.
    pub fn check(&self) -> Result<(), ConfigError> {
        let AuthorityConfig::Http(http) = &self.authority;
        let places = match &self.workload {
            WorkloadConfig::Process(process) => process.places()?,
            WorkloadConfig::Systemd(systemd) => systemd.places()?,
            WorkloadConfig::Docker(docker) => docker.places()?,
        };
        for (key, path) in places.into_iter().chain(self.storage.places(&self.workload)?) {
            if !plain(path) || (key != "workload.process.cwd" && path.file_name().is_none()) {
                return err(key, "must be an absolute path without `.` or `..`");
            }
        }
        let word = |text: &str| {
            !text.is_empty()
                && text.len() <= 128
                && !text.starts_with('.')
                && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
        };
        if !word(&http.agent) {
            return err(
                "authority.http.agent",
                "must be 1 to 128 letters, digits, `.`, `_` or `-`, and not begin with `.`",
            );
        }
        if http.org.as_deref().is_some_and(|org| !word(org)) {
            return err(
                "authority.http.org",
                "must be 1 to 128 letters, digits, `.`, `_` or `-`, and not begin with `.`",
            );
        }
        if let Some(dialect) = &http.dialect {
            dialect.check(&http.agent, http.org.as_deref()).map_err(|(key, wrong)| ConfigError { key, wrong })?;
        }
        if self.timing.token_ttl.as_ms() < 1_000 {
            return err("timing.token_ttl", "must be at least 1s");
        }
        Ok(())
    }
}

fn err<T>(key: &'static str, wrong: &str) -> Result<T, ConfigError> {
    Err(ConfigError { key, wrong: wrong.to_owned() })
}

/// Keys and their paths.
type Places<'a> = Vec<(&'static str, &'a Path)>;

impl ProcessConfig {
    /// Checks the words of the command; gives the paths.
    fn places(&self) -> Result<Places<'_>, ConfigError> {
        if !self.command.first().is_some_and(|program| program.starts_with('/')) {
            return err("workload.process.command", "the program must be named with its absolute path");
        }
        if self.command.iter().any(|word| word.contains('\0')) {
            return err("workload.process.command", "a word has a NUL in it");
        }
        let mut places: Places<'_> = vec![
            ("workload.process.pidfile", &self.pidfile),
            ("workload.process.log", &self.log),
            ("workload.process.token_file", &self.token_file),
        ];
        places.extend(self.cwd.iter().map(|cwd| ("workload.process.cwd", cwd.as_path())));
        Ok(places)
    }
}

impl UnitStorageConfig {
    /// Checks what is no path; gives the paths.
    fn places(&self, workload: &WorkloadConfig) -> Result<Places<'_>, ConfigError> {
        match workload {
            WorkloadConfig::Systemd(_) => {}
            WorkloadConfig::Process(_) | WorkloadConfig::Docker(_) => return Err(ConfigError::of_no_unit()),
        }
        if self.variable.as_deref().is_some_and(|name| !is_variable(name)) {
            return err("storage.systemd-unit.variable", "must be the name of a variable of the environment");
        }
        if !file_name(&self.identity) {
            return err("storage.systemd-unit.identity", "must be the name of a file, without a folder");
        }
        let originals = self.originals.iter().map(|path| ("storage.systemd-unit.originals", path.as_path()));
        Ok([("storage.systemd-unit.path", self.path.as_path())].into_iter().chain(originals).collect())
    }
}

/// A name without a folder.
fn file_name(name: &str) -> bool {
    !name.contains(['/', '\0']) && matches!(Path::new(name).components().next(), Some(Component::Normal(_)))
}

/// What systemd takes as the name of a variable.
fn is_variable(name: &str) -> bool {
    name.len() <= 128
        && !name.starts_with(|c: char| c.is_ascii_digit())
        && !name.is_empty()
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

impl StorageConfig {
    /// Checks what is no path; gives the paths.
    fn places(&self, workload: &WorkloadConfig) -> Result<Places<'_>, ConfigError> {
        match self {
            Self::SystemdUnit(unit) => unit.places(workload),
            Self::Directory(directory) => {
                if directory.originals.contains(&directory.path) {
                    return err("storage.directory.originals", "names the workload's own directory");
                }
                if !file_name(&directory.identity) {
                    return err("storage.directory.identity", "must be the name of a file, without a folder");
                }
                let originals = directory.originals.iter().map(|path| ("storage.directory.originals", path.as_path()));
                Ok([("storage.directory.path", directory.path.as_path())].into_iter().chain(originals).collect())
            }
            Self::DockerVolume(volume) => {
                match workload {
                    WorkloadConfig::Docker(_) => {}
                    WorkloadConfig::Process(_) | WorkloadConfig::Systemd(_) => {
                        return Err(ConfigError::of_no_container());
                    }
                }
                if !volume.originals.iter().all(|name| docker_name(name)) {
                    return err("storage.docker-volume.originals", "must be names of volumes");
                }
                if !file_name(&volume.identity) {
                    return err("storage.docker-volume.identity", "must be the name of a file, without a folder");
                }
                Ok(vec![("storage.docker-volume.mount", Path::new(&volume.mount))])
            }
        }
    }
}

impl DockerConfig {
    /// Checks the container's name; gives the paths.
    fn places(&self) -> Result<Places<'_>, ConfigError> {
        // Names that are made of it are longer.
        if !docker_name(&self.container) || self.container.len() > 128 {
            return err("workload.docker.container", "must be the name of a container");
        }
        Ok(vec![("workload.docker.socket", &self.socket), ("workload.docker.token_file", &self.token_file)])
    }
}

/// What Docker allows in a name of a container or a volume.
fn docker_name(name: &str) -> bool {
    name.len() <= 200
        && name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b))
}

impl SystemdConfig {
    /// Checks the unit's name; gives the paths.
    fn places(&self) -> Result<Places<'_>, ConfigError> {
        // What systemd.unit(5) allows; a template without an instance cannot be started.
        let allowed = |b: u8| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b);
        let stem = self.unit.strip_suffix(".service").unwrap_or_default();
        if stem.is_empty() || self.unit.len() > 255 || !stem.bytes().all(allowed) || stem.ends_with('@') {
            return err("workload.systemd.unit", "must be the full name of a service, such as `connector.service`");
        }
        match &self.token {
            TokenAs::File => {}
            TokenAs::Credential(name) => {
                // systemd.exec(5): a name is as that of a file.
                if name.len() > 128 || name.contains(':') || !crate::systemd::is_plain_word(name) || !file_name(name) {
                    return err("workload.systemd.token.credential", "must be the name of a credential");
                }
                // Seen with systemd 252: it works on credentials in a mount of its own there.
                if self.token_file.starts_with("/dev/shm") {
                    return err(
                        "workload.systemd.token_file",
                        "systemd reads no credential from /dev/shm: take a path in /run",
                    );
                }
            }
            TokenAs::Environment(name) => {
                if !is_variable(name) {
                    return err("workload.systemd.token.environment", "must be the name of a variable");
                }
            }
        }
        if self.token != TokenAs::File && !self.token_file.to_str().is_some_and(crate::systemd::is_plain_word) {
            return err("workload.systemd.token_file", "must be a path that a unit takes as it stands");
        }
        let mut places: Places<'_> = vec![("workload.systemd.token_file", &self.token_file)];
        places.extend(self.log.iter().map(|log| ("workload.systemd.log", log.as_path())));
        Ok(places)
    }
}

/// An absolute path that means what it says.
fn plain(path: &Path) -> bool {
    path.is_absolute()
        && !path.as_os_str().as_encoded_bytes().contains(&0)
        && path.components().all(|c| matches!(c, Component::RootDir | Component::Normal(_)))
}

#[cfg(test)]
#[path = "config_tests.rs"]
pub(crate) mod tests;
