//! A history that no run of ours made: records put together from the graph's own words, fitting or not, offered to `advance`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, OnceLock};

use recover_engine::{
    Answered, Asked, Asks, Attempt, CancelRequested, Charter, Choice, Digest, Ending, Entry, Fenced, Graph, Header,
    Intent, Json, Key, Kind, Latch, Millis, Node, Phase, Position, Question, Reason, Record, Redo, Resolved, Resulted,
    RunId, Verdict, Waiting,
};
use recover_scenarios::find;

use crate::{Choices, Oracle};

const RECORDS_MAX: usize = 400;

/// Offers records until the choices are over, and gives the position they led to. What is refused must change nothing; what
/// is accepted must keep the rules.
pub fn forge(choices: &mut Choices<'_>) -> Position {
    let scenario = find("identity-loss").expect("it is registered");
    let charter = scenario.charter(|mut begun| {
        begun.subject = "authority/agent".into();
        // Long, and not read here again: the charter has it.
        begun.graph = Json::null();
        begun
    });
    let (mut position, mut oracle) = (begin(charter), Oracle::default());
    let mut way = Way::chosen(&position, choices);
    for _ in 0..RECORDS_MAX {
        if choices.are_over() || matches!(position.phase, Phase::Closed(_)) && choices.once_in(4) {
            break;
        }
        if position.state == way.to {
            way = Way::chosen(&position, choices);
        }
        let record = record(&position, &way, choices);
        let entry = entry(&position, &record, choices);
        let before = position.clone();
        match position.advance(entry.header(), entry.hash(), record.clone()) {
            Ok(()) => {
                oracle.judge(&record).expect("what was accepted keeps the rules");
                assert_eq!((position.seq, position.head), (before.seq + 1, entry.hash()));
            }
            Err(_) => assert_eq!(position, before, "a refused record changed the position"),
        }
    }
    position
}

/// A state to go to. Without one, what lies deep in the graph would never be reached.
struct Way {
    to: String,
    /// How far every state is from it.
    distance: &'static HashMap<String, usize>,
}

/// How far every state is from every other one. Walked once: it is the same graph in every history.
fn distances(graph: &Graph) -> &'static HashMap<String, HashMap<String, usize>> {
    static DISTANCES: OnceLock<HashMap<String, HashMap<String, usize>>> = OnceLock::new();
    DISTANCES.get_or_init(|| graph.nodes.iter().map(|node| (node.state.clone(), to(graph, &node.state))).collect())
}

fn to(graph: &Graph, state: &str) -> HashMap<String, usize> {
    let mut distance = HashMap::from([(state.to_owned(), 0)]);
    loop {
        let before = distance.len();
        for (from, _, next) in &graph.edges {
            if let (Some(far), false) = (distance.get(next), distance.contains_key(from)) {
                distance.insert(from.clone(), far + 1);
            }
        }
        if distance.len() == before {
            return distance;
        }
    }
}

impl Way {
    fn chosen(position: &Position, choices: &mut Choices<'_>) -> Self {
        let graph = &position.charter.graph;
        let guarded = |node: &&Node| matches!(&node.asks, Asks::Do(step) if step == "mint" || step == "pair");
        let guarded: Vec<&Node> = graph.nodes.iter().filter(guarded).collect();
        // Half of the ways lead to where the guards that count have something to count.
        let to = match choices.one_of(2 * graph.nodes.len()) {
            any if any >= graph.nodes.len() => &graph.nodes[any - graph.nodes.len()],
            other => guarded[other % guarded.len()],
        };
        Self { to: to.state.clone(), distance: &distances(graph)[&to.state] }
    }

    fn far(&self, state: &str) -> usize {
        self.distance.get(state).copied().unwrap_or(usize::MAX)
    }
}

fn begin(charter: Charter) -> Position {
    let header = Header {
        run: RunId::new(Millis(1), [7; 10]),
        seq: 1,
        kind: Kind::Begun,
        latch: Latch::Claim,
        key: Key::subject(&charter.begun.subject),
        at: Millis(1),
        prev: Digest::ZERO,
    };
    let payload = Json::of(&charter.begun);
    let entry = Entry::encode(header, "{}", payload.as_str()).expect("it fits");
    Position::begin(&header, entry.hash(), Arc::new(charter)).expect("it can begin")
}

/// The header that fits, unless a choice spoils one part of it.
fn entry(position: &Position, record: &Record, choices: &mut Choices<'_>) -> Entry {
    let (latch, key) = position.latch(record);
    let mut header = Header {
        run: position.run,
        seq: position.seq + 1,
        kind: record.kind(),
        latch,
        key,
        at: Millis(2),
        prev: position.head,
    };
    match choices.byte() {
        255 => header.seq = u32::from(choices.byte()),
        254 => header.prev = Digest::of(&[choices.byte()]),
        253 => header.latch = Latch::ALL[choices.one_of(Latch::ALL.len())],
        252 => header.key = Key::effect("authority/agent", "s1", "pair", u32::from(choices.byte())),
        251 => header.run = RunId::JOURNAL,
        _ => {}
    }
    Entry::encode(header, "{}", record.payload().as_str()).expect("it fits")
}

/// An edge of the graph: mostly one that leaves the state and leads on the way, sometimes any.
fn edge(position: &Position, way: &Way, choices: &mut Choices<'_>) -> (String, String) {
    let edges = &position.charter.graph.edges;
    let leaving: Vec<_> = edges.iter().filter(|(from, ..)| *from == position.state).collect();
    let nearest = leaving.iter().min_by_key(|(_, _, to)| way.far(to));
    let (_, label, to) = match (nearest, choices.byte() % 16) {
        (None, _) | (_, 15) => &edges[usize::from(choices.byte()) * 7 % edges.len()],
        (Some(_), 12..15) => leaving[choices.one_of(leaving.len())],
        (Some(nearest), _) => nearest,
    };
    (label.clone(), to.clone())
}

fn record(position: &Position, way: &Way, choices: &mut Choices<'_>) -> Record {
    let asks = position.charter.graph.node(&position.state).map(|node| node.asks.clone());
    if choices.once_in(16) {
        return stray(position, way, choices);
    }
    let state = position.state.clone();
    match (&position.phase, asks) {
        (Phase::Ready, Some(Asks::Do(step))) => intent(position, step, choices),
        (Phase::Ready, Some(Asks::Wait(id))) => {
            Record::Waiting(Waiting { state, id, until: Millis(3), why: String::new() })
        }
        (Phase::Ready, Some(Asks::Ask(id))) => {
            let question = question(position, id);
            Record::Asked(Asked { state, question, deadline: Millis(3) })
        }
        (Phase::Ready, Some(Asks::Done) | None) => closed(choices),
        (Phase::Open(open), _) => {
            if open.intent.fence && !open.fenced && choices.once_in(2) {
                return Record::Fenced(Fenced { how: "up".into() });
            }
            outcome(position, way, choices)
        }
        (Phase::Waiting { .. } | Phase::Closed(_), _) => outcome(position, way, choices),
        (Phase::Asked { seq, .. }, _) => answered(position, *seq, way, choices),
    }
}

fn intent(position: &Position, step: String, choices: &mut Choices<'_>) -> Record {
    let epoch = match choices.byte() % 16 {
        15 => Some("s2".to_owned()),
        _ if position.epoch.is_some() => position.epoch.clone(),
        _ if step == "observe" => None,
        _ => Some("s1".to_owned()),
    };
    let ordinal = if choices.once_in(16) { u32::from(choices.byte()) } else { position.tally.intents(&step) };
    let redos = [Redo::OnlyIfAbsent, Redo::Pure, Redo::Idempotent, Redo::AtMostOnce];
    Record::Intent(Intent {
        key: Key::effect(&position.charter.begun.subject, epoch.as_deref().unwrap_or_default(), &step, ordinal),
        state: position.state.clone(),
        step,
        body: Json::null(),
        redo: redos[choices.one_of(redos.len())],
        fence: choices.once_in(2),
        epoch,
        ordinal,
    })
}

fn outcome(position: &Position, way: &Way, choices: &mut Choices<'_>) -> Record {
    let (label, to) = edge(position, way, choices);
    let ending = label.split_once(':').map_or("", |(_, ending)| ending).to_owned();
    let timed = matches!(position.phase, Phase::Waiting { .. } | Phase::Asked { .. });
    let refused = !timed && ending == "refused";
    let event = (!timed && !refused).then(|| tagged(&ending, choices));
    if matches!(position.phase, Phase::Open(_)) && choices.once_in(8) {
        let step = label.split_once(':').map_or("", |(step, _)| step).to_owned();
        return Record::Resolved(Resolved { step, label, event, reason: "seen".into(), to });
    }
    let codes = [Reason::ABSENT, Reason::EXHAUSTED, Reason::CANCELLED, "burnt"];
    let refused = refused.then(|| Reason::new(codes[choices.one_of(codes.len())], "no"));
    Record::Outcome(Resulted { label, event, refused, probed: false, to, evidence: Vec::new() })
}

/// An event that names its ending, another one, or none.
fn tagged(ending: &str, choices: &mut Choices<'_>) -> Json {
    match choices.byte() {
        255 => Json::null(),
        254 => Json::of(&serde_json::json!({ "ending": "paired" })),
        _ => Json::of(&serde_json::json!({ "ending": ending })),
    }
}

fn question(position: &Position, id: String) -> Question {
    let own = |label: &String| label.strip_prefix(&format!("{id}:")).map(str::to_owned);
    let choices = position.charter.graph.edges.iter().filter(|(from, ..)| *from == position.state);
    let choices = choices
        .filter_map(|(_, label, _)| own(label))
        .map(|id| Choice { id: Cow::Owned(id), text: Cow::Borrowed("") })
        .collect();
    let (text, otherwise) = (String::new(), String::new());
    Question { id: Cow::Owned(id), text, choices, routine: None, within_ms: 1, otherwise }
}

fn answered(position: &Position, question: u32, way: &Way, choices: &mut Choices<'_>) -> Record {
    let (label, to) = edge(position, way, choices);
    if label.ends_with(":expired") {
        return Record::Outcome(Resulted {
            label,
            event: None,
            refused: None,
            probed: false,
            to,
            evidence: Vec::new(),
        });
    }
    let denies = label.ends_with(":deny") != choices.once_in(16);
    let answered = Answered { question, label, reason: "so".into(), to };
    if denies { Record::Denied(answered) } else { Record::Answered(answered) }
}

fn closed(choices: &mut Choices<'_>) -> Record {
    let verdicts = [
        Verdict::Recovered,
        Verdict::GivenUp,
        Verdict::Cancelled,
        Verdict::NotApplicable,
        Verdict::GuardRefused,
        Verdict::Abandoned,
    ];
    let reason = if choices.once_in(16) { "" } else { "so it ended" };
    Record::Closed(Ending::new(verdicts[choices.one_of(verdicts.len())], reason))
}

/// A record of a kind that mostly cannot come here.
fn stray(position: &Position, way: &Way, choices: &mut Choices<'_>) -> Record {
    match choices.byte() % 8 {
        0 => intent(position, "pair".into(), choices),
        1 => intent(position, "mint".into(), choices),
        2 if choices.once_in(8) => closed(choices),
        3 => Record::Fenced(Fenced { how: "up".into() }),
        4 => answered(position, u32::from(choices.byte()), way, choices),
        5 => outcome(position, way, choices),
        6 => {
            let attempt = u32::from(choices.byte() % 4);
            Record::Attempt(Attempt { attempt, failed: 0, why: "again".into(), not_before: Millis(2), doubt: choices.once_in(2) })
        }
        _ => {
            let (label, to) = edge(position, way, choices);
            Record::CancelRequested(CancelRequested { reason: label, to })
        }
    }
}
