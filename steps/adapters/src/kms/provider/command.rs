//! Running the provider's program for its own checks: by its absolute path, as its own user, with nothing of our environment.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::AsyncReadExt as _;

use crate::kms::users::Who;

/// No report is longer. Bytes.
const OUTPUT_MOST: u64 = 1 << 20;
const SETPRIV: &str = "/usr/bin/setpriv";

/// What a command printed, and its exit code.
#[derive(Clone, Debug)]
pub(in crate::kms) struct Ran {
    pub(in crate::kms) code: Option<i32>,
    pub(in crate::kms) out: String,
    pub(in crate::kms) err: String,
}

/// Runs a program as somebody. What it was given is not passed to a shell, and it finds nothing of ours in its environment.
pub(in crate::kms) async fn run(program: &Path, words: &[String], who: &Who, within: Duration) -> Result<Ran, String> {
    let shown = program.display();
    let here = Who::here();
    let mut command = if who.uid == here.uid {
        tokio::process::Command::new(program)
    } else if here.uid == 0 {
        let groups = who.groups.iter().map(u32::to_string).collect::<Vec<_>>().join(",");
        let groups = if groups.is_empty() { "--clear-groups".to_owned() } else { format!("--groups={groups}") };
        let mut command = tokio::process::Command::new(SETPRIV);
        command.args([format!("--reuid={}", who.uid), format!("--regid={}", who.gid), groups]);
        command.args(["--no-new-privs", "--"]).arg(program);
        command
    } else {
        return Err(format!("{shown} cannot be run as user {}: recover is neither root nor that user", who.uid));
    };
    command
        .args(words)
        .env_clear()
        .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().map_err(|e| format!("{shown} cannot be run: {e}"))?;
    let (out, err) = (child.stdout.take(), child.stderr.take());
    let ended = async {
        // One after the other could wait for ever where the other pipe is full.
        let (out, err) = tokio::join!(all(out), all(err));
        let status = child.wait().await.map_err(|e| format!("{shown}: {e}"))?;
        Ok(Ran { code: status.code(), out: out.map_err(|e| format!("{shown}: {e}"))?, err: err.unwrap_or_default() })
    };
    tokio::time::timeout(within, ended)
        .await
        .unwrap_or_else(|_| Err(format!("{shown} did not end within {} ms", within.as_millis())))
}

async fn all(pipe: Option<impl tokio::io::AsyncRead + Unpin>) -> Result<String, String> {
    let Some(pipe) = pipe else { return Ok(String::new()) };
    let mut bytes = Vec::new();
    pipe.take(OUTPUT_MOST + 1).read_to_end(&mut bytes).await.map_err(|e| e.to_string())?;
    if bytes.len() as u64 > OUTPUT_MOST {
        return Err("it printed more than 1 MiB".into());
    }
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(all: &[&str]) -> Vec<String> {
        all.iter().map(|word| (*word).to_owned()).collect()
    }

    #[tokio::test]
    async fn its_environment_is_empty_and_its_words_are_its_own() {
        let within = Duration::from_secs(10);
        let ran = run(Path::new("/usr/bin/env"), &[], &Who::here(), within).await.unwrap();
        assert_eq!(ran.out.trim(), "PATH=/usr/sbin:/usr/bin:/sbin:/bin");
        let ran = run(Path::new("/bin/echo"), &words(&["$(id)", "a b"]), &Who::here(), within).await.unwrap();
        assert_eq!((ran.out.trim(), ran.code), ("$(id) a b", Some(0)));
        assert!(run(Path::new("/no/such"), &[], &Who::here(), within).await.is_err());
        let late = run(Path::new("/bin/sleep"), &words(&["30"]), &Who::here(), Duration::from_millis(50)).await;
        assert!(late.unwrap_err().contains("did not end"));
        let endless = run(Path::new("/usr/bin/yes"), &[], &Who::here(), within).await;
        assert!(endless.unwrap_err().contains("more than"));
    }

    #[tokio::test]
    async fn as_root_it_runs_as_who_it_is_told() {
        if Who::here().uid != 0 {
            return;
        }
        let who = Who { uid: 64_201, gid: 64_201, groups: vec![64_210] };
        let ran = run(Path::new("/usr/bin/id"), &[], &who, Duration::from_secs(10)).await.unwrap();
        assert!(
            ran.out.contains("uid=64201") && ran.out.contains("64210") && !ran.out.contains("(root)"),
            "{}",
            ran.out
        );
    }
}
