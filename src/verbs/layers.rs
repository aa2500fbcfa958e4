//! What is seen of a KMS, layer by layer, and the lowest that is not as it must be: before anything is changed.

use recover_adapters::kms::KmsExamined;
use serde_json::{Value, json};

use crate::checks::{Check, Is, layers};
use crate::fault::Exit;
use crate::printer::Printer;
use crate::target::Kind;

/// The procedures for what a check found, the likelier first.
fn procedures(check: &str) -> &'static [&'static str] {
    match check {
        "openbao" => &["kms-openbao-unavailable"],
        "key" => &["kms-key-missing", "kms-transit-profile", "kms-min-decryption", "kms-version-drift"],
        "config" | "registry" => &["kms-unknown-key-id"],
        "login" => &["kms-auth"],
        "image" => &["kms-static-pod-image"],
        "own-checks" => &["kms-transit-profile", "kms-auth"],
        "provider" => &["kms-socket", "kms-openbao-unavailable"],
        "convergence" => &["kms-key-id-mismatch"],
        "encryption" | "etcd" => &["kms-identity-fallback"],
        "apiserver" => &["kms-socket"],
        "objects" => &["kms-unknown-key-id", "kms-aad-mismatch"],
        _ => &[],
    }
}

/// The checks, and the lowest layer that is not right.
fn judged(seen: &KmsExamined) -> (Vec<Check>, Option<Check>) {
    let checks = layers(seen, Is::Bad);
    // What our own token may do says nothing of the target.
    let lowest = checks.iter().find(|check| check.is == Is::Bad && check.check != "rights").cloned();
    (checks, lowest)
}

fn offered(lowest: &Check) -> Vec<&'static str> {
    let of_this_build = Kind::Kms.scenarios();
    procedures(lowest.check).iter().filter(|name| of_this_build.contains(name)).copied().collect()
}

/// The same for a machine.
pub(super) fn as_json(seen: &KmsExamined, target: &str) -> Value {
    let (checks, lowest) = judged(seen);
    json!({
        "schema": "recover.layers/v1", "target": target,
        "lowest": lowest.as_ref().map(|check| json!({ "check": check.check, "said": check.said, "procedures": offered(check) })),
        "checks": checks,
    })
}

/// Prints it.
pub(super) fn told(seen: &KmsExamined, target: &str, printer: Printer) -> Exit {
    let (checks, lowest) = judged(seen);
    printer.show(&as_json(seen, target), || {
        let mut lines: Vec<String> = checks.iter().map(Check::text).collect();
        match &lowest {
            None => lines.push(format!("{target}: every layer is as it must be")),
            Some(check) => {
                lines.push(format!(
                    "{target}: the lowest layer that is not as it must be is {}: {}",
                    check.check, check.said
                ));
                lines.extend(offered(check).iter().map(|name| {
                    format!(
                        "  looks again, and asks before it changes anything: recover --scenario {name} --target {}",
                        super::act::quoted(target)
                    )
                }));
            }
        }
        lines.join("\n")
    });
    if lowest.is_some() { Exit::Done } else { Exit::NotApplicable }
}
