//! The messages of Anthropic's clients and the blocks they are made of.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::REDACTED;
use crate::call::Error;
use crate::chat::{Message, Part, Role, Source, ToolCall, ToolResult};
use crate::read::Fields;

/// Blocks that only Anthropic understands, beside those whose names end in `_tool_result`.
const ALIEN: [&str; 6] =
    ["server_tool_use", "mcp_tool_use", "search_result", "container_upload", "tool_reference", "compaction"];

/// The blocks that other providers understand too.
const KNOWN: &str = "text, image, document, thinking, redacted_thinking, tool_use or tool_result";

/// What was read and has no word elsewhere.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// See [`crate::chat::Ask::rest`].
    pub(super) rest: Vec<(String, Value)>,
    /// See [`crate::chat::Ask::hints`].
    pub(super) hints: Vec<String>,
}

impl Notes {
    /// Notes a hint, once.
    pub(super) fn hint(&mut self, name: &str) {
        if !self.hints.iter().any(|hint| hint == name) {
            self.hints.push(name.to_owned());
        }
    }

    /// Where a cache begins changes the price and not the answer.
    pub(super) fn cached(&mut self, fields: &mut Fields) {
        if fields.take("cache_control").is_some() {
            self.hint("cache_control");
        }
    }

    /// Notes a field that only Anthropic understands, unless it says what goes without saying.
    pub(super) fn unless(&mut self, fields: &mut Fields, name: &str, usual: impl Fn(&Value) -> bool) {
        if let Some(value) = fields.take(name)
            && !usual(&value)
        {
            self.rest.push((fields.path(name), value));
        }
    }

    fn close(&mut self, mut fields: Fields) {
        self.cached(&mut fields);
        self.rest.extend(fields.rest());
    }
}

/// A message. One of the user that brings results of tools becomes several: each result is a message of its own here.
pub(super) fn message(mut fields: Fields, out: &mut Vec<Message>, notes: &mut Notes) -> Result<(), Error> {
    let role = match fields.need_text("role")?.as_str() {
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "system" => Role::System,
        other => {
            let hint = format!("`{other}` is not known: use user, assistant or system");
            return Err(fields.wrong("role", hint));
        }
    };
    let said = |role, parts| Message { role, name: None, parts };
    let before = out.len();
    let mut parts = Vec::new();
    match fields.take("content") {
        Some(Value::String(text)) => parts.push(Part::Text(text)),
        Some(Value::Array(list)) => {
            let at = fields.path("content");
            for (n, value) in list.into_iter().enumerate() {
                let mut block = Fields::of(value, format!("{at}[{n}]"))?;
                let other = match block_of(&mut block, notes)? {
                    Block::Part(result @ Part::ToolResult(_)) => Some(said(Role::Tool, vec![result])),
                    Block::Part(part) => {
                        parts.push(part);
                        None
                    }
                    Block::Instructions(parts) => Some(said(Role::System, parts)),
                    Block::Alien => None,
                };
                notes.close(block);
                if let Some(other) = other {
                    if !parts.is_empty() {
                        out.push(said(role, std::mem::take(&mut parts)));
                    }
                    out.push(other);
                }
            }
        }
        Some(_) => return Err(fields.wrong("content", "must be a string or a list of blocks")),
        None => return Err(fields.wrong("content", "is missing: it must be a string or a list of blocks")),
    }
    if !parts.is_empty() || out.len() == before {
        out.push(said(role, parts));
    }
    notes.rest.extend(fields.rest());
    Ok(())
}

/// Blocks of text.
pub(super) fn texts(list: Vec<Value>, at: &str, notes: &mut Notes) -> Result<Vec<Part>, Error> {
    let texts = list.into_iter().enumerate().map(|(n, value)| {
        let mut block = Fields::of(value, format!("{at}[{n}]"))?;
        if block.need_text("type")? != "text" {
            return Err(block.wrong("type", "must be text"));
        }
        let text = block.need_text("text")?;
        notes.close(block);
        Ok(Part::Text(text))
    });
    texts.collect()
}

/// What a block is.
enum Block {
    Part(Part),
    /// Instructions that came as a block of a message.
    Instructions(Vec<Part>),
    /// What only Anthropic understands; it is noted.
    Alien,
}

fn block_of(block: &mut Fields, notes: &mut Notes) -> Result<Block, Error> {
    let kind = block.need_text("type")?;
    Ok(Block::Part(match kind.as_str() {
        "text" => Part::Text(block.need_text("text")?),
        "image" => {
            let mut source = need(block, "source")?;
            let image = Part::Image { source: picture(&mut source)?, detail: None };
            notes.rest.extend(source.rest());
            image
        }
        "document" => document(block, notes)?,
        "thinking" => Part::Thinking {
            text: block.need_text("thinking")?,
            signature: block.text("signature")?.filter(|signature| !signature.is_empty()),
        },
        "redacted_thinking" => {
            let signature = format!("{REDACTED}{}", block.need_text("data")?);
            Part::Thinking { text: String::new(), signature: Some(signature) }
        }
        "tool_use" => {
            notes.unless(block, "caller", |caller| caller["type"] == "direct");
            let input = block.object_value("input")?;
            Part::ToolCall(ToolCall {
                id: block.need_text("id")?,
                name: block.need_text("name")?,
                arguments: input.map_or_else(|| "{}".to_owned(), |input| input.to_string()),
            })
        }
        "tool_result" => Part::ToolResult(ToolResult {
            id: block.need_text("tool_use_id")?,
            name: None,
            parts: result(block, notes)?,
            failed: block.flag("is_error")?.unwrap_or(false),
        }),
        "mid_conv_system" => {
            let list = block.list("content")?;
            let list =
                list.ok_or_else(|| block.wrong("content", "is missing: it must be a list of text blocks"))?;
            return texts(list, &block.path("content"), notes).map(Block::Instructions);
        }
        alien if ALIEN.contains(&alien) || alien.ends_with("_tool_result") => {
            notes.rest.push((block.path("type"), kind.into()));
            return Ok(Block::Alien);
        }
        other => return Err(block.wrong("type", format!("`{other}` is not known: use {KNOWN}"))),
    }))
}

fn need(block: &mut Fields, name: &str) -> Result<Fields, Error> {
    let inner = block.object(name)?;
    inner.ok_or_else(|| block.wrong(name, "is missing: it must be an object"))
}

fn picture(source: &mut Fields) -> Result<Source, Error> {
    match source.need_text("type")?.as_str() {
        "base64" => inline(source),
        "url" => Ok(Source::Url(source.need_text("url")?)),
        "file" => Ok(Source::Id(source.need_text("file_id")?)),
        other => Err(source.wrong("type", format!("`{other}` is not known: use base64, url or file"))),
    }
}

fn inline(source: &mut Fields) -> Result<Source, Error> {
    Ok(Source::Inline { media_type: source.need_text("media_type")?, data: source.need_text("data")? })
}

fn document(block: &mut Fields, notes: &mut Notes) -> Result<Part, Error> {
    let mut source = need(block, "source")?;
    let from = match source.need_text("type")?.as_str() {
        "base64" => inline(&mut source)?,
        "text" => {
            let media_type = source.text("media_type")?.unwrap_or_else(|| "text/plain".to_owned());
            Source::Inline { media_type, data: STANDARD.encode(source.need_text("data")?) }
        }
        "url" => Source::Url(source.need_text("url")?),
        "file" => Source::Id(source.need_text("file_id")?),
        "content" => {
            // A document made of blocks, for quoting from: nobody else knows such.
            let whole = source.take("content").unwrap_or_default();
            notes.rest.push((source.path("content"), whole));
            Source::Inline { media_type: "text/plain".to_owned(), data: String::new() }
        }
        other => {
            let hint = format!("`{other}` is not known: use base64, text, url, file or content");
            return Err(source.wrong("type", hint));
        }
    };
    notes.rest.extend(source.rest());
    notes.unless(block, "citations", |citations| citations["enabled"] != true);
    Ok(Part::File { source: from, name: block.text("title")? })
}

/// What a tool gave back: text, or blocks.
fn result(block: &mut Fields, notes: &mut Notes) -> Result<Vec<Part>, Error> {
    let list = match block.take("content") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(vec![Part::Text(text)]),
        Some(Value::Array(list)) => list,
        Some(_) => return Err(block.wrong("content", "must be a string or a list of blocks")),
    };
    let at = block.path("content");
    let mut parts = Vec::with_capacity(list.len());
    for (n, value) in list.into_iter().enumerate() {
        let mut inner = Fields::of(value, format!("{at}[{n}]"))?;
        match block_of(&mut inner, notes)? {
            Block::Part(part @ (Part::Text(_) | Part::Image { .. } | Part::File { .. })) => parts.push(part),
            Block::Alien => {}
            _ => return Err(inner.wrong("type", "must be text, image or document inside a tool_result")),
        }
        notes.close(inner);
    }
    Ok(parts)
}
