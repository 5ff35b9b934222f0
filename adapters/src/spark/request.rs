//! The message that asks: who asks, how tokens are drawn, and the conversation.

use serde_json::{Map, Value, json};

use super::models::Place;
use crate::call::{Error, Target};
use crate::chat::{Ask, Feature, Message, Part, Role, Tool, ToolChoice};

/// Names of end users are that long at most, in characters.
const USER_LEN_MAX: usize = 32;
/// What is not 0 and may be asked for.
const ABOVE_0: f64 = 0.01;
/// Only so many of the likeliest tokens at most.
const TOP_K_MAX: u64 = 6;

/// The message.
///
/// # Errors
/// When the question holds what this model has no word for, or no application is named.
pub(super) fn body(
    ask: &Ask,
    target: &Target<'_>,
    place: &Place<'_>,
    dialect: &'static str,
) -> Result<Value, Error> {
    let app = target.option("app_id").filter(|app| !app.is_empty());
    let Some(app) = app else {
        return Err(Error::Target("it has no `app_id`: give the application's id as an option".to_owned()));
    };
    let mut header = json!({ "app_id": app });
    // It only finds abuse, so one that does not fit is left out.
    if let Some(user) = ask.user.as_ref().filter(|user| user.chars().count() <= USER_LEN_MAX) {
        header["uid"] = user.as_str().into();
    }
    let mut payload = json!({ "message": { "text": texts(&ask.messages, dialect)? } });
    match &ask.tool_choice {
        _ if ask.tools.is_empty() => {}
        // Has no word; without functions it cannot call one.
        Some(ToolChoice::Never) => {}
        None | Some(ToolChoice::Auto) => {
            let functions: Vec<Value> = ask.tools.iter().map(function).collect();
            payload["functions"] = json!({ "text": functions });
        }
        Some(ToolChoice::Required | ToolChoice::Named(_)) => {
            return Err(Error::Unsaid { what: Feature::ToolChoice.into(), dialect: dialect.into() });
        }
    }
    let chat = chat(ask, place, dialect)?;
    Ok(json!({ "header": header, "parameter": { "chat": chat }, "payload": payload }))
}

fn chat(ask: &Ask, place: &Place<'_>, dialect: &'static str) -> Result<Value, Error> {
    let mut out = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            out.insert(name.to_owned(), value);
        }
    };
    let sampling = &ask.sampling;
    put("domain", Some(place.domain.into()));
    let hottest = if place.thinks { 2.0 } else { 1.0 };
    put("temperature", sampling.temperature.map(|number| number.clamp(ABOVE_0, hottest).into()));
    put("max_tokens", ask.output_max.map(|tokens| tokens.max(1).into()));
    put("top_k", sampling.top_k.map(|count| count.clamp(1, TOP_K_MAX).into()));
    // Only the models that think know these.
    for feature in [Feature::TopP, Feature::PresencePenalty, Feature::FrequencyPenalty] {
        if !place.thinks && ask.uses(feature) {
            return Err(Error::Unsaid { what: feature.into(), dialect: dialect.into() });
        }
    }
    if place.thinks {
        put("top_p", sampling.top_p.map(|number| number.clamp(ABOVE_0, 1.0).into()));
        put("presence_penalty", sampling.presence_penalty.map(Value::from));
        put("frequency_penalty", sampling.frequency_penalty.map(Value::from));
    }
    Ok(Value::Object(out))
}

/// Instructions stand at the beginning, as one message.
fn texts(messages: &[Message], dialect: &'static str) -> Result<Vec<Value>, Error> {
    let leading = messages.iter().take_while(|message| message.role == Role::System).count();
    let (instructions, turns) = messages.split_at(leading);
    let mut out = Vec::with_capacity(turns.len() + 1);
    let mut system = Vec::with_capacity(leading);
    for message in instructions {
        system.push(said(message, dialect)?);
    }
    if !system.is_empty() {
        out.push(json!({ "role": "system", "content": system.join("\n") }));
    }
    for message in turns {
        let role = match message.role {
            Role::User => "user",
            Role::Assistant => "assistant",
            // What functions give back cannot be told by this interface; that they were called neither.
            Role::Tool => return Err(Error::unsaid("messages.tool_call_id", dialect)),
            Role::System => return Err(Error::unsaid("messages.role", dialect)),
        };
        out.push(json!({ "role": role, "content": said(message, dialect)? }));
    }
    match turns.last().map(|last| last.role) {
        Some(Role::Assistant) => {
            Err(Error::Unsaid { what: Feature::Prefill.into(), dialect: dialect.into() })
        }
        None => Err(Error::unsaid("messages", dialect)),
        Some(_) => Ok(out),
    }
}

fn said(message: &Message, dialect: &'static str) -> Result<String, Error> {
    if message.name.is_some() {
        return Err(Error::unsaid("messages.name", dialect));
    }
    let mut text = String::new();
    for part in &message.parts {
        let what = match part {
            Part::Text(more) | Part::Refusal(more) => {
                text.push_str(more);
                continue;
            }
            Part::Thinking { .. } => continue,
            Part::ToolCall(_) => return Err(Error::unsaid("messages.tool_calls", dialect)),
            Part::ToolResult(_) => return Err(Error::unsaid("messages.tool_call_id", dialect)),
            Part::Image { .. } => Feature::Image,
            Part::Audio(_) => Feature::Audio,
            Part::File { .. } => Feature::File,
        };
        return Err(Error::Unsaid { what: what.into(), dialect: dialect.into() });
    }
    Ok(text)
}

/// Description and parameters must be there.
fn function(tool: &Tool) -> Value {
    let nothing = || json!({ "type": "object", "properties": {}, "required": [] });
    json!({
        "name": tool.name,
        "description": tool.description.as_deref().unwrap_or(&tool.name),
        "parameters": tool.parameters.clone().unwrap_or_else(nothing),
    })
}
