//! What a provider logs in with, as far as it can be told without sending it: times, claims, usage. Signatures are for OpenBao to check.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use recover_engine::Digest;
use recover_steps::kms::{AuthInstalled, AuthSeen};
use serde::Deserialize;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use super::files::{self, Held, Like};
use super::settings::{Auth, Jwt, span};
use super::users::Who;

/// What a JWT claims, as far as anybody here asks.
#[derive(Deserialize)]
struct Claims {
    #[serde(default)]
    iss: String,
    #[serde(default)]
    sub: String,
    #[serde(default)]
    aud: Audience,
    exp: Option<f64>,
    nbf: Option<f64>,
}

#[derive(Default, Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
    #[default]
    None,
}

/// How the provider logs in.
enum Way<'a> {
    Jwt(&'a Jwt, &'a Path),
    Certificate(&'a Path, u64),
}

fn seconds(text: Option<&String>, usual: u64) -> u64 {
    text.and_then(|text| span(text)).map_or(usual, |span| span.as_secs())
}

fn way(auth: &Auth) -> Result<Way<'_>, String> {
    match (auth.method.as_str(), auth.cert.source.as_str()) {
        ("jwt" | "", _) => Ok(Way::Jwt(&auth.jwt, &auth.jwt.jwt_file)),
        ("cert", "pkcs11" | "") => {
            let least = seconds(auth.cert.min_remaining_ttl.as_ref(), 86_400);
            Ok(Way::Certificate(&auth.cert.pkcs11.certificate_file, least))
        }
        ("cert", _) => Err("its certificate comes from the Workload API and is in no file".into()),
        (other, _) => Err(format!("the login `{}` cannot be looked at", other.chars().take(32).collect::<String>())),
    }
}

impl Way<'_> {
    const fn path(&self) -> &Path {
        match self {
            Self::Jwt(_, path) | Self::Certificate(path, _) => path,
        }
    }

    /// For how many seconds it is good, or why it cannot work.
    fn good_for(&self, held: &Held, now: i64) -> Result<u64, String> {
        match self {
            Self::Jwt(jwt, _) => claimed(held.text()?.trim(), jwt, now),
            Self::Certificate(_, least) => usable(&held.bytes, *least, now),
        }
    }
}

fn claimed(token: &str, wanted: &Jwt, now: i64) -> Result<u64, String> {
    let parts: Vec<&str> = token.split('.').collect();
    let [_, claims, _] = parts.as_slice() else { return Err("it is no JWT".into()) };
    let bytes = URL_SAFE_NO_PAD.decode(claims).map_err(|_| "it is no JWT")?;
    let claims: Claims = serde_json::from_slice(&bytes).map_err(|_| "its claims cannot be read")?;
    // A cluster that cannot read its secrets cannot vouch for whoever is to help it.
    if claims.sub.starts_with("system:serviceaccount:") || claims.iss.contains("kubernetes.default.svc") {
        return Err("it was issued by a cluster to one of its service accounts: another issuer must issue it".into());
    }
    let in_audience = |wanted: &String| match &claims.aud {
        Audience::One(one) => one == wanted,
        Audience::Many(many) => many.contains(wanted),
        Audience::None => false,
    };
    if !wanted.expected_issuer.is_empty() && claims.iss != wanted.expected_issuer {
        return Err("its issuer is not the one that is expected".into());
    }
    if !wanted.expected_subject.is_empty() && claims.sub != wanted.expected_subject {
        return Err("its subject is not the one that is expected".into());
    }
    if !wanted.expected_audience.is_empty() && !wanted.expected_audience.iter().any(in_audience) {
        return Err("it is for another audience than is expected".into());
    }
    let leeway = seconds(wanted.clock_skew_leeway.as_ref(), 30);
    #[expect(clippy::cast_possible_truncation, reason = "seconds since 1970")]
    let (exp, nbf) = (claims.exp.map(|at| at as i64), claims.nbf.map(|at| at as i64));
    if nbf.is_some_and(|nbf| nbf > now.saturating_add_unsigned(leeway)) {
        return Err("its time has not come: is a clock wrong?".into());
    }
    left(exp.ok_or("it says no end")?, seconds(wanted.min_remaining_ttl.as_ref(), 120), now)
}

fn usable(pem: &[u8], least: u64, now: i64) -> Result<u64, String> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).map_err(|_| "it is no certificate in PEM")?;
    let (_, leaf) = X509Certificate::from_der(&pem.contents).map_err(|_| "its certificate cannot be read")?;
    if leaf.validity().not_before.timestamp() > now {
        return Err("its time has not come: is a clock wrong?".into());
    }
    match leaf.extended_key_usage() {
        Ok(Some(usage)) if !usage.value.client_auth && !usage.value.any => {
            return Err("it is not for clients: its extended key usage lacks clientAuth".into());
        }
        Err(_) => return Err("its extended key usage cannot be read".into()),
        Ok(_) => {}
    }
    left(leaf.validity().not_after.timestamp(), least, now)
}

fn left(end: i64, least: u64, now: i64) -> Result<u64, String> {
    let left = end.saturating_sub(now);
    match u64::try_from(left) {
        Ok(left) if left > least => Ok(left),
        Ok(left) if left > 0 => Err(format!("it ends in {left} s, and the provider wants at least {least} s")),
        Ok(_) | Err(_) => Err(format!("it expired {} s ago", left.unsigned_abs())),
    }
}

/// The key of a certificate: one that is renewed has the same, since its private half stays in the token of PKCS#11.
fn key_of(pem: &[u8]) -> Option<Digest> {
    let (_, pem) = x509_parser::pem::parse_x509_pem(pem).ok()?;
    let (_, leaf) = X509Certificate::from_der(&pem.contents).ok()?;
    Some(Digest::of(leaf.public_key().raw))
}

/// A fresh one that was brought and looks as it must.
fn fresh(way: &Way<'_>, fresh: Option<&Path>, now: i64) -> Result<Held, String> {
    let path = fresh.ok_or("no place for a fresh one is configured: `fresh_auth`")?;
    let held = files::read_there(path)?;
    way.good_for(&held, now).map_err(|why| format!("{}: {why}", path.display()))?;
    if let Way::Certificate(old, _) = way
        && let Ok(Some(old)) = files::read(old)
        && key_of(&old.bytes).is_some_and(|key| Some(key) != key_of(&held.bytes))
    {
        return Err(format!("{} is for another key than the one in the token", path.display()));
    }
    Ok(held)
}

/// Looks at what the provider logs in with.
pub(super) fn look(auth: &Auth, brought: Option<&Path>, who: &Who, now: i64) -> AuthSeen {
    let way = match way(auth) {
        Ok(way) => way,
        Err(why) => return AuthSeen::Unclear { why },
    };
    let path = way.path();
    let seen = match files::read(path) {
        Ok(None) => Err(format!("{} is not there", path.display())),
        Ok(Some(held)) if !who.may(held.stat.st_uid, held.stat.st_gid, held.stat.st_mode & 0o777, 4) => {
            Err(format!("{} cannot be read by user {}", path.display(), who.uid))
        }
        Ok(Some(held)) => way.good_for(&held, now).map(|for_s| (for_s, held.sha256())),
        // A JWT that another program projects may lie behind a link: it is told by whoever put it there.
        Err(e) => return AuthSeen::Unclear { why: format!("{}: {e}", path.display()) },
    };
    let fresh = fresh(&way, brought, now).ok().map(|held| held.sha256());
    match seen {
        Ok((for_s, own)) => AuthSeen::Usable { for_s, fresh: fresh.filter(|fresh| *fresh != own) },
        Err(why) => AuthSeen::Unusable { why, fresh },
    }
}

/// Puts the fresh one in place, if it still is that one and still looks as it must.
pub(super) fn install(
    auth: &Auth,
    brought: Option<&Path>,
    who: &Who,
    sha256: &str,
    now: i64,
) -> Result<AuthInstalled, String> {
    let way = way(auth)?;
    let there = files::read(way.path()).map_err(|e| format!("{}: {e}", way.path().display()))?;
    if there.as_ref().is_some_and(|held| held.sha256() == sha256) {
        return Ok(AuthInstalled::Installed);
    }
    let held = fresh(&way, brought, now)?;
    if held.sha256() != sha256 {
        return Err("what was brought is no longer what was looked at".into());
    }
    let like = there.map_or(Like { uid: 0, gid: who.gid, mode: 0o640 }, |old| Like::of(&old.stat));
    // The old one opens nothing any more, and is not kept.
    files::replace(way.path(), &held.bytes, like, None)?;
    Ok(AuthInstalled::Installed)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOW: i64 = 1_800_000_000;

    fn token(claims: &serde_json::Value) -> String {
        format!("{}.{}.sig", URL_SAFE_NO_PAD.encode("{}"), URL_SAFE_NO_PAD.encode(claims.to_string()))
    }

    fn wanted() -> Jwt {
        Jwt {
            expected_issuer: "https://issuer".into(),
            expected_audience: vec!["openbao".into()],
            expected_subject: "node:cp-1".into(),
            ..Jwt::default()
        }
    }

    #[test]
    fn claims_are_compared_and_what_the_cluster_issued_is_refused() {
        let claims =
            json!({ "iss": "https://issuer", "aud": "openbao", "sub": "node:cp-1", "exp": NOW + 600, "nbf": NOW });
        assert_eq!(claimed(&token(&claims), &wanted(), NOW), Ok(600));
        for (name, value) in [
            ("iss", json!("https://other")),
            ("iss", json!("https://kubernetes.default.svc.cluster.local")),
            ("sub", json!("system:serviceaccount:kube-system:x")),
            ("sub", json!("node:cp-2")),
            ("aud", json!(["x"])),
            ("exp", json!(NOW)),
            ("exp", json!(NOW + 60)),
            ("exp", json!(null)),
            ("nbf", json!(NOW + 600)),
        ] {
            let mut changed = claims.clone();
            changed[name] = value;
            assert!(claimed(&token(&changed), &wanted(), NOW).is_err(), "{changed}");
        }
        assert!(claimed("s3cr3t", &wanted(), NOW).is_err_and(|why| !why.contains("s3cr3t")));
    }

    #[test]
    fn a_fresh_one_is_put_in_place_once_and_the_old_one_not_kept() {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        let claims = |exp: i64| json!({ "iss": "https://issuer", "aud": ["openbao"], "sub": "node:cp-1", "exp": exp });
        std::fs::write(at("identity.jwt"), token(&claims(NOW - 5))).unwrap();
        let auth =
            Auth { method: "jwt".into(), jwt: Jwt { jwt_file: at("identity.jwt"), ..wanted() }, ..Auth::default() };
        let who = Who::here();
        assert!(matches!(look(&auth, None, &who, NOW), AuthSeen::Unusable { fresh: None, .. }));
        std::fs::write(at("fresh"), token(&claims(NOW + 3_600))).unwrap();
        let AuthSeen::Unusable { fresh: Some(digest), why } = look(&auth, Some(&at("fresh")), &who, NOW) else {
            panic!()
        };
        assert!(why.contains("expired 5 s ago"), "{why}");
        assert!(install(&auth, Some(&at("fresh")), &who, &"0".repeat(64), NOW).is_err());
        for _ in 0..2 {
            assert_eq!(install(&auth, Some(&at("fresh")), &who, &digest, NOW), Ok(AuthInstalled::Installed));
        }
        // What was brought is in place, and nothing else lies ready; what is brought after it is told of, though nothing is wrong here.
        let usable = |fresh: Option<String>| AuthSeen::Usable { for_s: 3_600, fresh };
        assert_eq!(look(&auth, None, &who, NOW), usable(None));
        assert_eq!(look(&auth, Some(&at("fresh")), &who, NOW), usable(None));
        let later = token(&claims(NOW + 7_200));
        std::fs::write(at("fresh"), &later).unwrap();
        assert_eq!(look(&auth, Some(&at("fresh")), &who, NOW), usable(Some(Digest::of(later.as_bytes()).to_string())));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 2);
    }
}
