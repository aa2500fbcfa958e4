//! Finding a pair that may be used, and copying it byte for byte.

use std::path::{Path, PathBuf};

use recover_steps::kms::{PairCopied, PairFound};

use super::look::{Flaw, Pair, beside};
use crate::kms::files::{self, Like};
use crate::kms::settings::Settings;

/// Where a pair may come from: a peer's name, or the path of a backup, and where its state lies.
pub(in crate::kms) type Source = (String, PathBuf);

/// The newest whole pair of the same scope, no older than any checkpoint that is known. Peers come before backups of the same age.
pub(in crate::kms) fn find(settings: &Settings, sources: &[Source], recorded: Option<u64>) -> PairFound {
    let own = Pair::anchored(&settings.state.path);
    let known =
        sources.iter().filter_map(|(_, path)| same_scope(settings, path).then(|| Pair::anchored(path)).flatten());
    let least = known.chain(own).chain(recorded).max().unwrap_or(0);
    let mut best: Option<(&str, u64, String)> = None;
    let mut why = Vec::new();
    for (name, path) in sources {
        match usable(settings, path) {
            Ok(pair) if pair.state.generation < least => {
                why.push(format!(
                    "{name}: generation {} is before the checkpoint {least} that is known",
                    pair.state.generation
                ));
            }
            Ok(pair) if best.as_ref().is_none_or(|(_, generation, _)| pair.state.generation > *generation) => {
                best = Some((name, pair.state.generation, pair.state.current_hash));
            }
            Ok(_) => {}
            Err(flaw) => why.push(format!("{name}: {flaw}")),
        }
    }
    match best {
        Some((source, generation, hash)) => PairFound::Found { source: source.to_owned(), generation, hash },
        None if why.is_empty() => {
            PairFound::None { why: "there is neither a peer nor a backup in the configuration".into() }
        }
        None => PairFound::None { why: why.join("; ") },
    }
}

fn same_scope(settings: &Settings, path: &Path) -> bool {
    Pair::read(path).is_ok_and(|pair| pair.state.differs(settings).is_empty())
}

/// A whole pair of this scope, its checkpoint with it.
fn usable(settings: &Settings, path: &Path) -> Result<Pair, String> {
    let pair = Pair::read(path).map_err(|flaw| flaw.text())?;
    let fields = pair.state.differs(settings);
    if !fields.is_empty() {
        return Err(format!("it is of another scope: {}", fields.join(", ")));
    }
    match &pair.checkpoint {
        None => Err("it has no checkpoint, and a state is only copied with one".into()),
        Some(_) => Ok(pair),
    }
}

/// Copies the pair. The provider is known to be stopped.
pub(in crate::kms) fn copy(
    settings: &Settings,
    source: &Path,
    generation: u64,
    hash: &str,
    run: &str,
) -> Result<PairCopied, String> {
    let is_it = |pair: &Pair| pair.state.generation == generation && pair.state.current_hash == hash;
    let pair = usable(settings, source)?;
    if !is_it(&pair) {
        return Err("the source is no longer what was found: its generation or hash is another".into());
    }
    let Some((_, checkpoint_file)) = &pair.checkpoint else { return Err("it has no checkpoint".into()) };
    let target = &settings.state.path;
    let there = |path: &Path| files::read(path).map_err(|e| format!("{}: {e}", path.display()));
    // What others may write or a link is not touched: somebody else is at work there.
    if let Err(Flaw::Unsafe(why)) = Pair::read(target) {
        return Err(why);
    }
    let (old_state, old_checkpoint) = (there(target)?, there(&beside(target))?);
    let same = |old: &Option<files::Held>, new: &files::Held| old.as_ref().is_some_and(|old| *old.bytes == *new.bytes);
    let suffix = format!("recover-{run}");
    let folder = files::folder_of(target).map_err(|e| format!("the folder of {}: {e}", target.display()))?;
    let like = |old: &Option<files::Held>| match old {
        Some(old) => Like::of(&old.stat),
        // The folder is the provider's, and so is what it keeps in it.
        None => Like { uid: folder.st_uid, gid: folder.st_gid, mode: 0o640 },
    };
    let mut aside = None;
    // First the state: newer than its checkpoint is what the provider leaves behind by itself when it is killed between the two.
    if !same(&old_state, &pair.state_file) {
        aside = files::replace(target, &pair.state_file.bytes, like(&old_state), Some(&suffix))?;
    }
    if !same(&old_checkpoint, checkpoint_file) {
        files::replace(&beside(target), &checkpoint_file.bytes, like(&old_checkpoint), Some(&suffix))?;
    }
    match Pair::read(target) {
        Ok(now) if is_it(&now) => Ok(PairCopied::Copied { aside }),
        Ok(_) => Err("what lies there now is another pair: something else writes there".into()),
        Err(flaw) => Err(format!("what lies there now does not hold: {}", flaw.text())),
    }
}
