//! Who asks, and what they may: tokens, sessions of the page, and the checks that keep other pages out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Method, header};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use recover_engine::Digest;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::pace::Pace;

/// What somebody may do. The later ones may do what the earlier ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Role {
    /// See runs, records, reports.
    View,
    /// Start, resume and cancel runs; send alerts.
    Operate,
    /// Answer questions, resolve doubts, abandon.
    Approve,
}

impl Role {
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::View => "view",
            Self::Operate => "operate",
            Self::Approve => "approve",
        }
    }
}

/// Who is at the other end of a connection.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: SocketAddr,
    /// Who the certificate says it is, where one that is known was shown.
    pub(super) client: Option<Client>,
}

/// Who is known by a certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Client {
    pub(super) name: Arc<str>,
    pub(super) role: Role,
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) role: Role,
    pub(super) peer: SocketAddr,
    /// The name in the certificate, where that is how they are known.
    pub(super) name: Option<Arc<str>>,
}

/// Why nobody is heard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// It was asked for under a name that is none of its.
    Host,
    /// The request comes from a page of somebody else's.
    Origin,
    /// A page's session acts without saying that it means to.
    NoMark,
    /// No token, or none that is known.
    Unknown,
    /// Too many wrong tokens in a short time.
    TooMany,
}

/// How long a page stays signed in.
const SESSION: Duration = Duration::from_secs(12 * 3_600);
const SESSIONS_MOST: usize = 1_000;
/// The header by which a page says that it means what it asks: no form and no image of another page can send it.
pub(super) const MARK: &str = "x-recover";
/// What every browser says of a request, and no page can take away.
const FETCHED: &str = "sec-fetch-site";
pub(super) const COOKIE: &str = "recover_session";

/// Who is known.
#[derive(Debug)]
pub(super) struct Auth {
    /// Tokens by digest: comparing digests tells nothing about a token, however long it takes.
    tokens: Vec<(Digest, Role)>,
    hosts: Vec<String>,
    scheme: &'static str,
    sessions: Mutex<HashMap<Digest, (Role, Instant)>>,
    pub(super) pace: Pace,
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A secret of 32 random bytes, as text.
pub(super) fn random() -> std::io::Result<String> {
    let mut bytes = [0; 32];
    let got = rustix::rand::getrandom(&mut bytes, rustix::rand::GetRandomFlags::empty())?;
    if got == bytes.len() {
        Ok(BASE64_URL_SAFE_NO_PAD.encode(bytes))
    } else {
        Err(std::io::ErrorKind::UnexpectedEof.into())
    }
}

fn digest(secret: &str) -> Digest {
    Digest::of(secret.trim().as_bytes())
}

impl Auth {
    /// `listen` is what it can be asked for by, besides `hosts`.
    pub(super) fn new(tokens: &[(String, Role)], listen: SocketAddr, hosts: &[String], tls: bool) -> Self {
        let mut names = vec![listen.to_string(), format!("localhost:{}", listen.port())];
        names.extend(
            hosts.iter().flat_map(|host| [host.to_lowercase(), format!("{}:{}", host.to_lowercase(), listen.port())]),
        );
        Self {
            tokens: tokens.iter().map(|(token, role)| (digest(token), *role)).collect(),
            hosts: names,
            scheme: if tls { "https" } else { "http" },
            sessions: Mutex::default(),
            pace: Pace::default(),
        }
    }

    pub(super) const fn is_tls(&self) -> bool {
        matches!(self.scheme.as_bytes(), b"https")
    }

    /// Whether a request may be looked at at all: for a name of ours, and not sent by somebody else's page.
    pub(super) fn admits(&self, method: &Method, headers: &HeaderMap) -> Result<(), Denied> {
        let host = text(headers, header::HOST.as_str()).unwrap_or_default().to_lowercase();
        if !self.hosts.contains(&host) {
            return Err(Denied::Host);
        }
        match text(headers, header::ORIGIN.as_str()) {
            Some(origin) if !is_safe(method) && origin.to_lowercase() != format!("{}://{host}", self.scheme) => {
                Err(Denied::Origin)
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Who asks.
    pub(super) fn who(&self, method: &Method, headers: &HeaderMap, peer: &Peer) -> Result<Who, Denied> {
        let by = |role, name| Who { role, peer: peer.address, name };
        if let Some(bearer) = text(headers, header::AUTHORIZATION.as_str()) {
            let token = bearer.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
            let role = self.role_of(token.map_or("", |(_, token)| token), peer.address)?;
            return Ok(by(role, None));
        }
        let role = session(headers).and_then(|session| {
            let sessions = held(&self.sessions);
            sessions.get(&digest(session)).filter(|(_, until)| Instant::now() < *until).map(|(role, _)| *role)
        });
        // A browser sends a cookie, and shows a certificate, whoever's page makes it do so.
        let unmeant = !is_safe(method) && !headers.contains_key(MARK);
        match (role, &peer.client) {
            (Some(_), _) if unmeant => Err(Denied::NoMark),
            (None, Some(_)) if unmeant && headers.contains_key(FETCHED) => Err(Denied::NoMark),
            (Some(role), None) => Ok(by(role, None)),
            (_, Some(client)) => Ok(by(client.role, Some(Arc::clone(&client.name)))),
            (None, None) => Err(Denied::Unknown),
        }
    }

    /// What the bearer of a token may do.
    pub(super) fn role_of(&self, token: &str, peer: SocketAddr) -> Result<Role, Denied> {
        if !self.pace.may_try(peer.ip()) {
            return Err(Denied::TooMany);
        }
        let digest = digest(token);
        let role = self.tokens.iter().filter(|(known, _)| *known == digest).map(|(_, role)| *role).max();
        role.ok_or_else(|| {
            self.pace.was_wrong(peer.ip());
            Denied::Unknown
        })
    }

    /// Begins a session of the page; what its cookie holds.
    pub(super) fn sign_in(&self, role: Role) -> std::io::Result<String> {
        let session = random()?;
        let mut sessions = held(&self.sessions);
        let now = Instant::now();
        sessions.retain(|_, (_, until)| now < *until);
        if sessions.len() >= SESSIONS_MOST {
            sessions.clear();
        }
        sessions.insert(digest(&session), (role, now + SESSION));
        Ok(session)
    }

    pub(super) fn sign_out(&self, headers: &HeaderMap) {
        if let Some(session) = session(headers) {
            held(&self.sessions).remove(&digest(session));
        }
    }
}

const fn is_safe(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

fn session(headers: &HeaderMap) -> Option<&str> {
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    cookies.flat_map(|line| line.split(';')).find_map(|pair| pair.trim().strip_prefix(COOKIE)?.strip_prefix('='))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth() -> Auth {
        let tokens =
            [("see".to_owned(), Role::View), ("do".to_owned(), Role::Operate), ("say".to_owned(), Role::Approve)];
        Auth::new(&tokens, SocketAddr::from(([127, 0, 0, 1], 8087)), &["Recover.example".to_owned()], false)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    const PEER: Peer =
        Peer { address: SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1), client: None };

    #[test]
    fn another_name_and_another_page_are_not_heard() {
        let auth = auth();
        for host in ["127.0.0.1:8087", "localhost:8087", "recover.example", "RECOVER.example:8087"] {
            assert_eq!(auth.admits(&Method::GET, &headers(&[("host", host)])), Ok(()), "{host}");
        }
        for host in ["", "evil.example", "127.0.0.1", "127.0.0.1:80", "recover.example.evil"] {
            assert_eq!(auth.admits(&Method::GET, &headers(&[("host", host)])), Err(Denied::Host), "{host}");
        }
        let from = |origin| headers(&[("host", "localhost:8087"), ("origin", origin)]);
        assert_eq!(auth.admits(&Method::POST, &from("http://localhost:8087")), Ok(()));
        for origin in ["http://evil.example", "https://localhost:8087", "null", "http://127.0.0.1:8087"] {
            assert_eq!(auth.admits(&Method::POST, &from(origin)), Err(Denied::Origin), "{origin}");
        }
    }

    #[test]
    fn a_token_says_what_its_bearer_may_and_nothing_else_does() {
        let auth = auth();
        let bearer =
            |token: &str| auth.who(&Method::POST, &headers(&[("authorization", token)]), &PEER).map(|who| who.role);
        assert_eq!(bearer("Bearer see"), Ok(Role::View));
        assert_eq!(bearer("bearer do"), Ok(Role::Operate));
        assert_eq!(bearer("Bearer say"), Ok(Role::Approve));
        for wrong in ["Bearer ", "Bearer sa", "Basic say", "say", "Bearer SAY"] {
            assert_eq!(bearer(wrong), Err(Denied::Unknown), "{wrong}");
        }
        for _ in 0..30 {
            let _wrong = bearer("Bearer guess");
        }
        assert_eq!(bearer("Bearer say"), Err(Denied::TooMany), "also a right one, for a while");
        let elsewhere = Peer { address: SocketAddr::from(([10, 0, 0, 9], 1)), client: None };
        let heard = auth.who(&Method::POST, &headers(&[("authorization", "Bearer say")]), &elsewhere);
        assert_eq!(heard.map(|who| who.role), Ok(Role::Approve), "who guesses keeps nobody else out");
    }

    #[test]
    fn a_session_acts_only_where_its_page_says_so() {
        let auth = auth();
        let session = auth.sign_in(Role::Operate).unwrap();
        let cookie = format!("other=1; {COOKIE}={session}");
        let role =
            |method, pairs: &[(&'static str, &str)]| auth.who(&method, &headers(pairs), &PEER).map(|who| who.role);
        assert_eq!(role(Method::GET, &[("cookie", &cookie)]), Ok(Role::Operate));
        assert_eq!(role(Method::POST, &[("cookie", &cookie)]), Err(Denied::NoMark));
        assert_eq!(role(Method::POST, &[("cookie", &cookie), (MARK, "1")]), Ok(Role::Operate));
        assert_eq!(role(Method::GET, &[("cookie", "recover_session=guess")]), Err(Denied::Unknown));
        auth.sign_out(&headers(&[("cookie", &cookie)]));
        assert_eq!(role(Method::GET, &[("cookie", &cookie)]), Err(Denied::Unknown));
    }

    #[test]
    fn a_certificate_says_who_it_is_and_a_page_of_another_s_does_not_speak_with_it() {
        let auth = auth();
        let client = Client { name: "alice".into(), role: Role::Operate };
        let peer = Peer { client: Some(client), ..PEER };
        let heard = |method, pairs: &[(&'static str, &str)]| {
            auth.who(&method, &headers(pairs), &peer).map(|who| (who.role, who.name.is_some()))
        };
        assert_eq!(heard(Method::POST, &[]), Ok((Role::Operate, true)));
        assert_eq!(heard(Method::POST, &[(FETCHED, "cross-site")]), Err(Denied::NoMark));
        assert_eq!(heard(Method::POST, &[(FETCHED, "same-origin"), (MARK, "1")]), Ok((Role::Operate, true)));
        assert_eq!(heard(Method::GET, &[(FETCHED, "none")]), Ok((Role::Operate, true)));
        assert_eq!(
            heard(Method::POST, &[("authorization", "Bearer say")]),
            Ok((Role::Approve, false)),
            "a token is meant"
        );
        assert_eq!(heard(Method::POST, &[("authorization", "Bearer guess")]), Err(Denied::Unknown));
    }
}
