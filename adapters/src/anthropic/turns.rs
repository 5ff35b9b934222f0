//! A conversation as Anthropic wants it: instructions apart, and turns of the user and the model. What several messages of
//! one side say goes into one turn, results of tools first, as its page on handling tool calls asks.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::NAME;
use super::answer::{input, thinking};
use super::generation::Generation;
use super::request::unsaid;
use crate::call::Error;
use crate::chat::{Ask, Feature, Message, Part, Role, Source, ToolCall, ToolResult};

/// Instructions and turns.
pub(super) struct Turns {
    pub(super) system: Option<Value>,
    pub(super) messages: Vec<Value>,
}

struct Turn {
    role: &'static str,
    blocks: Vec<Value>,
}

/// Instructions that come later keep their place where the model takes them there: after the user and before the model.
/// Elsewhere they join those at the beginning, which is what Anthropic's own servers do where they speak OpenAI's dialect.
pub(super) fn of(ask: &Ask, generation: Generation) -> Result<Turns, Error> {
    let (mut system, mut turns) = (Vec::new(), Vec::<Turn>::new());
    for (n, message) in ask.messages.iter().enumerate() {
        if message.name.is_some() && message.role != Role::Tool {
            return Err(Error::unsaid(format!("messages[{n}].name"), NAME));
        }
        let blocks = blocks(message)?;
        let role = match message.role {
            Role::User | Role::Tool => "user",
            Role::Assistant => "assistant",
            Role::System => {
                let next = ask.messages[n + 1..].iter().find(|next| next.role != Role::System);
                let fits = next.is_none_or(|next| next.role == Role::Assistant)
                    && turns.last().is_some_and(|last| last.role != "assistant");
                if !(fits && generation.takes_late_instructions()) {
                    system.extend(blocks);
                    continue;
                }
                "system"
            }
        };
        match turns.last_mut() {
            _ if blocks.is_empty() => {}
            Some(last) if last.role == role => last.blocks.extend(blocks),
            _ => turns.push(Turn { role, blocks }),
        }
    }
    let messages = turns.into_iter().map(|mut turn| {
        turn.blocks.sort_by_key(|block| block["type"] != "tool_result");
        json!({ "role": turn.role, "content": content(turn.blocks) })
    });
    Ok(Turns { messages: messages.collect(), system: (!system.is_empty()).then(|| content(system)) })
}

/// One text as it is, anything else as a list.
fn content(mut blocks: Vec<Value>) -> Value {
    match blocks.as_mut_slice() {
        [block] if block["type"] == "text" => block["text"].take(),
        _ => blocks.into(),
    }
}

fn blocks(message: &Message) -> Result<Vec<Value>, Error> {
    let mut out = Vec::with_capacity(message.parts.len());
    for part in &message.parts {
        out.extend(block(part)?);
    }
    Ok(out)
}

fn block(part: &Part) -> Result<Option<Value>, Error> {
    Ok(Some(match part {
        // Empty ones are refused.
        Part::Text(text) | Part::Refusal(text) if text.is_empty() => return Ok(None),
        Part::Text(text) | Part::Refusal(text) => json!({ "type": "text", "text": text }),
        // How closely it is looked at cannot be said; Anthropic's own servers leave that out too.
        Part::Image { source, .. } => json!({ "type": "image", "source": picture(source) }),
        Part::File { source, name } => {
            let mut document = json!({ "type": "document", "source": document(source)? });
            if let Some(name) = name {
                document["title"] = name.as_str().into();
            }
            document
        }
        Part::Audio(_) => return Err(unsaid(Feature::Audio)),
        Part::Thinking { text, signature: Some(signature) } => thinking(text, signature),
        // Anthropic takes its own thoughts only, and does not miss those of earlier turns.
        Part::Thinking { signature: None, .. } => return Ok(None),
        Part::ToolCall(call) => tool_use(call),
        Part::ToolResult(result) => tool_result(result)?,
    }))
}

fn picture(source: &Source) -> Value {
    match source {
        Source::Url(url) => json!({ "type": "url", "url": url }),
        Source::Inline { media_type, data } => {
            json!({ "type": "base64", "media_type": media_type, "data": data })
        }
        Source::Id(id) => json!({ "type": "file", "file_id": id }),
    }
}

/// PDF goes as it is, and text in clear; other kinds are not taken.
fn document(source: &Source) -> Result<Value, Error> {
    let Source::Inline { media_type, data } = source else { return Ok(picture(source)) };
    if media_type == "application/pdf" {
        return Ok(picture(source));
    }
    let text = STANDARD.decode(data).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match text {
        Some(text) if media_type.starts_with("text/") => {
            Ok(json!({ "type": "text", "media_type": "text/plain", "data": text }))
        }
        _ => Err(unsaid(Feature::File)),
    }
}

fn tool_use(call: &ToolCall) -> Value {
    json!({ "type": "tool_use", "id": id(&call.id), "name": call.name, "input": input(call) })
}

fn tool_result(result: &ToolResult) -> Result<Value, Error> {
    let mut out = Map::new();
    out.insert("type".to_owned(), "tool_result".into());
    out.insert("tool_use_id".to_owned(), id(&result.id).into());
    let mut inner = Vec::with_capacity(result.parts.len());
    for part in &result.parts {
        inner.extend(block(part)?);
    }
    if !inner.is_empty() {
        out.insert("content".to_owned(), content(inner));
    }
    if result.failed {
        out.insert("is_error".to_owned(), true.into());
    }
    Ok(out.into())
}

/// The id of a call as Anthropic takes it: letters, digits, `_` and `-`. Other providers' may have more.
fn id(of: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
    of.chars().map(|c| if fits(c) { c } else { '_' }).collect()
}
