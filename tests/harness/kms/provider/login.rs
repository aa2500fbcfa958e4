//! What the provider shows OpenBao to get a token: a JWT out of a file, or a certificate whose key is behind a PIN.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::settings::{Jwt, Pkcs11, Settings};

fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs_f64()
}

/// The JWT, as far as can be told without the issuer's key.
pub fn jwt(settings: &Jwt) -> Result<String, String> {
    let text = std::fs::read_to_string(&settings.jwt_file).map_err(|e| format!("read JWT file: {}", e.kind()))?;
    let token = text.trim().to_owned();
    let claims = token.split('.').nth(1).and_then(|part| URL_SAFE_NO_PAD.decode(part).ok());
    let claims: Value = claims
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .filter(|_| token.split('.').count() == 3)
        .ok_or("JWT malformed")?;
    let leeway = settings.clock_skew_leeway.0.as_secs_f64();
    let exp = claims["exp"].as_f64().ok_or("JWT exp claim is required")?;
    if exp + leeway < now() {
        return Err("JWT is expired".into());
    }
    if exp - now() < settings.min_remaining_ttl.0.as_secs_f64() {
        return Err("JWT remaining lifetime is below the configured minimum".into());
    }
    if claims["nbf"].as_f64().is_some_and(|nbf| nbf - leeway > now()) {
        return Err("JWT is not yet valid".into());
    }
    let is = |name: &str, expected: &str| expected.is_empty() || claims[name] == *expected;
    if !is("iss", &settings.expected_issuer) {
        return Err("JWT issuer mismatch".into());
    }
    if !is("sub", &settings.expected_subject) {
        return Err("JWT subject mismatch".into());
    }
    let audience: Vec<&str> = match &claims["aud"] {
        Value::String(one) => vec![one],
        Value::Array(all) => all.iter().filter_map(Value::as_str).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    };
    let expected = &settings.expected_audience;
    if !expected.is_empty() && !expected.iter().any(|one| audience.contains(&one.as_str())) {
        return Err("JWT audience mismatch".into());
    }
    Ok(token)
}

/// A certificate and its key, both as PEM. In place of a PKCS#11 module there is a file of keys by label: it opens with the PIN.
pub fn certificate(of: &Pkcs11) -> Result<Vec<u8>, String> {
    let read = |path: &Path, what: &str| std::fs::read_to_string(path).map_err(|e| format!("{what}: {}", e.kind()));
    let module: Value =
        serde_json::from_str(&read(&of.module_path, "load PKCS#11 module")?).map_err(|_| "load PKCS#11 module")?;
    let token = module.get(&of.token_label).ok_or("PKCS#11 token label not found")?;
    if token["pin"].as_str() != Some(read(&of.pin_file, "read PKCS#11 PIN file")?.trim()) {
        return Err("PKCS#11 login failed: CKR_PIN_INCORRECT".into());
    }
    let key = token["keys"][&of.key_label].as_str().ok_or("PKCS#11 key label not found")?;
    let certificate = read(&of.certificate_file, "read client certificate")?;
    Ok(format!("{certificate}\n{key}").into_bytes())
}

/// How long the certificate is still good, in seconds.
pub fn certificate_ttl(of: &Pkcs11) -> Result<f64, String> {
    let pem = std::fs::read(&of.certificate_file).map_err(|e| format!("read client certificate: {}", e.kind()))?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&pem).map_err(|_| "client certificate malformed")?;
    let certificate = pem.parse_x509().map_err(|_| "client certificate malformed")?;
    let validity = certificate.validity();
    if validity.not_before.timestamp() as f64 > now() {
        return Err("client certificate is not yet valid".into());
    }
    let may = certificate.extended_key_usage().ok().flatten().is_some_and(|usage| usage.value.client_auth);
    if !may {
        return Err("client certificate lacks client-auth usage".into());
    }
    let ttl = validity.not_after.timestamp() as f64 - now();
    if ttl <= 0.0 { Err("client certificate is expired".into()) } else { Ok(ttl) }
}

/// Whether what is shown could be good, without asking OpenBao. Each check with its id, title and what it found.
pub fn local(settings: &Settings) -> Vec<(&'static str, &'static str, Result<String, String>)> {
    if settings.auth.method == "jwt" {
        let found = jwt(&settings.auth.jwt).map(|_| "readable and locally valid".to_owned());
        return vec![("jwt.local", "JWT file", found)];
    }
    let of = &settings.auth.cert;
    let enough = |ttl: f64| {
        let least = of.min_remaining_ttl.0.as_secs_f64();
        if ttl < least {
            Err("client certificate remaining lifetime is below the configured minimum".into())
        } else {
            Ok(())
        }
    };
    let local = certificate_ttl(&of.pkcs11).and_then(enough).map(|()| "certificate is locally valid".to_owned());
    let signer = certificate(&of.pkcs11);
    let source = signer.as_ref().map(|_| "PKCS#11 source is reachable".to_owned()).map_err(Clone::clone);
    let matches = signer.and_then(|pem| {
        reqwest::Identity::from_pem(&pem)
            .map(|_| "signer matches the certificate".to_owned())
            .map_err(|_| "signer does not match the certificate".to_owned())
    });
    vec![
        ("auth.cert.pkcs11", "PKCS#11 source", source),
        ("auth.cert.local", "Client certificate", local),
        ("auth.cert.signer", "Client certificate signer", matches),
    ]
}
