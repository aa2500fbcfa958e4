//! How far the control plane can be reached, one step after the other: name, connection, handshake, health. Only the last
//! sends anything, and that is the contract's own GET, without a credential.

use std::net::SocketAddr;
use std::time::Duration;

use recover_engine::Millis;
use recover_steps::examined::{Handshake, Health, Look, Reach, Reached};
use tokio::net::TcpStream;

use crate::authority::{Failure, Http, Spire};

/// The same limit as for connecting in earnest.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);
/// A name with more addresses than these is not tried at all of them.
const ADDRESSES_MOST: usize = 3;

/// Whether it is worth asking the authority anything more.
pub(super) fn is_open(reach: &Reach) -> bool {
    matches!(reach.tcp.value(), Some(Reached::Yes(_)))
        && matches!(reach.tls.value(), Some(Handshake::Trusted | Handshake::Plain))
        // One that does not even answer that would be waited for again and again.
        && !matches!(reach.health.value(), Some(Health::Silent(_)))
}

pub(super) async fn reach(http: &Http, now: Millis) -> Reach {
    let origin = http.origin().to_string();
    let line = |why: &str| http.known().line(why);
    let (dns, tcp, get) =
        (format!("name of {origin}"), format!("connection to {origin}"), format!("GET {origin}/healthz"));
    let untried = |why: &str| (Look::not_read(&get, why), Look::not_read(&get, why));
    let found = match within(http.origin().addresses()).await {
        Ok(found) => found,
        Err(why) => {
            let (tls, health) = untried("not tried: it has no address");
            let none = Look::not_read(&tcp, "not tried: it has no address");
            return Reach { dns: Look::seen(dns, Reached::No(line(&why))), tcp: none, tls, health };
        }
    };
    let list: Vec<String> = found.iter().take(ADDRESSES_MOST).map(|a| a.ip().to_string()).collect();
    let dns = Look::seen(dns, Reached::Yes(list.join(", ")));
    match connect(&found).await {
        Ok(address) => {
            let (tls, health) = health(http, &get, now).await;
            Reach { dns, tcp: Look::seen(tcp, Reached::Yes(address.to_string())), tls, health }
        }
        Err(why) => {
            let (tls, health) = untried("not tried: there is no connection");
            Reach { dns, tcp: Look::seen(tcp, Reached::No(line(&why))), tls, health }
        }
    }
}

/// The same for a socket of this host: it has no name to resolve and nobody between.
pub(super) async fn reach_socket(spire: &Spire) -> Reach {
    let line = |why: &str| spire.known().line(why);
    let place = spire.place();
    let dns = Look::not_read(&place, "not tried: it is a socket of this host");
    let here = || Look::seen(&place, Handshake::Plain);
    let reached = || Look::seen(&place, Reached::Yes(place.clone()));
    let (tcp, tls, health) = match spire.health().await {
        Ok(()) => (reached(), here(), Look::seen(&place, Health::Well(None))),
        Err(Failure::NotSent(why)) => {
            let none = "not tried: there is no connection";
            let tcp = Look::seen(&place, Reached::No(line(&why)));
            (tcp, Look::not_read(&place, none), Look::not_read(&place, none))
        }
        Err(failure @ Failure::Lost(_)) => {
            (reached(), here(), Look::seen(&place, Health::Silent(line(&failure.text()))))
        }
        Err(failure) => (reached(), here(), Look::seen(&place, Health::Unwell(line(&failure.text())))),
    };
    Reach { dns, tcp, tls, health }
}

async fn within<T>(doing: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let late = || format!("no answer within {} s", CONNECT_WITHIN.as_secs());
    tokio::time::timeout(CONNECT_WITHIN, doing).await.map_err(|_| late())?
}

/// The first address that takes a connection. It is closed at once.
async fn connect(addresses: &[SocketAddr]) -> Result<SocketAddr, String> {
    let mut failed = Vec::new();
    for address in addresses.iter().take(ADDRESSES_MOST) {
        match within(async { TcpStream::connect(address).await.map_err(|e| e.to_string()) }).await {
            Ok(_) => return Ok(*address),
            Err(why) => failed.push(format!("{address}: {why}")),
        }
    }
    Err(failed.join("; "))
}

async fn health(http: &Http, get: &str, now: Millis) -> (Look<Handshake>, Look<Health>) {
    let line = |why: &str| http.known().line(why);
    let trusted = if http.origin().is_plain() { Handshake::Plain } else { Handshake::Trusted };
    let (handshake, health) = match http.health_and_time().await {
        Ok(clock) => (trusted, Ok(Health::Well(clock.map(|clock| clock.0.saturating_sub(now.0))))),
        Err(Failure::Untrusted(why)) if why.contains("UnknownIssuer") => {
            (Handshake::UnknownIssuer(line(&why)), Err("the certificate is not trusted"))
        }
        Err(Failure::Untrusted(why)) => (Handshake::Failed(line(&why)), Err("the certificate is not accepted")),
        Err(Failure::NotSent(why)) if trusted == Handshake::Trusted => {
            (Handshake::Failed(line(&why)), Err("the handshake failed"))
        }
        Err(failure @ (Failure::NotSent(_) | Failure::Lost(_))) => (trusted, Ok(Health::Silent(line(&failure.text())))),
        Err(failure) => (trusted, Ok(Health::Unwell(line(&failure.text())))),
    };
    let health = health.map_or_else(|why| Look::not_read(get, format!("not asked: {why}")), |h| Look::seen(get, h));
    (Look::seen(get, handshake), health)
}
