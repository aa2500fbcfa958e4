//! A list of checks, as text or as JSON.

use serde_json::{Value, json};

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Output {
    Text,
    Json,
}

pub struct Report {
    name: &'static str,
    checks: Vec<(&'static str, &'static str, &'static str, String)>,
}

impl Report {
    pub const fn new(name: &'static str) -> Self {
        Self { name, checks: Vec::new() }
    }

    fn add(&mut self, status: &'static str, id: &'static str, title: &'static str, message: impl Into<String>) {
        self.checks.push((status, id, title, message.into()));
    }

    pub fn pass(&mut self, id: &'static str, title: &'static str, message: impl Into<String>) {
        self.add("pass", id, title, message);
    }

    pub fn warn(&mut self, id: &'static str, title: &'static str, message: impl Into<String>) {
        self.add("warn", id, title, message);
    }

    pub fn fail(&mut self, id: &'static str, title: &'static str, message: impl Into<String>) {
        self.add("fail", id, title, message);
    }

    pub fn skip(&mut self, id: &'static str, title: &'static str, message: impl Into<String>) {
        self.add("skip", id, title, message);
    }

    /// Passes with what was found, or fails with why not. Says which.
    pub fn judge(&mut self, id: &'static str, title: &'static str, found: Result<String, String>) -> bool {
        let passed = found.is_ok();
        match found {
            Ok(message) => self.pass(id, title, message),
            Err(why) => self.fail(id, title, why),
        }
        passed
    }

    pub fn failed(&self) -> bool {
        self.checks.iter().any(|(status, ..)| *status == "fail")
    }

    pub fn print(&self, output: Output) {
        if output == Output::Text {
            println!("{}", self.name);
            for (status, id, title, message) in &self.checks {
                println!("[{status}] {id}: {title} - {message}");
            }
            return;
        }
        let check = |(status, id, title, message): &(&str, &str, &str, String)| json!({ "id": id, "title": title, "status": status, "message": message });
        let checks: Vec<Value> = self.checks.iter().map(check).collect();
        let report = json!({ "name": self.name, "checks": checks });
        println!("{}", serde_json::to_string_pretty(&report).unwrap());
    }
}
