//! The words for a first configuration.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// How the workload is run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WorkloadKind {
    /// A container of Docker.
    Docker,
    /// A unit of systemd.
    Systemd,
    /// A Deployment or StatefulSet of Kubernetes.
    Kubernetes,
    /// A process that nobody else looks after.
    Process,
}

/// What the configuration is to say.
#[derive(Clone, Debug, Args)]
#[command(
    verbatim_doc_comment,
    after_help = "\
Writes a configuration with one target and a comment for each key. On a terminal, what no flag says is asked for. It is checked before it is
written, and no file is overwritten. A secret is never part of it: --credential says where the credential is.

    recover init --target edge-1 --workload systemd --name vaultpam-connector.service --data /var/lib/vaultpam \\
        --authority https://control.example.com --credential file:/etc/recover/credential
    recover doctor

A Deployment has a namespace, and an image of recover that can look at what is on its claim:

    recover init --target edge-1 --workload kubernetes --namespace edge --name edge-connector --data /data --original edge-data \\
        --reader registry.example.com/recover:0.1.0 \\
        --authority https://control.example.com --credential file:/etc/recover/credential"
)]
pub(crate) struct InitArgs {
    /// The file to write; without it, where `recover` looks for its configuration
    #[arg(long, value_name = "FILE")]
    pub(crate) out: Option<PathBuf>,
    /// The target's name here
    #[arg(long, value_name = "NAME")]
    pub(crate) target: Option<String>,
    /// What runs the connector
    #[arg(long, value_enum, value_name = "KIND")]
    pub(crate) workload: Option<WorkloadKind>,
    /// The container's, the unit's, or the Deployment's name
    #[arg(long, value_name = "NAME", conflicts_with = "command")]
    pub(crate) name: Option<String>,
    /// The program of a process, with its absolute path, and then its arguments: once for each word
    #[arg(long, value_name = "WORD", allow_hyphen_values = true)]
    pub(crate) command: Vec<String>,
    /// Where it keeps its identity: a directory, or the path in the container where the volume or claim is mounted
    #[arg(long, value_name = "PATH")]
    pub(crate) data: Option<String>,
    /// Where the original may be if it is not there: a directory, or a volume's or claim's name; may be given several times
    #[arg(long, value_name = "PLACE")]
    pub(crate) original: Vec<String>,
    /// The control plane's origin, such as https://control.example.com
    #[arg(long, value_name = "URL")]
    pub(crate) authority: Option<String>,
    /// The connector's id there; without it, the target's name
    #[arg(long, value_name = "ID")]
    pub(crate) agent: Option<String>,
    /// Where the credential is: file:/PATH, fd:N or systemd-credential:NAME
    #[arg(long, value_name = "REF")]
    pub(crate) credential: Option<String>,
    /// A file with the certificates that alone are trusted there
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<String>,
    /// Where the connector looks for a token, on tmpfs; without it, /run/TARGET/token
    #[arg(long, value_name = "FILE")]
    pub(crate) token_file: Option<String>,
    /// Of Kubernetes: the namespace
    #[arg(long, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// Of Kubernetes: it is a StatefulSet, and no Deployment
    #[arg(long)]
    pub(crate) stateful_set: bool,
    /// Of Kubernetes: the kubeconfig; without it, the account of the pod that recover runs in
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<String>,
    /// Of Kubernetes: the Secret through which it gets a token; without it, NAME-token
    #[arg(long, value_name = "NAME")]
    pub(crate) token_secret: Option<String>,
    /// Of Kubernetes: the image of recover that looks at a claim from within the cluster
    #[arg(long, value_name = "IMAGE")]
    pub(crate) reader: Option<String>,
}
