//! Where in a source a mutant's place is, as bytes, and what of the code around it has to be said again beside it.

use std::collections::BTreeMap;
use std::ops::Range;

use proc_macro2::{LineColumn, Span};
use syn::spanned::Spanned;
use syn::visit::{self, Visit};
use syn::{Arm, BinOp, Block, Expr, Signature};

/// What can be put beside the code at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Site {
    /// The beginning of a function's body: another value can be returned first.
    Body {
        /// Behind the brace.
        at: usize,
        /// The function.
        whole: Range<usize>,
        /// Whether the type it returns is its own: another value may be of another type then.
        opaque: bool,
    },
    /// A part of an expression: the expression can be said again with another text for that part.
    Part {
        /// The expression, up to where a change of an operator could bind its neighbours anew.
        whole: Range<usize>,
        /// What is changed.
        part: Range<usize>,
    },
    /// Behind the pattern of an arm: a guard can keep it from being taken.
    Arm {
        /// Behind the pattern.
        at: usize,
        /// The match: without the arm, it may leave something out.
        whole: Range<usize>,
    },
}

/// A place, and how it is compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) site: Site,
    /// Within a `const fn`: what calls it while it is compiled does not see a switch.
    pub(super) early: bool,
}

/// The kind of a mutant, line, and column from 1: what a list of mutants tells of a place.
type Key = (&'static str, usize, usize);

/// The places of a source.
#[derive(Debug, Default)]
pub(super) struct Places(BTreeMap<Key, Place>);

impl Places {
    /// Finds them.
    pub(super) fn of(source: &str) -> Result<Self, String> {
        let file = syn::parse_file(source).map_err(|e| format!("cannot be parsed: {e}"))?;
        let mut walk = Walk::default();
        walk.visit_file(&file);
        Ok(Self(walk.found))
    }

    /// The place of a mutant of this kind that begins there.
    pub(super) fn at(&self, genre: &str, line: usize, column: usize) -> Option<&Place> {
        let genre = GENRES.into_iter().find(|known| *known == genre)?;
        self.0.get(&(genre, line, column))
    }
}

const BODY: &str = "FnValue";
const BINARY: &str = "BinaryOperator";
const UNARY: &str = "UnaryOperator";
const ARM: &str = "MatchArm";
const GUARD: &str = "MatchArmGuard";
const FIELD: &str = "StructField";
const GENRES: [&str; 6] = [BODY, BINARY, UNARY, ARM, GUARD, FIELD];

#[derive(Default)]
struct Walk {
    found: BTreeMap<Key, Place>,
    /// The outermost of the operators that bind to each other without a parenthesis.
    chain: Option<Range<usize>>,
    /// The match around.
    of_arms: Range<usize>,
    /// Constants around: they are compiled once and for all, and nothing in them can be switched.
    fixed: usize,
    /// Whether the function around is a `const fn`.
    early: bool,
}

impl Walk {
    fn found(&mut self, genre: &'static str, at: LineColumn, site: Site) {
        if self.fixed == 0 {
            self.found.insert((genre, at.line, at.column + 1), Place { site, early: self.early });
        }
    }

    fn fixed(&mut self, within: impl FnOnce(&mut Self)) {
        self.fixed += 1;
        within(self);
        self.fixed -= 1;
    }

    fn function(&mut self, signature: &Signature, block: &Block, whole: Span, within: impl FnOnce(&mut Self)) {
        let outer = std::mem::replace(&mut self.early, signature.constness.is_some());
        // A function in a constant can still be called at run time.
        let fixed = std::mem::take(&mut self.fixed);
        if let Some(first) = block.stmts.first() {
            let at = block.brace_token.span.open().byte_range().end;
            let site = Site::Body { at, whole: whole.byte_range(), opaque: opaque(signature) };
            self.found(BODY, first.span().start(), site);
        }
        within(self);
        (self.early, self.fixed) = (outer, fixed);
    }
}

/// Whether what a function returns is only said to implement something.
fn opaque(signature: &Signature) -> bool {
    struct Seen(bool);
    impl Visit<'_> for Seen {
        fn visit_type_impl_trait(&mut self, _: &syn::TypeImplTrait) {
            self.0 = true;
        }
    }
    let mut seen = Seen(false);
    seen.visit_return_type(&signature.output);
    seen.0
}

/// Whether a `let` takes part in a chain of conditions: such a chain is no value, and cannot be said twice.
fn binds(expression: &Expr) -> bool {
    if let Expr::Binary(binary) = expression {
        return matches!(binary.op, BinOp::And(_)) && (binds(&binary.left) || binds(&binary.right));
    }
    matches!(expression, Expr::Let(_))
}

impl<'ast> Visit<'ast> for Walk {
    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block, item.span(), |walk| visit::visit_item_fn(walk, item));
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block, item.span(), |walk| visit::visit_impl_item_fn(walk, item));
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block, item.span(), |walk| visit::visit_trait_item_fn(walk, item));
        }
    }

    fn visit_expr_binary(&mut self, binary: &'ast syn::ExprBinary) {
        let whole = self.chain.take().unwrap_or_else(|| binary.span().byte_range());
        let binds = binds(&binary.left) || binds(&binary.right);
        if !binds {
            let part = binary.op.span().byte_range();
            self.found(BINARY, binary.op.span().start(), Site::Part { whole: whole.clone(), part });
        }
        for side in [&binary.left, &binary.right] {
            self.chain = (matches!(**side, Expr::Binary(_)) && !binds).then(|| whole.clone());
            self.visit_expr(side);
        }
        self.chain = None;
    }

    fn visit_expr_unary(&mut self, unary: &'ast syn::ExprUnary) {
        let site = Site::Part { whole: unary.span().byte_range(), part: unary.op.span().byte_range() };
        self.found(UNARY, unary.op.span().start(), site);
        visit::visit_expr_unary(self, unary);
    }

    fn visit_expr_match(&mut self, matched: &'ast syn::ExprMatch) {
        self.visit_expr(&matched.expr);
        for arm in &matched.arms {
            self.of_arms = matched.span().byte_range();
            self.visit_arm(arm);
        }
    }

    fn visit_arm(&mut self, arm: &'ast Arm) {
        match &arm.guard {
            Some((_, guard)) if !binds(guard) => {
                let range = guard.span().byte_range();
                self.found(GUARD, guard.span().start(), Site::Part { whole: range.clone(), part: range });
            }
            Some(_) => {}
            None => {
                let site = Site::Arm { at: arm.pat.span().byte_range().end, whole: self.of_arms.clone() };
                self.found(ARM, arm.span().start(), site);
            }
        }
        visit::visit_arm(self, arm);
    }

    fn visit_expr_struct(&mut self, literal: &'ast syn::ExprStruct) {
        for pair in literal.fields.pairs() {
            let field = pair.value().span();
            let end = pair.punct().map_or(field.byte_range().end, |comma| comma.span().byte_range().end);
            let part = field.byte_range().start..end;
            self.found(FIELD, field.start(), Site::Part { whole: literal.span().byte_range(), part });
        }
        visit::visit_expr_struct(self, literal);
    }

    fn visit_pat(&mut self, pattern: &'ast syn::Pat) {
        self.fixed(|walk| visit::visit_pat(walk, pattern));
    }

    fn visit_item_const(&mut self, item: &'ast syn::ItemConst) {
        self.fixed(|walk| visit::visit_item_const(walk, item));
    }

    fn visit_item_static(&mut self, item: &'ast syn::ItemStatic) {
        self.fixed(|walk| visit::visit_item_static(walk, item));
    }

    fn visit_impl_item_const(&mut self, item: &'ast syn::ImplItemConst) {
        self.fixed(|walk| visit::visit_impl_item_const(walk, item));
    }

    fn visit_trait_item_const(&mut self, item: &'ast syn::TraitItemConst) {
        self.fixed(|walk| visit::visit_trait_item_const(walk, item));
    }

    fn visit_expr_const(&mut self, block: &'ast syn::ExprConst) {
        self.fixed(|walk| visit::visit_expr_const(walk, block));
    }

    fn visit_expr_repeat(&mut self, repeat: &'ast syn::ExprRepeat) {
        self.visit_expr(&repeat.expr);
        self.fixed(|walk| walk.visit_expr(&repeat.len));
    }

    fn visit_type_array(&mut self, array: &'ast syn::TypeArray) {
        self.fixed(|walk| visit::visit_type_array(walk, array));
    }

    fn visit_variant(&mut self, variant: &'ast syn::Variant) {
        self.fixed(|walk| visit::visit_variant(walk, variant));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What stands at the first place of this kind on the first line.
    fn whole(source: &str, genre: &str, needle: &str) -> Option<String> {
        let column = source.find(needle).unwrap() + 1;
        let place = Places::of(source).unwrap().at(genre, 1, column)?.clone();
        let (Site::Part { whole, .. } | Site::Arm { whole, .. } | Site::Body { whole, .. }) = place.site;
        Some(source[whole].to_owned())
    }

    #[test]
    fn operators_that_bind_to_each_other_are_said_again_together_and_parentheses_part_them() {
        let source = "fn f() -> bool { g(a && b == c + 1 && (d < e), h) }";
        assert_eq!(whole(source, BINARY, "&&").unwrap(), "a && b == c + 1 && (d < e)");
        assert_eq!(whole(source, BINARY, "+").unwrap(), "a && b == c + 1 && (d < e)");
        assert_eq!(whole(source, BINARY, "<").unwrap(), "d < e");
    }

    #[test]
    fn a_chain_with_a_let_is_no_value_but_its_conditions_are() {
        let source = "fn f() { if let Some(a) = b && c == d && e { g() } }";
        assert_eq!(whole(source, BINARY, "&& c"), None);
        assert_eq!(whole(source, BINARY, "&& e"), None);
        assert_eq!(whole(source, BINARY, "==").unwrap(), "c == d");
    }

    #[test]
    fn what_is_compiled_once_is_no_place_and_a_function_in_it_is() {
        assert_eq!(whole("const A: u8 = B + 1;", BINARY, "+"), None);
        assert_eq!(whole("fn f() -> [u8; 2] { [0; 1 + 1] }", BINARY, "+"), None);
        assert_eq!(whole("const A: fn() -> u8 = { fn f() -> u8 { b + 1 } f };", BINARY, "+").unwrap(), "b + 1");
        let place = Places::of("const fn f() -> u8 { b + 1 }").unwrap().at(BINARY, 1, 24).unwrap().clone();
        assert!(place.early, "what is compiled may call it");
    }

    #[test]
    fn guards_arms_bodies_and_fields_are_found() {
        let source = "fn f(a: A) -> B { match a { C if d => B { x: 1, ..e }, F | G => !h, _ => i } }";
        assert_eq!(whole(source, GUARD, "d =>").unwrap(), "d");
        assert_eq!(whole(source, ARM, "F |").unwrap(), "match a { C if d => B { x: 1, ..e }, F | G => !h, _ => i }");
        assert_eq!(whole(source, UNARY, "!h").unwrap(), "!h");
        assert_eq!(whole(source, FIELD, "x: 1").unwrap(), "B { x: 1, ..e }");
        assert_eq!(whole(source, BODY, "match").unwrap(), source);
        let is_opaque = |source: &str| {
            let column = source.find('{').unwrap() + 3;
            matches!(Places::of(source).unwrap().at(BODY, 1, column).unwrap().site, Site::Body { opaque: true, .. })
        };
        assert!(is_opaque("fn f() -> Option<impl Iterator> { a }") && !is_opaque("fn f() -> Vec<u8> { a }"));
    }
}
