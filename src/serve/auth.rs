//! Who asks, and what they may: tokens, sessions of the page, and the checks that keep other pages out.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, Method, header};
use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use recover_engine::Digest;

/// What somebody may do. The later ones may do what the earlier ones may.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Role {
    View,
    Operate,
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

/// Who asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Who {
    pub(super) role: Role,
    pub(super) peer: SocketAddr,
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
/// So many wrong tokens a minute are listened to.
const WRONG_MOST: u32 = 20;
const MINUTE: Duration = Duration::from_secs(60);
/// The header by which a page says that it means what it asks: no form and no image of another page can send it.
pub(super) const MARK: &str = "x-recover";
pub(super) const COOKIE: &str = "recover_session";

/// Who is known.
#[derive(Debug)]
pub(super) struct Auth {
    /// Tokens by digest: comparing digests tells nothing about a token, however long it takes.
    tokens: Vec<(Digest, Role)>,
    hosts: Vec<String>,
    scheme: &'static str,
    sessions: Mutex<HashMap<Digest, (Role, Instant)>>,
    wrong: Mutex<(Instant, u32)>,
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
            wrong: Mutex::new((Instant::now(), 0)),
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
    pub(super) fn who(&self, method: &Method, headers: &HeaderMap, peer: SocketAddr) -> Result<Who, Denied> {
        if let Some(bearer) = text(headers, header::AUTHORIZATION.as_str()) {
            let token = bearer.split_once(' ').filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"));
            let role = self.role_of(token.map_or("", |(_, token)| token))?;
            return Ok(Who { role, peer });
        }
        let role = session(headers).and_then(|session| {
            let sessions = held(&self.sessions);
            sessions.get(&digest(session)).filter(|(_, until)| Instant::now() < *until).map(|(role, _)| *role)
        });
        match role {
            Some(_) if !is_safe(method) && !headers.contains_key(MARK) => Err(Denied::NoMark),
            Some(role) => Ok(Who { role, peer }),
            None => Err(Denied::Unknown),
        }
    }

    /// What the bearer of a token may do.
    pub(super) fn role_of(&self, token: &str) -> Result<Role, Denied> {
        let mut wrong = held(&self.wrong);
        if wrong.0.elapsed() > MINUTE {
            *wrong = (Instant::now(), 0);
        }
        if wrong.1 >= WRONG_MOST {
            return Err(Denied::TooMany);
        }
        let digest = digest(token);
        let role = self.tokens.iter().filter(|(known, _)| *known == digest).map(|(_, role)| *role).max();
        role.ok_or_else(|| {
            wrong.1 += 1;
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

    const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 1);

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
            |token: &str| auth.who(&Method::POST, &headers(&[("authorization", token)]), PEER).map(|who| who.role);
        assert_eq!(bearer("Bearer see"), Ok(Role::View));
        assert_eq!(bearer("bearer do"), Ok(Role::Operate));
        assert_eq!(bearer("Bearer say"), Ok(Role::Approve));
        for wrong in ["Bearer ", "Bearer sa", "Basic say", "say", "Bearer SAY"] {
            assert_eq!(bearer(wrong), Err(Denied::Unknown), "{wrong}");
        }
        for _ in 0..WRONG_MOST {
            let _wrong = bearer("Bearer guess");
        }
        assert_eq!(bearer("Bearer say"), Err(Denied::TooMany), "also a right one, for a while");
    }

    #[test]
    fn a_session_acts_only_where_its_page_says_so() {
        let auth = auth();
        let session = auth.sign_in(Role::Operate).unwrap();
        let cookie = format!("other=1; {COOKIE}={session}");
        let role =
            |method, pairs: &[(&'static str, &str)]| auth.who(&method, &headers(pairs), PEER).map(|who| who.role);
        assert_eq!(role(Method::GET, &[("cookie", &cookie)]), Ok(Role::Operate));
        assert_eq!(role(Method::POST, &[("cookie", &cookie)]), Err(Denied::NoMark));
        assert_eq!(role(Method::POST, &[("cookie", &cookie), (MARK, "1")]), Ok(Role::Operate));
        assert_eq!(role(Method::GET, &[("cookie", "recover_session=guess")]), Err(Denied::Unknown));
        auth.sign_out(&headers(&[("cookie", &cookie)]));
        assert_eq!(role(Method::GET, &[("cookie", &cookie)]), Err(Denied::Unknown));
    }
}
