//! What has to be right at a target: its authority, clocks, memory for tokens, storage, workload. Looks only.

use recover_adapters::config::WorkloadConfig;
use recover_adapters::{Examination, SecretsDir, is_in_memory};
use recover_steps::examined::{
    Attachment, Found, Handshake, Health, Lasting, Look, Observations, Reached, RightsSeen, Sameness, WorkloadSeen,
};

use super::{Check, Is};
use crate::clock;
use crate::fault::{Code, Fault};
use crate::records::Recorded;
use crate::target::ConnectorTarget;
use crate::verbs::differences;
use crate::world::{Examined, TargetWorld};

/// Clocks that are further apart explain tokens and certificates that are refused.
const SKEW_MS: i64 = 30_000;

/// Where tokens pass through: the run's own folder, and the workload's file.
pub(crate) fn memory(
    target: &ConnectorTarget,
    place: &dyn Fn(&SecretsDir) -> Result<std::path::PathBuf, String>,
) -> Vec<Check> {
    const CHECK: &str = "memory";
    let runtime = std::env::var_os("XDG_RUNTIME_DIR").map(std::path::PathBuf::from);
    let secrets = match place(&SecretsDir::new(target.secrets_dir.clone(), runtime)) {
        Ok(path) => Check::ok(CHECK, format!("tokens are kept in {}, which is in memory", path.display())),
        Err(why) => Check::bad(CHECK, format!("there is no place for tokens: {why}"))
            .hint("set secrets_dir to a folder on tmpfs"),
    };
    let file = match &target.workload {
        WorkloadConfig::Docker(docker) => &docker.token_file,
        WorkloadConfig::Systemd(systemd) => &systemd.token_file,
        WorkloadConfig::Process(process) => &process.token_file,
        // A Secret is handed over, and that is in no file of this host.
        WorkloadConfig::Kubernetes(_) | WorkloadConfig::Windows(_) => return vec![secrets],
    };
    let folder = file.parent().unwrap_or(file);
    let handed = match is_in_memory(folder) {
        Ok(true) => Check::ok(CHECK, format!("a token is handed over in {}, in memory", file.display())),
        Ok(false) => Check::bad(CHECK, format!("{} is on a disk: a token must not be", folder.display()))
            .hint("mount a tmpfs there, or name another `token_file`"),
        Err(e) => Check::bad(CHECK, format!("{}: {e}", folder.display())),
    };
    vec![secrets, handed]
}

/// Everything that can be read of a target, as checks: see [`observed`].
pub(crate) fn look(world: &TargetWorld, missing: Is) -> Result<Vec<Check>, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|e| Fault::caused(Code::NoResources, "the runtime cannot be started", &e))?;
    let (seen, may) = runtime.block_on(async {
        let seen = world.examine(&Examination { now: clock::now(), ..Examination::default() }).await;
        // Who does not let its status be read is not waited for once more.
        let heard = matches!(&seen, Examined::Connector(seen) if seen.standing.value().is_some());
        let may = if heard { world.rights().await } else { None };
        (seen, may)
    });
    // A name that the resolver still looks for is not waited for.
    runtime.shutdown_background();
    Ok(match seen {
        Examined::Connector(seen) => observed(&seen, may.as_ref(), missing),
        Examined::Kms(seen) => super::kms::observed(&seen, missing),
    })
}

/// What the looks say. How an incident looks is no fault of the configuration: `missing` is what a target is that is not well.
fn observed(seen: &Observations, may: Option<&Look<RightsSeen>>, missing: Is) -> Vec<Check> {
    vec![
        authority(seen),
        clocks(seen),
        read("status", &seen.standing, |standing| {
            format!("the credential reads it: {:?}", standing.status).to_lowercase()
        }),
        tokens(seen),
        rights(may),
        storage(seen, missing),
        workload(seen, missing),
    ]
}

fn read<T>(check: &'static str, look: &Look<T>, say: impl FnOnce(&T) -> String) -> Check {
    match &look.found {
        Found::Seen(value) => Check::ok(check, say(value)),
        Found::NotRead(why) => Check::bad(check, format!("{}: {why}", look.from)),
    }
}

fn authority(seen: &Observations) -> Check {
    const CHECK: &str = "authority";
    let reach = &seen.reach;
    for (step, look) in [("name", &reach.dns), ("port", &reach.tcp)] {
        match &look.found {
            Found::Seen(Reached::Yes(_)) => {}
            Found::Seen(Reached::No(why)) | Found::NotRead(why) => {
                return Check::bad(CHECK, format!("{step}: {} ({})", why, look.from));
            }
        }
    }
    match &reach.tls.found {
        Found::Seen(Handshake::Trusted | Handshake::Plain) => {}
        Found::Seen(Handshake::UnknownIssuer(why) | Handshake::Failed(why)) | Found::NotRead(why) => {
            return Check::bad(CHECK, format!("certificate: {why}")).hint("recover explain RCV0036");
        }
    }
    match &reach.health.found {
        Found::Seen(Health::Well(_)) => Check::ok(CHECK, format!("reached, and well ({})", reach.health.from)),
        Found::Seen(Health::Unwell(why) | Health::Silent(why)) | Found::NotRead(why) => {
            Check::bad(CHECK, format!("health: {why}"))
        }
    }
}

fn clocks(seen: &Observations) -> Check {
    const CHECK: &str = "clock";
    match seen.reach.health.value() {
        Some(Health::Well(Some(off))) if off.abs() < SKEW_MS => {
            Check::ok(CHECK, format!("the authority's and this one agree ({off} ms)"))
        }
        Some(Health::Well(Some(off))) => Check::bad(CHECK, format!("the authority's is {off} ms before this one"))
            .hint("is time kept here, and there?"),
        Some(Health::Well(None)) => Check::warn(CHECK, "the authority does not tell its time"),
        Some(Health::Unwell(_) | Health::Silent(_)) | None => {
            Check::warn(CHECK, "not compared: the authority was not asked")
        }
    }
}

fn tokens(seen: &Observations) -> Check {
    const CHECK: &str = "tokens";
    match &seen.tokens.found {
        Found::Seen(tokens) => Check::ok(CHECK, format!("the credential lists them ({})", tokens.len())),
        // A SPIRE server has no such list, for anybody.
        Found::NotRead(why) if why.contains("lists no join tokens") => Check::ok(CHECK, why.clone()),
        Found::NotRead(why) => Check::bad(CHECK, format!("{}: {why}", seen.tokens.from)),
    }
}

/// Whether a run's credential may do what a run does. It is asked, and never tried.
fn rights(look: Option<&Look<RightsSeen>>) -> Check {
    const CHECK: &str = "rights";
    let Some(look) = look else {
        return Check::bad(CHECK, "not asked: the status is not read");
    };
    match &look.found {
        Found::Seen(RightsSeen::Told { mint: true, revoke: true }) => {
            Check::ok(CHECK, "the credential may mint and revoke, as the authority says")
        }
        Found::Seen(RightsSeen::Told { mint, revoke }) => {
            let lacks: Vec<&str> = [("mint", mint), ("revoke", revoke)]
                .into_iter()
                .filter_map(|(word, may)| (!may).then_some(word))
                .collect();
            Check::bad(CHECK, format!("the credential may not {}, as the authority says", lacks.join(" and not ")))
                .hint("docs/access.md says what it needs")
        }
        Found::Seen(RightsSeen::Given { why }) => Check::ok(CHECK, why.clone()),
        Found::Seen(RightsSeen::Untold { why }) => {
            let said = format!("whether the credential may mint and revoke cannot be proven without acting: {why}");
            Check::new(CHECK, Is::Unproven, said)
                .hint("if it tells elsewhere: `paths.rights` of the dialect, docs/authority-http.md")
        }
        Found::NotRead(why) => Check::bad(CHECK, format!("{}: {why}", look.from)),
    }
}

fn storage(seen: &Observations, missing: Is) -> Check {
    const CHECK: &str = "storage";
    let storage = match &seen.storage.found {
        Found::Seen(storage) => storage,
        Found::NotRead(why) => return Check::bad(CHECK, format!("{}: {why}", seen.storage.from)),
    };
    match (storage.attachment, storage.lasting, storage.original) {
        (Attachment::Missing, ..) => Check::new(CHECK, missing, format!("{} is not there", seen.storage.from)),
        (Attachment::Denied, ..) => Check::bad(CHECK, format!("{} may not be looked into", seen.storage.from)),
        (Attachment::Attached, Lasting::Refuted, _) => Check::bad(CHECK, format!("it does not last: {}", storage.on)),
        (Attachment::Attached, Lasting::Durable | Lasting::Undecided, Sameness::Other) => {
            Check::new(CHECK, missing, format!("it is not the recorded one: {}", storage.on))
        }
        (Attachment::Attached, Lasting::Undecided, _) => {
            Check::warn(CHECK, format!("whether it lasts cannot be told: {}; a run would ask", storage.on))
        }
        (Attachment::Attached, Lasting::Durable, _) => Check::ok(CHECK, format!("it lasts: {}", storage.on)),
    }
}

fn workload(seen: &Observations, missing: Is) -> Check {
    const CHECK: &str = "workload";
    match &seen.workload.found {
        Found::Seen(WorkloadSeen::Running { .. }) => Check::ok(CHECK, "it runs"),
        Found::Seen(WorkloadSeen::Stopped) => Check::new(CHECK, missing, "it does not run"),
        Found::Seen(WorkloadSeen::Restarting { restarts }) => {
            Check::new(CHECK, missing, format!("it ends and is started again and again ({restarts} times)"))
        }
        Found::NotRead(why) => Check::bad(CHECK, format!("{}: {why}", seen.workload.from)),
    }
}

/// Whether everything is where a person recorded it.
pub(crate) fn baseline(world: &TargetWorld, recorded: Option<&Recorded>, name: &str) -> Check {
    const CHECK: &str = "baseline";
    let record = format!("recover baseline record --target {} --reason …", crate::verbs::quoted(name));
    let Some(recorded) = recorded else {
        return Check::warn(CHECK, "nothing was recorded: what is right is known from the configuration alone")
            .hint(record);
    };
    let Ok(runtime) = tokio::runtime::Builder::new_current_thread().enable_all().build() else {
        return Check::bad(CHECK, "the runtime cannot be started");
    };
    match runtime.block_on(world.facts()) {
        Ok(seen) => {
            let differ = differences(&recorded.baseline.facts, &seen.facts);
            match (differ.as_slice(), seen.unwell) {
                ([], None) => Check::ok(CHECK, format!("{} facts are as recorded", seen.facts.len())),
                ([], Some(why)) => Check::bad(CHECK, format!("it is not well: {why}")),
                (_, _) => Check::bad(CHECK, format!("not as recorded: {}", differ.join(", ")))
                    .hint(format!("recover baseline diff --target {name}; if it is right so: {record}")),
            }
        }
        Err(why) => Check::bad(CHECK, format!("it cannot be compared: {why}")),
    }
}
