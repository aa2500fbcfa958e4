//! A daemon for tests, with containers and volumes in memory: names are given once, and what runs is not removed. It can be told to
//! carry out so many changes and then answer nobody any more, as a kill does to whoever asks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

use super::archive::tests::entry;

/// What it has.
#[derive(Default)]
pub(crate) struct Site {
    pub(crate) containers: Vec<Value>,
    pub(crate) volumes: Vec<Value>,
    /// The identity's file in each volume.
    pub(crate) identities: Vec<(String, String)>,
    /// Method and path of every request that changed something.
    pub(crate) changes: Vec<String>,
    /// After so many changes nobody gets an answer any more.
    pub(crate) cut_after: Option<usize>,
    /// What is started ends before anybody looks.
    pub(crate) ends_at_once: bool,
    made: u32,
}

impl Site {
    pub(crate) fn container(&self, name: &str) -> Option<&Value> {
        self.containers.iter().find(|one| one["Name"] == format!("/{name}"))
    }

    fn at(&self, id: &str) -> Option<usize> {
        self.containers.iter().position(|one| one["Id"] == id || one["Name"] == format!("/{id}"))
    }

    /// Adds a container like the recorded one, with these mounts.
    pub(crate) fn add(&mut self, name: &str, running: bool, mounts: &Value) {
        self.made += 1;
        let mut told = super::container::tests::recorded();
        told["Id"] = format!("{:064x}", self.made).into();
        told["Name"] = format!("/{name}").into();
        let status = if running { "running" } else { "exited" };
        told["State"] = json!({ "Status": status, "Running": running, "StartedAt": format!("{}Z", self.made) });
        told["Mounts"] = mounts.clone();
        self.containers.push(told);
    }

    pub(crate) fn add_volume(&mut self, name: &str, identity: Option<&str>) {
        self.volumes.push(json!({ "Name": name, "Driver": "local", "CreatedAt": "c", "Mountpoint": "/nowhere",
            "Options": null, "Labels": {} }));
        self.identities.extend(identity.map(|serial| (name.to_owned(), format!("{{\"serial\":\"{serial}\"}}"))));
    }

    /// The names of all containers.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self
            .containers
            .iter()
            .map(|one| one["Name"].as_str().unwrap().trim_start_matches('/').to_owned())
            .collect();
        names.sort();
        names
    }

    fn answer(&mut self, method: &str, path: &str, body: &Value) -> (u16, Vec<u8>) {
        let (path, query) = path.split_once('?').unwrap_or((path, ""));
        let named = || query.strip_prefix("name=").unwrap_or_default().to_owned();
        let parts: Vec<&str> = path.trim_start_matches('/').split('/').skip(1).collect();
        let ok = |value: Value| (200, value.to_string().into_bytes());
        let no = |status: u16| (status, json!({ "message": "No such container, or not now" }).to_string().into_bytes());
        match (method, parts.as_slice()) {
            ("GET", ["containers", "json"]) => ok(self.brief(query == "all=1").into()),
            ("GET", ["containers", id, "json"]) => self.at(id).map_or(no(404), |at| ok(self.containers[at].clone())),
            ("GET", ["containers", id, "archive"]) => self.file(id),
            ("GET", ["volumes", name]) => {
                self.volumes.iter().find(|one| one["Name"] == *name).map_or(no(404), |one| ok(one.clone()))
            }
            ("GET", ["images", _, "json"]) => ok(json!({ "Id": self.containers[0]["Image"] })),
            ("POST", ["containers", "create"]) if self.container(&named()).is_some() => no(409),
            ("POST", ["containers", "create"]) => {
                self.create(&named(), body);
                ok(json!({}))
            }
            ("POST", ["containers", _, "rename"]) if self.container(&named()).is_some() => no(409),
            ("POST", ["containers", id, "rename"]) => match self.at(id) {
                Some(at) => {
                    self.containers[at]["Name"] = format!("/{}", named()).into();
                    ok(json!({}))
                }
                None => no(404),
            },
            ("POST", ["containers", id, verb @ ("start" | "stop")]) => match self.at(id) {
                Some(at) => {
                    self.made += 1;
                    self.containers[at]["State"]["Running"] = (*verb == "start" && !self.ends_at_once).into();
                    self.containers[at]["State"]["Restarting"] = false.into();
                    if *verb == "start" {
                        self.containers[at]["State"]["StartedAt"] = format!("{}Z", self.made).into();
                    }
                    ok(json!({}))
                }
                None => no(404),
            },
            ("DELETE", ["containers", id]) => match self.at(id) {
                Some(at) if self.containers[at]["State"]["Running"] == true => no(409),
                Some(at) => {
                    self.containers.remove(at);
                    ok(json!({}))
                }
                None => no(404),
            },
            ("POST", ["volumes", "create"]) => {
                let name = body["Name"].as_str().unwrap_or_default();
                if !self.volumes.iter().any(|one| one["Name"] == name) {
                    self.add_volume(name, None);
                    let last = self.volumes.len() - 1;
                    self.volumes[last]["Labels"] = body["Labels"].clone();
                }
                let made = self.volumes.iter().find(|one| one["Name"] == name);
                ok(made.cloned().unwrap_or_default())
            }
            _ => no(501),
        }
    }

    /// As the daemon does: what was said becomes what is told, with the mounts that come of it.
    fn create(&mut self, name: &str, body: &Value) {
        let told = |said: &Value| {
            json!({ "Type": said["Type"], "Name": said["Source"], "Source": said["Source"], "Destination": said["Target"],
                "RW": said["ReadOnly"] != true })
        };
        let of_bind = |bind: &Value| {
            let mut parts = bind.as_str().unwrap_or_default().split(':');
            let (source, at) = (parts.next().unwrap_or_default(), parts.next().unwrap_or_default());
            let kind = if source.starts_with('/') { "bind" } else { "volume" };
            json!({ "Type": kind, "Name": source, "Source": source, "Destination": at, "RW": true })
        };
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let host = &body["HostConfig"];
        let mounts: Vec<Value> =
            list(&host["Mounts"]).iter().map(told).chain(list(&host["Binds"]).iter().map(of_bind)).collect();
        self.add(name, false, &mounts.into());
        let last = self.containers.len() - 1;
        let made = &mut self.containers[last];
        made["Config"] = body.clone();
        made["HostConfig"] = host.clone();
        made["State"]["StartedAt"] = "0001-01-01T00:00:00Z".into();
    }

    fn brief(&self, all: bool) -> Vec<Value> {
        let shown = self.containers.iter().filter(|one| all || one["State"]["Running"] == true);
        shown
            .map(|one| {
                json!({ "Id": one["Id"], "Names": [one["Name"]], "Mounts": one["Mounts"], "Labels": one["Config"]["Labels"] })
            })
            .collect()
    }

    fn file(&self, id: &str) -> (u16, Vec<u8>) {
        let mounts = self.at(id).map(|at| self.containers[at]["Mounts"].clone()).unwrap_or_default();
        let volume = mounts.as_array().into_iter().flatten().find(|mount| mount["Destination"] == "/data");
        let found =
            self.identities.iter().find(|(name, _)| volume.is_some_and(|volume| volume["Name"] == name.as_str()));
        match found {
            Some((_, text)) => (200, [entry(b'0', text.as_bytes()), vec![0; 1_024]].concat()),
            None => (404, br#"{"message":"Could not find the file"}"#.to_vec()),
        }
    }
}

/// The daemon, as long as it is kept.
pub(crate) struct Fake {
    dir: tempfile::TempDir,
    site: Arc<Mutex<Site>>,
    task: tokio::task::JoinHandle<()>,
}

impl Fake {
    pub(crate) fn new(site: Site) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(dir.path().join("docker.sock")).unwrap();
        let site = Arc::new(Mutex::new(site));
        let kept = Arc::clone(&site);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let site = Arc::clone(&kept);
                tokio::spawn(async move { serve(stream, &site).await });
            }
        });
        Self { dir, site, task }
    }

    pub(crate) fn socket(&self) -> std::path::PathBuf {
        self.dir.path().join("docker.sock")
    }

    pub(crate) fn site(&self) -> MutexGuard<'_, Site> {
        self.site.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn serve(mut stream: UnixStream, site: &Mutex<Site>) {
    let mut text = Vec::new();
    let (head, length) = loop {
        if stream.read_buf(&mut text).await.unwrap_or_default() == 0 {
            return;
        }
        let shown = String::from_utf8_lossy(&text);
        let Some(end) = shown.find("\r\n\r\n") else { continue };
        let head = shown[..end].to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse::<usize>().ok());
        break (end + 4, length.unwrap_or_default());
    };
    while text.len() < head + length {
        if stream.read_buf(&mut text).await.unwrap_or_default() == 0 {
            return;
        }
    }
    let line = String::from_utf8_lossy(&text[..head]).lines().next().unwrap_or_default().to_owned();
    let mut words = line.split(' ');
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let body: Value = serde_json::from_slice(&text[head..]).unwrap_or_default();
    let (status, answer) = {
        let mut site = site.lock().unwrap_or_else(PoisonError::into_inner);
        if path == "/version" {
            (200, br#"{"ApiVersion":"1.41","MinAPIVersion":"1.12"}"#.to_vec())
        } else {
            if site.cut_after.is_some_and(|most| site.changes.len() >= most) {
                return;
            }
            let answer = site.answer(method, path, &body);
            if method != "GET" {
                let path = path.trim_start_matches("/v1.41").to_owned();
                site.changes.push(format!("{method} {path}"));
                // Done, and nobody hears of it.
                if site.cut_after.is_some_and(|most| site.changes.len() >= most) {
                    return;
                }
            }
            answer
        }
    };
    let header = format!("HTTP/1.1 {status} X\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", answer.len());
    let _ = stream.write_all(header.as_bytes()).await;
    let _ = stream.write_all(&answer).await;
}
