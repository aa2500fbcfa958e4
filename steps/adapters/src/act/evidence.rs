//! Captured texts: redacted, bounded, and named by their digest.

use std::path::Path;

use recover_engine::{Act, Digest, Evidence};
use recover_steps::Captured;
use rustix::fs::{Mode, OFlags};

use crate::authority::Failure;
use crate::connector::{Connector, Witnessed};
use crate::known::Known;
use crate::trouble::Trouble;
use crate::{files, time};

/// What is kept of one text, in bytes. A hundred pages of audit entries fit; what a chatty authority says beyond that would
/// fill the disk that the journal lives on. The end is kept: it tells what came last.
const TEXT_MOST: usize = 1 << 20;
/// How much of a log's end is looked through.
const LOG_TAIL: u64 = 64 * 1024;

/// A captured text, redacted. Whoever journals it puts a long one into a file.
pub(super) fn evidence(name: &str, raw: &str, known: &Known) -> Evidence {
    let mut text = known.text(raw);
    let mut cut = None;
    if text.len() > TEXT_MOST {
        cut = Some(text.len() as u64);
        let from = (text.len() - TEXT_MOST..text.len()).find(|i| text.is_char_boundary(*i)).unwrap_or(text.len());
        text = text.split_off(from);
    }
    Evidence { name: name.to_owned(), sha256: Digest::of(text.as_bytes()), text: Some(text), file: None, cut }
}

impl Connector {
    /// The secrets that we know of and that no captured text may hold.
    pub(super) fn known(&self) -> &Known {
        self.authority.known()
    }

    pub(crate) async fn capture(&self, act: &Act) -> Result<Witnessed<Captured>, Trouble> {
        let known = self.known();
        let told = self.authority.status().await.map_err(Failure::asking)?;
        let since = time::format(act.run.begun_at());
        let events = self.authority.audit(&since).await.map_err(Failure::asking)?;
        let mut all = vec![evidence("status after", &told.text, known)];
        let mut texts = events.len();
        let mut lines = Vec::new();
        for event in &events {
            lines.push(serde_json::to_string(event).map_err(|e| Trouble::retry(e.to_string()))?);
        }
        all.push(evidence("audit entries", &lines.join("\n"), known));
        match log_lines(self.workload.log()) {
            Ok(found) => {
                texts += found.len();
                all.push(evidence("log lines", &found.join("\n"), known));
            }
            Err(why) => all.push(evidence("log lines", &format!("the log could not be read: {why}"), known)),
        }
        let texts = u32::try_from(texts).unwrap_or(u32::MAX);
        Ok(Witnessed { event: Captured::Captured { status: told.status.status, texts }, evidence: all })
    }
}

/// The last lines of a log that tell of pairing, reconnecting and renewing.
fn log_lines(path: &Path) -> std::io::Result<Vec<String>> {
    let (folder, name) = files::split(path)?;
    let file = files::open_in(files::open_dir(folder)?, name, OFlags::RDONLY, Mode::empty())?;
    let stat = rustix::fs::fstat(&file)?;
    if !rustix::fs::FileType::from_raw_mode(stat.st_mode).is_file() {
        return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, "it is not a regular file"));
    }
    let length = u64::try_from(stat.st_size).unwrap_or_default();
    let from = length.saturating_sub(LOG_TAIL);
    rustix::fs::seek(&file, rustix::fs::SeekFrom::Start(from))?;
    // It may grow meanwhile: no more than was there is read.
    let mut bytes = vec![0; usize::try_from(length - from).unwrap_or_default()];
    let mut read = 0;
    while let Some(rest) = bytes.get_mut(read..).filter(|r| !r.is_empty()) {
        match rustix::io::read(&file, rest)? {
            0 => break,
            n => read += n,
        }
    }
    bytes.truncate(read);
    let text = String::from_utf8_lossy(&bytes);
    let telling = |line: &&str| ["reconnected", "pairing", "renewed"].iter().any(|word| line.contains(word));
    // The first line may have been cut; it is then no line.
    let whole = text.lines().skip(usize::from(from > 0));
    let mut found: Vec<String> = whole.filter(telling).map(str::to_owned).collect();
    let drop = found.len().saturating_sub(20);
    Ok(found.split_off(drop))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_kept_from_its_end_and_its_digest_is_of_what_is_kept() {
        let kept = evidence("n", &"é\n".repeat(400_000), &Known::default());
        let text = kept.text.unwrap();
        assert!(text.len() <= TEXT_MOST && text.len() > TEXT_MOST - 4);
        assert_eq!((kept.sha256, kept.cut), (Digest::of(text.as_bytes()), Some(1_200_000)));
        let whole = evidence("n", &"é\n".repeat(10_000), &Known::default());
        assert_eq!((whole.text.map(|t| t.len()), whole.cut), (Some(30_000), None));
        let known = Known::default();
        known.note(&secrecy::SecretString::from("s3cr3t"));
        assert!(!evidence("n", "it is s3cr3t", &known).text.unwrap().contains("s3cr3t"));
    }

    #[test]
    fn the_telling_lines_of_a_log_are_its_last() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("log");
        let noise = "noise noise\n".repeat(6_000);
        std::fs::write(&path, format!("pairing too old\n{noise}reconnected with persisted identity serial=s2\nnoise\n\u{1b}[2Jpairing completed\n")).unwrap();
        assert_eq!(
            log_lines(&path).unwrap(),
            ["reconnected with persisted identity serial=s2", "\u{1b}[2Jpairing completed"]
        );
        std::os::unix::fs::symlink(&path, dir.path().join("link")).unwrap();
        assert!(log_lines(&dir.path().join("link")).is_err());
        assert!(log_lines(&dir.path().join("none")).is_err());
    }
}
