//! Alertmanager itself, from Debian, sends to `recover serve`, again and again; one run comes of it.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::json;

use crate::Ran;
use crate::packages;
use crate::sandbox::Sandbox;
use crate::served::Served;

const ALERT: &str = "ControlPlaneConnectorBootstrapFallbackSuspectedHigh";

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

pub fn alertmanager() -> Ran {
    packages::needed(&[("prometheus-alertmanager", "prometheus-alertmanager"), ("curl", "curl")])?;
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let rule = format!("\n[[serve.alert]]\nname = {ALERT:?}\nscenario = \"identity-loss\"\nstart = \"now\"\n");
    let text = std::fs::read_to_string(sandbox.config()).unwrap();
    std::fs::write(sandbox.config(), text + &rule).unwrap();
    let served = Served::start(&sandbox);
    let home = tempfile::tempdir().unwrap();
    let token = home.path().join("token");
    std::fs::write(&token, &served.token).unwrap();
    let config = home.path().join("alertmanager.yml");
    let text = format!(
        "route:\n  receiver: recover\n  group_wait: 0s\n  group_interval: 1s\n  repeat_interval: 1s\nreceivers:\n  - name: recover\n    \
         webhook_configs:\n      - url: http://{}/alerts\n        http_config:\n          authorization:\n            credentials_file: {}\n",
        served.address,
        token.display()
    );
    std::fs::write(&config, text).unwrap();
    let address = format!("127.0.0.1:{}", free_port());
    let running = Command::new("prometheus-alertmanager")
        .arg(format!("--config.file={}", config.display()))
        .arg(format!("--storage.path={}", home.path().join("data").display()))
        .arg(format!("--web.listen-address={address}"))
        .arg("--cluster.listen-address=")
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .map_err(|e| format!("prometheus-alertmanager: {e}"))?;
    let _running = Ended(running);
    let alert = json!([{ "labels": { "alertname": ALERT, "target": "edge-1" }, "annotations": { "summary": "x" } }])
        .to_string();
    let url = format!("http://{address}/api/v2/alerts");
    let words = ["--silent", "--fail", "--header", "Content-Type: application/json", "--data", &alert, &url];
    let until = Instant::now() + Duration::from_secs(30);
    while !Command::new("curl").args(words).status().is_ok_and(|status| status.success()) {
        assert!(Instant::now() < until, "Alertmanager takes no alert");
        std::thread::sleep(Duration::from_millis(100));
    }
    let begun = || served.runs().first().map(|run| run["run"].as_str().unwrap().to_owned());
    let run = loop {
        if let Some(run) = begun() {
            break run;
        }
        assert!(Instant::now() < until, "no run came of it: {}", served.get("/metrics").body);
        std::thread::sleep(Duration::from_millis(100));
    };
    served.until(&run, "closed");
    // It goes on firing, and is sent again.
    let sent = || {
        let metrics = served.get("/metrics").body;
        metrics
            .lines()
            .filter(|line| line.starts_with("recover_alerts_total"))
            .filter_map(|line| line.rsplit(' ').next()?.parse::<u64>().ok())
            .sum::<u64>()
    };
    let until = Instant::now() + Duration::from_secs(30);
    while sent() < 3 {
        assert!(Instant::now() < until, "it was not sent again: {}", served.get("/metrics").body);
        std::thread::sleep(Duration::from_millis(100));
    }
    assert_eq!((served.runs().len(), sandbox.ledger()["pairs"].clone()), (1, json!(1)));
    Ok(format!("Alertmanager sent it {} times; one run, one pairing", sent()))
}
