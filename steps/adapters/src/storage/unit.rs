//! A directory that a unit of systemd is told of: by a variable, or by a bind mount. Another one takes its place by a drop-in;
//! nothing is moved.
//!
//! Facts: systemd.exec(5). A later assignment of one variable in `Environment=` wins. An empty `BindPaths=` forgets the ones before
//! it; so the drop-in says the others again.

use recover_steps::examined::{Look, StorageSeen};
use recover_steps::{Durability, Original, Searched, Storage};

use super::directory::{Directory, file_id, refused};
use super::identity::Looked;
use crate::config::{DirectoryConfig, Manager, SystemdConfig, UnitStorageConfig};
use crate::facts::Facts;
use crate::files;
use crate::systemd::{Bus, DropIn, Lasting, is_plain_word};
use crate::trouble::{Trouble, code};

/// What one unit keeps its identity in.
#[derive(Debug)]
pub(crate) struct UnitDirectory {
    config: UnitStorageConfig,
    unit: String,
    manager: Manager,
    recorded: Option<Facts>,
}

impl UnitDirectory {
    pub(crate) fn new(config: UnitStorageConfig, systemd: &SystemdConfig) -> Self {
        Self { config, unit: systemd.unit.clone(), manager: systemd.manager, recorded: None }
    }

    async fn bus(&self) -> Result<Bus, Trouble> {
        Bus::to(self.manager, &self.unit).await
    }

    /// Where the unit keeps its files now.
    async fn present(&self, bus: &Bus) -> Result<String, Trouble> {
        let told = match &self.config.variable {
            Some(variable) => {
                let environment = bus.environment().await?;
                let of = |word: &String| {
                    word.split_once('=').filter(|(name, _)| name == variable).map(|(_, v)| v.to_owned())
                };
                environment.iter().rev().find_map(of)
            }
            None => {
                let at = self.config.path.to_str().unwrap_or_default();
                bus.binds().await?.into_iter().rev().find(|bind| bind.to == at).map(|bind| bind.from)
            }
        };
        Ok(told.unwrap_or_else(|| self.config.path.display().to_string()))
    }

    async fn directory(&self) -> Result<Directory, Trouble> {
        let present = self.present(&self.bus().await?).await?;
        let mut directory = Directory::new(DirectoryConfig {
            originals: self.config.originals.iter().filter(|path| path.to_str() != Some(&present)).cloned().collect(),
            path: present.into(),
            identity: self.config.identity.clone(),
        });
        if let Some(facts) = &self.recorded {
            directory.recorded(facts);
        }
        Ok(directory)
    }

    /// See [`super::Storage::place`].
    pub(crate) fn place(&self) -> String {
        format!("{} in what {} keeps its files in", self.config.identity, self.unit)
    }

    pub(crate) async fn facts(&self, facts: &mut Facts) -> Result<(), String> {
        self.directory().await.map_err(|why| why.text().to_owned())?.facts(facts)
    }

    pub(crate) fn recorded(&mut self, facts: &Facts) {
        self.recorded = Some(facts.clone());
    }

    pub(crate) async fn identity(&self) -> Looked {
        match self.directory().await {
            Ok(directory) => directory.identity(),
            Err(why) => Looked::Unreadable(why.text().to_owned()),
        }
    }

    pub(crate) async fn seen(&self, serial: Option<&str>) -> Look<StorageSeen> {
        match self.directory().await {
            Ok(directory) => directory.seen(serial),
            Err(why) => Look::not_read(self.place(), why.text()),
        }
    }

    pub(crate) async fn search(&self, epoch: &str) -> Searched {
        match self.directory().await {
            Ok(directory) => directory.search(epoch),
            Err(why) => Searched::Unreadable { path: self.unit.clone(), why: why.text().to_owned() },
        }
    }

    pub(crate) async fn prove_durable(
        &self,
        which: &Storage,
        run: &str,
        epoch: Option<&str>,
    ) -> Result<Durability, Trouble> {
        self.directory().await?.prove_durable(which, run, epoch)
    }

    pub(crate) async fn set_aside(&self, run: &str) -> Result<(), Trouble> {
        self.directory().await?.set_aside(run)
    }

    pub(crate) async fn put_back(&self, run: &str) -> Result<(), Trouble> {
        self.directory().await?.put_back(run)
    }

    fn drop_in(&self, run: &str) -> Result<DropIn, Trouble> {
        let made = DropIn::of(self.manager, &self.unit, Lasting::Always, format!("90-recover-{run}.conf"));
        made.map_err(|e| Trouble::refused(code::STORAGE, e.to_string()))
    }

    /// See [`recover_steps::Reattach`]. What was changed, in words.
    pub(crate) async fn reattach(&self, original: &Original, run: &str) -> Result<String, Trouble> {
        let path = std::path::Path::new(&original.path);
        let folder = files::open_dir(path).map_err(|e| refused(path, e))?;
        let stat = rustix::fs::fstat(&folder).map_err(|e| refused(path, e))?;
        if file_id(&stat) != original.file_id {
            return Err(refused(path, "the original is no longer there"));
        }
        if !is_plain_word(&original.path) {
            return Err(refused(
                path,
                "a unit would not take this path as it stands; move it to a plainer one by hand",
            ));
        }
        let (bus, drop_in) = (self.bus().await?, self.drop_in(run)?);
        let text = self.text(&bus, &original.path, run).await?;
        drop_in.write(&text).map_err(|e| refused(&drop_in.path(), e))?;
        bus.reload().await.map_err(Trouble::midway)?;
        let present = self.present(&bus).await.map_err(Trouble::midway)?;
        if present != original.path {
            return Err(Trouble::Unknown(format!(
                "{} says that the storage is {}, and systemd says {present}: something else stands after it",
                drop_in.path().display(),
                original.path
            )));
        }
        Ok(format!(
            "the unit {} keeps its files in {} by {}; what it had before is where it was. Say so where the unit comes from, then take \
             that file away",
            self.unit,
            original.path,
            drop_in.path().display()
        ))
    }

    async fn text(&self, bus: &Bus, original: &str, run: &str) -> Result<String, Trouble> {
        let head =
            format!("# Written by recover, run {run}: the storage that the lost identity was found in.\n[Service]\n");
        let Some(variable) = &self.config.variable else {
            let at = self.config.path.to_str().unwrap_or_default();
            let mut text = head + "BindPaths=\n";
            for bind in bus.binds().await?.into_iter().filter(|bind| bind.to != at) {
                if !is_plain_word(&bind.from) || !is_plain_word(&bind.to) {
                    let why = format!("the bind mount of {} could not be said again as it stands", bind.to);
                    return Err(Trouble::refused(code::STORAGE, why));
                }
                let missing = if bind.may_be_missing { "-" } else { "" };
                let flat = if bind.is_flat { ":norbind" } else { "" };
                text += &format!("BindPaths={missing}{}:{}{flat}\n", bind.from, bind.to);
            }
            return Ok(text + &format!("BindPaths={original}:{at}\n"));
        };
        Ok(head + &format!("Environment={variable}={original}\n"))
    }

    /// See [`recover_steps::Detach`].
    pub(crate) async fn detach(&self, run: &str) -> Result<String, Trouble> {
        let (bus, drop_in) = (self.bus().await?, self.drop_in(run)?);
        drop_in.remove().map_err(|e| refused(&drop_in.path(), e))?;
        bus.reload().await.map_err(Trouble::midway)?;
        let present = self.present(&bus).await.map_err(Trouble::midway)?;
        Ok(format!("the unit {} keeps its files in {present} again", self.unit))
    }
}
