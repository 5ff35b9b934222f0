//! Reads the figures that the chaos driver wrote (`--chaos-report FILE`) so that one page holds all of them.
//!
//! It knows no field by name: every number or short text in the file becomes a row, labelled by the way that leads to it. It
//! never judges them.

use anyhow::Context;
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Rows taken at most.
pub const ROWS_MAX: usize = 100;
const TEXT_CHARS_MAX: usize = 120;

/// Reads the file into rows of label and value.
pub fn read(file: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let text = fs::read(file).with_context(|| format!("read the chaos report {}", file.display()))?;
    let value = serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", file.display()))?;
    Ok(rows(&value))
}

/// The leaves of the document in their order. An element of a list is called by its `name` or `scenario`, else by its place.
pub fn rows(value: &Value) -> Vec<(String, String)> {
    let mut found = Vec::new();
    walk(value, "", &mut found);
    found
}

fn walk(value: &Value, label: &str, found: &mut Vec<(String, String)>) {
    let below = |name: &str| if label.is_empty() { name.to_owned() } else { format!("{label} · {name}") };
    match value {
        _ if found.len() >= ROWS_MAX => {}
        Value::Object(fields) => {
            for (name, field) in fields.iter().filter(|(name, _)| !is_name(name)) {
                walk(field, &below(name), found);
            }
        }
        Value::Array(items) => {
            for (place, item) in items.iter().enumerate() {
                let name = ["name", "scenario"].iter().find_map(|field| item.get(field)?.as_str());
                walk(item, &below(name.unwrap_or(&(place + 1).to_string())), found);
            }
        }
        Value::String(text) if text.chars().count() <= TEXT_CHARS_MAX => {
            found.push((label.to_owned(), text.clone()))
        }
        Value::Number(_) | Value::Bool(_) => found.push((label.to_owned(), value.to_string())),
        Value::String(_) | Value::Null => {}
    }
}

fn is_name(field: &str) -> bool {
    matches!(field, "name" | "scenario")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn figures_are_labelled_by_scenario_and_field() {
        let report = json!({
            "date": "2026-01-02",
            "scenarios": [
                { "name": "leader_killed", "figures": { "writes_resume_ms": 812, "lost": 0 } },
                { "rerouted_ms": 700.5, "passed": true, "log": null },
            ],
        });
        let row = |label: &str, value: &str| (label.to_owned(), value.to_owned());
        let expected = [
            row("date", "2026-01-02"),
            row("scenarios · leader_killed · figures · writes_resume_ms", "812"),
            row("scenarios · leader_killed · figures · lost", "0"),
            row("scenarios · 2 · rerouted_ms", "700.5"),
            row("scenarios · 2 · passed", "true"),
        ];
        assert_eq!(rows(&report), expected);
    }

    #[test]
    fn a_huge_report_is_cut() {
        assert_eq!(rows(&json!(vec![1; 10 * ROWS_MAX])).len(), ROWS_MAX);
    }
}
