//! The control plane's process: HTTP around the pure machine, its files, and the faults that it commits on demand.

use std::convert::Infallible;
use std::fs::File;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::service::service_fn;
use hyper::{StatusCode, server::conn::http1};
use hyper_util::rt::{TokioIo, TokioTimer};
use recover_engine::Digest;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::sandbox::error::{Error, chain};
use crate::sandbox::fault::{self, Kind, Operation};
use crate::sandbox::http::COMMAND_HEADER;
use crate::sandbox::layout::{AGENT, Layout};
use crate::sandbox::ledger::CallLine;
use crate::sandbox::plane::{About, ControlPlane, Effect, Now, Reply, Request, Rights};
use crate::sandbox::{clock, files, random, rights, route};

const BODY_LEN_MAX: usize = 64 << 10;
/// The exit code of a control plane that cannot write down what it does.
const EXIT_UNWRITABLE: i32 = 74;

/// The connection is closed without a reply.
#[derive(Debug, thiserror::Error)]
#[error("the connection is closed on purpose")]
struct Closed;

/// One control plane and its files.
struct Server {
    plane: ControlPlane,
    layout: Layout,
    ledger: File,
    credential: Digest,
}

/// A call as the ledger names it.
#[derive(Clone)]
struct Named {
    method: String,
    path: String,
}

/// Runs until SIGTERM or SIGINT.
pub(crate) fn run(dir: &Path) -> Result<(), Error> {
    let layout = Layout::open(dir)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::io("start the control plane"))?.block_on(serve(layout))
}

async fn serve(layout: Layout) -> Result<(), Error> {
    let (mut terminate, mut interrupt) = signal(SignalKind::terminate())
        .and_then(|terminate| Ok((terminate, signal(SignalKind::interrupt())?)))
        .map_err(Error::io("wait for signals"))?;
    let listener = listen(&layout).await?;
    let server = Arc::new(Mutex::new(Server::open(layout)?));
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = terminate.recv() => return Ok(()),
            _ = interrupt.recv() => return Ok(()),
        };
        let Ok((stream, _)) = accepted else {
            // Out of descriptors, most likely: they come back as connections end.
            tokio::time::sleep(Duration::from_millis(20)).await;
            continue;
        };
        let server = Arc::clone(&server);
        tokio::spawn(async move {
            let service = service_fn(|request| answer(Arc::clone(&server), request));
            // An error here is a client that went away, or a fault that closes the connection: both are meant.
            let mut http = http1::Builder::new();
            let _ended = http.timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

/// Listens where it listened before, since the address is part of the configuration; the first time anywhere.
async fn listen(layout: &Layout) -> Result<TcpListener, Error> {
    let kept = files::read_if_there(&layout.port()).map_err(Error::io("read the control plane's port"))?;
    let port = kept.and_then(|text| text.trim().parse::<u16>().ok());
    let until = Instant::now() + Duration::from_secs(2);
    let listener = loop {
        match TcpListener::bind((Ipv4Addr::LOCALHOST, port.unwrap_or(0))).await {
            Ok(listener) => break listener,
            Err(_) if Instant::now() < until => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) => {
                return Err(Error::io(format!("listen on 127.0.0.1:{}", port.unwrap_or(0)))(error));
            }
        }
    };
    let address = listener.local_addr().map_err(Error::io("learn the control plane's port"))?;
    let text = format!("{}\n", address.port());
    files::replace_durably(&layout.port(), text.as_bytes()).map_err(Error::io("keep the control plane's port"))?;
    Ok(listener)
}

impl Server {
    fn open(layout: Layout) -> Result<Self, Error> {
        let text = files::read_if_there(&layout.plane_state()).map_err(Error::io("read the control plane's state"))?;
        let plane = text.map(|text| serde_json::from_str(&text)).transpose();
        let mut plane: ControlPlane =
            plane.map_err(|error| Error::io("understand the control plane's state")(error.into()))?.unwrap_or_default();
        plane.register(AGENT);
        let credential = std::fs::read(layout.credential()).map_err(Error::io("read the sandbox's credential"))?;
        let ledger = files::appender(&layout.ledger()).map_err(Error::io("open the ledger"))?;
        Ok(Self { plane, layout, ledger, credential: Digest::of(credential.trim_ascii()) })
    }

    fn is_authorized(&self, header: Option<&HeaderValue>) -> bool {
        let bearer = header.and_then(|value| value.as_bytes().strip_prefix(b"Bearer "));
        bearer.is_some_and(|bearer| Digest::of(bearer) == self.credential)
    }

    /// Executes a request and writes down what came of it, before anybody is told.
    fn execute(&mut self, request: &Request, named: &Named, fault: Option<Kind>) -> Reply {
        let now = Now { at: clock::now(), entropy: random::bytes() };
        let settled = self.plane.settle(now.at);
        let reply = self.plane.handle(now, request);
        if settled || reply.effect != Effect::None {
            self.save();
        }
        let is_heartbeat = matches!(request, Request::Heartbeat { .. });
        if !is_heartbeat || reply.effect != Effect::None {
            self.record(named, Some(reply.status), reply.effect, reply.about.clone(), fault);
        }
        reply
    }

    fn save(&self) {
        let saved = serde_json::to_vec(&self.plane)
            .map_err(Into::into)
            .and_then(|text| files::replace(&self.layout.plane_state(), &text));
        or_end(saved, "keep its state");
    }

    fn record(&mut self, named: &Named, status: Option<u16>, effect: Effect, about: About, fault: Option<Kind>) {
        let Named { method, path } = named.clone();
        let About { accessor, label, serial } = about;
        let at = clock::rfc3339(clock::now());
        let line = CallLine { at, method, path, status, effect, accessor, label, serial, fault };
        or_end(files::append_line(&mut self.ledger, &line), "write its ledger");
    }
}

/// A control plane that forgets what it did would be worse than none.
#[expect(clippy::disallowed_methods, reason = "it ends where it stands, whatever its other tasks do")]
fn or_end(done: std::io::Result<()>, what: &str) {
    if let Err(error) = done {
        eprintln!("the control plane cannot {what}: {error}");
        std::process::exit(EXIT_UNWRITABLE);
    }
}

fn locked(server: &Mutex<Server>) -> MutexGuard<'_, Server> {
    server.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    server: Arc<Mutex<Server>>,
    request: hyper::Request<Incoming>,
) -> Result<hyper::Response<Full<Bytes>>, Closed> {
    let (head, body) = request.into_parts();
    let named = Named { method: head.method.to_string(), path: head.uri.path().to_owned() };
    let body = match Limited::new(body, BODY_LEN_MAX).collect().await {
        Ok(body) => body.to_bytes(),
        Err(error) if error.is::<LengthLimitError>() => {
            return response(&Reply::error(413, "REQUEST_TOO_LARGE", "a body has at most 64 KiB"));
        }
        Err(_) => return Err(Closed),
    };
    let authorized = locked(&server).is_authorized(head.headers.get(AUTHORIZATION));
    // Nor do the sandbox's own commands need a right.
    let own = head.headers.contains_key(COMMAND_HEADER);
    let may = if own { Rights::ALL } else { rights::now(&locked(&server).layout) };
    let query = head.uri.query().unwrap_or_default();
    let call = route::Call { method: &named.method, path: &named.path, query, authorized, may, body: &body };
    match route::parse(call) {
        // The sandbox's own commands meet no fault: it would be used up before it is of use.
        Ok(request) if own => response(&locked(&server).execute(&request, &named, None)),
        Ok(request) => commit(server, request, named).await,
        Err(reply) => {
            locked(&server).record(&named, Some(reply.status), Effect::None, About::default(), None);
            response(&reply)
        }
    }
}

/// Executes a request with the fault that it meets, if it meets one.
async fn commit(
    server: Arc<Mutex<Server>>,
    request: Request,
    named: Named,
) -> Result<hyper::Response<Full<Bytes>>, Closed> {
    let layout = locked(&server).layout.clone();
    let fault = Operation::of(&request).and_then(|on| {
        fault::take(&layout, on).unwrap_or_else(|error| {
            eprintln!("the faults are ignored: {}", chain(&error));
            None
        })
    });
    let request = match (fault, request) {
        (Some(Kind::BadCsr), Request::Pair { agent, token, .. }) => {
            Request::Pair { agent, token, public_key: String::new() }
        }
        (_, request) => request,
    };
    let execute = || locked(&server).execute(&request, &named, fault);
    let pass_over = |status| locked(&server).record(&named, status, Effect::None, About::default(), fault);
    match fault {
        None | Some(Kind::BadCsr) => response(&execute()),
        Some(Kind::Degraded) => {
            let mut reply = execute();
            if reply.body["status"] == "online" {
                reply.body["status"] = "degraded".into();
            }
            response(&reply)
        }
        Some(Kind::DropReply) => {
            execute();
            Err(Closed)
        }
        Some(Kind::Duplicate) => {
            execute();
            response(&execute())
        }
        Some(Kind::Error(code)) => {
            pass_over(Some(code));
            response(&Reply::error(code, "FAULT_INJECTED", "the sandbox was told to fail here"))
        }
        Some(Kind::Refuse) => {
            pass_over(None);
            Err(Closed)
        }
        Some(Kind::Hang) => {
            pass_over(None);
            std::future::pending::<Result<_, Infallible>>().await.map_err(|_| Closed)
        }
        Some(Kind::Delay(ms)) => {
            // A task of its own: the request arrives late even if the client no longer waits for it.
            let server = Arc::clone(&server);
            let late = tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ms)).await;
                locked(&server).execute(&request, &named, fault)
            });
            response(&late.await.map_err(|_| Closed)?)
        }
    }
}

fn response(reply: &Reply) -> Result<hyper::Response<Full<Bytes>>, Closed> {
    let mut response = hyper::Response::new(Full::new(Bytes::from(reply.body.to_string())));
    *response.status_mut() = StatusCode::from_u16(reply.status).map_err(|_| Closed)?;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if response.status() == StatusCode::TOO_MANY_REQUESTS {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}
