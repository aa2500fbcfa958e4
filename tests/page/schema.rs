//! The interface asked at random by its own description: schemathesis, from PyPI, in a folder of its own.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::Ran;
use crate::packages;
use crate::sandbox::Sandbox;
use crate::served::Served;

const VERSION: &str = "4.32.5";

/// Where `cargo xtask` keeps tools; else beside what is built.
fn tools() -> PathBuf {
    let beside = || Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap().join("tools");
    std::env::var_os("RECOVER_TOOLS").map_or_else(beside, PathBuf::from)
}

pub fn schema() -> Ran {
    packages::needed(&[("python3", "python3")])?;
    let tools = tools().join(format!("schemathesis-{VERSION}"));
    let program = tools.join("bin/schemathesis");
    if !program.exists() {
        let made = Command::new("python3").args(["-m", "venv"]).arg(&tools).stdout(Stdio::null()).status();
        if !made.is_ok_and(|status| status.success()) {
            packages::needed(&[("python3-venv-is-there", "python3-venv")]).ok();
            let again = Command::new("python3").args(["-m", "venv"]).arg(&tools).stdout(Stdio::null()).status();
            if !again.is_ok_and(|status| status.success()) {
                return Err(
                    "a virtual environment of Python cannot be made (Debian: apt-get install python3-venv)".into()
                );
            }
        }
        let pip = Command::new(tools.join("bin/pip"))
            .args(["install", "--quiet", &format!("schemathesis=={VERSION}")])
            .status();
        if !pip.is_ok_and(|status| status.success()) {
            return Err("schemathesis could not be installed from PyPI".into());
        }
    }
    let sandbox = Sandbox::up();
    let served = Served::start(&sandbox);
    let (url, before) = (format!("http://{}", served.address), sandbox.ledger());
    let output = Command::new(program)
        .args(["run", &format!("{url}/api/v1/openapi.json"), "--url", &url])
        .args(["--header", &format!("Authorization: Bearer {}", served.token)])
        .args([
            "--checks",
            "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance",
        ])
        // A stream of events has no end, and a session that is deleted takes nothing away from a bearer.
        .args(["--exclude-path-regex", "events$"])
        .args(["--max-examples", "40", "--seed", "1", "--no-color", "--request-timeout", "10"])
        .current_dir(sandbox.dir())
        .output()
        .map_err(|e| format!("schemathesis: {e}"))?;
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    for effect in ["pairs", "mints", "revokes", "starts"] {
        assert_eq!(sandbox.ledger()[effect], before[effect], "{effect}: asking at random did something");
    }
    let figures =
        told.lines().rev().find(|line| line.contains("generated") || line.contains("passed")).unwrap_or_default();
    Ok(format!("asked at random: {}", figures.trim()))
}
