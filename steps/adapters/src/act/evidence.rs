//! Captured texts: redacted, bounded, and named by their digest.

use recover_engine::{Act, Digest, Evidence};
use recover_steps::Captured;

use crate::authority::Failure;
use crate::connector::{Connector, Witnessed};
use crate::known::Known;
use crate::time;
use crate::trouble::Trouble;

/// What is kept of one text, in bytes. A hundred pages of audit entries fit; what a chatty authority says beyond that would
/// fill the disk that the journal lives on. The end is kept: it tells what came last.
const TEXT_MOST: usize = 1 << 20;

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
        let mut texts = events.as_ref().map_or(0, Vec::len);
        if let Some(events) = &events {
            let mut lines = Vec::new();
            for event in events {
                lines.push(serde_json::to_string(event).map_err(|e| Trouble::retry(e.to_string()))?);
            }
            all.push(evidence("audit entries", &lines.join("\n"), known));
        }
        match self.workload.log_tail().await {
            Ok(tail) => {
                let found = telling(&tail);
                texts += found.len();
                all.push(evidence("log lines", &found.join("\n"), known));
            }
            Err(why) => all.push(evidence("log lines", &format!("the log could not be read: {why}"), known)),
        }
        let texts = u32::try_from(texts).unwrap_or(u32::MAX);
        Ok(Witnessed { event: Captured::Captured { status: told.status.status, texts }, evidence: all })
    }
}

/// The last lines of a log's end that tell of pairing, reconnecting and renewing.
fn telling(tail: &str) -> Vec<&str> {
    let telling = |line: &&str| {
        ["reconnected", "pairing", "renewed", "attestation", "SVID loaded"].iter().any(|word| line.contains(word))
    };
    let mut found: Vec<&str> = tail.lines().filter(telling).collect();
    let drop = found.len().saturating_sub(20);
    found.split_off(drop)
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
        let log = "reconnected with persisted identity serial=s2\nnoise\n\u{1b}[2Jpairing completed\n";
        assert_eq!(telling(log), ["reconnected with persisted identity serial=s2", "\u{1b}[2Jpairing completed"]);
        let many: String = (0..30).map(|n| format!("pairing {n}\n")).collect();
        assert_eq!((telling(&many).len(), telling(&many).first()), (20, Some(&"pairing 10")));
    }
}
