//! What a directory is as storage, told without trying anything out: no file is made, not even for a moment.

use std::io;

use recover_steps::Searched;
use recover_steps::examined::{Attachment, Lasting, Look, Sameness, StorageKind, StorageSeen};

use super::directory::{Directory, file_id};
use super::durability::{Judged, block_device, is_anonymous_volume, judge, mount_of};
use crate::files;

impl Directory {
    /// See [`super::Storage::place`].
    pub(crate) fn place(&self) -> String {
        self.config.path.join(&self.config.identity).display().to_string()
    }

    /// See [`super::Storage::seen`].
    pub(crate) fn seen(&self, serial: Option<&str>) -> Look<StorageSeen> {
        let path = &self.config.path;
        let from = path.display().to_string();
        let not_there = |attachment, on: String| StorageSeen {
            kind: kind(&from),
            attachment,
            lasting: Lasting::Undecided,
            on,
            original: self.sameness(None, ""),
            elsewhere: self.elsewhere(serial),
        };
        let folder = match files::open_dir(path) {
            Ok(folder) => folder,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Look::seen(from.clone(), not_there(Attachment::Missing, e.to_string()));
            }
            Err(e) if e.kind() == io::ErrorKind::PermissionDenied => {
                return Look::seen(from.clone(), not_there(Attachment::Denied, e.to_string()));
            }
            Err(e) => return Look::not_read(from, e.to_string()),
        };
        let (mount, on) = match mount_of(&folder, path) {
            Ok(found) => found,
            Err(why) => return Look::not_read(from, why.text()),
        };
        let lasting = match judge(&mount, path, &block_device) {
            Judged::Durable => Lasting::Durable,
            Judged::Refuted => Lasting::Refuted,
            Judged::Undecided => Lasting::Undecided,
        };
        let kind = kind(&format!("{}|{from}", mount.root));
        let file = rustix::fs::fstat(&folder).ok().map(|stat| file_id(&stat));
        let original = self.sameness(file.as_deref(), &on);
        let elsewhere = self.elsewhere(serial);
        Look::seen(from, StorageSeen { kind, attachment: Attachment::Attached, lasting, on, original, elsewhere })
    }

    /// Whether it is what a person recorded while all was well. A directory that was made anew at the recorded path is neither.
    fn sameness(&self, file: Option<&str>, on: &str) -> Sameness {
        let Some(recorded) = &self.recorded else { return Sameness::Untold };
        let moved = file.is_some() && recorded.on.as_deref().is_some_and(|recorded| recorded != on);
        if std::path::Path::new(&recorded.place) != self.config.path || moved {
            Sameness::Other
        } else if file.is_some() && recorded.file.as_deref() == file {
            Sameness::Same
        } else {
            Sameness::Untold
        }
    }

    /// Where else the identity is, among the places that the configuration names.
    fn elsewhere(&self, serial: Option<&str>) -> Option<String> {
        match self.search(serial?) {
            Searched::Found { original } => Some(original.path),
            Searched::Gone { .. } | Searched::Unreadable { .. } => None,
        }
    }
}

/// What kind of place a path is, by the folders in which container runtimes keep theirs.
fn kind(place: &str) -> StorageKind {
    if place.contains("kubernetes.io~empty-dir") {
        StorageKind::EmptyDir
    } else if place.contains("/kubelet/pods/") {
        StorageKind::Claim
    } else if is_anonymous_volume(place) {
        StorageKind::Anonymous
    } else if place.contains("/docker/volumes/") || place.contains("/containers/storage/volumes/") {
        StorageKind::Volume
    } else {
        StorageKind::Directory
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DirectoryConfig;

    #[test]
    fn what_a_directory_is_is_told_without_touching_it() {
        let dir = crate::fake::on_disk();
        let at = |name: &str| dir.path().join(name);
        let config = DirectoryConfig { path: at("data"), originals: vec![at("original")], identity: "i".into() };
        let directory = Directory::new(config);
        let seen = |serial| directory.seen(serial).value().cloned().unwrap();
        assert_eq!((seen(None).attachment, seen(None).elsewhere), (Attachment::Missing, None));
        std::fs::create_dir_all(at("original/a")).unwrap();
        std::fs::write(at("original/a/i"), r#"{"serial":"s1"}"#).unwrap();
        assert!(seen(Some("s1")).elsewhere.unwrap().ends_with("/original/a"));
        assert_eq!(seen(Some("s2")).elsewhere, None);
        std::fs::create_dir(at("data")).unwrap();
        let before = std::fs::metadata(at("data")).unwrap().modified().unwrap();
        assert_eq!((seen(None).attachment, seen(None).kind), (Attachment::Attached, StorageKind::Directory));
        assert_eq!(std::fs::metadata(at("data")).unwrap().modified().unwrap(), before);
        assert_eq!(std::fs::read_dir(at("data")).unwrap().count(), 0);
        assert_eq!(directory.place(), at("data/i").display().to_string());
    }

    #[test]
    fn what_was_recorded_tells_the_same_directory_from_another_and_from_one_made_anew() {
        let dir = crate::fake::on_disk();
        let at = |name: &str| dir.path().join(name);
        let of = |name: &str| {
            Directory::new(DirectoryConfig { path: at(name), originals: Vec::new(), identity: "i".into() })
        };
        std::fs::create_dir(at("data")).unwrap();
        let mut facts = crate::Facts::new();
        of("data").facts(&mut facts).unwrap();
        facts.extend(["serial", "fingerprint"].map(|name| (format!("identity.{name}"), "s1".to_owned())));
        let original = |name: &str, facts: &crate::Facts| {
            let mut directory = of(name);
            directory.recorded(facts);
            directory.seen(None).value().unwrap().original
        };
        assert_eq!(of("data").seen(None).value().unwrap().original, Sameness::Untold, "nothing was recorded");
        assert_eq!(original("data", &facts), Sameness::Same);
        assert_eq!(original("missing", &facts), Sameness::Other);
        std::fs::rename(at("data"), at("aside")).unwrap();
        std::fs::create_dir(at("data")).unwrap();
        assert_eq!(original("data", &facts), Sameness::Untold);
        facts.insert("storage.on".into(), "ext4 on /dev/other".into());
        assert_eq!(original("data", &facts), Sameness::Other, "another disk is mounted there");
    }

    #[test]
    fn a_place_is_known_by_its_folders() {
        let anonymous = format!("/var/lib/docker/volumes/{}/_data", "0a".repeat(32));
        for (place, wanted) in [
            ("/var/lib/vaultpam", StorageKind::Directory),
            ("/var/lib/docker/volumes/vaultpam-data/_data|/data", StorageKind::Volume),
            (anonymous.as_str(), StorageKind::Anonymous),
            ("/var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/data", StorageKind::EmptyDir),
            ("/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/pvc-1/mount", StorageKind::Claim),
        ] {
            assert_eq!(kind(place), wanted, "{place}");
        }
    }
}
