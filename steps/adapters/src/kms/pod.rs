//! A static pod: it runs as long as its manifest lies where the kubelet looks, and its image is named there by digest.

use std::io;
use std::path::Path;
use std::time::Duration;

use recover_steps::Instance;
use recover_steps::kms::{ImageLoaded, ImageSeen};
use serde::Deserialize;

use super::config::StaticPodConfig;
use super::files;
use super::life::until;
use super::provider::command::{Ran, run};
use super::users::Who;
use crate::trouble::{Trouble, code};

const TOOL_WITHIN: Duration = Duration::from_secs(20);
const IMPORT_WITHIN: Duration = Duration::from_secs(240);
/// How long the kubelet takes to see that a manifest came or went.
const KUBELET_WITHIN: Duration = Duration::from_secs(45);

/// One static pod.
#[derive(Debug)]
pub(super) struct Pod {
    config: StaticPodConfig,
    stop_within: Duration,
}

#[derive(Deserialize)]
struct Containers {
    containers: Vec<Container>,
}

#[derive(Deserialize)]
struct Container {
    id: String,
    state: String,
}

#[derive(Deserialize)]
struct Images {
    images: Vec<Image>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Image {
    #[serde(default)]
    repo_digests: Vec<String>,
}

#[derive(Deserialize)]
struct Manifest {
    spec: Spec,
}

#[derive(Deserialize)]
struct Spec {
    containers: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    name: String,
    image: String,
}

fn refused(why: impl Into<String>) -> Trouble {
    Trouble::refused(code::WORKLOAD, why)
}

impl Pod {
    pub(super) fn new(config: StaticPodConfig, stop_within: Duration) -> Self {
        Self { config, stop_within }
    }

    pub(super) fn container(&self) -> &str {
        &self.config.container
    }

    async fn tool(&self, program: &Path, words: &[&str], within: Duration) -> Result<Ran, String> {
        let words: Vec<String> = words.iter().map(|word| (*word).to_owned()).collect();
        let ran = run(program, &words, &Who::here(), within).await?;
        if ran.code == Some(0) {
            return Ok(ran);
        }
        let said: String = ran.err.trim().chars().take(300).collect();
        Err(format!("{} {}: {said}", program.display(), words.join(" ")))
    }

    /// The container that runs, if one does.
    pub(super) async fn running(&self) -> Result<Option<Instance>, Trouble> {
        let name = format!("^{}$", self.config.container.replace('.', "\\."));
        let words = ["ps", "--name", name.as_str(), "--state", "Running", "-o", "json"];
        let ran = self.tool(&self.config.crictl, &words, TOOL_WITHIN).await.map_err(Trouble::retry)?;
        let found: Containers =
            serde_json::from_str(&ran.out).map_err(|_| Trouble::retry("crictl printed no list of containers"))?;
        let runs = found.containers.into_iter().find(|container| container.state == "CONTAINER_RUNNING");
        Ok(runs.map(|container| Instance(container.id)))
    }

    /// Moves the manifest to where the kubelet does not look, and waits until the container is gone.
    pub(super) async fn stop(&self) -> Result<(), Trouble> {
        self.moved(&self.config.manifest, &self.config.parked)?;
        until(KUBELET_WITHIN + self.stop_within, async || match self.running().await {
            Ok(None) => Ok(()),
            Ok(Some(instance)) => Err(format!("the container {} still runs", instance.0)),
            Err(trouble) => Err(trouble.text().to_owned()),
        })
        .await
        .map_err(Trouble::Unknown)
    }

    /// Moves the manifest back, and waits until a container runs.
    pub(super) async fn start(&self) -> Result<Instance, Trouble> {
        self.moved(&self.config.parked, &self.config.manifest)?;
        self.comes(None).await
    }

    /// Has the runtime stop the container that runs; the kubelet starts the next.
    pub(super) async fn restart(&self, from: &Instance) -> Result<Instance, Trouble> {
        match self.running().await? {
            Some(now) if now == *from => {
                let within = format!("{}", self.stop_within.as_secs().max(1));
                let words = ["stop", "--timeout", within.as_str(), from.0.as_str()];
                self.tool(&self.config.crictl, &words, self.stop_within + TOOL_WITHIN)
                    .await
                    .map_err(Trouble::Unknown)?;
                self.comes(Some(from)).await
            }
            Some(now) => Ok(now),
            None => self.start().await,
        }
    }

    async fn comes(&self, but: Option<&Instance>) -> Result<Instance, Trouble> {
        until(KUBELET_WITHIN, async || match self.running().await {
            Ok(Some(instance)) if Some(&instance) != but => Ok(instance),
            Ok(_) => Err("the kubelet has started no container yet: see its own journal".to_owned()),
            Err(trouble) => Err(trouble.text().to_owned()),
        })
        .await
        .map_err(Trouble::Unknown)
    }

    /// Renames the manifest, unless it is there already. Two of them are one too many: nobody guesses which is meant.
    fn moved(&self, from: &Path, to: &Path) -> Result<(), Trouble> {
        let there = |path: &Path| match path.symlink_metadata() {
            Ok(meta) => Ok(Some(meta.is_file())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(refused(format!("{}: {e}", path.display()))),
        };
        match (there(from)?, there(to)?) {
            (None, Some(true)) => Ok(()),
            (Some(true), None) => {
                let flags = rustix::fs::RenameFlags::NOREPLACE;
                rustix::fs::renameat_with(rustix::fs::CWD, from, rustix::fs::CWD, to, flags)
                    .map_err(|e| refused(format!("{} cannot be moved to {}: {e}", from.display(), to.display())))
            }
            (Some(_), Some(_)) => {
                Err(refused(format!("there is a manifest at {} and at {}", from.display(), to.display())))
            }
            (None | Some(false), _) => Err(refused(format!("there is no manifest at {}", from.display()))),
        }
    }

    /// The manifest's text, wherever it lies now.
    pub(super) fn manifest(&self) -> Result<String, String> {
        let held = match files::read(&self.config.manifest) {
            Ok(Some(held)) => held,
            Ok(None) => files::read_there(&self.config.parked)?,
            Err(e) => return Err(format!("{}: {e}", self.config.manifest.display())),
        };
        held.text().map(str::to_owned)
    }

    /// The image that the manifest names, and its digest if it names one.
    fn image(&self) -> Result<(String, Option<String>), String> {
        let manifest: Manifest = serde_yaml_ng::from_str(&self.manifest()?)
            .map_err(|e| format!("{}: {}", self.config.manifest.display(), super::settings::place(&e)))?;
        let named = manifest.spec.containers.into_iter().find(|container| container.name == self.config.container);
        let image = named.ok_or_else(|| format!("the manifest has no container {}", self.config.container))?.image;
        let digest = image.split_once('@').map(|(_, digest)| digest.to_owned()).filter(|digest| is_digest(digest));
        Ok((image, digest))
    }

    async fn has(&self, digest: &str) -> Result<bool, Trouble> {
        let words = ["images", "--digests", "-o", "json"];
        let ran = self.tool(&self.config.crictl, &words, TOOL_WITHIN).await.map_err(Trouble::retry)?;
        let found: Images =
            serde_json::from_str(&ran.out).map_err(|_| Trouble::retry("crictl printed no list of images"))?;
        let is_it = |name: &String| name.split_once('@').is_some_and(|(_, of)| of == digest);
        Ok(found.images.iter().flat_map(|image| &image.repo_digests).any(is_it))
    }

    /// Looks whether the image is on the node, and whether the archive has exactly it.
    pub(super) async fn look_image(&self, archive: Option<&Path>) -> Result<ImageSeen, Trouble> {
        let (image, digest) = self.image().map_err(|why| Trouble::refused("image", why))?;
        let Some(digest) = digest else { return Ok(ImageSeen::Unpinned { image }) };
        if self.has(&digest).await? {
            return Ok(ImageSeen::Present { digest });
        }
        let archive = archive.is_some_and(|path| holds(path, &digest).is_ok());
        Ok(ImageSeen::Missing { digest, archive })
    }

    /// Imports the archive, if it has exactly the digest that is asked for and that the manifest names.
    pub(super) async fn load_image(&self, archive: Option<&Path>, digest: &str) -> Result<ImageLoaded, Trouble> {
        let refused = |why: String| Trouble::refused("image", why);
        let (image, named) = self.image().map_err(refused)?;
        if named.as_deref() != Some(digest) {
            return Err(refused(format!("the manifest names {image}, and not {digest}")));
        }
        if self.has(digest).await? {
            return Ok(ImageLoaded::Loaded);
        }
        let archive = archive.ok_or_else(|| refused("no archive is configured: `image_archive`".into()))?;
        holds(archive, digest).map_err(refused)?;
        let shown = archive.display().to_string();
        let words = ["-n", "k8s.io", "images", "import", "--digests", shown.as_str()];
        self.tool(&self.config.ctr, &words, IMPORT_WITHIN).await.map_err(Trouble::Unknown)?;
        if self.has(digest).await? {
            Ok(ImageLoaded::Loaded)
        } else {
            Err(refused("it was imported, and the runtime does not list that digest".into()))
        }
    }
}

fn is_digest(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| hex.len() == 64 && hex.bytes().all(|b| b.is_ascii_hexdigit()))
}

/// Whether an archive in the layout of OCI has this digest in its index.
fn holds(archive: &Path, digest: &str) -> Result<(), String> {
    #[derive(Deserialize)]
    struct Index {
        manifests: Vec<Entry>,
    }
    #[derive(Deserialize)]
    struct Entry {
        digest: String,
    }
    let shown = archive.display();
    let index = member(archive, "index.json").map_err(|e| format!("{shown}: {e}"))?;
    let index: Index = index
        .and_then(|bytes| serde_json::from_slice(&bytes).ok())
        .ok_or_else(|| format!("{shown} has no index of OCI"))?;
    if index.manifests.iter().any(|entry| entry.digest == digest) {
        Ok(())
    } else {
        Err(format!("{shown} has another image than {digest}"))
    }
}

/// One file of a tar archive, by its name.
fn member(archive: &Path, wanted: &str) -> io::Result<Option<Vec<u8>>> {
    use std::io::{Read as _, Seek as _, SeekFrom};
    const BLOCK: u64 = 512;
    const MOST: u64 = 1 << 20;
    let mut file = std::fs::File::from(crate::files::open_any(
        archive,
        rustix::fs::OFlags::RDONLY | rustix::fs::OFlags::NONBLOCK,
    )?);
    if !file.metadata()?.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let mut header = [0_u8; BLOCK as usize];
    loop {
        match file.read_exact(&mut header) {
            Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            read => read?,
        }
        let text = |from: usize, to: usize| {
            let field = header.get(from..to).unwrap_or_default();
            String::from_utf8_lossy(field.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned()
        };
        let (name, size) = (text(0, 100), text(124, 136));
        if name.is_empty() {
            return Ok(None);
        }
        let wrong = || io::Error::new(io::ErrorKind::InvalidData, "it is no tar archive");
        let size = u64::from_str_radix(size.trim(), 8).map_err(|_| wrong())?;
        if name.trim_start_matches("./") == wanted && size <= MOST {
            let mut bytes = vec![0; usize::try_from(size).map_err(|_| wrong())?];
            file.read_exact(&mut bytes)?;
            return Ok(Some(bytes));
        }
        file.seek(SeekFrom::Current(i64::try_from(size.div_ceil(BLOCK) * BLOCK).map_err(|_| wrong())?))?;
    }
}
