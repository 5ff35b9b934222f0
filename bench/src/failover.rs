//! Reads the figures that the chaos driver wrote (`--chaos-report FILE`), so that one page holds all of them beside their
//! bars. It never judges them.

use anyhow::Context;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::fs;
use std::path::Path;

/// Rows taken of one file at most.
const ROWS_MAX: usize = 200;

/// What LLMHub is held to: scenario, figure, bar.
const BARS: &[(&str, &str, &str)] = &[
    ("replica_host_killed_mid_stream", "routers_settled_ms", "≤ 2000"),
    ("replica_host_killed_mid_stream", "model_answers_again_ms", "≤ 15000 and its load time"),
    ("leader_killed", "writes_resume_ms", "≤ 3000"),
    ("zone_lost_100", "routers_settled_ms", "≤ 2000"),
    ("zone_lost_100", "replicas_ready_elsewhere_ms", "≤ 15000"),
    ("zone_lost_100", "healthy_replicas_moved", "0"),
    ("node_paused", "healthy_replicas_moved", "0"),
];

/// One figure of one scenario.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// The scenario, and with how many replicas.
    pub scenario: String,
    /// The figure's name, which says its unit.
    pub figure: String,
    /// Its value.
    pub value: String,
    /// What it is held to; empty where there is nothing.
    pub bar: &'static str,
}

#[derive(Deserialize)]
struct Report {
    engine: String,
    scenarios: Vec<Scenario>,
}

#[derive(Deserialize)]
struct Scenario {
    name: String,
    replicas: Option<u32>,
    passed: bool,
    figures: Map<String, Value>,
}

/// Reads a file.
pub fn read(file: &Path) -> anyhow::Result<Vec<Row>> {
    let text = fs::read(file).with_context(|| format!("read the chaos report {}", file.display()))?;
    let report = serde_json::from_slice(&text);
    let report = report.with_context(|| format!("{} is no report of `chaos run`", file.display()))?;
    Ok(rows(report))
}

fn rows(report: Report) -> Vec<Row> {
    let mut rows = Vec::new();
    for Scenario { name, replicas, passed, figures } in report.scenarios {
        let of = replicas.map_or_else(String::new, |n| format!(", replicas: {n} ({})", report.engine));
        let scenario = format!("{name}{of}");
        let mut add = |figure: String, value: String| {
            let bar = BARS.iter().find(|(of, what, _)| name.starts_with(of) && *what == figure);
            rows.push(Row {
                scenario: scenario.clone(),
                figure,
                value,
                bar: bar.map_or("", |(.., bar)| bar),
            });
        };
        add("passed".to_owned(), passed.to_string());
        figures.into_iter().for_each(|(figure, value)| add(figure, value.to_string()));
    }
    rows.truncate(ROWS_MAX);
    rows
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_stand_beside_their_scenario_and_bar() {
        let report = json!({
            "engine": "mock",
            "cores": 2,
            "scenarios": [
                { "name": "leader_killed", "passed": true, "figures": { "writes_resume_ms": 812 } },
                { "name": "other", "replicas": 2, "passed": false, "figures": { "writes_resume_ms": 1 } },
            ],
        });
        let row = |scenario: &str, figure: &str, value: &str, bar| Row {
            scenario: scenario.to_owned(),
            figure: figure.to_owned(),
            value: value.to_owned(),
            bar,
        };
        let expected = [
            row("leader_killed", "passed", "true", ""),
            row("leader_killed", "writes_resume_ms", "812", "≤ 3000"),
            row("other, replicas: 2 (mock)", "passed", "false", ""),
            row("other, replicas: 2 (mock)", "writes_resume_ms", "1", ""),
        ];
        assert_eq!(rows(serde_json::from_value(report).unwrap()), expected);
    }
}
