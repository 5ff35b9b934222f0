//! A chat as it is put to servers that speak OpenAI's dialect.

use serde_json::{Map, Value, json};

use crate::chat::{Ask, Format, Message, Part, Reasoning, Role, Source, Tool, ToolChoice};

/// The body, for a model of this name. `output_max` is what the server calls the most tokens that an answer may have.
pub(crate) fn body(ask: &Ask, model: &str, output_max: &str) -> Map<String, Value> {
    let mut body = Map::new();
    body.insert("model".to_owned(), model.into());
    body.insert("messages".to_owned(), ask.messages.iter().map(message).collect());
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put(output_max, ask.output_max.map(Value::from));
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
    put("n", ask.choices.filter(|n| *n != 1).map(Value::from));
    if let Some(top) = ask.logprobs {
        put("logprobs", Some(true.into()));
        put("top_logprobs", (top > 0).then(|| top.into()));
    }
    put("user", ask.user.clone().map(Value::from));
    put("tools", (!ask.tools.is_empty()).then(|| ask.tools.iter().map(tool).collect()));
    if !ask.tools.is_empty() {
        put("tool_choice", ask.tool_choice.as_ref().map(tool_choice));
        put("parallel_tool_calls", ask.parallel_tools.map(Value::from));
    }
    put("response_format", ask.format.as_ref().map(format));
    put("reasoning_effort", ask.reasoning.as_ref().and_then(effort));
    if ask.stream {
        put("stream", Some(true.into()));
        // Always asked for: limits and prices are counted by it. Who did not want it is not told.
        put("stream_options", Some(json!({ "include_usage": true })));
    }
    body
}

/// A message.
pub(crate) fn message(message: &Message) -> Value {
    let mut out = Map::new();
    let mut put = |name: &str, value: Value| drop(out.insert(name.to_owned(), value));
    if let [Part::ToolResult(result)] = message.parts.as_slice() {
        put("role", "tool".into());
        put("tool_call_id", result.id.as_str().into());
        put("content", content(&result.parts).unwrap_or_else(|| "".into()));
        return Value::Object(out);
    }
    let role = match message.role {
        Role::System => "system",
        Role::User => "user",
        Role::Assistant => "assistant",
        Role::Tool => "tool",
    };
    put("role", role.into());
    if let Some(name) = &message.name {
        put("name", name.as_str().into());
    }
    let said = content(&message.parts);
    put("content", said.unwrap_or(if message.role == Role::Assistant { Value::Null } else { "".into() }));
    for part in &message.parts {
        match part {
            Part::Refusal(why) => put("refusal", why.as_str().into()),
            Part::Thinking { text, .. } if !text.is_empty() => put("reasoning_content", text.as_str().into()),
            _ => {}
        }
    }
    let calls: Vec<Value> = message
        .parts
        .iter()
        .filter_map(|part| match part {
            Part::ToolCall(call) => Some(json!({
                "id": call.id,
                "type": "function",
                "function": { "name": call.name, "arguments": call.arguments },
            })),
            _ => None,
        })
        .collect();
    if !calls.is_empty() {
        put("tool_calls", calls.into());
    }
    Value::Object(out)
}

/// What is said: one text as it is, anything else as a list of parts; `None` where nothing is.
fn content(parts: &[Part]) -> Option<Value> {
    let said: Vec<Value> = parts.iter().filter_map(part).collect();
    match (parts.iter().filter(|part| part_is_said(part)).collect::<Vec<_>>().as_slice(), said.is_empty()) {
        ([Part::Text(text)], _) => Some(text.as_str().into()),
        (_, true) => None,
        _ => Some(said.into()),
    }
}

fn part_is_said(part: &Part) -> bool {
    matches!(part, Part::Text(_) | Part::Image { .. } | Part::Audio(_) | Part::File { .. })
}

fn part(part: &Part) -> Option<Value> {
    match part {
        Part::Text(text) => Some(json!({ "type": "text", "text": text })),
        Part::Image { source, detail } => {
            let mut image = json!({ "url": source.to_url()? });
            if let Some(detail) = detail {
                image["detail"] = detail.as_str().into();
            }
            Some(json!({ "type": "image_url", "image_url": image }))
        }
        Part::Audio(Source::Inline { media_type, data }) => {
            let format = media_type.strip_prefix("audio/").unwrap_or(media_type);
            Some(json!({ "type": "input_audio", "input_audio": { "data": data, "format": format } }))
        }
        Part::File { source, name } => {
            let mut file = match source {
                Source::Id(id) => json!({ "file_id": id }),
                source => json!({ "file_data": source.to_url()? }),
            };
            if let Some(name) = name {
                file["filename"] = name.as_str().into();
            }
            Some(json!({ "type": "file", "file": file }))
        }
        Part::Audio(_)
        | Part::Thinking { .. }
        | Part::Refusal(_)
        | Part::ToolCall(_)
        | Part::ToolResult(_) => None,
    }
}

fn tool(tool: &Tool) -> Value {
    let mut function = json!({ "name": tool.name });
    if let Some(description) = &tool.description {
        function["description"] = description.as_str().into();
    }
    if let Some(parameters) = &tool.parameters {
        function["parameters"] = parameters.clone();
    }
    if let Some(strict) = tool.strict {
        function["strict"] = strict.into();
    }
    json!({ "type": "function", "function": function })
}

fn tool_choice(choice: &ToolChoice) -> Value {
    match choice {
        ToolChoice::Auto => "auto".into(),
        ToolChoice::Never => "none".into(),
        ToolChoice::Required => "required".into(),
        ToolChoice::Named(name) => json!({ "type": "function", "function": { "name": name } }),
    }
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

/// Budgets in words: OpenAI's dialect has no number for them. The bounds are those that Google publishes for the same words.
fn effort(reasoning: &Reasoning) -> Option<Value> {
    Some(match reasoning {
        Reasoning::On => return None,
        Reasoning::Off => "none".into(),
        Reasoning::Effort(effort) => effort.as_str().into(),
        Reasoning::Budget(..=1_024) => "low".into(),
        Reasoning::Budget(..=8_192) => "medium".into(),
        Reasoning::Budget(_) => "high".into(),
    })
}
