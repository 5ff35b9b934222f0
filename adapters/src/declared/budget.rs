//! What filling a template may take: a template that goes through a list for each item of a list makes much of little.

use serde_json::Value;

use crate::call::Error;

/// Steps of one filling at most.
const STEPS_MAX: usize = 4_000_000;
/// Bytes of text that one filling copies at most.
const BYTES_MAX: usize = 512 * 1024 * 1024;

/// What one filling may still take.
#[derive(Debug)]
pub(super) struct Budget {
    steps: usize,
    bytes: usize,
}

impl Budget {
    pub(super) fn new() -> Self {
        Self { steps: STEPS_MAX, bytes: BYTES_MAX }
    }

    /// One step.
    pub(super) fn step(&mut self) -> Result<(), Error> {
        self.steps = self.steps.checked_sub(1).ok_or_else(spent)?;
        Ok(())
    }

    /// A text is copied.
    pub(super) fn bytes(&mut self, bytes: usize) -> Result<(), Error> {
        self.bytes = self.bytes.checked_sub(bytes).ok_or_else(spent)?;
        Ok(())
    }

    /// A value is copied.
    pub(super) fn copy(&mut self, value: &Value) -> Result<Value, Error> {
        self.weigh(value)?;
        Ok(value.clone())
    }

    fn weigh(&mut self, value: &Value) -> Result<(), Error> {
        self.step()?;
        match value {
            Value::String(text) => self.bytes(text.len()),
            Value::Array(list) => list.iter().try_for_each(|value| self.weigh(value)),
            Value::Object(map) => map.iter().try_for_each(|(name, value)| {
                self.bytes(name.len())?;
                self.weigh(value)
            }),
            Value::Null | Value::Bool(_) | Value::Number(_) => Ok(()),
        }
    }
}

fn spent() -> Error {
    Error::Target("its declaration makes too much of this question: make the template simpler".to_owned())
}
