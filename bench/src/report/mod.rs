//! Puts results into Markdown: the conditions, a summary beside nginx and the bars, and the details. Used by `bench all`,
//! for the screen and for the file alike.
//!
//! It only formats: what is a ratio or a difference is decided here, what is measured is not, and nothing is asserted.

mod format;
mod tables;

use crate::results::Results;
use anyhow::Context;
use std::fs;
use std::path::Path;

/// A Markdown table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
}

/// The whole page.
pub fn render(conditions: &[(String, String)], results: &Results) -> String {
    let mut page = String::from(
        "# Benchmarks\n\nWritten by `make bench`. All ways are measured in the same run against the same mock upstream, taking \
         turns; a request sent *direct* goes to the upstream without a proxy. Figures of another machine or another hour do not \
         compare; the ratios do. Processor time is that of the proxy's process tree, user and system together.\n\n",
    );
    let mut add = |title: &str, table: Table, note: &str| {
        if !table.rows.is_empty() {
            page.push_str(&format!("## {title}\n\n{}\n", table.markdown()));
            if !note.is_empty() {
                page.push_str(&format!("{note}\n\n"));
            }
        }
    };
    add("Summary", tables::summary(results), tables::SUMMARY_NOTE);
    add("Details", tables::details(results), tables::DETAILS_NOTE);
    add("Idle nodes", tables::idle(results), "");
    add("Failover", tables::failover(results), "As the chaos driver measured it, on real processes.");
    add(
        "Errors",
        tables::errors(results),
        "Requests without a complete answer; they are in no other figure.",
    );
    add("Conditions", tables::conditions(conditions), "");
    page.truncate(page.trim_end().len());
    page.push('\n');
    page
}

/// Writes the page, making the folder where it is missing.
pub fn write(file: &Path, page: &str) -> anyhow::Result<()> {
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    }
    fs::write(file, page).with_context(|| format!("write {}", file.display()))
}

impl Table {
    fn new<const N: usize>(header: [&str; N]) -> Table {
        Table { header: header.map(str::to_owned).to_vec(), rows: Vec::new() }
    }

    fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.to_vec());
    }

    /// Columns are padded, so that the source reads well too; the first is text, the others are aligned right.
    fn markdown(&self) -> String {
        let clean = |cell: &String| cell.replace('|', "\\|").replace('\n', " ");
        let lines: Vec<Vec<String>> = std::iter::once(&self.header)
            .chain(&self.rows)
            .map(|line| line.iter().map(clean).collect())
            .collect();
        let width = |column: usize| {
            lines
                .iter()
                .filter_map(|line| line.get(column))
                .map(|cell| cell.chars().count())
                .max()
                .unwrap_or(0)
                .max(3)
        };
        let widths: Vec<usize> = (0..self.header.len()).map(width).collect();
        let mut text = String::new();
        for (place, line) in lines.iter().enumerate() {
            let cells = line.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            });
            text.push_str(&format!("| {} |\n", cells.collect::<Vec<_>>().join(" | ")));
            if place == 0 {
                let rules = widths.iter().enumerate().map(|(column, width)| match column {
                    0 => "-".repeat(*width),
                    _ => format!("{}:", "-".repeat(width - 1)),
                });
                text.push_str(&format!("| {} |\n", rules.collect::<Vec<_>>().join(" | ")));
            }
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failover::Row;
    use crate::load::Tally;
    use crate::results::{Hop, Idle, Series, Via};
    use std::time::Duration;

    fn series(latency_us: u64, cpu_us: Option<u64>) -> Series {
        let mut tally = Tally { done: 100, elapsed: Duration::from_secs(1), ..Tally::default() };
        (0..100).for_each(|_| tally.latency.push(Duration::from_micros(latency_us)));
        let mut series = Series::default();
        series.add(tally, cpu_us.map(|us| Duration::from_micros(us * 100)));
        series
    }

    fn results() -> Results {
        let ways = |direct, nginx, llmhub| {
            [
                (Via::Direct, series(direct, None)),
                (Via::Nginx, series(nginx, Some(13))),
                (Via::Llmhub, series(llmhub, Some(20))),
            ]
            .into()
        };
        let mut hop = Hop { note: "the replica runs on b".to_owned(), ..Hop::default() };
        hop.host.push(Duration::from_micros(500));
        hop.other.push(Duration::from_micros(1200));
        Results {
            plain: ways(100, 150, 200),
            fixed: [(200, ways(100, 150, 200))].into(),
            streams: ways(20_000, 20_001, 20_002),
            first_event: ways(300, 350, 600),
            hop: Some(hop),
            idle: vec![Idle { node: "a".to_owned(), resident_bytes: 50 << 20, core_percent: 1.25 }],
            failover: vec![Row {
                scenario: "leader_killed".to_owned(),
                figure: "writes_resume_ms".to_owned(),
                value: "800".to_owned(),
                bar: "",
            }],
        }
    }

    /// The row that begins with the label, its cells trimmed.
    fn row(page: &str, label: &str) -> Vec<String> {
        let line = page.lines().find(|line| line.starts_with(&format!("| {label} "))).expect(label);
        line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()
    }

    #[test]
    fn the_summary_has_ratios_to_nginx_and_differences_to_direct() {
        let page = render(&[("cores".to_owned(), "2".to_owned())], &results());
        assert_eq!(
            row(&page, "plain: CPU per request")[1..],
            ["–", "13.0 µs", "20.0 µs", "1.54 ×", "≤ 2.5 ×"]
        );
        assert_eq!(
            row(&page, "200/s: p50 (proxies: added)")[1..],
            ["100 µs", "+50 µs", "+100 µs", "2.00 ×", ""]
        );
        assert_eq!(row(&page, "streams: CPU per event")[3..], ["20.0 µs", "1.54 ×", "≤ 2 ×"]);
        assert_eq!(
            row(&page, "first event via another node: added p50, in all")[3..],
            ["+1000 µs", "", "≤ 2 ms"]
        );
        assert_eq!(row(&page, "idle node: resident memory (worst)")[3..], ["50.0 MiB", "", "< 100 MiB"]);
        assert_eq!(row(&page, "leader_killed")[1..3], ["writes_resume_ms", "800"]);
        assert_eq!(row(&page, "cores")[1], "2");
        assert!(!page.contains("## Errors"), "{page}");
    }

    #[test]
    fn what_was_left_out_is_a_dash_or_missing() {
        let mut results = results();
        for per_via in [&mut results.plain, &mut results.streams, &mut results.first_event] {
            per_via.remove(&Via::Llmhub);
        }
        (results.hop, results.idle, results.failover) = (None, Vec::new(), Vec::new());
        let page = render(&[], &results);
        assert_eq!(row(&page, "plain: CPU per request")[1..], ["–", "13.0 µs", "–", "–", "≤ 2.5 ×"]);
        assert!(
            !page.contains("idle node") && !page.contains("## Failover") && !page.contains("another node"),
            "{page}"
        );
    }

    #[test]
    fn errors_are_shown_with_their_first_reason() {
        let mut results = results();
        let broken = results.plain.get_mut(&Via::Nginx).expect("nginx");
        broken.tally.fail(&anyhow::anyhow!("answered 502 | bad"));
        let page = render(&[], &results);
        assert!(page.contains("## Errors") && page.contains("answered 502 \\| bad"), "{page}");
    }

    #[test]
    fn an_empty_run_renders_without_tables() {
        assert!(!render(&[], &Results::default()).contains('|'));
    }

    #[test]
    fn columns_are_padded_and_pipes_are_escaped() {
        let mut table = Table::new(["a", "b"]);
        table.row(["x|y".to_owned(), "1".to_owned()]);
        assert_eq!(table.markdown(), "| a    |   b |\n| ---- | --: |\n| x\\|y |   1 |\n");
    }
}
