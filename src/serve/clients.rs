//! Who is known by a certificate: which authority signs theirs, and what the name in one lets its holder do.

use std::path::Path;
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer as _;

use super::auth::Client;
use super::config::Tls;
use crate::fault::{Code, Fault};

/// What checks certificates of clients, where some are known. Whoever shows none needs a token.
pub(super) fn verifier(
    files: &Tls,
    provider: &Arc<CryptoProvider>,
) -> Result<Option<Arc<dyn ClientCertVerifier>>, Fault> {
    let ca = match (&files.client_ca, files.clients.is_empty()) {
        (None, true) => return Ok(None),
        (Some(ca), false) => ca,
        (Some(_), true) => return Err(lone("`serve.tls.client_ca` is set, and no client in `serve.tls.clients`")),
        (None, false) => {
            return Err(lone("`serve.tls.clients` names clients, and no `serve.tls.client_ca` signs theirs"));
        }
    };
    let failed = |why: &dyn std::error::Error| Fault::caused(Code::BadConfig, &format!("{}", ca.display()), why);
    let roots = roots(ca).map_err(|e| failed(&*e))?;
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    builder.allow_unauthenticated().build().map(Some).map_err(|e| failed(&e))
}

fn lone(why: &str) -> Fault {
    Fault::new(Code::BadConfig, why).hint("docs/serve.md says how certificates are told apart")
}

fn roots(ca: &Path) -> Result<RootCertStore, Box<dyn std::error::Error>> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(ca)? {
        roots.add(certificate?)?;
    }
    if roots.is_empty() { Err("there is no certificate in it".into()) } else { Ok(roots) }
}

/// Who holds a certificate that the authority has signed, if that is somebody who is known.
pub(super) fn client(files: &Tls, der: &[u8]) -> Option<Client> {
    let known = names(der)?.into_iter().find_map(|name| files.clients.get(&name).map(|role| (name, *role)));
    known.map(|(name, role)| Client { name: name.into(), role })
}

/// The names of a certificate's subject: the alternative ones, or where there is none the common one.
fn names(der: &[u8]) -> Option<Vec<String>> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    if let Some(names) = certificate.subject_alternative_name().ok()? {
        let text = |name: &GeneralName<'_>| match name {
            GeneralName::URI(name) | GeneralName::DNSName(name) | GeneralName::RFC822Name(name) => {
                Some((*name).to_owned())
            }
            GeneralName::OtherName(..)
            | GeneralName::X400Address(_)
            | GeneralName::DirectoryName(_)
            | GeneralName::EDIPartyName(_)
            | GeneralName::IPAddress(_)
            | GeneralName::RegisteredID(_)
            | GeneralName::Invalid(..) => None,
        };
        return Some(names.value.general_names.iter().filter_map(text).collect());
    }
    let common = certificate.subject().iter_common_name().filter_map(|name| name.as_str().ok());
    Some(common.map(str::to_owned).collect())
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DnType, KeyPair, SanType};

    use super::super::auth::Role;
    use super::*;

    fn certificate(common: &str, alternative: &[SanType]) -> Vec<u8> {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, common);
        params.subject_alt_names = alternative.to_vec();
        params.self_signed(&KeyPair::generate().unwrap()).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_counts_only_where_there_is_no_other() {
        let mut files = Tls {
            certificate: "x".into(),
            key: "x".into(),
            client_ca: Some("x".into()),
            clients: [("alice".to_owned(), Role::Approve), ("spiffe://x/bob".to_owned(), Role::Operate)].into(),
        };
        let uri = |name: &str| SanType::URI(name.try_into().unwrap());
        let role = |files: &Tls, der: &[u8]| client(files, der).map(|client| client.role);
        assert_eq!(role(&files, &certificate("alice", &[])), Some(Role::Approve));
        assert_eq!(role(&files, &certificate("alice", &[uri("spiffe://x/bob")])), Some(Role::Operate));
        assert_eq!(
            role(&files, &certificate("alice", &[uri("spiffe://x/carol")])),
            None,
            "she is not asked for by another name"
        );
        assert_eq!(role(&files, &certificate("Alice", &[])), None);
        assert_eq!(role(&files, b"no certificate"), None);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        assert!(verifier(&files, &provider).unwrap_err().message.contains('x'), "there is no such file");
        files.client_ca = None;
        assert!(verifier(&files, &provider).unwrap_err().message.contains("client_ca"));
    }
}
