//! The provider's own checks, read so that only what was required and passed counts.

use recover_steps::kms::{Check, Layer, ProviderChecked};
use serde::Deserialize;

use super::command::Ran;

/// A command of the provider's that reports checks, and the checks that its report must have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kms) enum Gate {
    VerifyKey,
    Doctor,
}

impl Gate {
    pub(in crate::kms) const fn command(self) -> &'static str {
        match self {
            Self::VerifyKey => "verify-key",
            Self::Doctor => "doctor",
        }
    }

    /// What must be in the report and have passed. Neither has all: `doctor` does not read the registry, `verify-key` does not encrypt.
    /// The EncryptionConfiguration is not among them: it is root's alone to read, and `doctor` is not root.
    fn required(self, generation: Generation) -> &'static [&'static str] {
        match (self, generation) {
            (Self::VerifyKey, Generation::Text) => &["openbao.auth", "transit.metadata", "transit.profile"],
            (Self::VerifyKey, Generation::Json) => &[
                "config.validate",
                "openbao.tls",
                "openbao.auth",
                "transit.capabilities",
                "transit.metadata",
                "transit.profile",
                "transit.disable_upsert",
                "registry.state",
                "transit.version_restrictions",
            ],
            (Self::Doctor, Generation::Text) => &["openbao.auth", "transit.profile", "transit.probe"],
            (Self::Doctor, Generation::Json) => &[
                "config.validate",
                "socket.group",
                "openbao.auth",
                "transit.profile",
                "transit.disable_upsert",
                "transit.probe",
                "kms.status_encrypt",
            ],
        }
    }
}

/// Which interface the program has, as its own help says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::kms) enum Generation {
    /// Text alone, and no checkpoint.
    Text,
    /// `--output json`.
    Json,
}

impl Generation {
    /// From what `COMMAND --help` printed.
    pub(in crate::kms) fn of(help: &Ran) -> Result<Self, String> {
        if help.code != Some(0) || !help.out.contains("--config") {
            return Err(
                "its help does not know `--config`: it is not the provider's program, or of an unknown kind".into()
            );
        }
        Ok(if help.out.contains("--output") { Self::Json } else { Self::Text })
    }
}

/// One line of a report.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Line {
    id: String,
    status: String,
    #[serde(default)]
    message: String,
}

#[derive(Deserialize)]
struct Report {
    name: String,
    checks: Vec<Line>,
}

/// What a command's report says.
pub(in crate::kms) fn judge(gate: Gate, generation: Generation, ran: &Ran) -> ProviderChecked {
    let unclear = |why: String| ProviderChecked::Unclear { why: format!("{}: {why}", gate.command()) };
    let lines = match read(gate, generation, &ran.out) {
        Ok(lines) => lines,
        // It did not even come to a report.
        Err(why) => {
            let said: String = ran.err.chars().take(300).collect();
            return unclear(format!("{why} (exit code {}; {said})", shown(ran.code)));
        }
    };
    let of = |status: &str| lines.iter().filter(move |line| line.status == status).collect::<Vec<_>>();
    if let Some(line) = lines.iter().find(|line| !matches!(line.status.as_str(), "pass" | "warn" | "fail" | "skip")) {
        return unclear(format!("{} has a status that is not known", line.id));
    }
    let failed = of("fail");
    if !failed.is_empty() {
        if ran.code == Some(0) {
            return unclear("it says that checks failed, and ended as if none had".into());
        }
        let mut checks: Vec<Check> = failed
            .into_iter()
            .map(|line| Check { layer: layer(&line.id), id: line.id.clone(), message: line.message.clone() })
            .collect();
        checks.sort_by_key(|check| check.layer);
        return ProviderChecked::Failed { checks };
    }
    let passed =
        |id: &&&str| lines.iter().any(|line| line.id == **id && matches!(line.status.as_str(), "pass" | "warn"));
    let missing: Vec<&str> = gate.required(generation).iter().filter(|id| !passed(id)).copied().collect();
    if !missing.is_empty() {
        return unclear(format!("neither passed nor failed: {}", missing.join(", ")));
    }
    if ran.code != Some(0) {
        return unclear(format!("no check failed, and it ended with {}", shown(ran.code)));
    }
    ProviderChecked::Passed
}

fn shown(code: Option<i32>) -> String {
    code.map_or_else(|| "a signal".to_owned(), |code| code.to_string())
}

fn read(gate: Gate, generation: Generation, out: &str) -> Result<Vec<Line>, String> {
    let lines = match generation {
        Generation::Json => {
            let report: Report = serde_json::from_str(out).map_err(|_| "it printed no report")?;
            if report.name != gate.command() {
                return Err("it printed another report".into());
            }
            report.checks
        }
        Generation::Text => {
            let mut all = out.lines();
            if all.next().map(str::trim) != Some(gate.command()) {
                return Err("it printed no report".into());
            }
            all.map(line_of).collect::<Option<Vec<_>>>().ok_or("a line of its report is none")?
        }
    };
    let mut ids: Vec<&str> = lines.iter().map(|line| line.id.as_str()).collect();
    ids.sort_unstable();
    if ids.windows(2).any(|two| matches!(two, [a, b] if a == b)) {
        return Err("a check is in its report twice".into());
    }
    Ok(lines)
}

/// `[pass] openbao.auth: Title - message`
fn line_of(line: &str) -> Option<Line> {
    let (status, rest) = line.trim().strip_prefix('[')?.split_once("] ")?;
    let (id, rest) = rest.split_once(": ")?;
    let message = rest.split_once(" - ").map_or(rest, |(_, message)| message);
    Some(Line { id: id.to_owned(), status: status.to_owned(), message: message.to_owned() })
}

/// The layer that a check is about.
fn layer(id: &str) -> Layer {
    let family = id.split('.').next().unwrap_or_default();
    match (family, id) {
        (_, "openbao.auth") | ("jwt" | "auth" | "oauth2", _) => Layer::Auth,
        ("openbao", _) => Layer::Openbao,
        // The policy is of the login, and not of the key.
        (_, "transit.capabilities") => Layer::Auth,
        ("transit" | "key_id", _) => Layer::Transit,
        ("config", _) => Layer::Config,
        ("registry", _) => Layer::Registry,
        ("socket", _) => Layer::Socket,
        ("kubernetes", _) => Layer::Apiserver,
        _ => Layer::Provider,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn report(gate: Gate, change: impl Fn(&mut Vec<serde_json::Value>), code: i32) -> ProviderChecked {
        let mut checks: Vec<_> = gate
            .required(Generation::Json)
            .iter()
            .map(|id| json!({ "id": id, "title": "t", "status": "pass", "message": "m" }))
            .collect();
        change(&mut checks);
        let out = json!({ "name": gate.command(), "checks": checks }).to_string();
        judge(gate, Generation::Json, &Ran { code: Some(code), out, err: String::new() })
    }

    #[test]
    fn what_is_skipped_or_missing_has_not_passed_whatever_the_exit_code_says() {
        for gate in [Gate::VerifyKey, Gate::Doctor] {
            assert_eq!(report(gate, |_| {}, 0), ProviderChecked::Passed);
            for at in 0..gate.required(Generation::Json).len() {
                let unclear = |seen| matches!(seen, ProviderChecked::Unclear { .. });
                assert!(unclear(report(gate, |checks| drop(checks.remove(at)), 0)), "missing {at}");
                assert!(unclear(report(gate, |checks| checks[at]["status"] = json!("skip"), 0)), "skipped {at}");
                assert!(unclear(report(gate, |checks| checks[at]["status"] = json!("PASS"), 0)), "unknown {at}");
                assert!(unclear(report(gate, |checks| checks[at]["status"] = json!("fail"), 0)), "exit 0 {at}");
                let failed = report(gate, |checks| checks[at]["status"] = json!("fail"), 4);
                assert!(matches!(failed, ProviderChecked::Failed { ref checks } if checks.len() == 1), "{failed:?}");
            }
            assert!(
                matches!(report(gate, |_| {}, 4), ProviderChecked::Unclear { .. }),
                "nothing failed and it says so"
            );
            assert!(matches!(report(gate, |c| c.push(c[0].clone()), 0), ProviderChecked::Unclear { .. }), "twice");
        }
    }

    #[test]
    fn the_lowest_layer_comes_first() {
        let failed = report(
            Gate::VerifyKey,
            |checks| {
                for check in checks.iter_mut() {
                    let id = check["id"].as_str().unwrap();
                    if ["registry.state", "transit.profile", "openbao.auth"].contains(&id) {
                        check["status"] = json!("fail");
                    }
                }
            },
            4,
        );
        let ProviderChecked::Failed { checks } = failed else { panic!("{failed:?}") };
        let ids: Vec<_> = checks.iter().map(|check| check.id.as_str()).collect();
        assert_eq!(ids, ["openbao.auth", "transit.profile", "registry.state"]);
    }

    #[test]
    fn half_a_report_and_another_one_are_unclear() {
        let ran = |out: &str| Ran { code: Some(0), out: out.into(), err: "Error: x".into() };
        for out in ["", "{", "{\"name\":\"doctor\",\"checks\":[]}", "<html>", "{\"name\":\"verify-key\",\"checks\":[]}"]
        {
            let seen = judge(Gate::VerifyKey, Generation::Json, &ran(out));
            assert!(matches!(seen, ProviderChecked::Unclear { .. }), "{out}");
        }
    }

    #[test]
    fn the_oldest_interface_is_text() {
        let help = |out: &str| Generation::of(&Ran { code: Some(0), out: out.into(), err: String::new() });
        assert_eq!(help("--config string --output string"), Ok(Generation::Json));
        assert_eq!(help("--config string"), Ok(Generation::Text));
        assert!(help("usage: something").is_err());
        let text = "verify-key\n[pass] openbao.auth: Login - ok\n[pass] transit.metadata: M - ok\n[fail] transit.profile: P - key deletion is allowed\n";
        let seen =
            judge(Gate::VerifyKey, Generation::Text, &Ran { code: Some(4), out: text.into(), err: String::new() });
        let check =
            Check { layer: Layer::Transit, id: "transit.profile".into(), message: "key deletion is allowed".into() };
        assert_eq!(seen, ProviderChecked::Failed { checks: vec![check] });
    }
}
