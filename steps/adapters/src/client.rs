//! What every HTTP client of ours has in common: one origin, no redirect, no proxy, no retry of its own, limits of size and time.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::{Client, Response};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::prelude::{FromDer as _, X509Certificate};
use zeroize::Zeroizing;

use crate::authority::Origin;

/// No answer is longer. Bytes.
pub(crate) const BODY_MOST: usize = 1 << 20;
/// What is said of an answer that is.
const TOO_LONG: &str = "the body is longer than 1 MiB";
/// A connection takes no longer.
pub(crate) const CONNECT_WITHIN: Duration = Duration::from_secs(3);
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// A client of this origin that trusts the certificates of this file, or the system's without one.
pub(crate) fn client(origin: &Origin, ca: Option<&Path>, hint: &str) -> Result<Client, String> {
    builder(origin, ca)?.build().map_err(|e| format!("the HTTP client cannot be made: {}; {hint}", chain(&e)))
}

/// The same before it is made, for whoever has a certificate of its own.
pub(crate) fn builder(origin: &Origin, ca: Option<&Path>) -> Result<reqwest::ClientBuilder, String> {
    // One provider for the process; whoever was first has set it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut builder = Client::builder()
        .redirect(reqwest::redirect::Policy::none())
        .retry(reqwest::retry::never())
        .no_proxy()
        .referer(false)
        .http1_only()
        .pool_max_idle_per_host(0)
        .connect_timeout(CONNECT_WITHIN)
        .timeout(ANSWER_WITHIN)
        .dns_resolver(Arc::new(origin.resolver()))
        .user_agent(concat!("recover/", env!("CARGO_PKG_VERSION")));
    if let Some(ca) = ca {
        builder = builder.tls_certs_only(certificates(ca)?);
    } else if origin.is_plain() {
        // A host without any certificate of a CA can do without.
        builder = builder.tls_certs_only([]);
    }
    Ok(builder)
}

/// A certificate and its key, in PEM. The key's file is its owner's alone.
pub(crate) fn identity(cert: &Path, key: &Path) -> Result<reqwest::Identity, String> {
    const LONGEST: usize = 64 << 10;
    let read = |path: &Path, private: bool| {
        let failed = |why: &dyn std::fmt::Display| format!("{}: {why}", path.display());
        let flags = rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK;
        let file = crate::files::open_any(path, flags).map_err(|e| failed(&e))?;
        let mode = rustix::fs::fstat(&file).map_err(|e| failed(&e))?.st_mode;
        if private && mode & 0o027 != 0 {
            return Err(failed(&"its mode lets others read or change it"));
        }
        crate::files::read_capped(&file, LONGEST).map(Zeroizing::new).map_err(|e| failed(&e))
    };
    let mut pem = read(cert, false)?;
    pem.push(b'\n');
    pem.extend_from_slice(&read(key, true)?);
    let no = |_| format!("{} and {} are no certificate with its key", cert.display(), key.display());
    reqwest::Identity::from_pem(&pem).map_err(no)
}

/// The body of a response within the limits, or what is wrong with it, unredacted.
pub(crate) async fn body(response: &mut Response) -> Result<Zeroizing<Vec<u8>>, String> {
    // The length that is announced only decides how early we give up.
    if response.content_length().is_some_and(|n| n > BODY_MOST as u64) {
        return Err(TOO_LONG.into());
    }
    let mut body = Zeroizing::new(Vec::with_capacity(8_192));
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= BODY_MOST => body.extend_from_slice(&chunk),
            Ok(Some(_)) => return Err(TOO_LONG.into()),
            Ok(None) => return Ok(body),
            Err(e) => return Err(chain(&e.without_url())),
        }
    }
}

/// Whether the peer's certificate was refused, somewhere down the causes.
pub(crate) fn is_untrusted(error: &reqwest::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        // The handshake's failure comes as the content of an I/O error, whose `source` skips it.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        let tls = error.downcast_ref().or_else(|| inner.and_then(|inner| inner.downcast_ref()));
        if matches!(tls, Some(rustls::Error::InvalidCertificate(_))) {
            return true;
        }
        cause = inner.map(|inner| inner as &dyn std::error::Error).or_else(|| error.source());
    }
    false
}

/// Seconds, as the contracts have them, in milliseconds; a date is not understood and no wish.
pub(crate) fn retry_after(response: &Response) -> Option<u64> {
    response.headers().get(reqwest::header::RETRY_AFTER).and_then(|v| v.to_str().ok()).and_then(patience)
}

fn patience(text: &str) -> Option<u64> {
    text.trim().parse::<u64>().ok().map(|s| s.min(3_600) * 1_000)
}

fn certificates(path: &Path) -> Result<Vec<reqwest::Certificate>, String> {
    let failed = |why: &dyn std::fmt::Display| format!("the CA file {} cannot be used: {why}", path.display());
    let file = crate::files::open_any(path, rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK)
        .map_err(|e| failed(&e))?;
    let bytes = crate::files::read_capped(&file, BODY_MOST).map_err(|e| failed(&e))?;
    let all: Vec<_> = CertificateDer::pem_slice_iter(&bytes).collect::<Result<_, _>>().map_err(|e| failed(&e))?;
    // An empty list would not mean "nobody" to everyone who reads it.
    if all.is_empty() {
        return Err(failed(&"no certificate is in it"));
    }
    // Whoever verifies a chain does not look at the times of the authority that it is told to trust.
    let now = crate::time::now().0 / 1_000;
    let good = all.iter().filter(|der| !has_expired(der, now));
    let good: Vec<_> =
        good.map(|der| reqwest::Certificate::from_der(der)).collect::<Result<_, _>>().map_err(|e| failed(&e))?;
    if good.is_empty() { Err(failed(&"every certificate in it has expired")) } else { Ok(good) }
}

/// Whether its time is over. One whose time cannot be read is left to whoever verifies the chain.
fn has_expired(der: &[u8], now: i64) -> bool {
    X509Certificate::from_der(der).is_ok_and(|(_, ca)| ca.validity().not_after.timestamp() < now)
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patience_is_bounded() {
        assert_eq!((patience("7"), patience("99999999999")), (Some(7_000), Some(3_600_000)));
        assert_eq!(patience("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }
}
