//! Rule: the product does not stop on what it did not expect: no `unwrap`, no `expect` outside tests and tools. In a
//! constant it is allowed, since there the compiler is what stops.

use std::ops::Range;

use super::Finding;
use super::lexer;
use super::source::Source;

const RULE: &str = "unwrap";
const PIECES: &[&str] = &[".unwrap()", ".expect(", ".unwrap_err()", ".expect_err("];

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    if source.is_tool() {
        return Vec::new();
    }
    let constants = constants(source);
    let at_run_time = |index: &usize| !constants.iter().any(|constant| constant.contains(index));
    let places = PIECES.iter().flat_map(|piece| source.matches(piece)).filter(at_run_time);
    let message = "it would panic here: return an error that says what to do, or write the case away";
    places.map(|index| source.at(index, RULE, message)).collect()
}

/// Token ranges of `const { … }` and `const NAME: … = …;`.
fn constants(source: &Source) -> Vec<Range<usize>> {
    let text = |index: usize| source.tokens.get(index).map_or("", |token| token.text.as_str());
    let end = |begin: usize| match (text(begin + 1), text(begin + 2)) {
        ("{", _) => Some(lexer::after_closing(&source.tokens, begin + 1)),
        (_, ":") => Some(statement_end(source, begin)),
        _ => None,
    };
    source.matches("const").into_iter().filter_map(|begin| Some(begin..end(begin)?)).collect()
}

fn statement_end(source: &Source, begin: usize) -> usize {
    let mut index = begin;
    while let Some(token) = source.tokens.get(index) {
        index = match token.text.as_str() {
            ";" => return index,
            "{" | "(" | "[" => lexer::after_closing(&source.tokens, index),
            // the end of a list of generic parameters that held the constant
            "}" | ")" | "]" | ">" if is_generic(source, begin) => return index,
            _ => index + 1,
        };
    }
    index
}

/// Whether `const N: usize` stands in a list of generic parameters.
fn is_generic(source: &Source, begin: usize) -> bool {
    begin > 0 && matches!(source.tokens[begin - 1].text.as_str(), "<" | ",")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn errors_that_are_passed_on_pass() {
        assert_eq!(findings("a/src/lib.rs", "let a = b()?; let c = d.unwrap_or_default();"), 0);
    }

    #[test]
    fn an_unwrap_in_the_product_does_not() {
        assert_eq!(findings("a/src/lib.rs", "let a = b()\n    .unwrap();\nlet c = d.expect(\"e\");"), 2);
    }

    #[test]
    fn a_constant_may_unwrap_and_what_follows_it_may_not() {
        assert_eq!(
            findings(
                "a/src/lib.rs",
                "let a = f(const { N::new(1).unwrap() }); const B: N = N::new(2).unwrap();"
            ),
            0
        );
        assert_eq!(findings("a/src/lib.rs", "const B: u8 = 1; fn a() { b().unwrap() }"), 1);
        assert_eq!(findings("a/src/lib.rs", "const fn a() { b().unwrap() }"), 1);
        assert_eq!(findings("a/src/lib.rs", "fn a<const N: usize>() { b().unwrap() }"), 1);
    }

    #[test]
    fn tests_and_tools_may_unwrap() {
        assert_eq!(findings("a/src/lib.rs", "#[cfg(test)] mod tests { fn a() { b().unwrap(); } }"), 0);
        assert_eq!(findings("a/tests/all.rs", "fn a() { b().unwrap(); }"), 0);
        assert_eq!(findings("sim/src/world.rs", "fn a() { b().unwrap(); }"), 0);
    }
}
