//! `recover init`: a first configuration with a comment for each key, from flags, or asked for on a terminal.

use std::io::Write as _;
use std::path::Path;

use clap::ValueEnum as _;

use crate::args::{Global, InitArgs, WorkloadKind};
use crate::config;
use crate::fault::{Code, Exit, Fault};
use crate::place;
use crate::printer::{Printer, interactive};
use crate::whole;

pub(super) fn init(global: &Global, words: &InitArgs, printer: Printer) -> Result<Exit, Fault> {
    let out = match words.out.clone().or_else(|| global.config.clone()) {
        Some(out) => out,
        None => config::usual().ok_or_else(|| {
            Fault::new(Code::NoConfig, "there is neither HOME nor XDG_CONFIG_HOME").hint("name a file with --out")
        })?,
    };
    // Before anything is asked for.
    if out.symlink_metadata().is_ok() {
        return Err(whole::fault(&out, &std::io::ErrorKind::AlreadyExists.into()));
    }
    let state = global.state_dir.clone().map_or_else(place::default_state, Ok)?;
    let text = Said::of(words, Asking { printer, here: interactive() && !printer.json() })?.written(&state);
    check(&text)?;
    if let Some(folder) = out.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(|e| whole::fault(&out, &e))?;
    }
    whole::write_new(&out, |file| file.write_all(text.as_bytes())).map_err(|e| whole::fault(&out, &e))?;
    let value = serde_json::json!({
        "schema": "recover.init/v1", "file": out.display().to_string(), "exit": Exit::Done as u8,
    });
    printer.show(&value, || format!("{}\nnext: recover doctor", out.display()));
    Ok(Exit::Done)
}

/// What would be refused later is not written now.
fn check(text: &str) -> Result<(), Fault> {
    let config = config::understand("what was given", text.as_bytes())?;
    for target in config.target.values() {
        target.check().map_err(|fault| Fault { code: Code::Usage, ..fault })?;
    }
    Ok(())
}

/// Whoever can be asked.
#[derive(Clone, Copy)]
struct Asking {
    printer: Printer,
    here: bool,
}

impl Asking {
    /// What a flag says; or what a person does, if one is there.
    fn answer(self, flag: &'static str, said: Option<&String>, what: &str) -> Result<String, Missing> {
        if let Some(said) = said {
            return Ok(said.clone());
        }
        if !self.here {
            return Err(Missing(flag));
        }
        self.printer.talk(&format!("{what}:"));
        let mut answer = String::new();
        let read = std::io::stdin().read_line(&mut answer);
        let answer = answer.trim();
        if read.is_err() || answer.is_empty() { Err(Missing(flag)) } else { Ok(answer.to_owned()) }
    }
}

/// A flag that is needed.
struct Missing(&'static str);

impl From<Missing> for Fault {
    fn from(missing: Missing) -> Self {
        Self::new(Code::Usage, format!("{} is not given, and nobody said it", missing.0)).hint("recover init --help")
    }
}

/// Everything that the configuration says.
struct Said {
    target: String,
    workload: String,
    storage: String,
    authority: String,
    timing: &'static str,
}

/// A text as TOML writes it.
fn text(value: &str) -> String {
    toml::Value::from(value).to_string()
}

/// A name as TOML writes it: plain, if it may be.
fn key(name: &str) -> String {
    let plain = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-".contains(&b));
    if plain { name.to_owned() } else { text(name) }
}

fn list(values: &[String]) -> String {
    format!("[{}]", values.iter().map(|value| text(value)).collect::<Vec<_>>().join(", "))
}

/// A flag that says nothing of this kind of workload would be lost without a word.
fn fitting(words: &InitArgs, kind: WorkloadKind) -> Result<(), Fault> {
    let pods = kind == WorkloadKind::Kubernetes;
    let told = [
        ("--namespace", words.namespace.is_some(), pods),
        ("--stateful-set", words.stateful_set, pods),
        ("--kubeconfig", words.kubeconfig.is_some(), pods),
        ("--token-secret", words.token_secret.is_some(), pods),
        ("--reader", words.reader.is_some(), pods),
        ("--token-file", words.token_file.is_some(), !pods),
        ("--command", !words.command.is_empty(), kind == WorkloadKind::Process),
        ("--name", words.name.is_some(), kind != WorkloadKind::Process),
    ];
    match told.into_iter().find(|(_, given, fits)| *given && !fits) {
        Some((flag, ..)) => {
            let kind = kind.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            Err(Fault::new(Code::Usage, format!("{flag} says nothing of a workload of the kind {kind}"))
                .hint("recover init --help"))
        }
        None => Ok(()),
    }
}

fn token_file(words: &InitArgs, target: &str) -> String {
    text(&words.token_file.clone().unwrap_or_else(|| format!("/run/{target}/token")))
}

fn docker(words: &InitArgs, asking: Asking, target: &str) -> Result<(String, String), Missing> {
    let name = asking.answer("--name", words.name.as_ref(), "the container's exact name")?;
    let mount =
        asking.answer("--data", words.data.as_ref(), "the path in the container where its volume is mounted")?;
    let workload = format!(
        "# The container, by its exact name. The folder of token_file is on tmpfs and mounted into it.\n\
         workload = {{ docker = {{ container = {}, token_file = {} }} }}",
        text(&name),
        token_file(words, target)
    );
    let storage = format!(
        "# Where its identity is, in the container; the volumes that may be the original, if that is not mounted there.\n\
         storage = {{ docker-volume = {{ mount = {}, originals = {} }} }}",
        text(&mount),
        list(&words.original)
    );
    Ok((workload, storage))
}

fn systemd(words: &InitArgs, asking: Asking, target: &str) -> Result<(String, String), Missing> {
    let name = asking.answer("--name", words.name.as_ref(), "the unit's full name, such as connector.service")?;
    let workload = format!(
        "# The unit. manager = \"user\" is for one of your own; token = {{ credential = NAME }} for one that wants LoadCredential=.\n\
         workload = {{ systemd = {{ unit = {}, token_file = {} }} }}",
        text(&name),
        token_file(words, target)
    );
    Ok((workload, directory(words, asking)?))
}

fn kubernetes(words: &InitArgs, asking: Asking) -> Result<(String, String), Missing> {
    let namespace = asking.answer("--namespace", words.namespace.as_ref(), "its namespace")?;
    let name = asking.answer("--name", words.name.as_ref(), "the Deployment's or StatefulSet's name")?;
    let mount = asking.answer("--data", words.data.as_ref(), "the path in the container where its claim is mounted")?;
    let reader = asking.answer(
        "--reader",
        words.reader.as_ref(),
        "the image of recover that looks at a claim, such as registry.example.com/recover:0.1.0",
    )?;
    let secret = words.token_secret.clone().unwrap_or_else(|| format!("{name}-token"));
    let kubeconfig = words.kubeconfig.as_ref().map(|file| format!("kubeconfig = {}, ", text(file))).unwrap_or_default();
    let kind = if words.stateful_set { "kind = \"stateful-set\", " } else { "" };
    let workload = format!(
        "# The Deployment, or with kind = \"stateful-set\" the StatefulSet, of one replica. Its pod template mounts the Secret as an\n\
         # optional volume. Without kubeconfig: the account of the pod that recover runs in. docs/access.md has the role.\n\
         workload = {{ kubernetes = {{ {kubeconfig}namespace = {}, {kind}name = {}, token_secret = {} }} }}",
        text(&namespace),
        text(&name),
        text(&secret)
    );
    let storage = format!(
        "# Where its identity is, in the container; the claims that may be the original, if that is not mounted there; the image of\n\
         # recover that looks at a claim from within the cluster.\n\
         storage = {{ kubernetes-claim = {{ mount = {}, originals = {}, reader = {} }} }}",
        text(&mount),
        list(&words.original),
        text(&reader)
    );
    Ok((workload, storage))
}

fn process(words: &InitArgs, asking: Asking, target: &str) -> Result<(String, String), Missing> {
    let mut command = words.command.clone();
    if command.is_empty() {
        let said = asking.answer("--command", None, "the program with its absolute path, and its arguments")?;
        command = said.split_whitespace().map(str::to_owned).collect();
    }
    let run = Path::new("/run").join(target).join("pid");
    let workload = format!(
        "# The program, started without a shell; where it is named while it runs; where its output goes.\n\
         workload = {{ process = {{ command = {}, pidfile = {}, log = {}, token_file = {} }} }}",
        list(&command),
        text(&run.display().to_string()),
        text(&format!("/var/log/{target}.log")),
        token_file(words, target)
    );
    Ok((workload, directory(words, asking)?))
}

fn directory(words: &InitArgs, asking: Asking) -> Result<String, Missing> {
    let data = asking.answer("--data", words.data.as_ref(), "the directory with its identity")?;
    Ok(format!(
        "# Where its identity is; the directories that may be the original, if it is not there.\n\
         storage = {{ directory = {{ path = {}, originals = {} }} }}",
        text(&data),
        list(&words.original)
    ))
}

impl Said {
    fn of(words: &InitArgs, asking: Asking) -> Result<Self, Fault> {
        let target =
            asking.answer("--target", words.target.as_ref(), "a name for the connector here, such as edge-1")?;
        let kind = match words.workload {
            Some(kind) => kind,
            None => {
                let said = asking.answer("--workload", None, "what runs it: docker, systemd, kubernetes or process")?;
                WorkloadKind::from_str(&said, true).map_err(|_| {
                    Fault::new(Code::Usage, format!("{said} is not docker, systemd, kubernetes or process"))
                })?
            }
        };
        fitting(words, kind)?;
        let (workload, storage) = match kind {
            WorkloadKind::Docker => docker(words, asking, &target)?,
            WorkloadKind::Systemd => systemd(words, asking, &target)?,
            WorkloadKind::Kubernetes => kubernetes(words, asking)?,
            WorkloadKind::Process => process(words, asking, &target)?,
        };
        let base = asking.answer(
            "--authority",
            words.authority.as_ref(),
            "the control plane, such as https://control.example.com",
        )?;
        let agent = words.agent.clone().unwrap_or_else(|| target.clone());
        let credential = asking.answer(
            "--credential",
            words.credential.as_ref(),
            "where the credential is, such as file:/etc/recover/credential",
        )?;
        let ca = words.ca.as_ref().map(|ca| format!(", ca = {}", text(ca))).unwrap_or_default();
        let authority = format!(
            "# Who enrolls it, its id there, and where the credential is: never the credential itself.\n\
             # ca names the certificates that alone are trusted; without it, the system's.\n\
             authority = {{ http = {{ base = {}, agent = {}, credential = {}{ca} }} }}",
            text(&base),
            text(&agent),
            text(&credential)
        );
        let timing = match kind {
            WorkloadKind::Kubernetes => {
                "# A kubelet takes up to about a minute to show a new Secret to a pod: that long it may take to pair.\n\
                 timing = { observe = \"30s\", token_ttl = \"10m\", pair_within = \"2m\" }"
            }
            WorkloadKind::Docker | WorkloadKind::Systemd | WorkloadKind::Process => {
                "timing = { observe = \"30s\", token_ttl = \"10m\" }"
            }
        };
        Ok(Self { target, workload, storage, authority, timing })
    }

    fn written(&self, state: &Path) -> String {
        let Self { target, workload, storage, authority, timing } = self;
        format!(
            "# The configuration of recover. `recover config schema` has every key; `recover doctor` says whether it can be used.\n\n\
             # Where runs are journaled: one directory for each machine, yours alone.\n\
             state_dir = {}\n\
             # Where tokens are kept while a run needs them, on tmpfs. If not given: /run/recover, or the user's runtime directory.\n\
             # secrets_dir = \"/run/recover\"\n\n\
             [policy]\n\
             # Whether a lost identity is replaced after a question (\"ask\") or without one (\"allow\").\n\
             reprovision = \"ask\"\n\
             # Whether a connector that never paired gets a fresh token after a question or without one.\n\
             enroll = \"ask\"\n\
             # How long a person has to answer a question.\n\
             answer_within = \"24h\"\n\n\
             [target.{}]\n\
             kind = \"connector\"\n\
             {workload}\n\
             {storage}\n\
             {authority}\n\
             # How long it must stay online on either side of a restart, and how long a minted token works.\n\
             {timing}\n",
            text(&state.display().to_string()),
            key(target),
        )
    }
}
