//! A hundred commands at once.

use std::process::{Command, Output, Stdio};
use std::time::Duration;

use crate::sandbox::{RECOVER, Sandbox};
use crate::{GO, once, result, said};

const MANY: usize = 100;

/// Starts all before it waits for any; what does not end is killed, and shows as such.
fn at_once(sandbox: &Sandbox, words: impl Fn(usize) -> Vec<&'static str>) -> Vec<Output> {
    let mut started = Vec::new();
    for number in 0..MANY {
        let mut command = Command::new("timeout");
        command.args(["-s", "KILL", "150", RECOVER, "--config"]).arg(sandbox.config()).args(words(number));
        started.push(command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    }
    started.into_iter().map(|child| child.wait_with_output().unwrap()).collect()
}

/// A run that is open and whose owner is dead.
pub fn killed_midway(sandbox: &Sandbox) -> Result<(), String> {
    let mut owner = Command::new(RECOVER);
    owner.arg("--config").arg(sandbox.config()).args(GO).stdout(Stdio::null()).stderr(Stdio::null());
    let mut owner = owner.spawn().unwrap();
    let open = || !sandbox.recover(&["list", "--state", "open", "--output", "json"]).stdout.is_empty();
    let begun = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        open()
    });
    std::thread::sleep(Duration::from_millis(300));
    owner.kill().unwrap();
    owner.wait().unwrap();
    if begun && open() { Ok(()) } else { Err("there was no run to be killed in its middle".to_owned()) }
}

/// Every third follows the run that it finds.
pub fn starts() -> Result<String, String> {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    let attaching = |number: usize| number % 3 == 2;
    let outputs =
        at_once(&sandbox, |number| if attaching(number) { [GO, &["--attach"]].concat() } else { GO.to_vec() });
    let (mut acted, mut attached, mut refused, mut late) = (0, 0, 0, 0);
    let mut runs = std::collections::BTreeSet::new();
    for (number, output) in outputs.iter().enumerate() {
        match output.status.code() {
            Some(0) if result(output)["verdict"] == "recovered" => {
                runs.insert(result(output)["run"].to_string());
                if attaching(number) { attached += 1 } else { acted += 1 }
            }
            Some(6) => refused += 1,
            // So late that nothing was wrong any more: a run of its own, which only looked.
            Some(8) => late += 1,
            _ => return Err(format!("command {number}: {}", said(output))),
        }
    }
    // Whoever follows may also be the one that acts, where it came first.
    if acted == 0 && attached > 0 {
        (acted, attached) = (1, attached - 1);
    }
    once(&sandbox, 1)?;
    if acted != 1 || runs.len() != 1 {
        return Err(format!("{acted} acted, in {} runs", runs.len()));
    }
    let others = attached + refused + late;
    Ok(format!(
        "{MANY} commands at once: {acted} acted, {others} attached or refused, pairs 1 \
         ({attached} attached, {refused} refused, {late} came when all was well)"
    ))
}

pub fn resumes() -> Result<String, String> {
    let sandbox = Sandbox::up();
    sandbox.lose(false);
    killed_midway(&sandbox)?;
    let outputs = at_once(&sandbox, |_| vec!["resume", "--all", "--output", "json"]);
    let mut finished = 0;
    for (number, output) in outputs.iter().enumerate() {
        match output.status.code() {
            Some(0) => finished += usize::from(result(output)["verdict"] == "recovered"),
            // It was open when this one looked, and closed when it came to it.
            Some(64) if String::from_utf8_lossy(&output.stderr).contains("error[RCV0008]") => {}
            _ => return Err(format!("resume {number}: {}", said(output))),
        }
    }
    // It may have been killed between a mint and its outcome: such a token is revoked, and another is minted.
    once(&sandbox, 2)?;
    if finished == 0 {
        return Err("nobody finished it".to_owned());
    }
    Ok(format!("{MANY} resumes at once after a kill: {finished} heard of its end, the others found it closed, pairs 1"))
}
