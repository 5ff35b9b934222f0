//! The conversation of a response: a list of items, which become messages.

use serde_json::Value;

use crate::call::Error;
use crate::chat::{Message, Part, Role, Source, ToolCall, ToolResult};
use crate::read::Fields;

type Rest = Vec<(String, Value)>;

/// Instructions and input, oldest first.
pub(super) fn messages(
    fields: &mut Fields,
    rest: &mut Rest,
    hints: &mut Vec<String>,
) -> Result<Vec<Message>, Error> {
    let mut talk = Vec::new();
    talk.extend(fields.text("instructions")?.map(|text| Message::text(Role::System, text)));
    match fields.take("input") {
        Some(Value::String(text)) => talk.push(Message::text(Role::User, text)),
        Some(Value::Array(list)) => {
            for (n, value) in list.into_iter().enumerate() {
                let mut fields = Fields::of(value, format!("input[{n}]"))?;
                item(&mut fields, rest, &mut talk)?;
                // What SDKs send back with the items that they were given.
                fields.take("id");
                fields.take("status");
                if fields.take("phase").is_some() {
                    hints.push(fields.path("phase"));
                }
                rest.extend(fields.rest());
            }
        }
        _ => return Err(fields.wrong("input", "must be a string or a list of items")),
    }
    Ok(talk)
}

fn item(fields: &mut Fields, rest: &mut Rest, talk: &mut Vec<Message>) -> Result<(), Error> {
    match fields.text("type")?.as_deref() {
        None | Some("message") => message(fields, rest, talk),
        Some("function_call") => {
            let call = ToolCall {
                id: fields.need_text("call_id")?,
                name: fields.need_text("name")?,
                arguments: fields.text("arguments")?.unwrap_or_default(),
            };
            assistant(talk, Part::ToolCall(call));
            Ok(())
        }
        Some("function_call_output") => {
            let id = fields.need_text("call_id")?;
            let name = fields.text("name")?;
            let parts = content(fields, "output", rest)?;
            let result = ToolResult { id, name, parts, failed: false };
            talk.push(Message { role: Role::Tool, name: None, parts: vec![Part::ToolResult(result)] });
            Ok(())
        }
        Some("reasoning") => {
            let signature = fields.text("encrypted_content")?;
            let (thoughts, summary) = (thoughts(fields, "content")?, thoughts(fields, "summary")?);
            let text = if thoughts.is_empty() { summary.join("\n\n") } else { thoughts.concat() };
            if !text.is_empty() || signature.is_some() {
                assistant(talk, Part::Thinking { text, signature });
            }
            Ok(())
        }
        Some("item_reference") => {
            let hint = "`item_reference` cannot be used: this cluster does not store responses; send the item itself";
            Err(fields.wrong("type", hint))
        }
        Some(other) => {
            let hint = format!(
                "`{other}` is not known here: use message, function_call, function_call_output or reasoning"
            );
            Err(fields.wrong("type", hint))
        }
    }
}

fn message(fields: &mut Fields, rest: &mut Rest, talk: &mut Vec<Message>) -> Result<(), Error> {
    let role = match fields.need_text("role")?.as_str() {
        "system" | "developer" => Role::System,
        "user" => Role::User,
        "assistant" => Role::Assistant,
        other => {
            let hint = format!("`{other}` is not known: use system, developer, user or assistant");
            return Err(fields.wrong("role", hint));
        }
    };
    let parts = content(fields, "content", rest)?;
    match talk.last_mut() {
        Some(last) if role == Role::Assistant && goes_on(last, false) => last.parts.extend(parts),
        _ => talk.push(Message { role, name: None, parts }),
    }
    Ok(())
}

/// What the model thought or called is part of the message in which it did.
fn assistant(talk: &mut Vec<Message>, part: Part) {
    match talk.last_mut() {
        Some(last) if goes_on(last, matches!(part, Part::ToolCall(_))) => last.parts.push(part),
        _ => talk.push(Message { role: Role::Assistant, name: None, parts: vec![part] }),
    }
}

/// Whether the model's last message goes on. Items do not say where one answer ends and another begins: a text or a thought
/// after a text begins one, unless tools were called, whose results must follow all of it.
fn goes_on(last: &Message, calls: bool) -> bool {
    let said = |part: &Part| !matches!(part, Part::Thinking { .. } | Part::ToolCall(_));
    let called = last.parts.iter().any(|part| matches!(part, Part::ToolCall(_)));
    last.role == Role::Assistant && (calls || called || !last.parts.iter().any(said))
}

fn thoughts(fields: &mut Fields, name: &str) -> Result<Vec<String>, Error> {
    let at = fields.path(name);
    let list = fields.list(name)?.unwrap_or_default();
    let texts = list
        .into_iter()
        .enumerate()
        .map(|(n, value)| Fields::of(value, format!("{at}[{n}]"))?.need_text("text"));
    texts.collect()
}

fn content(fields: &mut Fields, name: &str, rest: &mut Rest) -> Result<Vec<Part>, Error> {
    match fields.take(name) {
        Some(Value::String(text)) => Ok(vec![Part::Text(text)]),
        Some(Value::Array(list)) => {
            let at = fields.path(name);
            let parts = list.into_iter().enumerate().map(|(n, value)| {
                let mut fields = Fields::of(value, format!("{at}[{n}]"))?;
                let part = part(&mut fields, rest)?;
                // What SDKs send back, and where OpenAI may cut its cache: neither changes the answer.
                for name in ["annotations", "logprobs", "prompt_cache_breakpoint"] {
                    fields.take(name);
                }
                rest.extend(fields.rest());
                Ok(part)
            });
            parts.collect()
        }
        None => Err(fields.wrong(name, "is missing: it must be a string or a list of parts")),
        Some(_) => Err(fields.wrong(name, "must be a string or a list of parts")),
    }
}

fn part(fields: &mut Fields, rest: &mut Rest) -> Result<Part, Error> {
    match fields.need_text("type")?.as_str() {
        "input_text" | "output_text" | "text" => Ok(Part::Text(fields.need_text("text")?)),
        "refusal" => Ok(Part::Refusal(fields.need_text("refusal")?)),
        "input_image" => {
            let source = match (fields.text("image_url")?, fields.text("file_id")?) {
                (Some(url), _) => Source::of_url(&url),
                (None, Some(id)) => Source::Id(id),
                (None, None) => return Err(fields.wrong("image_url", "is missing: give it or file_id")),
            };
            Ok(Part::Image { source, detail: fields.text("detail")? })
        }
        "input_file" => {
            let name = fields.text("filename")?;
            let given = (fields.text("file_data")?, fields.text("file_url")?, fields.text("file_id")?);
            let source = match given {
                (Some(data), _, _) => match Source::of_url(&data) {
                    source @ Source::Inline { .. } => source,
                    _ => {
                        let hint = "must be a data URL such as data:application/pdf;base64,…";
                        return Err(fields.wrong("file_data", hint));
                    }
                },
                (None, Some(url), _) => Source::Url(url),
                (None, None, Some(id)) => Source::Id(id),
                (None, None, None) => {
                    return Err(fields.wrong("file_data", "is missing: give it, file_url or file_id"));
                }
            };
            Ok(Part::File { source, name })
        }
        "input_audio" => {
            let missing = fields.wrong("input_audio", "is missing: it must be an object");
            let mut audio = fields.object("input_audio")?.ok_or(missing)?;
            let media_type = format!("audio/{}", audio.need_text("format")?);
            let source = Source::Inline { media_type, data: audio.need_text("data")? };
            rest.extend(audio.rest());
            Ok(Part::Audio(source))
        }
        other => {
            let hint = format!(
                "`{other}` is not known: use input_text, input_image, input_file, output_text or refusal"
            );
            Err(fields.wrong("type", hint))
        }
    }
}
