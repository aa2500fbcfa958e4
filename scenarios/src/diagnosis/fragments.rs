//! What a log says, told by fragments of its lines. A line is data: nothing in it is ever followed.

use super::class::Class;

/// What a line tells of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Hit {
    /// An enrolment was refused with 401.
    TokenInvalid,
    /// The token was revoked.
    TokenRevoked,
    /// The token has expired.
    TokenExpired,
    /// A certificate request was refused.
    Csr,
    /// Nobody who is trusted issued the control plane's certificate.
    UnknownCa,
    /// No connection.
    Refused,
    /// No answer.
    Timeout,
    /// No address.
    NoName,
    /// Heartbeats are missing.
    Heartbeat,
    /// The data may not be read or written.
    Denied,
    /// The identity is refused by the authority.
    IdentityRefused,
    /// It went into recovery by itself.
    RecoveryStarted,
    /// It ends again and again.
    CrashLoop,
    /// It paired.
    Paired,
    /// It is connected with the identity that it has.
    Connected,
}

/// Words that a line must all contain, whatever their case, to tell of something.
#[derive(Debug)]
pub struct Fragment {
    /// The words, in lower case.
    pub words: &'static [&'static str],
    /// What they tell of.
    pub hit: Hit,
    /// Where that is known from.
    pub source: &'static str,
}

const ERRORS: &str = "connector runbook, common errors";
const SIGNALS: &str = "connector runbook, common signals";
const EVIDENCE: &str = "connector runbook, post-recovery validation";
const CLUSTER: &str = "Kubernetes, reasons of a waiting container; table row C13";
const SYSTEM: &str = "the error texts of libc and of Go's net package for what the runbook calls a blocked network";
const DATA: &str = "connector runbook, quick check 4: the connector user must be able to read its path";
const SANDBOX: &str = "the sandbox's connector and docs/authority-http.md";

macro_rules! fragments {
    ($([$($word:literal),+] $hit:ident $source:ident;)+) => {
        /// Every fragment that is known. A line may tell of several things.
        pub const FRAGMENTS: &[Fragment] =
            &[$(Fragment { words: &[$($word),+], hit: Hit::$hit, source: $source }),+];
    };
}

fragments! {
    ["enrollment_token_invalid"] TokenInvalid ERRORS;
    ["enrolment token revoked"] TokenRevoked ERRORS;
    ["enrollment token revoked"] TokenRevoked ERRORS;
    ["token", "revoked"] TokenRevoked SIGNALS;
    ["token", "expired"] TokenExpired SIGNALS;
    ["token", "past its expiry"] TokenExpired SIGNALS;
    ["csr", "fail"] Csr SIGNALS;
    ["csr", "reject"] Csr SIGNALS;
    ["csr", "invalid"] Csr SIGNALS;
    ["certificate request", "refused"] Csr SIGNALS;
    ["x509", "unknown authority"] UnknownCa ERRORS;
    ["unable to get local issuer certificate"] UnknownCa SYSTEM;
    ["unknownissuer"] UnknownCa SYSTEM;
    ["connection refused"] Refused ERRORS;
    ["network is unreachable"] Refused SYSTEM;
    ["no route to host"] Refused SYSTEM;
    ["no such host"] NoName SYSTEM;
    ["name resolution"] NoName SYSTEM;
    ["heartbeat", "time"] Heartbeat SIGNALS;
    ["i/o timeout"] Timeout SYSTEM;
    ["connection timed out"] Timeout SYSTEM;
    ["context deadline exceeded"] Timeout SYSTEM;
    ["the control plane cannot be reached"] Refused SANDBOX;
    ["connector_identity_recovery_started"] RecoveryStarted SIGNALS;
    ["permission denied", "data"] Denied DATA;
    ["permission denied", "identity"] Denied DATA;
    ["read-only file system", "data"] Denied DATA;
    ["identity is refused"] IdentityRefused SANDBOX;
    ["identity_unknown"] IdentityRefused SANDBOX;
    ["crashloopbackoff"] CrashLoop CLUSTER;
    ["back-off restarting failed container"] CrashLoop CLUSTER;
    ["pairing completed"] Paired SANDBOX;
    ["reconnected with persisted identity"] Connected SANDBOX;
    ["endpoint.cert_renewed"] Connected EVIDENCE;
    ["tunnel established"] Connected EVIDENCE;
    ["z online"] Connected SANDBOX;
}

impl Hit {
    /// The classes that it speaks for.
    #[must_use]
    pub const fn supports(self) -> &'static [Class] {
        match self {
            Self::TokenInvalid => &[Class::C12, Class::C14],
            Self::TokenRevoked => &[Class::C4],
            Self::TokenExpired => &[Class::C3],
            Self::Csr => &[Class::C5],
            Self::UnknownCa => &[Class::C6],
            Self::Refused | Self::NoName => &[Class::C2],
            Self::Timeout | Self::Heartbeat => &[Class::C2, Class::C7],
            Self::Denied => &[Class::C10],
            Self::IdentityRefused | Self::RecoveryStarted => &[Class::C12],
            Self::CrashLoop => &[Class::C13],
            Self::Connected | Self::Paired => &[],
        }
    }

    /// The classes that it speaks against.
    #[must_use]
    pub const fn against(self) -> &'static [Class] {
        match self {
            Self::TokenInvalid | Self::RecoveryStarted => &[Class::C7, Class::C8],
            Self::IdentityRefused => &[Class::C7],
            Self::TokenRevoked => &[Class::C3],
            Self::TokenExpired => &[Class::C4],
            Self::Csr
            | Self::UnknownCa
            | Self::Refused
            | Self::NoName
            | Self::Timeout
            | Self::Heartbeat
            | Self::Denied
            | Self::CrashLoop
            | Self::Connected
            | Self::Paired => &[],
        }
    }

    const fn is_success(self) -> bool {
        matches!(self, Self::Paired | Self::Connected)
    }
}

/// No more lines than these, the last ones, and no more of each.
const LINES_MOST: usize = 2_000;
const LINE_MOST: usize = 2_000;

/// What a log tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// What holds now: each kind once, with the last line that tells of it.
    pub now: Vec<(Hit, String)>,
    /// What a later success has overtaken.
    pub before: Vec<(Hit, String)>,
    /// What is about another connector.
    pub strangers: Vec<(Hit, String)>,
    /// Whether it paired within this very log.
    pub paired: bool,
    /// Whether its last word is that it is connected.
    pub connected: bool,
}

impl Told {
    /// Whether the log tells of this now.
    #[must_use]
    pub fn has(&self, hit: Hit) -> bool {
        self.now.iter().any(|(known, _)| *known == hit)
    }
}

/// Reads a log's lines, oldest first.
#[must_use]
pub fn told(lines: &[String], agent: &str) -> Told {
    let mut told = Told::default();
    let from = lines.len().saturating_sub(LINES_MOST);
    for line in lines.get(from..).unwrap_or_default() {
        let text: String = line.chars().take(LINE_MOST).collect();
        for hit in hits(&text) {
            if another(&text, agent) {
                note(&mut told.strangers, hit, &text);
                continue;
            }
            told.connected = hit.is_success();
            told.paired |= hit == Hit::Paired;
            if told.connected {
                told.before.append(&mut told.now);
            }
            note(&mut told.now, hit, &text);
        }
    }
    told
}

fn note(all: &mut Vec<(Hit, String)>, hit: Hit, text: &str) {
    all.retain(|(known, _)| *known != hit);
    all.push((hit, text.to_owned()));
}

/// Each kind that a line tells of, once.
fn hits(line: &str) -> Vec<Hit> {
    let lower = line.to_lowercase();
    let mut hits: Vec<Hit> = Vec::new();
    for fragment in FRAGMENTS {
        if !hits.contains(&fragment.hit) && fragment.words.iter().all(|word| lower.contains(word)) {
            hits.push(fragment.hit);
        }
    }
    hits
}

/// Whether a line names a connector that is not ours. One that names none is ours: it is from our log.
fn another(line: &str, agent: &str) -> bool {
    const KEYS: [&str; 6] =
        ["agent=", "connector=", "\"agent\":\"", "\"connector\":\"", "agent_id=", "\"agent_id\":\""];
    let word = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    KEYS.iter().any(|key| {
        line.split(key).skip(1).any(|rest| {
            let rest = rest.trim_start_matches(['"', ' ']);
            let named: &str = rest.split(|c| !word(c)).next().unwrap_or_default();
            !named.is_empty() && named != agent
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &[&str]) -> Vec<String> {
        text.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_line_is_known_by_its_fragment_whatever_its_case() {
        for (line, wanted) in [
            ("POST /enrol: 401 ENROLLMENT_TOKEN_INVALID", Hit::TokenInvalid),
            ("ENROLMENT TOKEN REVOKED", Hit::TokenRevoked),
            ("the enrolment token has expired", Hit::TokenExpired),
            ("tls: X509: certificate signed by unknown authority", Hit::UnknownCa),
            ("dial tcp 10.0.0.1:443: connect: connection refused", Hit::Refused),
            ("lookup cp.example: no such host", Hit::NoName),
            ("CSR validation failed: subject", Hit::Csr),
            ("open /data/identity.json: permission denied", Hit::Denied),
            ("tunnel heartbeat timed out after 30s", Hit::Heartbeat),
            ("event=connector_identity_recovery_started", Hit::RecoveryStarted),
        ] {
            assert_eq!(hits(line), [wanted], "{line}");
        }
        let both = hits("401 ENROLLMENT_TOKEN_INVALID: the token was revoked");
        assert_eq!(both, [Hit::TokenInvalid, Hit::TokenRevoked]);
        assert_eq!(hits("all is well"), []);
        assert!(FRAGMENTS.iter().all(|f| f.words.iter().all(|w| *w == w.to_lowercase()) && !f.source.is_empty()));
    }

    #[test]
    fn what_a_later_success_has_overtaken_is_history() {
        let log = lines(&["connection refused", "reconnected with persisted identity serial=s1"]);
        let told = told(&log, "edge-1");
        assert!(!told.has(Hit::Refused) && told.connected);
        assert_eq!(told.before.len(), 1);
    }

    #[test]
    fn what_names_another_connector_is_not_ours() {
        let log = lines(&[
            "401 ENROLLMENT_TOKEN_INVALID agent=edge-9",
            r#"{"agent":"edge-9","msg":"csr rejected"}"#,
            "401 ENROLLMENT_TOKEN_INVALID agent=edge-10",
        ]);
        let told = told(&log, "edge-1");
        assert!(told.now.is_empty());
        assert_eq!(told.strangers.len(), 2);
        assert!(!another("agent=edge-1 401", "edge-1"));
        assert!(another("agent=edge-1 and agent=edge-2", "edge-1"));
    }

    #[test]
    fn a_log_without_end_is_bounded() {
        let long = "x".repeat(5_000) + "connection refused";
        assert!(told(&[long], "a").now.is_empty());
        let mut log = lines(&["connection refused"]);
        log.extend((0..LINES_MOST).map(|n| n.to_string()));
        assert!(told(&log, "a").now.is_empty(), "only the last ones are read");
    }
}
