//! Certificates and the authorities that sign them, made for a test, and a server's side of TLS with them.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// A private certificate authority, and its certificate as a file.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pub file: PathBuf,
    der: CertificateDer<'static>,
}

pub fn ca(home: &Path, name: &str) -> Ca {
    ca_of(home, name, (1975, 4096))
}

/// One that is good in these years.
pub fn ca_of(home: &Path, name: &str, (from, to): Years) -> Ca {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::default();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    let file = home.join(format!("{name}.pem"));
    let certificate = params.self_signed(&key).unwrap();
    std::fs::write(&file, certificate.pem()).unwrap();
    Ca { issuer: Issuer::new(params, key), file, der: certificate.der().clone() }
}

/// The years in which a certificate is good.
pub type Years = (i32, i32);

/// A server with a certificate for this name, by this authority or by itself. With `chain` it shows the authority's too.
pub fn server(ca: Option<&Ca>, name: &str, (from, to): Years, chain: bool) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    let own = match ca {
        Some(ca) => params.signed_by(&key, &ca.issuer).unwrap(),
        None => params.self_signed(&key).unwrap(),
    };
    let above = ca.filter(|_| chain).map(|ca| ca.der.clone());
    let shown = std::iter::once(own.der().clone()).chain(above).collect();
    let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(shown, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    Arc::new(config)
}

/// A certificate by this authority and its key, as files: for these names of hosts, and with this common name.
#[allow(dead_code, reason = "not every test binary needs files")]
pub fn issued(home: &Path, ca: &Ca, common: &str, hosts: &[&str]) -> (PathBuf, PathBuf) {
    written(home, ca, common, common, hosts)
}

/// A certificate for this name by this authority, for servers and clients, and its key: two files, `NAME.pem` and `NAME.key`.
#[allow(dead_code, reason = "not every test binary needs files")]
pub fn files(home: &Path, ca: &Ca, file: &str, name: &str) {
    written(home, ca, file, name, &[name]);
}

#[allow(dead_code, reason = "not every test binary needs files")]
fn written(home: &Path, ca: &Ca, file: &str, common: &str, hosts: &[&str]) -> (PathBuf, PathBuf) {
    let key = KeyPair::generate().unwrap();
    let hosts: Vec<String> = hosts.iter().map(|host| (*host).to_owned()).collect();
    let mut params = CertificateParams::new(hosts).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, common);
    params.extended_key_usages =
        vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    let (certificate, private) = (home.join(format!("{file}.pem")), home.join(format!("{file}.key")));
    std::fs::write(&certificate, params.signed_by(&key, &ca.issuer).unwrap().pem()).unwrap();
    std::fs::write(&private, key.serialize_pem()).unwrap();
    (certificate, private)
}

/// A certificate for clients of this name, good in these years, for a key that is there already.
#[allow(dead_code, reason = "not every test binary renews one")]
pub fn certified(ca: &Ca, key: &str, name: &str, (from, to): Years) -> String {
    let key = KeyPair::from_pem(key).unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(to, 1, 1);
    params.signed_by(&key, &ca.issuer).unwrap().pem()
}

/// A whole HTTP message: its head, and as much body as the head announces.
pub fn message(from: &mut impl Read) -> Option<Vec<u8>> {
    let (mut bytes, mut byte) = (Vec::new(), [0]);
    while !bytes.ends_with(b"\r\n\r\n") {
        from.read_exact(&mut byte).ok()?;
        bytes.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&bytes).to_ascii_lowercase();
    let length = head.lines().find_map(|line| line.strip_prefix("content-length:")?.trim().parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    from.read_exact(&mut body).ok()?;
    bytes.extend(body);
    Some(bytes)
}
