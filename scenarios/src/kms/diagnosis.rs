//! What is wrong with a target, from looks alone: every layer is looked at, and the lowest that fails is the answer.
//!
//! A procedure's survey ends at its first failing layer, since it is to act; whoever asks what is wrong gets the layers above it too, as
//! what follows from it or stands beside it.

use recover_steps::kms::Node;

use super::case::Case;
use super::class::{Class, class_of};
use super::look::Layer;
use super::params::Params;
use super::{Event, Step};

/// Every layer, the lowest first.
const ORDER: [Layer; 13] = [
    Layer::Openbao,
    Layer::Key,
    Layer::Config,
    Layer::Registry,
    Layer::Image,
    Layer::Auth,
    Layer::Checks,
    Layer::Provider,
    Layer::Convergence,
    Layer::Encryption,
    Layer::Apiserver,
    Layer::Etcd,
    Layer::Objects,
];

/// Every look, in the order in which they are made. None of them changes anything; the provider's own checks are asked for what they
/// read alone.
#[must_use]
pub fn looks(nodes: &[Node]) -> Vec<Step> {
    let case = Case::new(Params::default());
    let looks = ORDER.iter().flat_map(|layer| layer.looks(nodes));
    looks.map(|look| look.step(&case)).collect()
}

/// What is wrong, by what was seen in that order: the first is what to mend, and where its row is none, what to look at by hand. Empty
/// where nothing is. What could not be looked at is no part of it: whoever asks says so beside it.
#[must_use]
pub fn diagnose<'a>(seen: impl IntoIterator<Item = &'a Event>) -> Vec<Class> {
    let mut found: Vec<Class> = Vec::new();
    for class in seen.into_iter().filter_map(class_of) {
        if !found.contains(&class) {
            found.push(class);
        }
    }
    found
}
