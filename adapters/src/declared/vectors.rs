//! Embeddings, by paths.

use serde_json::Value;

use super::Wrong;
use super::declaration;
use super::errors::Faults;
use super::path::{First, Path, count};
use super::reading::UsageReader;
use crate::dialect::Refusal;
use crate::embed::Answer;
use crate::openai;

/// How vectors are read.
#[derive(Debug)]
pub(super) enum Vectors {
    Openai,
    Paths { list: Path, vector: Option<Path>, index: Option<Path>, model: First, usage: Box<UsageReader> },
}

impl Vectors {
    pub(super) fn new(said: &declaration::Vectors, at: &str) -> Result<Self, Wrong> {
        let declaration::Vectors::Paths { list, vector, index, model, usage } = said else {
            return Ok(Vectors::Openai);
        };
        let path = |text: &String, name: &str| Path::parse(text, &format!("{at}.paths.{name}"));
        Ok(Vectors::Paths {
            list: path(list, "list")?,
            vector: vector.as_ref().map(|text| path(text, "vector")).transpose()?,
            index: index.as_ref().map(|text| path(text, "index")).transpose()?,
            model: First::parse(model, &format!("{at}.paths.model"))?,
            usage: Box::new(UsageReader::new(usage, &format!("{at}.paths.usage"))?),
        })
    }

    /// The vectors, in the order of the texts.
    ///
    /// # Errors
    /// When it is an error that came as a success, or is not what the declaration says.
    pub(super) fn read(&self, body: &[u8], faults: &Faults) -> Result<Answer, Refusal> {
        let root: Value = serde_json::from_slice(body)
            .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
        if let Some(refusal) = faults.found(&root) {
            return Err(refusal);
        }
        let Vectors::Paths { list, vector, index, model, usage } = self else {
            return openai::embedded(body);
        };
        let Some(rows) = list.first(&root, &root).and_then(Value::as_array) else {
            let told = faults.told(&root, None);
            return Err(told.unwrap_or_else(|| Refusal::nonsense(&format!("it has no `{}`", list.text()))));
        };
        let mut out: Vec<(u64, Vec<f32>)> = Vec::with_capacity(rows.len());
        for (n, row) in rows.iter().enumerate() {
            let numbers = vector.as_ref().map_or(Some(row), |path| path.first(row, &root));
            let numbers = numbers.and_then(Value::as_array).and_then(|numbers| {
                let numbers = numbers.iter().map(|number| number.as_f64().map(|number| number as f32));
                numbers.collect::<Option<Vec<f32>>>()
            });
            let numbers = numbers.ok_or_else(|| Refusal::nonsense("a vector is no list of numbers"))?;
            let place = index.as_ref().and_then(|path| path.first(row, &root)).and_then(count);
            out.push((place.unwrap_or(n as u64), numbers));
        }
        out.sort_by_key(|(index, _)| *index);
        Ok(Answer {
            model: model.word(&root, &root).unwrap_or_default(),
            vectors: out.into_iter().map(|(_, vector)| vector).collect(),
            usage: usage.read(&root),
        })
    }
}
