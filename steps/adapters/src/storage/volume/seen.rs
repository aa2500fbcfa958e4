//! What is mounted, told without trying anything out: no container is made, not even one that is never started.

use std::path::Path;

use recover_steps::examined::{Attachment, Lasting, Look, Sameness, StorageKind, StorageSeen};

use super::super::durability::Judged;
use super::super::identity::{self, Looked};
use super::durability::judged;
use super::{Volume, file_id, place_of};
use crate::docker::{Container, Mounted, is_anonymous};

impl Volume {
    /// See [`super::super::Storage::seen`].
    pub(crate) async fn seen(&self, serial: Option<&str>) -> Look<StorageSeen> {
        let from = format!("Docker's word on {}", self.container);
        let container = match self.there().await {
            Ok(container) => container,
            Err(why) => return Look::not_read(from, why.text()),
        };
        let mounted = self.mounted(&container);
        let name = match &mounted {
            Mounted::Bind { source, .. } => return self.directory(source.clone()).seen(serial),
            Mounted::Volume { name, .. } => name.as_str(),
            Mounted::Tmpfs | Mounted::Other(_) | Mounted::Above(_) | Mounted::Nothing => {
                let lasting = if matches!(mounted, Mounted::Other(_)) { Lasting::Undecided } else { Lasting::Refuted };
                return Look::seen(
                    from,
                    StorageSeen {
                        kind: StorageKind::Anonymous,
                        attachment: Attachment::Missing,
                        lasting,
                        on: self.no_storage(&mounted),
                        original: self.sameness(None, ""),
                        elsewhere: self.elsewhere(&container, serial).await,
                    },
                );
            }
        };
        let volume = match self.daemon.volume(name).await {
            Ok(volume) => volume,
            Err(failure) => return Look::not_read(from, failure.text()),
        };
        let (lasting, on) = match volume.as_ref().map(judged) {
            Some((Judged::Durable, on)) => (Lasting::Durable, on),
            Some((Judged::Refuted, on)) => (Lasting::Refuted, on),
            Some((Judged::Undecided, on)) => (Lasting::Undecided, on),
            None => (Lasting::Undecided, format!("the volume {name} is gone")),
        };
        let seen = StorageSeen {
            kind: if is_anonymous(name) { StorageKind::Anonymous } else { StorageKind::Volume },
            attachment: if volume.is_some() { Attachment::Attached } else { Attachment::Missing },
            lasting,
            on,
            original: self.sameness(volume.as_ref().map(file_id).as_deref(), name),
            elsewhere: self.elsewhere(&container, serial).await,
        };
        Look::seen(from, seen)
    }

    /// Whether it is what a person recorded while all was well. One that was made anew under the recorded name is another.
    fn sameness(&self, file: Option<&str>, volume: &str) -> Sameness {
        match &self.recorded {
            None => Sameness::Untold,
            Some(recorded) if recorded.place != place_of(volume) => Sameness::Other,
            Some(recorded) if recorded.file.is_none() => Sameness::Untold,
            Some(recorded) if recorded.file.as_deref() == file => Sameness::Same,
            Some(_) => Sameness::Other,
        }
    }

    /// Where else the identity is, among the volumes that can be looked into from here.
    async fn elsewhere(&self, container: &Container, serial: Option<&str>) -> Option<String> {
        let serial = serial?;
        for name in self.searched(container) {
            let Ok(Some(volume)) = self.daemon.volume(name).await else { continue };
            let plain =
                volume["Driver"] == "local" && volume["Options"].as_object().is_none_or(serde_json::Map::is_empty);
            let path = Path::new(volume["Mountpoint"].as_str().unwrap_or_default());
            if plain
                && let Looked::There(found) = identity::look(path, &self.config.identity)
                && found.serial == serial
            {
                return Some(place_of(name));
            }
        }
        None
    }
}
