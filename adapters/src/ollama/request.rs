//! A chat as it is put to servers that speak as Ollama does.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::dialect::NAME;
use crate::call::Error;
use crate::chat::{Ask, Feature, Format, Message, Part, Reasoning, Role, Source, Tool, ToolCall, ToolResult};

/// The body, for a model of this name.
///
/// # Errors
/// When the question holds what Ollama has no word for.
pub(super) fn body(ask: &Ask, model: &str) -> Result<Value, Error> {
    let mut body = Map::new();
    let mut put = |name: &str, value: Value| drop(body.insert(name.to_owned(), value));
    let (mut messages, mut names) = (Vec::new(), BTreeMap::new());
    for one in &ask.messages {
        message(one, &mut names, &mut messages)?;
    }
    put("model", model.into());
    put("messages", messages.into());
    // Answers come in pieces where nothing is said.
    put("stream", ask.stream.into());
    if !ask.tools.is_empty() {
        put("tools", ask.tools.iter().map(tool).collect());
    }
    if let Some(form) = &ask.format {
        put("format", format(form));
    }
    if let Some(top) = ask.logprobs {
        put("logprobs", true.into());
        if top > 0 {
            put("top_logprobs", top.into());
        }
    }
    if let Some(reasoning) = &ask.reasoning {
        put("think", think(reasoning)?);
    }
    let options = options(ask);
    if !options.is_empty() {
        put("options", options.into());
    }
    Ok(body.into())
}

fn options(ask: &Ask) -> Map<String, Value> {
    let mut options = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            options.insert(name.to_owned(), value);
        }
    };
    let sampling = &ask.sampling;
    put("num_predict", ask.output_max.map(Value::from));
    put("temperature", sampling.temperature.map(Value::from));
    put("top_p", sampling.top_p.map(Value::from));
    put("top_k", sampling.top_k.map(Value::from));
    put("min_p", sampling.min_p.map(Value::from));
    put("presence_penalty", sampling.presence_penalty.map(Value::from));
    put("frequency_penalty", sampling.frequency_penalty.map(Value::from));
    put("repeat_penalty", sampling.repetition_penalty.map(Value::from));
    put("seed", sampling.seed.map(Value::from));
    put("stop", (!sampling.stop.is_empty()).then(|| sampling.stop.clone().into()));
    options
}

/// Budgets in words: Ollama has no number for them. The bounds are those that Google publishes for the same words.
fn think(reasoning: &Reasoning) -> Result<Value, Error> {
    Ok(match reasoning {
        Reasoning::Off => false.into(),
        Reasoning::On => true.into(),
        Reasoning::Effort(word) if ["low", "medium", "high"].contains(&word.as_str()) => word.as_str().into(),
        Reasoning::Effort(_) => return Err(unsaid(Feature::Reasoning)),
        Reasoning::Budget(..=1_024) => "low".into(),
        Reasoning::Budget(..=8_192) => "medium".into(),
        Reasoning::Budget(_) => "high".into(),
    })
}

/// Holds answers to schemas always, and has no names for them.
fn format(format: &Format) -> Value {
    match format {
        Format::Json => "json".into(),
        Format::Schema { schema, description, .. } => {
            let mut schema = schema.clone();
            if let (Some(description), Some(fields)) = (description, schema.as_object_mut()) {
                fields.entry("description").or_insert_with(|| description.as_str().into());
            }
            schema
        }
    }
}

fn tool(tool: &Tool) -> Value {
    let mut function = json!({
        "name": tool.name,
        // Must be there.
        "parameters": tool.parameters.clone().unwrap_or_else(|| json!({ "type": "object", "properties": {} })),
    });
    if let Some(description) = &tool.description {
        function["description"] = description.as_str().into();
    }
    json!({ "type": "function", "function": function })
}

/// A message, or several: Ollama puts a message's pictures before its text, so that a text that stands before a picture and
/// another one after it are two messages.
fn message(
    message: &Message,
    names: &mut BTreeMap<String, String>,
    out: &mut Vec<Value>,
) -> Result<(), Error> {
    if message.name.is_some() {
        return Err(Error::unsaid("messages.name", NAME));
    }
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let mut said = Said::default();
    let mixed = is_mixed(&message.parts);
    for part in &message.parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => said.text.push_str(text),
            Part::Thinking { text, .. } => said.thinking.push_str(text),
            Part::Image { source, detail } => {
                if mixed && !said.text.is_empty() {
                    out.push(std::mem::take(&mut said).into_value(role));
                }
                said.images.push(image(source, detail.as_deref())?);
            }
            Part::ToolCall(call) => {
                names.insert(call.id.clone(), call.name.clone());
                said.calls.push(tool_call(call)?);
            }
            Part::ToolResult(result) => {
                out.push(tool_result(result, names)?);
                return Ok(());
            }
            Part::Audio(_) => return Err(unsaid(Feature::Audio)),
            Part::File { .. } => return Err(unsaid(Feature::File)),
        }
    }
    out.push(said.into_value(role));
    Ok(())
}

/// Whether a text follows a picture that follows a text.
fn is_mixed(parts: &[Part]) -> bool {
    let image = |part: &Part| matches!(part, Part::Image { .. });
    let text = |part: &Part| matches!(part, Part::Text(_));
    let Some(first) = parts.iter().position(text) else { return false };
    let mut rest = parts[first..].iter().skip_while(|part| !image(part));
    rest.any(text)
}

#[derive(Default)]
struct Said {
    text: String,
    thinking: String,
    images: Vec<Value>,
    calls: Vec<Value>,
}

impl Said {
    fn into_value(self, role: &str) -> Value {
        let mut out = json!({ "role": role, "content": self.text });
        if !self.thinking.is_empty() {
            out["thinking"] = self.thinking.into();
        }
        if !self.images.is_empty() {
            out["images"] = self.images.into();
        }
        if !self.calls.is_empty() {
            out["tool_calls"] = self.calls.into();
        }
        out
    }
}

fn image(source: &Source, detail: Option<&str>) -> Result<Value, Error> {
    if detail.is_some_and(|detail| detail != "auto") {
        return Err(Error::unsaid("messages.content.image_url.detail", NAME));
    }
    match source {
        Source::Inline { data, .. } => Ok(data.as_str().into()),
        Source::Url(_) => Err(unsaid(Feature::ImageUrl)),
        Source::Id(_) => Err(unsaid(Feature::UploadedFile)),
    }
}

fn tool_call(call: &ToolCall) -> Result<Value, Error> {
    let arguments =
        call.object().map_err(|hint| Error::field("messages.tool_calls.function.arguments", hint))?;
    Ok(json!({ "id": call.id, "function": { "name": call.name, "arguments": arguments } }))
}

fn tool_result(result: &ToolResult, names: &BTreeMap<String, String>) -> Result<Value, Error> {
    if result.parts.iter().any(|part| !matches!(part, Part::Text(_))) {
        return Err(unsaid(Feature::RichResult));
    }
    let mut out = json!({ "role": "tool", "content": result.all_text(), "tool_call_id": result.id });
    if let Some(name) = result.name.as_ref().or_else(|| names.get(&result.id)) {
        out["tool_name"] = name.as_str().into();
    }
    Ok(out)
}

fn unsaid(feature: Feature) -> Error {
    Error::Unsaid { what: feature.into(), dialect: NAME.into() }
}
