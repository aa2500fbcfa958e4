//! The authority's requests, one method each. What it has no method for cannot be asked of it.

use std::path::Path;

use recover_engine::Millis;
use recover_steps::Stage;
use recover_steps::examined::RightsSeen;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::dialect::{Dialect, Reply};
use super::failure::Failure;
use super::model::{Audit, AuditEvent, Fresh, Revoked, Secret, Status, Token, Tokens};
use super::origin::Origin;
use super::transport::{Answer, Call, Transport};
use crate::config::HttpConfig;
use crate::facts::{Facts, digest_of};
use crate::known::Known;
use crate::time;

const PAGES_MOST: usize = 100;

/// A control plane that speaks the contract in `docs/authority-http.md`.
#[derive(Debug)]
pub(crate) struct Http {
    transport: Transport,
    config: HttpConfig,
}

/// A status with the text it came as.
pub(crate) struct Told {
    pub(crate) status: Status,
    pub(crate) text: String,
}

impl Http {
    pub(crate) fn new(config: HttpConfig) -> Result<Self, String> {
        Ok(Self { transport: Transport::new(config.clone())?, config })
    }

    /// Who it is, for a baseline.
    pub(crate) fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        let mut note = |name: &str, value: String| facts.insert(format!("authority.{name}"), value);
        note("kind", "http".into());
        note("base", self.config.base.to_string());
        note("agent", self.config.agent.clone());
        if let Some(org) = &self.config.org {
            note("org", org.clone());
        }
        if let Some(ca) = &self.config.ca {
            note("ca.sha256", digest_of(ca).map_err(|e| format!("{}: {e}", ca.display()))?);
        }
        Ok(())
    }

    /// Whether it answers at all, without a credential.
    pub(crate) async fn health(&self) -> Result<(), Failure> {
        self.health_and_time().await.map(|_| ())
    }

    /// Whether it answers that it is well, and what time it says it is.
    pub(crate) async fn health_and_time(&self) -> Result<Option<Millis>, Failure> {
        #[derive(serde::Deserialize)]
        struct Clock {
            #[serde(default)]
            time: Option<String>,
        }
        let answer = self.ask(Reply::Health, Call::get(self.transport.paths().health.clone(), Vec::new())).await?;
        Self::healthy(&answer)?;
        // A clock that cannot be read is none; it says nothing of health.
        Ok(parse::<Clock>(&answer, 200).ok().and_then(|clock| clock.time).and_then(|text| time::parse(&text)))
    }

    /// Whether it answers that it is well to one who trusts these certificates and no others. Over plain text there is nothing to
    /// trust.
    pub(crate) async fn health_trusting(&self, ca: &Path) -> Result<(), Failure> {
        let config = HttpConfig { ca: Some(ca.to_owned()), ..self.config.clone() };
        Self::new(config).map_err(Failure::NotSent)?.health().await
    }

    /// The origin that it is asked at.
    pub(crate) const fn origin(&self) -> &Origin {
        self.transport.origin()
    }

    /// The connector's id there.
    pub(crate) fn agent(&self) -> &str {
        self.transport.agent()
    }

    /// Where the way to it ends that this failure ended: only asked where one did.
    pub(crate) async fn obstacle(&self, failure: &Failure) -> (Stage, String) {
        let at = |stage| (stage, failure.text());
        match failure {
            Failure::Untrusted(_) => at(Stage::Tls),
            Failure::NotSent(_) => self.transport.obstacle().await.unwrap_or_else(|| at(Stage::Tls)),
            Failure::Forbidden(_)
            | Failure::Throttled { .. }
            | Failure::Denied { .. }
            | Failure::Redirected { .. }
            | Failure::Unavailable(_)
            | Failure::Lost(_) => at(Stage::Healthz),
        }
    }

    pub(super) fn healthy(answer: &Answer) -> Result<(), Failure> {
        #[derive(serde::Deserialize)]
        struct Health {
            status: String,
        }
        let health: Health = parse(answer, 200)?;
        if health.status == "ok" { Ok(()) } else { Err(Failure::Unavailable("it says that it is not well".into())) }
    }

    pub(crate) async fn status(&self) -> Result<Told, Failure> {
        let answer = self.transport.send(Call::get(self.transport.paths().status.clone(), Vec::new())).await?;
        // What is captured is what was said.
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        let told = self.told(&self.transport.in_our_words(Reply::Status, answer)?)?;
        Ok(Told { text, ..told })
    }

    /// Makes the request, and gives the answer in the contract's words.
    async fn ask(&self, what: Reply, call: Call<'_>) -> Result<Answer, Failure> {
        self.transport.in_our_words(what, self.transport.send(call).await?)
    }

    pub(super) fn told(&self, answer: &Answer) -> Result<Told, Failure> {
        #[derive(serde::Deserialize)]
        struct Named {
            #[serde(default)]
            agent: Option<String>,
        }
        let status: Status = parse(answer, 200)?;
        let named: Named = parse(answer, 200)?;
        status.check(self.transport.agent(), named.agent.as_deref()).map_err(garbled)?;
        self.named([status.serial(), status.identity.as_ref().and_then(|i| i.fingerprint.as_deref())])?;
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        Ok(Told { status, text })
    }

    pub(crate) async fn tokens(&self) -> Result<Vec<Token>, Failure> {
        self.list(None).await
    }

    pub(crate) async fn tokens_of_label(&self, label: &str) -> Result<Vec<Token>, Failure> {
        // The filter is a wish: what it lets through is looked at.
        Ok(self.list(Some(("label", label))).await?.into_iter().filter(|t| t.label == label).collect())
    }

    pub(crate) async fn token(&self, accessor: &str) -> Result<Option<Token>, Failure> {
        Self::only(accessor, self.list(Some(("accessor", accessor))).await?)
    }

    /// The token of that name among those that were listed.
    pub(super) fn only(accessor: &str, mut found: Vec<Token>) -> Result<Option<Token>, Failure> {
        found.retain(|t| t.accessor == accessor);
        if found.len() > 1 { Err(garbled("one accessor names several tokens")) } else { Ok(found.pop()) }
    }

    /// Mints one token. Only what surely did not mint fails as anything but `Lost`.
    pub(crate) async fn mint(&self, label: &str, ttl_s: u32) -> Result<Fresh, Failure> {
        let values = [("{label}", json!(label)), ("{ttl_s}", json!(ttl_s)), ("{agent}", json!(self.agent()))];
        let body = Dialect::body(&self.transport.dialect().bodies.mint, &values);
        let call = Call::post(self.transport.paths().mint.clone(), body);
        self.minted(&self.ask(Reply::Minted, call).await?, label)
    }

    pub(super) fn minted(&self, answer: &Answer, label: &str) -> Result<Fresh, Failure> {
        let Secret { secret } = parse(answer, 201)?;
        let fresh = Fresh { token: parse(answer, 201)?, secret };
        fresh.check(label).map_err(garbled)?;
        self.transport.known().note(&fresh.secret);
        self.named([Some(fresh.token.accessor.as_str())])?;
        Ok(fresh)
    }

    pub(crate) async fn revoke_accessor(&self, accessor: &str) -> Result<u32, Failure> {
        self.revoke(&self.transport.dialect().bodies.revoke_accessor, ("{accessor}", json!(accessor))).await
    }

    /// Revokes what is live under the label and closes it for good.
    pub(crate) async fn close_label(&self, label: &str) -> Result<u32, Failure> {
        self.revoke(&self.transport.dialect().bodies.revoke_label, ("{label}", json!(label))).await
    }

    pub(crate) async fn audit(&self, since: &str) -> Result<Vec<AuditEvent>, Failure> {
        let mut events = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MOST {
            let mut query = vec![("since", since)];
            query.extend(cursor.as_deref().map(|c| ("cursor", c)));
            let call = Call::get(self.transport.paths().audit.clone(), query);
            let answer = self.ask(Reply::Audit, call).await?;
            let page = Self::audited(&answer)?;
            events.extend(page.events);
            if page.next.is_none() || page.next == cursor {
                return Ok(events);
            }
            cursor = page.next;
        }
        // Evidence of a hundred pages is evidence; the rest stays at the authority.
        Ok(events)
    }

    /// What it says that the credential may do; `Untold` where it does not say.
    pub(crate) async fn rights(&self) -> Result<RightsSeen, Failure> {
        let path = &self.transport.paths().rights;
        if path.is_empty() {
            return Ok(RightsSeen::Untold { why: "the control plane has no path that tells, by its dialect".into() });
        }
        match self.ask(Reply::Rights, Call::get(path.clone(), Vec::new())).await {
            Ok(answer) => self.may(&answer),
            // Nothing at this path, or nothing for this credential: that says nothing of what it may do elsewhere.
            Err(Failure::Denied { status: 403 | 404 | 405 | 410, code, .. })
                if code.as_deref() != Some("AGENT_UNKNOWN") =>
            {
                Ok(RightsSeen::Untold { why: format!("the control plane tells nothing at {path}") })
            }
            Err(failure) => Err(failure),
        }
    }

    pub(super) fn may(&self, answer: &Answer) -> Result<RightsSeen, Failure> {
        #[derive(serde::Deserialize)]
        struct Rights {
            #[serde(default)]
            agent: Option<String>,
            rights: Vec<String>,
        }
        let Rights { agent, rights } = parse(answer, 200)?;
        if agent.is_some_and(|agent| agent != self.agent()) {
            return Err(garbled("it speaks of another connector"));
        }
        // Words that are nobody's here may be there: a control plane has more to allow than this.
        let has = |word: &str| rights.iter().any(|right| right == word);
        Ok(RightsSeen::Told { mint: has("mint"), revoke: has("revoke") })
    }

    async fn revoke(&self, template: &Value, value: (&str, Value)) -> Result<u32, Failure> {
        let body = Dialect::body(template, &[value, ("{agent}", json!(self.agent()))]);
        Self::revoked(&self.ask(Reply::Revoked, Call::post(self.transport.paths().revoke.clone(), body)).await?)
    }

    pub(super) fn audited(answer: &Answer) -> Result<Audit, Failure> {
        parse(answer, 200)
    }

    pub(super) fn revoked(answer: &Answer) -> Result<u32, Failure> {
        let revoked: Revoked = parse(answer, 200)?;
        Ok(revoked.revoked)
    }

    /// Every page, or an error: half a list proves nothing.
    async fn list(&self, filter: Option<(&str, &str)>) -> Result<Vec<Token>, Failure> {
        let mut tokens: Vec<Token> = Vec::new();
        let mut cursor: Option<String> = None;
        for _ in 0..PAGES_MOST {
            let mut query: Vec<(&str, &str)> = filter.into_iter().collect();
            query.extend(cursor.as_deref().map(|c| ("cursor", c)));
            let call = Call::get(self.transport.paths().tokens.clone(), query);
            let answer = self.ask(Reply::Tokens, call).await?;
            let page = self.page(&answer)?;
            tokens.extend(page.tokens);
            match page.next {
                None => return Ok(tokens),
                Some(next) if Some(&next) == cursor.as_ref() => {
                    return Err(garbled("its list of tokens goes in a circle"));
                }
                Some(next) => cursor = Some(next),
            }
        }
        Err(garbled("its list of tokens does not end within 100 pages"))
    }

    pub(super) fn page(&self, answer: &Answer) -> Result<Tokens, Failure> {
        let page: Tokens = parse(answer, 200)?;
        page.tokens.iter().try_for_each(Token::check).map_err(garbled)?;
        self.named(page.tokens.iter().flat_map(|t| [Some(t.accessor.as_str()), t.paired_serial.as_deref()]))?;
        Ok(page)
    }

    #[cfg(feature = "testing")]
    pub(super) fn transport(&self) -> &Transport {
        &self.transport
    }

    /// The secrets that were seen, to be taken out of what is captured.
    pub(crate) fn known(&self) -> &Known {
        self.transport.known()
    }

    /// A word that will be journaled as a name must not be a secret that was repeated in its place.
    fn named<'a>(&self, words: impl IntoIterator<Item = Option<&'a str>>) -> Result<(), Failure> {
        let known = self.known();
        if words.into_iter().flatten().any(|word| known.holds(word)) {
            return Err(garbled("it repeats a secret where a name belongs"));
        }
        Ok(())
    }
}

fn garbled(why: &str) -> Failure {
    Failure::Lost(format!("it is not as the contract has it: {why}"))
}

/// The parser's own message could quote a secret, so it is not repeated.
fn parse<T: DeserializeOwned>(answer: &Answer, status: u16) -> Result<T, Failure> {
    if answer.status != status {
        return Err(Failure::Lost(format!("it has status {} where the contract has {status}", answer.status)));
    }
    // The parser would take an array's elements for the fields.
    if !answer.body.trim_ascii_start().starts_with(b"{") {
        return Err(garbled("it is not a JSON object"));
    }
    // The parser passes over what it need not look at, and JSON is UTF-8 everywhere.
    let text = std::str::from_utf8(&answer.body).map_err(|_| garbled("it is not UTF-8"))?;
    serde_json::from_str(text).map_err(|e| garbled(&format!("its JSON is {:?} at column {}", e.classify(), e.column())))
}

#[cfg(test)]
#[path = "http_tests.rs"]
mod tests;
