//! One delivery: attempted, and attempted again a few times.

use std::process::Stdio;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use recover_adapters::Credential;
use ring::hmac;
use secrecy::ExposeSecret as _;
use tokio::io::AsyncWriteExt as _;

use crate::fault::{Code, Fault};
use crate::hooks::config::Hook;

/// Five attempts in about a quarter of a minute; whoever is away for longer finds everything in the journal.
const PAUSES: [Duration; 5] =
    [Duration::ZERO, Duration::from_secs(1), Duration::from_secs(2), Duration::from_secs(4), Duration::from_secs(8)];

/// What is told.
pub(super) struct Delivery {
    /// The same each time that it is told.
    pub(super) id: String,
    pub(super) body: String,
}

/// Where it goes.
pub(super) enum Sink {
    Web { name: String, url: String, client: Box<reqwest::Client>, secret: Option<Credential> },
    Program { name: String, command: Vec<String>, within: Duration },
}

/// What came of an attempt.
enum Attempt {
    Heard,
    /// Another attempt may go better.
    Failed(String),
    /// None will.
    Refused(String),
}

impl Sink {
    pub(super) fn of(hook: &Hook) -> Result<Self, Fault> {
        hook.check()?;
        let name = hook.name.clone();
        if let Some(command) = &hook.command {
            return Ok(Self::Program { name, command: command.clone(), within: hook.within.as_duration() });
        }
        // One provider for the process; whoever was first has set it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let mut builder = reqwest::Client::builder()
            .redirect(reqwest::redirect::Policy::none())
            .no_proxy()
            .referer(false)
            .timeout(hook.within.as_duration())
            .user_agent(concat!("recover/", env!("CARGO_PKG_VERSION")));
        let url = hook.url.clone().unwrap_or_default();
        let failed = |e: &dyn std::error::Error| Fault::caused(Code::BadConfig, &format!("hook {name}"), e);
        if let Some(ca) = &hook.ca {
            let pem = std::fs::read(ca).map_err(|e| failed(&e))?;
            builder = builder.tls_certs_only(reqwest::Certificate::from_pem_bundle(&pem).map_err(|e| failed(&e))?);
        } else if url.starts_with("http://") {
            // A host without any certificate of a CA can do without.
            builder = builder.tls_certs_only([]);
        }
        let client = Box::new(builder.build().map_err(|e| failed(&e))?);
        Ok(Self::Web { name, url, client, secret: hook.secret.clone().map(Credential::new) })
    }

    fn name(&self) -> &str {
        match self {
            Self::Web { name, .. } | Self::Program { name, .. } => name,
        }
    }

    /// Tells it, or gives up.
    pub(super) async fn deliver(&self, delivery: &Delivery) {
        let (hook, id) = (self.name(), &delivery.id);
        for pause in PAUSES {
            tokio::time::sleep(pause).await;
            match self.attempt(delivery).await {
                Attempt::Heard => return,
                Attempt::Refused(why) => {
                    tracing::warn!(hook, id, why, "the hook does not want it");
                    return;
                }
                Attempt::Failed(why) => tracing::info!(hook, id, why, "the hook was not told; again"),
            }
        }
        tracing::warn!(hook, id, "the hook could not be told");
    }

    async fn attempt(&self, delivery: &Delivery) -> Attempt {
        match self {
            Self::Web { url, client, secret, .. } => post(url, client, secret.as_ref(), delivery).await,
            Self::Program { command, within, .. } => run(command, *within, delivery).await,
        }
    }
}

/// `t=SECONDS,v1=HEX`: HMAC-SHA256 of the seconds, a full stop and the body, so that neither can be changed nor sent again much later.
fn signature(secret: &[u8], seconds: u64, body: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
    let tag = hmac::sign(&key, format!("{seconds}.{body}").as_bytes());
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("t={seconds},v1={hex}")
}

async fn post(url: &str, client: &reqwest::Client, secret: Option<&Credential>, delivery: &Delivery) -> Attempt {
    let mut request = client
        .post(url)
        .header("content-type", "application/json")
        .header("recover-delivery", &delivery.id)
        .body(delivery.body.clone());
    if let Some(secret) = secret {
        let secret = match secret.read() {
            Ok(secret) => secret,
            Err(why) => return Attempt::Failed(why),
        };
        let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
        request = request
            .header("recover-signature", signature(secret.expose_secret().trim().as_bytes(), seconds, &delivery.body));
    }
    match request.send().await.map(|reply| reply.status()) {
        Ok(status) if status.is_success() => Attempt::Heard,
        Ok(status) if status.is_client_error() && !matches!(status.as_u16(), 408 | 425 | 429) => {
            Attempt::Refused(format!("it answers {status}"))
        }
        Ok(status) => Attempt::Failed(format!("it answers {status}")),
        // Without its address: a token may be part of it.
        Err(e) => Attempt::Failed(crate::fault::chain(&e.without_url())),
    }
}

async fn run(command: &[String], within: Duration, delivery: &Delivery) -> Attempt {
    let Some((program, words)) = command.split_first() else { return Attempt::Refused("it names no program".into()) };
    let mut program = tokio::process::Command::new(program);
    program.args(words).env_clear().env("PATH", "/usr/local/bin:/usr/bin:/bin").env("RECOVER_DELIVERY", &delivery.id);
    program.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    let ran = async {
        let mut child = program.spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // One that does not listen is judged by how it ends.
            let _unheard = stdin.write_all(delivery.body.as_bytes()).await;
        }
        child.wait().await
    };
    match tokio::time::timeout(within, ran).await {
        Ok(Ok(status)) if status.success() => Attempt::Heard,
        Ok(Ok(status)) => Attempt::Failed(status.to_string()),
        Ok(Err(e)) => Attempt::Failed(e.to_string()),
        Err(_) => Attempt::Failed("it took too long, and was ended".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made with `printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac secret`.
    #[test]
    fn the_signature_is_what_others_compute() {
        let wanted = "t=1700000000,v1=49f24e537407743fa4a0242bb63b94b9a47ee99cbbe071ccd8a22550ae411686";
        assert_eq!(signature(b"secret", 1_700_000_000, "{\"a\":1}"), wanted);
    }
}
