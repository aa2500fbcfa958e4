//! The file system of the lossy disk, mounted. Nothing is cached by the kernel: each write reaches the disk when it is made.

use std::ffi::OsStr;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags, Generation,
    INodeNo, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr, ReplyData, ReplyDirectory, ReplyEmpty,
    ReplyEntry, ReplyOpen, ReplyStatfs, ReplyWrite, Request, TimeOrNow, WriteFlags,
};

use crate::disk::{Disk, Kept, Kind};
use crate::random::Random;

const AT_ONCE: Duration = Duration::ZERO;

/// A mounted disk. Dropped, it is unmounted.
pub struct Lossy {
    disk: Arc<Mutex<Disk>>,
    _session: BackgroundSession,
}

struct Mounted(Arc<Mutex<Disk>>);

fn lock(disk: &Mutex<Disk>) -> MutexGuard<'_, Disk> {
    disk.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Lossy {
    pub fn mount(at: &Path) -> io::Result<Self> {
        let disk = Arc::new(Mutex::new(Disk::new()));
        let mut config = Config::default();
        config.mount_options = vec![MountOption::FSName("lossy".into()), MountOption::DefaultPermissions];
        let session = fuser::spawn_mount(Mounted(Arc::clone(&disk)), at, &config)?;
        Ok(Self { disk, _session: session })
    }

    pub fn cut(&self, kept: Kept, random: &mut Random) {
        lock(&self.disk).cut(kept, random);
    }

    pub fn sync_all(&self) {
        lock(&self.disk).sync_all();
    }

    pub fn fail_sync(&self, after: u32) {
        lock(&self.disk).fail_sync(after);
    }

    pub fn has_failed(&self) -> bool {
        lock(&self.disk).has_failed()
    }

    pub fn clear(&self) {
        lock(&self.disk).clear();
    }
}

fn attr(disk: &Disk, node: u64) -> Option<FileAttr> {
    let found = disk.get(node)?;
    let size = found.live.len() as u64;
    Some(FileAttr {
        ino: INodeNo(node),
        size,
        blocks: size.div_ceil(512),
        atime: UNIX_EPOCH,
        mtime: UNIX_EPOCH,
        ctime: UNIX_EPOCH,
        crtime: UNIX_EPOCH,
        kind: kind(found.kind),
        perm: u16::try_from(found.mode).unwrap_or(0),
        nlink: 1,
        uid: rustix::process::geteuid().as_raw(),
        gid: rustix::process::getegid().as_raw(),
        rdev: 0,
        blksize: 4096,
        flags: 0,
    })
}

fn kind(kind: Kind) -> FileType {
    match kind {
        Kind::Folder => FileType::Directory,
        Kind::File => FileType::RegularFile,
        Kind::Socket => FileType::Socket,
    }
}

impl Mounted {
    fn entry(&self, reply: ReplyEntry, find: impl FnOnce(&mut Disk) -> Option<u64>) {
        let mut disk = lock(&self.0);
        match find(&mut disk).and_then(|node| attr(&disk, node)) {
            Some(attr) => reply.entry(&AT_ONCE, &attr, Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn done(&self, reply: ReplyEmpty, act: impl FnOnce(&mut Disk) -> Option<()>) {
        match act(&mut lock(&self.0)) {
            Some(()) => reply.ok(),
            None => reply.error(Errno::ENOENT),
        }
    }
}

impl Filesystem for Mounted {
    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        self.entry(reply, |disk| disk.child(parent.0, name));
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match attr(&lock(&self.0), ino.0) {
            Some(attr) => reply.attr(&AT_ONCE, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self,
        _: &Request,
        ino: INodeNo,
        mode: Option<u32>,
        _: Option<u32>,
        _: Option<u32>,
        size: Option<u64>,
        _: Option<TimeOrNow>,
        _: Option<TimeOrNow>,
        _: Option<SystemTime>,
        _: Option<FileHandle>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<SystemTime>,
        _: Option<BsdFileFlags>,
        reply: ReplyAttr,
    ) {
        let mut disk = lock(&self.0);
        if let Some(mode) = mode {
            disk.chmod(ino.0, mode);
        }
        if let Some(size) = size {
            disk.resize(ino.0, usize::try_from(size).unwrap_or(usize::MAX));
        }
        match attr(&disk, ino.0) {
            Some(attr) => reply.attr(&AT_ONCE, &attr),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn mknod(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: u32, reply: ReplyEntry) {
        let kind = match mode & libc::S_IFMT {
            libc::S_IFREG => Kind::File,
            libc::S_IFSOCK => Kind::Socket,
            _ => return reply.error(Errno::EPERM),
        };
        self.entry(reply, |disk| disk.make(parent.0, name.to_owned(), kind, mode & !umask));
    }

    fn mkdir(&self, _: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        self.entry(reply, |disk| disk.make(parent.0, name.to_owned(), Kind::Folder, mode & !umask));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        self.done(reply, |disk| disk.remove(parent.0, name.to_owned()));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let full = {
            let disk = lock(&self.0);
            disk.child(parent.0, name).and_then(|node| disk.get(node)).is_some_and(|node| !node.names.is_empty())
        };
        if full {
            return reply.error(Errno::ENOTEMPTY);
        }
        self.done(reply, |disk| disk.remove(parent.0, name.to_owned()));
    }

    fn rename(
        &self,
        _: &Request,
        parent: INodeNo,
        name: &OsStr,
        newparent: INodeNo,
        newname: &OsStr,
        _: RenameFlags,
        reply: ReplyEmpty,
    ) {
        self.done(reply, |disk| disk.rename((parent.0, name.to_owned()), (newparent.0, newname.to_owned())));
    }

    fn open(&self, _: &Request, _: INodeNo, _: OpenFlags, reply: ReplyOpen) {
        reply.opened(FileHandle(0), FopenFlags::FOPEN_DIRECT_IO);
    }

    fn read(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        size: u32,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        let disk = lock(&self.0);
        let Some(node) = disk.get(ino.0) else { return reply.error(Errno::ENOENT) };
        let from = usize::try_from(offset).unwrap_or(usize::MAX).min(node.live.len());
        let until = from.saturating_add(size as usize).min(node.live.len());
        reply.data(&node.live[from..until]);
    }

    fn write(
        &self,
        _: &Request,
        ino: INodeNo,
        _: FileHandle,
        offset: u64,
        data: &[u8],
        _: WriteFlags,
        _: OpenFlags,
        _: Option<LockOwner>,
        reply: ReplyWrite,
    ) {
        match lock(&self.0).write(ino.0, usize::try_from(offset).unwrap_or(usize::MAX), data) {
            Some(()) => reply.written(u32::try_from(data.len()).unwrap_or(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn flush(&self, _: &Request, _: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        // Closing a file makes nothing durable.
        reply.ok();
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        if lock(&self.0).fails(ino.0) {
            return reply.error(Errno::EIO);
        }
        self.done(reply, |disk| disk.sync(ino.0));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        self.done(reply, |disk| disk.sync(ino.0));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let disk = lock(&self.0);
        let Some(node) = disk.get(ino.0) else { return reply.error(Errno::ENOENT) };
        let names = node.names.iter().map(|(name, node)| {
            (*node, disk.get(*node).map_or(FileType::RegularFile, |node| kind(node.kind)), name.as_os_str())
        });
        let dots = [".", ".."].map(|name| (ino.0, FileType::Directory, OsStr::new(name)));
        let from = usize::try_from(offset).unwrap_or(usize::MAX);
        for (place, (node, kind, name)) in dots.into_iter().chain(names).enumerate().skip(from) {
            if reply.add(INodeNo(node), place as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 19, 1 << 19, 1 << 20, 1 << 19, 4096, 255, 4096);
    }
}
