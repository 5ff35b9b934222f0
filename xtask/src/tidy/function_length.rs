//! Rule: a function fits on a screen.

use super::Finding;
use super::lexer;
use super::source::Source;

const RULE: &str = "function-length";
/// A function must be shorter than this.
const LINES_LIMIT: usize = 70;
const LINES_LIMIT_TESTS: usize = 100;

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let begins = source.all_matches("fn").into_iter();
    begins.filter_map(|begin| check_function(source, begin)).collect()
}

fn check_function(source: &Source, begin: usize) -> Option<Finding> {
    let tokens = &source.tokens;
    let name = &tokens.get(begin + 1)?.text;
    // a function pointer's type has no name
    if name == "(" {
        return None;
    }
    let open = body(source, begin)?;
    let close = lexer::after_closing(tokens, open) - 1;
    let lines = tokens[close].line - tokens[begin].line + 1;
    let limit = if source.is_test(begin) { LINES_LIMIT_TESTS } else { LINES_LIMIT };
    (lines >= limit).then(|| {
        let message =
            format!("{name} has {lines} lines, fewer than {limit} are allowed: give its steps names");
        source.at(begin, RULE, message)
    })
}

/// The index of the brace that opens the body; none for a declaration without one.
fn body(source: &Source, begin: usize) -> Option<usize> {
    let mut index = begin;
    loop {
        match source.tokens.get(index)?.text.as_str() {
            "{" => return Some(index),
            ";" => return None,
            "(" | "[" => index = lexer::after_closing(&source.tokens, index),
            _ => index += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn function(head: &str, lines: usize) -> String {
        format!("{head} {{{}}}", "\n".repeat(lines - 1))
    }

    fn findings(text: &str) -> Vec<String> {
        check(&Source::new("a/src/lib.rs", text)).iter().map(Finding::to_string).collect()
    }

    #[test]
    fn sixty_nine_lines_pass_and_seventy_do_not() {
        assert!(findings(&function("fn a()", 69)).is_empty());
        let found = findings(&format!("\n{}", function("fn a(x: [u8; 3]) -> u8", 70)));
        assert_eq!(found.len(), 1);
        assert!(found[0].starts_with("a/src/lib.rs:2: [function-length] a has 70 lines"), "{found:?}");
    }

    #[test]
    fn a_test_may_have_ninety_nine() {
        assert!(findings(&function("#[test] fn a()", 99)).is_empty());
        assert_eq!(findings(&function("#[test] fn a()", 100)).len(), 1);
    }

    #[test]
    fn declarations_and_function_pointers_have_no_body() {
        assert!(
            findings(&format!("trait A {{ fn a(&self); }} type B = fn(u8); {}", "\n".repeat(99))).is_empty()
        );
    }
}
