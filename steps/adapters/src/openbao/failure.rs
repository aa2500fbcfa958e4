//! How a request to OpenBao can fail, layer by layer.

/// Why a request has no usable answer. Only [`Failure::Lost`] may stand for a change that was made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// Not a byte of it was sent: no token, no address, no connection.
    #[error("OpenBao could not be asked: {0}")]
    NotSent(String),
    /// Not a byte of it was sent: the peer's certificate is not one that is trusted.
    #[error("OpenBao's certificate is not trusted, so nothing was sent: {0}")]
    Untrusted(String),
    /// Not a byte of it was sent: it is not one of the requests that this program makes.
    #[error("{0} is not a request that this program makes")]
    Forbidden(String),
    /// OpenBao is sealed.
    #[error("OpenBao is sealed: unsealing it is for those who hold its keys")]
    Sealed,
    /// The namespace is sealed while OpenBao is not.
    #[error("the namespace is sealed: unsealing it is for those who hold its keys")]
    NamespaceSealed,
    /// There is no such namespace.
    #[error("there is no such namespace: check `namespace`")]
    NoNamespace,
    /// Nothing is mounted there, in this namespace.
    #[error("nothing is mounted there: check `mount` and `namespace`")]
    NoMount,
    /// What is mounted there is not a Transit.
    #[error("what is mounted there is not a Transit: check `mount`")]
    NotTransit,
    /// There is no such key, though there is such a mount.
    #[error("there is no such key; none is ever made in its place")]
    NoKey,
    /// 403: a token that is unknown, or whose policy does not let it. OpenBao does not tell the two apart here.
    #[error("permission denied: check the token and its policy")]
    Denied,
    /// Another 4xx: it will not do this.
    #[error("OpenBao refused ({status}): {said}")]
    Refused {
        /// The status.
        status: u16,
        /// What it said.
        said: String,
    },
    /// 429.
    #[error("OpenBao asks for patience (429)")]
    Throttled {
        /// For how long.
        after_ms: Option<u64>,
    },
    /// A redirect. It is not followed, since the token would be.
    #[error(
        "OpenBao answered with a redirect ({status}) to {to}; redirects are not followed: configure the active node"
    )]
    Redirected {
        /// The status.
        status: u16,
        /// Where to.
        to: String,
    },
    /// 5xx in OpenBao's own form: it was not done, and may be later.
    #[error("OpenBao cannot do this now: {0}")]
    Unavailable(String),
    /// It was sent, and what came back, if anything, does not say what became of it.
    #[error("OpenBao's answer is lost: {0}")]
    Lost(String),
}

impl Failure {
    /// What an answer other than success means, by its status and its own words.
    pub(super) fn of(status: u16, errors: Option<&[String]>, after_ms: Option<u64>) -> Self {
        let Some(errors) = errors else {
            return match status {
                429 => Self::Throttled { after_ms },
                _ => Self::Lost(format!("{status}, and the body is not an error of OpenBao's")),
            };
        };
        let says = |words: &str| errors.iter().any(|error| error.contains(words));
        let said = || if errors.is_empty() { "it gave no reason".to_owned() } else { errors.join("; ") };
        match status {
            404 if errors.is_empty() => Self::NoKey,
            404 if says("no handler for route") => Self::NoMount,
            404 if says("namespace not found") => Self::NoNamespace,
            403 => Self::Denied,
            429 => Self::Throttled { after_ms },
            503 if says("namespace is sealed") => Self::NamespaceSealed,
            503 if says("Vault is sealed") => Self::Sealed,
            400..=499 => Self::Refused { status, said: said() },
            // A standby that cannot reach the active node, or a node that is not ready: it says so before it does anything.
            503 => Self::Unavailable(said()),
            _ => Self::Lost(format!("{status}: {}", said())),
        }
    }
}
