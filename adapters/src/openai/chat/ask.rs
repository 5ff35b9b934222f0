//! A chat as OpenAI's clients ask it.

use serde_json::Value;

use crate::call::Error;
use crate::chat::{
    Ask, Format, Message, Part, Reasoning, Role, Sampling, Source, Tool, ToolCall, ToolChoice, ToolResult,
};
use crate::read::Fields;

/// Fields that do not change what is answered: how it is billed, stored and told apart. Without effect at other providers.
const HINTS: [&str; 6] =
    ["metadata", "prompt_cache_key", "prompt_cache_retention", "safety_identifier", "service_tier", "store"];

/// The question of a body's fields.
pub(crate) fn ask(mut fields: Fields) -> Result<Ask, Error> {
    let mut rest = Vec::new();
    let messages = fields.list("messages")?.unwrap_or_default();
    let messages = messages
        .into_iter()
        .enumerate()
        .map(|(n, value)| message(Fields::of(value, format!("messages[{n}]"))?, &mut rest))
        .collect::<Result<Vec<_>, _>>()?;
    let output_max = match fields.count("max_completion_tokens")? {
        Some(max) => Some(max),
        None => fields.count("max_tokens")?,
    };
    fields.take("max_tokens");
    let stream_usage = stream_usage(&mut fields, &mut rest)?;
    let logprobs = fields.flag("logprobs")?.unwrap_or(false);
    let top = fields.count("top_logprobs")?;
    let mut ask = Ask {
        model: fields.need_text("model")?,
        messages,
        tools: tools(&mut fields, &mut rest)?,
        tool_choice: tool_choice(&mut fields)?,
        parallel_tools: fields.flag("parallel_tool_calls")?,
        format: format(&mut fields, &mut rest)?,
        output_max,
        sampling: sampling(&mut fields)?,
        choices: fields.count("n")?,
        logprobs: logprobs.then(|| top.unwrap_or(0)),
        reasoning: reasoning(&mut fields)?,
        user: fields.text("user")?,
        stream: fields.flag("stream")?.unwrap_or(false),
        stream_usage,
        rest,
        hints: Vec::new(),
        echo: Vec::new(),
    };
    if fields.take("modalities").is_some_and(|wanted| wanted != serde_json::json!(["text"])) {
        ask.rest.push(("modalities".to_owned(), Value::Null));
    }
    ask.hints.extend(HINTS.iter().filter(|hint| fields.take(hint).is_some()).map(|hint| (*hint).to_owned()));
    ask.rest.extend(fields.rest());
    Ok(ask)
}

/// Whether a stream is to tell what was used.
pub(crate) fn stream_usage(fields: &mut Fields, rest: &mut Vec<(String, Value)>) -> Result<bool, Error> {
    let Some(mut options) = fields.object("stream_options")? else { return Ok(false) };
    let usage = options.flag("include_usage")?;
    options.take("include_obfuscation");
    rest.extend(options.rest());
    Ok(usage.unwrap_or(false))
}

/// How tokens are drawn.
pub(crate) fn sampling(fields: &mut Fields) -> Result<Sampling, Error> {
    let stop = fields.texts("stop")?;
    Ok(Sampling {
        temperature: fields.number_in("temperature", 0.0, 2.0)?,
        top_p: fields.number_in("top_p", 0.0, 1.0)?,
        top_k: fields.count("top_k")?,
        min_p: fields.number_in("min_p", 0.0, 1.0)?,
        presence_penalty: fields.number_in("presence_penalty", -2.0, 2.0)?,
        frequency_penalty: fields.number_in("frequency_penalty", -2.0, 2.0)?,
        repetition_penalty: fields.number("repetition_penalty")?,
        seed: fields.integer("seed")?,
        stop,
        logit_bias: fields
            .object_value("logit_bias")?
            .filter(|bias| bias.as_object().is_some_and(|b| !b.is_empty())),
    })
}

fn reasoning(fields: &mut Fields) -> Result<Option<Reasoning>, Error> {
    Ok(fields.text("reasoning_effort")?.map(|effort| match effort.as_str() {
        "none" => Reasoning::Off,
        _ => Reasoning::Effort(effort),
    }))
}

fn message(mut fields: Fields, rest: &mut Vec<(String, Value)>) -> Result<Message, Error> {
    let name = fields.text("name")?;
    let role = match fields.need_text("role")?.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            let hint = format!("`{other}` is not known: use system, developer, user, assistant or tool");
            return Err(fields.wrong("role", hint));
        }
    };
    let mut parts = content(&mut fields, rest)?;
    let mut message_name = name;
    if role == Role::Tool {
        let id = fields.need_text("tool_call_id")?;
        let result = ToolResult { id, name: message_name.take(), parts, failed: false };
        parts = vec![Part::ToolResult(result)];
    }
    if role == Role::Assistant {
        // As DeepSeek, vLLM and others name them.
        let thoughts = fields.text("reasoning_content")?.filter(|text| !text.is_empty());
        if let Some(text) = thoughts {
            parts.insert(0, Part::Thinking { text, signature: None });
        }
        if let Some(why) = fields.text("refusal")? {
            parts.push(Part::Refusal(why));
        }
        for (n, value) in fields.list("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
            let at = fields.path(format_args!("tool_calls[{n}]"));
            parts.push(Part::ToolCall(tool_call(Fields::of(value, at)?)?));
        }
        // What SDKs send back with the messages that they were given.
        fields.take("annotations");
    }
    rest.extend(fields.rest());
    Ok(Message { role, name: message_name, parts })
}

fn tool_call(mut fields: Fields) -> Result<ToolCall, Error> {
    let id = fields.need_text("id")?;
    let kind = fields.text("type")?;
    if kind.is_some_and(|kind| kind != "function") {
        return Err(fields.wrong("type", "must be function"));
    }
    let mut function = fields
        .object("function")?
        .ok_or_else(|| fields.wrong("function", "is missing: it must be an object"))?;
    Ok(ToolCall {
        id,
        name: function.need_text("name")?,
        arguments: function.text("arguments")?.unwrap_or_default(),
    })
}

fn content(fields: &mut Fields, rest: &mut Vec<(String, Value)>) -> Result<Vec<Part>, Error> {
    match fields.take("content") {
        None => Ok(Vec::new()),
        Some(Value::String(text)) => Ok(vec![Part::Text(text)]),
        Some(Value::Array(list)) => {
            let at = fields.path("content");
            let parts = list.into_iter().enumerate().map(|(n, value)| {
                let mut fields = Fields::of(value, format!("{at}[{n}]"))?;
                let part = part(&mut fields)?;
                // Anthropic's mark, which others pass too: where it ends up changes the price and not the answer.
                fields.take("cache_control");
                rest.extend(fields.rest());
                Ok(part)
            });
            parts.collect()
        }
        Some(_) => Err(fields.wrong("content", "must be a string or a list of parts")),
    }
}

fn part(fields: &mut Fields) -> Result<Part, Error> {
    let kind = fields.need_text("type")?;
    let missing = |fields: &Fields, name: &str| fields.wrong(name, "is missing: it must be an object");
    match kind.as_str() {
        "text" => Ok(Part::Text(fields.need_text("text")?)),
        "refusal" => Ok(Part::Refusal(fields.need_text("refusal")?)),
        "image_url" => {
            let mut image = fields.object("image_url")?.ok_or_else(|| missing(fields, "image_url"))?;
            let source = Source::of_url(&image.need_text("url")?);
            Ok(Part::Image { source, detail: image.text("detail")? })
        }
        "input_audio" => {
            let mut audio = fields.object("input_audio")?.ok_or_else(|| missing(fields, "input_audio"))?;
            let media_type = format!("audio/{}", audio.need_text("format")?);
            Ok(Part::Audio(Source::Inline { media_type, data: audio.need_text("data")? }))
        }
        "file" => {
            let mut file = fields.object("file")?.ok_or_else(|| missing(fields, "file"))?;
            let name = file.text("filename")?;
            let source = match (file.text("file_data")?, file.text("file_id")?) {
                (Some(data), _) => Source::of_url(&data),
                (None, Some(id)) => Source::Id(id),
                (None, None) => return Err(file.wrong("file_data", "is missing: give it or file_id")),
            };
            Ok(Part::File { source, name })
        }
        other => {
            let hint = format!("`{other}` is not known: use text, image_url, input_audio, file or refusal");
            Err(fields.wrong("type", hint))
        }
    }
}

fn tools(fields: &mut Fields, rest: &mut Vec<(String, Value)>) -> Result<Vec<Tool>, Error> {
    let list = fields.list("tools")?.unwrap_or_default();
    let tools = list.into_iter().enumerate().filter_map(|(n, value)| {
        let at = format!("tools[{n}]");
        let tool = || {
            let mut fields = Fields::of(value, at.clone())?;
            match fields.need_text("type")?.as_str() {
                "function" => {}
                // Tools that the provider runs itself: only it knows them.
                _ => {
                    rest.push((at.clone(), Value::Null));
                    return Ok(None);
                }
            }
            let missing = fields.wrong("function", "is missing: it must be an object");
            let mut function = fields.object("function")?.ok_or(missing)?;
            let tool = Tool {
                name: function.need_text("name")?,
                description: function.text("description")?,
                parameters: function.object_value("parameters")?,
                strict: function.flag("strict")?,
            };
            fields.take("cache_control");
            rest.extend(function.rest());
            rest.extend(fields.rest());
            Ok(Some(tool))
        };
        tool().transpose()
    });
    tools.collect()
}

fn tool_choice(fields: &mut Fields) -> Result<Option<ToolChoice>, Error> {
    let hint = "must be none, auto, required or an object that names a function";
    let choice = match fields.take("tool_choice") {
        None => return Ok(None),
        Some(Value::String(text)) => match text.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::Never,
            "required" => ToolChoice::Required,
            _ => return Err(fields.wrong("tool_choice", hint)),
        },
        Some(value) => {
            let name = value.pointer("/function/name").and_then(Value::as_str);
            ToolChoice::Named(name.ok_or_else(|| fields.wrong("tool_choice", hint))?.to_owned())
        }
    };
    Ok(Some(choice))
}

fn format(fields: &mut Fields, rest: &mut Vec<(String, Value)>) -> Result<Option<Format>, Error> {
    let Some(mut format) = fields.object("response_format")? else { return Ok(None) };
    match format.need_text("type")?.as_str() {
        "text" => Ok(None),
        "json_object" => Ok(Some(Format::Json)),
        "json_schema" => {
            let missing = format.wrong("json_schema", "is missing: it must be an object");
            let mut inner = format.object("json_schema")?.ok_or(missing)?;
            let schema = Format::Schema {
                name: inner.need_text("name")?,
                description: inner.text("description")?,
                schema: inner.object_value("schema")?.unwrap_or_else(|| serde_json::json!({})),
                strict: inner.flag("strict")?,
            };
            rest.extend(inner.rest());
            Ok(Some(schema))
        }
        other => {
            let hint = format!("`{other}` is not known: use text, json_object or json_schema");
            Err(format.wrong("type", hint))
        }
    }
}
