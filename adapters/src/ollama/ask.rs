//! A chat as Ollama's clients ask it.

use serde_json::Value;

use super::fields::{common, images, is_blank, tools};
use crate::call::Error;
use crate::chat::{Ask, Message, Part, Role, ToolCall, ToolResult};
use crate::read::Fields;

/// What only `/api/generate` has and what no other protocol has a word for: a text after the answer, templates, and a
/// conversation as tokens.
const OWN: [&str; 4] = ["suffix", "template", "raw", "context"];

/// A question to `/api/chat`.
pub(super) fn chat(body: &[u8]) -> Result<Ask, Error> {
    let mut fields = Fields::body(body)?;
    let (mut rest, mut calls) = (Vec::new(), Calls::default());
    let list = fields.list("messages")?.unwrap_or_default();
    let mut messages = Vec::with_capacity(list.len());
    for (n, value) in list.into_iter().enumerate() {
        messages.push(message(Fields::of(value, format!("messages[{n}]"))?, &mut calls, &mut rest)?);
    }
    let tools = tools(&mut fields, &mut rest)?;
    Ok(Ask { messages, tools, ..common(fields, rest)? })
}

/// A question to `/api/generate`: a chat of one message.
pub(super) fn generate(body: &[u8]) -> Result<Ask, Error> {
    let mut fields = Fields::body(body)?;
    let mut rest = Vec::new();
    for name in OWN {
        if let Some(value) = fields.take(name).filter(|value| !is_blank(value)) {
            rest.push((name.to_owned(), value));
        }
    }
    let system = fields.text("system")?.filter(|text| !text.is_empty());
    let prompt = fields.text("prompt")?.unwrap_or_default();
    let mut parts = images(&mut fields)?;
    let mut messages = Vec::new();
    if !prompt.is_empty() {
        messages.extend(system.map(|text| Message::text(Role::System, text)));
        parts.push(Part::Text(prompt));
        messages.push(Message { role: Role::User, name: None, parts });
    }
    Ok(Ask { messages, ..common(fields, rest)? })
}

/// The calls of tools so far. Ollama's calls need no ids: results answer them by name, or in their order.
#[derive(Default)]
struct Calls {
    made: usize,
    /// Those without a result: id and name.
    open: Vec<(String, String)>,
}

impl Calls {
    fn begin(&mut self, id: Option<String>, name: &str) -> String {
        let id = id.unwrap_or_else(|| format!("call_{}", self.made));
        self.made += 1;
        self.open.push((id.clone(), name.to_owned()));
        id
    }

    /// The call that a result answers: its id and name.
    fn end(&mut self, id: Option<&str>, name: Option<&str>) -> Option<(String, String)> {
        let by = |is: &dyn Fn(&(String, String)) -> bool| self.open.iter().position(is);
        let at = match (id, name) {
            (Some(id), _) => by(&|call| call.0 == id),
            (None, Some(name)) => by(&|call| call.1 == name),
            (None, None) => by(&|_| true),
        };
        at.map(|at| self.open.remove(at))
    }
}

fn message(mut fields: Fields, calls: &mut Calls, rest: &mut Vec<(String, Value)>) -> Result<Message, Error> {
    let role = match fields.need_text("role")?.to_ascii_lowercase().as_str() {
        "system" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        "tool" => Role::Tool,
        other => {
            let hint = format!("`{other}` is not known: use system, user, assistant or tool");
            return Err(fields.wrong("role", hint));
        }
    };
    let mut parts = Vec::new();
    let thinking = fields.text("thinking")?.filter(|text| !text.is_empty());
    parts.extend(thinking.map(|text| Part::Thinking { text, signature: None }));
    // Ollama puts pictures before the text.
    parts.extend(images(&mut fields)?);
    let text = fields.text("content")?.unwrap_or_default();
    if !text.is_empty() || (parts.is_empty() && role != Role::Assistant) {
        parts.push(Part::Text(text));
    }
    for (n, value) in fields.list("tool_calls")?.unwrap_or_default().into_iter().enumerate() {
        let at = fields.path(format_args!("tool_calls[{n}]"));
        parts.push(Part::ToolCall(tool_call(Fields::of(value, at)?, calls, rest)?));
    }
    if role == Role::Tool {
        parts = vec![Part::ToolResult(tool_result(&mut fields, calls, parts)?)];
    }
    rest.extend(fields.rest());
    Ok(Message { role, name: None, parts })
}

fn tool_call(
    mut fields: Fields,
    calls: &mut Calls,
    rest: &mut Vec<(String, Value)>,
) -> Result<ToolCall, Error> {
    let id = fields.text("id")?.filter(|id| !id.is_empty());
    if fields.text("type")?.is_some_and(|kind| kind != "function") {
        return Err(fields.wrong("type", "must be function"));
    }
    let missing = fields.wrong("function", "is missing: it must be an object");
    let mut function = fields.object("function")?.ok_or(missing)?;
    // Its place among the calls, which the list tells too.
    function.take("index");
    let name = function.need_text("name")?;
    let arguments = function.object_value("arguments")?.map_or_else(String::new, |value| value.to_string());
    rest.extend(function.rest());
    rest.extend(fields.rest());
    Ok(ToolCall { id: calls.begin(id, &name), name, arguments })
}

fn tool_result(fields: &mut Fields, calls: &mut Calls, parts: Vec<Part>) -> Result<ToolResult, Error> {
    let id = fields.text("tool_call_id")?.filter(|id| !id.is_empty());
    let name = fields.text("tool_name")?.filter(|name| !name.is_empty());
    let call = calls.end(id.as_deref(), name.as_deref());
    let (id, name) = match (id, call) {
        (_, Some((id, called))) => (id, Some(name.unwrap_or(called))),
        (Some(id), None) => (id, name),
        (None, None) => {
            let hint = "is missing: no call of a tool before this message waits for a result";
            return Err(fields.wrong("tool_call_id", hint));
        }
    };
    Ok(ToolResult { id, name, parts, failed: false })
}
