//! The configuration: found, read, and explained when it cannot be used.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use recover_engine::{Brake, Rate};
use recover_scenarios::bootstrap_failure::Enroll;
use recover_scenarios::identity_loss::Reprovision;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fault::{Code, Fault, nearest};
use crate::target::Target;

/// The whole configuration.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Config {
    /// Where runs are journaled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where tokens are kept while a run needs them: on tmpfs or ramfs, which is proven before anything is minted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) secrets_dir: Option<PathBuf>,
    /// What may be done without asking.
    #[serde(default)]
    pub(crate) policy: Policy,
    /// Who else is told of what runs do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) hook: Vec<crate::hooks::config::Hook>,
    /// Where people who may approve and do nothing else are heard, while there is an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) approvals: Option<Approvals>,
    /// How `recover serve` is reached, and what it does by itself.
    #[serde(default)]
    pub(crate) serve: crate::serve::config::Serve,
    /// The targets by name.
    #[serde(default)]
    pub(crate) target: BTreeMap<String, Target>,
}

/// What may be done without asking.
#[derive(Clone, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Policy {
    /// Whether a lost identity is replaced after a question (`ask`) or without one (`allow`).
    #[serde(default)]
    #[schemars(with = "ReprovisionSchema")]
    pub(crate) reprovision: Reprovision,
    /// Whether a connector that never paired gets a fresh token after a question (`ask`) or without one (`allow`), where its token
    /// has expired or it lacked the CA bundle that is pinned. A token that somebody revoked is always asked about.
    #[serde(default)]
    #[schemars(with = "ReprovisionSchema")]
    pub(crate) enroll: Enroll,
    /// How long a person has to answer a question, for example `24h`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) answer_within: Option<recover_adapters::Span>,
    /// Whether what a run asks is approved by another person than the one who began it. It is recorded in the run.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) second_person: bool,
    /// Where this many other targets had the same procedure begun within the time, the next is held and a person asked: the same
    /// symptom on many targets at once is seldom theirs. Five within ten minutes if it is not said.
    #[serde(default)]
    pub(crate) brake: Shared,
    /// A target that was recovered so often within the time is held: it flaps. No limit if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) flaps: Option<Often>,
    /// How long a target that was recovered is left alone, for example `15m`. Not at all if it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) rest: Option<recover_adapters::Span>,
}

/// A socket for a group: its members approve and deny.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Approvals {
    /// Where it is: in a folder that the group may enter.
    pub(crate) socket: PathBuf,
    /// The group, by name or number.
    pub(crate) group: String,
}

/// How many other targets.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Shared {
    /// How many; 0 for no limit.
    pub(crate) targets: u32,
    /// Within this time, for example `10m`.
    pub(crate) within: recover_adapters::Span,
}

impl Default for Shared {
    fn default() -> Self {
        Self { targets: 5, within: recover_adapters::Span::from_ms(10 * 60_000) }
    }
}

/// How often.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Often {
    /// How often.
    pub(crate) times: u32,
    /// Within this time, for example `24h`.
    pub(crate) within: recover_adapters::Span,
}

impl Policy {
    /// What may hold a run back.
    pub(crate) fn brake(&self) -> Brake {
        let rate =
            |most: u32, within: &recover_adapters::Span| (most > 0).then(|| Rate { most, within_ms: within.as_ms() });
        Brake {
            subjects: rate(self.brake.targets, &self.brake.within),
            recoveries: self.flaps.as_ref().and_then(|flaps| rate(flaps.times, &flaps.within)),
            rest_ms: self.rest.as_ref().map(|span| span.as_ms()),
        }
    }

    /// How long a person has to answer, in milliseconds: a day if it is not said.
    pub(crate) fn answer_within_ms(&self) -> u64 {
        self.answer_within.as_ref().map_or(24 * 3_600_000, |span| span.as_ms())
    }
}

/// The schema of [`Reprovision`] and [`Enroll`], which are defined where no schema is known.
#[derive(JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[expect(dead_code, reason = "only its schema is used")]
enum ReprovisionSchema {
    Ask,
    Allow,
}

const SYSTEM: &str = "/etc/recover/recover.toml";

/// A configuration and where it came from.
#[derive(Clone, Debug, Default)]
pub(crate) struct Loaded {
    pub(crate) config: Config,
    pub(crate) from: Option<PathBuf>,
}

/// Reads the configuration that applies. None at all is not an error: the sandbox needs none.
pub(crate) fn load(named: Option<&Path>) -> Result<Loaded, Fault> {
    if let Some(path) = named.map(Path::to_owned).or_else(|| std::env::var_os("RECOVER_CONFIG").map(PathBuf::from)) {
        return read(&path).map(|config| Loaded { config, from: Some(path) });
    }
    let system = Path::new(SYSTEM);
    for path in [Some(system.to_owned()), xdg_config()].into_iter().flatten() {
        if path.exists() {
            let mut config = read(&path)?;
            if path == system {
                merge_folder(&mut config, Path::new("/etc/recover/conf.d"))?;
            }
            return Ok(Loaded { config, from: Some(path) });
        }
    }
    Ok(Loaded::default())
}

/// Where a configuration is looked for that nobody names: the system's for root, the user's own for anybody else.
pub(crate) fn usual() -> Option<PathBuf> {
    if rustix::process::geteuid().is_root() { Some(SYSTEM.into()) } else { xdg_config() }
}

fn xdg_config() -> Option<PathBuf> {
    let base = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".config")))?;
    Some(base.join("recover/recover.toml"))
}

/// Targets of further files, in the order of their names. A target is defined once.
fn merge_folder(config: &mut Config, folder: &Path) -> Result<(), Fault> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Ok(()) };
    let mut paths: Vec<PathBuf> = entries.filter_map(|e| e.ok().map(|e| e.path())).collect();
    paths.retain(|path| path.extension().is_some_and(|ext| ext == "toml"));
    paths.sort();
    for path in paths {
        for (name, target) in read(&path)?.target {
            if config.target.insert(name.clone(), target).is_some() {
                return Err(Fault::new(Code::BadConfig, format!("{}: target {name} is defined twice", path.display())));
            }
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<Config, Fault> {
    const LEN_MAX: u64 = 1 << 20;
    let place = path.display();
    let meta = std::fs::metadata(path).map_err(|e| {
        Fault::caused(Code::NoConfig, &format!("{place} cannot be read"), &e)
            .hint("without configuration, try: recover --scenario identity-loss --target sandbox")
    })?;
    // A FIFO would never end, nor a device.
    if !meta.is_file() {
        return Err(Fault::new(Code::BadConfig, format!("{place} is not a regular file")));
    }
    // It names the programs that are started, as root perhaps.
    if meta.mode() & 0o002 != 0 {
        return Err(
            Fault::new(Code::BadConfig, format!("{place} is writable by everybody")).hint(format!("chmod o-w {place}"))
        );
    }
    let size = meta.len();
    if size > LEN_MAX {
        return Err(Fault::new(Code::BadConfig, format!("{place} is larger than 1 MiB")));
    }
    let bytes =
        std::fs::read(path).map_err(|e| Fault::caused(Code::BadConfig, &format!("{place} cannot be read"), &e))?;
    understand(&place.to_string(), &bytes)
}

/// The configuration that the bytes of a file are.
pub(crate) fn understand(place: &str, bytes: &[u8]) -> Result<Config, Fault> {
    let text = std::str::from_utf8(bytes)
        .map_err(|e| Fault::caused(Code::BadConfig, &format!("{place} cannot be read"), &e))?;
    let config = parse(text).map_err(|(message, hint)| {
        let fault = Fault::new(Code::BadConfig, format!("{place}: {message}"));
        match hint {
            Some(hint) => fault.hint(hint),
            None => fault.hint("`recover config schema` prints what is allowed"),
        }
    })?;
    config.hook.iter().try_for_each(|hook| hook.check())?;
    Ok(config)
}

/// Parses a configuration; on failure a sentence with line and column, and the nearest valid name where one is meant.
pub(crate) fn parse(text: &str) -> Result<Config, (String, Option<String>)> {
    toml::from_str(text).map_err(|e| {
        let place = e.span().map(|span| {
            let before = text.get(..span.start).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            format!("line {line}, column {column}: ")
        });
        let hint = meant(e.message());
        let message = without_value(e.message(), hint.is_some());
        (format!("{}{message}", place.unwrap_or_default()), hint)
    })
}

/// The message without the value that does not fit: it may be a secret in the wrong key. What is nearly a right word is none.
fn without_value(message: &str, nearly_right: bool) -> String {
    const AFTER: &str = ", expected ";
    let kinds = ["unknown variant ", "invalid type: ", "invalid value: "];
    // "invalid type: string \"…\", expected …", "invalid type: integer `…`, expected …".
    if let Some(rest) = kinds.iter().find_map(|kind| message.strip_prefix(kind))
        && let Some(at) = rest.find(['`', '"'])
        && let Some((value, tail)) = rest.rsplit_once(AFTER)
        && at < value.len()
        && !nearly_right
    {
        let (head, quote) = (&message[..message.len() - rest.len() + at], &rest[at..=at]);
        return format!("{head}{quote}…{quote}{AFTER}{tail}");
    }
    message.to_owned()
}

/// From serde's "unknown field `x`, expected one of `a`, `b`": which of them is meant.
fn meant(message: &str) -> Option<String> {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    let (unknown, known) = quoted.split_first()?;
    if !message.starts_with("unknown ") {
        return None;
    }
    nearest(unknown, known.iter().copied()).map(|name| format!("did you mean `{name}`?"))
}

/// The JSON Schema of the configuration.
pub(crate) fn schema() -> serde_json::Value {
    schemars::schema_for!(Config).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_key_is_refused_with_its_place_and_the_name_that_was_meant() {
        let (message, hint) = parse("[policy]\nreprovison = \"ask\"\n").unwrap_err();
        assert!(message.starts_with("line 2, column 1: unknown field `reprovison`"), "{message}");
        assert_eq!(hint.as_deref(), Some("did you mean `reprovision`?"));
    }

    #[test]
    fn a_value_that_does_not_fit_is_not_repeated_unless_it_is_nearly_right() {
        let (message, _) = parse("[policy]\nreprovision = \"s3cr3t-`, expected \"\n").unwrap_err();
        assert!(message.contains("unknown variant `…`, expected `ask` or `allow`"), "{message}");
        let (message, _) = parse("[policy]\nreprovision = \"alow\"\n").unwrap_err();
        assert!(message.contains("unknown variant `alow`"), "{message}");
        let (message, _) = parse("target = \"s3cr3t \\\", expected \"\n").unwrap_err();
        assert!(message.contains("string \"…\", expected ") && !message.contains("s3cr3t"), "{message}");
        let (message, _) = parse("state_dir = 735773577357\n").unwrap_err();
        assert!(message.contains("integer `…`, expected "), "{message}");
    }

    #[test]
    fn a_missing_key_and_a_wrong_value_name_their_place() {
        let (message, _) = parse("[target.edge-1]\nkind = \"connector\"\n").unwrap_err();
        assert!(message.contains("missing field"), "{message}");
        let (message, _) = parse("state_dir = 7\n").unwrap_err();
        assert!(message.starts_with("line 1, column 13"), "{message}");
    }
}
