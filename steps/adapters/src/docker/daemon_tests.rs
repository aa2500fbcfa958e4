//! A daemon that is not there, too old, not ours to use, slow or broken: each is its own refusal, and nothing is asked twice.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixListener;

use super::*;

/// A daemon that answers every request with these bytes, and tells what it was asked.
struct Fake {
    dir: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
    heard: std::sync::Arc<std::sync::Mutex<Vec<String>>>,
}

impl Fake {
    fn answering(answer: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("sock")).unwrap();
        let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let (kept, answer) = (std::sync::Arc::clone(&heard), std::sync::Arc::new(answer));
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let (kept, answer) = (std::sync::Arc::clone(&kept), std::sync::Arc::clone(&answer));
                tokio::spawn(async move {
                    let mut text = vec![0; 65_536];
                    let length = stream.read(&mut text).await.unwrap();
                    let text = String::from_utf8_lossy(&text[..length]).into_owned();
                    let line = text.lines().next().unwrap().trim_end_matches(" HTTP/1.1").to_owned();
                    kept.lock().unwrap().push(line.clone());
                    let _ = stream.write_all(&answer(&line)).await;
                });
            }
        });
        Self { dir, task, heard }
    }

    fn daemon(&self) -> Daemon {
        Daemon::at(&self.dir.path().join("sock"))
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn reply(status: u16, body: &str) -> Vec<u8> {
    format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

/// A daemon of this version that says this to everything else.
fn of_version(newest: &str, oldest: &str, rest: impl Fn(&str) -> Vec<u8> + Send + Sync + 'static) -> Fake {
    let version = format!("{{\"ApiVersion\":\"{newest}\",\"MinAPIVersion\":\"{oldest}\"}}");
    Fake::answering(move |line| if line == "GET /version" { reply(200, &version) } else { rest(line) })
}

#[tokio::test]
async fn the_newest_version_that_both_speak_is_spoken() {
    for (newest, oldest, spoken) in [("1.40", "1.12", "1.40"), ("1.41", "1.12", "1.41"), ("1.99", "1.44", "1.51")] {
        let fake = of_version(newest, oldest, |_| reply(200, "[]"));
        fake.daemon().list(true).await.unwrap();
        assert_eq!(fake.heard.lock().unwrap().last().unwrap(), &format!("GET /v{spoken}/containers/json?all=1"));
    }
    for (newest, oldest) in [("1.39", "1.12"), ("1.99", "1.60")] {
        let failure = of_version(newest, oldest, |_| reply(200, "[]")).daemon().list(true).await.unwrap_err();
        assert!(matches!(failure, Failure::Version { .. }), "{failure:?}");
    }
    let silent = Fake::answering(|_| reply(200, "{}"));
    assert!(matches!(silent.daemon().list(true).await, Err(Failure::Broken(_))));
}

#[tokio::test]
async fn a_daemon_that_is_not_there_or_may_not_be_asked_is_said() {
    let dir = tempfile::tempdir().unwrap();
    let said = async |name: &str| Daemon::at(&dir.path().join(name)).list(true).await.unwrap_err().text();
    assert!(said("none").await.contains("is Docker installed"));
    drop(std::os::unix::net::UnixListener::bind(dir.path().join("left")).unwrap());
    assert!(said("left").await.contains("nobody listens"));
    let closed = dir.path().join("closed");
    let _listener = std::os::unix::net::UnixListener::bind(&closed).unwrap();
    std::fs::set_permissions(&closed, Permissions::from_mode(0o000)).unwrap();
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).unwrap();
    // Root may do anything, and often is who runs the tests; a thread can be somebody else.
    let asked = std::thread::spawn(move || {
        if rustix::process::geteuid().is_root() {
            rustix::thread::set_thread_uid(rustix::process::Uid::from_raw(65_534)).unwrap();
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(Daemon::at(&closed).list(true)).unwrap_err().text()
    });
    let said = asked.join().unwrap();
    assert!(said.contains("as much as root"), "{said}");
}

#[tokio::test]
async fn what_is_no_whole_answer_is_not_taken_for_one() {
    let half = b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n[{\"Id\":".to_vec();
    let endless = {
        let mut answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", ANSWER_MOST + 1).into_bytes();
        answer.resize(answer.len() + ANSWER_MOST + 1, b' ');
        answer
    };
    for (what, answer) in [
        ("half a body", half),
        ("no http", b"hello\r\n\r\n".to_vec()),
        ("nothing", Vec::new()),
        ("no json", reply(200, "[1,")),
        ("no list", reply(200, "{}")),
        ("too long", endless),
    ] {
        let fake = of_version("1.41", "1.12", move |_| answer.clone());
        let failure = fake.daemon().list(true).await.unwrap_err();
        assert!(matches!(failure, Failure::Broken(_)), "{what}: {failure:?}");
    }
    let env = of_version("1.41", "1.12", |_| reply(200, r#"{"Config":{"Env":["TOKEN=s3cr3t"#));
    let failure = env.daemon().named("x").await.unwrap_err();
    assert!(!format!("{failure:?}{}", failure.text()).contains("s3cr3t"));
}

#[tokio::test]
async fn a_container_is_found_by_its_whole_name_and_nothing_else() {
    let told = r#"{"Id":"edge0123","Name":"/another"}"#;
    let fake = of_version("1.41", "1.12", move |_| reply(200, told));
    assert!(fake.daemon().named("edge").await.unwrap().is_none(), "the daemon took it for the beginning of an id");
    assert!(fake.daemon().named("another").await.unwrap().is_some());
    let none = of_version("1.41", "1.12", |_| reply(404, r#"{"message":"No such container: edge"}"#));
    assert!(none.daemon().named("edge").await.unwrap().is_none());
    assert!(none.daemon().file("edge", "/data/i", 10).await.is_err(), "no container is not an empty one");
    let no_file = of_version("1.41", "1.12", |_| reply(404, r#"{"message":"Could not find the file /data/i"}"#));
    assert!(no_file.daemon().file("edge", "/data/i", 10).await.unwrap().is_none());
}

#[tokio::test]
async fn a_refusal_is_told_from_a_failure_and_what_is_so_already_is_done() {
    let fake = of_version("1.41", "1.12", |line| match line.split(' ').next() {
        Some("POST") if line.contains("rename") => reply(409, r#"{"message":"name in use"}"#),
        Some("POST") if line.contains("create") => reply(500, r#"{"message":"disk full"}"#),
        _ => b"HTTP/1.1 304 Not Modified\r\n\r\n".to_vec(),
    });
    let daemon = fake.daemon();
    daemon.stop("x", Duration::from_secs(1)).await.unwrap();
    daemon.start("x").await.unwrap();
    assert!(daemon.rename("x", "y").await.unwrap_err().is_conflict());
    let trouble = daemon.create("x", &json!({})).await.unwrap_err().changing();
    assert!(matches!(trouble, crate::trouble::Trouble::Unknown(_)), "{trouble:?}");
}

#[tokio::test]
async fn a_container_is_removed_without_its_volumes_and_without_force() {
    let fake = of_version("1.41", "1.12", |_| reply(204, ""));
    fake.daemon().remove("0123").await.unwrap();
    assert_eq!(fake.heard.lock().unwrap().last().unwrap(), "DELETE /v1.41/containers/0123");
}

/// What the daemon can do and this client must not be able to: the words do not occur in what is compiled.
#[test]
fn there_is_no_way_to_delete_a_volume() {
    let source = include_str!("daemon.rs");
    let code: String = source.lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    for word in ["prune", "v=", "force", "DELETE /volumes"] {
        assert!(!code.contains(word), "{word}");
    }
    assert_eq!(code.matches("Method::DELETE").count(), 1, "containers are removed in one place");
    let one = code.split("Method::DELETE").next().unwrap();
    assert!(one.rsplit("let path = ").next().unwrap().starts_with("format!(\"/containers/{id}\");"), "by its id alone");
}

#[test]
fn what_goes_into_a_path_is_escaped() {
    assert_eq!(escaped("/data/a b&c=d%"), "%2Fdata%2Fa%20b%26c%3Dd%25");
    assert_eq!(escaped("plain-1.2_3~"), "plain-1.2_3~");
}
