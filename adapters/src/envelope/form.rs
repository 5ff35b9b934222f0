//! A question that comes as a form. Its fields are those of the JSON body: `parameters` and `user_info` as JSON, their fields
//! as `parameters.prompt` or `parameters[prompt]`, or short as `prompt`.

use bytes::Bytes;
use serde_json::{Map, Value};

use crate::call::{Error, is_object};
use crate::multipart;

/// Fields of the envelope itself.
const OUTER: [&str; 7] =
    ["model", "request_id", "parameters", "user_info", "async", "callback", "callback_url"];
/// Fields of `user_info`.
const USER: [&str; 2] = ["user_id", "user_role"];
/// Fields that are text even where that looks like JSON.
const TEXTS: [&str; 11] = [
    "model",
    "request_id",
    "callback",
    "callback_url",
    "user_id",
    "user_role",
    "prompt",
    "prompt_id",
    "user",
    "reasoning_effort",
    "safety_identifier",
];

/// The JSON body that a form stands for; a body that is JSON stays as it is. `content_type` is the header as it came.
///
/// # Errors
/// When the body is no such form, holds a file or a field twice, or its content type is none that is understood.
pub fn form_to_json(content_type: &str, body: Bytes) -> Result<Bytes, Error> {
    let (kind, options) = content_type.split_once(';').unwrap_or((content_type, ""));
    let kind = kind.trim().to_ascii_lowercase();
    let fields = match kind.as_str() {
        "" | "application/json" => return Ok(body),
        _ if kind.ends_with("+json") => return Ok(body),
        // Command-line clients call JSON so when they are not told what it is.
        "application/x-www-form-urlencoded" if is_object(&body) => return Ok(body),
        "application/x-www-form-urlencoded" => urlencoded(&body)?,
        "multipart/form-data" => multipart::fields(options, &body)?,
        other => {
            let hint = format!(
                "`{other}` is not understood: use application/json, application/x-www-form-urlencoded or multipart/form-data"
            );
            return Err(Error::field("Content-Type", hint));
        }
    };
    let mut out = Map::new();
    for (name, text) in fields {
        put(&mut out, &name, text)?;
    }
    Ok(Value::Object(out).to_string().into())
}

/// Puts a field where it belongs.
fn put(out: &mut Map<String, Value>, name: &str, text: String) -> Result<(), Error> {
    let (group, inner) = match place(name) {
        (Some(group), inner) => (group, inner),
        (None, name) => {
            let value = value(name, text);
            let Some(Value::Object(more)) = out.get_mut(name) else {
                return insert(out, name, value, name);
            };
            // Its single fields came first.
            let Value::Object(fields) = value else { return Err(twice(name)) };
            for (inner, value) in fields {
                insert(more, &inner, value, name)?;
            }
            return Ok(());
        }
    };
    let entry = out.entry(group).or_insert_with(|| Value::Object(Map::new()));
    match entry {
        Value::Object(map) => insert(map, inner, value(inner, text), name),
        _ => Err(Error::field(group, "must be an object")),
    }
}

fn insert(map: &mut Map<String, Value>, name: &str, value: Value, told: &str) -> Result<(), Error> {
    match map.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(twice(told)),
    }
}

fn twice(name: &str) -> Error {
    Error::field(name.to_owned(), "was sent twice: send it once")
}

/// The object that a field belongs to, and its name there.
fn place(name: &str) -> (Option<&'static str>, &str) {
    for group in ["parameters", "user_info"] {
        let Some(rest) = name.strip_prefix(group) else { continue };
        let inner = rest.strip_prefix('.').or_else(|| rest.strip_prefix('[')?.strip_suffix(']'));
        if let Some(inner) = inner {
            return (Some(group), inner);
        }
    }
    match name {
        name if OUTER.contains(&name) => (None, name),
        name if USER.contains(&name) => (Some("user_info"), name),
        name => (Some("parameters"), name),
    }
}

/// A form knows only text: what can be read as JSON is meant so, but for fields that are text anyway.
fn value(name: &str, text: String) -> Value {
    if TEXTS.contains(&name) {
        return text.into();
    }
    serde_json::from_str(&text).unwrap_or(Value::String(text))
}

fn urlencoded(body: &[u8]) -> Result<Vec<(String, String)>, Error> {
    let pairs = body.split(|byte| *byte == b'&').filter(|pair| !pair.is_empty());
    let pairs = pairs.map(|pair| {
        let at = pair.iter().position(|byte| *byte == b'=').unwrap_or(pair.len());
        let name = multipart::text(decode(&pair[..at]), "body")?;
        let value = multipart::text(decode(pair.get(at + 1..).unwrap_or_default()), &name)?;
        Ok((name, value))
    });
    pairs.collect()
}

/// Undoes the percent-encoding of forms; what is none stays as it is.
fn decode(text: &[u8]) -> Vec<u8> {
    let digit = |at: usize| text.get(at).and_then(|byte| char::from(*byte).to_digit(16));
    let (mut out, mut at) = (Vec::with_capacity(text.len()), 0);
    while let Some(&byte) = text.get(at) {
        match (byte, digit(at + 1), digit(at + 2)) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 2;
            }
            (b'+', ..) => out.push(b' '),
            _ => out.push(byte),
        }
        at += 1;
    }
    out
}
