//! The provider's image on a node, where the provider is a static pod.

use recover_engine::{Idempotent, Pure};
use serde::{Deserialize, Serialize};

use super::{Node, effect};
use crate::event;

effect! {
    /// Look whether the image that a node's static pod manifest names, by digest, is on the node.
    LookImage {
        /// Which node.
        node: Node,
    } = "look-image", Pure, 30_000, 2 => ImageSeen;
    this: format!("look whether the image of the static pod is on {}", this.node);
    [
        ImageSeen::Present { digest: "sha256:0".into() },
        ImageSeen::Missing { digest: "sha256:0".into(), archive: true },
        ImageSeen::Missing { digest: "sha256:0".into(), archive: false },
        ImageSeen::Unpinned { image: "bao-kms-provider:latest".into() },
        ImageSeen::NoStaticPod,
    ] refused by ["image"]
}

/// See [`LookImage`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ImageSeen {
    /// It is.
    Present {
        /// Which.
        digest: String,
    },
    /// It is not.
    Missing {
        /// Which.
        digest: String,
        /// Whether an archive with exactly this digest lies where the configuration says.
        archive: bool,
    },
    /// The manifest names a tag, so that nobody can tell which image is meant.
    Unpinned {
        /// What it names.
        image: String,
    },
    /// The provider is no static pod.
    NoStaticPod,
}
event!(ImageSeen {
    ImageSeen::Present { .. } => "present",
    ImageSeen::Missing { .. } => "missing",
    ImageSeen::Unpinned { .. } => "unpinned",
    ImageSeen::NoStaticPod => "no-static-pod",
});

effect! {
    /// Import the archive with exactly the digest of the manifest into the node's container runtime. Idempotent.
    LoadImage {
        /// Which node.
        node: Node,
        /// Which image.
        digest: String,
    } = "load-image", Idempotent, 300_000, 2 => ImageLoaded;
    this: format!("import the image {} on {}", this.digest, this.node);
    [ImageLoaded::Loaded] refused by ["image"]
}

/// See [`LoadImage`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "ending", rename_all = "kebab-case")]
pub enum ImageLoaded {
    /// It is there.
    Loaded,
}
event!(ImageLoaded { ImageLoaded::Loaded => "loaded" });
