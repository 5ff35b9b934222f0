//! Every line that the documentation tells to type, read by the real command line.

use std::path::{Path, PathBuf};

use clap::error::ErrorKind;

use super::*;

/// The pages that users read.
fn pages() -> Vec<PathBuf> {
    // Tests run in the folder of their crate.
    let root = Path::new("..");
    let mut pages = vec![root.join("README.md")];
    for folder in ["docs", "docs/decisions"] {
        let entries = std::fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path());
        pages.extend(entries.filter(|path| path.extension().is_some_and(|ending| ending == "md")));
    }
    pages
}

/// The lines of a page's code blocks that call the program; continued lines in one.
fn typed(page: &str) -> Vec<String> {
    let blocks = page.split("```").skip(1).step_by(2);
    let lines = blocks.flat_map(|block| {
        let joined = block.replace("\\\n", " ");
        joined.lines().map(|line| line.trim().to_owned()).collect::<Vec<_>>()
    });
    lines.filter(|line| line.starts_with("llmhub ")).collect()
}

/// What stands between single backquotes in the text and calls the program.
fn mentioned(page: &str) -> Vec<String> {
    let text: String = page.split("```").step_by(2).collect();
    let spans = text.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>());
    spans.map(|words| words.join(" ")).filter(|span| span.starts_with("llmhub ")).collect()
}

/// A line's words as a shell takes them, without its comment.
fn words(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
    for c in line.chars() {
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '"' | '\'') => {
                quote = Some(c);
                word.get_or_insert_default();
            }
            (None, '#') if word.is_none() => break,
            (None, ' ') => words.extend(word.take()),
            _ => word.get_or_insert_default().push(c),
        }
    }
    words.extend(word);
    words
}

fn parse(line: &str) -> Result<(), clap::Error> {
    let failed = |failure: &dyn std::fmt::Display| clap::Error::raw(ErrorKind::InvalidValue, failure);
    Cli::try_parse_from(words(line))?.settle().map(|_| ()).map_err(|failure| failed(&failure))
}

#[test]
fn every_line_that_the_documentation_tells_to_type_is_understood() {
    let mut seen = 0;
    for page in pages() {
        let text = std::fs::read_to_string(&page).unwrap();
        for line in typed(&text) {
            seen += 1;
            parse(&line).unwrap_or_else(|e| panic!("{}: {line}\n{e}", page.display()));
        }
        for line in mentioned(&text) {
            // Naming a command is not calling it: what it needs may be left out, and what is written must be right.
            let kind = parse(&line).err().map(|error| error.kind());
            let named = [
                ErrorKind::MissingRequiredArgument,
                ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand,
                ErrorKind::MissingSubcommand,
                ErrorKind::DisplayHelp,
            ];
            assert!(kind.is_none_or(|kind| named.contains(&kind)), "{}: {line}: {kind:?}", page.display());
        }
    }
    assert!(seen >= 8, "only {seen} lines were found: are they still written as code?");
}

#[test]
fn words_are_split_as_a_shell_does() {
    assert_eq!(words(r#"llmhub chat "a # b" 'c'   # said"#), ["llmhub", "chat", "a # b", "c"]);
    assert_eq!(typed("x\n```\nllmhub a \\\n  b\nls\n```\n"), ["llmhub a    b"]);
    assert_eq!(mentioned("see `llmhub\nnodes` and `ls`"), ["llmhub nodes"]);
}
