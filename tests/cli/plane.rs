//! A control plane that is down, hangs, dawdles, lies, shouts or sends away: each in bounded time, and nothing is changed.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::sandbox::{RECOVER, Sandbox};

/// What the server does once it has read a request.
type Deed = dyn Fn(&mut TcpStream) -> std::io::Result<()> + Send + Sync;

/// A server that does this to every connection; its base, and how many bytes came in.
fn server(deed: Arc<Deed>) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let heard = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let (deed, heard) = (Arc::clone(&deed), Arc::clone(&counted));
            std::thread::spawn(move || -> std::io::Result<()> {
                let mut stream = stream?;
                heard.fetch_add(stream.read(&mut [0; 8192])?, Ordering::SeqCst);
                deed(&mut stream)
            });
        }
    });
    (base, heard)
}

fn says(bytes: impl Into<Vec<u8>>) -> Arc<Deed> {
    let bytes = bytes.into();
    Arc::new(move |stream| stream.write_all(&bytes))
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

/// One gibibyte, as far as anybody listens.
fn shout(head: &'static str) -> Arc<Deed> {
    Arc::new(move |stream| {
        stream.write_all(head.as_bytes())?;
        let block = vec![b'['; 1 << 20];
        (0..1024).try_for_each(|_| stream.write_all(&block))
    })
}

fn case(name: &'static str, deed: Arc<Deed>, said: &'static str) -> (&'static str, String, &'static str) {
    (name, server(deed).0, said)
}

struct Ended {
    result: Value,
    exit: Option<i32>,
    took: Duration,
    /// The most memory it had, without what is mapped of its program, in KiB: a build for tests has a program of tens of MiB, which says
    /// nothing of what a reply can make it take.
    rss: u64,
}

fn run(config: &Path) -> Ended {
    let begun = Instant::now();
    let mut child = Command::new(RECOVER)
        .arg("--config")
        .arg(config)
        .args(["--scenario", "identity-loss", "--target", "edge-1", "--output", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let its_program = Path::new(RECOVER).canonicalize().unwrap();
    let process = PathBuf::from(format!("/proc/{}", child.id()));
    let mut rss = 0;
    let exit = loop {
        // For a moment after the spawn the memory is still the one it shares with this test; its own begins with its own program.
        let its_own = std::fs::read_link(process.join("exe")).is_ok_and(|program| program == its_program);
        if let (true, Ok(text)) = (its_own, std::fs::read_to_string(process.join("status"))) {
            let kib = |name: &str| -> Option<u64> {
                text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_suffix(" kB"))?.parse().ok()
            };
            if let (Some(peak), Some(mapped)) = (kib("VmHWM:"), kib("RssFile:")) {
                rss = rss.max(peak.saturating_sub(mapped));
            }
        }
        if let Some(exit) = child.try_wait().unwrap() {
            break exit;
        }
        assert!(begun.elapsed() < Duration::from_secs(180), "{}: it does not end", config.display());
        std::thread::sleep(Duration::from_millis(20));
    };
    let mut text = String::new();
    child.stdout.take().unwrap().read_to_string(&mut text).unwrap();
    let result = serde_json::from_str(text.lines().last().unwrap_or("null")).unwrap();
    Ended { result, exit: exit.code(), took: begun.elapsed(), rss }
}

#[test]
fn whatever_the_control_plane_does_nothing_is_changed_in_bounded_time() {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let before = sandbox.ledger();
    let original = std::fs::read_to_string(sandbox.config()).unwrap();
    let home = tempfile::tempdir().unwrap();
    let (sink, reached) = server(says(ok("{}")));

    let deep = format!("{}1{}", "[".repeat(200_000), "]".repeat(200_000));
    let deep_key = format!(r#"{{"agent":"edge-1","paired_before":true,"status":"online","x":{deep}}}"#);
    let mut cases = vec![
        ("down", "http://127.0.0.1:1".to_owned(), "could not be asked"),
        case(
            "hangs",
            Arc::new(|_| {
                std::thread::sleep(Duration::from_secs(200));
                Ok(())
            }),
            "answer is lost",
        ),
        case(
            "a byte a second",
            Arc::new(|stream| {
                let text = ok("{\"status\":\"online\"}");
                text.bytes().try_for_each(|byte| {
                    std::thread::sleep(Duration::from_secs(1));
                    stream.write_all(&[byte])
                })
            }),
            "answer is lost",
        ),
        case("closes at once", Arc::new(|_| Ok(())), "answer is lost"),
        case("garbage", says(ok("garbage")), "lost"),
        case("not HTTP", says("SSH-2.0-OpenSSH_9.2\r\n"), "lost"),
        case("a body that is cut", says("HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"status\":"), "lost"),
        case("deep JSON", says(ok(&deep)), "lost"),
        case("deep JSON in a key nobody reads", says(ok(&deep_key)), "names no identity"),
        case("1 GiB, announced", shout("HTTP/1.1 200 OK\r\ncontent-length: 1073741824\r\n\r\n"), "longer than 1 MiB"),
        case("1 GiB, unannounced", shout("HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n"), "longer than 1 MiB"),
    ];
    for status in [301, 302, 303, 307, 308] {
        let text = format!("HTTP/1.1 {status} x\r\nlocation: {sink}/v1/connectors/edge-1\r\ncontent-length: 0\r\n\r\n");
        cases.push(case("a redirect", says(text), "redirects are not followed"));
    }

    let ended: Vec<Ended> = std::thread::scope(|scope| {
        let started: Vec<_> = cases
            .iter()
            .enumerate()
            .map(|(n, (_, base, _))| {
                let (head, rest) = original.split_once("base = \"").unwrap();
                let (_, tail) = rest.split_once('"').unwrap();
                let text: String = format!("{head}base = \"{base}\"{tail}")
                    .lines()
                    .map(|line| match line.starts_with("state_dir") {
                        true => format!("state_dir = {:?}\n", home.path().join(format!("state-{n}"))),
                        false => format!("{line}\n"),
                    })
                    .collect();
                let config = home.path().join(format!("{n}.toml"));
                std::fs::write(&config, text).unwrap();
                scope.spawn(move || run(&config))
            })
            .collect();
        started.into_iter().map(|one| one.join().unwrap()).collect()
    });
    for ((name, _, said), ended) in cases.iter().zip(&ended) {
        let line = &ended.result;
        assert_eq!((line["verdict"].as_str(), ended.exit), (Some("given-up"), Some(2)), "{name}: {line}");
        assert!(line["reason"].as_str().unwrap().contains(said), "{name}: {line}");
        assert!(line["residue"].as_array().unwrap().is_empty(), "{name}: {line}");
        assert!(ended.took < Duration::from_secs(150), "{name}: {:?}", ended.took);
        assert!(ended.rss > 0 && ended.rss < 64 << 10, "{name}: {} KiB", ended.rss);
    }
    assert_eq!(reached.load(Ordering::SeqCst), 0, "the credential was not sent on");
    assert_eq!(sandbox.ledger(), before, "nothing happened at the target");
}
