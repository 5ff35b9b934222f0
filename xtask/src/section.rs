//! Sections of pages that programs write: between two marks, with the rest of the page left as it is. Programs print, and
//! what they print is put into its page here: `bench scale | cargo xtask section docs/scale.md bench-scale`.

use std::io::{self, Read as _};
use std::path::Path;

use anyhow::{Context, Result, ensure};

/// Puts what comes from standard input into the page's section of this name, in place of what it has; makes the page where
/// there is none.
///
/// # Errors
/// When nothing comes, or the page cannot be read or written.
pub(crate) fn run(page: &Path, name: &str) -> Result<()> {
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).context("read standard input")?;
    // The program before the pipe failed, and has said why.
    ensure!(!text.trim().is_empty(), "nothing came: section {name} of {} stays as it is", page.display());
    let old = match std::fs::read_to_string(page) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read.with_context(|| page.display().to_string())?,
    };
    std::fs::write(page, replaced(&old, name, &text)).with_context(|| page.display().to_string())
}

/// The page with this text between the section's marks; at its end where it has none.
fn replaced(page: &str, name: &str, text: &str) -> String {
    let (begin, end) = (format!("<!-- {name} -->"), format!("<!-- /{name} -->"));
    let section = format!("{begin}\n{text}{end}");
    let marked = page.split_once(&begin).and_then(|(before, rest)| Some((before, rest.split_once(&end)?.1)));
    match marked {
        Some((before, after)) => format!("{before}{section}{after}"),
        None if page.is_empty() => format!("{section}\n"),
        None => format!("{}\n\n{section}\n", page.trim_end()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_keeps_what_is_around_a_section() {
        let page = replaced("# Title\n", "x", "one\n");
        assert_eq!(page, "# Title\n\n<!-- x -->\none\n<!-- /x -->\n");
        let again = replaced(&(page + "more\n"), "x", "two\n");
        assert_eq!(again, "# Title\n\n<!-- x -->\ntwo\n<!-- /x -->\nmore\n");
    }
}
