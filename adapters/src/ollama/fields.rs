//! What questions of Ollama's clients have beside what is said: options, the answer's form, thoughts, tools, pictures.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use crate::call::Error;
use crate::chat::{Ask, Format, Part, Reasoning, Sampling, Source, Tool};
use crate::read::Fields;

/// Fields that do not change the answer: how long the server holds the model, and what it does with questions that are too
/// long for it, where a target has its own bounds.
const HINTS: [&str; 3] = ["keep_alive", "truncate", "shift"];

/// Options about the machine that runs the model, and about how much of a conversation it has room for, which a target
/// knows itself.
const MACHINE: [&str; 13] = [
    "num_ctx",
    "num_keep",
    "num_batch",
    "num_gpu",
    "main_gpu",
    "num_thread",
    "use_mmap",
    "use_mlock",
    "low_vram",
    "numa",
    "f16_kv",
    "vocab_only",
    "logits_all",
];

/// Ways of drawing tokens that only Ollama knows, with the values at which they do nothing.
const NEUTRAL: [(&str, f64); 3] = [("typical_p", 1.0), ("tfs_z", 1.0), ("mirostat", 0.0)];

/// All of a question but its messages and tools, which must have been taken out of the fields.
pub(super) fn common(mut fields: Fields, mut rest: Vec<(String, Value)>) -> Result<Ask, Error> {
    let mut hints = Vec::new();
    let (sampling, output_max) = options(&mut fields, &mut rest, &mut hints)?;
    let logprobs = fields.flag("logprobs")?.unwrap_or(false);
    let top = fields.count("top_logprobs")?.unwrap_or(0);
    let mut ask = Ask {
        model: fields.need_text("model")?,
        format: format(&mut fields)?,
        output_max,
        sampling,
        logprobs: logprobs.then_some(top),
        reasoning: reasoning(&mut fields)?,
        stream: fields.flag("stream")?.unwrap_or(true),
        stream_usage: true,
        rest,
        hints,
        ..Ask::default()
    };
    ask.hints.extend(HINTS.iter().filter(|hint| fields.take(hint).is_some()).map(|hint| (*hint).to_owned()));
    ask.rest.extend(fields.rest());
    Ok(ask)
}

/// How tokens are drawn, and the most of them.
fn options(
    fields: &mut Fields,
    rest: &mut Vec<(String, Value)>,
    hints: &mut Vec<String>,
) -> Result<(Sampling, Option<u64>), Error> {
    let Some(mut options) = fields.object("options")? else { return Ok((Sampling::default(), None)) };
    let sampling = Sampling {
        temperature: options.number("temperature")?,
        top_p: options.number("top_p")?,
        top_k: options.count("top_k")?,
        min_p: options.number("min_p")?,
        presence_penalty: options.number("presence_penalty")?,
        frequency_penalty: options.number("frequency_penalty")?,
        repetition_penalty: options.number("repeat_penalty")?,
        // Ollama's own word for any seed is -1.
        seed: options.integer("seed")?.filter(|seed| *seed != -1),
        stop: options.texts("stop")?,
        logit_bias: None,
    };
    // -1 and -2 are no limit and as much as there is room for.
    let output_max =
        options.integer("num_predict")?.and_then(|max| u64::try_from(max).ok()).filter(|max| *max > 0);
    for name in MACHINE {
        if options.take(name).is_some() {
            hints.push(options.path(name));
        }
    }
    let mut steered = false;
    for (name, neutral) in NEUTRAL {
        if let Some(value) = options.take(name)
            && value.as_f64() != Some(neutral)
        {
            steered |= name == "mirostat";
            rest.push((options.path(name), value));
        }
    }
    // Numbers for what is not used.
    if !steered {
        options.take("mirostat_tau");
        options.take("mirostat_eta");
    }
    rest.extend(options.rest());
    Ok((sampling, output_max))
}

fn format(fields: &mut Fields) -> Result<Option<Format>, Error> {
    match fields.take("format") {
        None => Ok(None),
        Some(Value::String(word)) if word.is_empty() => Ok(None),
        Some(Value::String(word)) if word == "json" => Ok(Some(Format::Json)),
        Some(schema @ Value::Object(_)) => Ok(Some(Format::Schema {
            name: Format::NAME.to_owned(),
            description: None,
            schema,
            strict: None,
        })),
        Some(_) => Err(fields.wrong("format", "must be json or a JSON schema")),
    }
}

fn reasoning(fields: &mut Fields) -> Result<Option<Reasoning>, Error> {
    match fields.take("think") {
        None => Ok(None),
        Some(Value::Bool(true)) => Ok(Some(Reasoning::On)),
        Some(Value::Bool(false)) => Ok(Some(Reasoning::Off)),
        Some(Value::String(word)) if word.is_empty() => Ok(None),
        Some(Value::String(word)) if ["low", "medium", "high"].contains(&word.as_str()) => {
            Ok(Some(Reasoning::Effort(word)))
        }
        Some(_) => Err(fields.wrong("think", "must be true, false, low, medium or high")),
    }
}

/// What the model may call.
pub(super) fn tools(fields: &mut Fields, rest: &mut Vec<(String, Value)>) -> Result<Vec<Tool>, Error> {
    let list = fields.list("tools")?.unwrap_or_default();
    let tools = list.into_iter().enumerate().map(|(n, value)| {
        let mut fields = Fields::of(value, format!("tools[{n}]"))?;
        if fields.text("type")?.is_some_and(|kind| kind != "function") {
            return Err(fields.wrong("type", "must be function"));
        }
        let missing = fields.wrong("function", "is missing: it must be an object");
        let mut function = fields.object("function")?.ok_or(missing)?;
        let tool = Tool {
            name: function.need_text("name")?,
            description: function.text("description")?,
            parameters: function.object_value("parameters")?,
            strict: None,
        };
        rest.extend(function.rest());
        rest.extend(fields.rest());
        Ok(tool)
    });
    tools.collect()
}

/// Pictures, which come without saying what they are.
pub(super) fn images(fields: &mut Fields) -> Result<Vec<Part>, Error> {
    let list = fields.list("images")?.unwrap_or_default();
    let images = list.into_iter().enumerate().map(|(n, value)| {
        let hint = "must be a png, jpeg, gif or webp in base64";
        let wrong = || fields.wrong(format_args!("images[{n}]"), hint);
        let Value::String(data) = value else { return Err(wrong()) };
        let media_type = media_type(&data).ok_or_else(wrong)?.to_owned();
        Ok(Part::Image { source: Source::Inline { media_type, data }, detail: None })
    });
    images.collect()
}

/// What a picture is, by its first bytes.
fn media_type(base64: &str) -> Option<&'static str> {
    // 16 characters are 12 bytes.
    let head = STANDARD.decode(base64.as_bytes().get(..16)?).ok()?;
    match head.as_slice() {
        [0x89, b'P', b'N', b'G', ..] => Some("image/png"),
        [0xff, 0xd8, 0xff, ..] => Some("image/jpeg"),
        [b'G', b'I', b'F', b'8', ..] => Some("image/gif"),
        [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P'] => Some("image/webp"),
        _ => None,
    }
}

/// Whether a value says nothing: clients send fields that they have no use for empty.
pub(super) fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::Number(_) => false,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
    }
}
