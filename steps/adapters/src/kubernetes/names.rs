//! What runs leave at the target is called so.

/// Who changes fields, as the API server notes it.
pub(crate) const MANAGER: &str = "recover";
/// On everything that is made: for which workload.
pub(crate) const LABEL_OF: &str = "recover.io/of";
/// On what is made for one run: for which.
pub(crate) const LABEL_RUN: &str = "recover.io/run";
/// The annotation with the mark.
pub(crate) const MARK: &str = "recover.io/mark";
/// The annotation with what was in the pod template before a run.
pub(crate) const BEFORE: &str = "recover.io/before";

/// A run's name as a part of a name in Kubernetes.
pub(crate) fn lower(run: &str) -> String {
    run.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}
