//! Where in a TOML file a setting is written, to point at what is wrong with its value. Good enough for messages; what it
//! does not find is told without a line.

/// The line, counted from one, of a setting such as `engines.vllm.program`; that of its section where it is not written.
pub(super) fn line_of(text: &str, setting: &str) -> Option<usize> {
    let mut section = String::new();
    let mut best = None;
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim();
        if let Some(header) = line.strip_prefix('[') {
            section = header.split(']').next().unwrap_or_default().replace(['[', '"', ' '], "");
            if setting == section {
                return Some(number);
            }
            if setting.strip_prefix(&section).is_some_and(|rest| rest.starts_with('.')) {
                best = Some(number);
            }
        } else if let Some((key, _)) = line.split_once('=') {
            let full = format!("{section}.{}", key.trim().replace('"', ""));
            if full.trim_start_matches('.') == setting {
                return Some(number);
            }
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setting_is_found_by_its_full_name() {
        let text = "top = 1\n[node]\nname = \"a\"\n\n[engines.\"x\"]\nprogram = \"p\"\n";
        assert_eq!(line_of(text, "top"), Some(1));
        assert_eq!(line_of(text, "node.name"), Some(3));
        assert_eq!(line_of(text, "engines.x"), Some(5));
        assert_eq!(line_of(text, "engines.x.program"), Some(6));
        assert_eq!(line_of(text, "engines.x.args"), Some(5), "its section");
        assert_eq!(line_of(text, "gateway.x"), None);
    }
}
