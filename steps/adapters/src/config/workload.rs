//! What a configuration says of what runs: one shape for each way of running one.

use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ConfigError, KubernetesConfig, Places, docker_name, err, file_name, is_variable};

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
    /// A Deployment or StatefulSet of Kubernetes.
    Kubernetes(KubernetesConfig),
    /// A service of a Windows host. It is not driven: whoever names one is told the steps to take by hand.
    Windows(WindowsConfig),
}

/// A service of a Windows host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WindowsConfig {
    /// The service's name.
    pub service: String,
}

impl WindowsConfig {
    /// What to do by hand. The steps are the runbook's, in its order.
    pub(crate) fn refused(&self) -> ConfigError {
        let name: String =
            self.service.chars().filter(|c| c.is_ascii_alphanumeric() || "._-".contains(*c)).take(80).collect();
        ConfigError {
            key: "workload.windows",
            wrong: format!(
                "a Windows host is not driven from here. By hand, in this order: (1) `Stop-Service {name}`, and `Get-Service {name}` must \
                 say Stopped; (2) put the original data directory back where the service looks for it, if it can be found, and go on \
                 with (5); (3) only if it is gone for good: revoke the old enrollment token and create one new single-use token; (4) see \
                 that the data directory is on a disk that stays, and pair exactly once with that token; (5) `Start-Service {name}` and \
                 wait for Online; (6) `Restart-Service {name}` once more: it must come back without a token, with the same identity on \
                 disk; (7) keep the status before and after, and the lines of %PROGRAMDATA%\\VaultPAM\\connector.log that show it"
            ),
        }
    }
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
    /// Words that are added to the command for the one start that gets a token, such as `["-joinTokenFile", TOKEN_FILE]`: for a program that
    /// does not look at the file by itself, or does not start without it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub token_arguments: Vec<String>,
    /// Its working directory; `/` if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<PathBuf>,
}

impl ProcessConfig {
    /// Checks the words of the command; gives the paths.
    pub(crate) fn places(&self) -> Result<Places<'_>, ConfigError> {
        if !self.command.first().is_some_and(|program| program.starts_with('/')) {
            return err("workload.process.command", "the program must be named with its absolute path");
        }
        if self.command.iter().chain(&self.token_arguments).any(|word| word.contains('\0')) {
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

impl DockerConfig {
    /// Checks the container's name; gives the paths.
    pub(crate) fn places(&self) -> Result<Places<'_>, ConfigError> {
        // Names that are made of it are longer.
        if !docker_name(&self.container) || self.container.len() > 128 {
            return err("workload.docker.container", "must be the name of a container");
        }
        Ok(vec![("workload.docker.socket", &self.socket), ("workload.docker.token_file", &self.token_file)])
    }
}

impl SystemdConfig {
    /// Checks the unit's name; gives the paths.
    pub(crate) fn places(&self) -> Result<Places<'_>, ConfigError> {
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
