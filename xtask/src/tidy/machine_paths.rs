//! Rule: no file names a folder of the machine on which it was written. Holds for every text file, comments included.

use std::path::Path;

use super::Finding;

const RULE: &str = "machine-paths";

/// Beginnings of such paths, in two halves, so that this file passes its own rule.
const BEGINNINGS: &[(&str, &str)] =
    &[("/wo", "rk/"), ("/tmp/ba", "sh_jobs"), ("/ro", "ot/."), ("/tmp/con", "tract")];

pub(crate) fn check(path: &Path, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let found =
            BEGINNINGS.iter().map(|(a, b)| format!("{a}{b}")).find(|beginning| begins_path(line, beginning));
        if let Some(beginning) = found {
            let message =
                format!("{beginning} exists on one machine only: take the path as an argument or from $HOME");
            findings.push(Finding { path: path.to_path_buf(), line: number, rule: RULE, message });
        }
    }
    findings
}

/// Whether an absolute path in this line begins so; `a/work/` is relative and `/a/work/` begins otherwise.
fn begins_path(line: &str, beginning: &str) -> bool {
    line.match_indices(beginning).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        !before.is_some_and(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '}' | ')' | '/'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings(text: &str) -> usize {
        check(Path::new("README.md"), text).len()
    }

    #[test]
    fn relative_paths_and_interfaces_pass() {
        assert_eq!(findings("see docs/work/a.md and GET /v1/work/7"), 0);
    }

    #[test]
    fn a_folder_of_one_machine_does_not() {
        assert_eq!(findings(&format!("cd {}{}main", "/wo", "rk/")), 1);
        assert_eq!(findings(&format!("a\n\"{}{}.1/a\"", "/tmp/ba", "sh_jobs")), 1);
    }
}
