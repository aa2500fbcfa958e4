//! Whether what is mounted outlives container and host: told by what kind of mount it is, the volume's driver, and the file system
//! that the volume is on where that can be seen from here.

use std::path::Path;

use recover_steps::{Durability, Original, Storage};
use serde_json::Value;

use super::super::durability::{Judged, Wanted, block_device, durability, judge, mount_of};
use super::{Volume, file_id, refused, volume_of};
use crate::docker::{Failure, Mounted, is_anonymous};
use crate::files;
use crate::trouble::Trouble;
use crate::workload::user_of;

impl Volume {
    /// See [`recover_steps::ProveDurable`].
    pub(crate) async fn prove_durable(
        &self,
        storage: &Storage,
        run: &str,
        epoch: Option<&str>,
    ) -> Result<Durability, Trouble> {
        match storage {
            Storage::Original(original) => self.prove_original(original).await,
            Storage::Target => self.prove_target(storage, run, epoch, Wanted::Nothing { lost: epoch }).await,
            Storage::Held { serial } => self.prove_target(storage, run, epoch, Wanted::Identity(serial)).await,
        }
    }

    async fn prove_original(&self, original: &Original) -> Result<Durability, Trouble> {
        let volume = self.original(original).await?;
        let name = volume["Name"].as_str().unwrap_or_default();
        self.unused(name).await?;
        let (judged, on) = judged(&volume);
        Ok(durability(judged, on))
    }

    /// The original volume, if it is still the one that was found.
    pub(super) async fn original(&self, original: &Original) -> Result<Value, Trouble> {
        let name =
            volume_of(&original.path).ok_or_else(|| refused(format!("{} is no volume of Docker's", original.path)))?;
        let volume = self.daemon.volume(name).await.map_err(Failure::asking)?;
        volume
            .filter(|volume| file_id(volume) == original.file_id)
            .ok_or_else(|| refused(format!("the original is no longer there: {}", original.path)))
    }

    /// A volume that another container is writing to is nobody's to take.
    async fn unused(&self, name: &str) -> Result<(), Trouble> {
        let running = self.daemon.list(false).await.map_err(Failure::asking)?;
        match user_of(&running, name, &self.container) {
            None => Ok(()),
            Some(user) => Err(refused(format!("the volume {name} is in use by the container {user}; stop that first"))),
        }
    }

    async fn prove_target(
        &self,
        which: &Storage,
        run: &str,
        epoch: Option<&str>,
        wanted: Wanted<'_>,
    ) -> Result<Durability, Trouble> {
        let container = self.there().await?;
        if container.borrows_volumes() {
            return Err(refused(format!(
                "the container {} was made with --volumes-from, so what is mounted in it is said elsewhere; name its volumes",
                self.container
            )));
        }
        let mounted = self.mounted(&container);
        let (name, writable) = match mounted {
            Mounted::Volume { name, writable } => (name, writable),
            Mounted::Bind { writable: false, source } => {
                return Ok(Durability::Unwritable {
                    why: format!("{source} is mounted read-only in {}", self.container),
                });
            }
            Mounted::Bind { source, .. } => {
                // What is mounted is what the path meant when the container started; through a link it may mean another today.
                return self.directory(source).prove_durable(which, run, epoch);
            }
            Mounted::Other(_) => return Ok(Durability::Undecided { on: self.no_storage(&mounted) }),
            Mounted::Tmpfs | Mounted::Above(_) | Mounted::Nothing => {
                return Ok(Durability::Refuted { on: self.no_storage(&mounted) });
            }
        };
        let Some(volume) = self.daemon.volume(&name).await.map_err(Failure::asking)? else {
            return Err(refused(format!("the volume {name} is gone, and the container {} names it", self.container)));
        };
        self.unused(&name).await?;
        let (judged, on) = judged(&volume);
        if judged != Judged::Refuted && !writable {
            return Ok(Durability::Unwritable { why: format!("{on} is mounted read-only in {}", self.container) });
        }
        if judged == Judged::Refuted {
            return Ok(durability(judged, on));
        }
        let looked = self.identity_in(container.id()).await.map_err(Failure::asking)?;
        wanted.judge(durability(judged, on.clone()), looked).map_err(|why| refused(format!("{on}: {why}")))
    }
}

/// Whether a volume lasts, and what it is.
pub(super) fn judged(volume: &Value) -> (Judged, String) {
    let word = |name: &str| volume[name].as_str().unwrap_or_default();
    let (name, driver) = (word("Name"), word("Driver"));
    let on = format!("the volume {name} (driver {driver})");
    let labelled = volume["Labels"].get("com.docker.volume.anonymous").is_some();
    if is_anonymous(name) || labelled {
        return (Judged::Refuted, format!("{on}, which nobody named and which goes with its container"));
    }
    let option = |name: &str| volume["Options"][name].as_str().unwrap_or_default();
    if driver != "local" {
        return (Judged::Undecided, on);
    }
    match (option("type"), option("device")) {
        ("", "") => {}
        ("tmpfs" | "ramfs", _) => return (Judged::Refuted, format!("{on}, which is {}", option("type"))),
        // It is mounted while it is in use; what is at its path meanwhile says nothing.
        (kind, device) => return (Judged::Undecided, format!("{on}, which is {kind} on {device}")),
    }
    let path = Path::new(word("Mountpoint"));
    let seen = files::open_dir(path).ok().and_then(|folder| mount_of(&folder, path).ok());
    match seen {
        Some((mount, file_system)) => (judge(&mount, path, &block_device), format!("{on} on {file_system}")),
        None => (Judged::Undecided, format!("{on}, whose file system cannot be seen from here")),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn volume(name: &str, driver: &str, options: &Value) -> Value {
        let mountpoint = "/var/lib/nobody-has-this/volumes/edge-data/_data";
        json!({ "Name": name, "Driver": driver, "Mountpoint": mountpoint, "Options": options, "Labels": null })
    }

    #[test]
    fn a_volume_is_judged_by_its_name_its_driver_and_its_options() {
        for (volume, wanted) in [
            (volume("edge-data", "local", &Value::Null), Judged::Undecided),
            (volume(&"0a".repeat(32), "local", &Value::Null), Judged::Refuted),
            (volume("edge-data", "local", &json!({"type": "tmpfs", "device": "tmpfs"})), Judged::Refuted),
            (volume("edge-data", "local", &json!({"type": "nfs", "device": ":/x"})), Judged::Undecided),
            (volume("edge-data", "local", &json!({"type": "none", "o": "bind", "device": "/x"})), Judged::Undecided),
            (volume("edge-data", "rexray", &Value::Null), Judged::Undecided),
        ] {
            let (judged, on) = judged(&volume);
            assert_eq!(judged, wanted, "{on}");
        }
        let mut labelled = volume("short", "local", &Value::Null);
        labelled["Labels"] = json!({"com.docker.volume.anonymous": ""});
        assert_eq!(judged(&labelled).0, Judged::Refuted);
    }

    #[test]
    fn the_file_system_that_a_volume_is_on_is_looked_at_where_it_can_be_seen() {
        let memory = tempfile::tempdir_in("/dev/shm").unwrap();
        let mut volume = volume("edge-data", "local", &Value::Null);
        volume["Mountpoint"] = memory.path().to_str().unwrap().into();
        let (judged, on) = judged(&volume);
        assert_eq!(judged, Judged::Refuted, "{on}");
        assert!(on.contains("tmpfs"), "{on}");
    }
}
