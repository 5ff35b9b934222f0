//! Sections of pages that programs write: between two marks, with the rest of the page left as it is.

use std::io;
use std::path::Path;

/// Puts a text into the page's section of this name, in place of the one it has; makes the page where there is none.
///
/// # Errors
/// When the page cannot be read or written.
pub fn put(page: &Path, name: &str, text: &str) -> io::Result<()> {
    let old = match std::fs::read_to_string(page) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
        read => read?,
    };
    std::fs::write(page, replaced(&old, name, text))
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
