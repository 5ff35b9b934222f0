//! The last lines an engine logged, kept in memory for the API and for a failure's reason. Bounded in lines and in bytes a
//! line; the engine's key is taken out before a line comes here.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Lines kept.
pub const LINES_MAX: usize = 200;
/// Bytes kept of a line.
pub const LINE_LEN_MAX: usize = 4096;
/// What stands where the engine's key stood.
const HIDDEN: &str = "[key]";

#[derive(Debug, Default)]
pub(super) struct LogRing {
    lines: Mutex<VecDeque<String>>,
}

impl LogRing {
    pub(super) fn push(&self, line: String) {
        let mut lines = self.lock();
        if lines.len() == LINES_MAX {
            lines.pop_front();
        }
        lines.push_back(line);
    }

    /// The last `count` lines, oldest first.
    pub(super) fn tail(&self, count: usize) -> Vec<String> {
        let lines = self.lock();
        lines.iter().skip(lines.len().saturating_sub(count)).cloned().collect()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<String>> {
        // A panic while it was held left whole lines behind: they are still good.
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A line as it may be kept: without the key, cut to its bound.
pub(super) fn clean(line: &str, key: &str) -> String {
    let mut line = if key.is_empty() { line.to_owned() } else { line.replace(key, HIDDEN) };
    if line.len() > LINE_LEN_MAX {
        let mut end = LINE_LEN_MAX;
        while !line.is_char_boundary(end) {
            end -= 1;
        }
        line.truncate(end);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_last_lines_are_kept() {
        let ring = LogRing::default();
        for n in 0..LINES_MAX + 5 {
            ring.push(n.to_string());
        }
        assert_eq!(ring.tail(2), ["203", "204"]);
        assert_eq!(ring.tail(usize::MAX).len(), LINES_MAX);
        assert_eq!(ring.tail(usize::MAX)[0], "5");
    }

    #[test]
    fn a_line_is_cut_and_never_shows_the_key() {
        assert_eq!(clean("started with --api-key s3cret", "s3cret"), "started with --api-key [key]");
        let long = "ü".repeat(LINE_LEN_MAX);
        assert!(clean(&long, "k").len() <= LINE_LEN_MAX);
    }
}
