//! The rules of the tree that a compiler cannot see, one file a rule. Run by `cargo xtask tidy` and as a test. A rule
//! reads a `Source` and says what is wrong, where, and what to do; it never changes a file.

mod actors;
mod file_length;
mod function_length;
mod layers;
mod leftovers;
mod lexer;
mod machine_paths;
mod module_docs;
mod names;
mod pure;
mod source;
mod statics;
mod test_code;
mod unwraps;

use std::fmt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

use crate::tree;
use source::Source;

/// One breach of a rule.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Finding {
    path: PathBuf,
    /// Counted from one.
    line: usize,
    rule: &'static str,
    /// What is wrong and what to do.
    message: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: [{}] {}", self.path.display(), self.line, self.rule, self.message)
    }
}

type Rule = fn(&Source) -> Vec<Finding>;

/// Rules for Rust files.
const RUST_RULES: &[Rule] = &[
    actors::check,
    file_length::check,
    function_length::check,
    leftovers::check,
    module_docs::check,
    names::check,
    pure::check,
    statics::check,
    unwraps::check,
];

/// Prints every finding; an error when there is one.
pub(crate) fn run() -> Result<()> {
    let root = tree::root()?;
    let findings = findings(&root)?;
    for finding in &findings {
        println!("{finding}");
    }
    match findings.len() {
        0 => {
            println!("tidy");
            Ok(())
        }
        count => bail!("{count} places are not tidy"),
    }
}

fn findings(root: &Path) -> Result<Vec<Finding>> {
    let mut rust = Vec::new();
    let mut findings = layers::check(root)?;
    for path in tree::files(root)? {
        let bytes = std::fs::read(root.join(&path)).with_context(|| format!("reading {}", path.display()))?;
        // what is not text has no lines to check
        let Ok(text) = String::from_utf8(bytes) else { continue };
        findings.extend(machine_paths::check(&path, &text));
        if path.extension().is_some_and(|extension| extension == "rs") {
            rust.push(Source::new(path, text));
        }
    }
    test_code::mark_outer_modules(&mut rust);
    for source in &rust {
        findings.extend(RUST_RULES.iter().flat_map(|rule| rule(source)));
    }
    findings.sort();
    Ok(findings)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tree_is_tidy() {
        let root = tree::root().expect("root");
        let findings = findings(&root).expect("every file can be read");
        let lines: Vec<String> = findings.iter().map(Finding::to_string).collect();
        assert!(lines.is_empty(), "not tidy:\n{}", lines.join("\n"));
    }
}
