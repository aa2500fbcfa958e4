//! Moving directories by renaming alone. Nothing is overwritten; nothing is deleted but a directory that is empty.
//!
//! Every move is a row of renames, each made only if what it moves, told by device and inode or by a name that only this
//! run gives, is not yet where it goes. So a row that was cut off anywhere is finished by running it again.

use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use recover_steps::Original;
use rustix::fs::{AtFlags, Gid, Mode, RenameFlags, Stat, Uid};
use rustix::io::Errno;

use super::directory::{Directory, file_id, refused};
use crate::files;
use crate::trouble::Trouble;

/// A name in an open folder.
struct Place {
    folder: OwnedFd,
    name: PathBuf,
    path: PathBuf,
}

impl Place {
    fn open(path: &Path) -> Result<Self, Trouble> {
        let (folder, name) = files::split(path).map_err(|e| refused(path, e))?;
        let folder = files::open_dir(folder).map_err(|e| refused(path, e))?;
        Ok(Self { folder, name: name.to_owned(), path: path.to_owned() })
    }

    /// A name beside this one.
    fn beside(&self, suffix: &str) -> Result<Self, Trouble> {
        let mut name = self.name.clone().into_os_string();
        name.push(suffix);
        let folder = self.folder.try_clone().map_err(|e| refused(&self.path, e))?;
        Ok(Self { folder, path: self.path.with_file_name(&name), name: name.into() })
    }

    fn stat(&self) -> Result<Option<Stat>, Trouble> {
        files::stat_in(self.folder.as_fd(), &self.name).map_err(|e| refused(&self.path, e))
    }

    fn exists(&self) -> Result<bool, Trouble> {
        Ok(self.stat()?.is_some())
    }

    fn is(&self, id: &str) -> Result<bool, Trouble> {
        Ok(self.stat()?.is_some_and(|s| file_id(&s) == id))
    }

    /// Makes what was renamed here, or from here, survive a power cut.
    fn sync(&self) -> Result<(), Trouble> {
        rustix::fs::fsync(&self.folder)
            .map_err(|e| Trouble::Unknown(format!("{}: the folder cannot be synced: {e}", self.path.display())))
    }

    fn rename_to(&self, to: &Self) -> Result<(), Trouble> {
        rustix::fs::renameat_with(&self.folder, &self.name, &to.folder, &to.name, RenameFlags::NOREPLACE).map_err(
            |e| {
                let hint = match e {
                    Errno::XDEV => {
                        "; the two are on different file systems, so move it by hand, with its owners and modes"
                    }
                    Errno::BUSY => "; it is a mount point, so mount the other in its place by hand",
                    Errno::EXIST | Errno::NOTEMPTY => "; something is there already",
                    Errno::INVAL => "; this file system cannot rename without overwriting",
                    _ => "",
                };
                refused(&self.path, format!("cannot be renamed to {}: {e}{hint}", to.path.display()))
            },
        )?;
        to.sync()?;
        self.sync()
    }
}

impl Directory {
    /// See [`recover_steps::Reattach`].
    pub(crate) fn reattach(&self, original: &Original, run: &str) -> Result<(), Trouble> {
        let (target, found, replaced) = self.places(original, run)?;
        if target.is(&original.file_id)? {
            // It may be visible and not yet durable.
            found.sync()?;
            return target.sync();
        }
        if !found.is(&original.file_id)? {
            return Err(refused(&found.path, "the original is no longer there"));
        }
        let moved = if let Some(present) = target.stat()? {
            if replaced.exists()? {
                return Err(refused(
                    &target.path,
                    format!("somebody made it anew; what it was is {}", replaced.path.display()),
                ));
            }
            directory(&target, &present)?;
            target.rename_to(&replaced)?;
            true
        } else {
            replaced.exists()?
        };
        found.rename_to(&target).map_err(|why| {
            // Where the second rename is impossible, the first is taken back, so that everything is as it was found.
            if moved { replaced.rename_to(&target).err().map_or(why, Trouble::midway) } else { why }
        })
    }

    /// See [`recover_steps::Detach`].
    pub(crate) fn detach(&self, original: &Original, run: &str) -> Result<(), Trouble> {
        let (target, found, replaced) = self.places(original, run)?;
        if target.is(&original.file_id)? {
            target.rename_to(&found)?;
        } else if !found.is(&original.file_id)? {
            return Err(refused(&found.path, "the original is neither there nor where it was attached"));
        }
        if replaced.exists()? {
            replaced.rename_to(&target)?;
        }
        found.sync()?;
        target.sync()
    }

    /// See [`recover_steps::SetAside`].
    pub(crate) fn set_aside(&self, run: &str) -> Result<(), Trouble> {
        let target = Place::open(&self.config.path)?;
        let (aside, fresh) = (target.beside(&format!(".aside-{run}"))?, target.beside(&format!(".new-{run}"))?);
        let was = match (aside.stat()?, target.stat()?) {
            (Some(_), Some(_)) => return target.sync(),
            (Some(was), None) => was,
            (None, Some(present)) => {
                directory(&target, &present)?;
                // Made first: so the directory is missing only between two renames.
                make(&fresh, &present)?;
                target.rename_to(&aside)?;
                present
            }
            (None, None) => return Err(refused(&target.path, "there is nothing to set aside")),
        };
        make(&fresh, &was)?;
        fresh.rename_to(&target)
    }

    /// See [`recover_steps::PutBack`].
    pub(crate) fn put_back(&self, run: &str) -> Result<(), Trouble> {
        let target = Place::open(&self.config.path)?;
        let (aside, fresh) = (target.beside(&format!(".aside-{run}"))?, target.beside(&format!(".new-{run}"))?);
        // Left by a set-aside that was cut off: it is empty, or it is not ours to remove.
        remove_empty(&fresh)?;
        if !aside.exists()? {
            return target.sync();
        }
        if !remove_empty(&target)? {
            let kept = target.beside(&format!(".kept-{run}"))?;
            target.rename_to(&kept)?;
        }
        aside.rename_to(&target)
    }

    /// The target, where the original was found, and where what was at the target goes meanwhile.
    fn places(&self, original: &Original, run: &str) -> Result<(Place, Place, Place), Trouble> {
        let target = Place::open(&self.config.path)?;
        let replaced = target.beside(&format!(".replaced-{run}"))?;
        Ok((target, Place::open(Path::new(&original.path))?, replaced))
    }
}

fn directory(place: &Place, stat: &Stat) -> Result<(), Trouble> {
    let is_dir = rustix::fs::FileType::from_raw_mode(stat.st_mode).is_dir();
    if is_dir { Ok(()) } else { Err(refused(&place.path, "it is not a directory")) }
}

/// Makes an empty directory with the owner and mode of another, or gives them to the one that an earlier attempt made.
fn make(place: &Place, like: &Stat) -> Result<(), Trouble> {
    let failed = |e: Errno| refused(&place.path, format!("cannot be made: {e}"));
    match rustix::fs::mkdirat(&place.folder, &place.name, Mode::RWXU) {
        Ok(()) | Err(Errno::EXIST) => {}
        Err(e) => return Err(failed(e)),
    }
    let made =
        files::open_in(&place.folder, &place.name, rustix::fs::OFlags::DIRECTORY, Mode::empty()).map_err(failed)?;
    let own = rustix::fs::fstat(&made).map_err(failed)?;
    if (own.st_uid, own.st_gid) != (like.st_uid, like.st_gid) {
        let (uid, gid) = (Uid::from_raw(like.st_uid), Gid::from_raw(like.st_gid));
        rustix::fs::fchown(&made, Some(uid), Some(gid)).map_err(failed)?;
    }
    rustix::fs::fchmod(&made, Mode::from_raw_mode(like.st_mode & 0o7777)).map_err(failed)?;
    rustix::fs::fsync(&made).map_err(failed)
}

/// Removes a directory if it is empty. Says whether the name is free now.
fn remove_empty(place: &Place) -> Result<bool, Trouble> {
    match rustix::fs::unlinkat(&place.folder, &place.name, AtFlags::REMOVEDIR) {
        Ok(()) | Err(Errno::NOENT) => Ok(true),
        Err(Errno::NOTEMPTY | Errno::EXIST | Errno::NOTDIR) => Ok(false),
        Err(e) => Err(refused(&place.path, e)),
    }
}

#[cfg(test)]
#[path = "moves_tests.rs"]
mod tests;
