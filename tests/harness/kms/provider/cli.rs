//! The command line: commands and flags by generation, help as Cobra prints it, exit codes.

use std::path::PathBuf;

use super::report::Output;
use super::settings::Settings;
use super::{Generation, checks, ledger, plan, plugin_version, probe, serve};

const COMMANDS: &[(&str, &str, Generation)] = &[
    ("config", "Print resolved configuration", Generation::One),
    ("doctor", "Run preflight checks", Generation::One),
    ("probe", "Check a running KMS v2 Unix socket without loading credentials", Generation::Two),
    ("rotation-plan", "Report rotation state", Generation::One),
    ("serve", "Start the KMS provider", Generation::One),
    ("verify-key", "Verify Transit key suitability", Generation::One),
    ("verify-rotation", "Report local rotation preflight state", Generation::One),
    ("version", "Print version information", Generation::One),
];

fn flags(command: &str) -> Vec<(&'static str, &'static str)> {
    let output = ("output", "Output format: text or json");
    let mut flags = match command {
        "doctor" => {
            vec![("encryption-config", "Path to Kubernetes EncryptionConfiguration for provider validation"), output]
        }
        "verify-key" | "rotation-plan" | "verify-rotation" => vec![output],
        "probe" => vec![
            ("socket", "Absolute Unix socket path"),
            ("expected-key-id", "Require this active key ID from a verified peer"),
            ("timeout", "Deadline for the complete probe"),
            output,
        ],
        _ => Vec::new(),
    };
    flags.push(("config", "Path to the provider configuration file"));
    flags
}

fn help(command: Option<&str>, generation: Generation) {
    match command {
        None => {
            println!("OpenBao KMS v2 provider\n\nUsage:\n  bao-kms-provider [command]\n\nAvailable Commands:");
            for (name, short, since) in COMMANDS {
                if generation >= *since {
                    println!("  {name:<16} {short}");
                }
            }
            println!("\nUse \"bao-kms-provider [command] --help\" for more information about a command.");
        }
        Some(command) => {
            let short = COMMANDS.iter().find(|(name, ..)| *name == command).map_or("", |(_, short, _)| short);
            println!("{short}\n\nUsage:\n  bao-kms-provider {command} [flags]\n\nFlags:");
            for (name, what) in flags(command) {
                println!("      --{name} string   {what}");
            }
        }
    }
}

fn usage(why: &str) -> u8 {
    eprintln!("Error: {why}");
    2
}

/// Everything behind the program's name; gives the exit code.
pub async fn run(words: &[String], generation: Generation) -> u8 {
    let Some(command) = words.first().filter(|word| !word.starts_with('-')) else {
        help(None, generation);
        return 0;
    };
    if !COMMANDS.iter().any(|(name, _, since)| name == command && generation >= *since) {
        return usage(&format!("unknown command {command:?} for \"bao-kms-provider\""));
    }
    let mut given = std::collections::BTreeMap::new();
    let mut rest = words[1..].iter();
    let mut positional = Vec::new();
    while let Some(word) = rest.next() {
        if word == "--help" || word == "-h" {
            help(Some(command), generation);
            return 0;
        }
        let Some(flag) = word.strip_prefix("--") else {
            positional.push(word.clone());
            continue;
        };
        let (name, value) = match flag.split_once('=') {
            Some((name, value)) => (name, Some(value.to_owned())),
            None => (flag, rest.next().cloned()),
        };
        if !flags(command).iter().any(|(known, _)| *known == name) {
            return usage(&format!("unknown flag: --{name}"));
        }
        let Some(value) = value else { return usage(&format!("flag needs an argument: --{name}")) };
        given.insert(name.to_owned(), value);
    }
    let schema = command == "config" && positional == ["schema"];
    if !positional.is_empty() && !schema {
        return usage(&format!("unknown command {:?} for \"bao-kms-provider {command}\"", positional[0]));
    }
    let output = match given.get("output").map(String::as_str) {
        None | Some("text") => Output::Text,
        Some("json") => Output::Json,
        Some(other) => return usage(&format!("unsupported output format {other:?}")),
    };
    ledger::note("command", &serde_json::json!(words));
    let path = |name: &str| given.get(name).map(PathBuf::from);
    let config = path("config").unwrap_or_else(|| "/etc/openbao-kms/config.yaml".into());
    match command.as_str() {
        "version" => {
            println!("{}", plugin_version());
            0
        }
        "config" => configuration(&config, positional.is_empty()),
        "doctor" => {
            let (report, code) = checks::doctor(&config, path("encryption-config").as_deref(), generation).await;
            report.print(output);
            ended(code, report.failed(), "doctor checks failed")
        }
        "verify-key" => {
            let (report, code) = checks::verify_key(&config, generation).await;
            report.print(output);
            ended(code, report.failed(), "verify-key checks failed")
        }
        "probe" => {
            let socket = path("socket").unwrap_or_else(|| "/run/openbao-kms/kms.sock".into());
            if !socket.is_absolute() {
                return usage("--socket must be an absolute Unix socket path");
            }
            let report = probe::probe(&socket, given.get("expected-key-id").map(String::as_str)).await;
            report.print(output);
            ended(None, report.failed(), "running provider probe failed")
        }
        _ => {
            let settings = match Settings::load(&config) {
                Ok(settings) => settings,
                Err(why) => return failed(3, &why),
            };
            let flaw = if command == "serve" { super::socket::folder_flaw(&settings).err() } else { None };
            if let Some(why) = settings.problem().or(flaw) {
                return failed(3, &why);
            }
            if command == "serve" {
                return serve::serve(&settings, generation).await.map_or_else(|why| failed(5, &why), |()| 0);
            }
            let (code, why) = plan::report(command, &settings, generation, output).await;
            why.map_or(code, |why| failed(code, &why))
        }
    }
}

fn failed(code: u8, why: &str) -> u8 {
    eprintln!("Error: {why}");
    code
}

fn ended(code: Option<u8>, checks_failed: bool, why: &str) -> u8 {
    match code {
        Some(code) => failed(code, why),
        None if checks_failed => failed(4, why),
        None => 0,
    }
}

fn configuration(path: &std::path::Path, resolved: bool) -> u8 {
    if !resolved {
        println!(
            "{}",
            serde_json::json!({ "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object",
            "required": ["configVersion"], "additionalProperties": false,
            "properties": { "configVersion": { "const": "v1alpha1" } } })
        );
        return 0;
    }
    match Settings::load(path) {
        Err(why) => failed(3, &why),
        Ok(settings) => {
            print!("{}", serde_yaml_ng::to_string(&settings).unwrap());
            if settings.problem().is_none() {
                println!("identityFingerprint: {}", settings.fingerprint());
            }
            0
        }
    }
}
