//! A source with many mutants in it at once, each behind a switch that is read while it runs.

use std::collections::BTreeMap;
use std::ops::Range;

use super::list::Mutant;
use super::sites::{Place, Places, Site};

/// The variable that says which mutant is on; its child processes inherit it.
pub(super) const VARIABLE: &str = "RECOVER_MUTANT";

/// What goes to the head of a crate: a `const fn` may ask whether it is being compiled, with the compiler's own means.
pub(super) const HEAD: &str =
    "#![feature(core_intrinsics, const_eval_select)] #![allow(internal_features, unused_parens)] ";

/// The variable that names a file to which the numbers of the places are added that a run with no mutant on comes to.
pub(super) const REACHED: &str = "RECOVER_MUTANTS_REACHED";

/// What goes to its end: the switch. While something is compiled, no mutant is on.
pub(super) const SWITCH: &str = r#"
#[doc(hidden)]
pub(crate) const fn __mutant(number: u32) -> bool {
    const fn compiled(_: u32) -> bool { false }
    fn run(number: u32) -> bool {
        use ::std::sync::atomic::{AtomicU32, Ordering::Relaxed};
        static ON: AtomicU32 = AtomicU32::new(u32::MAX);
        let mut on = ON.load(Relaxed);
        if on == u32::MAX {
            on = ::std::env::var("RECOVER_MUTANT").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
            ON.store(on, Relaxed);
        }
        if on == 0 { reached(number); }
        on == number
    }
    fn reached(number: u32) {
        use ::std::{fs::File, io::Write, sync::{OnceLock, atomic::{AtomicBool, Ordering::Relaxed}}};
        static TOLD: [AtomicBool; 1 << 13] = [const { AtomicBool::new(false) }; 1 << 13];
        static FILE: OnceLock<Option<File>> = OnceLock::new();
        if TOLD.get(number as usize).is_none_or(|told| told.swap(true, Relaxed)) { return; }
        let opened = || File::options().append(true).create(true).open(::std::env::var_os("RECOVER_MUTANTS_REACHED")?).ok();
        if let Some(mut file) = FILE.get_or_init(opened).as_ref() {
            let _ = file.write_all(format!("{number}\n").as_bytes());
        }
    }
    ::core::intrinsics::const_eval_select((number,), compiled, run)
}
"#;

/// So many can be in one build.
pub(super) const MOST: usize = (1 << 13) - 1;

/// A stretch of the new source that is there for mutants.
#[derive(Debug, PartialEq, Eq)]
struct Spot {
    range: Range<usize>,
    /// By their numbers.
    of: Vec<u32>,
    /// Whether it is the changed code itself, and not the code around.
    own: bool,
}

/// A source with switches.
#[derive(Debug, Default)]
pub(super) struct Switched {
    pub(super) text: String,
    /// Numbers of mutants that cannot be put in.
    pub(super) left: Vec<u32>,
    /// Numbers of those that what is compiled may go past.
    pub(super) early: Vec<u32>,
    spots: Vec<Spot>,
}

/// What an error of the compiler is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Blame {
    /// One mutant, whose own code it is in.
    Own(u32),
    /// Some, around whose place it is.
    Around(Vec<u32>),
}

impl Switched {
    /// Which mutants an error at these bytes is about, if about any.
    pub(super) fn blame(&self, bytes: &Range<usize>) -> Option<Blame> {
        let within = self.spots.iter().filter(|spot| spot.range.start <= bytes.start && bytes.end <= spot.range.end);
        let spot = within.min_by_key(|spot| spot.range.len())?;
        if let ([one], true) = (spot.of.as_slice(), spot.own) {
            return Some(Blame::Own(*one));
        }
        // Of the arms of a match, each has the match around it.
        let same = self.spots.iter().filter(|other| !other.own && other.range == spot.range);
        Some(Blame::Around(same.flat_map(|other| other.of.iter().copied()).collect()))
    }
}

/// What is put in at one byte.
struct Insertion {
    at: usize,
    /// What closes goes before what opens; inner before outer where something ends, outer before inner where it begins.
    order: (bool, usize),
    pieces: Vec<(String, Option<u32>)>,
}

/// What is put around or into one place, for all mutants there.
#[derive(Default)]
struct Wrap {
    alternatives: Vec<(u32, String)>,
}

/// Puts mutants, each with its number, into the source that they are of.
pub(super) fn switched(source: &str, mutants: &[(u32, &Mutant)]) -> Result<Switched, String> {
    let places = Places::of(source)?;
    let mut made = Switched::default();
    let mut parts: BTreeMap<(usize, usize), Wrap> = BTreeMap::new();
    let mut insertions = Vec::new();
    // Where, in the old source, the code around each mutant is.
    let mut around: Vec<(Range<usize>, Vec<u32>)> = Vec::new();
    for (number, mutant) in mutants {
        let change = &mutant.change;
        let Some(Place { site, early }) = places.at(&change.genre, change.line, change.column) else {
            made.left.push(*number);
            continue;
        };
        if *early {
            made.early.push(*number);
        }
        let replacement = &change.replacement;
        match site {
            Site::Body { opaque: true, .. } => made.left.push(*number),
            Site::Body { at, whole, opaque: false } => {
                let text = format!(" if crate::__mutant({number}) {{ return {replacement}; }}");
                insertions.push(Insertion { at: *at, order: (true, 0), pieces: vec![(text, Some(*number))] });
                around.push((whole.clone(), vec![*number]));
            }
            Site::Arm { at, whole } => {
                let text = format!(" if !crate::__mutant({number})");
                insertions.push(Insertion { at: *at, order: (true, 0), pieces: vec![(text, Some(*number))] });
                around.push((whole.clone(), vec![*number]));
            }
            Site::Part { whole, part } => {
                let text = format!("{}{replacement}{}", &source[whole.start..part.start], &source[part.end..whole.end]);
                if syn::parse_str::<syn::Expr>(&text).is_err() {
                    // It would take the rest of the file with it.
                    made.left.push(*number);
                    continue;
                }
                parts.entry((whole.start, whole.end)).or_default().alternatives.push((*number, text));
            }
        }
    }
    for ((start, end), Wrap { alternatives }) in parts {
        let mut pieces = Vec::new();
        let mut before = "(";
        for (number, text) in &alternatives {
            pieces.push((format!("{before}if crate::__mutant({number}) {{ ("), None));
            pieces.push((text.clone(), Some(*number)));
            before = ") } else ";
        }
        pieces.push((") } else { ".into(), None));
        let length = end - start;
        insertions.push(Insertion { at: start, order: (true, usize::MAX - length), pieces });
        insertions.push(Insertion { at: end, order: (false, length), pieces: vec![(" })".into(), None)] });
        around.push((start..end, alternatives.iter().map(|(number, _)| *number).collect()));
    }
    insertions.sort_by_key(|insertion| (insertion.at, insertion.order));
    written(source, insertions, around, &mut made);
    Ok(made)
}

/// Writes the new text, and where in it what was put in is.
fn written(source: &str, insertions: Vec<Insertion>, around: Vec<(Range<usize>, Vec<u32>)>, made: &mut Switched) {
    // Of each insertion: where in the old source it was, and how long the text was before it and after it.
    let mut shifts: Vec<(usize, usize, usize)> = Vec::new();
    let mut done = 0;
    for Insertion { at, pieces, .. } in insertions {
        made.text.push_str(&source[done..at]);
        done = at;
        let before = made.text.len();
        for (text, number) in pieces {
            let start = made.text.len();
            made.text.push_str(&text);
            made.spots.extend(number.map(|n| Spot { range: start..made.text.len(), of: vec![n], own: true }));
        }
        shifts.push((at, before, made.text.len()));
    }
    made.text.push_str(&source[done..]);
    for (range, of) in around {
        let put = |byte: usize, first: bool| {
            // A place begins before what was put in at its first byte, and ends behind what was put in at its last.
            let shift = if first {
                shifts.iter().rfind(|(at, ..)| *at < byte)
            } else {
                shifts.iter().rfind(|(at, ..)| *at <= byte)
            };
            shift.map_or(byte, |(at, _, after)| after + (byte - at))
        };
        made.spots.push(Spot { range: put(range.start, true)..put(range.end, false), of, own: false });
    }
}

#[cfg(test)]
mod tests {
    use super::super::list::Change;
    use super::*;

    /// Mutants of a source of one line, each by its kind, what begins where it begins, and its replacement.
    fn of(source: &str, mutants: &[(&str, &str, &str)]) -> Switched {
        let mutants: Vec<Mutant> = mutants
            .iter()
            .map(|(genre, needle, replacement)| Mutant {
                change: Change {
                    genre: (*genre).into(),
                    line: 1,
                    column: source.find(needle).unwrap() + 1,
                    replacement: (*replacement).into(),
                },
                ..Mutant::default()
            })
            .collect();
        let numbered: Vec<(u32, &Mutant)> = (1..).zip(&mutants).collect();
        switched(source, &numbered).unwrap()
    }

    fn spaceless(text: &str) -> String {
        text.replace("crate::__mutant", "m").split_whitespace().collect()
    }

    #[test]
    fn the_mutants_of_a_place_are_alternatives_to_the_code_in_which_the_inner_ones_are() {
        let made = of(
            "fn f() -> bool { a && g(b < c) }",
            &[("BinaryOperator", "&&", "||"), ("BinaryOperator", "<", "=="), ("BinaryOperator", "<", ">")],
        );
        let wanted = "fn f() -> bool { (if m(1) { (a || g(b < c)) } else {
            a && g((if m(2) { (b == c) } else if m(3) { (b > c) } else { b < c })) }) }";
        assert_eq!(spaceless(&made.text), spaceless(wanted));
        syn::parse_file(&made.text).unwrap();
    }

    #[test]
    fn a_body_a_guard_an_arm_and_a_field() {
        let made = of(
            "fn f(a: A) -> B { match a { C if d == e => B { x: 1, ..e }, F | G => !h, _ => i } }",
            &[
                ("FnValue", "match", "Default::default()"),
                ("MatchArmGuard", "d ==", "true"),
                ("BinaryOperator", "==", "!="),
                ("StructField", "x: 1", ""),
                ("MatchArm", "F |", ""),
                ("UnaryOperator", "!h", ""),
            ],
        );
        let wanted = "fn f(a: A) -> B { if m(1) { return Default::default(); } match a {
            C if (if m(2) { (true) } else if m(3) { (d != e) } else { d == e })
                => (if m(4) { (B { ..e }) } else { B { x: 1, ..e } }),
            F | G if !m(5) => (if m(6) { (h) } else { !h }), _ => i } }";
        assert_eq!(spaceless(&made.text), spaceless(wanted));
        syn::parse_file(&made.text).unwrap();
    }

    #[test]
    fn what_cannot_be_put_in_is_left_and_what_is_compiled_is_told() {
        let made = of(
            "const fn f(a: u8) -> impl Copy { const { 1 + 1 }; (a as u8) > a }",
            &[("FnValue", "const { ", "1"), ("BinaryOperator", "+", "-"), ("BinaryOperator", "> a }", "<")],
        );
        assert_eq!((made.left.as_slice(), made.early.as_slice()), (&[1, 2][..], &[1, 3][..]));
        // Without the parentheses, `<` would open the arguments of a type.
        assert_eq!(of("fn f() { a as u8 > b }", &[("BinaryOperator", ">", "<")]).left, [1]);
    }

    #[test]
    fn an_error_is_blamed_on_the_narrowest_place() {
        let made = of(
            "fn f() -> bool { a && g(b + c) }",
            &[("FnValue", "a &&", "xx"), ("BinaryOperator", "&&", "||"), ("BinaryOperator", "+", "*")],
        );
        let blame = |needle: &str| {
            let start = made.text.find(needle).unwrap();
            made.blame(&(start..start + needle.len()))
        };
        assert_eq!(blame("xx"), Some(Blame::Own(1)));
        assert_eq!(blame("a || g"), Some(Blame::Own(2)));
        assert_eq!(blame("b * c"), Some(Blame::Own(3)));
        assert_eq!(blame("else { b + c }"), Some(Blame::Around(vec![3])));
        assert_eq!(blame("else { a &&"), Some(Blame::Around(vec![2])));
        assert_eq!(blame("-> bool"), Some(Blame::Around(vec![1])));
        assert_eq!(made.blame(&(0..made.text.len() + 1)), None);
    }

    #[test]
    fn a_match_that_leaves_something_out_is_blamed_on_all_its_arms() {
        let made =
            of("fn f() { match a { B => 1, C => 2, _ if d => 3 } }", &[("MatchArm", "B", ""), ("MatchArm", "C", "")]);
        let start = made.text.find("a {").unwrap();
        assert_eq!(made.blame(&(start..start + 1)), Some(Blame::Around(vec![1, 2])));
    }

    #[test]
    fn the_switch_is_rust() {
        syn::parse_file(&format!("{HEAD}//! A crate.\n{SWITCH}")).unwrap();
        assert!(SWITCH.contains(VARIABLE) && SWITCH.contains(REACHED));
    }
}
