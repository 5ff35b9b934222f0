//! Rule: a file begins by saying what it is.

use super::Finding;
use super::source::Source;

const RULE: &str = "module-docs";

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let first = source.text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    if first.strip_prefix("//!").is_some_and(|rest| !rest.trim().is_empty()) {
        return Vec::new();
    }
    let message = "begin the file with //! and what it is, who uses it, what it must never do";
    vec![source.at_line(1, RULE, message)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(&Source::new("a/src/lib.rs", text)).len()
    }

    #[test]
    fn a_file_that_begins_with_its_subject_passes() {
        assert_eq!(findings("//! What it is.\n\nfn a() {}"), 0);
    }

    #[test]
    fn a_file_without_a_word_about_itself_does_not() {
        assert_eq!(findings("fn a() {}"), 1);
        assert_eq!(findings("//!\nfn a() {}"), 1);
        assert_eq!(findings(""), 1);
    }
}
