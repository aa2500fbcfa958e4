//! Export a run as a signed bundle, and show the key that signs.

use std::io::Write as _;
use std::path::{Path, PathBuf};

use recover_engine::Digest;
use serde_json::json;

use crate::args::{ExportArgs, Global};
use crate::bundle::{Bundle, PublicKey, SigningKey};
use crate::fault::{Code, Exit, Fault};
use crate::place::Place;
use crate::printer::Printer;
use crate::records::Records;
use crate::store::parse_run;
use crate::{clock, whole};

pub(super) fn export(global: &Global, words: &ExportArgs, printer: Printer) -> Result<Exit, Fault> {
    let state = Place::of(global)?.state;
    let records = Records::open(&state)?;
    let run = parse_run(&words.run)?;
    let entries = records.entries(run)?;
    let texts = records.texts(&entries)?;
    let bundle = Bundle::of(run, entries, texts, clock::rfc3339(clock::now()))?;
    let (key, made) = match &words.key {
        Some(path) => (SigningKey::read(path)?, false),
        None => SigningKey::of_state(&state)?,
    };
    let bytes = bundle.signed(&key)?;
    let out = words.out.clone().unwrap_or_else(|| PathBuf::from(format!("{run}.bundle.json")));
    whole::write_new(&out, |file| file.write_all(&bytes)).map_err(|e| whole::fault(&out, &e))?;
    let public = key.public();
    if made {
        printer.talk(
            "a signing key was made for this state directory; keep its public half where auditors find it: recover key",
        );
    }
    let value = json!({
        "schema": "recover.export/v1", "run": run.to_string(), "file": out.display().to_string(), "bytes": bytes.len(),
        "records": bundle.entries.len(), "closed": bundle.closed, "head": bundle.folded.position.head.to_string(),
        "sha256": Digest::of(&bytes).to_string(), "key": public.id(), "exit": Exit::Done as u8,
    });
    printer.show(&value, || {
        let open = if bundle.closed { "" } else { "; the run is still open" };
        format!("{} ({} records, signed by {}){open}", out.display(), bundle.entries.len(), public.id())
    });
    Ok(Exit::Done)
}

pub(super) fn key(global: &Global, printer: Printer) -> Result<Exit, Fault> {
    let state = Place::of(global)?.state;
    if !state.exists() {
        return Err(Fault::new(Code::StateDirMissing, format!("{} is not there", state.display())));
    }
    let (key, _) = SigningKey::of_state(&state)?;
    let public = key.public();
    let value =
        json!({ "schema": "recover.key/v1", "key": public.id(), "pem": public.pem(), "exit": Exit::Done as u8 });
    printer.show(&value, || public.pem().trim_end().to_owned());
    Ok(Exit::Done)
}

/// Whether a word names a bundle and not a run.
pub(super) fn names_a_file(word: &str) -> bool {
    let looks_like_one = word.contains(['/', '.']) && !word.starts_with("run_");
    word.parse::<recover_engine::RunId>().is_err() && (looks_like_one || Path::new(word).is_file())
}

/// Checks a bundle with nothing but the file, and a key if one is brought.
pub(super) fn verify(file: &Path, key: Option<&Path>, printer: Printer) -> Result<Exit, Fault> {
    let wanted = key.map(PublicKey::read).transpose()?;
    let (bundle, signer) = Bundle::read(file)?;
    if let Some(wanted) = wanted
        && wanted != signer
    {
        let message = format!("it is signed by {}, and not by {}", signer.id(), wanted.id());
        return Err(Fault::new(Code::SignedByAnother, message));
    }
    let trusted = wanted.is_some();
    let value = json!({
        "schema": "recover.verify-bundle/v1", "ok": true, "run": bundle.run.to_string(), "records": bundle.entries.len(),
        "closed": bundle.closed, "head": bundle.folded.position.head.to_string(), "exported": bundle.exported,
        "key": signer.id(), "key_was_brought": trusted, "exit": Exit::Done as u8,
    });
    printer.show(&value, || {
        let open = if bundle.closed { "" } else { "; the run was open when it was exported" };
        format!(
            "verified: signature, hashes, transitions and guards hold: {} ({} records), signed by {}{open}",
            bundle.run,
            bundle.entries.len(),
            signer.id()
        )
    });
    if !trusted {
        printer.talk(
            "the key is the one in the file: it shows that nothing was changed since it was signed, and not by whom; bring the \
             signer's own with --key",
        );
    }
    Ok(Exit::Done)
}
