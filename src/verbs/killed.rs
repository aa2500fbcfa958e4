//! A run record by record, and what a kill right after each leads to: by the redo policy of what is under way, and the run's own graph.

use std::io::{IsTerminal as _, Read as _};

use recover_engine::{Asks, Entry, Next, Phase, Redo};
use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use serde_json::{Value, json};

use crate::fault::{Code, Exit, Fault};
use crate::printer::Printer;
use crate::store::{Folded, fold};
use crate::{clock, line};

/// Shows the records up to a number, with where the run is after each.
pub(super) fn told(entries: &[Entry], until: Option<u32>, step: bool, printer: Printer) -> Result<Exit, Fault> {
    let most = until.unwrap_or(u32::MAX);
    let count = entries.iter().take_while(|entry| entry.header().seq <= most).count();
    if let (Some(until), Some(last)) = (until, entries.last())
        && until > last.header().seq
    {
        let message = format!("the run has {} records, and none with the number {until}", last.header().seq);
        return Err(Fault::new(Code::Usage, message));
    }
    let keys = (step && std::io::stdin().is_terminal() && std::io::stdout().is_terminal()).then(Keys::taken).flatten();
    for at in 1..=count {
        let (Some(so_far), Some(entry)) = (entries.get(..at), entries.get(at - 1)) else { break };
        let folded = fold(so_far)?;
        printer.show(&line::event(entry), || line::sentence(entry));
        let (value, text) = after(&folded);
        printer.show(&value, || text);
        if at < count && keys.as_ref().is_some_and(Keys::is_over) {
            break;
        }
    }
    Ok(Exit::Done)
}

/// Where a run is, and what a kill leads to there.
fn after(folded: &Folded) -> (Value, String) {
    let position = &folded.position;
    let (phase, then) = match &position.phase {
        Phase::Closed(ending) => ("closed", format!("nothing: the run is over, {}", ending.verdict.as_str())),
        Phase::Asked { asked, .. } => (
            "asked",
            format!(
                "the question stays open until {}; then: {}",
                clock::rfc3339(asked.deadline),
                asked.question.otherwise
            ),
        ),
        Phase::Waiting { until } => {
            ("waiting", format!("`resume` waits until {}, or no more if that is over", clock::rfc3339(*until)))
        }
        Phase::Ready => ("between", between(folded)),
        Phase::Open(open) => {
            let step = &open.intent.step;
            let then = match (&open.doubt, open.intent.redo) {
                (Some(why), _) => format!(
                    "nothing is tried: whether {step} was applied is unknown ({why}); a person says it, `recover resolve`"
                ),
                (None, Redo::Pure) => format!("{step} changes nothing: `resume` looks again"),
                (None, Redo::Idempotent) => format!("`resume` does {step} again: that leaves what once leaves"),
                (None, Redo::OnlyIfAbsent) => probed(folded, step, open.intent.fence && !open.fenced),
                (None, Redo::AtMostOnce) => {
                    format!("{step} is never repeated: a person says what came of it, `recover resolve`")
                }
            };
            ("open", then)
        }
    };
    let committed = position.charter.graph.node(&position.state).is_some_and(|node| node.committed);
    let leads: Vec<&(String, String, String)> =
        position.charter.graph.edges.iter().filter(|(from, ..)| *from == position.state).collect();
    let value = json!({
        "schema": "recover.killed/v1", "seq": position.seq, "state": position.state, "phase": phase, "then": then,
        "past_no_return": committed,
        "leads": leads.iter().map(|(_, label, to)| json!({ "input": label, "to": to })).collect::<Vec<_>>(),
    });
    let behind = if committed { ", past the point of no return" } else { "" };
    let mut text = format!("        in {}{behind}\n        killed here → {then}", position.state);
    if matches!(position.phase, Phase::Open(_)) {
        let ways: Vec<String> = leads.iter().map(|(_, label, to)| format!("{label} → {to}")).collect();
        text.push_str(&format!("\n        from here: {}", ways.join(", ")));
    }
    (value, text)
}

/// What is next, where nothing is under way.
fn between(folded: &Folded) -> String {
    let position = &folded.position;
    let asks = position.charter.graph.node(&position.state).map(|node| &node.asks);
    let next = match asks {
        Some(Asks::Do(step)) => format!("begins {step}"),
        Some(Asks::Wait(id)) => format!("begins to wait ({id})"),
        Some(Asks::Ask(id)) => format!("asks a person ({id})"),
        Some(Asks::Done) => "closes the run".to_owned(),
        None => "goes on".to_owned(),
    };
    format!("nothing is under way: `resume` {next}")
}

/// What is asked for first, and what its answers lead to.
fn probed(folded: &Folded, step: &str, to_fence: bool) -> String {
    let fence = match folded.typed.as_ref().map(|machine| machine.next()) {
        Some(Next::Do(doing)) => doing.redoing.fence.map(str::to_owned),
        Some(Next::Wait(_) | Next::Ask(_) | Next::Done(_)) | None => None,
    };
    let first = match (to_fence, fence) {
        (true, Some(fence)) => format!("first {fence}, and then it is asked"),
        (true, None) => "first a late arrival is made impossible, and then it is asked".to_owned(),
        (false, _) => "it is asked".to_owned(),
    };
    format!(
        "{step} is not repeated: {first} whether it was applied. Found: that is its outcome; absent: it was refused; not to be told: a person"
    )
}

/// A terminal that gives each key at once, until this is dropped.
struct Keys(Termios);

impl Keys {
    fn taken() -> Option<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(&stdin).ok()?;
        let mut now = before.clone();
        // An interrupt is a key too: it must not leave the terminal so.
        now.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO | LocalModes::ISIG);
        now.special_codes[SpecialCodeIndex::VMIN] = 1;
        now.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(&stdin, OptionalActions::Now, &now).ok()?;
        Some(Self(before))
    }

    /// Waits for a key. `q` has seen enough, and so has whoever went away.
    #[expect(clippy::unused_self, reason = "without it the terminal gives lines")]
    fn is_over(&self) -> bool {
        let mut key = [0];
        !matches!(std::io::stdin().lock().read(&mut key), Ok(1)) || matches!(key[0], b'q' | b'Q' | 3 | 4)
    }
}

impl Drop for Keys {
    fn drop(&mut self) {
        let _gone = tcsetattr(std::io::stdin(), OptionalActions::Now, &self.0);
    }
}
