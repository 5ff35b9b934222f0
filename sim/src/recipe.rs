//! One run as a file: a seed, the whole scenario, and the check that it breaks, so that what a minimised run found can be
//! kept, read and repeated exactly. JSON; times are written as `"5300 ms"`. Written by the minimiser and read by
//! `sim replay --file` and `sim run --file`; nothing here runs anything.

use std::io;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::scenario::Scenario;

/// The form of the file; a file of another one is refused.
const FORMAT: u32 = 1;
/// What stands after a time.
const UNIT: &str = " ms";

/// One run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Recipe {
    /// The form of the file.
    pub format: u32,
    /// The seed.
    pub seed: u64,
    /// The check it breaks, when it was written because of that.
    pub breaks: Option<String>,
    /// All that happens.
    pub scenario: Scenario,
}

/// Why a file is no run.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It cannot be read.
    #[error("the file cannot be read: {0}")]
    Unreadable(#[from] io::Error),
    /// It has another shape.
    #[error("the file is no run of this simulator: {0}; minimise the seed again")]
    Malformed(#[from] serde_json::Error),
    /// Another simulator wrote it.
    #[error("the file has form {0}, this simulator reads {FORMAT}: minimise the seed again")]
    Foreign(u32),
}

impl Recipe {
    /// A run of this scenario under this seed.
    pub fn new(seed: u64, scenario: Scenario, breaks: Option<String>) -> Self {
        Self { format: FORMAT, seed, breaks, scenario }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is not there, or not one of this simulator's.
    pub fn read(path: &Path) -> Result<Self, Error> {
        Self::parse(&std::fs::read_to_string(path)?)
    }

    fn parse(text: &str) -> Result<Self, Error> {
        let value: Value = serde_json::from_str(text)?;
        let recipe: Self = serde_json::from_value(map(value, &spelled_out))?;
        if recipe.format == FORMAT { Ok(recipe) } else { Err(Error::Foreign(recipe.format)) }
    }

    /// Writes a file, and its folder where that is missing.
    ///
    /// # Errors
    /// When the disk does not take it.
    pub fn write(&self, path: &Path) -> Result<(), Error> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(path, self.text()? + "\n")?)
    }

    /// The file's text.
    ///
    /// # Errors
    /// Never with scenarios as they are: they are plain data.
    pub fn text(&self) -> Result<String, Error> {
        let value = map(serde_json::to_value(self)?, &short);
        Ok(lines(&value, 0))
    }
}

/// Replaces values from the inside outwards.
fn map(value: Value, change: &impl Fn(Value) -> Value) -> Value {
    let value = match value {
        Value::Array(items) => items.into_iter().map(|item| map(item, change)).collect(),
        Value::Object(fields) => {
            let fields = fields.into_iter().map(|(name, field)| (name, map(field, change)));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        plain => plain,
    };
    change(value)
}

/// A time as people write it.
fn short(value: Value) -> Value {
    let part = |name| value.get(name).and_then(Value::as_u64);
    let (Some(secs), Some(nanos), Some(2)) = (part("secs"), part("nanos"), value.as_object().map(Map::len))
    else {
        return value;
    };
    let time = Duration::new(secs, nanos as u32);
    let (millis, rest) = (time.as_millis(), time.subsec_nanos() % 1_000_000);
    let fraction = if rest == 0 { String::new() } else { format!(".{rest:06}") };
    Value::String(format!("{millis}{fraction}{UNIT}"))
}

/// A time as serde writes it.
fn spelled_out(value: Value) -> Value {
    let time = value.as_str().and_then(|text| text.strip_suffix(UNIT)).and_then(|number| {
        let (millis, fraction) = number.split_once('.').unwrap_or((number, "0"));
        let nanos: u32 = format!("{fraction:0<6}").parse().ok()?;
        Some(Duration::from_millis(millis.parse().ok()?) + Duration::from_nanos(nanos.into()))
    });
    time.map_or(value, |time| json!({ "secs": time.as_secs(), "nanos": time.subsec_nanos() }))
}

/// JSON with a line for each field of the outer objects and for each item of their lists: a step stays in one line.
fn lines(value: &Value, depth: usize) -> String {
    let (margin, inner) = ("  ".repeat(depth), "  ".repeat(depth + 1));
    let (open, close, parts) = match value {
        Value::Object(fields) if depth < 2 && !fields.is_empty() => {
            let part =
                |(name, field): (&String, &Value)| format!("{}: {}", json!(name), lines(field, depth + 1));
            ('{', '}', fields.iter().map(part).collect::<Vec<_>>())
        }
        Value::Array(items) if depth < 3 && items.iter().any(|i| i.is_array() || i.is_object()) => {
            ('[', ']', items.iter().map(Value::to_string).collect())
        }
        other => return other.to_string(),
    };
    format!("{open}\n{inner}{}\n{margin}{close}", parts.join(&format!(",\n{inner}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Fault, Who, ms};
    use crate::{scenario, swarm};

    #[test]
    fn a_run_reads_back_as_it_was_written() {
        let named = scenario::NAMES.iter().filter_map(|name| scenario::named(name));
        for scenario in (0..50).map(swarm::scenario).chain(named) {
            let recipe = Recipe::new(7, scenario, Some("one_leader".to_owned()));
            assert_eq!(Recipe::parse(&recipe.text().unwrap()).unwrap(), recipe);
        }
    }

    #[test]
    fn each_step_is_a_line_with_its_time() {
        let scenario = Scenario::nodes(3).at(ms(5_300), Fault::Pause(Who::Leader, ms(40)));
        let text = Recipe::new(1, scenario, None).text().unwrap();
        assert!(text.contains("\n      [\"5300 ms\",{\"Pause\":[\"Leader\",\"40 ms\"]}]\n"), "{text}");
    }

    #[test]
    fn a_time_keeps_its_nanoseconds() {
        let time = Duration::new(3, 1_000_020);
        let written = short(serde_json::to_value(time).unwrap());
        assert_eq!(written, "3001.000020 ms");
        assert_eq!(serde_json::from_value::<Duration>(spelled_out(written)).unwrap(), time);
    }

    #[test]
    fn a_file_of_another_form_is_refused() {
        let other = Recipe { format: 9, ..Recipe::new(1, Scenario::nodes(1), None) };
        assert!(matches!(Recipe::parse(&other.text().unwrap()), Err(Error::Foreign(9))));
        assert!(matches!(Recipe::parse("{}"), Err(Error::Malformed(_))));
    }
}
