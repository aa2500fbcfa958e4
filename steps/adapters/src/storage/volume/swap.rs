//! Another volume in the place of the one that is mounted, and back: the container is made anew, and the old one is kept under a name
//! of the run's.
//!
//! The new one is made first, under a name of its own; so whatever the daemon does not accept is refused before anything is
//! changed. Then two renames. Names alone tell how far a run came, so a row that was cut off anywhere is finished by running it
//! again, forwards or backwards.

use recover_steps::Original;
use serde_json::json;

use super::{Volume, refused, volume_of};
use crate::docker::{Container, Failure, Mounted, RUN_LABEL, Spec, like};
use crate::trouble::Trouble;
use crate::workload::aside_prefix;

/// What is under the three names.
struct Row {
    /// Under the workload's own.
    here: Option<Container>,
    /// What was there before.
    aside: Option<Container>,
    /// What is to be there, or was.
    fresh: Option<Container>,
    aside_name: String,
    fresh_name: String,
}

/// Why a container was moved aside. Each has its name, so that half of one is never taken for the other.
#[derive(Clone, Copy)]
enum For {
    Original,
    Emptiness,
}

impl Volume {
    /// See [`recover_steps::Reattach`]. What was changed, in words.
    pub(crate) async fn reattach(&self, original: &Original, run: &str) -> Result<String, Trouble> {
        self.original(original).await?;
        let volume = volume_of(&original.path).unwrap_or_default();
        self.swap(For::Original, run, volume).await
    }

    /// See [`recover_steps::Detach`].
    pub(crate) async fn detach(&self, run: &str) -> Result<String, Trouble> {
        self.swap_back(For::Original, run).await
    }

    /// See [`recover_steps::SetAside`].
    pub(crate) async fn set_aside(&self, run: &str) -> Result<String, Trouble> {
        let row = self.row(For::Emptiness, run).await?;
        if row.aside.is_none()
            && let Some(Mounted::Bind { source, .. }) = row.here.as_ref().map(|here| self.mounted(here))
        {
            self.directory(source.clone()).set_aside(run)?;
            return Ok(format!("what was in {source} is beside it"));
        }
        let name = format!("{}-data-recover-{run}", self.container);
        let made = self.daemon.make_volume(&name, &json!({ RUN_LABEL: run })).await.map_err(Failure::changing)?;
        if made["Labels"][RUN_LABEL] != run {
            return Err(refused(format!("there is a volume {name} already, and it is not of this run")));
        }
        self.swap(For::Emptiness, run, &name).await
    }

    /// See [`recover_steps::PutBack`]. The volume that was made stays: none is ever deleted.
    pub(crate) async fn put_back(&self, run: &str) -> Result<String, Trouble> {
        let row = self.row(For::Emptiness, run).await?;
        if row.aside.is_none()
            && let Some(Mounted::Bind { source, .. }) = row.here.as_ref().map(|here| self.mounted(here))
        {
            self.directory(source.clone()).put_back(run)?;
            return Ok(format!("what was in {source} is there again"));
        }
        self.swap_back(For::Emptiness, run).await
    }

    async fn row(&self, what: For, run: &str) -> Result<Row, Trouble> {
        let prefix = aside_prefix(&self.container);
        let word = match what {
            For::Original => "",
            For::Emptiness => "aside-",
        };
        let (aside_name, fresh_name) = (format!("{prefix}{word}{run}"), format!("{prefix}{word}new-{run}"));
        Ok(Row {
            here: self.named(&self.container).await?,
            aside: self.named(&aside_name).await?,
            fresh: self.named(&fresh_name).await?,
            aside_name,
            fresh_name,
        })
    }

    async fn named(&self, name: &str) -> Result<Option<Container>, Trouble> {
        self.daemon.named(name).await.map_err(Failure::asking)
    }

    fn has(&self, container: &Container, volume: &str) -> bool {
        matches!(self.mounted(container), Mounted::Volume { name, .. } if name == volume)
    }

    async fn swap(&self, what: For, run: &str, volume: &str) -> Result<String, Trouble> {
        let Row { here, aside, fresh, aside_name, fresh_name } = self.row(what, run).await?;
        let (old, is_here) = match (here, aside) {
            // Done before, or never another.
            (Some(here), Some(aside)) if self.has(&here, volume) => return Ok(self.told(&aside, &here, volume)),
            (Some(here), None) if self.has(&here, volume) => {
                return Ok(format!("the volume {volume} was mounted in {} already", self.container));
            }
            (Some(_), Some(_)) => {
                return Err(refused(format!(
                    "somebody made the container {} anew; what it was is {aside_name}",
                    self.container
                )));
            }
            (Some(here), None) => (here, true),
            (None, Some(aside)) => (aside, false),
            (None, None) => return Err(refused(format!("there is no container {}", self.container))),
        };
        let fresh = self.made(fresh, &fresh_name, &old, volume).await?;
        if is_here {
            self.rename(&old, &aside_name).await?;
        }
        self.rename(&fresh, &self.container).await.map_err(Trouble::midway)?;
        Ok(self.told(&old, &fresh, volume))
    }

    /// The container that is to be there: like the old one, whole, and not running.
    async fn made(
        &self,
        present: Option<Container>,
        name: &str,
        old: &Container,
        volume: &str,
    ) -> Result<Container, Trouble> {
        // The name may mean another image by now.
        let image = match self.daemon.image(old.image_name()).await.map_err(Failure::asking)? {
            Some(id) if id == old.image() => old.image_name(),
            Some(_) | None => old.image(),
        };
        let Spec { body, networks } = like(old, &self.config.mount, volume, image);
        let made = match present {
            Some(made) if self.has(&made, volume) => made,
            Some(_) => return Err(refused(format!("the container {name} is in the way, and not what this run made"))),
            None => {
                self.daemon.create(name, &body).await.map_err(Failure::changing)?;
                self.named(name).await?.ok_or_else(|| Trouble::retry(format!("{name} was made and is not there")))?
            }
        };
        for (network, endpoint) in networks {
            if !made.is_on(&network) {
                self.daemon.connect(&network, made.id(), &endpoint).await.map_err(Failure::changing)?;
            }
        }
        Ok(made)
    }

    async fn swap_back(&self, what: For, run: &str) -> Result<String, Trouble> {
        let Row { here, aside, fresh, aside_name: _, fresh_name } = self.row(what, run).await?;
        let (here, fresh) = match (aside, here, fresh) {
            (Some(_), Some(_), Some(_)) => {
                return Err(refused(format!("the container {fresh_name} is in the way of moving things back")));
            }
            (Some(aside), Some(here), None) => {
                self.rename(&here, &fresh_name).await?;
                self.rename(&aside, &self.container).await.map_err(Trouble::midway)?;
                (aside, Some(here))
            }
            (Some(aside), None, fresh) => {
                self.rename(&aside, &self.container).await?;
                (aside, fresh)
            }
            (None, Some(here), fresh) => (here, fresh),
            (None, None, _) => return Err(refused(format!("there is no container {}", self.container))),
        };
        if let Some(fresh) = fresh {
            // Ours, and like the other in everything but the volume, which stays.
            self.daemon.remove(fresh.id()).await.map_err(|failure| failure.changing().midway())?;
        }
        Ok(format!("the container {} is {} again", self.container, short(here.id())))
    }

    async fn rename(&self, container: &Container, to: &str) -> Result<(), Trouble> {
        self.daemon.rename(container.id(), to).await.map_err(Failure::changing)
    }

    fn told(&self, old: &Container, new: &Container, volume: &str) -> String {
        format!(
            "the container {} was {} and is {}, made like it, with the volume {volume} at {}; until the run has ended well the \
             old one stays, and its volumes stay after that",
            self.container,
            short(old.id()),
            short(new.id()),
            self.config.mount,
        )
    }

    /// Takes away what runs moved aside, if the workload runs: that is how a run ends well. Volumes stay.
    pub(crate) async fn tidy(&self) -> Result<(), Trouble> {
        self.sweep().await.map_err(Failure::changing)?;
        let Some(here) = self.named(&self.container).await? else { return Ok(()) };
        if here.life().is_none() {
            return Ok(());
        }
        for brief in self.daemon.list(true).await.map_err(Failure::asking)? {
            let names = brief["Names"].as_array().into_iter().flatten().filter_map(|name| name.as_str());
            let ours = names.into_iter().any(|name| self.is_ours(name.trim_start_matches('/')));
            if let (true, Some(id)) = (ours, brief["Id"].as_str()) {
                self.daemon.remove(id).await.map_err(Failure::changing)?;
            }
        }
        Ok(())
    }

    /// Whether this is a name that only a run gives.
    fn is_ours(&self, name: &str) -> bool {
        let prefix = aside_prefix(&self.container);
        let Some(rest) = name.strip_prefix(&prefix) else { return false };
        ["", "new-", "aside-", "aside-new-"]
            .iter()
            .any(|word| rest.strip_prefix(word).is_some_and(|run| run.parse::<recover_engine::RunId>().is_ok()))
    }
}

/// As people write an id.
fn short(id: &str) -> &str {
    id.get(..12).unwrap_or(id)
}
