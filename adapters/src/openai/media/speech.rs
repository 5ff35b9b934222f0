//! `/v1/audio/speech`.

use serde_json::{Map, Value};

use super::rest;
use crate::call::{Call, Error};
use crate::media::speech::{Ask, Format};
use crate::read::Fields;

/// The question of a body.
///
/// # Errors
/// When a field is missing, of the wrong type, or out of range.
pub(crate) fn ask(call: &Call) -> Result<Ask, Error> {
    let mut fields = Fields::body(&call.body)?;
    let format = fields.text("response_format")?;
    let format = match format.as_deref() {
        None => None,
        Some(word) => {
            let known = Format::ALL.iter().copied().find(|format| format.as_str() == word);
            let wrong = || fields.wrong("response_format", "must be mp3, opus, aac, flac, wav or pcm");
            Some(known.ok_or_else(wrong)?)
        }
    };
    let events = match fields.text("stream_format")?.as_deref() {
        None | Some("audio") => false,
        Some("sse") => true,
        Some(_) => return Err(fields.wrong("stream_format", "must be audio or sse")),
    };
    let voice = match fields.take("voice") {
        Some(Value::String(name)) => name,
        Some(Value::Object(voice)) => match voice.get("id").and_then(Value::as_str) {
            Some(id) => id.to_owned(),
            None => return Err(fields.wrong("voice.id", "is missing: it must be a string")),
        },
        Some(_) => return Err(fields.wrong("voice", "must be a string")),
        None => return Err(fields.wrong("voice", "is missing: name one of the provider's voices")),
    };
    Ok(Ask {
        model: fields.need_text("model")?,
        input: fields.need_text("input")?,
        voice,
        format,
        speed: fields.number_in("speed", 0.25, 4.0)?,
        instructions: fields.text("instructions")?.filter(|text| !text.is_empty()),
        events,
        rest: rest(fields),
    })
}

/// The question to a server. Its answer is the sound.
pub(super) fn body(ask: &Ask, model: &str) -> Map<String, Value> {
    let mut out = Map::new();
    let fields: [(&str, Option<Value>); 6] = [
        ("model", Some(model.into())),
        ("input", Some(ask.input.as_str().into())),
        ("voice", Some(ask.voice.as_str().into())),
        ("response_format", ask.format.map(|format| format.as_str().into())),
        ("speed", ask.speed.map(Value::from)),
        ("instructions", ask.instructions.clone().map(Value::from)),
    ];
    out.extend(fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
    out
}
