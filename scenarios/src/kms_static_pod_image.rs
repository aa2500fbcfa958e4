//! `kms-static-pod-image`: the image of the provider's static pod is not on the node (K14).
//!
//! Exactly the digest of the manifest is imported, from an archive that was brought; no tag and no other version. Kubelet then starts the
//! pod by itself.

use recover_steps::kms::ImageSeen;

use crate::kms::plans::{all_serve, ask, serves};
use crate::kms::{Case, Cause, Change, Event, Finding, Kms, Layer, Look, Task, Topic};
use crate::names;

/// See the module.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StaticPodImage {}

/// The machine.
pub type KmsStaticPodImage = Kms<StaticPodImage>;

impl Cause for StaticPodImage {
    const NAME: &'static str = names::KMS_STATIC_POD_IMAGE;
    const VERSION: u16 = 1;
    const TITLE: &'static str = "the image of a KMS provider's static pod is not on its node";
    const LAYERS: &'static [Layer] = &[Layer::Openbao, Layer::Key, Layer::Config, Layer::Registry, Layer::Image];
    const CHANGES: &'static [&'static str] = &["load-image", "start-provider", "restart-provider"];

    fn plan(_: &Case, found: &Finding) -> Option<Vec<Task>> {
        let (Look::Image(node), Event::LookImage(seen)) = (&found.look, &found.event) else { return None };
        let brought = |text: String| Some(vec![ask(Topic::ImageBrought, text), Task::Again(found.look.clone())]);
        match seen {
            ImageSeen::Present { .. } | ImageSeen::NoStaticPod => None,
            ImageSeen::Missing { digest, archive: true } => {
                let mut tasks = vec![
                    Task::Change(Change::LoadImage(node.clone(), digest.clone())),
                    Task::Verify(found.look.clone()),
                ];
                tasks.extend(serves(node));
                Some(tasks)
            }
            ImageSeen::Missing { digest, archive: false } => brought(format!(
                "The image {digest} is not on {node}, and no archive with it lies where the configuration says. Bring one with exactly this \
                 digest, or import it by hand; set the manifest's imagePullPolicy so that an image that is there is not pulled. If kubelet \
                 does not start the pod then, restart kubelet."
            )),
            ImageSeen::Unpinned { image } => brought(format!(
                "The manifest of {node} names {image}: nobody can tell which image is meant. Pin it to the digest that ran before."
            )),
        }
    }

    fn afterwards(case: &Case) -> Vec<Task> {
        all_serve(case)
    }
}
