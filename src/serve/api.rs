//! What machines and the page ask: each request checked, each action handed to the owner as any command's is, each error the one that
//! the command line gives.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Path, Query, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use recover_engine::{Entry, Json as Data, Phase};
use serde::Deserialize;
use serde_json::{Value, json};

use super::auth::{COOKIE, Denied, Peer, Role, Who};
use super::counter::Counter;
use super::{live, metrics, page, waiting, webhook};
use crate::args::StartArgs;
use crate::fault::{Code, Exit, Fault};
use crate::keeping::named;
use crate::line;
use crate::owner::ask::Ask;
use crate::report::{Chart, Material, Report, html, way};
use crate::store::{fold, parse_run};
use crate::verbs::status_line;

/// A request longer than this is refused. A thousand alerts fit.
const BODY_MOST: usize = 4 << 20;
/// A reason longer than this is a document.
pub(super) const REASON_MOST: usize = 2_000;
const RUNS_MOST: usize = 200;

/// Nothing is loaded from anywhere but here, nothing is framed, and no script is part of a page.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; base-uri 'none'; \
     form-action 'none'; frame-ancestors 'none'";
/// A report carries its style with it, and has no script at all.
const REPORT_POLICY: &str =
    "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

pub(super) fn router(counter: Arc<Counter>) -> Router {
    let api = Router::new()
        .route("/me", get(me))
        .route("/openapi.json", get(page::openapi))
        .route("/scenarios", get(scenarios))
        .route("/targets", get(targets))
        .route("/runs", get(runs).post(start))
        .route("/runs/{run}", get(run))
        .route("/runs/{run}/events", get(live::one))
        .route("/runs/{run}/report", get(report))
        .route("/runs/{run}/{action}", post(act))
        .route("/events", get(live::all))
        .route("/alerts", get(waiting::held))
        .route("/alerts/{id}/{action}", post(waiting::on_alert));
    Router::new()
        .route("/", get(page::index))
        .route("/app.js", get(page::script))
        .route("/app.css", get(page::style))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics::metrics))
        .route("/alerts", post(webhook::alerts))
        .route("/session", post(sign_in).delete(sign_out))
        .nest("/api/v1", api)
        .fallback(|| async { Problem::new(StatusCode::NOT_FOUND, "there is nothing of that name here") })
        .layer(DefaultBodyLimit::max(BODY_MOST))
        .layer(middleware::from_fn_with_state(Arc::clone(&counter), guarded))
        .with_state(counter)
}

/// Before everything: whether it is for us. After everything: what a browser may do with it.
async fn guarded(State(counter): State<Arc<Counter>>, request: Request, next: Next) -> Response {
    let peer = peer_of(request.extensions(), &counter);
    let admitted = counter.auth.admits(request.method(), request.headers());
    let mut response = match (admitted, counter.auth.pace.request(peer.address.ip())) {
        (Err(denied), _) => Problem::from(denied).into_response(),
        (Ok(()), Ok(())) => next.run(request).await,
        (Ok(()), Err(wait)) => {
            // Alertmanager sends again what is answered with 5xx, and gives up on anything else.
            let webhook = request.uri().path() == "/alerts";
            let status = if webhook { StatusCode::SERVICE_UNAVAILABLE } else { StatusCode::TOO_MANY_REQUESTS };
            let mut response = Problem::new(status, "too many requests from this address").into_response();
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs() + 1));
            response
        }
    };
    let headers = response.headers_mut();
    for (name, value) in [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    response
}

/// An error as a reply: the same object that the command line prints with `--output json`.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    body: Value,
}

impl Problem {
    pub(super) fn new(status: StatusCode, message: &str) -> Self {
        Self { status, body: json!({ "schema": "recover.error/v1", "code": null, "message": message }) }
    }

    pub(super) fn bad(message: impl AsRef<str>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, message.as_ref())
    }

    pub(super) fn why(&self) -> &str {
        self.body["message"].as_str().unwrap_or_default()
    }
}

impl From<Fault> for Problem {
    fn from(fault: Fault) -> Self {
        let status = match (fault.code, fault.code.exit()) {
            (Code::UnknownRun | Code::UnknownTarget | Code::UnknownScenario, _) => StatusCode::NOT_FOUND,
            (
                Code::RunClosed | Code::QuestionChanged | Code::NotNow | Code::NothingToResolve | Code::RequestIdReused,
                _,
            )
            | (_, Exit::Held | Exit::GuardRefused | Exit::PersonNeeded | Exit::NotApplicable) => StatusCode::CONFLICT,
            (Code::Unreadable | Code::NoResources, _) | (_, Exit::Interrupted | Exit::JournalNotWritable) => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            (_, Exit::Usage) => StatusCode::UNPROCESSABLE_ENTITY,
            _ => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let body = serde_json::from_str(&fault.json()).unwrap_or_default();
        Self { status, body }
    }
}

impl From<Denied> for Problem {
    fn from(denied: Denied) -> Self {
        let (status, message) = match denied {
            Denied::Host => (StatusCode::MISDIRECTED_REQUEST, "nothing is served under that name (see `serve.hosts`)"),
            Denied::Origin => (StatusCode::FORBIDDEN, "the request comes from a page of another origin"),
            Denied::NoMark => (StatusCode::FORBIDDEN, "a session that acts sends the header x-recover"),
            Denied::Unknown => (StatusCode::UNAUTHORIZED, "a token is needed, and this is none that is known"),
            Denied::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too many wrong tokens; try again in a minute"),
        };
        Self::new(status, message)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = (self.status, Json(self.body)).into_response();
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}

/// Work that reads files, off the thread that serves.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Fault> + Send + 'static,
) -> Result<T, Problem> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done.map_err(Problem::from),
        Err(_) => Err(Problem::new(StatusCode::INTERNAL_SERVER_ERROR, "the request came to no end")),
    }
}

/// Who is at the other end of the connection.
fn peer_of(extensions: &axum::http::Extensions, counter: &Counter) -> Peer {
    extensions.get::<Peer>().cloned().unwrap_or(Peer { address: counter.config.listen, client: None })
}

fn who(parts: &Parts, counter: &Counter, needed: Role) -> Result<Who, Problem> {
    let peer = peer_of(&parts.extensions, counter);
    let who = counter.auth.who(&parts.method, &parts.headers, &peer)?;
    if who.role < needed {
        let message = format!("this needs the role {}, and the token has {}", needed.as_str(), who.role.as_str());
        return Err(Problem::new(StatusCode::FORBIDDEN, &message));
    }
    Ok(who)
}

macro_rules! roles {
    ($($name:ident = $role:ident),+) => {$(
        /// Whoever has that role.
        pub(super) struct $name(pub(super) Who);
        impl FromRequestParts<Arc<Counter>> for $name {
            type Rejection = Problem;
            async fn from_request_parts(parts: &mut Parts, counter: &Arc<Counter>) -> Result<Self, Problem> {
                who(parts, counter, Role::$role).map($name)
            }
        }
    )+};
}
roles!(Viewer = View, Operator = Operate);

/// A body of JSON; what is wrong with it is told as every error is.
pub(super) struct Body<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned> FromRequest<Arc<Counter>> for Body<T> {
    type Rejection = Problem;
    async fn from_request(request: Request, counter: &Arc<Counter>) -> Result<Self, Problem> {
        match Json::<T>::from_request(request, counter).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(Problem::new(rejection.status(), &rejection.body_text())),
        }
    }
}

/// The names in a path.
pub(super) struct Named<T>(pub(super) T);

impl<T: serde::de::DeserializeOwned + Send> FromRequestParts<Arc<Counter>> for Named<T> {
    type Rejection = Problem;
    async fn from_request_parts(parts: &mut Parts, counter: &Arc<Counter>) -> Result<Self, Problem> {
        match Path::<T>::from_request_parts(parts, counter).await {
            Ok(Path(named)) => Ok(Self(named)),
            Err(rejection) => Err(Problem::new(rejection.status(), &rejection.body_text())),
        }
    }
}

async fn me(Viewer(who): Viewer) -> Json<Value> {
    Json(json!({ "schema": "recover.me/v1", "role": who.role.as_str() }))
}

async fn ready(State(counter): State<Arc<Counter>>) -> Result<&'static str, Problem> {
    blocking(move || counter.records()?.stats()).await?;
    Ok("ready\n")
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignIn {
    token: String,
}

/// Where a request comes from.
struct Sender(SocketAddr);

impl FromRequestParts<Arc<Counter>> for Sender {
    type Rejection = std::convert::Infallible;
    async fn from_request_parts(parts: &mut Parts, counter: &Arc<Counter>) -> Result<Self, Self::Rejection> {
        Ok(Self(peer_of(&parts.extensions, counter).address))
    }
}

async fn sign_in(
    State(counter): State<Arc<Counter>>,
    Sender(peer): Sender,
    Body(words): Body<SignIn>,
) -> Result<Response, Problem> {
    let role = counter.auth.role_of(&words.token, peer)?;
    let session = counter.auth.sign_in(role).map_err(|e| Fault::caused(Code::NoResources, "no entropy", &e))?;
    let secure = if counter.auth.is_tls() { "; Secure" } else { "" };
    let cookie = format!("{COOKIE}={session}; Path=/; HttpOnly; SameSite=Strict; Max-Age=43200{secure}");
    Ok(([(header::SET_COOKIE, cookie)], Json(json!({ "schema": "recover.me/v1", "role": role.as_str() })))
        .into_response())
}

async fn sign_out(State(counter): State<Arc<Counter>>, request: Request) -> Response {
    counter.auth.sign_out(request.headers());
    let cookie = format!("{COOKIE}=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], StatusCode::NO_CONTENT).into_response()
}

async fn scenarios(_: Viewer) -> Json<Value> {
    let all = recover_scenarios::SCENARIOS
        .iter()
        .map(|known| json!({ "name": known.entry.name, "title": known.entry.title }));
    Json(json!({ "schema": "recover.scenarios/v1", "scenarios": all.collect::<Vec<_>>() }))
}

async fn targets(_: Viewer, State(counter): State<Arc<Counter>>) -> Json<Value> {
    let all = counter.place.loaded.config.target.keys();
    Json(json!({ "schema": "recover.targets/v1", "targets": all.collect::<Vec<_>>() }))
}

#[derive(Deserialize)]
struct Most {
    limit: Option<String>,
}

async fn runs(
    _: Viewer,
    State(counter): State<Arc<Counter>>,
    most: Result<Query<Most>, QueryRejection>,
) -> Result<Json<Value>, Problem> {
    let Query(most) = most.map_err(|rejection| Problem::bad(rejection.body_text()))?;
    let most = most.limit.map_or(Ok(50), |most| most.parse::<usize>());
    let most = most.map_err(|_| Problem::bad("`limit` is a whole number"))?.min(RUNS_MOST);
    let runs = blocking(move || counter.runs(most)).await?;
    Ok(Json(json!({ "schema": "recover.runs/v1", "runs": runs })))
}

async fn run(
    _: Viewer,
    State(counter): State<Arc<Counter>>,
    Named(run): Named<String>,
) -> Result<Json<Value>, Problem> {
    let told = blocking(move || {
        let id = parse_run(&run)?;
        let entries = counter.records()?.entries(id)?;
        let position = fold(&entries)?.position;
        let (status, _) = status_line(&position, counter.watch.is_live(id));
        let graph = &position.charter.graph;
        let closed = matches!(position.phase, Phase::Closed(_));
        let from_here = graph.edges.iter().filter(|(from, ..)| *from == position.state && !closed);
        let leads: Vec<Value> = from_here.map(|(_, by, to)| json!({ "by": by, "to": to })).collect();
        let way = way(&entries, graph);
        let chart = Chart::of(graph, &way);
        let captured = |entry: &Entry| {
            let seq = entry.header().seq;
            named(entry)
                .into_iter()
                .map(move |e| json!({ "seq": seq, "name": e.name, "sha256": e.sha256.to_string(), "text": e.text }))
        };
        Ok(json!({
            "schema": "recover.run-detail/v1", "status": status, "way": way, "leads": leads, "chart": chart.told(),
            "evidence": entries.iter().flat_map(captured).collect::<Vec<_>>(),
            "records": entries.iter().map(|entry| json!({ "event": line::event(entry), "text": line::sentence(entry) })).collect::<Vec<_>>(),
        }))
    });
    Ok(Json(told.await?))
}

async fn report(
    _: Viewer,
    State(counter): State<Arc<Counter>>,
    Named(run): Named<String>,
) -> Result<Response, Problem> {
    let page = blocking(move || {
        let records = counter.records()?;
        let entries = records.entries(parse_run(&run)?)?;
        let (folded, texts) = (fold(&entries)?, records.texts(&entries)?);
        Ok(html(&Report::of(&Material { entries: &entries, folded: &folded, texts: &texts })))
    });
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CONTENT_SECURITY_POLICY, REPORT_POLICY)];
    Ok((headers, page.await?).into_response())
}

/// A run to begin.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    scenario: String,
    target: String,
    #[serde(default)]
    set: BTreeMap<String, String>,
    alert: Option<String>,
    ticket: Option<String>,
    request_id: Option<String>,
    despite: Option<String>,
}

async fn start(
    Operator(who): Operator,
    State(counter): State<Arc<Counter>>,
    Body(begin): Body<Begin>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let words = StartArgs {
        scenario: Some(begin.scenario),
        target: Some(begin.target),
        set: begin.set.iter().map(|(name, value)| format!("{name}={value}")).collect(),
        alert: begin.alert,
        ticket: begin.ticket,
        request_id: begin.request_id,
        despite: begin.despite,
        ..StartArgs::default()
    };
    let begun = counter.start(Some(who), &words).await?;
    Ok((StatusCode::ACCEPTED, Json(begun)))
}

/// What a person says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Words {
    #[serde(default)]
    reason: String,
    /// The question that is meant, as `q12`: an answer to another one is refused.
    question: Option<String>,
    choice: Option<String>,
    step: Option<String>,
    happened: Option<bool>,
    data: Option<Value>,
}

/// Answers, resolves and abandons need more than the rest.
const fn needed(action: &str) -> Option<Role> {
    match action.as_bytes() {
        b"resume" | b"cancel" => Some(Role::Operate),
        b"approve" | b"deny" | b"resolve" | b"abandon" => Some(Role::Approve),
        _ => None,
    }
}

async fn act(
    State(counter): State<Arc<Counter>>,
    Named((run, action)): Named<(String, String)>,
    request: Request,
) -> Result<Json<Value>, Problem> {
    let needed = needed(&action).ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "there is no such action"))?;
    let (parts, body) = request.into_parts();
    let who = who(&parts, &counter, needed)?;
    let body = axum::body::to_bytes(body, BODY_MOST).await.map_err(|e| Problem::bad(e.to_string()))?;
    let words: Words = serde_json::from_slice(&body).map_err(|e| Problem::bad(format!("the body: {e}")))?;
    let reason = words.reason.trim().to_owned();
    if action != "resume" && (reason.is_empty() || reason.len() > REASON_MOST) {
        return Err(Problem::bad(format!("a reason is needed, of at most {REASON_MOST} bytes: it is journaled")));
    }
    let ask = match action.as_str() {
        "resume" => Ask::Resume { run: run.clone() },
        "cancel" => Ask::Cancel { run: run.clone(), reason },
        "abandon" => Ask::Abandon { run: run.clone(), reason },
        "resolve" => {
            let step = words.step.ok_or_else(|| Problem::bad("the step is needed"))?;
            let happened = words.happened.ok_or_else(|| Problem::bad("`happened` is needed: true or false"))?;
            let data = words.data.map_or_else(Data::null, |data| Data::of(&data));
            Ask::Resolve { run: run.clone(), step, happened: happened.then_some(data), reason }
        }
        deny => {
            let question = words.question.ok_or_else(|| Problem::bad("the question is needed, as q12"))?;
            let number = question.strip_prefix('q').and_then(|number| number.parse().ok());
            let question = number.ok_or_else(|| Problem::bad(format!("{question} is no question's id such as q12")))?;
            Ask::Answer {
                run: run.clone(),
                question: Some(question),
                choice: words.choice,
                deny: deny == "deny",
                reason,
            }
        }
    };
    let told = counter.on_run(Some(who), &run, ask).await?;
    Ok(Json(told))
}
