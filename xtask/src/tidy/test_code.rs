//! Which code is compiled for tests only: items under `#[cfg(test)]` or `#[test]`, whole files of tests, and modules
//! that another file declares under `#[cfg(test)]`. Rules that spare tests ask here through `Source`.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::{Path, PathBuf};

use super::lexer::{self, Token};
use super::source::Source;

/// Whether a file's place says that it holds tests.
pub(crate) fn is_test_path(path: &Path) -> bool {
    let in_folder = path.parent().is_some_and(|folder| {
        folder.components().any(|part| part.as_os_str() == "tests" || part.as_os_str() == "benches")
    });
    let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
    in_folder || stem == "tests" || stem.ends_with("_tests")
}

/// Ranges of token indices of items that are compiled for tests only.
pub(crate) fn ranges(tokens: &[Token]) -> Vec<Range<usize>> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    let mut index = 0;
    while index < tokens.len() {
        let Some(attribute) = Attribute::at(tokens, index) else {
            index += 1;
            continue;
        };
        if attribute.inner && attribute.is_test(tokens) {
            return std::iter::once(0..tokens.len()).collect();
        }
        if !attribute.inner && attribute.is_test(tokens) {
            let end = item_end(tokens, attribute.end);
            ranges.push(index..end);
            index = end;
        } else {
            index = attribute.end;
        }
    }
    ranges
}

/// Marks the files of modules that another file declares under `#[cfg(test)]`.
pub(crate) fn mark_outer_modules(sources: &mut [Source]) {
    let modules: BTreeSet<PathBuf> = sources.iter().flat_map(outer_modules).collect();
    for source in sources {
        let itself = source.path.with_extension("");
        source.test_file |= itself.ancestors().any(|path| modules.contains(path));
    }
}

/// The modules in files of their own that this file declares for tests, as paths without extension.
fn outer_modules(source: &Source) -> Vec<PathBuf> {
    let declared =
        source.tokens.windows(3).enumerate().filter(|(index, window)| {
            window[0].text == "mod" && window[2].text == ";" && source.is_test(*index)
        });
    declared.map(|(_, window)| source.module_folder().join(&window[1].text)).collect()
}

struct Attribute {
    /// Written `#![…]`: it concerns what it stands in.
    inner: bool,
    words: Range<usize>,
    end: usize,
}

impl Attribute {
    fn at(tokens: &[Token], index: usize) -> Option<Attribute> {
        let is = |index: usize, text: &str| tokens.get(index).is_some_and(|token| token.text == text);
        if !is(index, "#") {
            return None;
        }
        let inner = is(index + 1, "!");
        let open = index + 1 + usize::from(inner);
        if !is(open, "[") {
            return None;
        }
        let end = lexer::after_closing(tokens, open);
        Some(Attribute { inner, words: open + 1..end, end })
    }

    /// `#[test]`, `#[tokio::test(…)]`, `#[cfg(test)]`, `#[cfg(any(test, …))]`; neither `cfg_attr` nor `not(test)`.
    fn is_test(&self, tokens: &[Token]) -> bool {
        let words: Vec<&str> = tokens[self.words.clone()].iter().map(|token| token.text.as_str()).collect();
        match words.first() {
            Some(&"cfg") => words.contains(&"test") && !words.windows(3).any(|w| w == ["not", "(", "test"]),
            Some(_) => {
                let path: Vec<&str> =
                    words.iter().copied().take_while(|word| !matches!(*word, "(" | "]" | "=")).collect();
                path.last() == Some(&"test")
            }
            None => false,
        }
    }
}

/// The index after the item that begins at `start`, its further attributes included.
fn item_end(tokens: &[Token], start: usize) -> usize {
    let mut index = start;
    while let Some(attribute) = Attribute::at(tokens, index) {
        index = attribute.end;
    }
    while let Some(token) = tokens.get(index) {
        match token.text.as_str() {
            ";" => return index + 1,
            "{" => return lexer::after_closing(tokens, index),
            "(" | "[" => index = lexer::after_closing(tokens, index),
            _ => index += 1,
        }
    }
    tokens.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tested(text: &str, word: &str) -> bool {
        let source = Source::new("a/src/lib.rs", text);
        let index = source.tokens.iter().position(|token| token.text == word).expect("the word is there");
        source.is_test(index)
    }

    #[test]
    fn a_module_under_cfg_test_is_test_code_and_what_follows_is_not() {
        let text = "fn a() {} #[cfg(test)] #[allow(x)] mod tests { fn b() {} } fn c() {}";
        assert!(!tested(text, "a"));
        assert!(tested(text, "b"));
        assert!(!tested(text, "c"));
    }

    #[test]
    fn cfg_not_test_and_cfg_attr_are_not_test_code() {
        assert!(!tested("#[cfg(not(test))] fn a() {}", "a"));
        assert!(!tested("#[cfg_attr(test, derive(Debug))] struct A;", "A"));
    }

    #[test]
    fn any_with_test_an_async_test_and_an_inner_cfg_are_test_code() {
        assert!(tested("#[cfg(any(test, feature = \"suite\"))] fn a() {}", "a"));
        assert!(tested("#[tokio::test(flavor = \"current_thread\")] async fn a() {}", "a"));
        assert!(tested("#![cfg(test)] fn a() {}", "a"));
    }

    #[test]
    fn a_module_declared_for_tests_elsewhere_is_test_code_with_its_children() {
        let mut sources = vec![
            Source::new("a/src/thing.rs", "#[cfg(test)] mod fakes;"),
            Source::new("a/src/thing/fakes.rs", "fn a() {}"),
            Source::new("a/src/thing/fakes/deep.rs", "fn a() {}"),
            Source::new("a/src/fakes.rs", "fn a() {}"),
        ];
        mark_outer_modules(&mut sources);
        let marked: Vec<bool> = sources.iter().map(|source| source.test_file).collect();
        assert_eq!(marked, [false, true, true, false]);
    }
}
