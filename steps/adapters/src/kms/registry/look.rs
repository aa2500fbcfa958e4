//! Reading a registry where it lies: the files' own rules, the pair's, and the scope's.

use std::io;
use std::path::{Path, PathBuf};

use recover_steps::kms::RegistrySeen;

use super::state::{Checkpoint, State};
use crate::kms::files::{self, Held};
use crate::kms::settings::Settings;

/// Bits that a file of the registry must not have.
const UNSAFE: u32 = 0o137;

/// A state and its checkpoint, both read and whole.
#[derive(Debug)]
pub(in crate::kms) struct Pair {
    pub(in crate::kms) state: State,
    pub(super) state_file: Held,
    /// The checkpoint, if there is one.
    pub(super) checkpoint: Option<(Checkpoint, Held)>,
}

/// Why there is no pair.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::kms) enum Flaw {
    /// No state; and whether there is a checkpoint.
    Absent { checkpoint: bool },
    /// A file is not what was written.
    Corrupt(String),
    /// The state is older than its checkpoint.
    RolledBack(String),
    /// A link, or a file that others may write.
    Unsafe(String),
}

impl Flaw {
    pub(in crate::kms) fn text(&self) -> String {
        match self {
            Self::Absent { checkpoint: false } => "there is no state".into(),
            Self::Absent { checkpoint: true } => "there is a checkpoint and no state".into(),
            Self::Corrupt(why) | Self::RolledBack(why) | Self::Unsafe(why) => why.clone(),
        }
    }
}

/// Where the checkpoint of a state is.
pub(super) fn beside(state: &Path) -> PathBuf {
    let mut name = state.as_os_str().to_owned();
    name.push(".checkpoint");
    name.into()
}

impl Pair {
    /// Reads both files by the provider's own rules. Nothing is changed.
    pub(in crate::kms) fn read(path: &Path) -> Result<Self, Flaw> {
        match files::folder_of(path) {
            Ok(folder) if folder.st_mode & 0o022 != 0 => {
                return Err(Flaw::Unsafe(format!("the folder of {} may be written by others", path.display())));
            }
            Ok(_) => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Err(Flaw::Absent { checkpoint: false }),
            Err(e) => return Err(Flaw::Unsafe(format!("the folder of {}: {e}", path.display()))),
        }
        // Whether both are safe comes before what is in either: what is unsafe is not put aside for being broken too.
        let (checkpoint, state_file) = (part(&beside(path))?, part(path)?);
        let checkpoint = match checkpoint {
            Some(held) => Some((understood(&beside(path), &held, Checkpoint::read)?, held)),
            None => None,
        };
        let Some(state_file) = state_file else { return Err(Flaw::Absent { checkpoint: checkpoint.is_some() }) };
        let state = understood(path, &state_file, State::read)?;
        if let Some((checkpoint, _)) = &checkpoint {
            let (ours, its) = (state.generation, checkpoint.generation);
            if ours < its {
                return Err(Flaw::RolledBack(format!("its generation {ours} is before the checkpoint's {its}")));
            }
            if ours == its && state.current_hash != checkpoint.current_hash {
                return Err(Flaw::RolledBack(format!("generation {ours} has another hash than the checkpoint says")));
            }
        }
        Ok(Self { state, state_file, checkpoint })
    }

    /// The generation of the checkpoint that lies there, whatever the state beside it is.
    pub(super) fn anchored(path: &Path) -> Option<u64> {
        let held = part(&beside(path)).ok()??;
        understood(&beside(path), &held, Checkpoint::read).ok().map(|checkpoint| checkpoint.generation)
    }
}

fn part(path: &Path) -> Result<Option<Held>, Flaw> {
    let Some(held) = files::read(path).map_err(|e| Flaw::Unsafe(format!("{}: {e}", path.display())))? else {
        return Ok(None);
    };
    let mode = held.stat.st_mode & 0o777;
    if mode & UNSAFE != 0 {
        return Err(Flaw::Unsafe(format!("the mode {mode:o} of {} lets others at it", path.display())));
    }
    Ok(Some(held))
}

fn understood<T>(path: &Path, held: &Held, read: fn(&str) -> Result<T, String>) -> Result<T, Flaw> {
    held.text().and_then(read).map_err(|why| Flaw::Corrupt(format!("{}: {why}", path.display())))
}

/// What is seen of a node's registry. Whether the provider would make a first state by itself is for the key to say.
pub(in crate::kms) fn seen(settings: &Settings, bootstraps: bool) -> RegistrySeen {
    match Pair::read(&settings.state.path) {
        Ok(pair) => {
            let fields = pair.state.differs(settings);
            if fields.is_empty() {
                let active = pair.state.active().map_or(0, |active| active.transit_version);
                let (generation, hash) = (pair.state.generation, pair.state.current_hash);
                RegistrySeen::Sound { generation, hash, active }
            } else {
                RegistrySeen::Foreign { fields }
            }
        }
        Err(Flaw::Absent { checkpoint }) => RegistrySeen::Absent { checkpoint, bootstraps: bootstraps && !checkpoint },
        Err(Flaw::Corrupt(why)) => RegistrySeen::Corrupt { why },
        Err(Flaw::RolledBack(why)) => RegistrySeen::RolledBack { why },
        Err(Flaw::Unsafe(why)) => RegistrySeen::Unsafe { why },
    }
}
