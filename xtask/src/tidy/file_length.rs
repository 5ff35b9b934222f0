//! Rule: a file is short enough to be read in one go.

use super::Finding;
use super::source::Source;

const RULE: &str = "file-length";
const LINES_MAX: usize = 500;
const LINES_MAX_TESTS: usize = 800;

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let limit = if source.test_file { LINES_MAX_TESTS } else { LINES_MAX };
    let lines = source.text.lines().count();
    if lines <= limit {
        return Vec::new();
    }
    let message =
        format!("{lines} lines, {limit} are allowed: move one of its subjects to a file of its own");
    vec![source.at_line(limit + 1, RULE, message)]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, lines: usize) -> usize {
        check(&Source::new(path, "\n".repeat(lines))).len()
    }

    #[test]
    fn five_hundred_lines_pass_and_one_more_does_not() {
        assert_eq!(findings("a/src/lib.rs", 500), 0);
        assert_eq!(findings("a/src/lib.rs", 501), 1);
    }

    #[test]
    fn tests_may_be_longer() {
        assert_eq!(findings("a/tests/all.rs", 800), 0);
        assert_eq!(findings("a/tests/all.rs", 801), 1);
    }
}
