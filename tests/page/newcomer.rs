//! README, typed as it stands by somebody who has nothing else: killed and resumed, diagnosed, an alert that begins a run and is approved
//! on the page, a bundle that is verified.

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::json;

use crate::Ran;
use crate::driver::Browser;
use crate::packages;
use crate::sandbox::RECOVER;

/// Where it is typed; whatever was started there is ended with it.
struct Typed {
    home: tempfile::TempDir,
    port: u16,
    served: Option<Child>,
}

impl Drop for Typed {
    fn drop(&mut self) {
        if let Some(served) = &mut self.served {
            drop(served.kill());
            drop(served.wait());
        }
        drop(Command::new(RECOVER).args(["sandbox", "down", "--dir"]).arg(self.demo()).stdout(Stdio::null()).status());
    }
}

impl Typed {
    fn demo(&self) -> PathBuf {
        self.home.path().join("demo")
    }

    /// What README has in its section of that name to be typed, each block by itself.
    fn blocks(&self, section: &str) -> Vec<String> {
        let text = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/README.md")).unwrap();
        let section = text.split("\n## ").find(|part| part.lines().next() == Some(section)).unwrap();
        let here = |block: &str| {
            let block = block.replace("/tmp/demo", &self.demo().display().to_string());
            let block = block.replace("8087", &self.port.to_string());
            // Where the machine is slow the run has not begun after a second, and nothing would be resumed.
            let config = self.demo().join("recover.toml");
            let begun =
                format!("until $recover --config {} list | grep -q run_; do sleep 0.1; done;", config.display());
            let block = block.replace("sleep 1;", &begun);
            let block = block.replace(" serve ", &format!(" serve --listen 127.0.0.1:{} ", self.port));
            format!("recover={RECOVER}\n{}", block.replace("recover=target/release/recover\n", ""))
        };
        section.split("```sh\n").skip(1).map(|rest| here(rest.split("```").next().unwrap())).collect()
    }

    fn shell(&self, block: &str) -> Command {
        let mut command = Command::new("/bin/bash");
        command.arg("-c").arg(block).current_dir(self.home.path()).env("HOME", self.home.path());
        command.stdin(Stdio::null()).stderr(Stdio::null());
        command
    }

    fn said(&self, block: &str) -> String {
        let output = self.shell(block).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

fn is_there(path: &Path) -> bool {
    path.symlink_metadata().is_ok()
}

pub fn newcomer() -> Ran {
    packages::needed(&[("chromium", "chromium"), ("chromedriver", "chromium-driver"), ("curl", "curl")])?;
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut typed = Typed { home: tempfile::tempdir().unwrap(), port, served: None };
    let [kill] = typed.blocks("Kill it").try_into().unwrap();
    let told = typed.said(&kill);
    assert!(told.contains("\"pairs\":1") && told.contains("\"pair_attempts\":1"), "{told}");
    let [diagnose, bundle] = typed.blocks("What is it?").try_into().unwrap();
    let told = typed.said(&diagnose);
    assert!(told.contains("healthy (certain)"), "{told}");
    assert!(typed.shell(&bundle).status().unwrap().success());

    let [serve, alert, keep] = typed.blocks("In a browser").try_into().unwrap();
    let serve = serve.replace("$recover --config", "exec $recover --config");
    let mut served = typed.shell(&serve).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(served.stdout.take().unwrap()).lines();
    typed.served = Some(served);
    assert!(lines.any(|line| line.unwrap().starts_with("serving ")), "it does not serve");
    let told = typed.said(&alert);
    assert!(told.contains("\"outcome\":\"held\""), "{told}");

    let browser = Browser::open()?;
    browser.go(&format!("http://127.0.0.1:{port}/"));
    browser.until("it asks who is there", "!document.getElementById('sign-in').hidden");
    browser.write("#token", std::fs::read_to_string(typed.demo().join("state/serve.token")).unwrap().trim());
    browser.click("#sign-in button");
    browser.until("the alert waits", "document.querySelectorAll('#alerts li').length === 1");
    browser.click("#alerts button");
    browser.until("it asks", "!document.getElementById('question').hidden");
    browser.write("#reason", "I looked: the disk is gone");
    browser.click("#choices button");
    browser.until("it recovered", "document.getElementById('detail-title').textContent.endsWith('closed')");
    assert!(browser.script("return document.querySelectorAll('#chart rect').length").as_u64().unwrap() > 20);
    assert_eq!(browser.script("return document.querySelectorAll('#chart .here').length"), json!(1));
    assert!(browser.script("return document.querySelectorAll('#evidence details').length").as_u64().unwrap() > 0);
    let run = browser.script("return location.hash.split('/').pop()").as_str().unwrap().to_owned();
    browser.go(&format!("http://127.0.0.1:{port}/api/v1/runs/{run}/report"));
    browser.until("the report is there", "document.body.innerText.includes('I looked: the disk is gone')");

    let told = typed.said(&keep.replace("RUN", &run));
    assert!(told.contains("verified: signature, hashes, transitions and guards hold"), "{told}");
    assert!(is_there(&typed.demo().join("case.json")) && told.contains(&run), "{told}");
    Ok("README typed as it stands: killed, resumed, diagnosed, alerted, approved on the page, reported, verified"
        .into())
}
