//! kube-apiserver and kube-controller-manager for the lanes that run on them: built once from the module in `tests/real/kubernetes`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use crate::{exec, tools};

/// The parts of the lane `real` that run on them.
const WANTED_BY: [&str; 2] = ["kubernetes", "kms"];

const MODULE: &str = "tests/real/kubernetes";
const PROGRAMS: [&str; 2] = ["kube-apiserver", "kube-controller-manager"];

/// The variable in which the tests hear why they are not there.
pub(crate) const MISSING: &str = "RECOVER_NO_KUBERNETES";

/// Whether a part of `real`, or all of it, runs on them.
pub(crate) fn wanted(lane: &str, part: Option<&str>) -> bool {
    lane == "real" && part.is_none_or(|part| WANTED_BY.contains(&part))
}

/// Held while they are built: who else wants them waits, and finds them.
static BUILDING: Mutex<()> = Mutex::new(());

/// Makes sure that they are there, or says why they cannot be.
pub(crate) fn build() -> Result<(), String> {
    let _alone = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let module = exec::root().join(MODULE).join("go.mod");
    let text = std::fs::read_to_string(&module).map_err(|e| format!("cannot read {}: {e}", module.display()))?;
    let version = version(&text).ok_or_else(|| format!("{} names no version", module.display()))?;
    let folder = tools::folder().join(format!("kubernetes-{version}"));
    if PROGRAMS.iter().all(|program| folder.join(program).is_file()) {
        return Ok(());
    }
    let go = go().ok_or("Go is not installed, so Kubernetes cannot be built")?;
    // Under a name of its own until all of it is there: another build may run beside this one.
    let making = tools::folder().join(format!("kubernetes-{version}.{}", std::process::id()));
    let mut build: Command = exec::command(go);
    build.args(["build", "-C", MODULE, "-trimpath", "-gcflags", "all=-dwarf=false", "-ldflags", "-s -w", "-o"]);
    // Nobody debugs it, its compiler has much to throw away, and a machine that builds this has memory: a good deal less time.
    build.arg(&making).env("CGO_ENABLED", "0").env("GOGC", "400");
    build.args(PROGRAMS.map(|program| format!("k8s.io/kubernetes/cmd/{program}")));
    std::fs::create_dir_all(&making).map_err(|e| format!("cannot make {}: {e}", making.display()))?;
    println!("Kubernetes {version} is being built, once; this takes some minutes");
    let built = exec::run(&mut build)?.ok;
    if built && !folder.exists() {
        std::fs::rename(&making, &folder).map_err(|e| format!("cannot rename {}: {e}", making.display()))?;
    } else {
        drop(std::fs::remove_dir_all(&making));
    }
    if built { Ok(()) } else { Err(format!("Kubernetes {version} could not be built: see above")) }
}

fn version(module: &str) -> Option<&str> {
    module.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes ")?.split(' ').next())
}

/// Go's program: on PATH, or where its own installer puts it.
fn go() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain([Path::new("/usr/local/go/bin").to_owned()]);
    folders.map(|folder| folder.join("go")).find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_is_the_one_that_the_module_requires() {
        let text = std::fs::read_to_string(exec::root().join(MODULE).join("go.mod"));
        let version = text.as_deref().ok().and_then(version).map(str::to_owned);
        assert!(version.is_some_and(|version| version.starts_with("v1.")));
    }

    #[test]
    fn only_what_runs_on_it_waits_for_it() {
        assert!(wanted("real", None) && wanted("real", Some("kubernetes")));
        assert!(!wanted("real", Some("docker")) && !wanted("crash", None));
    }
}
