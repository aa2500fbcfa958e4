//! What can be looked at, layer by layer: nothing of it changes anything.

use recover_steps::kms::{
    CheckProvider, CompareConfig, Converge, LookApiserver, LookAuth, LookImage, LookNode, LookOpenbao, Node,
    ReadEncryption, ReadKey, ReadObjects, ReadRegistry, ScanEtcd,
};

use super::case::Case;
use super::{Event, Step};

/// A look at one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// OpenBao: reached, unsealed.
    Openbao,
    /// The Transit key.
    Key,
    /// A node's provider configuration.
    Config(Node),
    /// A node's key registry.
    Registry(Node),
    /// What a node's provider logs in with.
    Auth(Node),
    /// The image of a node's static pod.
    Image(Node),
    /// A node's provider's own checks.
    Checks(Node),
    /// A node's provider: process, socket, readiness, Status and Encrypt.
    Provider(Node),
    /// The key ids of all nodes.
    Convergence,
    /// A node's EncryptionConfiguration.
    Encryption(Node),
    /// A node's API server.
    Apiserver(Node),
    /// What is stored in etcd.
    Etcd,
    /// Old objects, through the API server.
    Objects,
}

/// One layer of the survey, for all nodes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "each is the look of the same name, at every node")]
pub enum Layer {
    Openbao,
    Key,
    Config,
    Registry,
    Auth,
    Image,
    Checks,
    Provider,
    Convergence,
    Encryption,
    Apiserver,
    Etcd,
    Objects,
}

impl Layer {
    /// The looks of this layer, in the order of the nodes.
    pub(super) fn looks(self, nodes: &[Node]) -> Vec<Look> {
        let each = |look: fn(Node) -> Look| nodes.iter().cloned().map(look).collect();
        match self {
            Self::Openbao => vec![Look::Openbao],
            Self::Key => vec![Look::Key],
            Self::Config => each(Look::Config),
            Self::Registry => each(Look::Registry),
            Self::Auth => each(Look::Auth),
            Self::Image => each(Look::Image),
            Self::Checks => each(Look::Checks),
            Self::Provider => each(Look::Provider),
            Self::Convergence => vec![Look::Convergence],
            Self::Encryption => each(Look::Encryption),
            Self::Apiserver => each(Look::Apiserver),
            Self::Etcd => vec![Look::Etcd],
            Self::Objects => vec![Look::Objects],
        }
    }
}

/// Why something is looked at: it names the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Aim {
    /// To name the failing layer, before anything is changed.
    Survey,
    /// After a person's word: what is seen says what comes next.
    Again,
    /// After a change: it must be right now.
    Verify,
    /// At the end.
    Validate,
}

macro_rules! names {
    ($aim:expr, $name:literal, $verify:literal) => {
        match $aim {
            Aim::Survey => $name,
            Aim::Again => concat!($name, "-again"),
            Aim::Verify => concat!("verifying-", $verify),
            Aim::Validate => concat!("validating-", $verify),
        }
    };
}

impl Look {
    /// The state that looks.
    pub(super) const fn state(&self, aim: Aim) -> &'static str {
        match self {
            Self::Openbao => names!(aim, "looking-openbao", "openbao"),
            Self::Key => names!(aim, "reading-key", "key"),
            Self::Config(_) => names!(aim, "comparing-config", "config"),
            Self::Registry(_) => names!(aim, "reading-registry", "registry"),
            Self::Auth(_) => names!(aim, "looking-auth", "auth"),
            Self::Image(_) => names!(aim, "looking-image", "image"),
            Self::Checks(_) => names!(aim, "checking-provider", "checks"),
            Self::Provider(_) => names!(aim, "looking-provider", "provider"),
            Self::Convergence => names!(aim, "converging", "convergence"),
            Self::Encryption(_) => names!(aim, "reading-encryption", "encryption"),
            Self::Apiserver(_) => names!(aim, "looking-apiserver", "apiserver"),
            Self::Etcd => names!(aim, "scanning-etcd", "etcd"),
            Self::Objects => names!(aim, "reading-objects", "objects"),
        }
    }

    /// The step that looks. The provider's `doctor` encrypts: it is left out until upsert is known to be disabled.
    pub(super) fn step(&self, case: &Case) -> Step {
        match self {
            Self::Openbao => LookOpenbao {}.into(),
            Self::Key => ReadKey {}.into(),
            Self::Config(node) => CompareConfig { node: node.clone() }.into(),
            Self::Registry(node) => ReadRegistry { node: node.clone() }.into(),
            Self::Auth(node) => LookAuth { node: node.clone() }.into(),
            Self::Image(node) => LookImage { node: node.clone() }.into(),
            Self::Checks(node) => CheckProvider { node: node.clone(), metadata_only: !case.may_encrypt() }.into(),
            Self::Provider(node) => LookNode { node: node.clone() }.into(),
            Self::Convergence => Converge {}.into(),
            Self::Encryption(node) => ReadEncryption { node: node.clone() }.into(),
            Self::Apiserver(node) => LookApiserver { node: node.clone() }.into(),
            Self::Etcd => ScanEtcd {}.into(),
            Self::Objects => ReadObjects {}.into(),
        }
    }
}

impl Look {
    /// Whether this can be what such a look came to.
    pub(super) const fn told_by(&self, event: &Event) -> bool {
        matches!(
            (self, event),
            (Self::Openbao, Event::LookOpenbao(_))
                | (Self::Key, Event::ReadKey(_))
                | (Self::Config(_), Event::CompareConfig(_))
                | (Self::Registry(_), Event::ReadRegistry(_))
                | (Self::Auth(_), Event::LookAuth(_))
                | (Self::Image(_), Event::LookImage(_))
                | (Self::Checks(_), Event::CheckProvider(_))
                | (Self::Provider(_), Event::LookNode(_))
                | (Self::Convergence, Event::Converge(_))
                | (Self::Encryption(_), Event::ReadEncryption(_))
                | (Self::Apiserver(_), Event::LookApiserver(_))
                | (Self::Etcd, Event::ScanEtcd(_))
                | (Self::Objects, Event::ReadObjects(_))
        )
    }
}
