//! What is given to others: a static binary, a Debian package, an archive, and the folder that a container image is built from.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::exec::{self, cargo};
use crate::heavy::Heavy;
use crate::lane::{Lane, Outcome};
use crate::profile::Profile;

/// What tries it out.
const TRIAL: Heavy = Heavy { name: "package", title: "", text: "", targets: &["package"], night: false, parts: None };

/// Where it all is afterwards.
fn folder() -> PathBuf {
    exec::root().join("target/package")
}

/// Builds the packages as they are given to others, and tries them out.
pub(crate) fn lane() -> Lane {
    Lane::run("package", || tried(dist(), Profile::Release, true))
}

/// The same with a binary of the profile that tests are built in: what is only tried out need not be fast.
pub(crate) fn quick(profile: Profile) -> Lane {
    Lane::run("package --quick", || tried(linked(profile), profile, false))
}

fn tried(binary: Result<PathBuf, String>, profile: Profile, full: bool) -> Outcome {
    match binary.and_then(|binary| build(&binary, if full { "-z6" } else { "-z1" })) {
        Ok(made) => {
            let mut outcome = TRIAL.lane(profile, full, None).outcome;
            outcome.notes.extend(made);
            outcome
        }
        Err(why) => Outcome::failed(why),
    }
}

/// Builds everything around the binary, compressed as hard as is said; what was made, in words.
fn build(binary: &Path, effort: &str) -> Result<Vec<String>, String> {
    let version = version()?;
    let arch = said("dpkg", &["--print-architecture"])?;
    let out = folder();
    if out.exists() {
        std::fs::remove_dir_all(&out).map_err(|e| format!("{}: {e}", out.display()))?;
    }
    let image = out.join("image");
    put(binary, &image.join("recover"), 0o755)?;
    let tree = out.join("tree");
    stage(binary, &tree)?;
    let archive = format!("recover-{version}-{arch}.tar.gz");
    let tar = ["--owner=0", "--group=0", "--sort=name", "-czf", &archive, "-C", "tree", "."];
    ran("tar", &tar, &out)?;
    control(&tree, &version, &arch)?;
    let deb = format!("recover_{version}_{arch}.deb");
    ran("dpkg-deb", &["--root-owner-group", "-Zxz", effort, "--build", "tree", &deb], &out)?;
    std::fs::remove_dir_all(&tree).map_err(|e| format!("{}: {e}", tree.display()))?;
    let sums = said_in("sha256sum", &[&deb, &archive, "image/recover"], &out)?;
    write(&out.join("SHA256SUMS"), &format!("{sums}\n"), 0o644)?;
    let size = |name: &str| {
        let len = std::fs::metadata(out.join(name)).map_or(0, |meta| meta.len());
        format!("{name}: {:.1} MiB", len as f64 / f64::from(1 << 20))
    };
    Ok([deb.as_str(), &archive, "image/recover"].map(size).to_vec())
}

/// The triple of this machine. Named, so that the flags for the binary are not those of what only builds it.
fn host() -> Result<String, String> {
    let told = said("rustc", &["-vV"])?;
    let line = told.lines().find_map(|line| line.strip_prefix("host: "));
    line.map(str::to_owned).ok_or_else(|| "rustc does not say what it builds for".into())
}

fn version() -> Result<String, String> {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"])
        .output()
        .map_err(|e| format!("cargo metadata: {e}"))?;
    let metadata: serde_json::Value =
        serde_json::from_slice(&metadata.stdout).map_err(|e| format!("cargo metadata: {e}"))?;
    let packages = metadata["packages"].as_array().into_iter().flatten();
    let version = packages.into_iter().find(|package| package["name"] == "recover").and_then(|p| p["version"].as_str());
    version.map(str::to_owned).ok_or_else(|| "cargo metadata does not name recover".into())
}

/// A binary that needs no library. Only the last crate is built for it: what is below is shared with the tests' build, where it has
/// the same features.
fn linked(profile: Profile) -> Result<PathBuf, String> {
    let mut build = cargo(&["rustc", "--package", "recover", "--bin", "recover"]);
    build.args(profile.args()).args(["--", "-C", "target-feature=+crt-static", "-C", "strip=symbols"]);
    built(&mut build).map(|()| profile.folder().join("recover"))
}

/// A fast binary that needs no library. musl where its target is installed, else glibc, whose resolver is part of it since 2.34.
fn dist() -> Result<PathBuf, String> {
    let host = host()?;
    let musl = host.replace("-gnu", "-musl");
    let installed = PathBuf::from(said("rustc", &["--print", "sysroot"])?).join("lib/rustlib").join(&musl).is_dir();
    let target = if installed { musl } else { host };
    let mut build = cargo(&["build", "--bin", "recover", "--profile", "dist", "--target", &target]);
    build.env("RUSTFLAGS", "-C target-feature=+crt-static");
    build.env("CARGO_PROFILE_DIST_DEBUG", "0").env("CARGO_PROFILE_DIST_STRIP", "symbols");
    built(&mut build).map(|()| exec::root().join("target").join(target).join("dist/recover"))
}

fn built(build: &mut Command) -> Result<(), String> {
    if exec::run(build)?.ok { Ok(()) } else { Err("the static binary could not be built".into()) }
}

/// What is installed, as it lies under `/`.
fn stage(binary: &Path, tree: &Path) -> Result<(), String> {
    let root = exec::root();
    let at = |path: &str| tree.join(path);
    put(binary, &at("usr/bin/recover"), 0o755)?;
    let packaging = root.join("packaging");
    put(&packaging.join("recover.service"), &at("usr/lib/systemd/system/recover.service"), 0o644)?;
    put(&packaging.join("recover.sysusers"), &at("usr/lib/sysusers.d/recover.conf"), 0o644)?;
    put(&packaging.join("recover.toml"), &at("etc/recover/recover.toml"), 0o644)?;
    let doc = at("usr/share/doc/recover");
    for name in ["README.md", "ARCHITECTURE.md", "FORMAT.md"] {
        put(&root.join(name), &doc.join(name), 0o644)?;
    }
    put(&root.join("LICENSE"), &doc.join("copyright"), 0o644)?;
    put(&root.join("CHANGELOG.md"), &doc.join("changelog"), 0o644)?;
    ran("gzip", &["-9n", "changelog"], &doc)?;
    pages(&root.join("docs"), &doc.join("docs"))?;
    let binary = binary.display().to_string();
    for (shell, file) in [
        ("bash", "usr/share/bash-completion/completions/recover"),
        ("zsh", "usr/share/zsh/vendor-completions/_recover"),
        ("fish", "usr/share/fish/vendor_completions.d/recover.fish"),
    ] {
        write(&at(file), &format!("{}\n", said(&binary, &["completions", shell])?), 0o644)?;
    }
    let man = at("usr/share/man/man1");
    std::fs::create_dir_all(&man).map_err(|e| format!("{}: {e}", man.display()))?;
    said(&binary, &["man", "--dir", &man.display().to_string()])?;
    let pages = std::fs::read_dir(&man).map_err(|e| format!("{}: {e}", man.display()))?;
    let pages: Vec<String> = pages.filter_map(|page| page.ok()?.file_name().into_string().ok()).collect();
    let words: Vec<&str> = ["-9n"].into_iter().chain(pages.iter().map(String::as_str)).collect();
    ran("gzip", &words, &man)
}

/// The pages of a folder, and of those in it.
fn pages(from: &Path, to: &Path) -> Result<(), String> {
    let entries = std::fs::read_dir(from).map_err(|e| format!("{}: {e}", from.display()))?;
    for entry in entries.flatten() {
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            pages(&path, &target)?;
        } else {
            put(&path, &target, 0o644)?;
        }
    }
    Ok(())
}

/// What makes a package of the tree.
fn control(tree: &Path, version: &str, arch: &str) -> Result<(), String> {
    let size = said_in("du", &["-sk", "--apparent-size", "."], tree)?;
    let size = size.split_whitespace().next().unwrap_or("0").to_owned();
    let (from, to) = (exec::root().join("packaging/debian"), tree.join("DEBIAN"));
    let control = from.join("control");
    let text = std::fs::read_to_string(&control).map_err(|e| format!("{}: {e}", control.display()))?;
    let text = text.replace("@VERSION@", version).replace("@ARCH@", arch).replace("@SIZE@", &size);
    write(&to.join("control"), &text, 0o644)?;
    put(&from.join("conffiles"), &to.join("conffiles"), 0o644)?;
    ["postinst", "prerm", "postrm"].iter().try_for_each(|name| put(&from.join(name), &to.join(name), 0o755))
}

fn put(from: &Path, to: &Path, mode: u32) -> Result<(), String> {
    beneath(to)?;
    std::fs::copy(from, to).map_err(|e| format!("{}: {e}", from.display()))?;
    allow(to, mode)
}

fn write(to: &Path, text: &str, mode: u32) -> Result<(), String> {
    beneath(to)?;
    std::fs::write(to, text).map_err(|e| format!("{}: {e}", to.display()))?;
    allow(to, mode)
}

fn beneath(path: &Path) -> Result<(), String> {
    let parent = path.parent().unwrap_or(path);
    std::fs::create_dir_all(parent).map_err(|e| format!("{}: {e}", parent.display()))
}

fn allow(path: &Path, mode: u32) -> Result<(), String> {
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode))
        .map_err(|e| format!("{}: {e}", path.display()))
}

fn ran(program: &str, words: &[&str], dir: &Path) -> Result<(), String> {
    said_in(program, words, dir).map(|_| ())
}

fn said(program: &str, words: &[&str]) -> Result<String, String> {
    said_in(program, words, &exec::root())
}

/// What a program prints; an error with what it complained of if it failed.
fn said_in(program: &str, words: &[&str], dir: &Path) -> Result<String, String> {
    let output = exec::command(program).args(words).current_dir(dir).output().map_err(|e| format!("{program}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr).trim()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
}
