//! Templates: JSON in which `${…}` stands for what the question holds, and objects with a `$` choose, repeat and bound. A
//! value that the question does not have is left out, with the field that it would be in; an object or a list of which
//! nothing is left is left out as well. A template has no loops but those over the question's lists, so that each ends.

use serde_json::{Map, Value};

use super::budget::Budget;
use super::compile::Reference;
use crate::call::{Error, Unsaid};

/// A template that was understood.
#[derive(Debug)]
pub(super) enum Node {
    /// As it is.
    Fixed(Value),
    /// A value of the question.
    Of(Reference),
    /// A text with values in it.
    Text(Vec<Piece>),
    /// A list.
    List(Vec<Node>),
    /// An object.
    Object(Vec<(String, Node)>),
    /// The same for everything in a list.
    Each(Reference, Box<Node>),
    /// One of several, by a word.
    Case { of: Reference, by: Vec<(String, Node)>, otherwise: Option<Box<Node>> },
    /// Depends on whether something is there, and not false or empty.
    If { is: Reference, then: Box<Node>, otherwise: Option<Box<Node>> },
    /// A number, set to the nearest inside.
    Clamp(Reference, f64, f64),
    /// A value that is refused outside: a number by itself, a list or a text by its length.
    Within(Reference, f64, f64),
    /// JSON out of a text.
    Parse(Reference),
    /// JSON as a text.
    AsText(Box<Node>),
    /// The first that is there.
    First(Vec<Node>),
    /// Several lists as one.
    Concat(Vec<Node>),
    /// Refuses the question: the provider has no word for this field.
    Refuse(String),
}

/// A piece of a text.
#[derive(Debug)]
pub(super) enum Piece {
    /// As it is.
    Fixed(String),
    /// A value of the question.
    Of(Reference),
}

/// What a template is filled from.
pub(super) struct Filling<'a> {
    /// The question.
    pub(super) root: &'a Value,
    /// The dialect's name, for refusals.
    pub(super) dialect: &'a str,
    /// What it may still take.
    pub(super) budget: Budget,
}

impl Filling<'_> {
    /// What a template makes of the question; `None` if nothing is left of it.
    ///
    /// # Errors
    /// When the question holds what the template cannot say, or makes too much of it.
    pub(super) fn fill(&mut self, node: &Node, bound: &mut Vec<Value>) -> Result<Option<Value>, Error> {
        self.budget.step()?;
        Ok(match node {
            Node::Fixed(value) => Some(self.budget.copy(value)?),
            Node::Of(of) => {
                let value = of.find(self.root, bound);
                value.map(|value| self.budget.copy(value)).transpose()?
            }
            Node::Text(pieces) => self.text(pieces, bound)?.map(Value::String),
            Node::List(nodes) => self.list(nodes, bound)?,
            Node::Object(fields) => self.object(fields, bound)?,
            Node::Each(of, each) => self.each(of, each, bound)?,
            Node::Case { of, by, otherwise } => {
                let Some(word) = of.find(self.root, bound).and_then(super::path::word) else {
                    return Ok(None);
                };
                let chosen = by.iter().find(|(known, _)| *known == word).map(|(_, node)| node);
                match chosen.or(otherwise.as_deref()) {
                    Some(node) => self.fill(node, bound)?,
                    None => return Err(self.unsaid(of)),
                }
            }
            Node::If { is, then, otherwise } => {
                let there = is.find(self.root, bound).is_some_and(is_something);
                match if there { Some(&**then) } else { otherwise.as_deref() } {
                    Some(node) => self.fill(node, bound)?,
                    None => None,
                }
            }
            Node::Clamp(of, min, max) => {
                let Some(value) = of.find(self.root, bound) else { return Ok(None) };
                Some(clamped(value, *min, *max).ok_or_else(|| self.unsaid(of))?)
            }
            Node::Within(of, min, max) => {
                let Some(value) = of.find(self.root, bound) else { return Ok(None) };
                if !size(value).is_some_and(|size| (*min..=*max).contains(&size)) {
                    return Err(self.unsaid(of));
                }
                Some(self.budget.copy(value)?)
            }
            Node::Parse(of) => self.parse(of, bound)?,
            Node::AsText(node) => {
                let value = self.fill(node, bound)?;
                value.map(|value| Value::String(value.to_string()))
            }
            Node::First(nodes) => {
                for node in nodes {
                    if let Some(value) = self.fill(node, bound)? {
                        return Ok(Some(value));
                    }
                }
                None
            }
            Node::Concat(nodes) => self.concat(nodes, bound)?,
            Node::Refuse(field) => return Err(Error::unsaid(field.clone(), self.dialect)),
        })
    }

    fn list(&mut self, nodes: &[Node], bound: &mut Vec<Value>) -> Result<Option<Value>, Error> {
        let mut out = Vec::with_capacity(nodes.len());
        for node in nodes {
            out.extend(self.fill(node, bound)?);
        }
        Ok((!out.is_empty()).then_some(Value::Array(out)))
    }

    fn object(&mut self, fields: &[(String, Node)], bound: &mut Vec<Value>) -> Result<Option<Value>, Error> {
        let mut out = Map::new();
        for (name, node) in fields {
            if let Some(value) = self.fill(node, bound)? {
                out.insert(name.clone(), value);
            }
        }
        Ok((!out.is_empty()).then_some(Value::Object(out)))
    }

    fn each(&mut self, of: &Reference, each: &Node, bound: &mut Vec<Value>) -> Result<Option<Value>, Error> {
        let Some(Value::Array(list)) = of.find(self.root, bound) else { return Ok(None) };
        let mut items = Vec::with_capacity(list.len());
        for item in list {
            items.push(self.budget.copy(item)?);
        }
        let mut out = Vec::with_capacity(items.len());
        for item in items {
            bound.push(item);
            let made = self.fill(each, bound);
            bound.pop();
            out.extend(made?);
        }
        Ok((!out.is_empty()).then_some(Value::Array(out)))
    }

    fn text(&mut self, pieces: &[Piece], bound: &[Value]) -> Result<Option<String>, Error> {
        let mut out = String::new();
        for piece in pieces {
            match piece {
                Piece::Fixed(text) => out.push_str(text),
                Piece::Of(of) => {
                    let value = of.find(self.root, bound);
                    let Some(word) = value.and_then(super::path::word) else { return Ok(None) };
                    self.budget.bytes(word.len())?;
                    out.push_str(&word);
                }
            }
        }
        Ok(Some(out))
    }

    fn parse(&mut self, of: &Reference, bound: &[Value]) -> Result<Option<Value>, Error> {
        let Some(Value::String(text)) = of.find(self.root, bound) else { return Ok(None) };
        self.budget.bytes(text.len())?;
        if text.trim().is_empty() {
            return Ok(Some(Value::Object(Map::new())));
        }
        match serde_json::from_str(text) {
            Ok(value) => Ok(Some(value)),
            Err(error) => Err(Error::field(of.param().to_owned(), format!("is not valid JSON: {error}"))),
        }
    }

    fn concat(&mut self, nodes: &[Node], bound: &mut Vec<Value>) -> Result<Option<Value>, Error> {
        let mut out = Vec::new();
        for node in nodes {
            match self.fill(node, bound)? {
                Some(Value::Array(list)) => out.extend(list),
                other => out.extend(other),
            }
        }
        Ok((!out.is_empty()).then_some(Value::Array(out)))
    }

    fn unsaid(&self, of: &Reference) -> Error {
        let what = of.feature().map_or_else(|| Unsaid::Field(of.param().to_owned()), Unsaid::Feature);
        Error::Unsaid { what, dialect: self.dialect.to_owned().into() }
    }
}

/// Whether it is neither false nor empty.
fn is_something(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => false,
        Value::Bool(true) | Value::Number(_) => true,
        Value::String(text) => !text.is_empty(),
        Value::Array(list) => !list.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// A number, set to the nearest inside; a whole one stays whole where the bound is.
pub(super) fn clamped(value: &Value, min: f64, max: f64) -> Option<Value> {
    let number = value.as_f64()?;
    let nearest = number.clamp(min, max);
    if nearest == number {
        return Some(value.clone());
    }
    let whole = !value.is_f64() && nearest.fract() == 0.0 && nearest.abs() < 9e15;
    Some(if whole { (nearest as i64).into() } else { nearest.into() })
}

fn size(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::Array(list) => Some(list.len() as f64),
        Value::String(text) => Some(text.chars().count() as f64),
        _ => None,
    }
}
