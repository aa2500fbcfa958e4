//! Runs one command: its output goes to the terminal as it comes, and the lines that count are kept.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::lane::Tally;

/// What came of a command.
pub(crate) struct Ran {
    pub(crate) ok: bool,
    pub(crate) tally: Tally,
    /// The last lines of its standard output.
    pub(crate) tail: Vec<String>,
}

const TAIL_LINES: usize = 40;

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// A command that starts in the workspace's folder.
pub(crate) fn command(program: impl AsRef<OsStr>) -> Command {
    let mut command = Command::new(program);
    command.current_dir(root());
    // What cargo set for this process is about this process's package, and would only rebuild things.
    for (name, _) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if text.starts_with("CARGO_PKG_") || text.starts_with("CARGO_MANIFEST") || text == "CARGO_PRIMARY_PACKAGE" {
            command.env_remove(&name);
        }
    }
    command
}

/// `cargo` with these arguments; the one that runs us, so that the toolchain is the same.
pub(crate) fn cargo<S: AsRef<OsStr>>(args: &[S]) -> Command {
    let mut command = command(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(args);
    command
}

/// Runs a command and shows everything it says.
pub(crate) fn run(command: &mut Command) -> Result<Ran, String> {
    follow(command, None)
}

/// Runs a command and keeps what it says on standard output in a file. What it says of this lane is shown as it comes: some take long.
pub(crate) fn run_into(command: &mut Command, lane: &str, log: &Path) -> Result<Ran, String> {
    follow(command, Some((created(log)?, lane)))
}

/// Runs a command, keeps all that it says in a file, and gives the file's last lines too.
pub(crate) fn run_quietly(command: &mut Command, log: &Path) -> Result<Ran, String> {
    command.stderr(created(log)?);
    let mut ran = run(command)?;
    let text = std::fs::read(log).map_err(|e| format!("cannot read {}: {e}", log.display()))?;
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    ran.tail = lines.iter().skip(lines.len().saturating_sub(TAIL_LINES)).map(|line| (*line).to_owned()).collect();
    Ok(ran)
}

fn created(log: &Path) -> Result<File, String> {
    File::create(log).map_err(|e| format!("cannot write {}: {e}", log.display()))
}

/// Whether a line begins with the name of a lane.
fn tells_of(line: &str, lane: &str) -> bool {
    line.strip_prefix(lane).is_some_and(|rest| rest.starts_with([' ', ':']))
}

fn follow(command: &mut Command, mut log: Option<(File, &str)>) -> Result<Ran, String> {
    eprintln!("$ {}", shown(command));
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child =
        command.stdout(Stdio::piped()).spawn().map_err(|e| format!("`{program}` could not be started: {e}"))?;
    let mut ran = Ran { ok: false, tally: Tally::default(), tail: Vec::new() };
    if let Some(stdout) = child.stdout.take() {
        for line in BufReader::new(stdout).split(b'\n') {
            let line = line.map_err(|e| format!("the output of `{program}` cannot be read: {e}"))?;
            let line = String::from_utf8_lossy(&line).into_owned();
            match &mut log {
                Some((log, lane)) => {
                    writeln!(log, "{line}").map_err(|e| format!("the log cannot be written: {e}"))?;
                    if tells_of(&line, lane) {
                        println!("{line}");
                    }
                }
                None => println!("{line}"),
            }
            ran.tally.count(&line);
            if ran.tail.len() == TAIL_LINES {
                ran.tail.remove(0);
            }
            ran.tail.push(line);
        }
    }
    ran.ok = child.wait().map_err(|e| format!("`{program}` could not be waited for: {e}"))?.success();
    Ok(ran)
}

/// The command as one would type it.
fn shown(command: &Command) -> String {
    let set = command.get_envs().filter_map(|(name, value)| {
        let value = value?.to_string_lossy();
        let value = if value.contains(' ') { format!("\"{value}\"") } else { value.into_owned() };
        (name != "PATH").then(|| format!("{}={value}", name.to_string_lossy()))
    });
    let program = Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let args = command.get_args().map(|arg| arg.to_string_lossy().into_owned());
    set.chain([program]).chain(args).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_of_a_lane_where_it_begins_with_its_name() {
        for (line, told) in [
            ("real kms: K1 socket gone: recovered", true),
            ("real: kms: 167 losses", true),
            ("realm: something else", false),
            ("test result: ok", false),
            ("real", false),
        ] {
            assert_eq!(tells_of(line, "real"), told, "{line}");
        }
    }
}
