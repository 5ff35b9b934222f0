//! The smallest value that fits a JSON schema, for schemas as people write them for structured output.

use serde_json::{Map, Value, json};

/// Schemas may refer to themselves; deeper than this a value is cut to null.
const DEPTH_MAX: u32 = 32;
/// Items of a list at most, whatever the schema wants.
const ITEMS_MAX: u64 = 64;

/// A value that fits.
pub(super) fn of(schema: &Value) -> Value {
    make(schema, schema, DEPTH_MAX)
}

fn make(schema: &Value, root: &Value, depth: u32) -> Value {
    if depth == 0 {
        return Value::Null;
    }
    let deeper = |schema: &Value| make(schema, root, depth - 1);
    if let Some(path) = schema["$ref"].as_str().and_then(|r| r.strip_prefix('#')) {
        return root.pointer(path).map_or(Value::Null, deeper);
    }
    for fixed in ["const", "default"] {
        if let Some(value) = schema.get(fixed) {
            return value.clone();
        }
    }
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    for choice in ["anyOf", "oneOf", "allOf"] {
        if let Some(first) = schema[choice].get(0) {
            return deeper(first);
        }
    }
    let kind = schema["type"].as_str().or_else(|| schema["type"][0].as_str());
    match kind {
        Some("object") => object(schema, deeper),
        None if schema.get("properties").is_some() => object(schema, deeper),
        None if schema.is_null() => json!({}),
        Some("array") => {
            let count = schema["minItems"].as_u64().unwrap_or(0).min(ITEMS_MAX);
            (0..count).map(|_| deeper(&schema["items"])).collect()
        }
        Some("string") => {
            let length = schema["minLength"].as_u64().unwrap_or(4).clamp(4, 1024) as usize;
            "mock".chars().cycle().take(length).collect::<String>().into()
        }
        Some("integer") => json!(schema["minimum"].as_f64().map_or(0, |m| m.ceil() as i64)),
        Some("number") => schema.get("minimum").cloned().unwrap_or(json!(0)),
        Some("boolean") => json!(false),
        _ => Value::Null,
    }
}

fn object(schema: &Value, make: impl Fn(&Value) -> Value) -> Value {
    let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
    required.map(|name| (name.to_owned(), make(&schema["properties"][name]))).collect::<Map<_, _>>().into()
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
}
