//! Rule: a module's name says what lives there. A drawer for anything is refused.

use std::collections::BTreeSet;

use super::Finding;
use super::source::Source;

const RULE: &str = "names";
const DRAWERS: &[&str] =
    &["util", "utils", "common", "manager", "managers", "helper", "helpers", "misc", "stuff"];

pub(crate) fn check(source: &Source) -> Vec<Finding> {
    let mut found: BTreeSet<(usize, String)> = BTreeSet::new();
    for part in source.path.with_extension("").iter().filter_map(|part| part.to_str()) {
        if is_drawer(part) {
            found.insert((1, part.to_string()));
        }
    }
    for index in source.all_matches("mod") {
        let name = source.tokens.get(index + 1).map_or("", |token| token.text.as_str());
        let inline = source.tokens.get(index + 2).is_some_and(|token| token.text == "{");
        if inline && is_drawer(name) {
            found.insert((source.tokens[index].line, name.to_string()));
        }
    }
    let message = |name: &str| format!("{name} says nothing about what is inside: name it after its subject");
    found.into_iter().map(|(line, name)| source.at_line(line, RULE, message(&name))).collect()
}

/// Whether a word of a name such as `string_utils` is a drawer.
fn is_drawer(name: &str) -> bool {
    name.split(['_', '-']).any(|word| DRAWERS.contains(&word))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(path: &str, text: &str) -> usize {
        check(&Source::new(path, text)).len()
    }

    #[test]
    fn a_subject_passes() {
        assert_eq!(findings("wire/src/gossip/packets.rs", "mod sealing {}"), 0);
    }

    #[test]
    fn a_drawer_does_not() {
        assert_eq!(findings("wire/src/utils.rs", ""), 1);
        assert_eq!(findings("wire/tests/common/mod.rs", ""), 1);
        assert_eq!(findings("wire/src/string_helpers.rs", ""), 1);
        assert_eq!(findings("wire/src/lib.rs", "mod misc { }"), 1);
    }
}
