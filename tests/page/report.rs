//! The report of `recover report --html` as a file in a browser, and on paper.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use crate::driver::Browser;
use crate::packages;
use crate::sandbox::RECOVER;

/// A run of a released build, whose report is the same each time.
const RUN: &str = "run_01m828bkm635k1vf6rrfacssk4";

/// The report as a file.
pub fn written(home: &Path) -> PathBuf {
    let state = home.join("state");
    std::fs::create_dir_all(state.join("log")).unwrap();
    for file in std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/frozen/v1/state/log")).unwrap() {
        let path = file.unwrap().path();
        std::fs::copy(&path, state.join("log").join(path.file_name().unwrap())).unwrap();
    }
    std::os::unix::fs::chown(&state, None, None).unwrap();
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(&state, mode).unwrap();
    let page = home.join("report.html");
    let output = Command::new(RECOVER)
        .args(["--state-dir"])
        .arg(&state)
        .args(["report", RUN, "--html", "--out"])
        .arg(&page)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    page
}

/// On paper: everything that the page says is there, dark or not, and nothing runs off the sheet.
pub fn printed(browser: &Browser, page: &Path, folder: &Path) -> String {
    browser.go(&format!("file://{}", page.display()));
    browser.until("the report is there", "document.title.includes('identity-loss')");
    browser.scheme("dark");
    let cells = browser.script(
        "return [...document.querySelectorAll('h1, h2, td, dd, li, pre')].map((e) => e.textContent.replace(/\\s+/g, '')).filter(Boolean)",
    );
    let pdf = folder.join("report.pdf");
    std::fs::write(&pdf, browser.print(&json!({ "paperWidth": 8.27, "paperHeight": 11.69, "printBackground": true })))
        .unwrap();
    if packages::needed(&[("pdftotext", "poppler-utils"), ("pdfinfo", "poppler-utils")]).is_err() {
        return "on paper NOT READ: pdftotext is not there".into();
    }
    let text = Command::new("pdftotext").args(["-raw"]).arg(&pdf).arg("-").output().unwrap();
    let text: String = String::from_utf8_lossy(&text.stdout).split_whitespace().collect();
    let missing: Vec<&str> = cells
        .as_array()
        .unwrap()
        .iter()
        .filter_map(serde_json::Value::as_str)
        // A soft break may fall anywhere; what is longer than a line is looked for by its beginning.
        .filter(|cell| !text.contains(cell.chars().take(24).collect::<String>().as_str()))
        .collect();
    assert!(missing.is_empty(), "not on paper: {missing:#?}");
    let info = Command::new("pdfinfo").arg(&pdf).output().unwrap();
    let info = String::from_utf8_lossy(&info.stdout).into_owned();
    let sheets = info.lines().find_map(|line| line.strip_prefix("Pages:")).unwrap().trim().to_owned();
    format!("{} texts on {sheets} sheets of A4", cells.as_array().unwrap().len())
}
