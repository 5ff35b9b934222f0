//! The question as data, for templates: see [`super::shape`] for its fields. What it does not have is not there.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::call::{Error, Target};
use crate::chat::{Ask, Feature, Format, Message, Part, Reasoning, Role, Source, Tool, ToolChoice};
use crate::embed;

/// A chat's question.
///
/// # Errors
/// When it holds what the template says nothing of: `mentions` are the words it uses.
pub(super) fn chat(
    ask: &Ask,
    target: &Target<'_>,
    options: Map<String, Value>,
    mentions: &BTreeSet<String>,
    dialect: &str,
) -> Result<Value, Error> {
    refuse(ask, mentions, dialect)?;
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    put("model", Some(target.model_of(&ask.model).into()));
    conversation(ask, mentions, &mut put);
    put("tools", (!ask.tools.is_empty()).then(|| ask.tools.iter().map(tool).collect()));
    if !ask.tools.is_empty() {
        put("tool_choice", ask.tool_choice.as_ref().map(tool_choice));
        put("parallel_tools", ask.parallel_tools.map(Value::from));
    }
    put("format", ask.format.as_ref().map(format));
    put("max_tokens", ask.output_max.map(Value::from));
    let sampling = &ask.sampling;
    put("temperature", sampling.temperature.map(Value::from));
    put("top_p", sampling.top_p.map(Value::from));
    put("top_k", sampling.top_k.map(Value::from));
    put("min_p", sampling.min_p.map(Value::from));
    put("presence_penalty", sampling.presence_penalty.map(Value::from));
    put("frequency_penalty", sampling.frequency_penalty.map(Value::from));
    put("repetition_penalty", sampling.repetition_penalty.map(Value::from));
    put("seed", sampling.seed.map(Value::from));
    put("stop", (!sampling.stop.is_empty()).then(|| sampling.stop.clone().into()));
    put("logit_bias", sampling.logit_bias.clone());
    put("choices", ask.choices.filter(|n| *n != 1).map(Value::from));
    put("logprobs", ask.logprobs.map(|_| true.into()));
    put("top_logprobs", ask.logprobs.filter(|top| *top > 0).map(Value::from));
    put("reasoning", ask.reasoning.as_ref().map(reasoning));
    put("user", ask.user.clone().map(Value::from));
    put("stream", Some(ask.stream.into()));
    put("option", Some(options.into()));
    Ok(out.into())
}

/// Texts that are to become vectors.
///
/// # Errors
/// As [`chat`].
pub(super) fn texts(
    ask: &embed::Ask,
    target: &Target<'_>,
    options: Map<String, Value>,
    mentions: &BTreeSet<String>,
    dialect: &str,
) -> Result<Value, Error> {
    if ask.dimensions.is_some() && !mentions.contains("dimensions") {
        return Err(Error::unsaid("dimensions", dialect));
    }
    let mut out = json!({ "model": target.model_of(&ask.model), "inputs": ask.inputs, "option": options });
    if let Some(dimensions) = ask.dimensions {
        out["dimensions"] = dimensions.into();
    }
    if let Some(user) = &ask.user {
        out["user"] = user.as_str().into();
    }
    Ok(out)
}

/// Refuses what no feature stands for and the template says nothing of.
fn refuse(ask: &Ask, mentions: &BTreeSet<String>, dialect: &str) -> Result<(), Error> {
    let unsaid = |field: &str| Err(Error::unsaid(field, dialect));
    if ask.output_max.is_some() && !mentions.contains("max_tokens") {
        return unsaid("max_tokens");
    }
    for message in &ask.messages {
        if message.name.is_some() && !mentions.contains("speaker") {
            return unsaid("messages.name");
        }
        for part in &message.parts {
            match part {
                Part::Image { detail: Some(detail), .. }
                    if detail != "auto" && !mentions.contains("detail") =>
                {
                    return unsaid("messages.content.image_url.detail");
                }
                Part::Image { .. } | Part::Audio(_) | Part::File { .. } if message.role != Role::User => {
                    return unsaid("messages.content");
                }
                _ => {}
            }
        }
    }
    let rich = ask.uses(Feature::RichResult) && !mentions.contains("parts");
    if rich { unsaid("messages.content") } else { Ok(()) }
}

/// The messages, with and without instructions; only what the template speaks of is copied.
fn conversation(ask: &Ask, mentions: &BTreeSet<String>, put: &mut impl FnMut(&str, Option<Value>)) {
    let mut names: BTreeMap<&str, &str> = BTreeMap::new();
    let last = ask.messages.len().saturating_sub(1);
    let mut messages = Vec::with_capacity(ask.messages.len());
    for (n, one) in ask.messages.iter().enumerate() {
        for part in &one.parts {
            if let Part::ToolCall(call) = part {
                names.insert(&call.id, &call.name);
            }
        }
        messages.push(message(one, n == last, &names));
    }
    if mentions.contains("system") {
        let system = ask.messages.iter().filter(|message| message.role == Role::System);
        let system: Vec<String> = system.map(Message::all_text).collect();
        put("system", (!system.is_empty()).then(|| system.join("\n\n").into()));
    }
    if mentions.contains("turns") {
        let turns = messages.iter().filter(|message| message["role"] != "system");
        put("turns", Some(turns.cloned().collect()));
    }
    put("messages", Some(messages.into()));
}

fn message(message: &Message, last: bool, names: &BTreeMap<&str, &str>) -> Value {
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    let result = message.parts.iter().find_map(|part| match part {
        Part::ToolResult(result) => Some(result),
        _ => None,
    });
    let said = result.map_or(&message.parts, |result| &result.parts);
    let mut out = json!({ "role": role, "text": words(said), "parts": parts(said) });
    if let Some(result) = result {
        out["call_id"] = result.id.as_str().into();
        let name = result.name.as_deref().or_else(|| names.get(result.id.as_str()).copied());
        if let Some(name) = name {
            out["call_name"] = name.into();
        }
        out["failed"] = result.failed.into();
    }
    if let Some(name) = &message.name {
        out["speaker"] = name.as_str().into();
    }
    let thoughts = message.parts.iter().map(|part| match part {
        Part::Thinking { text, .. } => text.as_str(),
        _ => "",
    });
    let thoughts: String = thoughts.collect();
    if !thoughts.is_empty() {
        out["thinking"] = thoughts.into();
    }
    let calls = message.parts.iter().filter_map(|part| match part {
        Part::ToolCall(call) => Some(call),
        _ => None,
    });
    let calls: Vec<Value> = calls
        .enumerate()
        .map(|(n, call)| json!({ "index": n, "id": call.id, "name": call.name, "arguments": call.arguments }))
        .collect();
    if !calls.is_empty() {
        out["calls"] = calls.into();
    } else if last && message.role == Role::Assistant {
        out["prefill"] = true.into();
    }
    out
}

/// All that is said in words, refusals included.
fn words(parts: &[Part]) -> String {
    let words = parts.iter().map(|part| match part {
        Part::Text(text) | Part::Refusal(text) => text.as_str(),
        _ => "",
    });
    words.collect()
}

fn parts(parts: &[Part]) -> Vec<Value> {
    parts.iter().filter_map(part).collect()
}

fn part(part: &Part) -> Option<Value> {
    Some(match part {
        Part::Text(text) | Part::Refusal(text) => json!({ "kind": "text", "text": text }),
        Part::Image { source, detail } => {
            let mut out = sourced("image", source);
            if let Some(detail) = detail {
                out["detail"] = detail.as_str().into();
            }
            out
        }
        Part::Audio(source) => sourced("audio", source),
        Part::File { source, name } => {
            let mut out = sourced("file", source);
            if let Some(name) = name {
                out["name"] = name.as_str().into();
            }
            out
        }
        Part::Thinking { .. } | Part::ToolCall(_) | Part::ToolResult(_) => return None,
    })
}

fn sourced(kind: &str, source: &Source) -> Value {
    let mut out = json!({ "kind": kind });
    if let Some(url) = source.to_url() {
        out["url"] = url.into();
    }
    match source {
        Source::Inline { media_type, data } => {
            out["media_type"] = media_type.as_str().into();
            out["data"] = data.as_str().into();
        }
        Source::Id(id) => out["file_id"] = id.as_str().into(),
        Source::Url(_) => {}
    }
    out
}

fn tool(tool: &Tool) -> Value {
    let mut out = json!({ "name": tool.name });
    if let Some(description) = &tool.description {
        out["description"] = description.as_str().into();
    }
    if let Some(parameters) = &tool.parameters {
        out["parameters"] = parameters.clone();
    }
    if let Some(strict) = tool.strict {
        out["strict"] = strict.into();
    }
    out
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => json!({ "kind": "auto" }),
        ToolChoice::Never => json!({ "kind": "none" }),
        ToolChoice::Required => json!({ "kind": "required" }),
        ToolChoice::Named(name) => json!({ "kind": "named", "name": name }),
    }
}

fn format(format: &Format) -> Value {
    match format {
        Format::Json => json!({ "kind": "json" }),
        Format::Schema { name, description, schema, strict } => {
            let mut out = json!({ "kind": "schema", "name": name, "schema": schema });
            if let Some(description) = description {
                out["description"] = description.as_str().into();
            }
            if let Some(strict) = strict {
                out["strict"] = (*strict).into();
            }
            out
        }
    }
}

fn reasoning(reasoning: &Reasoning) -> Value {
    match reasoning {
        Reasoning::Off | Reasoning::Budget(0) => json!({ "kind": "off" }),
        Reasoning::On => json!({ "kind": "on" }),
        Reasoning::Effort(effort) => json!({ "kind": "effort", "effort": effort }),
        Reasoning::Budget(tokens) => json!({ "kind": "budget", "budget": tokens }),
    }
}
