//! How answers are printed: JSON as it came, or a table of a few columns. Unknown fields are left out of tables, missing
//! ones show as a dash, so that nodes of other versions can be asked.

use serde_json::Value;

/// A column: its title, and the fields it may come from, the first that is there.
pub(crate) type Column = (&'static str, &'static [&'static str]);

/// The rows of a listing.
pub(crate) fn rows<'a>(answer: &'a Value, field: &str) -> &'a [Value] {
    let list = answer.get(field).or_else(|| answer.get("data")).unwrap_or(answer);
    list.as_array().map(Vec::as_slice).unwrap_or_default()
}

/// Rows as aligned columns.
pub(crate) fn table(rows: &[Value], columns: &[Column]) -> String {
    let mut cells: Vec<Vec<String>> = vec![columns.iter().map(|(title, _)| (*title).to_owned()).collect()];
    cells.extend(rows.iter().map(|row| columns.iter().map(|(_, fields)| cell(row, fields)).collect()));
    let widths: Vec<usize> = (0..columns.len())
        .map(|column| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in cells {
        let padded = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        text.push_str(padded.collect::<Vec<_>>().join("  ").trim_end());
        text.push('\n');
    }
    text
}

fn cell(row: &Value, fields: &[&str]) -> String {
    let found = fields.iter().find_map(|field| row.pointer(field).filter(|value| !value.is_null()));
    found.map_or_else(|| "-".to_owned(), plain)
}

/// A value without the marks of JSON.
pub(crate) fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(plain).collect::<Vec<_>>().join(","),
        Value::Object(fields) => fields
            .iter()
            .map(|(name, value)| format!("{name}={}", plain(value)))
            .collect::<Vec<_>>()
            .join(" "),
        Value::Null => "-".to_owned(),
        other => other.to_string(),
    }
}

/// An object as lines of `name: value`, nested ones indented.
pub(crate) fn outline(value: &Value, indent: usize) -> String {
    let Some(fields) = value.as_object() else { return format!("{}{}\n", " ".repeat(indent), plain(value)) };
    let nested = |value: &Value| match value {
        Value::Object(fields) => !fields.is_empty(),
        Value::Array(items) => items.iter().any(is_long),
        _ => false,
    };
    // an item that needs a line of its own
    fn is_long(item: &Value) -> bool {
        item.is_object() || item.as_str().is_some_and(|text| text.contains(' '))
    }
    let mut text = String::new();
    for (name, value) in fields {
        let margin = " ".repeat(indent);
        match value {
            Value::Array(items) if nested(value) => {
                text.push_str(&format!("{margin}{name}:\n"));
                items.iter().for_each(|item| text.push_str(&format!("{margin}  - {}\n", plain(item))));
            }
            _ if nested(value) => text.push_str(&format!("{margin}{name}:\n{}", outline(value, indent + 2))),
            _ => text.push_str(&format!("{margin}{name}: {}\n", plain(value))),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_listing_is_a_table_whatever_is_missing() {
        let answer = json!({ "nodes": [
            { "id": "n-1", "name": "a", "load": { "calls": 3 } },
            { "id": "n-22", "name": null, "zones": ["x", "y"] },
        ]});
        let columns: &[Column] = &[
            ("ID", &["/id"]),
            ("NAME", &["/name"]),
            ("CALLS", &["/calls", "/load/calls"]),
            ("ZONES", &["/zones"]),
        ];
        let text = table(rows(&answer, "nodes"), columns);
        assert_eq!(text, "ID    NAME  CALLS  ZONES\nn-1   a     3      -\nn-22  -     -      x,y\n");
        assert_eq!(table(rows(&json!([]), "nodes"), columns), "ID  NAME  CALLS  ZONES\n");
    }

    #[test]
    fn an_object_is_an_outline() {
        let text = outline(&json!({ "a": 1, "b": { "c": "d" }, "e": [{ "f": 2 }], "g": ["h", "i"] }), 0);
        assert_eq!(text, "a: 1\nb:\n  c: d\ne:\n  - f=2\ng: h,i\n");
    }
}
