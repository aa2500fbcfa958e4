//! Counters and gauges, as Prometheus reads them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Mutex;

/// A gauge: its name, its labels and its value.
pub type Gauge<'a> = (&'a str, Vec<(&'a str, &'a str)>, f64);

#[derive(Default)]
pub struct Metrics {
    /// By name and labels.
    counted: Mutex<BTreeMap<(String, String), u64>>,
}

fn labels(of: &[(&str, &str)]) -> String {
    let each: Vec<_> = of.iter().map(|(name, value)| format!("{name}=\"{value}\"")).collect();
    if each.is_empty() { String::new() } else { format!("{{{}}}", each.join(",")) }
}

impl Metrics {
    pub fn count(&self, name: &str, of: &[(&str, &str)]) {
        *self.counted.lock().unwrap().entry((name.to_owned(), labels(of))).or_default() += 1;
    }

    /// All of them, with these gauges besides.
    pub fn text(&self, gauges: &[Gauge<'_>]) -> String {
        let mut text = String::new();
        let mut last = String::new();
        for ((name, labels), value) in &*self.counted.lock().unwrap() {
            if *name != last {
                let _ = writeln!(text, "# TYPE {name} counter");
                last.clone_from(name);
            }
            let _ = writeln!(text, "{name}{labels} {value}");
        }
        for (name, of, value) in gauges {
            let _ = writeln!(text, "# TYPE {name} gauge\n{name}{} {value}", labels(of));
        }
        text
    }
}
