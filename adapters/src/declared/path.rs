//! Paths into a provider's JSON: `output.choices[].message`, `data[0].text`, `$.index`.

use serde_json::Value;

use super::Wrong;
use super::declaration::Paths;

/// Steps of a path at most.
const STEPS_MAX: usize = 16;
/// Bytes of a path at most.
const PATH_LEN_MAX: usize = 256;
/// Paths at most of which the first counts.
const PATHS_MAX: usize = 8;

/// A path.
#[derive(Debug, Clone)]
pub(super) struct Path {
    text: String,
    /// Starts at the root of the body or event, wherever it is used.
    rooted: bool,
    steps: Vec<Step>,
}

#[derive(Debug, Clone)]
enum Step {
    Key(String),
    At(usize),
    Each,
}

impl Path {
    /// Reads one; `field` is where in the declaration it stands.
    pub(super) fn parse(text: &str, field: &str) -> Result<Self, Wrong> {
        let wrong = |hint: &str| Wrong::new(field, format!("`{text}` is no path: {hint}"));
        if text.len() > PATH_LEN_MAX {
            return Err(wrong("use 256 bytes at most"));
        }
        let (rooted, rest) = match text.strip_prefix("$.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let mut steps = Vec::new();
        for part in rest.split('.') {
            let (key, mut brackets) = match part.find('[') {
                Some(at) => part.split_at(at),
                None => (part, ""),
            };
            match key {
                "" if brackets.is_empty() || !steps.is_empty() => {
                    return Err(wrong("write names between dots, such as output.choices[].text"));
                }
                "" => {}
                key => steps.push(Step::Key(key.to_owned())),
            }
            while !brackets.is_empty() {
                let inner = brackets.strip_prefix('[').and_then(|rest| rest.split_once(']'));
                let (inner, rest) = inner.ok_or_else(|| wrong("write [] for all of a list, or [0]"))?;
                steps.push(match inner {
                    "" => Step::Each,
                    number => Step::At(number.parse().map_err(|_| wrong("a number stands between [ and ]"))?),
                });
                brackets = rest;
            }
        }
        if steps.len() > STEPS_MAX {
            return Err(wrong("use 16 steps at most"));
        }
        Ok(Self { text: text.to_owned(), rooted, steps })
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        &self.text
    }

    /// Everything that it leads to, in order.
    pub(super) fn all<'v>(&self, here: &'v Value, root: &'v Value) -> Vec<&'v Value> {
        let mut found = vec![if self.rooted { root } else { here }];
        for step in &self.steps {
            found = match step {
                Step::Key(key) => found.into_iter().filter_map(|value| value.get(key)).collect(),
                Step::At(at) => found.into_iter().filter_map(|value| value.get(at)).collect(),
                Step::Each => found.into_iter().filter_map(Value::as_array).flatten().collect(),
            };
        }
        found.retain(|value| !value.is_null());
        found
    }

    /// The first that it leads to.
    pub(super) fn first<'v>(&self, here: &'v Value, root: &'v Value) -> Option<&'v Value> {
        self.all(here, root).into_iter().next()
    }

    /// What it leads to in a body that is being made; `make` puts objects where there is nothing.
    pub(super) fn place<'v>(&self, body: &'v mut Value, make: bool) -> Option<&'v mut Value> {
        let mut here = body;
        for step in &self.steps {
            here = match step {
                Step::Key(key) => {
                    if make && here.is_null() {
                        *here = Value::Object(serde_json::Map::new());
                    }
                    let map = here.as_object_mut()?;
                    if make { map.entry(key.clone()).or_insert(Value::Null) } else { map.get_mut(key)? }
                }
                Step::At(at) => here.get_mut(at)?,
                Step::Each => return None,
            };
        }
        Some(here)
    }

    /// Takes what it leads to out of a body.
    pub(super) fn take(&self, body: &mut Value) -> Option<Value> {
        let (last, before) = self.steps.split_last()?;
        let Step::Key(key) = last else { return None };
        let parent = Path { text: String::new(), rooted: false, steps: before.to_vec() };
        parent.place(body, false)?.as_object_mut()?.shift_remove(key)
    }

    /// Whether it names fields only.
    pub(super) fn is_plain(&self) -> bool {
        !self.rooted && self.steps.iter().all(|step| matches!(step, Step::Key(_)))
    }
}

/// Paths of which the first counts that leads to something.
#[derive(Debug, Clone, Default)]
pub(super) struct First(Vec<Path>);

impl First {
    pub(super) fn parse(paths: &Paths, field: &str) -> Result<Self, Wrong> {
        let all = paths.all();
        if all.len() > PATHS_MAX {
            return Err(Wrong::new(field, "has too many paths: name 8 at most"));
        }
        Ok(Self(all.iter().map(|path| Path::parse(path, field)).collect::<Result<_, _>>()?))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// As it was written.
    pub(super) fn text(&self) -> &str {
        self.0.first().map_or("", Path::text)
    }

    /// Whether any leads to something.
    pub(super) fn leads(&self, here: &Value, root: &Value) -> bool {
        self.0.iter().any(|path| path.first(here, root).is_some())
    }

    /// The texts of the first that leads to any, one after the other; `None` if there is none or it is empty.
    pub(super) fn words(&self, here: &Value, root: &Value) -> Option<String> {
        let texts = self.0.iter().map(|path| {
            let texts = path.all(here, root).into_iter().filter_map(Value::as_str);
            texts.collect::<String>()
        });
        texts.into_iter().find(|text| !text.is_empty())
    }

    /// A text, number or truth as text; `None` if it is empty.
    pub(super) fn word(&self, here: &Value, root: &Value) -> Option<String> {
        self.values(here, root).find_map(word)
    }

    /// A count.
    pub(super) fn count(&self, here: &Value, root: &Value) -> Option<u64> {
        self.values(here, root).find_map(count)
    }

    /// The first value of each path.
    pub(super) fn values<'v>(
        &self,
        here: &'v Value,
        root: &'v Value,
    ) -> impl Iterator<Item = &'v Value> + use<'_, 'v> {
        self.0.iter().filter_map(move |path| path.first(here, root))
    }
}

/// A text, number or truth as text.
pub(super) fn word(value: &Value) -> Option<String> {
    match value {
        Value::String(text) if text.is_empty() => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(truth) => Some(truth.to_string()),
        _ => None,
    }
}

/// A number, not negative; some providers tell counts as `5.0`.
pub(super) fn count(value: &Value) -> Option<u64> {
    let whole = |number: f64| (0.0..9e15).contains(&number).then_some(number as u64);
    value.as_u64().or_else(|| value.as_f64().and_then(whole))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_path_leads_to_all_that_lies_there() {
        let body = json!({ "a": [{ "b": "x" }, { "b": "y" }, { "c": 1 }, { "b": null }], "n": 7 });
        let all = |path: &str| {
            let path = Path::parse(path, "f").unwrap();
            path.all(&body["a"][0], &body).into_iter().cloned().collect::<Vec<_>>()
        };
        assert_eq!(all("b"), ["x"]);
        assert_eq!(all("$.a[].b"), ["x", "y"]);
        assert_eq!(all("$.a[1].b"), ["y"]);
        assert_eq!(all("$.n"), [7]);
        assert!(all("n").is_empty() && all("$.n[]").is_empty() && all("b.c.d").is_empty());
    }

    #[test]
    fn what_is_no_path_is_told() {
        for bad in ["", ".", "a.", "a..b", "a[", "a[x]", "a]b[", "a[1]b", "a.[]", &"a.".repeat(200)] {
            let told = Path::parse(bad, "chat.answer.text");
            assert!(told.is_err() || bad == "a]b[", "{bad}");
        }
        assert!(Path::parse("[].a", "f").is_ok());
    }

    #[test]
    fn the_first_that_leads_to_words_counts() {
        let first = First::parse(&Paths::First(vec!["a".into(), "a[].t".into()]), "f").unwrap();
        let words = |value: Value| first.words(&value, &value);
        assert_eq!(words(json!({ "a": "x" })).as_deref(), Some("x"));
        assert_eq!(words(json!({ "a": [{ "t": "x" }, {}, { "t": "y" }] })).as_deref(), Some("xy"));
        assert_eq!(words(json!({ "a": "" })), None);
    }
}
