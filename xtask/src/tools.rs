//! The cargo plugins that the lanes need: installed once for this user, at a version that is written down here.

use std::path::PathBuf;

use crate::exec;

/// A cargo plugin.
pub(crate) struct Tool {
    name: &'static str,
    version: &'static str,
    /// What of it has much to compute: the rest is built to be used at once rather than to be fast.
    fast: Option<&'static str>,
}

/// Licences, sources, bans, advisories.
pub(crate) const DENY: Tool = Tool { name: "cargo-deny", version: "0.20.2", fast: Some("spdx") };
/// libFuzzer's driver.
pub(crate) const FUZZ: Tool = Tool { name: "cargo-fuzz", version: "0.13.2", fast: None };

/// Mutants.
pub(crate) const MUTANTS: Tool = Tool { name: "cargo-mutants", version: "27.1.0", fast: None };

/// Tells test targets where tools are kept.
pub(crate) const VARIABLE: &str = "RECOVER_TOOLS";

/// Where the plugins are: outside of the checkout, so that the next checkout need not build them again.
pub(crate) fn folder() -> PathBuf {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let cache = || set("XDG_CACHE_HOME").or_else(|| Some(set("HOME")?.join(".cache")));
    let own = || Some(cache().filter(|path| path.is_absolute())?.join("recover-tools"));
    set(VARIABLE).or_else(own).unwrap_or_else(|| exec::root().join("target/tools"))
}

impl Tool {
    /// The plugin's path; it is installed first if it is not there.
    pub(crate) fn binary(&self) -> Result<PathBuf, String> {
        // The version is part of what is looked for: a changed version above is installed anew.
        let stamp = folder().join(format!("{}-{}", self.name, self.version));
        let binary = folder().join("bin").join(self.name);
        if binary.is_file() && stamp.is_file() {
            return Ok(binary);
        }
        let mut install = exec::cargo(&["install", "--locked", "--force", "--root"]);
        install.arg(folder()).arg(format!("{}@{}", self.name, self.version));
        install
            .env("CARGO_TARGET_DIR", folder().join("build"))
            .env("CARGO_PROFILE_RELEASE_LTO", "off")
            .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
            .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "0")
            .env("CARGO_PROFILE_RELEASE_DEBUG", "0")
            .env_remove("RUSTFLAGS");
        if let Some(name) = self.fast {
            install.arg("--config").arg(format!("profile.release.package.{name}.opt-level=3"));
        }
        if exec::run(&mut install)?.ok {
            std::fs::write(&stamp, "").map_err(|e| format!("cannot write {}: {e}", stamp.display()))?;
            Ok(binary)
        } else {
            Err(format!("{} {} could not be installed: see above", self.name, self.version))
        }
    }
}
