//! A chat as it is put to DashScope: the conversation under `input`, everything else under `parameters`.

use serde_json::{Map, Value, json};

use super::models;
use crate::call::Error;
use crate::chat::{Ask, Feature, Format, Message, Part, Reasoning, Role, Source, Tool, ToolCall, ToolChoice};

/// Beginnings of the names of models that are on the multimodal path and look at no pictures.
const LISTENING: &[&str] = &["qwen-audio", "qwen2-audio", "qwen3-asr"];
/// `temperature` must be below 2.
const TEMPERATURE_MAX: f64 = 1.99;
/// `top_p` must lie between 0 and 1, without both ends in most models.
const TOP_P: (f64, f64) = (0.0001, 0.9999);
/// Seeds are from 0 to this.
const SEED_MAX: i64 = i32::MAX as i64;
/// Tokens of thought that words stand for: the numbers that Google publishes for the same words.
const EFFORTS: &[(&str, u64)] = &[("minimal", 1_024), ("low", 1_024), ("medium", 8_192), ("high", 24_576)];

/// Whether the question belongs on the path for pictures and sound.
///
/// # Errors
/// When it has such but the target's option says that the model is on the other path, or the option is no such word.
pub(super) fn is_multimodal(ask: &Ask, model: &str, interface: Option<&str>) -> Result<bool, Error> {
    let seen = [Feature::Image, Feature::ImageUrl, Feature::Audio];
    let used = seen.into_iter().find(|feature| ask.uses(*feature));
    match (interface, used) {
        (None, None) => {
            let looks = crate::models::find(models::KNOWN, model).is_some_and(|known| known.vision);
            Ok(looks || LISTENING.iter().any(|start| model.starts_with(start)))
        }
        (Some("text"), None) => Ok(false),
        (Some("text"), Some(what)) => Err(Error::Unsaid { what: what.into(), dialect: "dashscope".into() }),
        (None | Some("multimodal"), _) => Ok(true),
        (Some(_), _) => Err(Error::Target("its option `interface` must be text or multimodal".to_owned())),
    }
}

/// The body.
///
/// # Errors
/// When the question holds what DashScope has no word for.
pub(super) fn body(ask: &Ask, model: &str, multimodal: bool, dialect: &'static str) -> Result<Value, Error> {
    let last = ask.messages.len().saturating_sub(1);
    let messages = ask.messages.iter().enumerate();
    let messages: Result<Vec<Value>, Error> =
        messages.map(|(n, one)| message(one, n == last, multimodal, dialect)).collect();
    Ok(json!({
        "model": model,
        "input": { "messages": messages? },
        "parameters": parameters(ask, multimodal, dialect)?,
    }))
}

fn parameters(ask: &Ask, multimodal: bool, dialect: &'static str) -> Result<Value, Error> {
    let unsaid = |feature: Feature| Error::Unsaid { what: feature.into(), dialect: dialect.into() };
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    put("result_format", Some("message".into()));
    put("incremental_output", ask.stream.then(|| true.into()));
    put("max_tokens", ask.output_max.map(Value::from));
    let sampling = &ask.sampling;
    put("temperature", sampling.temperature.map(|number| number.clamp(0.0, TEMPERATURE_MAX).into()));
    put("top_p", sampling.top_p.map(|number| number.clamp(TOP_P.0, TOP_P.1).into()));
    put("top_k", sampling.top_k.map(Value::from));
    put("presence_penalty", sampling.presence_penalty.map(Value::from));
    put("repetition_penalty", sampling.repetition_penalty.map(Value::from));
    if let Some(seed) = sampling.seed {
        if !(0..=SEED_MAX).contains(&seed) {
            return Err(unsaid(Feature::Seed));
        }
        put("seed", Some(seed.into()));
    }
    put("stop", (!sampling.stop.is_empty()).then(|| sampling.stop.clone().into()));
    put("n", ask.choices.filter(|n| *n != 1).map(Value::from));
    if let Some(top) = ask.logprobs {
        put("logprobs", Some(true.into()));
        put("top_logprobs", (top > 0).then(|| top.into()));
    }
    if !ask.tools.is_empty() {
        put("tools", Some(ask.tools.iter().map(tool).collect()));
        put("tool_choice", tool_choice(ask.tool_choice.as_ref()).map_err(unsaid)?);
        put("parallel_tool_calls", ask.parallel_tools.map(Value::from));
    }
    put("response_format", ask.format.as_ref().map(format));
    if let Some(reasoning) = &ask.reasoning {
        let (thinks, budget) = thinking(reasoning).ok_or_else(|| unsaid(Feature::Reasoning))?;
        put("enable_thinking", Some(thinks.into()));
        put("thinking_budget", budget.map(Value::from));
    }
    if multimodal {
        let closely =
            closely(ask).map_err(|()| Error::unsaid("messages.content.image_url.detail", dialect))?;
        put("vl_high_resolution_images", closely.map(Value::from));
    }
    Ok(Value::Object(out))
}

/// How closely pictures are looked at is one word for all of them here.
fn closely(ask: &Ask) -> Result<Option<bool>, ()> {
    let mut said = None;
    for part in ask.messages.iter().flat_map(|message| &message.parts) {
        let Part::Image { detail, .. } = part else { continue };
        let wanted = match detail.as_deref() {
            None | Some("auto") => continue,
            Some("high") => true,
            Some("low") => false,
            Some(_) => return Err(()),
        };
        if said.replace(wanted).is_some_and(|before| before != wanted) {
            return Err(());
        }
    }
    Ok(said)
}

/// Whether to think, and how long; `None` where the word is not known.
fn thinking(reasoning: &Reasoning) -> Option<(bool, Option<u64>)> {
    Some(match reasoning {
        Reasoning::Off | Reasoning::Budget(0) => (false, None),
        Reasoning::On => (true, None),
        Reasoning::Budget(tokens) => (true, Some(*tokens)),
        Reasoning::Effort(effort) => {
            let (_, tokens) = EFFORTS.iter().find(|(word, _)| word == effort)?;
            (true, Some(*tokens))
        }
    })
}

fn message(message: &Message, last: bool, multimodal: bool, dialect: &'static str) -> Result<Value, Error> {
    if message.name.is_some() {
        return Err(Error::unsaid("messages.name", dialect));
    }
    if let [Part::ToolResult(result)] = message.parts.as_slice() {
        let content = content(&result.parts, multimodal, dialect)?;
        return Ok(json!({ "role": "tool", "content": content, "tool_call_id": result.id }));
    }
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => return Err(Error::unsaid("messages.role", dialect)),
    };
    let mut out = json!({ "role": role, "content": content(&message.parts, multimodal, dialect)? });
    let thoughts = message.parts.iter().map(|part| match part {
        Part::Thinking { text, .. } => text.as_str(),
        _ => "",
    });
    let thoughts: String = thoughts.collect();
    if !thoughts.is_empty() {
        out["reasoning_content"] = thoughts.into();
    }
    let calls = message.parts.iter().filter_map(|part| match part {
        Part::ToolCall(call) => Some(call),
        _ => None,
    });
    let calls: Vec<Value> = calls.map(tool_call).collect();
    if !calls.is_empty() {
        out["tool_calls"] = calls.into();
    } else if last && message.role == Role::Assistant {
        // Else the model would answer its own words.
        out["partial"] = true.into();
    }
    Ok(out)
}

/// What is said: one text, or a list of parts on the multimodal path.
fn content(parts: &[Part], multimodal: bool, dialect: &'static str) -> Result<Value, Error> {
    let unsaid = |feature: Feature| Error::Unsaid { what: feature.into(), dialect: dialect.into() };
    let url = |source: &Source| source.to_url().ok_or_else(|| unsaid(Feature::UploadedFile));
    let mut said = Vec::new();
    for part in parts {
        match part {
            Part::Text(text) | Part::Refusal(text) => said.push(json!({ "text": text })),
            Part::Image { source, .. } if multimodal => said.push(json!({ "image": url(source)? })),
            Part::Audio(source) if multimodal => said.push(json!({ "audio": url(source)? })),
            Part::Image { .. } => return Err(unsaid(Feature::Image)),
            Part::Audio(_) => return Err(unsaid(Feature::Audio)),
            Part::File { .. } => return Err(unsaid(Feature::File)),
            Part::Thinking { .. } | Part::ToolCall(_) => {}
            Part::ToolResult(_) => return Err(Error::unsaid("messages.content", dialect)),
        }
    }
    if multimodal {
        return Ok(said.into());
    }
    let texts: String = said.iter().filter_map(|part| part["text"].as_str()).collect();
    Ok(texts.into())
}

fn tool_call(call: &ToolCall) -> Value {
    json!({
        "id": call.id,
        "type": "function",
        "function": { "name": call.name, "arguments": call.arguments },
    })
}

fn tool(tool: &Tool) -> Value {
    let mut function = json!({ "name": tool.name });
    if let Some(description) = &tool.description {
        function["description"] = description.as_str().into();
    }
    if let Some(parameters) = &tool.parameters {
        function["parameters"] = parameters.clone();
    }
    json!({ "type": "function", "function": function })
}

/// Some tool, whichever, cannot be demanded.
fn tool_choice(choice: Option<&ToolChoice>) -> Result<Option<Value>, Feature> {
    Ok(match choice {
        None => None,
        Some(ToolChoice::Auto) => Some("auto".into()),
        Some(ToolChoice::Never) => Some("none".into()),
        Some(ToolChoice::Required) => return Err(Feature::ToolChoice),
        Some(ToolChoice::Named(name)) => Some(json!({ "type": "function", "function": { "name": name } })),
    })
}

fn format(format: &Format) -> Value {
    match format {
        Format::Json => json!({ "type": "json_object" }),
        Format::Schema { name, description, schema, strict } => {
            let mut inner = json!({ "name": name, "schema": schema });
            if let Some(description) = description {
                inner["description"] = description.as_str().into();
            }
            if let Some(strict) = strict {
                inner["strict"] = (*strict).into();
            }
            json!({ "type": "json_schema", "json_schema": inner })
        }
    }
}
