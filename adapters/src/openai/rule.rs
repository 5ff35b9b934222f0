//! What becomes of fields on their way to servers that speak OpenAI's dialect with words or bounds of their own.

use serde_json::{Map, Value};

/// What becomes of a field at the top of a body.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Rule {
    /// A number outside is set to the nearest inside.
    Clamp {
        /// The field.
        field: &'static str,
        /// The least.
        min: f64,
        /// The most.
        max: f64,
    },
    /// The field has another name there; where both are given, its own wins.
    Rename {
        /// What OpenAI calls it.
        from: &'static str,
        /// What it is called there.
        to: &'static str,
    },
    /// A text that is shorter or longer is left out.
    Length {
        /// The field.
        field: &'static str,
        /// The least of its bytes.
        min: usize,
        /// The most.
        max: usize,
    },
    /// A single text becomes a list of one.
    List {
        /// The field.
        field: &'static str,
    },
    /// Where one field is, another is true unless it is given.
    Beside {
        /// The field that may be there.
        field: &'static str,
        /// The one that is true then.
        is: &'static str,
    },
    /// Messages with instructions are called `system`, never `developer`.
    System,
}

impl Rule {
    /// Does so to a body.
    pub(super) fn apply(self, body: &mut Map<String, Value>) {
        match self {
            Rule::Clamp { field, min, max } => {
                if let Some(value) = body.get_mut(field)
                    && let Some(number) = value.as_f64()
                    && !(min..=max).contains(&number)
                {
                    let nearest = number.clamp(min, max);
                    let whole = !value.is_f64() && nearest.fract() == 0.0;
                    *value = if whole { (nearest as i64).into() } else { nearest.into() };
                }
            }
            Rule::Rename { from, to } => {
                if let Some(value) = body.shift_remove(from)
                    && !body.contains_key(to)
                {
                    body.insert(to.to_owned(), value);
                }
            }
            Rule::Length { field, min, max } => {
                let text = body.get(field).and_then(Value::as_str);
                if text.is_some_and(|text| !(min..=max).contains(&text.len())) {
                    body.shift_remove(field);
                }
            }
            Rule::List { field } => {
                if let Some(value @ Value::String(_)) = body.get_mut(field) {
                    *value = Value::Array(vec![value.take()]);
                }
            }
            Rule::Beside { field, is } => {
                if body.contains_key(field) && !body.contains_key(is) {
                    body.insert(is.to_owned(), true.into());
                }
            }
            Rule::System => {
                let messages = body.get_mut("messages").and_then(Value::as_array_mut);
                for message in messages.into_iter().flatten() {
                    if message["role"] == "developer" {
                        message["role"] = "system".into();
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ruled(rule: Rule, body: &str) -> String {
        let mut fields: Map<String, Value> = serde_json::from_str(body).unwrap();
        rule.apply(&mut fields);
        Value::Object(fields).to_string()
    }

    #[test]
    fn numbers_outside_are_set_to_the_nearest_inside() {
        let rule = Rule::Clamp { field: "t", min: 0.01, max: 6.0 };
        assert_eq!(ruled(rule, r#"{"t":9}"#), r#"{"t":6}"#);
        assert_eq!(ruled(rule, r#"{"t":9.5}"#), r#"{"t":6.0}"#);
        assert_eq!(ruled(rule, r#"{"t":0}"#), r#"{"t":0.01}"#);
        for same in [r#"{"t":2}"#, r#"{"t":"9"}"#, r#"{"t":null}"#, "{}"] {
            assert_eq!(ruled(rule, same), same);
        }
    }

    #[test]
    fn a_renamed_field_yields_to_the_servers_own() {
        let rule = Rule::Rename { from: "a", to: "b" };
        assert_eq!(ruled(rule, r#"{"a":1,"c":2}"#), r#"{"c":2,"b":1}"#);
        assert_eq!(ruled(rule, r#"{"a":1,"b":2}"#), r#"{"b":2}"#);
    }

    #[test]
    fn fields_are_put_as_a_server_wants_them() {
        let length = Rule::Length { field: "u", min: 3, max: 4 };
        assert_eq!(ruled(length, r#"{"u":"ab"}"#), "{}");
        assert_eq!(ruled(length, r#"{"u":"abc"}"#), r#"{"u":"abc"}"#);
        let list = Rule::List { field: "stop" };
        assert_eq!(ruled(list, r#"{"stop":"x"}"#), r#"{"stop":["x"]}"#);
        assert_eq!(ruled(list, r#"{"stop":["x"]}"#), r#"{"stop":["x"]}"#);
        let beside = Rule::Beside { field: "tools", is: "switch" };
        assert_eq!(ruled(beside, r#"{"tools":[]}"#), r#"{"tools":[],"switch":true}"#);
        assert_eq!(ruled(beside, r#"{"switch":false,"tools":[]}"#), r#"{"switch":false,"tools":[]}"#);
        let system = r#"{"messages":[{"role":"developer"},7,{"role":"user"}]}"#;
        assert_eq!(ruled(Rule::System, system), r#"{"messages":[{"role":"system"},7,{"role":"user"}]}"#);
    }
}
