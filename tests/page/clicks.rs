//! A person at the page: signs in, begins a run, answers its question, reads the report; with the mouse and with the keyboard alone.

use serde_json::json;

use crate::Ran;
use crate::driver::Browser;
use crate::golden::Gallery;
use crate::packages;
use crate::report;
use crate::sandbox::Sandbox;
use crate::served::Served;

const TAB: char = '\u{E004}';
const ENTER: char = '\u{E007}';

fn browser() -> Result<Browser, String> {
    packages::needed(&[("chromium", "chromium"), ("chromedriver", "chromium-driver")])?;
    Browser::open()
}

/// A sandbox that has lost its identity and asks before it gets a new one.
fn lost() -> Sandbox {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    sandbox.asks();
    sandbox
}

fn sign_in(browser: &Browser, served: &Served) {
    browser.go(&format!("http://{}/", served.address));
    browser.until("it asks who is there", "!document.getElementById('sign-in').hidden");
    browser.write("#token", "a wrong token");
    browser.click("#sign-in button");
    browser.until(
        "a wrong token is said to be",
        "document.querySelector('#sign-in .wrong').textContent.includes('none that is known')",
    );
    browser.script("document.getElementById('token').value = ''");
    browser.write("#token", &served.token);
    browser.click("#sign-in button");
    browser.until("signed in", "!document.getElementById('overview').hidden");
}

pub fn clicks() -> Ran {
    let browser = browser()?;
    let sandbox = lost();
    let served = Served::start(&sandbox);
    sign_in(&browser, &served);
    browser.until("the procedures are there", "document.querySelectorAll('#scenario option').length > 2");
    browser.click("details summary");
    browser.until("the form is open", "document.querySelector('details').open");
    browser.script("document.getElementById('scenario').value = 'identity-loss'");
    browser.write("#ticket", "<img src=x onerror=alert(1)>");
    browser.click("#begin button");
    browser.until("the run is shown", "location.hash.startsWith('#/runs/run_')");
    browser.until("it asks", "!document.getElementById('question').hidden");
    // Without a reason nothing is sent.
    browser.click("#choices button");
    assert_eq!(browser.script("return document.getElementById('question').hidden"), json!(false));
    browser.write("#reason", "seen <b>with my own eyes</b>");
    browser.click("#choices button");
    browser.until(
        "it recovered, without a reload",
        "document.getElementById('detail-title').textContent.endsWith('closed')",
    );
    assert!(browser.script("return document.getElementById('why').textContent").to_string().contains("recovered"));
    assert_eq!(
        browser.script("return document.querySelectorAll('#records b, #records img').length"),
        json!(0),
        "text is text"
    );
    let heard = browser.script("return document.querySelectorAll('#records li').length").as_u64().unwrap();
    assert!(heard > 20, "{heard} records");
    assert_eq!(sandbox.ledger()["pairs"], 1);
    let run = browser.script("return location.hash.split('/').pop()").as_str().unwrap().to_owned();

    // How long after its commit a record is shown: the last ones of the next run are timed by the page itself.
    let shown = latency(&browser, &served, &sandbox);

    browser.go(&format!("http://{}/api/v1/runs/{run}/report", served.address));
    browser.until("the report is there", "document.title.includes('identity-loss')");
    assert_eq!(browser.script("return document.scripts.length"), json!(0));

    keyboard(&browser, &served);
    let complaints: Vec<String> =
        browser.complaints().into_iter().filter(|line| !line.contains("401") && !line.contains("favicon")).collect();
    assert!(complaints.is_empty(), "{complaints:?}");
    Ok(format!(
        "signed in, begun, answered, reported; a record is shown {shown:.0} ms after its commit (median); by keyboard too"
    ))
}

/// Milliseconds from the time in a record to when the page has it. The same clock, so they can be compared.
fn latency(browser: &Browser, served: &Served, sandbox: &Sandbox) -> f64 {
    browser.go(&format!("http://{}/#/", served.address));
    browser.until("the runs are shown", "document.querySelectorAll('#runs tr').length > 0");
    browser.script(
        "window.late = []; const source = new EventSource('/api/v1/events'); window.ready = false; \
         source.addEventListener('open', () => { window.ready = true; }); \
         source.addEventListener('record', (e) => { late.push(Date.now() - Date.parse(JSON.parse(e.data).at)); });",
    );
    browser.until("it listens", "window.ready");
    sandbox.lose(true);
    let begun = served.post("/api/v1/runs", &json!({ "scenario": "identity-loss", "target": "edge-1" }));
    assert_eq!(begun.status, 202, "{}", begun.body);
    served.until(begun.json()["run"].as_str().unwrap(), "closed");
    let late = browser.script("return late");
    let mut late: Vec<f64> = late.as_array().unwrap().iter().filter_map(serde_json::Value::as_f64).collect();
    late.sort_by(f64::total_cmp);
    assert!(late.len() > 10, "{late:?}");
    late[late.len() / 2]
}

/// Without a mouse: to the list, into a run, and back.
fn keyboard(browser: &Browser, served: &Served) {
    browser.go(&format!("http://{}/#/", served.address));
    browser.until("the runs are shown", "document.querySelectorAll('#runs tr').length > 0");
    browser.script("document.activeElement.blur()");
    browser.keys(&[TAB]);
    assert_eq!(
        browser.script("return document.activeElement.className"),
        json!("skip"),
        "the first stop leads to the content"
    );
    for _ in 0..20 {
        if browser.script("return document.activeElement.closest('#runs') !== null") == true {
            break;
        }
        browser.keys(&[TAB]);
    }
    assert_eq!(
        browser.script("return document.activeElement.closest('#runs') !== null"),
        json!(true),
        "a run can be reached"
    );
    browser.keys(&[ENTER]);
    browser.until("the run is shown", "!document.getElementById('detail').hidden");
    // What a screen reader is told: landmarks, labels, headings, what changes.
    let unnamed = browser.script(
        "return [...document.querySelectorAll('input, select, button, a')].filter((e) => \
         !e.labels?.length && !e.textContent.trim() && !e.getAttribute('aria-label')).length",
    );
    assert_eq!(unnamed, json!(0), "everything that can be used has a name");
    for part in [
        "main",
        "header",
        "h1",
        "h2",
        "[role=status][aria-live]",
        "#records[aria-live]",
        "#way [aria-current=step]",
        "html[lang]",
    ] {
        let count = browser.script(&format!("return document.querySelectorAll({part:?}).length")).as_u64().unwrap();
        assert!(count > 0, "{part}");
    }
}

/// Light and dark, narrow and wide: nothing is cut off, everything can be read, and the pictures are what they should be.
pub fn looks() -> Ran {
    let browser = browser()?;
    let sandbox = lost();
    let served = Served::start(&sandbox);
    sign_in(&browser, &served);
    let begun = served.post("/api/v1/runs", &json!({ "scenario": "identity-loss", "target": "edge-1" }));
    let run = begun.json()["run"].as_str().unwrap().to_owned();
    served.until(&run, "operator-needed");
    let home = tempfile::tempdir().unwrap();
    let file = report::written(home.path());
    let mut gallery = Gallery::new();
    let places = [
        ("overview", format!("http://{}/#/", served.address), "document.querySelectorAll('#runs tr').length > 0"),
        ("run", format!("http://{}/#/runs/{run}", served.address), "!document.getElementById('question').hidden"),
        (
            "report",
            format!("http://{}/api/v1/runs/{run}/report", served.address),
            "document.title.includes('identity-loss')",
        ),
        ("file", format!("file://{}", file.display()), "document.title.includes('identity-loss')"),
    ];
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    std::fs::create_dir_all(&folder).unwrap();
    let mut pictures = 0;
    for (name, url, there) in places {
        browser.go("about:blank");
        browser.go(&url);
        browser.until(name, there);
        for (size, width) in [("narrow", 360), ("wide", 1_280)] {
            browser.size(width, 900);
            let mut light = 0.0;
            for scheme in ["light", "dark"] {
                browser.scheme(scheme);
                let wider = browser
                    .script("return document.documentElement.scrollWidth - document.documentElement.clientWidth");
                assert_eq!(wider, json!(0), "{name} {size}: the page is wider than the window");
                let contrast = browser.script(CONTRAST);
                assert!(contrast.as_f64().unwrap() >= 4.5, "{name} {scheme}: a text has a contrast of {contrast}");
                let brightness = browser.script(BRIGHTNESS).as_f64().unwrap();
                // Of a report that is the same each time, all of it.
                if name == "file" {
                    let height = browser.script("return document.documentElement.scrollHeight").as_u64().unwrap();
                    browser.size(width, u32::try_from(height).unwrap());
                }
                let picture = browser.picture();
                browser.size(width, 900);
                std::fs::write(folder.join(format!("{name}-{size}-{scheme}.png")), &picture).unwrap();
                gallery.hang(format!("{name}-{size}-{scheme}"), picture);
                if scheme == "light" {
                    light = brightness;
                } else {
                    assert!(brightness < 0.2 && light > 0.8, "{name} {size}: light is {light}, dark is {brightness}");
                }
                pictures += 1;
            }
        }
    }
    let paper = report::printed(&browser, &file, &folder);
    let compared = gallery.compared(&browser);
    Ok(format!(
        "{pictures} pictures in target/tmp/page, {compared}; {paper}: none wider than its window, light is light and dark is dark, every contrast at least 4.5"
    ))
}

/// The least contrast of any text with what is behind it, as WCAG 2 counts it.
const CONTRAST: &str = "
const channel = (v) => { v /= 255; return v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; };
const numbers = (text) => text.match(/[\\d.]+/g).map(Number);
const luminance = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
const behind = (e) => { for (; e; e = e.parentElement) { const c = numbers(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
let least = 21;
for (const e of document.querySelectorAll('body *')) {
  if (e.closest('svg') || !e.checkVisibility() || e.disabled) continue;
  if (![...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())) continue;
  const [a, b] = [luminance(numbers(getComputedStyle(e).color)), luminance(behind(e))].sort((x, y) => y - x);
  least = Math.min(least, (a + 0.05) / (b + 0.05));
}
return least;";

const BRIGHTNESS: &str = "
const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
return (r + g + b) / 765;";
