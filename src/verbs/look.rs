//! `recover look`: what is in a directory of an identity, without its private part.

use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio::time::{Instant, sleep};

use crate::args::LookArgs;
use crate::fault::{Code, Exit, Fault};
use crate::printer::Printer;

const PAUSE: Duration = Duration::from_millis(250);

pub(super) fn look(words: &LookArgs, printer: Printer) -> Result<Exit, Fault> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| Fault::caused(Code::NoResources, "the runtime cannot be started", &e))?;
    runtime
        .block_on(follow(words, printer))
        .map_err(|e| Fault::caused(Code::NoResources, "signals cannot be heard", &e))?;
    Ok(Exit::Done)
}

/// The first process of a container ends by a signal only if it says so, and a pod that ends waits for it.
async fn follow(words: &LookArgs, printer: Printer) -> std::io::Result<()> {
    let mut told = signal(SignalKind::terminate())?;
    let until = words.follow.map(|seconds| Instant::now() + Duration::from_secs(seconds));
    for n in 0.. {
        printer.data(&recover_adapters::look_printed(&words.directory, &words.identity, n));
        if until.is_none_or(|until| Instant::now() >= until) {
            break;
        }
        tokio::select! {
            _ = told.recv() => break,
            () = sleep(PAUSE) => {}
        }
    }
    Ok(())
}
