//! The same steps as commands for a workload of Kubernetes.

use recover_adapters::config::{ClaimConfig, KubernetesConfig};

use super::commands::Lines;
use crate::verbs::quoted;

/// `kubectl` for the workload's namespace, as the configuration reaches it.
fn kubectl(to: &KubernetesConfig) -> String {
    let file = to.kubeconfig.as_ref().map(|path| format!(" --kubeconfig {}", quoted(&path.display().to_string())));
    let context = to.context.as_ref().map(|context| format!(" --context {}", quoted(context)));
    let (file, context) = (file.unwrap_or_default(), context.unwrap_or_default());
    format!("kubectl{file}{context} -n {}", quoted(&to.namespace))
}

/// The workload, as `kubectl` takes it.
fn own(to: &KubernetesConfig) -> String {
    format!("{}/{}", to.kind.word(), quoted(&to.name))
}

fn container(to: &KubernetesConfig) -> String {
    to.container.as_ref().map(|container| format!(" -c {}", quoted(container))).unwrap_or_default()
}

pub(super) fn stop(to: &KubernetesConfig) -> Lines {
    vec![format!("{} scale {} --replicas=0", kubectl(to), own(to))]
}

pub(super) fn runs(to: &KubernetesConfig) -> Lines {
    vec![format!("{} get pods -o wide   # those of {}: none, once it is stopped", kubectl(to), own(to))]
}

pub(super) fn start(to: &KubernetesConfig) -> Lines {
    let (kubectl, own) = (kubectl(to), own(to));
    vec![format!("{kubectl} scale {own} --replicas=1"), format!("{kubectl} rollout status {own} --timeout=60s")]
}

pub(super) fn log(to: &KubernetesConfig) -> Lines {
    vec![format!("{} logs {}{} --tail=200", kubectl(to), own(to), container(to))]
}

pub(super) fn search(to: &KubernetesConfig, claim: &ClaimConfig) -> Lines {
    claim.originals.iter().map(|name| format!("{} get pvc {} -o wide", kubectl(to), quoted(name))).collect()
}

pub(super) fn durable(to: &KubernetesConfig) -> Lines {
    vec![
        format!(
            "{} get {} -o jsonpath='{{.spec.template.spec.volumes}}'   # a claim, no emptyDir",
            kubectl(to),
            own(to)
        ),
        format!("{} get pvc   # the claim is Bound", kubectl(to)),
    ]
}

/// Another claim in the place of what is mounted. Strategic, since a volume may be of one kind only.
fn name_claim(to: &KubernetesConfig, claim: &str) -> Lines {
    let patch = format!(
        "{{\"spec\":{{\"template\":{{\"spec\":{{\"volumes\":[{{\"name\":\"VOLUME\",\"$retainKeys\":[\"name\",\"persistentVolumeClaim\"],\
         \"persistentVolumeClaim\":{{\"claimName\":\"{claim}\"}}}}]}}}}}}}}"
    );
    vec![
        "# first: kubectl patch pv PV -p '{\"spec\":{\"persistentVolumeReclaimPolicy\":\"Retain\"}}'   # of both claims".to_owned(),
        format!("{} get {} -o yaml > {}.before.yaml", kubectl(to), own(to), to.name),
        format!("# with the volume's name: {} patch {} -p {}", kubectl(to), own(to), quoted(&patch)),
    ]
}

pub(super) fn reattach(to: &KubernetesConfig, original: &str) -> Lines {
    name_claim(to, original.strip_prefix("claim:").unwrap_or(original))
}

pub(super) fn set_aside(to: &KubernetesConfig) -> Lines {
    let mut lines = vec!["# make an empty claim like the one that is there; keep that one".to_owned()];
    lines.extend(name_claim(to, "EMPTY"));
    lines
}

/// The secret goes from a file: it is in no argument.
pub(super) fn hand_over(to: &KubernetesConfig, file: &str) -> Lines {
    let from = quoted(&format!("{}={file}", to.token_key));
    vec![format!("{} create secret generic {} --from-file={from}", kubectl(to), quoted(&to.token_secret))]
}

pub(super) fn withdraw(to: &KubernetesConfig) -> String {
    format!("{} delete secret {} --ignore-not-found", kubectl(to), quoted(&to.token_secret))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn every_command_can_be_typed_as_it_stands_and_deletes_nothing_but_the_token() {
        let to: KubernetesConfig = serde_json::from_value(serde_json::json!({
            "kubeconfig": "/etc/a b/kubeconfig", "context": "it's", "namespace": "edge", "kind": "stateful-set", "name": "edge-connector",
            "container": "c", "token_secret": "edge-token",
        }))
        .unwrap();
        let claim: ClaimConfig = serde_json::from_value(serde_json::json!({
            "mount": "/data", "originals": ["edge-data"], "reader": "recover:1",
        }))
        .unwrap();
        let all = [
            stop(&to),
            runs(&to),
            start(&to),
            log(&to),
            search(&to, &claim),
            durable(&to),
            reattach(&to, "claim:edge-data"),
            set_aside(&to),
            hand_over(&to, "/dev/shm/token"),
            vec![withdraw(&to)],
        ]
        .concat();
        for line in &all {
            let typed = line
                .trim_start_matches("# ")
                .trim_start_matches("first: ")
                .trim_start_matches("with the volume's name: ");
            let understood = Command::new("/bin/sh").args(["-n", "-c", typed]).status().unwrap();
            assert!(understood.success(), "{line}");
            assert!(!line.contains("delete") || line.contains("delete secret edge-token"), "{line}");
        }
        assert!(all[0].ends_with("-n edge scale statefulset/edge-connector --replicas=0"), "{}", all[0]);
        assert!(all.iter().any(|line| line.contains("\"claimName\":\"edge-data\"")));
    }
}
