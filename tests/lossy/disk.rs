//! The disk behind the lossy file system: what a process sees, what is durable, and what a power cut leaves of the difference.

use std::collections::BTreeMap;
use std::ffi::OsString;

use crate::random::Random;

/// The number of the root.
pub const ROOT: u64 = 1;

/// What a segment of the log begins with.
const SEGMENT: &[u8] = b"rcvsegmt";

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Folder,
    File,
    Socket,
}

#[derive(Clone, Debug)]
enum Change {
    Write(usize, Vec<u8>),
    Resize(usize),
}

type Names = BTreeMap<OsString, u64>;

/// Names that appear and vanish together: a rename is one change.
#[derive(Clone, Debug)]
struct Renaming {
    gone: Option<OsString>,
    come: Option<(OsString, u64)>,
}

/// A file or folder. Its mode is durable at once; its contents and names are not.
#[derive(Clone, Debug)]
pub struct Node {
    pub kind: Kind,
    pub mode: u32,
    pub live: Vec<u8>,
    pub names: Names,
    durable: Vec<u8>,
    durable_names: Names,
    changes: Vec<Change>,
    renamings: Vec<Renaming>,
}

/// How much of what was not synced is on the disk all the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    Nothing,
    /// Each change is kept, lost, or torn, as it comes.
    Some,
}

#[derive(Debug)]
pub struct Disk {
    nodes: BTreeMap<u64, Node>,
    last: u64,
    /// After so many syncs of the log's segments the next one fails.
    fail_after: Option<u32>,
}

impl Node {
    fn new(kind: Kind, mode: u32) -> Self {
        Self {
            kind,
            mode,
            live: Vec::new(),
            names: Names::new(),
            durable: Vec::new(),
            durable_names: Names::new(),
            changes: Vec::new(),
            renamings: Vec::new(),
        }
    }
}

fn apply(bytes: &mut Vec<u8>, change: &Change, limit: usize) {
    match change {
        Change::Write(at, data) => {
            let data = &data[..data.len().min(limit)];
            if bytes.len() < at + data.len() {
                bytes.resize(at + data.len(), 0);
            }
            bytes[*at..at + data.len()].copy_from_slice(data);
        }
        Change::Resize(len) => bytes.resize(*len, 0),
    }
}

fn rename(names: &mut Names, renaming: &Renaming) {
    if let Some(gone) = &renaming.gone {
        names.remove(gone);
    }
    if let Some((name, node)) = &renaming.come {
        names.insert(name.clone(), *node);
    }
}

impl Disk {
    pub fn new() -> Self {
        Self { nodes: BTreeMap::from([(ROOT, Node::new(Kind::Folder, 0o700))]), last: ROOT, fail_after: None }
    }

    pub fn get(&self, node: u64) -> Option<&Node> {
        self.nodes.get(&node)
    }

    pub fn chmod(&mut self, node: u64, mode: u32) {
        if let Some(node) = self.nodes.get_mut(&node) {
            node.mode = mode & 0o7777;
        }
    }

    pub fn child(&self, folder: u64, name: &std::ffi::OsStr) -> Option<u64> {
        self.nodes.get(&folder)?.names.get(name).copied()
    }

    fn change_names(&mut self, folder: u64, renaming: Renaming) -> Option<()> {
        let folder = self.nodes.get_mut(&folder)?;
        rename(&mut folder.names, &renaming);
        folder.renamings.push(renaming);
        Some(())
    }

    pub fn make(&mut self, folder: u64, name: OsString, kind: Kind, mode: u32) -> Option<u64> {
        self.last += 1;
        let node = self.last;
        self.change_names(folder, Renaming { gone: None, come: Some((name, node)) })?;
        self.nodes.insert(node, Node::new(kind, mode & 0o7777));
        Some(node)
    }

    pub fn remove(&mut self, folder: u64, name: OsString) -> Option<()> {
        self.child(folder, &name)?;
        self.change_names(folder, Renaming { gone: Some(name), come: None })
    }

    pub fn rename(&mut self, from: (u64, OsString), to: (u64, OsString)) -> Option<()> {
        let node = self.child(from.0, &from.1)?;
        if from.0 == to.0 {
            return self.change_names(from.0, Renaming { gone: Some(from.1), come: Some((to.1, node)) });
        }
        self.change_names(to.0, Renaming { gone: None, come: Some((to.1, node)) })?;
        self.change_names(from.0, Renaming { gone: Some(from.1), come: None })
    }

    fn change(&mut self, node: u64, change: Change) -> Option<()> {
        let node = self.nodes.get_mut(&node)?;
        apply(&mut node.live, &change, usize::MAX);
        node.changes.push(change);
        Some(())
    }

    pub fn write(&mut self, node: u64, at: usize, bytes: &[u8]) -> Option<()> {
        self.change(node, Change::Write(at, bytes.to_vec()))
    }

    pub fn resize(&mut self, node: u64, len: usize) -> Option<()> {
        self.change(node, Change::Resize(len))
    }

    /// Contents of a file, or names of a folder, are durable from here on.
    pub fn sync(&mut self, node: u64) -> Option<()> {
        let node = self.nodes.get_mut(&node)?;
        for change in node.changes.drain(..) {
            apply(&mut node.durable, &change, usize::MAX);
        }
        for renaming in node.renamings.drain(..) {
            rename(&mut node.durable_names, &renaming);
        }
        Some(())
    }

    /// Makes a sync of one of the log's segments fail, once.
    pub fn fail_sync(&mut self, after: u32) {
        self.fail_after = Some(after);
    }

    /// Whether the sync that was to fail has failed.
    pub fn has_failed(&self) -> bool {
        self.fail_after.is_none()
    }

    /// Whether this sync fails. As in Linux what was written before counts as clean from then on: it is seen, and no later sync
    /// makes it durable.
    pub fn fails(&mut self, node: u64) -> bool {
        let Some(node) = self.nodes.get_mut(&node).filter(|node| node.live.starts_with(SEGMENT)) else { return false };
        match self.fail_after {
            Some(0) => {
                self.fail_after = None;
                node.changes.clear();
                true
            }
            Some(after) => {
                self.fail_after = Some(after - 1);
                false
            }
            None => false,
        }
    }

    /// All of it is durable from here on.
    pub fn sync_all(&mut self) {
        for node in self.nodes.keys().copied().collect::<Vec<_>>() {
            self.sync(node);
        }
    }

    /// The power goes.
    pub fn cut(&mut self, kept: Kept, random: &mut Random) {
        for node in self.nodes.values_mut() {
            for change in node.changes.drain(..) {
                match (kept, &change) {
                    (Kept::Nothing, _) => {}
                    (Kept::Some, _) if random.below(3) == 0 => apply(&mut node.durable, &change, usize::MAX),
                    (Kept::Some, Change::Write(_, data)) if random.below(2) == 0 => {
                        apply(&mut node.durable, &change, random.below(data.len() as u64 + 1) as usize);
                    }
                    (Kept::Some, _) => {}
                }
            }
            for renaming in node.renamings.drain(..) {
                if kept == Kept::Some && random.below(2) == 0 {
                    rename(&mut node.durable_names, &renaming);
                }
            }
            node.live.clone_from(&node.durable);
            node.names.clone_from(&node.durable_names);
        }
    }

    /// Everything is gone, for good, and nothing fails any more.
    pub fn clear(&mut self) {
        self.nodes = BTreeMap::from([(ROOT, Node::new(Kind::Folder, 0o700))]);
        self.fail_after = None;
    }
}
