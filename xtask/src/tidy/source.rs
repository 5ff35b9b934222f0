//! A Rust file as the rules see it: its text, its tokens, and which of them are test code.

use std::ops::Range;
use std::path::{Path, PathBuf};

use super::Finding;
use super::lexer::{self, Token};
use super::test_code;

/// Packages that are tools: their binaries may stop with a message where the product must not.
const TOOLS: &[&str] = &["sim", "chaos", "bench", "xtask"];

/// One Rust file.
pub(crate) struct Source {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
    pub(crate) tokens: Vec<Token>,
    /// Ranges of token indices that are compiled for tests only.
    test_ranges: Vec<Range<usize>>,
    /// The whole file is test code.
    pub(crate) test_file: bool,
}

impl Source {
    pub(crate) fn new(path: impl Into<PathBuf>, text: impl Into<String>) -> Source {
        let (path, text) = (path.into(), text.into());
        let tokens = lexer::lex(&text);
        let test_ranges = test_code::ranges(&tokens);
        let test_file = test_code::is_test_path(&path);
        Source { path, text, tokens, test_ranges, test_file }
    }

    /// Whether the token at this index is compiled for tests only.
    pub(crate) fn is_test(&self, index: usize) -> bool {
        self.test_file || self.test_ranges.iter().any(|range| range.contains(&index))
    }

    /// Whether the file belongs to one of the tools (simulator, chaos, bench, xtask).
    pub(crate) fn is_tool(&self) -> bool {
        TOOLS.iter().any(|tool| self.path.starts_with(tool))
    }

    /// Token indices outside tests at which this piece of Rust begins; blanks and line ends do not matter.
    pub(crate) fn matches(&self, piece: &str) -> Vec<usize> {
        self.all_matches(piece).into_iter().filter(|&index| !self.is_test(index)).collect()
    }

    /// Like `matches`, in tests too.
    pub(crate) fn all_matches(&self, piece: &str) -> Vec<usize> {
        let piece = lexer::lex(piece);
        if piece.is_empty() {
            return Vec::new();
        }
        let same = |window: &[Token]| window.iter().zip(&piece).all(|(a, b)| a.text == b.text);
        (0..)
            .zip(self.tokens.windows(piece.len()))
            .filter(|(_, window)| same(window))
            .map(|(i, _)| i)
            .collect()
    }

    /// A finding at this token.
    pub(crate) fn at(&self, token: usize, rule: &'static str, message: impl Into<String>) -> Finding {
        self.at_line(self.tokens[token].line, rule, message)
    }

    /// A finding at this line.
    pub(crate) fn at_line(&self, line: usize, rule: &'static str, message: impl Into<String>) -> Finding {
        Finding { path: self.path.clone(), line, rule, message: message.into() }
    }

    /// The file's name without its extension.
    pub(crate) fn stem(&self) -> &str {
        self.path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
    }

    /// The folder in which this file's child modules live.
    pub(crate) fn module_folder(&self) -> PathBuf {
        let folder = self.path.parent().unwrap_or(Path::new(""));
        match self.stem() {
            "mod" | "lib" | "main" => folder.to_path_buf(),
            stem => folder.join(stem),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_found_over_line_ends_but_not_in_strings_or_comments() {
        let source = Source::new("a/src/lib.rs", "// x.unwrap()\nlet s = \".unwrap()\";\nx\n    .unwrap()");
        let lines: Vec<usize> = source.matches(".unwrap()").iter().map(|&i| source.tokens[i].line).collect();
        assert_eq!(lines, [4]);
    }
}
