//! The smallest value that fits a JSON schema, for schemas as people write them for structured output.

use serde_json::{Map, Value, json};

/// Schemas may refer to themselves; deeper than this a value is cut to null.
const DEPTH_MAX: u32 = 32;
/// Items of a list at most, whatever the schema wants.
const ITEMS_MAX: u64 = 64;
/// Values in one answer at most, long texts counted as several: what would come after that is left out.
const VALUES_MAX: usize = 4096;
/// Bytes of text that count as one more value.
const TEXT_LEN: usize = 64;
/// The longest reference that is followed, in bytes.
const REF_LEN_MAX: usize = 1024;

/// A value that fits, as far as it may be large enough for that.
pub(super) fn of(schema: &Value) -> Value {
    Maker { root: schema, left: VALUES_MAX }.make(schema, DEPTH_MAX)
}

struct Maker<'a> {
    /// What references are relative to.
    root: &'a Value,
    /// Values that may still be made.
    left: usize,
}

impl<'a> Maker<'a> {
    fn make(&mut self, schema: &'a Value, depth: u32) -> Value {
        if depth == 0 || !self.spend(1) {
            return Value::Null;
        }
        if let Some(path) = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
            let found = if path.len() > REF_LEN_MAX { None } else { self.root.pointer(path) };
            return found.map_or(Value::Null, |found| self.make(found, depth - 1));
        }
        for fixed in ["const", "default"] {
            if let Some(value) = schema.get(fixed) {
                return self.copy(value);
            }
        }
        if let Some(first) = schema["enum"].get(0) {
            return self.copy(first);
        }
        for choice in ["anyOf", "oneOf", "allOf"] {
            if let Some(first) = schema[choice].get(0) {
                return self.make(first, depth - 1);
            }
        }
        let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
        match kind {
            Some("object") => self.object(schema, depth),
            None if schema.get("properties").is_some() => self.object(schema, depth),
            None if schema.is_null() => json!({}),
            Some("array") => self.array(schema, depth),
            Some("string") => {
                let length = schema["minLength"].as_u64().unwrap_or(4).clamp(4, 1024) as usize;
                self.spend(length / TEXT_LEN);
                "mock".chars().cycle().take(length).collect::<String>().into()
            }
            Some("integer") => json!(schema["minimum"].as_f64().map_or(0, |m| m.ceil() as i64)),
            Some("number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
            Some("boolean") => json!(false),
            _ => Value::Null,
        }
    }

    fn array(&mut self, schema: &'a Value, depth: u32) -> Value {
        let count = schema["minItems"].as_u64().unwrap_or(0).min(ITEMS_MAX);
        let mut items = Vec::new();
        while (items.len() as u64) < count && self.left > 0 {
            items.push(self.make(&schema["items"], depth - 1));
        }
        items.into()
    }

    fn object(&mut self, schema: &'a Value, depth: u32) -> Value {
        let mut fields = Map::new();
        for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
            if !self.spend(name.len() / TEXT_LEN) || self.left == 0 {
                break;
            }
            let value = self.make(&schema["properties"][name], depth - 1);
            fields.insert(name.to_owned(), value);
        }
        fields.into()
    }

    /// A copy of what the schema gives, if there is room for all of it.
    fn copy(&mut self, value: &Value) -> Value {
        if self.pay(value) { value.clone() } else { Value::Null }
    }

    /// Pays for a value that is there already; one that is too large takes all that is left, so that it is measured once.
    fn pay(&mut self, value: &Value) -> bool {
        match value {
            Value::String(text) => self.spend(text.len() / TEXT_LEN),
            Value::Array(items) => items.iter().all(|item| self.spend(1) && self.pay(item)),
            Value::Object(fields) => {
                fields.iter().all(|(name, value)| self.spend(1 + name.len() / TEXT_LEN) && self.pay(value))
            }
            _ => true,
        }
    }

    /// Takes so much of what is left, or all of it and says no.
    fn spend(&mut self, values: usize) -> bool {
        let enough = values <= self.left;
        self.left = self.left.saturating_sub(values);
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smallest_fitting_value_is_made() {
        let schema = json!({
            "type": "object",
            "required": ["name", "age", "tags", "kind", "child"],
            "properties": {
                "name": {"type": "string"},
                "age": {"type": "integer", "minimum": 3},
                "tags": {"type": "array", "minItems": 2, "items": {"enum": ["a", "b"]}},
                "kind": {"anyOf": [{"const": 7}, {"type": "null"}]},
                "child": {"$ref": "#/$defs/leaf"},
                "left_out": {"type": "string"},
            },
            "$defs": {"leaf": {"type": ["boolean", "null"]}},
        });
        let value = json!({"name": "mock", "age": 3, "tags": ["a", "a"], "kind": 7, "child": false});
        assert_eq!(of(&schema), value);
    }

    #[test]
    fn a_schema_that_refers_to_itself_ends() {
        let schema = json!({"type": "object", "required": ["next"], "properties": {"next": {"$ref": "#"}}});
        assert!(of(&schema)["next"]["next"].is_object());
        assert_eq!(of(&json!(null)), json!({}));
    }

    fn values(value: &Value) -> usize {
        match value {
            Value::Array(items) => 1 + items.iter().map(values).sum::<usize>(),
            Value::Object(fields) => 1 + fields.values().map(values).sum::<usize>(),
            _ => 1,
        }
    }

    #[test]
    fn a_schema_that_explodes_makes_no_more_than_one_answer_may_hold() {
        let wide = json!({"type": "array", "minItems": 64, "items": {"$ref": "#"}});
        assert!(values(&of(&wide)) <= VALUES_MAX);
        let two = json!({"type": "object", "required": ["a", "b"], "properties": {
            "a": {"$ref": "#"}, "b": {"$ref": "#"}}});
        assert!(values(&of(&two)) <= VALUES_MAX);
        let text = json!({"type": "array", "minItems": 64, "items": {
            "type": "array", "minItems": 64, "items": {"const": "x".repeat(100_000)}}});
        assert!(of(&text).to_string().len() < 1 << 20);
        let list = json!({"type": "array", "minItems": 64, "items": {
            "type": "array", "minItems": 64, "items": {"default": vec![0; 2_000]}}});
        assert!(values(&of(&list)) <= VALUES_MAX + 2);
        let names = json!({"type": "array", "minItems": 64, "items": {
            "type": "object", "required": ["y".repeat(50_000)]}});
        assert!(of(&names).to_string().len() < 1 << 20);
    }
}
