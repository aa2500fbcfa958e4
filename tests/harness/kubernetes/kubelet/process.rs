//! One container as a process of this host: its lives, its ends, and what is said of both.

use std::fs::File;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::{Value, json};

use super::Node;
use super::volumes::Mount;

/// How an earlier life ended.
#[derive(Clone)]
struct Ended {
    code: i32,
    began: String,
    at: String,
}

pub(super) struct Container {
    pub(super) name: String,
    image: String,
    words: Vec<String>,
    policy: String,
    log: PathBuf,
    backoff: Duration,
    child: Option<Child>,
    began: String,
    lives: u32,
    last: Option<Ended>,
    /// When the next life begins, after one has ended.
    next: Option<Instant>,
    told_to_end: Option<Instant>,
}

impl Container {
    /// Its words are those of the image and the pod, with each path that is mounted as the directory of this host.
    pub(super) fn new(
        spec: &Value,
        mounts: &[Mount],
        node: &Node,
        folder: &Path,
        policy: &str,
    ) -> Result<Self, String> {
        let name = spec["name"].as_str().unwrap_or_default().to_owned();
        let image = spec["image"].as_str().unwrap_or_default().to_owned();
        let words = |key: &str| spec[key].as_array().into_iter().flatten().filter_map(|word| word.as_str());
        let mut all: Vec<String> = words("command").map(str::to_owned).collect();
        if all.is_empty() {
            let entry = node.images.iter().find(|(known, _)| *known == image);
            all.push(entry.ok_or_else(|| format!("there is no image {image}"))?.1.display().to_string());
        }
        all.extend(words("args").map(str::to_owned));
        let mut seen: Vec<(String, PathBuf)> = Vec::new();
        for mount in spec["volumeMounts"].as_array().into_iter().flatten() {
            let of = mounts.iter().find(|one| mount["name"] == one.name.as_str());
            let below = mount["subPath"].as_str().unwrap_or_default();
            seen.extend(of.map(|of| (mount["mountPath"].as_str().unwrap_or_default().to_owned(), of.path.join(below))));
        }
        let here = |word: String| {
            let found = seen.iter().find_map(|(at, path)| {
                let rest = word.strip_prefix(at.as_str())?;
                (rest.is_empty() || rest.starts_with('/')).then(|| format!("{}{rest}", path.display()))
            });
            found.map_or(word, |path| path.trim_end_matches('/').to_owned())
        };
        std::fs::create_dir_all(folder).unwrap();
        Ok(Self {
            words: all.into_iter().map(here).collect(),
            log: folder.join(&name),
            policy: policy.to_owned(),
            backoff: node.backoff,
            child: None,
            began: String::new(),
            lives: 0,
            last: None,
            next: None,
            told_to_end: None,
            name,
            image,
        })
    }

    /// Starts it where it is to run, and notes where it has ended.
    pub(super) fn tend(&mut self) {
        if let Some(ended) = self.child.as_mut().and_then(|child| child.try_wait().unwrap()) {
            self.note(ended);
        }
        if self.child.is_some() || self.is_over() || self.next.is_some_and(|next| next > Instant::now()) {
            return;
        }
        let log = File::create(format!("{}.{}.log", self.log.display(), self.lives)).unwrap();
        // It ends with this thread, which ends with the test.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "--"]).args(&self.words).env_clear().env("PATH", "/usr/bin:/bin");
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        self.child = Some(command.spawn().unwrap());
        self.began = now();
        self.lives += 1;
    }

    fn note(&mut self, status: ExitStatus) {
        let code = status.code().or(status.signal().map(|signal| 128 + signal)).unwrap_or(255);
        self.last = Some(Ended { code, began: std::mem::take(&mut self.began), at: now() });
        self.child = None;
        let pause = self.backoff * 2_u32.pow((self.lives - 1).min(3));
        self.next = Some(Instant::now() + pause);
    }

    pub(super) fn runs(&self) -> bool {
        self.child.is_some()
    }

    /// Whether it will not be started again.
    pub(super) fn is_over(&self) -> bool {
        match (&self.last, self.policy.as_str()) {
            _ if self.child.is_some() => false,
            (None, _) | (Some(_), "Always") => false,
            (Some(ended), "OnFailure") => ended.code == 0,
            (Some(_), _) => true,
        }
    }

    pub(super) fn ended_with(&self) -> Option<i32> {
        self.last.as_ref().filter(|_| self.child.is_none()).map(|ended| ended.code)
    }

    /// Tells it to end, and after so long ends it. Says whether it has ended.
    pub(super) fn end(&mut self, grace: Duration) -> bool {
        let Some(child) = &mut self.child else { return true };
        if let Some(ended) = child.try_wait().unwrap() {
            self.note(ended);
            return true;
        }
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap());
        match self.told_to_end {
            None => {
                let _gone = kill(pid, Signal::SIGTERM);
                self.told_to_end = Some(Instant::now());
            }
            Some(told) if told.elapsed() > grace => _ = kill(pid, Signal::SIGKILL),
            Some(_) => {}
        }
        false
    }

    pub(super) fn status(&self) -> Value {
        let terminated = |ended: &Ended| {
            json!({ "terminated": { "exitCode": ended.code, "startedAt": ended.began, "finishedAt": ended.at,
                "reason": if ended.code == 0 { "Completed" } else { "Error" } } })
        };
        let state = match &self.last {
            _ if self.child.is_some() => json!({ "running": { "startedAt": self.began } }),
            Some(ended) if self.is_over() => terminated(ended),
            Some(_) => json!({ "waiting": { "reason": "CrashLoopBackOff" } }),
            None => json!({ "waiting": { "reason": "ContainerCreating" } }),
        };
        let last = self.last.as_ref().filter(|_| !self.is_over()).map_or(json!({}), terminated);
        json!({
            "name": self.name, "image": self.image, "imageID": self.image, "ready": self.runs(),
            "restartCount": self.lives.saturating_sub(1), "state": state, "lastState": last,
        })
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            drop(child.kill());
            drop(child.wait());
        }
    }
}

/// In seconds, as a kubelet tells it.
fn now() -> String {
    let output = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}
