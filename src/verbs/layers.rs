//! What is seen of a KMS, layer by layer, and the lowest that is not as it must be: before anything is changed.

use recover_adapters::kms::{KmsExamined, NodeExamined};
use recover_scenarios::kms::{Class, Event, class_of, diagnose};
use serde_json::{Value, json};

use crate::checks::{Check, Is, layers};
use crate::fault::Exit;
use crate::printer::Printer;
use crate::target::Kind;

/// What each look came to, layer by layer and the lowest first, with the check that tells of it. What could not be looked at is no part
/// of it: its check says so.
fn events(seen: &KmsExamined) -> Vec<(&'static str, Event)> {
    let mut all = vec![("openbao", Event::LookOpenbao(seen.openbao.clone()))];
    all.extend(seen.key.iter().map(|key| ("key", Event::ReadKey(key.clone()))));
    let each = |check: &'static str, event: &dyn Fn(&NodeExamined) -> Option<Event>| {
        let events = seen.nodes.iter().filter_map(event);
        events.map(|event| (check, event)).collect::<Vec<_>>()
    };
    all.extend(each("config", &|of| Some(Event::CompareConfig(of.config.clone()))));
    all.extend(each("registry", &|of| of.registry.clone().ok().map(Event::ReadRegistry)));
    all.extend(each("image", &|of| of.image.clone().ok().map(Event::LookImage)));
    all.extend(each("login", &|of| of.auth.clone().ok().map(Event::LookAuth)));
    all.extend(each("own-checks", &|of| of.checks.clone().ok().map(Event::CheckProvider)));
    all.extend(each("provider", &|of| of.provider.clone().ok().map(Event::LookNode)));
    all.push(("convergence", Event::Converge(seen.converged.clone())));
    all.extend(each("encryption", &|of| of.encryption.clone().ok().map(Event::ReadEncryption)));
    all.extend(each("apiserver", &|of| of.apiserver.clone().ok().map(Event::LookApiserver)));
    all.extend(seen.etcd.iter().flatten().map(|etcd| ("etcd", Event::ScanEtcd(etcd.clone()))));
    all.extend(seen.objects.iter().map(|objects| ("objects", Event::ReadObjects(objects.clone()))));
    all
}

/// What is to be mended first.
struct Lowest {
    check: &'static str,
    said: String,
    row: Option<&'static str>,
    /// The procedure for it, where this build has one.
    procedure: Option<&'static str>,
}

/// The checks, what is to be mended first, and what follows from that or stands beside it.
fn judged(seen: &KmsExamined) -> (Vec<Check>, Option<Lowest>, Vec<Class>) {
    let (checks, events) = (layers(seen, Is::Bad), events(seen));
    let mut classes = diagnose(events.iter().map(|(_, event)| event));
    if classes.is_empty() {
        // What our own token may do says nothing of the target.
        let bad = checks.iter().find(|check| check.is == Is::Bad && check.check != "rights");
        let lowest = bad.map(|bad| Lowest { check: bad.check, said: bad.said.clone(), row: None, procedure: None });
        return (checks, lowest, classes);
    }
    let first = classes.remove(0);
    let of_it = |event: &Event| class_of(event).as_ref() == Some(&first);
    let check = events.iter().find_map(|(check, event)| of_it(event).then_some(*check)).unwrap_or_default();
    let procedure = first.scenario.filter(|name| Kind::Kms.scenarios().contains(name));
    (checks, Some(Lowest { check, said: first.why, row: first.row, procedure }), classes)
}

/// The same for a machine.
pub(super) fn as_json(seen: &KmsExamined, target: &str) -> Value {
    let (checks, lowest, others) = judged(seen);
    let procedures = |name: Option<&str>| name.into_iter().map(str::to_owned).collect::<Vec<_>>();
    json!({
        "schema": "recover.layers/v1", "target": target,
        "lowest": lowest.as_ref().map(|lowest| json!({
            "check": lowest.check, "said": lowest.said, "row": lowest.row, "procedures": procedures(lowest.procedure),
        })),
        "others": others.iter().map(|class| json!({
            "said": class.why, "row": class.row, "procedures": procedures(class.scenario),
        })).collect::<Vec<_>>(),
        "checks": checks,
    })
}

/// Prints it.
pub(super) fn told(seen: &KmsExamined, target: &str, printer: Printer) -> Exit {
    let (checks, lowest, others) = judged(seen);
    printer.show(&as_json(seen, target), || {
        let mut lines: Vec<String> = checks.iter().map(Check::text).collect();
        let row = |row: Option<&str>| row.map_or_else(String::new, |row| format!(" ({row})"));
        match &lowest {
            None => lines.push(format!("{target}: every layer is as it must be")),
            Some(lowest) => {
                lines.push(format!(
                    "{target}: the lowest layer that is not as it must be is {}: {}{}",
                    lowest.check,
                    lowest.said,
                    row(lowest.row)
                ));
                lines.extend(
                    others.iter().map(|class| {
                        format!("  follows from it, or stands beside it: {}{}", class.why, row(class.row))
                    }),
                );
                lines.push(lowest.procedure.map_or_else(
                    || "  there is no procedure for it: a person must look".to_owned(),
                    |name| {
                        format!(
                            "  looks again, and asks before it changes anything: recover --scenario {name} --target {}",
                            super::act::quoted(target)
                        )
                    },
                ));
            }
        }
        lines.join("\n")
    });
    if lowest.is_some() { Exit::Done } else { Exit::NotApplicable }
}
