//! Errors as people and machines meet them: a stable code, a sentence, causes, a hint, an exit code.

use std::fmt::Write as _;

/// A process's exit code, as `design` and `--help` list them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Exit {
    Done = 0,
    Bug = 1,
    AsFound = 2,
    Residue = 3,
    PersonNeeded = 4,
    GuardRefused = 5,
    Held = 6,
    Damaged = 7,
    NotApplicable = 8,
    Usage = 64,
    JournalNotWritable = 74,
    Interrupted = 75,
}

macro_rules! codes {
    ($($name:ident = $code:literal $exit:ident $title:literal $page:literal),+ $(,)?) => {
        /// A stable error code. Numbers are never used again.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Code { $($name),+ }
        impl Code {
            pub(crate) const ALL: &'static [Self] = &[$(Self::$name),+];
            pub(crate) const fn as_str(self) -> &'static str { match self { $(Self::$name => $code),+ } }
            pub(crate) const fn exit(self) -> Exit { match self { $(Self::$name => Exit::$exit),+ } }
            pub(crate) const fn title(self) -> &'static str { match self { $(Self::$name => $title),+ } }
            /// What happened and what to do, as `recover explain` prints it.
            pub(crate) const fn page(self) -> &'static str { match self { $(Self::$name => $page),+ } }
        }
    };
}

codes! {
    Bug = "RCV0001" Bug "an invariant does not hold"
        "A history that this build wrote or was asked to write is illegal. Nothing further was done. Keep the state directory \
         as it is and report the message with `recover verify --all`.",
    Usage = "RCV0002" Usage "the words of the command do not fit together"
        "The command line could not be understood. `recover --help` and `recover COMMAND --help` list what there is.",
    UnknownScenario = "RCV0003" Usage "no scenario has that name"
        "`recover scenarios` lists the procedures of this build.",
    UnknownTarget = "RCV0004" Usage "no target has that name"
        "Targets are the [target.NAME] tables of the configuration. `recover config show` lists them; the target `sandbox` \
         needs no configuration.",
    NoConfig = "RCV0005" Usage "there is no configuration"
        "The configuration is looked for at --config, then RECOVER_CONFIG, then /etc/recover/recover.toml, then the XDG \
         configuration folder; never in the working directory. To try recover without one: \
         `recover --scenario identity-loss --target sandbox`.",
    BadConfig = "RCV0006" Usage "the configuration cannot be used"
        "The message names the file, the line and the key. `recover config schema` prints what is allowed.",
    UnknownRun = "RCV0007" Usage "no run has that id"
        "`recover list` shows the runs of this state directory. Is --state-dir or --config the right one?",
    RunClosed = "RCV0008" Usage "the run is closed"
        "A closed run is never continued. `recover show RUN` tells how it ended; a new run is begun with --scenario and --target.",
    NothingToResolve = "RCV0009" Usage "nothing is in doubt there"
        "`recover resolve` is for an effect whose outcome is unknown. `recover status RUN` shows whether one is, and its step.",
    QuestionChanged = "RCV0010" Usage "the question is not, or no longer, the one that was answered"
        "Questions are numbered by the record that asks them (q12). `recover status RUN` shows the open one.",
    NoChoice = "RCV0011" Usage "the question has no such choice"
        "`recover status RUN` lists the choices of the open question.",
    RunLive = "RCV0012" Held "the run is being executed"
        "A run can be abandoned only while nobody executes it. Stop its owner first (SIGTERM stops at the next boundary), or \
         cancel the run.",
    Held = "RCV0013" Held "the subject is held by another run"
        "There is one open run per subject. Follow it with --attach, resume it, cancel it, or abandon it with a reason. If another \
         state directory acts on the target, that is written at the target itself, in the file .recover-mark-NAME beside the \
         storage NAME: the message names the run, the directory and the machine. Resume or cancel the run there. Only if that \
         directory is gone for good, see what the run left (is the workload stopped? does a token still work?), and then remove \
         the file. A file there that this build cannot read is treated the same: nobody guesses that the target is free.",
    GuardRefused = "RCV0014" GuardRefused "a guard refused"
        "A rule of the procedure, or what an earlier run did for the same loss, forbids this. Guards cannot be overridden. \
         `recover show RUN` names the guard and the run.",
    StateDirUnsafe = "RCV0015" Usage "the state directory is not safe to use"
        "It must be a directory of your own, not a link, and not writable by others (mode 0700).",
    StateDirMissing = "RCV0016" Usage "there is no state directory"
        "Nothing was ever journaled there, or --state-dir is not the right one.",
    OtherMachine = "RCV0017" Usage "the state directory belongs to another machine"
        "It can be read here, but acting on a copy could repeat what the original has done. If the original machine is gone \
         for good: `recover journal adopt --reason …`.",
    Damaged = "RCV0018" Damaged "the journal is damaged"
        "Reading never repairs. Healthy runs stay readable. `recover journal verify` names the place; \
         `recover journal salvage --reason …` seals the damaged range, keeps its bytes, and blocks what may be in it.",
    TooNew = "RCV0019" Damaged "the journal or run is of a version that this build does not know"
        "It was written by a later build and is whole: nothing is damaged, and nothing is to be salvaged. Use the build that \
         wrote it. Any build can replay and verify a run whose format it knows; only a build that knows the scenario's version \
         can resume it.",
    NotWritable = "RCV0020" JournalNotWritable "the journal could not be written"
        "A write or sync failed. Nothing is done whose intent is not durable, so the process ended at once. Make room or repair \
         the disk, then `recover resume`.",
    Interrupted = "RCV0021" Interrupted "interrupted; the run is open"
        "The run stopped at a boundary. `recover resume` goes on.",
    OwnerGone = "RCV0022" Interrupted "the owner of the state directory does not answer"
        "Another process holds the state directory's lock and its socket does not answer. Try again; if it stays so, look at \
         the process that the message names.",
    PersonNeeded = "RCV0023" PersonNeeded "a person must decide"
        "The message holds the question and the command that answers it.",
    InDoubt = "RCV0024" PersonNeeded "whether an effect was applied is unknown"
        "It is never repeated on a guess. Find out at the other side, then say it: \
         `recover resolve RUN --step STEP --happened|--absent --reason …`; or try again with `recover resume RUN`.",
    Sandbox = "RCV0025" Interrupted "the sandbox failed"
        "The sandbox's processes listen on loopback only. The message names their logs.",
    BadParameter = "RCV0026" Usage "a parameter of the scenario does not fit"
        "--set takes NAME=VALUE with the names that the message lists.",
    NotNow = "RCV0027" Usage "the run does not take that now"
        "The message says why. Nothing was changed.",
    NeedsData = "RCV0028" Usage "the outcome needs its data"
        "\"It happened\" does not say enough for this step: give the event with --data, for example \
         {\"ending\":\"paired\",\"serial\":\"…\",\"instance\":null}.",
    RequestIdReused = "RCV0029" Usage "the request id belongs to another request"
        "--request-id names one request for ever. Choose another one.",
    NotText = "RCV0030" Usage "an argument is not UTF-8"
        "Names, reasons and paths that are journaled must be text.",
    Unreadable = "RCV0031" Usage "the state directory cannot be read"
        "The message holds the system's reason.",
    StateDirUnnamed = "RCV0032" Usage "a real target needs a state directory by name"
        "So that two users cannot hold two ledgers of one target by accident: set `state_dir` in the configuration, \
         RECOVER_STATE_DIR, or --state-dir.",
    Blocked = "RCV0033" Damaged "the subject may have records in a damaged range"
        "A salvage blocked it. Find out at the other side what was done, then `recover journal clear KEY --reason …`.",
    AnchorMissing = "RCV0034" Damaged "the log does not contain the expected head"
        "The head that was printed when a run ended is not in this log: it was cut, rolled back or replaced.",
    WrongTarget = "RCV0035" Usage "the scenario does not apply to this kind of target"
        "`recover scenarios` says what each scenario is for.",
    Untrusted = "RCV0036" AsFound "the authority's certificate is not trusted"
        "Nothing was sent: its issuer is unknown here, or it is for another name, or its time has not come or has passed. The \
         message says which. For a private CA name its file as `ca` beside `base`, taken from whoever runs the authority and \
         never from the peer that fails; correct `base` where the name is wrong; have an expired certificate renewed. There \
         is no way to skip the check.",
    NoResources = "RCV0037" Interrupted "the system does not give what every command needs"
        "Descriptors, memory or threads ran out before anything was begun: `ulimit -n`, or what else runs here. Nothing was done; \
         try again.",
    NotWell = "RCV0038" PersonNeeded "the target is not well"
        "A baseline says how a target is when it is well: online, with the identity that the authority issued on its storage. What is \
         seen during an incident is never recorded. Recover the target first, then record it.",
    NoBaseline = "RCV0039" Usage "nothing was recorded of the target"
        "`recover baseline record --target NAME --reason …` records, while the target is well, how it is: its storage, its \
         identity's fingerprint, its program, its authority. Without a baseline only the configuration says what is right.",
    BundleNotWritten = "RCV0040" JournalNotWritable "the file could not be written"
        "Nothing was changed. A file that is there is never overwritten: name another one with --out, in a folder that you may write \
         to and that has room.",
    BundleInvalid = "RCV0041" Damaged "the bundle does not hold"
        "The file is not what was exported: the message names the record, the text or the part of it that was changed, or what cannot be \
         read. Ask for another copy; `recover export RUN` makes one where the journal is.",
    SignedByAnother = "RCV0042" Damaged "the bundle is signed by another key"
        "Everything in it holds, and it was not signed by the key that was brought with --key. Is that the key of the state directory it \
         came from? `recover key` shows that one.",
    KeyUnusable = "RCV0043" Usage "the key cannot be used"
        "A signing key is ed25519 in PKCS#8 and PEM, readable by its owner alone (openssl genpkey -algorithm ed25519); a public one is a \
         SubjectPublicKeyInfo in PEM, as `recover key` prints it.",
    SamePerson = "RCV0050" PersonNeeded "another person is needed"
        "The run was begun under a policy (`policy.second_person`) by which whoever began it does not approve what it asks, and the policy \
         is recorded in the run. Another person approves it, as another user of this host or through `approvals.socket`, or with a token of \
         another role. Whoever cannot be told apart counts as one: the same login, root without a login, a browser and a terminal.",
    Braked = "RCV0044" PersonNeeded "a brake holds the run"
        "Nothing was begun and nothing stopped. Either many targets show the same symptom at once (`policy.brake`), which is seldom \
         theirs: look at what they share, the network, the control plane, a rollout. Or this target was recovered a moment ago \
         (`policy.rest`) or too often (`policy.flaps`): find out what undoes it. Then begin it with --despite REASON, which is journaled.",
    PlanDrifted = "RCV0045" GuardRefused "the target is not as the plan saw it"
        "Nothing was done. The message names what differs. A plan holds for what it saw: make a new one with `recover plan --out`, and \
         look at it again before it is carried out.",
    PlanOfAnother = "RCV0046" Usage "the plan is of another procedure or configuration"
        "Nothing was done. The scenario's graph or guards, the target's configuration or the parameters are not those that the plan was \
         made with. Make a new plan with this build and this configuration.",
    PlanUnusable = "RCV0047" Usage "the plan cannot be used"
        "Nothing was done. The file cannot be read, is no plan, was changed after it was made, or ends where nobody could tell how it goes \
         on. `recover plan --scenario NAME --target NAME --out FILE` makes one.",
    PlanOld = "RCV0048" Usage "the plan is too old"
        "Nothing was done. A plan is carried out within an hour, or within --plan-age, of its making: what was seen then may not be so now. \
         A plan that is of the future says that a clock is wrong.",
    Disagrees = "RCV0049" PersonNeeded "the run and the other side's log do not agree"
        "An effect is in the log of the other side and in no record of the run, or the other way round, or the outcome of a step that had \
         one is not journaled. The lines name each. Nothing was changed. Somebody else acted at the same time, or one of the two logs is \
         not whole: find out which before you trust either.",
}

/// An error on its way out.
#[derive(Debug)]
pub(crate) struct Fault {
    pub(crate) code: Code,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

impl Fault {
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), hint: None }
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The message with the causes of an error behind it, each once.
    pub(crate) fn caused(code: Code, what: &str, error: &dyn std::error::Error) -> Self {
        Self::new(code, format!("{what}: {}", chain(error)))
    }

    pub(crate) fn text(&self) -> String {
        let mut out = format!("error[{}]: {}", self.code.as_str(), self.message);
        if let Some(hint) = &self.hint {
            let _ = write!(out, "\nhint: {hint}");
        }
        out
    }

    pub(crate) fn json(&self) -> String {
        serde_json::json!({
            "schema": "recover.error/v1",
            "code": self.code.as_str(),
            "exit": self.code.exit() as u8,
            "message": self.message,
            "hint": self.hint,
        })
        .to_string()
    }
}

/// An error and its causes, as one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut out = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let text = error.to_string();
        if !out.ends_with(&text) {
            let _ = write!(out, ": {text}");
        }
        cause = error.source();
    }
    out
}

/// The name that is meant, if one is near enough.
pub(crate) fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(name, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= candidate.len().max(3) / 3)
        .min()
        .map(|(_, candidate)| candidate)
}
