//! A server for tests: it takes one request per connection, keeps its text, and answers as it is told, well or badly.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// A temporary directory where the test program itself is: on a disk, wherever that of the system is.
pub(crate) fn on_disk() -> tempfile::TempDir {
    tempfile::tempdir_in(std::env::current_exe().unwrap().parent().unwrap()).unwrap()
}

/// What the server does with a request.
pub(crate) enum Reply {
    /// A status and a body.
    Json(u16, String),
    /// Bytes as they are, then the connection is closed.
    Raw(String),
    /// The connection is reset.
    Reset,
    /// Nothing, ever.
    Hang,
    /// A body of this many bytes, as fast as it is taken.
    Long(u64),
    /// A body of which one byte comes at a time.
    Slow,
}

/// One request.
pub(crate) struct Asked {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: String,
}

pub(crate) struct Server {
    pub(crate) base: String,
    requests: Arc<Mutex<Vec<String>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Server {
    pub(crate) async fn new(answer: impl Fn(Asked) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (kept, answer) = (Arc::clone(&requests), Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (kept, answer) = (Arc::clone(&kept), Arc::clone(&answer));
                tokio::spawn(async move { serve(stream, &kept, &*answer).await });
            }
        });
        Self { base, requests, task }
    }

    /// The texts of all requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(
    mut stream: TcpStream,
    kept: &Mutex<Vec<String>>,
    answer: &(impl Fn(Asked) -> Reply + Sync),
) -> Option<()> {
    let mut text = String::new();
    let asked = loop {
        let mut buffer = [0; 8_192];
        let n = stream.read(&mut buffer).await.ok()?;
        text.push_str(std::str::from_utf8(&buffer[..n]).ok()?);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|l| l.to_ascii_lowercase().strip_prefix("content-length: ").and_then(|n| n.parse().ok()));
            if body.len() >= length.unwrap_or(0) {
                let mut words = head.split(' ');
                let mut next = || words.next().unwrap_or_default().to_owned();
                break Asked { method: next(), path: next(), body: body.to_owned() };
            }
        }
        if n == 0 {
            return None;
        }
    };
    kept.lock().unwrap_or_else(PoisonError::into_inner).push(text);
    match answer(asked) {
        Reply::Json(status, body) => {
            let head = format!(
                "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
                body.len()
            );
            stream.write_all(format!("{head}{body}").as_bytes()).await.ok()?;
        }
        Reply::Raw(raw) => stream.write_all(raw.as_bytes()).await.ok()?,
        Reply::Reset => stream.set_zero_linger().ok()?,
        Reply::Hang => tokio::time::sleep(Duration::from_secs(3_600)).await,
        Reply::Long(length) => {
            stream.write_all(format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n").as_bytes()).await.ok()?;
            let block = vec![b' '; 65_536];
            for _ in 0..length / 65_536 {
                stream.write_all(&block).await.ok()?;
            }
        }
        Reply::Slow => {
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n{").await.ok()?;
            loop {
                tokio::time::sleep(Duration::from_millis(100)).await;
                stream.write_all(b" ").await.ok()?;
            }
        }
    }
    Some(())
}
