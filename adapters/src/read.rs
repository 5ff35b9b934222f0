//! Reading a client's JSON field by field, so that what is wrong is told by its path and what was not read is known.

use std::fmt::Display;

use serde_json::{Map, Value};

use crate::call::Error;

/// A JSON object, of which fields are taken out one by one.
#[derive(Debug)]
pub(crate) struct Fields {
    at: String,
    map: Map<String, Value>,
}

impl Fields {
    /// The whole body.
    pub(crate) fn body(body: &[u8]) -> Result<Self, Error> {
        let value = serde_json::from_slice(body).map_err(|e| crate::call::json_error(body, &e))?;
        Self::of(value, "")
    }

    /// An object at this path.
    pub(crate) fn of(value: Value, at: impl Into<String>) -> Result<Self, Error> {
        let at = at.into();
        match value {
            Value::Object(map) => Ok(Self { at, map }),
            _ => Err(Error::field(at, "must be an object")),
        }
    }

    /// The path of a field of it.
    pub(crate) fn path(&self, name: impl Display) -> String {
        if self.at.is_empty() { name.to_string() } else { format!("{}.{name}", self.at) }
    }

    /// Takes a field; null is as good as none.
    pub(crate) fn take(&mut self, name: &str) -> Option<Value> {
        self.map.remove(name).filter(|value| !value.is_null())
    }

    /// A field that stays there; null is as good as none.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    /// Whether it has a field that is not null.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.map.get(name).is_some_and(|value| !value.is_null())
    }

    /// A text.
    pub(crate) fn text(&mut self, name: &str) -> Result<Option<String>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(self.wrong(name, "must be a string")),
        }
    }

    /// A text that must be there.
    pub(crate) fn need_text(&mut self, name: &str) -> Result<String, Error> {
        let text = self.text(name)?;
        text.ok_or_else(|| self.wrong(name, "is missing: it must be a string"))
    }

    /// A number.
    pub(crate) fn number(&mut self, name: &str) -> Result<Option<f64>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_f64().map(Some).ok_or_else(|| self.wrong(name, "must be a number"))
    }

    /// A number of this range, both ends included.
    pub(crate) fn number_in(&mut self, name: &str, min: f64, max: f64) -> Result<Option<f64>, Error> {
        match self.number(name)? {
            Some(number) if !(min..=max).contains(&number) => {
                Err(self.wrong(name, format!("must be from {min} to {max}")))
            }
            number => Ok(number),
        }
    }

    /// A whole number, not negative.
    pub(crate) fn count(&mut self, name: &str) -> Result<Option<u64>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_u64().map(Some).ok_or_else(|| self.wrong(name, "must be a whole number, not negative"))
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, name: &str) -> Result<Option<i64>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_i64().map(Some).ok_or_else(|| self.wrong(name, "must be a whole number"))
    }

    /// Yes or no.
    pub(crate) fn flag(&mut self, name: &str) -> Result<Option<bool>, Error> {
        let Some(value) = self.take(name) else { return Ok(None) };
        value.as_bool().map(Some).ok_or_else(|| self.wrong(name, "must be true or false"))
    }

    /// A list.
    pub(crate) fn list(&mut self, name: &str) -> Result<Option<Vec<Value>>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(Value::Array(list)) => Ok(Some(list)),
            Some(_) => Err(self.wrong(name, "must be a list")),
        }
    }

    /// An object.
    pub(crate) fn object(&mut self, name: &str) -> Result<Option<Fields>, Error> {
        let at = self.path(name);
        self.take(name).map(|value| Fields::of(value, at)).transpose()
    }

    /// An object, as it is.
    pub(crate) fn object_value(&mut self, name: &str) -> Result<Option<Value>, Error> {
        match self.take(name) {
            None => Ok(None),
            Some(value @ Value::Object(_)) => Ok(Some(value)),
            Some(_) => Err(self.wrong(name, "must be an object")),
        }
    }

    /// A text, or a list of texts.
    pub(crate) fn texts(&mut self, name: &str) -> Result<Vec<String>, Error> {
        match self.take(name) {
            None => Ok(Vec::new()),
            Some(Value::String(text)) => Ok(vec![text]),
            Some(Value::Array(list)) => {
                let texts = list.into_iter().map(|value| match value {
                    Value::String(text) => Ok(text),
                    _ => Err(self.wrong(name, "must be a string or a list of strings")),
                });
                texts.collect()
            }
            Some(_) => Err(self.wrong(name, "must be a string or a list of strings")),
        }
    }

    /// That a field is wrong.
    pub(crate) fn wrong(&self, name: impl Display, hint: impl Into<String>) -> Error {
        Error::field(self.path(name), hint.into())
    }

    /// What was not taken and is not null, by path.
    pub(crate) fn rest(self) -> Vec<(String, Value)> {
        let Self { at, map } = self;
        let path = |name: String| if at.is_empty() { name } else { format!("{at}.{name}") };
        map.into_iter()
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (path(name), value))
            .collect()
    }
}
