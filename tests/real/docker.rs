//! A connector in a container of a Docker Engine of our own, with its identity on a volume.

use std::cell::RefCell;
use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::bench::Bench;
use crate::engine::{Engine, IMAGE};
use crate::lane::{self, Ran, System, told};
use crate::sandbox::{RECOVER, Sandbox};

const NAME: &str = "edge-connector";
/// The volume that the connector was installed on.
const ORIGINAL: &str = "edge-data";
/// The exit of a run that ends with everything as it was found, and of one that a person has to look at.
const AS_FOUND: i32 = 2;
const ASKS: i32 = 4;

struct Container {
    engine: Engine,
    /// The folder on tmpfs through which it gets a token.
    handover: PathBuf,
    /// What it runs.
    command: Vec<String>,
    starts: PathBuf,
    volumes: RefCell<u32>,
    before: RefCell<Before>,
}

/// What was there when the identity was lost.
#[derive(Default)]
struct Before {
    /// What was said of the container.
    spec: Value,
    /// The original volume, if it is kept: when it was made and what is on it.
    original: Option<(String, String)>,
}

impl Container {
    fn on(engine: Engine, sandbox: &Sandbox) -> Self {
        let (words, token_file) = crate::unit::words(sandbox);
        let after = |flag: &str| words[words.iter().position(|word| word == flag).unwrap() + 1].clone();
        let handover = token_file.parent().unwrap().join("handover");
        std::fs::create_dir_all(&handover).unwrap();
        std::fs::set_permissions(&handover, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        let token = handover.join("token").display().to_string();
        let mut command = ["/bin/recover", "sandbox", "connector"].map(str::to_owned).to_vec();
        for (flag, value) in [
            ("--data", "/data".to_owned()),
            ("--token-file", token),
            ("--log", "/dev/stdout".to_owned()),
            ("--starts", "/starts.jsonl".to_owned()),
            ("--control-plane", after("--control-plane")),
            ("--agent", after("--agent")),
        ] {
            command.extend([flag.to_owned(), value]);
        }
        let starts = after("--starts").into();
        Self { engine, handover, command, starts, volumes: RefCell::default(), before: RefCell::default() }
    }

    fn token_file(&self) -> PathBuf {
        self.handover.join("token")
    }

    /// Makes the connector's container, with more words for `docker create`.
    fn create(&self, more: &[&str]) {
        let handover = format!("{0}:{0}", self.handover.display());
        let starts = format!("{}:/starts.jsonl", self.starts.display());
        let said =
            ["create", "--name", NAME, "--network", "host", "--hostname", "edge-host", "--restart", "unless-stopped"];
        let mut words = said.to_vec();
        words.extend(["--env", "PASSWORD=hunter2", "--label", "com.example.team=edge", "--memory", "256m"]);
        words.extend(["--volume", &handover, "--volume", &starts]);
        words.extend(more);
        words.push(IMAGE);
        words.extend(self.command.iter().map(String::as_str));
        self.engine.said(&words);
    }

    fn start(&self) {
        self.engine.said(&["start", NAME]);
    }

    /// Whether a run has put its mark at the target.
    fn is_marked(&self) -> bool {
        let mark = format!("recover-claim-{NAME}");
        self.engine.docker(&["inspect", "--type", "container", &mark]).status.success()
    }

    /// Takes every container away. Volumes stay.
    fn clear(&self) {
        for id in self.engine.lines(&["ps", "--all", "--quiet"]) {
            self.engine.said(&["rm", "--force", &id]);
        }
    }

    /// Where a volume is on this host.
    fn path_of(&self, volume: &str) -> PathBuf {
        self.engine.said(&["volume", "inspect", "--format", "{{.Mountpoint}}", volume]).into()
    }

    fn has_original(&self) -> bool {
        self.engine.lines(&["volume", "ls", "--format", "{{.Name}}"]).iter().any(|name| name == ORIGINAL)
    }

    /// Where what is mounted at `/data` is on this host.
    fn data(&self) -> Option<PathBuf> {
        let format = "{{range .Mounts}}{{if eq .Destination \"/data\"}}{{.Source}}{{end}}{{end}}";
        let output = self.engine.docker(&["inspect", "--type", "container", "--format", format, NAME]);
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().into())
    }

    fn inspected(&self, name: &str) -> Value {
        let told = self.engine.said(&["inspect", "--type", "container", name]);
        serde_json::from_str::<Value>(&told).unwrap()[0].take()
    }

    /// Everything that was said of the container, but for what is mounted.
    fn spec(&self) -> Value {
        let mut told = self.inspected(NAME);
        let mut spec = serde_json::json!({ "config": told["Config"].take(), "host": told["HostConfig"].take() });
        for mounts in ["Binds", "Mounts"] {
            spec["host"].as_object_mut().unwrap().remove(mounts);
        }
        spec
    }

    fn original(&self) -> (String, String) {
        let made = self.engine.said(&["volume", "inspect", "--format", "{{.CreatedAt}}", ORIGINAL]);
        (made, hash_of(&self.path_of(ORIGINAL)))
    }

    fn fresh(&self) -> String {
        *self.volumes.borrow_mut() += 1;
        format!("edge-new-{}", self.volumes.borrow())
    }

    /// Loses the identity; the container is made anew with these words, and started.
    fn lose_into(&self, bench: &Bench, keep_original: bool, more: &[&str]) {
        let data = bench.sandbox().dir().join("data");
        // The sandbox takes the identity away that the connector has now, or had until the last recovery was taken back.
        let present = self.data().into_iter().chain(self.has_original().then(|| self.path_of(ORIGINAL)));
        if let Some(identity) = present.map(|path| path.join("identity.json")).find(|path| path.exists()) {
            std::fs::copy(identity, data.join("identity.json")).unwrap();
        }
        self.clear();
        bench.sandbox().command(&["up"]);
        if keep_original {
            self.fill_original(&data);
        }
        bench.sandbox().lose(keep_original);
        bench.end_the_sandboxs_own();
        if !keep_original {
            self.engine.docker(&["volume", "rm", ORIGINAL]);
        }
        self.create(more);
        let original = keep_original.then(|| self.original());
        *self.before.borrow_mut() = Before { spec: self.spec(), original };
        self.start();
    }

    /// The volume as it was while all was well.
    fn fill_original(&self, data: &Path) {
        self.engine.said(&["volume", "create", ORIGINAL]);
        let to = self.path_of(ORIGINAL).join("identity.json");
        let identity = std::fs::read(data.join("identity.json")).unwrap();
        if std::fs::read(&to).ok().as_ref() != Some(&identity) {
            std::fs::write(&to, identity).unwrap();
        }
    }
}

/// One digest of all files below a folder.
fn hash_of(folder: &Path) -> String {
    let mut names: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut hasher = Sha256::new();
    for path in names {
        hasher.update(path.as_os_str().as_encoded_bytes());
        if path.is_file() {
            hasher.update(std::fs::read(&path).unwrap());
        }
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

impl System for Container {
    /// The container is made anew with another volume, as by a wrong line in a deployment; or its volume was replaced.
    fn lose(&self, bench: &Bench, keep_original: bool) {
        let volume = if keep_original { self.fresh() } else { ORIGINAL.to_owned() };
        self.lose_into(bench, keep_original, &["--volume", &format!("{volume}:/data")]);
    }

    fn identity(&self, _: &Bench) -> Vec<u8> {
        self.data().and_then(|path| std::fs::read(path.join("identity.json")).ok()).unwrap_or_default()
    }

    fn problems(&self, _: &Bench) -> Vec<String> {
        let mut problems = Vec::new();
        let names = self.engine.lines(&["ps", "--all", "--format", "{{.Names}}"]);
        if names != [NAME] {
            problems.push(format!("the containers are {names:?}"));
        }
        let told = self.inspected(NAME);
        if told["State"]["Running"] != true || told["RestartCount"] != 0 {
            problems.push(format!("its state is {}, restarts {}", told["State"], told["RestartCount"]));
        }
        let before = self.before.borrow();
        if self.spec() != before.spec {
            problems.push(format!("it was {} and is {}", before.spec, self.spec()));
        }
        if std::fs::read_dir(&self.handover).unwrap().any(|entry| entry.unwrap().file_name() != "token.lock") {
            problems.push("something is left where a token is handed over".to_owned());
        }
        if let Some(original) = &before.original {
            if self.original() != *original {
                problems.push("the original volume is another, or something else is on it".to_owned());
            }
            if self.data() != Some(self.path_of(ORIGINAL)) {
                problems.push("the original volume is not mounted".to_owned());
            }
        }
        problems
    }
}

pub fn run(kills: u32) -> Ran {
    let engine = match Engine::start().and_then(|engine| engine.import(Path::new(RECOVER)).map(|()| engine)) {
        Ok(engine) => engine,
        Err(why) => return Ran::Not(why),
    };
    let sandbox = Sandbox::up();
    let system = Container::on(engine, &sandbox);
    let (socket, token_file) = (system.engine.socket(), system.token_file());
    let workload = format!(
        "workload = {{ docker = {{ container = {NAME:?}, socket = {socket:?}, token_file = {token_file:?} }} }}"
    );
    let bench = Bench::new(sandbox, &workload, Vec::new());
    bench.configure(&format!("storage = {{ docker-volume = {{ mount = \"/data\", originals = [{ORIGINAL:?}] }} }}"));
    match lane::run(&system, &bench, kills, 2) {
        Ran::Done { figures, mut problems } => {
            if problems.is_empty() {
                for (what, found) in [
                    ("two at once", lane::two_at_once(&system, &bench, || system.is_marked())),
                    ("the way back", way_back(&system, &bench)),
                    ("bad input", bad_input(&system, &bench)),
                    ("a read-only root", read_only_root(&system, &bench)),
                    ("C9", c9(&system, &bench)),
                ] {
                    problems.extend(found.into_iter().map(|problem| format!("{what}: {problem}")));
                }
            }
            Ran::Done { figures, problems }
        }
        not @ Ran::Not(_) => not,
    }
}

/// A container on two networks, which cannot come online: its original is put in place and taken back, and the container that was
/// found is there again.
fn way_back(system: &Container, bench: &Bench) -> Vec<String> {
    let mut problems = Vec::new();
    system.lose(bench, true);
    let volume = system.fresh();
    system.clear();
    let (engine, handover) = (&system.engine, format!("{0}:{0}", system.handover.display()));
    for (network, subnet) in [("lab-1", "10.213.7.0/28"), ("lab-2", "10.213.8.0/28")] {
        engine.said(&["network", "create", "--internal", "--subnet", subnet, network]);
    }
    let mount = format!("type=volume,source={volume},target=/data");
    let words = ["create", "--name", NAME, "--network", "lab-1", "--ip", "10.213.7.9", "--network-alias", "web"];
    let more =
        ["--restart", "always", "--volume", &handover, "--mount", &mount, IMAGE, "/bin/busybox", "sleep", "1000"];
    engine.said(&[&words[..], &more[..]].concat());
    engine.said(&["network", "connect", "--alias", "two", "lab-2", NAME]);
    system.start();
    let found = system.inspected(NAME);
    let asked = bench.recover(lane::GO);
    if asked.status.code() != Some(ASKS) {
        problems.push(format!("it did not ask: exit {:?}: {}", asked.status.code(), told(&asked)));
    }
    let between = system.inspected(NAME);
    let networks = |told: &Value| {
        let mut networks = told["NetworkSettings"]["Networks"].clone();
        for (_, endpoint) in networks.as_object_mut().unwrap() {
            // The daemon adds these two. The name of the host stays what it was, which was the first one's id.
            let own = [told["Id"].as_str().unwrap()[..12].into(), told["Config"]["Hostname"].clone()];
            let aliases = endpoint["Aliases"].as_array().unwrap().iter().filter(|alias| !own.contains(alias)).cloned();
            *endpoint = serde_json::json!([endpoint["IPAMConfig"], aliases.collect::<Vec<_>>(), endpoint["NetworkID"]]);
        }
        networks
    };
    if found["Id"] == between["Id"] || networks(&found) != networks(&between) || found["Config"] != between["Config"] {
        let brief = |told: &Value| format!("{} with {}", told["Config"], networks(told));
        problems.push(format!("it was {} and is {}", brief(&found), brief(&between)));
    }
    let run = String::from_utf8_lossy(&bench.recover(&["list"]).stdout).into_owned();
    let run =
        run.lines().rfind(|line| !line.starts_with("closed")).unwrap().split_whitespace().last().unwrap().to_owned();
    let cancelled = bench.recover(&["cancel", &run]);
    let back = system.inspected(NAME);
    // The daemon lists them in no order.
    let mounts = |told: &Value| {
        let mut mounts: Vec<String> = told["Mounts"].as_array().unwrap().iter().map(Value::to_string).collect();
        mounts.sort();
        mounts
    };
    let brief = |told: &Value| format!("{} {:?} {}", told["Id"], mounts(told), told["State"]["Running"]);
    if brief(&back) != brief(&found) {
        let (was, is) = (brief(&found), brief(&back));
        problems.push(format!("it is not as it was found, {was}, but {is}: {}", told(&cancelled)));
    }
    let names = engine.lines(&["ps", "--all", "--format", "{{.Names}}"]);
    if names != [NAME] {
        problems.push(format!("the containers are {names:?}"));
    }
    let before = system.before.borrow();
    if before.original.as_ref() != Some(&system.original()) {
        problems.push("the original volume is not as it was".to_owned());
    }
    drop(before);
    system.clear();
    problems
}

/// What can be wrong with the container, its storage or the daemon: each is said, and nothing is changed.
fn bad_input(system: &Container, bench: &Bench) -> Vec<String> {
    let mut problems = Vec::new();
    let mut expect = |what: &str, output: &Output, code: i32, said: &str| {
        if output.status.code() != Some(code) || !told(output).contains(said) {
            problems.push(format!("{what}: exit {:?}: {}", output.status.code(), told(output)));
        }
    };
    system.lose(bench, true);
    let other = |word: &str, other: &str| bench.with_workload(word, other, None).args(lane::GO).output().unwrap();
    expect("no such container", &other(NAME, "edge-conector"), AS_FOUND, "did you mean edge-connector?");
    expect("no daemon", &other("docker.sock", "nobody.sock"), AS_FOUND, "is Docker installed");

    let volume = format!("{ORIGINAL}:/data");
    system.engine.said(&[
        "run",
        "--detach",
        "--name",
        "backup",
        "--volume",
        &volume,
        IMAGE,
        "/bin/busybox",
        "sleep",
        "1000",
    ]);
    expect("the original is in use", &bench.recover(lane::GO), AS_FOUND, "in use by the container backup");
    system.engine.said(&["rm", "--force", "backup"]);

    let link = bench.sandbox().dir().join("link");
    std::os::unix::fs::symlink(bench.sandbox().dir(), &link).unwrap();
    let bind = format!("{}:/data", link.display());
    let read_only = format!("{}:/data:ro", system.fresh());
    for (what, more, code, said) in [
        ("no volume of its own", &[][..], AS_FOUND, "would not survive a restart"),
        ("memory", &["--tmpfs", "/data"][..], AS_FOUND, "would not survive a restart"),
        ("read-only", &["--volume", &read_only][..], AS_FOUND, "read-only"),
        ("a link", &["--volume", &bind][..], AS_FOUND, "symbolic links"),
    ] {
        system.clear();
        system.create(more);
        system.start();
        expect(what, &bench.recover(lane::GO), code, said);
        let left = system.inspected(NAME)["State"]["Running"] == true;
        expect(what, &bench.recover(&["scenarios"]), if left { 0 } else { -1 }, "");
    }
    let ledger = bench.ledger();
    if ledger["mints"] != 0 || ledger["pairs"] != 0 {
        problems.push(format!("something was changed where nothing may be: {ledger}"));
    }
    problems
}

/// The table's row C9: another volume than the original, and one without a name, are told for what they are; the original is put back.
fn c9(system: &Container, bench: &Bench) -> Vec<String> {
    let mut problems = Vec::new();
    system.lose(bench, true);
    problems.extend(lane::diagnosed(bench, &[], "C9", "certain").map(|why| format!("another volume: {why}")));
    let recovered = bench.recover(lane::GO);
    if !recovered.status.success() {
        problems.push(format!("the original is not put back: {}", told(&recovered)));
    }
    problems.extend(system.problems(bench));
    system.lose_into(bench, false, &["--volume", "/data"]);
    problems.extend(lane::diagnosed(bench, &[], "C9", "likely").map(|why| format!("a volume without a name: {why}")));
    problems
}

/// A container that may write nowhere but to its volumes is made anew as one.
fn read_only_root(system: &Container, bench: &Bench) -> Vec<String> {
    let volume = format!("{}:/data", system.fresh());
    system.lose_into(bench, true, &["--read-only", "--volume", &volume]);
    let recovered = bench.recover(lane::GO);
    let mut problems = system.problems(bench);
    if !recovered.status.success() || system.inspected(NAME)["HostConfig"]["ReadonlyRootfs"] != true {
        problems.push(format!("exit {:?}: {}", recovered.status.code(), told(&recovered)));
    }
    problems
}
