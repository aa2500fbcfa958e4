//! Each step as commands that a person can type, with the names of one target in them.

use std::path::{Path, PathBuf};

use recover_adapters::CredentialRef;
use recover_adapters::config::{
    AuthorityConfig, HttpConfig, KubernetesConfig, Manager, ProcessConfig, StorageConfig, SystemdConfig, TokenAs,
    WorkloadConfig,
};
use recover_engine::{Doing, Effect as _};
use recover_steps::{
    AwaitOnline, Capture, Detach, Evict, InspectEnrollment, InstallTrust, Mint, Observe, Pair, ProveDurable,
    ProveStopped, PutBack, Reach, Reattach, Repair, Reparent, Restart, RevokeOrphan, RevokeStale, Search, SetAside,
    Start, Stop, Validate, WatchLoop, Withdraw,
};

use super::kubectl;
use crate::target::{ConnectorTarget, Target};
use crate::verbs::quoted;

/// Commands that are typed as they stand, or, behind a `#`, what has to be filled in or looked at.
pub(super) type Lines = Vec<String>;

/// What stands for the original where nobody has found it yet.
const ORIGINAL: &str = "ORIGINAL";

/// What to type for a step.
pub(super) fn of(doing: &Doing, target: &Target, run: &str) -> Lines {
    let by = match target {
        Target::Connector(target) => By { target, run },
        Target::Kms(target) => return super::kms::of(doing, target, run),
    };
    match doing.step {
        Observe::NAME | AwaitOnline::NAME | Validate::NAME | InspectEnrollment::NAME | WatchLoop::NAME => {
            [by.status(), by.runs()].concat()
        }
        Reach::NAME => by.health(),
        Stop::NAME => [by.stop(), by.runs()].concat(),
        ProveStopped::NAME => by.runs(),
        Start::NAME => by.start(),
        Restart::NAME | Repair::NAME => [by.stop(), by.start()].concat(),
        Search::NAME => by.search(),
        ProveDurable::NAME => by.durable(),
        Reattach::NAME => by.reattach(&original(doing)),
        Detach::NAME | PutBack::NAME => {
            vec![format!("# undo what this run put at the storage, by renaming only: recover show {run}")]
        }
        SetAside::NAME => by.set_aside(),
        RevokeStale::NAME | RevokeOrphan::NAME => by.revoke(),
        Mint::NAME => by.mint(),
        Pair::NAME => [by.hand_over(), by.start(), by.status()].concat(),
        Withdraw::NAME => by.withdraw(),
        Reparent::NAME => by.reparent(),
        Evict::NAME => by.evict(),
        InstallTrust::NAME => by.trust(),
        Capture::NAME => by.log(),
        other => vec![format!("# {other}: there is no command for this step")],
    }
}

/// Where the original is, if it was found. A plan ahead makes one up.
fn original(doing: &Doing) -> String {
    let found = doing.body.to::<Reattach>().ok().map(|step| step.original.path);
    // A claim is no path.
    found.filter(|path| path.starts_with("claim:") || Path::new(path).exists()).unwrap_or_else(|| ORIGINAL.to_owned())
}

fn shown(path: &Path) -> String {
    quoted(&path.display().to_string())
}

struct By<'a> {
    target: &'a ConnectorTarget,
    run: &'a str,
}

fn systemctl(systemd: &SystemdConfig) -> &'static str {
    match systemd.manager {
        Manager::System => "systemctl",
        Manager::User => "systemctl --user",
    }
}

fn drop_in(systemd: &SystemdConfig) -> String {
    let folder = match systemd.manager {
        Manager::System => "/run/systemd/system",
        Manager::User => "\"$XDG_RUNTIME_DIR\"/systemd/user",
    };
    format!("{folder}/{}.d", quoted(&systemd.unit))
}

/// A drop-in of one line in `[Service]`, and the manager told of it.
fn set(systemd: &SystemdConfig, name: &str, line: &str) -> Lines {
    let folder = drop_in(systemd);
    vec![
        format!("mkdir -p {folder}"),
        format!("printf '[Service]\\n%s\\n' {} > {folder}/{name}.conf", quoted(line)),
        format!("{} daemon-reload", systemctl(systemd)),
    ]
}

fn pid_of(process: &ProcessConfig) -> String {
    format!("\"$(jq -r .pid {})\"", shown(&process.pidfile))
}

impl By<'_> {
    fn docker(&self) -> String {
        match &self.target.workload {
            WorkloadConfig::Docker(docker) if docker.socket != Path::new("/var/run/docker.sock") => {
                format!("docker -H {}", quoted(&format!("unix://{}", docker.socket.display())))
            }
            WorkloadConfig::Docker(_)
            | WorkloadConfig::Systemd(_)
            | WorkloadConfig::Process(_)
            | WorkloadConfig::Kubernetes(_)
            | WorkloadConfig::Windows(_) => "docker".to_owned(),
        }
    }

    fn stop(&self) -> Lines {
        vec![match &self.target.workload {
            WorkloadConfig::Docker(docker) => format!("{} stop {}", self.docker(), quoted(&docker.container)),
            WorkloadConfig::Systemd(systemd) => format!("{} stop {}", systemctl(systemd), quoted(&systemd.unit)),
            WorkloadConfig::Process(process) => {
                let pid = pid_of(process);
                format!("kill {pid} && while kill -0 {pid} 2>/dev/null; do sleep 1; done")
            }
            WorkloadConfig::Kubernetes(to) => return kubectl::stop(to),
            WorkloadConfig::Windows(windows) => format!("# there: Stop-Service {}", windows.service),
        }]
    }

    /// Whether it runs.
    fn runs(&self) -> Lines {
        vec![match &self.target.workload {
            WorkloadConfig::Docker(docker) => {
                format!("{} inspect -f '{{{{.State.Running}}}}' {}", self.docker(), quoted(&docker.container))
            }
            WorkloadConfig::Systemd(systemd) => format!("{} is-active {}", systemctl(systemd), quoted(&systemd.unit)),
            WorkloadConfig::Process(process) => {
                format!("kill -0 {} 2>/dev/null && echo it runs || echo it does not run", pid_of(process))
            }
            WorkloadConfig::Kubernetes(to) => return kubectl::runs(to),
            WorkloadConfig::Windows(windows) => format!("# there: Get-Service {}", windows.service),
        }]
    }

    fn start(&self) -> Lines {
        match &self.target.workload {
            WorkloadConfig::Docker(docker) => {
                vec![format!("{} start {}", self.docker(), quoted(&docker.container))]
            }
            WorkloadConfig::Systemd(systemd) => {
                vec![format!("{} start {}", systemctl(systemd), quoted(&systemd.unit))]
            }
            // The pidfile is how anybody knows afterwards that it runs: with its start time, since pids come again.
            WorkloadConfig::Process(process) => {
                let command: Vec<String> = process.command.iter().map(|word| quoted(word)).collect();
                let cwd = process.cwd.as_deref().unwrap_or(Path::new("/"));
                vec![
                    format!(
                        "cd {} && setsid {} >>{} 2>&1 </dev/null & p=$!",
                        shown(cwd),
                        command.join(" "),
                        shown(&process.log)
                    ),
                    format!(
                        "printf '{{\"pid\":%s,\"start\":%s,\"boot\":\"%s\"}}' \"$p\" \"$(sed 's/.*) //' /proc/$p/stat | cut -d' ' -f20)\" \
                         \"$(cat /proc/sys/kernel/random/boot_id)\" >{}",
                        shown(&process.pidfile)
                    ),
                ]
            }
            WorkloadConfig::Kubernetes(to) => kubectl::start(to),
            WorkloadConfig::Windows(windows) => vec![format!("# there: Start-Service {}", windows.service)],
        }
    }

    fn log(&self) -> Lines {
        vec![match &self.target.workload {
            WorkloadConfig::Docker(docker) => {
                format!("{} logs --tail 200 {}", self.docker(), quoted(&docker.container))
            }
            WorkloadConfig::Systemd(systemd) => match (&systemd.log, systemd.manager) {
                (Some(log), _) => format!("tail -n 200 {}", shown(log)),
                (None, Manager::System) => format!("journalctl -n 200 -u {}", quoted(&systemd.unit)),
                (None, Manager::User) => format!("journalctl --user -n 200 -u {}", quoted(&systemd.unit)),
            },
            WorkloadConfig::Process(process) => format!("tail -n 200 {}", shown(&process.log)),
            WorkloadConfig::Kubernetes(to) => return kubectl::log(to),
            WorkloadConfig::Windows(_) => r"# there: %PROGRAMDATA%\VaultPAM\connector.log".to_owned(),
        }]
    }

    fn token_file(&self) -> PathBuf {
        match &self.target.workload {
            WorkloadConfig::Docker(docker) => docker.token_file.clone(),
            WorkloadConfig::Systemd(systemd) => systemd.token_file.clone(),
            WorkloadConfig::Process(process) => process.token_file.clone(),
            // On its way to a Secret.
            WorkloadConfig::Kubernetes(_) => PathBuf::from("/dev/shm/recover-token"),
            WorkloadConfig::Windows(_) => PathBuf::from("TOKEN_FILE"),
        }
    }

    /// A request of the authority. The credential goes from a file through a pipe: it is in no argument and no variable.
    fn ask(http: &HttpConfig, path: &str, more: &str) -> String {
        let CredentialRef::File(file) = &http.credential else {
            return format!("# with the credential {}: curl {more} {}{path}", http.credential, http.base);
        };
        let ca = http.ca.as_ref().map(|ca| format!(" --cacert {}", shown(ca))).unwrap_or_default();
        let org = http.org.as_ref().map(|org| format!(" -H 'X-Active-Org-Id: {org}'")).unwrap_or_default();
        let more = if more.is_empty() { String::new() } else { format!(" {more}") };
        format!(
            "printf 'header = \"Authorization: Bearer %s\"\\n' \"$(cat {})\" | curl -K - -sS --fail-with-body --max-time 30{ca}{org}{more} {}",
            shown(file),
            quoted(&format!("{}{path}", http.base))
        )
    }

    fn contract(http: &HttpConfig) -> Lines {
        let dialect = http.dialect.is_some();
        dialect
            .then(|| {
                "# this control plane has words of its own (dialect): path, body and answer are told otherwise"
                    .to_owned()
            })
            .into_iter()
            .collect()
    }

    fn status(&self) -> Lines {
        match &self.target.authority {
            AuthorityConfig::Http(http) => {
                let mut lines = Self::contract(http);
                lines.push(Self::ask(http, &format!("/v1/connectors/{}", http.agent), ""));
                lines
            }
            AuthorityConfig::SpireJoinToken(spire) => {
                vec![format!("spire-server agent list -socketPath {}", shown(&spire.socket))]
            }
        }
    }

    fn health(&self) -> Lines {
        match &self.target.authority {
            AuthorityConfig::Http(http) => {
                let ca = http.ca.as_ref().map(|ca| format!(" --cacert {}", shown(ca))).unwrap_or_default();
                vec![format!("curl -sSv --max-time 30{ca} {}", quoted(&format!("{}/healthz", http.base)))]
            }
            AuthorityConfig::SpireJoinToken(spire) => {
                vec![format!("spire-server healthcheck -socketPath {}", shown(&spire.socket))]
            }
        }
    }

    fn search(&self) -> Lines {
        let look = |places: &[PathBuf], identity: &str| -> Lines {
            places.iter().map(|place| format!("find {} -name {} -ls", shown(place), quoted(identity))).collect()
        };
        match &self.target.storage {
            StorageConfig::Directory(directory) => look(&directory.originals, &directory.identity),
            StorageConfig::SystemdUnit(unit) => look(&unit.originals, &unit.identity),
            StorageConfig::DockerVolume(volume) => {
                let each = |name: &String| format!("{} volume inspect {}", self.docker(), quoted(name));
                volume.originals.iter().map(each).collect()
            }
            StorageConfig::KubernetesClaim(claim) => self.pods(|to| kubectl::search(to, claim)),
        }
    }

    /// Where it is one of Kubernetes.
    fn pods(&self, lines: impl FnOnce(&KubernetesConfig) -> Lines) -> Lines {
        match &self.target.workload {
            WorkloadConfig::Kubernetes(to) => lines(to),
            WorkloadConfig::Process(_)
            | WorkloadConfig::Systemd(_)
            | WorkloadConfig::Docker(_)
            | WorkloadConfig::Windows(_) => Vec::new(),
        }
    }

    fn durable(&self) -> Lines {
        let on = |path: &Path| vec![format!("findmnt -T {}   # not tmpfs, ramfs or overlay", shown(path))];
        match (&self.target.storage, &self.target.workload) {
            (StorageConfig::Directory(directory), _) => on(&directory.path),
            (StorageConfig::SystemdUnit(unit), _) => on(&unit.path),
            (StorageConfig::DockerVolume(_), WorkloadConfig::Docker(docker)) => vec![format!(
                "{} inspect -f '{{{{json .Mounts}}}}' {}   # a named volume or a directory, no tmpfs",
                self.docker(),
                quoted(&docker.container)
            )],
            (StorageConfig::KubernetesClaim(_), _) => self.pods(kubectl::durable),
            (StorageConfig::DockerVolume(_), _) => Vec::new(),
        }
    }

    fn set_aside(&self) -> Lines {
        let aside = |path: &Path| {
            let to = format!("{}.aside-{}", path.display(), self.run);
            vec![
                format!("mv -n -T {} {}", shown(path), quoted(&to)),
                format!("mkdir -m 0700 {}   # with its owner", shown(path)),
            ]
        };
        match &self.target.storage {
            StorageConfig::Directory(directory) => aside(&directory.path),
            StorageConfig::SystemdUnit(unit) => aside(&unit.path),
            StorageConfig::DockerVolume(volume) => {
                vec![format!(
                    "# make the container anew with another volume at {}; keep the one that is there",
                    volume.mount
                )]
            }
            StorageConfig::KubernetesClaim(_) => self.pods(kubectl::set_aside),
        }
    }

    fn reattach(&self, original: &str) -> Lines {
        match (&self.target.storage, &self.target.workload) {
            (StorageConfig::Directory(directory), _) => {
                let aside = format!("{}.aside-{}", directory.path.display(), self.run);
                vec![
                    format!("mv -n -T {} {}", shown(&directory.path), quoted(&aside)),
                    format!("mv -n -T {} {}", quoted(original), shown(&directory.path)),
                ]
            }
            (StorageConfig::SystemdUnit(unit), WorkloadConfig::Systemd(systemd)) => {
                let line = match &unit.variable {
                    Some(variable) => format!("Environment={variable}={original}"),
                    None => format!("BindPaths={original}:{}", unit.path.display()),
                };
                set(systemd, "90-by-hand", &line)
            }
            (StorageConfig::DockerVolume(volume), WorkloadConfig::Docker(docker)) => {
                let (by, name) = (self.docker(), quoted(&docker.container));
                vec![
                    format!("{by} inspect {name} > {}.before.json", docker.container),
                    format!("{by} rename {name} {name}-before"),
                    format!(
                        "# {by} create --name {name} -v {ORIGINAL}:{} and all else as in {name}.before.json",
                        volume.mount
                    ),
                ]
            }
            (StorageConfig::KubernetesClaim(_), _) => self.pods(|to| kubectl::reattach(to, original)),
            (StorageConfig::SystemdUnit(_) | StorageConfig::DockerVolume(_), _) => Vec::new(),
        }
    }

    fn tokens(&self, path: &str, body: &str, more: &str) -> Lines {
        match &self.target.authority {
            AuthorityConfig::Http(http) => {
                let mut lines = Self::contract(http);
                let path = format!("/v1/connectors/{}/tokens{path}", http.agent);
                let body = format!("-H 'Content-Type: application/json' -d {}", quoted(body));
                lines.push(Self::ask(http, &path, &format!("{body}{more}")));
                lines
            }
            AuthorityConfig::SpireJoinToken(_) => {
                vec!["# a join token can be neither listed nor revoked: wait until its time is over".to_owned()]
            }
        }
    }

    fn revoke(&self) -> Lines {
        let mut lines = match &self.target.authority {
            AuthorityConfig::Http(http) => vec![Self::ask(http, &format!("/v1/connectors/{}/tokens", http.agent), "")],
            AuthorityConfig::SpireJoinToken(_) => Vec::new(),
        };
        let revoke = self.tokens("/revoke", r#"{"accessor":"ACCESSOR"}"#, "");
        lines.extend(revoke.into_iter().map(|line| {
            if line.starts_with('#') { line } else { format!("# for each that is live, with its accessor: {line}") }
        }));
        lines
    }

    fn mint(&self) -> Lines {
        let file = self.token_file();
        let reply = format!("{}.reply", file.display());
        let ttl = self.target.timing.token_ttl.as_ms() / 1_000;
        if let AuthorityConfig::SpireJoinToken(spire) = &self.target.authority {
            return vec![format!(
                "(umask 077 && spire-server token generate -socketPath {} -spiffeID {} -ttl {ttl} | sed -n 's/^Token: //p' >{})",
                shown(&spire.socket),
                quoted(&spire.alias),
                shown(&file)
            )];
        }
        let body = format!(r#"{{"label":"by-hand-{}","ttl_s":{ttl}}}"#, self.run);
        let mut lines = vec![format!(
            "findmnt -T {}   # tmpfs: the token passes through it",
            shown(file.parent().unwrap_or(&file))
        )];
        for line in self.tokens("", &body, &format!(" -o {}", quoted(&reply))) {
            lines.push(if line.starts_with('#') { line } else { format!("(umask 077 && {line})") });
        }
        let secret = match &self.target.workload {
            WorkloadConfig::Systemd(SystemdConfig { token: TokenAs::Environment(name), .. }) => {
                quoted(&format!("\"{name}=\" + .secret"))
            }
            WorkloadConfig::Systemd(_)
            | WorkloadConfig::Process(_)
            | WorkloadConfig::Docker(_)
            | WorkloadConfig::Kubernetes(_)
            | WorkloadConfig::Windows(_) => ".secret".to_owned(),
        };
        lines.push(format!(
            "(umask 077 && jq -j {secret} {reply} >{file}) && rm {reply}",
            reply = quoted(&reply),
            file = shown(&file)
        ));
        lines
    }

    /// What makes the token be seen, where the file alone does not.
    fn hand_over(&self) -> Lines {
        match &self.target.workload {
            WorkloadConfig::Systemd(systemd) => match &systemd.token {
                TokenAs::File => Vec::new(),
                TokenAs::Credential(name) => {
                    set(systemd, "91-by-hand-token", &format!("LoadCredential={name}:{}", systemd.token_file.display()))
                }
                TokenAs::Environment(_) => {
                    set(systemd, "91-by-hand-token", &format!("EnvironmentFile={}", systemd.token_file.display()))
                }
            },
            WorkloadConfig::Process(process) if !process.token_arguments.is_empty() => {
                vec![format!("# this once, add to the command: {}", process.token_arguments.join(" "))]
            }
            WorkloadConfig::Kubernetes(to) => kubectl::hand_over(to, &self.token_file().display().to_string()),
            WorkloadConfig::Process(_) | WorkloadConfig::Docker(_) | WorkloadConfig::Windows(_) => Vec::new(),
        }
    }

    fn withdraw(&self) -> Lines {
        let mut lines = vec![format!("rm -f {}", shown(&self.token_file()))];
        lines.extend(self.pods(|to| vec![kubectl::withdraw(to)]));
        if let WorkloadConfig::Systemd(systemd) = &self.target.workload
            && systemd.token != TokenAs::File
        {
            lines.push(format!("rm -f {}/91-by-hand-token.conf", drop_in(systemd)));
            lines.push(format!("{} daemon-reload", systemctl(systemd)));
        }
        lines
    }

    fn reparent(&self) -> Lines {
        match &self.target.authority {
            AuthorityConfig::SpireJoinToken(spire) => vec![
                format!("spire-server entry show -socketPath {} -parentID OLD_AGENT", shown(&spire.socket)),
                format!(
                    "# each: spire-server entry update -socketPath {} -entryID ID -parentID {} …",
                    shown(&spire.socket),
                    quoted(&spire.alias)
                ),
            ],
            AuthorityConfig::Http(_) => Vec::new(),
        }
    }

    fn evict(&self) -> Lines {
        match &self.target.authority {
            AuthorityConfig::SpireJoinToken(spire) => {
                vec![format!(
                    "# the old agent, never the new one: spire-server agent evict -socketPath {} -spiffeID OLD_AGENT",
                    shown(&spire.socket)
                )]
            }
            AuthorityConfig::Http(_) => Vec::new(),
        }
    }

    fn trust(&self) -> Lines {
        let Some(trust) = &self.target.trust else { return Vec::new() };
        vec![
            format!("openssl x509 -noout -fingerprint -sha256 -in {}", shown(&trust.source)),
            format!("# must be: {}", trust.fingerprints.join(" ")),
            format!("cp --backup=numbered {} {}", shown(&trust.source), shown(&trust.bundle)),
        ]
    }
}
