//! Understanding templates: every reference is held against what a question has, every form against what forms there are.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::Wrong;
use super::holes::{Hole, holes};
use super::shape::Shape;
use super::template::{Node, Piece};
use crate::chat::Feature;

/// How deep a template may be.
const DEPTH_MAX: usize = 24;
/// How many parts a template may have.
const NODES_MAX: usize = 4_096;
/// How many lists deep `$each` may go.
const EACH_MAX: usize = 4;

/// A place in the question.
#[derive(Debug, Clone)]
pub(super) struct Reference {
    /// Which of the lists that are gone through it starts in; `None` for the question itself.
    bound: Option<usize>,
    steps: Vec<String>,
    /// What a client calls it, as far as that is known.
    param: String,
}

impl Reference {
    /// What is there.
    pub(super) fn find<'v>(&self, root: &'v Value, bound: &'v [Value]) -> Option<&'v Value> {
        let mut here = match self.bound {
            None => root,
            Some(at) => bound.get(at)?,
        };
        for step in &self.steps {
            here = here.get(step.as_str())?;
        }
        (!here.is_null()).then_some(here)
    }

    /// What a client calls it.
    pub(super) fn param(&self) -> &str {
        &self.param
    }

    /// The feature it is a word for.
    pub(super) fn feature(&self) -> Option<Feature> {
        if self.bound.is_some() {
            return None;
        }
        match self.steps.first()?.as_str() {
            "format" => Some(Feature::JsonSchema),
            "parallel_tools" => Some(Feature::SingleTool),
            "top_logprobs" => Some(Feature::Logprobs),
            name => Feature::named(name),
        }
    }
}

/// A list that is gone through: the name of its items, what they are, and what a client calls them.
struct Bound {
    name: String,
    shape: &'static Shape,
    param: String,
}

/// Understands templates of one kind of question.
pub(super) struct Compiler<'d> {
    root: &'static Shape,
    options: &'d dyn Fn(&str) -> bool,
    bound: Vec<Bound>,
    nodes: usize,
    /// Every name that a reference goes through.
    pub(super) mentions: BTreeSet<String>,
}

impl<'d> Compiler<'d> {
    /// For questions of this shape; `options` knows the names of the target's options.
    pub(super) fn new(root: &'static Shape, options: &'d dyn Fn(&str) -> bool) -> Self {
        Self { root, options, bound: Vec::new(), nodes: 0, mentions: BTreeSet::new() }
    }

    /// Understands a template; `at` is where it stands in the declaration.
    pub(super) fn node(&mut self, value: &Value, at: &str, depth: usize) -> Result<Node, Wrong> {
        self.nodes += 1;
        if self.nodes > NODES_MAX {
            return Err(Wrong::new(at, "is one part too many: a template may have 4096"));
        }
        if depth > DEPTH_MAX {
            return Err(Wrong::new(at, "lies too deep: a template may have 24 levels"));
        }
        match value {
            Value::String(text) => self.text(text, at),
            // Left out, always.
            Value::Null => Ok(Node::First(Vec::new())),
            Value::Array(list) if list.is_empty() => Ok(Node::Fixed(value.clone())),
            Value::Array(_) => Ok(Node::List(self.nodes(value, at, depth)?)),
            Value::Object(map) if map.keys().any(|key| key.starts_with('$')) => self.form(map, at, depth),
            Value::Object(map) if map.is_empty() => Ok(Node::Fixed(value.clone())),
            Value::Object(map) => {
                let fields = map.iter().map(|(name, value)| {
                    Ok((name.clone(), self.node(value, &format!("{at}.{name}"), depth + 1)?))
                });
                Ok(Node::Object(fields.collect::<Result<_, Wrong>>()?))
            }
            other => Ok(Node::Fixed(other.clone())),
        }
    }

    fn nodes(&mut self, value: &Value, at: &str, depth: usize) -> Result<Vec<Node>, Wrong> {
        let list = value.as_array().ok_or_else(|| Wrong::new(at, "must be a list"))?;
        let nodes = list.iter().enumerate();
        nodes.map(|(n, value)| self.node(value, &format!("{at}[{n}]"), depth + 1)).collect()
    }

    /// A text: a value alone keeps its type.
    fn text(&mut self, text: &str, at: &str) -> Result<Node, Wrong> {
        let holes = holes(text).map_err(|hint| Wrong::new(at, hint))?;
        if let [Hole::Name(name)] = holes.as_slice() {
            return Ok(Node::Of(self.reference(name, at)?.0));
        }
        let mut pieces = Vec::with_capacity(holes.len());
        for hole in holes {
            pieces.push(match hole {
                Hole::Fixed(text) => Piece::Fixed(text),
                Hole::Name(name) => Piece::Of(self.leaf(&name, at)?),
            });
        }
        Ok(match pieces.as_slice() {
            [] => Node::Fixed("".into()),
            [Piece::Fixed(text)] => Node::Fixed(text.as_str().into()),
            _ => Node::Text(pieces),
        })
    }

    fn leaf(&mut self, name: &str, at: &str) -> Result<Reference, Wrong> {
        match self.reference(name, at)? {
            (reference, Shape::Leaf) => Ok(reference),
            _ => Err(Wrong::new(at, format!("`{name}` is no text, number or truth: it cannot stand here"))),
        }
    }

    fn reference(&mut self, name: &str, at: &str) -> Result<(Reference, &'static Shape), Wrong> {
        let mut steps = name.split('.').map(str::to_owned).collect::<Vec<_>>();
        let bound = self.bound.iter().rposition(|bound| bound.name == steps[0]);
        let (mut shape, mut param) = match bound {
            Some(n) => {
                steps.remove(0);
                (self.bound[n].shape, self.bound[n].param.clone())
            }
            None => (self.root, String::new()),
        };
        for step in &steps {
            let field = shape.field(step);
            shape = field.map_err(|hint| Wrong::new(at, format!("`{name}` leads nowhere: {hint}")))?;
            self.mentions.insert(step.clone());
            param = if param.is_empty() { step.clone() } else { format!("{param}.{step}") };
        }
        if let ["option", option] = steps.iter().map(String::as_str).collect::<Vec<_>>().as_slice()
            && bound.is_none()
            && !(self.options)(option)
        {
            return Err(Wrong::new(at, format!("there is no option `{option}`: declare it in options")));
        }
        Ok((Reference { bound, steps, param: client_word(param) }, shape))
    }

    /// An object with a `$`.
    fn form(&mut self, map: &Map<String, Value>, at: &str, depth: usize) -> Result<Node, Wrong> {
        let known: &[(&str, &[&str])] = &[
            ("$each", &["as", "do"]),
            ("$case", &["of", "else"]),
            ("$if", &["then", "else"]),
            ("$clamp", &["min", "max"]),
            ("$within", &["min", "max"]),
            ("$parse", &[]),
            ("$text", &[]),
            ("$first", &[]),
            ("$concat", &[]),
            ("$refuse", &[]),
        ];
        let found = known.iter().find(|(name, _)| map.contains_key(*name));
        let Some((name, fields)) = found else {
            let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
            return Err(Wrong::new(at, format!("has no such form: there are {}", names.join(", "))));
        };
        if let Some(key) = map.keys().find(|key| key != name && !fields.contains(&key.as_str())) {
            let hint = format!("cannot stand beside {name}, which takes {fields:?}");
            return Err(Wrong::new(format!("{at}.{key}"), hint));
        }
        let (of, at_of) = (&map[*name], format!("{at}.{name}"));
        let word = || of.as_str().ok_or_else(|| Wrong::new(&at_of, "must be a text"));
        match *name {
            "$each" => self.each(map, word()?, at, depth),
            "$case" => self.case(map, word()?, at, depth),
            "$if" => Ok(Node::If {
                is: self.reference(word()?, &at_of)?.0,
                then: self.branch(map, "then", at, depth)?.ok_or_else(|| missing(at, "then"))?,
                otherwise: self.branch(map, "else", at, depth)?,
            }),
            "$clamp" | "$within" => {
                let (min, max) = bounds(map, at)?;
                let (of, shape) = self.reference(word()?, &at_of)?;
                match (*name, shape) {
                    ("$clamp", Shape::Leaf) => Ok(Node::Clamp(of, min, max)),
                    ("$within", Shape::Leaf | Shape::List(_)) => Ok(Node::Within(of, min, max)),
                    _ => Err(Wrong::new(at_of, "cannot be bounded")),
                }
            }
            "$parse" => Ok(Node::Parse(self.leaf(word()?, &at_of)?)),
            "$text" => Ok(Node::AsText(Box::new(self.node(of, &at_of, depth + 1)?))),
            "$first" => Ok(Node::First(self.nodes(of, &at_of, depth)?)),
            "$concat" => Ok(Node::Concat(self.nodes(of, &at_of, depth)?)),
            _ => Ok(Node::Refuse(word()?.to_owned())),
        }
    }

    fn each(&mut self, map: &Map<String, Value>, of: &str, at: &str, depth: usize) -> Result<Node, Wrong> {
        let (of, shape) = self.reference(of, &format!("{at}.$each"))?;
        let Shape::List(shape) = shape else {
            return Err(Wrong::new(format!("{at}.$each"), "is no list"));
        };
        if self.bound.len() >= EACH_MAX {
            return Err(Wrong::new(at, "goes through a list in four lists: that is too deep"));
        }
        let name = match map.get("as") {
            None => "item",
            Some(Value::String(name)) if !name.is_empty() && !name.contains('.') => name,
            Some(_) => return Err(Wrong::new(format!("{at}.as"), "must be a name without dots")),
        };
        self.bound.push(Bound { name: name.to_owned(), shape, param: of.param.clone() });
        let each = self.branch(map, "do", at, depth);
        self.bound.pop();
        Ok(Node::Each(of, each?.ok_or_else(|| missing(at, "do"))?))
    }

    fn case(&mut self, map: &Map<String, Value>, of: &str, at: &str, depth: usize) -> Result<Node, Wrong> {
        let of = self.leaf(of, &format!("{at}.$case"))?;
        let Some(Value::Object(by)) = map.get("of") else {
            return Err(Wrong::new(format!("{at}.of"), "must be an object: what each word becomes"));
        };
        let by = by.iter().map(|(word, value)| {
            Ok((word.clone(), self.node(value, &format!("{at}.of.{word}"), depth + 1)?))
        });
        let by = by.collect::<Result<_, Wrong>>()?;
        Ok(Node::Case { of, by, otherwise: self.branch(map, "else", at, depth)? })
    }

    fn branch(
        &mut self,
        map: &Map<String, Value>,
        name: &str,
        at: &str,
        depth: usize,
    ) -> Result<Option<Box<Node>>, Wrong> {
        let Some(value) = map.get(name) else { return Ok(None) };
        Ok(Some(Box::new(self.node(value, &format!("{at}.{name}"), depth + 1)?)))
    }
}

fn missing(at: &str, name: &str) -> Wrong {
    Wrong::new(format!("{at}.{name}"), "is missing")
}

/// Both bounds of a number.
fn bounds(map: &Map<String, Value>, at: &str) -> Result<(f64, f64), Wrong> {
    let number = |name: &str, otherwise: f64| match map.get(name) {
        None => Ok(otherwise),
        Some(value) => value.as_f64().ok_or_else(|| Wrong::new(format!("{at}.{name}"), "must be a number")),
    };
    let (min, max) = (number("min", f64::MIN)?, number("max", f64::MAX)?);
    if min > max {
        return Err(Wrong::new(format!("{at}.min"), "is larger than max"));
    }
    Ok((min, max))
}

/// What OpenAI's clients call a place in the question.
fn client_word(path: String) -> String {
    match path.replace("turns", "messages").replace(".parts.kind", ".content").as_str() {
        "messages.speaker" => "messages.name".to_owned(),
        "messages.calls.arguments" => "messages.tool_calls.function.arguments".to_owned(),
        "choices" => "n".to_owned(),
        other => other.replace(".parts", ".content").replace(".calls", ".tool_calls"),
    }
}
