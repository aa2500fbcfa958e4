//! Our own token: read anew where it is given, or got by a login and kept in memory for as long as it is good.

use std::time::{Duration, Instant};

use secrecy::{ExposeSecret as _, SecretString};
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::failure::Failure;
use super::place::{LoginConfig, OpenBaoConfig};
use super::request::Request;
use super::transport::Transport;
use crate::authority::Credential;
use crate::known::Known;

/// A token that ends so soon is not used any more.
const SPARE: Duration = Duration::from_secs(20);

/// Where our token comes from.
#[derive(Debug)]
pub(super) enum Bearer {
    /// It is given.
    Given(Credential),
    /// It is got by logging in.
    Login { login: Login, kept: Mutex<Option<Kept>> },
}

#[derive(Debug)]
pub(super) enum Login {
    Approle { role_id: String, secret_id: Credential },
    Jwt { role: String, jwt: Credential },
    Cert { name: Option<String> },
}

#[derive(Debug)]
pub(super) struct Kept {
    token: SecretString,
    until: Instant,
}

#[derive(Deserialize)]
struct LoggedIn {
    auth: Auth,
}

#[derive(Deserialize)]
struct Auth {
    client_token: SecretString,
    lease_duration: u64,
}

/// Reads a secret and remembers it, so that nothing that is said from then on holds it.
fn read(credential: &Credential, known: &Known) -> Result<SecretString, Failure> {
    let secret = credential.read().map_err(Failure::NotSent)?;
    known.note(&secret);
    Ok(secret)
}

impl Bearer {
    pub(super) fn new(config: &OpenBaoConfig) -> Result<Self, String> {
        let login = match (&config.token, &config.login) {
            (Some(token), None) => return Ok(Self::Given(Credential::new(token.clone()))),
            (None, Some(login)) => login,
            (None, None) | (Some(_), Some(_)) => return Err("exactly one of `token` and `login` must be given".into()),
        };
        let login = match login {
            LoginConfig::Approle(approle) => Login::Approle {
                role_id: approle.role_id.clone(),
                secret_id: Credential::new(approle.secret_id.clone()),
            },
            LoginConfig::Jwt(jwt) => Login::Jwt { role: jwt.role.clone(), jwt: Credential::new(jwt.jwt.clone()) },
            LoginConfig::Cert(cert) => Login::Cert { name: cert.name.clone() },
        };
        Ok(Self::Login { login, kept: Mutex::new(None) })
    }

    /// The token, from a login if there is none that is still good.
    pub(super) async fn token(&self, transport: &Transport) -> Result<SecretString, Failure> {
        let (login, kept) = match self {
            Self::Given(credential) => return read(credential, &transport.known),
            Self::Login { login, kept } => (login, kept),
        };
        // Whoever comes second waits for the login of the first.
        let mut kept = kept.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.until > Instant::now()) {
            return Ok(kept.token.clone());
        }
        let (token, lease_s) = login.send(transport).await?;
        transport.known.note(&token);
        let until = Instant::now() + Duration::from_secs(lease_s.min(86_400)).saturating_sub(SPARE);
        *kept = Some(Kept { token: token.clone(), until });
        Ok(token)
    }

    /// Remembers what is a secret of ours before it is ever sent: whoever answers may have it from an earlier process, and repeat it.
    pub(super) fn learn(&self, known: &Known) {
        let credential = match self {
            Self::Given(credential)
            | Self::Login {
                login: Login::Approle { secret_id: credential, .. } | Login::Jwt { jwt: credential, .. },
                ..
            } => credential,
            Self::Login { login: Login::Cert { .. }, .. } => return,
        };
        // One that cannot be read is none that we have; the request that needs it says so.
        drop(read(credential, known));
    }

    /// A token that was refused is not shown again.
    pub(super) async fn forget(&self) {
        match self {
            Self::Given(_) => {}
            Self::Login { kept, .. } => *kept.lock().await = None,
        }
    }
}

impl Login {
    async fn send(&self, transport: &Transport) -> Result<(SecretString, u64), Failure> {
        let Some((path, _)) = &transport.paths.login else { return Err(Failure::Forbidden("a login".into())) };
        let secret = |credential: &Credential| {
            read(credential, &transport.known).map(|secret| Value::from(secret.expose_secret()))
        };
        let mut body = Map::new();
        match self {
            Self::Approle { role_id, secret_id } => {
                body.insert("role_id".into(), role_id.clone().into());
                body.insert("secret_id".into(), secret(secret_id)?);
            }
            Self::Jwt { role, jwt } => {
                body.insert("role".into(), role.clone().into());
                body.insert("jwt".into(), secret(jwt)?);
            }
            Self::Cert { name } => {
                body.extend(name.iter().map(|name| ("name".to_owned(), name.clone().into())));
            }
        }
        let request = Request::post(path.clone(), transport.paths.namespace.clone(), Value::Object(body));
        let answer = Box::pin(transport.send(request)).await?;
        if answer.status != 200 {
            return Err(transport.failed(&answer));
        }
        // The parser's own message could quote the token, so it is not repeated.
        let told: LoggedIn = serde_json::from_slice(&answer.body)
            .map_err(|_| Failure::Lost("the login was answered with something that is none".into()))?;
        Ok((told.auth.client_token, told.auth.lease_duration))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use serde_json::json;

    use super::super::OpenBao;
    use super::*;
    use crate::fake::{Reply, Server};

    #[tokio::test]
    async fn one_login_serves_until_the_token_is_refused_and_shows_no_token_itself() {
        let server = Server::new(|asked| match asked.path.as_str() {
            "/v1/auth/approle/login" => Reply::Json(
                200,
                json!({ "auth": { "client_token": "s.l0gged-in-canary", "lease_duration": 600 } }).to_string(),
            ),
            "/v1/transit/config/keys" => Reply::Json(200, json!({ "data": { "disable_upsert": true } }).to_string()),
            _ => Reply::Json(403, r#"{"errors":["permission denied"]}"#.into()),
        })
        .await;
        let dir = tempfile::tempdir().unwrap();
        let secret = dir.path().join("secret-id");
        std::fs::write(&secret, "s3cret-1d-canary").unwrap();
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o600)).unwrap();
        let config: OpenBaoConfig = serde_json::from_value(json!({ "address": server.base, "mount": "transit", "key": "kms",
            "login": { "approle": { "mount": "approle", "role_id": "r", "secret_id": format!("file:{}", secret.display()) } } }))
        .unwrap();
        let bao = OpenBao::new(&config).unwrap();
        for _ in 0..2 {
            assert!(bao.upsert_disabled().await.unwrap());
        }
        let failure = bao.token().await.unwrap_err();
        assert_eq!(failure, Failure::Denied);
        assert!(bao.upsert_disabled().await.unwrap());
        let all = server.requests();
        let of = |line: &str| all.iter().filter(|request| request.starts_with(line)).collect::<Vec<_>>();
        let logins = of("POST /v1/auth/approle/login");
        assert_eq!((logins.len(), of("GET /v1/transit/config/keys").len()), (2, 3));
        assert!(logins.iter().all(|request| !request.contains("x-vault-token")));
        assert!(of("GET ").iter().all(|request| request.contains("x-vault-token: s.l0gged-in-canary")));
        let shown = format!("{bao:?} {failure}");
        assert!(!shown.contains("canary"), "{shown}");
        assert!(bao.gives_away("s.l0gged-in-canary") && bao.gives_away("s3cret-1d-canary"));
    }

    #[test]
    fn a_token_or_a_login_and_not_both() {
        let of = |more: serde_json::Value| {
            let mut config = json!({ "address": "http://127.0.0.1:9", "mount": "transit", "key": "kms" });
            config.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            OpenBao::new(&serde_json::from_value(config).unwrap()).map(drop)
        };
        let login = json!({ "jwt": { "mount": "jwt", "role": "r", "jwt": "file:/j" } });
        assert!(of(json!({})).is_err() && of(json!({ "token": "file:/t", "login": login })).is_err());
        assert!(of(json!({ "token": "file:/t" })).is_ok() && of(json!({ "login": login })).is_ok());
    }
}
