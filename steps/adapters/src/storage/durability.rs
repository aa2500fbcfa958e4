//! Whether a directory outlives its workload and its host, told by the mount it is on.

use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use recover_steps::{Durability, Original, Storage};
use rustix::fs::{AtFlags, StatxFlags};

use super::directory::{Directory, file_id, refused};
use super::identity::{self, Looked};
use crate::files;
use crate::trouble::Trouble;

/// One line of `/proc/self/mountinfo`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mount {
    id: u64,
    /// `major:minor`.
    device: String,
    /// Which part of the file system is mounted.
    pub(super) root: String,
    kind: String,
    source: String,
    read_only: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judged {
    Durable,
    Refuted,
    Undecided,
}

impl Directory {
    /// See [`recover_steps::ProveDurable`].
    pub(crate) fn prove_durable(
        &self,
        storage: &Storage,
        run: &str,
        epoch: Option<&str>,
    ) -> Result<Durability, Trouble> {
        match storage {
            Storage::Original(original) => self.prove_original(original),
            Storage::Target => self.prove_target(run, Wanted::Nothing { lost: epoch }),
            Storage::Held { serial } => self.prove_target(run, Wanted::Identity(serial)),
        }
    }

    /// What it is on, in words.
    pub(super) fn on(&self, folder: &OwnedFd) -> Result<String, Trouble> {
        mount_of(folder, &self.config.path).map(|(_, on)| on)
    }

    fn prove_original(&self, original: &Original) -> Result<Durability, Trouble> {
        // It may have been moved to its place since.
        for path in [Path::new(&original.path), self.config.path.as_path()] {
            if let Ok(folder) = files::open_dir(path)
                && rustix::fs::fstat(&folder).is_ok_and(|s| file_id(&s) == original.file_id)
            {
                let (mount, on) = mount_of(&folder, path)?;
                return Ok(durability(judge(&mount, path, &block_device), on));
            }
        }
        Err(refused(Path::new(&original.path), "the original is no longer there"))
    }

    fn prove_target(&self, run: &str, wanted: Wanted<'_>) -> Result<Durability, Trouble> {
        let path = &self.config.path;
        let folder = match files::open_dir(path) {
            Ok(folder) => folder,
            Err(e) => return Ok(Durability::Unwritable { why: format!("{}: {e}", path.display()) }),
        };
        let (mount, on) = mount_of(&folder, path)?;
        let durability = durability(judge(&mount, path, &block_device), on);
        if matches!(durability, Durability::Durable { .. }) {
            if mount.read_only {
                return Ok(Durability::Unwritable { why: format!("{} is mounted read-only", path.display()) });
            }
            if let Err(e) = self.try_to_write(&folder, run) {
                return Ok(Durability::Unwritable { why: format!("{}: {e}", path.display()) });
            }
        }
        let looked = identity::look_in(&folder, &self.config.identity);
        wanted.judge(durability, looked).map_err(|why| refused(path, why))
    }
}

/// What has to be on a workload's storage for it to serve.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    /// Nothing: an identity is about to be made.
    Nothing {
        /// The identity that was lost. If it is back, none is needed.
        lost: Option<&'a str>,
    },
    /// This identity.
    Identity(&'a str),
}

impl Wanted<'_> {
    /// What was found out, unless what is there is not what is wanted. Also where durability cannot be told: what a person says of
    /// the storage then says nothing of what is on it.
    pub(super) fn judge(self, durability: Durability, looked: Looked) -> Result<Durability, String> {
        let (Durability::Durable { on } | Durability::Undecided { on }) = &durability else { return Ok(durability) };
        match (looked, self) {
            (Looked::Absent, Self::Nothing { .. }) => Ok(durability),
            (Looked::Absent, Self::Identity(serial)) => Err(format!("identity {serial} is gone from it")),
            (Looked::There(found), Self::Identity(serial)) if found.serial == serial => Ok(durability),
            // To call it occupied would let the very identity that was lost be set aside.
            (Looked::There(found), Self::Nothing { lost })
                if found.dead.is_none() && Some(found.serial.as_str()) == lost =>
            {
                Err(format!("identity {} is back; nothing is to be made in its place", found.serial))
            }
            (Looked::There(found), _) => Ok(Durability::Occupied { on: on.clone(), serial: found.shown() }),
            (Looked::Unreadable(why), _) => Err(format!("something is in the way of an identity: {why}")),
        }
    }
}

pub(super) fn durability(judged: Judged, on: String) -> Durability {
    match judged {
        Judged::Durable => Durability::Durable { on },
        Judged::Refuted => Durability::Refuted { on },
        Judged::Undecided => Durability::Undecided { on },
    }
}

/// The mount that an open directory is on, and what to call it.
pub(super) fn mount_of(folder: &OwnedFd, path: &Path) -> Result<(Mount, String), Trouble> {
    let table = std::fs::read_to_string("/proc/self/mountinfo")
        .map_err(|e| Trouble::retry(format!("the mount table cannot be read: {e}")))?;
    let statx = rustix::fs::statx(folder, "", AtFlags::EMPTY_PATH, StatxFlags::MNT_ID).map_err(|e| refused(path, e))?;
    if statx.stx_mask & StatxFlags::MNT_ID.bits() == 0 {
        return Err(refused(path, "this kernel does not say which mount a directory is on (5.8 or newer does)"));
    }
    let mut mount = mounts(&table)
        .find(|m| m.id == statx.stx_mnt_id)
        .ok_or_else(|| Trouble::retry(format!("{}: its mount is not in the mount table", path.display())))?;
    // The table and the file system itself must agree where it matters most.
    if files::in_memory(folder).map_err(|e| refused(path, e))?
        && !matches!(mount.kind.as_str(), "tmpfs" | "ramfs" | "devtmpfs")
    {
        mount.kind = "tmpfs".to_owned();
    }
    let on = format!("{} on {}", mount.kind, mount.source);
    Ok((mount, on))
}

/// What an open directory is on, judged and in words; nothing where that cannot be told.
pub(crate) fn mount_judged(folder: &OwnedFd, path: &Path) -> Option<(Judged, String)> {
    let (mount, on) = mount_of(folder, path).ok()?;
    Some((judge(&mount, path, &block_device), on))
}

fn mounts(table: &str) -> impl Iterator<Item = Mount> + '_ {
    table.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let before: Vec<&str> = before.split(' ').collect();
        let mut after = after.split(' ');
        let (kind, source, super_options) = (after.next()?, after.next()?, after.next()?);
        let read_only = |options: &str| options.split(',').any(|o| o == "ro");
        Some(Mount {
            id: before.first()?.parse().ok()?,
            device: (*before.get(2)?).to_owned(),
            root: (*before.get(3)?).to_owned(),
            kind: kind.to_owned(),
            source: source.to_owned(),
            read_only: read_only(before.get(5)?) || read_only(super_options),
        })
    })
}

/// The kernel's name of a block device, from its numbers.
pub(super) fn block_device(numbers: &str) -> Option<PathBuf> {
    std::fs::read_link(Path::new("/sys/dev/block").join(numbers)).ok()
}

pub(super) fn judge(mount: &Mount, path: &Path, block_device: &dyn Fn(&str) -> Option<PathBuf>) -> Judged {
    let place = format!("{}|{}", mount.root, path.display());
    if place.contains("kubernetes.io~empty-dir") || is_anonymous_volume(&place) {
        return Judged::Refuted;
    }
    match mount.kind.as_str() {
        "tmpfs" | "ramfs" | "devtmpfs" | "rootfs" | "overlay" | "aufs" | "squashfs" | "erofs" | "iso9660"
        | "cramfs" | "proc" | "sysfs" | "cgroup" | "cgroup2" | "hugetlbfs" | "mqueue" | "devpts" => Judged::Refuted,
        // A pool has no single device; its own format is on disk.
        "zfs" => Judged::Durable,
        "ext2" | "ext3" | "ext4" | "xfs" | "btrfs" | "f2fs" | "bcachefs" | "jfs" => {
            let device = block_device(&mount.device);
            let name = device.as_deref().and_then(Path::file_name).and_then(|n| n.to_str()).unwrap_or_default();
            let source = mount.source.strip_prefix("/dev/").unwrap_or_default();
            let volatile = |n: &str| n.starts_with("ram") || n.starts_with("zram");
            // What is behind these is elsewhere: a file that may be in memory, or another host.
            let elsewhere = |n: &str| n.starts_with("loop") || n.starts_with("nbd") || n.starts_with("ublk");
            if volatile(name) || volatile(source) {
                Judged::Refuted
            } else if elsewhere(name) || elsewhere(source) || (source.is_empty() && name.is_empty()) {
                Judged::Undecided
            } else {
                Judged::Durable
            }
        }
        _ => Judged::Undecided,
    }
}

/// Docker names a volume that nobody named by 64 hexadecimal digits; it goes with its container.
pub(super) fn is_anonymous_volume(place: &str) -> bool {
    place.split("/volumes/").skip(1).any(|rest| {
        let name = rest.split(['/', '|']).next().unwrap_or_default();
        name.len() == 64 && name.bytes().all(|b| b.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::DirectoryConfig;

    fn mount(kind: &str, source: &str) -> Mount {
        let (id, device, root) = (1, "8:1".to_owned(), "/".to_owned());
        Mount { id, device, root, kind: kind.to_owned(), source: source.to_owned(), read_only: false }
    }

    #[test]
    fn what_is_durable_is_told_by_kind_and_device() {
        let disk = |_: &str| Some(PathBuf::from("../../devices/pci/block/sda/sda1"));
        let named = |name: &'static str| move |_: &str| Some(PathBuf::from("../../devices/virtual/block").join(name));
        let at = Path::new("/data");
        for kind in ["ext4", "xfs", "btrfs", "f2fs", "zfs"] {
            assert_eq!(judge(&mount(kind, "/dev/sda1"), at, &disk), Judged::Durable, "{kind}");
        }
        for kind in ["tmpfs", "ramfs", "overlay", "squashfs", "devtmpfs"] {
            assert_eq!(judge(&mount(kind, "none"), at, &disk), Judged::Refuted, "{kind}");
        }
        for kind in ["nfs4", "cifs", "fuse.sshfs", "fuseblk", "9p", "virtiofs", "ceph", "something-new"] {
            assert_eq!(judge(&mount(kind, "x"), at, &disk), Judged::Undecided, "{kind}");
        }
        assert_eq!(judge(&mount("ext4", "/dev/root"), at, &named("zram0")), Judged::Refuted);
        assert_eq!(judge(&mount("ext4", "/dev/ram0"), at, &|_| None), Judged::Refuted);
        assert_eq!(judge(&mount("ext4", "/dev/loop7"), at, &named("loop7")), Judged::Undecided);
        assert_eq!(judge(&mount("ext4", "/dev/mapper/vg-lv"), at, &named("dm-0")), Judged::Durable);
        assert_eq!(judge(&mount("ext4", "none"), at, &|_| None), Judged::Undecided);
    }

    #[test]
    fn a_disk_beneath_something_that_is_thrown_away_is_no_help() {
        let disk = |_: &str| Some(PathBuf::from("sda1"));
        let plain = mount("ext4", "/dev/sda1");
        let pod = Path::new("/var/lib/kubelet/pods/u/volumes/kubernetes.io~empty-dir/data");
        assert_eq!(judge(&plain, pod, &disk), Judged::Refuted);
        let volume = |name: &str| Mount { root: format!("/var/lib/docker/volumes/{name}/_data"), ..plain.clone() };
        assert_eq!(judge(&volume(&"0a".repeat(32)), Path::new("/data"), &disk), Judged::Refuted);
        assert_eq!(judge(&volume("vaultpam-data"), Path::new("/data"), &disk), Judged::Durable);
    }

    #[test]
    fn the_table_is_read_with_its_optional_fields() {
        let table = "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 shared:2 - ext3 /dev/root rw,errors=continue\n\
                     37 35 0:5 / /ro ro,relatime - xfs /dev/sdb rw\nbroken\n38 35 0:6 / /x rw - xfs /dev/sdc ro,a\n";
        let mounts: Vec<_> = mounts(table).collect();
        assert_eq!(mounts.len(), 3);
        assert_eq!((mounts[0].id, mounts[0].kind.as_str(), mounts[0].root.as_str()), (36, "ext3", "/mnt1"));
        assert_eq!(mounts.iter().map(|m| m.read_only).collect::<Vec<_>>(), [false, true, true]);
    }

    #[test]
    fn memory_is_refuted_for_real() {
        let dir = tempfile::tempdir_in("/dev/shm").unwrap();
        let config = DirectoryConfig { path: dir.path().to_owned(), originals: vec![], identity: "i".into() };
        let directory = Directory::new(config);
        let proven = directory.prove_durable(&Storage::Target, "run_1", None).unwrap();
        assert!(matches!(&proven, Durability::Refuted { on } if on.starts_with("tmpfs")), "{proven:?}");
        let stat = rustix::fs::stat(dir.path()).unwrap();
        let original = Original { path: dir.path().display().to_string(), file_id: file_id(&stat) };
        assert!(matches!(
            directory.prove_durable(&Storage::Original(original), "r", None),
            Ok(Durability::Refuted { .. })
        ));
    }

    #[test]
    fn the_target_is_durable_occupied_or_unwritable() {
        let dir = crate::fake::on_disk();
        let config = DirectoryConfig { path: dir.path().join("data"), originals: vec![], identity: "i".into() };
        let directory = Directory::new(config);
        let prove = |epoch| directory.prove_durable(&Storage::Target, "run_1", epoch);
        assert!(matches!(prove(None), Ok(Durability::Unwritable { .. })), "there is no directory");
        std::fs::create_dir(&directory.config.path).unwrap();
        match prove(None).unwrap() {
            Durability::Durable { .. } => {}
            // Where the tests themselves run on an overlay or a network file system, the rest cannot be seen.
            Durability::Refuted { .. } | Durability::Undecided { .. } => return,
            other @ (Durability::Occupied { .. } | Durability::Unwritable { .. }) => panic!("{other:?}"),
        }
        std::fs::write(directory.config.path.join("i"), r#"{"serial":"s0"}"#).unwrap();
        assert!(matches!(prove(Some("s1")), Ok(Durability::Occupied { serial, .. }) if serial == "s0"));
        assert!(prove(Some("s0")).is_err(), "the lost identity itself is never in the way");
        std::fs::write(directory.config.path.join("i"), "garbage").unwrap();
        assert!(prove(Some("s1")).is_err());
    }

    /// A person may say that a network file system is durable; that does not free it of the identity that is on it.
    #[test]
    fn where_durability_cannot_be_told_an_identity_is_seen_all_the_same() {
        let undecided = || Durability::Undecided { on: "nfs4".into() };
        let there = || identity::read_as("i", br#"{"serial":"s0"}"#);
        let lost = |lost| Wanted::Nothing { lost };
        assert_eq!(lost(Some("s1")).judge(undecided(), Looked::Absent), Ok(undecided()));
        assert!(
            matches!(lost(Some("s1")).judge(undecided(), there()), Ok(Durability::Occupied { serial, .. }) if serial == "s0")
        );
        assert!(lost(Some("s0")).judge(undecided(), there()).is_err(), "the lost identity is back");
        assert!(lost(Some("s1")).judge(undecided(), Looked::Unreadable("garbage".into())).is_err());
    }

    #[test]
    fn storage_that_holds_the_identity_it_should_is_not_occupied() {
        let durable = || Durability::Durable { on: "ext4".into() };
        let there = || identity::read_as("i", br#"{"serial":"s0"}"#);
        assert_eq!(Wanted::Identity("s0").judge(durable(), there()), Ok(durable()));
        assert!(matches!(Wanted::Identity("s1").judge(durable(), there()), Ok(Durability::Occupied { .. })));
        assert!(Wanted::Identity("s0").judge(durable(), Looked::Absent).is_err());
        let refuted = Durability::Refuted { on: "tmpfs".into() };
        assert_eq!(Wanted::Identity("s0").judge(refuted.clone(), Looked::Absent), Ok(refuted));
    }
}
