//! `recover completions` and `recover man`: the command line as shells and `man` know it, made from the one that is understood.

use std::path::Path;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::args::Cli;
use crate::fault::{Code, Exit, Fault};
use crate::printer::Printer;

pub(super) fn completions(shell: Shell, printer: Printer) -> Result<Exit, Fault> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "recover", &mut script);
    printer.data(String::from_utf8_lossy(&script).trim_end());
    Ok(Exit::Done)
}

pub(super) fn man(dir: Option<&Path>, printer: Printer) -> Result<Exit, Fault> {
    let Some(dir) = dir else {
        let mut page = Vec::new();
        let rendered = clap_mangen::Man::new(whole()).render(&mut page);
        rendered.map_err(|e| Fault::caused(Code::Bug, "the manual page", &e))?;
        printer.data(String::from_utf8_lossy(&page).trim_end());
        return Ok(Exit::Done);
    };
    let written = clap_mangen::generate_to(whole(), dir);
    written.map_err(|e| Fault::caused(Code::BundleNotWritten, &format!("{} cannot be written", dir.display()), &e))?;
    printer.show(&serde_json::json!({ "schema": "recover.man/v1", "dir": dir }), || {
        format!("the manual pages are in {}", dir.display())
    });
    Ok(Exit::Done)
}

/// The command line without what is for `recover` itself to call.
fn whole() -> clap::Command {
    let mut command = Cli::command();
    command.build();
    command
}
