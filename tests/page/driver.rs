//! Chromium, driven as a person would: over WebDriver, by its own driver.
//!
//! Facts: W3C WebDriver; `goog/cdp/execute` for what only the developer tools can set.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

/// The name of an element's id in replies.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

/// One browser with one window.
pub struct Browser {
    driver: Child,
    port: u16,
    session: String,
    _profile: tempfile::TempDir,
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

impl Browser {
    pub fn open() -> Result<Self, String> {
        let profile = tempfile::tempdir().unwrap();
        let port = free_port();
        let driver = Command::new("chromedriver")
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| format!("chromedriver: {e}"))?;
        let mut browser = Self { driver, port, session: String::new(), _profile: profile };
        let until = Instant::now() + Duration::from_secs(30);
        while TcpStream::connect(("127.0.0.1", port)).is_err() {
            if Instant::now() > until {
                return Err("chromedriver does not come up".into());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let profile = format!("--user-data-dir={}", browser._profile.path().display());
        let args = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--disable-dev-shm-usage",
            "--hide-scrollbars",
            "--force-device-scale-factor=1",
            &profile,
        ];
        let wanted = json!({ "capabilities": { "alwaysMatch": { "goog:chromeOptions": { "args": args } } } });
        let made = browser.ask("POST", "/session", &wanted)?;
        browser.session = made["sessionId"].as_str().unwrap_or_default().to_owned();
        Ok(browser)
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let body = if method == "GET" { String::new() } else { body.to_string() };
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).map_err(|e| e.to_string())?;
        let head = format!(
            "{method} {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(format!("{head}{body}").as_bytes()).map_err(|e| e.to_string())?;
        let mut reader = BufReader::new(stream);
        let mut length = 0;
        for line in reader.by_ref().lines().map_while(Result::ok).take_while(|line| !line.is_empty()) {
            if let Some(n) = line.to_lowercase().strip_prefix("content-length:") {
                length = n.trim().parse().unwrap_or_default();
            }
        }
        let mut bytes = vec![0; length];
        reader.read_exact(&mut bytes).map_err(|e| e.to_string())?;
        let reply: Value = serde_json::from_slice(&bytes).map_err(|e| e.to_string())?;
        match reply["value"]["error"].as_str() {
            Some(error) => Err(format!("{error}: {}", reply["value"]["message"].as_str().unwrap_or_default())),
            None => Ok(reply["value"].clone()),
        }
    }

    fn told(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", &format!("/session/{}{path}", self.session), body).unwrap_or_else(|e| panic!("{path}: {e}"))
    }

    pub fn go(&self, url: &str) {
        self.told("/url", &json!({ "url": url }));
    }

    /// What a script in the page gives.
    pub fn script(&self, script: &str) -> Value {
        self.told("/execute/sync", &json!({ "script": script, "args": [] }))
    }

    /// Waits until a script in the page gives true.
    pub fn until(&self, what: &str, script: &str) {
        let until = Instant::now() + Duration::from_secs(20);
        while self.script(&format!("return Boolean({script})")) != true {
            assert!(Instant::now() < until, "{what}: {}", self.script("return document.body.innerText"));
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    fn element(&self, css: &str) -> String {
        let found = self.told("/element", &json!({ "using": "css selector", "value": css }));
        found[ELEMENT].as_str().unwrap_or_else(|| panic!("{css}: {found}")).to_owned()
    }

    pub fn click(&self, css: &str) {
        let element = self.element(css);
        self.told(&format!("/element/{element}/click"), &json!({}));
    }

    pub fn write(&self, css: &str, text: &str) {
        let element = self.element(css);
        self.told(&format!("/element/{element}/value"), &json!({ "text": text }));
    }

    /// Keys, wherever the focus is.
    pub fn keys(&self, keys: &[char]) {
        let each = |key: &char| {
            [
                json!({ "type": "keyDown", "value": key.to_string() }),
                json!({ "type": "keyUp", "value": key.to_string() }),
            ]
        };
        let actions: Vec<Value> = keys.iter().flat_map(each).collect();
        self.told("/actions", &json!({ "actions": [{ "type": "key", "id": "keyboard", "actions": actions }] }));
    }

    pub fn size(&self, width: u32, height: u32) {
        let metrics = json!({ "width": width, "height": height, "deviceScaleFactor": 1, "mobile": false });
        self.told("/goog/cdp/execute", &json!({ "cmd": "Emulation.setDeviceMetricsOverride", "params": metrics }));
    }

    pub fn scheme(&self, scheme: &str) {
        let media = json!({ "features": [{ "name": "prefers-color-scheme", "value": scheme }] });
        self.told("/goog/cdp/execute", &json!({ "cmd": "Emulation.setEmulatedMedia", "params": media }));
    }

    /// A picture of what is shown, as PNG.
    pub fn picture(&self) -> Vec<u8> {
        use base64::Engine as _;
        let taken = self.ask("GET", &format!("/session/{}/screenshot", self.session), &Value::Null).unwrap();
        base64::prelude::BASE64_STANDARD.decode(taken.as_str().unwrap()).unwrap()
    }

    /// The page on paper, as PDF.
    pub fn print(&self, how: &Value) -> Vec<u8> {
        use base64::Engine as _;
        let printed = self.told("/goog/cdp/execute", &json!({ "cmd": "Page.printToPDF", "params": how }));
        base64::prelude::BASE64_STANDARD.decode(printed["data"].as_str().unwrap()).unwrap()
    }

    /// What the console was told, errors above all.
    pub fn complaints(&self) -> Vec<String> {
        let log = self.told("/se/log", &json!({ "type": "browser" }));
        log.as_array()
            .into_iter()
            .flatten()
            .map(|line| line["message"].as_str().unwrap_or_default().to_owned())
            .collect()
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        drop(self.ask("DELETE", &format!("/session/{}", self.session), &json!({})));
        drop(self.driver.kill());
        drop(self.driver.wait());
    }
}
