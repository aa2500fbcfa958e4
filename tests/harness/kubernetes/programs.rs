//! Where `cargo xtask real` keeps the programs of Kubernetes that it built.

use std::path::{Path, PathBuf};

/// The folder, or why there is none.
pub fn programs() -> Result<PathBuf, String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let module = std::fs::read_to_string(root.join("tests/real/kubernetes/go.mod")).map_err(|e| e.to_string())?;
    let version = module.lines().find_map(|line| line.trim().strip_prefix("k8s.io/kubernetes ")?.split(' ').next());
    let version = version.ok_or("tests/real/kubernetes/go.mod names no version")?;
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let tools = set("RECOVER_TOOLS").or_else(|| Some(cache()?.join("recover-tools"))).unwrap_or_default();
    let folder = tools.join(format!("kubernetes-{version}"));
    if folder.join("kube-apiserver").is_file() && folder.join("kube-controller-manager").is_file() {
        return Ok(folder);
    }
    let why = std::env::var("RECOVER_NO_KUBERNETES").unwrap_or("`cargo xtask real` builds it".to_owned());
    Err(format!("kube-apiserver {version} is not there: {why}"))
}
