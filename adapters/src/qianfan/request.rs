//! A chat as it is put to Qianfan: instructions aside, then user and model strictly in turn.

use serde_json::{Map, Value, json};

use crate::call::Error;
use crate::chat::{Ask, Feature, Format, Message, Part, Role, Tool, ToolCall, ToolChoice};

/// `temperature` is above 0 and at most 1.
const TEMPERATURE: (f64, f64) = (0.01, 1.0);
/// The factor against repetition.
const PENALTY_SCORE: (f64, f64) = (1.0, 2.0);
/// The least that answers can be held to, in tokens.
const OUTPUT_MIN: u64 = 2;

/// The body.
///
/// # Errors
/// When the question holds what Qianfan has no word for.
pub(super) fn body(ask: &Ask, dialect: &'static str) -> Result<Value, Error> {
    let (system, turns) = system(&ask.messages, dialect)?;
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("messages", Some(messages(turns, dialect)?.into()));
    put("system", system.map(Value::from));
    let sampling = &ask.sampling;
    let within = |number: f64, (min, max): (f64, f64)| Value::from(number.clamp(min, max));
    put("temperature", sampling.temperature.map(|number| within(number, TEMPERATURE)));
    put("top_p", sampling.top_p.map(|number| within(number, (0.0, 1.0))));
    put("penalty_score", sampling.repetition_penalty.map(|number| within(number, PENALTY_SCORE)));
    put("stop", (!sampling.stop.is_empty()).then(|| sampling.stop.clone().into()));
    put("max_output_tokens", ask.output_max.map(|tokens| tokens.max(OUTPUT_MIN).into()));
    match &ask.format {
        None => {}
        Some(Format::Json) => put("response_format", Some("json_object".into())),
        Some(Format::Schema { .. }) => {
            return Err(Error::Unsaid { what: Feature::JsonSchema.into(), dialect: dialect.into() });
        }
    }
    put("user_id", ask.user.clone().map(Value::from));
    match &ask.tool_choice {
        _ if ask.tools.is_empty() => {}
        // Has no word; without functions it cannot call one.
        Some(ToolChoice::Never) => {}
        Some(ToolChoice::Required) => {
            return Err(Error::Unsaid { what: Feature::ToolChoice.into(), dialect: dialect.into() });
        }
        choice => {
            put("functions", Some(ask.tools.iter().map(function).collect()));
            if let Some(ToolChoice::Named(name)) = choice {
                put("tool_choice", Some(json!({ "type": "function", "function": { "name": name } })));
            }
        }
    }
    put("stream", ask.stream.then(|| true.into()));
    Ok(Value::Object(body))
}

/// The instructions at the beginning, and the rest. Later ones have no place.
fn system<'a>(
    messages: &'a [Message],
    dialect: &'static str,
) -> Result<(Option<String>, &'a [Message]), Error> {
    let leading = messages.iter().take_while(|message| message.role == Role::System).count();
    let (instructions, turns) = messages.split_at(leading);
    let mut texts = Vec::with_capacity(leading);
    for message in instructions {
        texts.push(said(message, &message.parts, dialect)?);
    }
    Ok(((leading > 0).then(|| texts.join("\n")), turns))
}

/// An odd number of messages: the user or a function, then the model, and so on.
fn messages(turns: &[Message], dialect: &'static str) -> Result<Vec<Value>, Error> {
    let mut out = Vec::with_capacity(turns.len());
    for (n, message) in turns.iter().enumerate() {
        let fits = match message.role {
            Role::User => n % 2 == 0,
            Role::Tool => n % 2 == 0 && n > 0,
            Role::Assistant => n % 2 == 1,
            Role::System => false,
        };
        if !fits {
            return Err(Error::unsaid("messages.role", dialect));
        }
        out.push(turn(message, &turns[..n], dialect)?);
    }
    match turns.last().map(|last| last.role) {
        Some(Role::Assistant) => {
            Err(Error::Unsaid { what: Feature::Prefill.into(), dialect: dialect.into() })
        }
        None => Err(Error::unsaid("messages", dialect)),
        Some(_) => Ok(out),
    }
}

fn turn(message: &Message, before: &[Message], dialect: &'static str) -> Result<Value, Error> {
    if let [Part::ToolResult(result)] = message.parts.as_slice() {
        // Functions are known by name here; some protocols know results by the id of their call alone.
        let called = before.iter().rev().flat_map(calls).find(|call| call.id == result.id);
        let name = result.name.as_deref().or(called.map(|call| call.name.as_str()));
        let Some(name) = name else { return Err(Error::unsaid("messages.tool_call_id", dialect)) };
        let content = said(message, &result.parts, dialect)?;
        return Ok(json!({ "role": "function", "name": name, "content": content }));
    }
    let role = if message.role == Role::Assistant { "assistant" } else { "user" };
    let content = said(message, &message.parts, dialect)?;
    let mut out = json!({ "role": role, "content": content });
    let mut called = calls(message);
    if let Some(call) = called.next() {
        out["function_call"] = function_call(call, message);
        if called.next().is_some() {
            return Err(Error::unsaid("messages.tool_calls", dialect));
        }
    }
    Ok(out)
}

fn calls(message: &Message) -> impl Iterator<Item = &ToolCall> {
    message.parts.iter().filter_map(|part| match part {
        Part::ToolCall(call) => Some(call),
        _ => None,
    })
}

/// The call as the model made it, with what it thought.
fn function_call(call: &ToolCall, message: &Message) -> Value {
    let mut out = json!({ "name": call.name, "arguments": call.arguments });
    let thoughts = message.parts.iter().map(|part| match part {
        Part::Thinking { text, .. } => text.as_str(),
        _ => "",
    });
    let thoughts: String = thoughts.collect();
    if !thoughts.is_empty() {
        out["thoughts"] = thoughts.into();
    }
    out
}

/// The text of some parts; there is nothing else to be said here.
fn said(message: &Message, parts: &[Part], dialect: &'static str) -> Result<String, Error> {
    if message.name.is_some() {
        return Err(Error::unsaid("messages.name", dialect));
    }
    let mut text = String::new();
    for part in parts {
        let what = match part {
            Part::Text(more) | Part::Refusal(more) => {
                text.push_str(more);
                continue;
            }
            Part::Thinking { .. } | Part::ToolCall(_) => continue,
            Part::Image { .. } => Feature::Image,
            Part::Audio(_) => Feature::Audio,
            Part::File { .. } => Feature::File,
            Part::ToolResult(_) => return Err(Error::unsaid("messages.content", dialect)),
        };
        return Err(Error::Unsaid { what: what.into(), dialect: dialect.into() });
    }
    Ok(text)
}

/// Description and parameters must be there.
fn function(tool: &Tool) -> Value {
    let nothing = || json!({ "type": "object", "properties": {} });
    json!({
        "name": tool.name,
        "description": tool.description.as_deref().unwrap_or(&tool.name),
        "parameters": tool.parameters.clone().unwrap_or_else(nothing),
    })
}
