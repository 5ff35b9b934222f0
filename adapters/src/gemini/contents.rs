//! What is said in a chat, as Gemini reads it.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::NAME;
use super::config::generation_of;
use crate::call::Error;
use crate::chat::{Ask, Feature, Message, Part, Role, Source, ToolCall, ToolResult};

/// Stands before signatures that are Gemini's own, so that those of other providers are not taken for its own where a
/// conversation moved.
pub(super) const OWN: &str = "gemini:";
/// What Google's documents give as the signature of calls that Gemini did not make itself, or whose signature is lost.
const LOST: &str = "skip_thought_signature_validator";
/// The first generation that refuses calls without a signature.
const SIGNED_SINCE: u32 = 3;

/// The body with what is said.
///
/// # Errors
/// When it holds what Gemini has no word for.
pub(super) fn body(ask: &Ask, model: &str, base: &str) -> Result<Map<String, Value>, Error> {
    let mut contents = Contents {
        base,
        signed: generation_of(model) >= SIGNED_SINCE,
        names: BTreeMap::new(),
        system: Vec::new(),
        turns: Vec::new(),
    };
    for message in &ask.messages {
        contents.message(message)?;
    }
    let mut body = Map::new();
    if !contents.system.is_empty() {
        body.insert("systemInstruction".to_owned(), json!({ "parts": contents.system }));
    }
    let turns = contents.turns.into_iter().map(|(role, parts)| json!({ "role": role, "parts": parts }));
    body.insert("contents".to_owned(), turns.collect());
    Ok(body)
}

struct Contents<'a> {
    base: &'a str,
    /// Whether calls must have signatures.
    signed: bool,
    /// Tools by the ids of their calls: Gemini knows results by the tool.
    names: BTreeMap<String, String>,
    /// Gemini takes instructions in one place.
    system: Vec<Value>,
    /// Who says what; turns alternate, and all results of parallel calls are one turn.
    turns: Vec<(&'static str, Vec<Value>)>,
}

impl Contents<'_> {
    fn message(&mut self, message: &Message) -> Result<(), Error> {
        if message.name.is_some() {
            return Err(Error::unsaid("messages.name", NAME));
        }
        let role = match message.role {
            Role::System => {
                for part in &message.parts {
                    let Part::Text(text) = part else { return Err(Error::unsaid("messages.content", NAME)) };
                    self.system.push(json!({ "text": text }));
                }
                return Ok(());
            }
            Role::User | Role::Tool => "user",
            Role::Assistant => "model",
        };
        let parts = self.parts(&message.parts)?;
        match self.turns.last_mut() {
            Some((last, said)) if *last == role => said.extend(parts),
            _ if parts.is_empty() => {}
            _ => self.turns.push((role, parts)),
        }
        Ok(())
    }

    fn parts(&mut self, parts: &[Part]) -> Result<Vec<Value>, Error> {
        let mut out = Vec::with_capacity(parts.len());
        let mut signature = None;
        let mut called = false;
        for part in parts {
            let mut value = match part {
                Part::Thinking { text, signature: of } => {
                    if let Some(own) = of.as_deref().and_then(|of| of.strip_prefix(OWN)) {
                        signature = Some(own);
                    }
                    if !text.is_empty() {
                        out.push(json!({ "text": text, "thought": true }));
                    }
                    continue;
                }
                Part::ToolCall(call) => {
                    // Of parallel calls only the first is signed.
                    if self.signed && !std::mem::replace(&mut called, true) {
                        signature = signature.or(Some(LOST));
                    }
                    self.call(call)?
                }
                Part::Text(text) | Part::Refusal(text) => json!({ "text": text }),
                Part::Image { source, detail } => {
                    if detail.as_deref().is_some_and(|detail| detail != "auto") {
                        return Err(Error::unsaid("messages.content.image_url.detail", NAME));
                    }
                    self.media(source)?
                }
                // Its name is for people; Gemini has no place for it.
                Part::Audio(source) | Part::File { source, .. } => self.media(source)?,
                Part::ToolResult(result) => self.result(result)?,
            };
            // Gemini signs what comes after its thoughts.
            if let Some(signature) = signature.take() {
                value["thoughtSignature"] = signature.into();
            }
            out.push(value);
        }
        if let Some(signature) = signature {
            out.push(json!({ "text": "", "thoughtSignature": signature }));
        }
        Ok(out)
    }

    fn call(&mut self, call: &ToolCall) -> Result<Value, Error> {
        let args =
            call.object().map_err(|hint| Error::field("messages.tool_calls.function.arguments", hint))?;
        self.names.insert(call.id.clone(), call.name.clone());
        Ok(json!({ "functionCall": { "id": call.id, "name": call.name, "args": args } }))
    }

    fn result(&self, result: &ToolResult) -> Result<Value, Error> {
        if result.parts.iter().any(|part| !matches!(part, Part::Text(_))) {
            return Err(Error::Unsaid { what: Feature::RichResult.into(), dialect: NAME.into() });
        }
        let name = self.names.get(&result.id).or(result.name.as_ref()).ok_or_else(|| {
            let hint = format!("`{}` is the id of no call before it", result.id);
            Error::field("messages.tool_call_id", hint)
        })?;
        let text = result.all_text();
        let response = match serde_json::from_str(&text) {
            _ if result.failed => json!({ "error": text }),
            // An object is told as it is; anything else under the name that Google's documents give it.
            Ok(object @ Value::Object(_)) => object,
            _ => json!({ "output": text }),
        };
        Ok(json!({ "functionResponse": { "id": result.id, "name": name, "response": response } }))
    }

    fn media(&self, source: &Source) -> Result<Value, Error> {
        let uri = match source {
            Source::Inline { media_type, data } => {
                return Ok(json!({ "inlineData": { "mimeType": media_type, "data": data } }));
            }
            Source::Url(url) => url.clone(),
            Source::Id(id) if id.starts_with("https://") => id.clone(),
            Source::Id(id) if id.starts_with("files/") => format!("{}/v1beta/{id}", self.base),
            // Uploaded to another provider.
            Source::Id(_) => {
                return Err(Error::Unsaid { what: Feature::UploadedFile.into(), dialect: NAME.into() });
            }
        };
        let mut file = json!({ "fileUri": uri });
        if let Some(media_type) = media_type(&uri) {
            file["mimeType"] = media_type.into();
        }
        Ok(json!({ "fileData": file }))
    }
}

/// What a file is, by the end of its name.
fn media_type(uri: &str) -> Option<&'static str> {
    let path = uri.split(['?', '#']).next()?;
    let (_, end) = path.rsplit_once('/')?.1.rsplit_once('.')?;
    Some(match end.to_ascii_lowercase().as_str() {
        "png" => "image/png",
        "jpg" | "jpeg" => "image/jpeg",
        "webp" => "image/webp",
        "heic" => "image/heic",
        "heif" => "image/heif",
        "pdf" => "application/pdf",
        "txt" => "text/plain",
        "mp3" => "audio/mp3",
        "wav" => "audio/wav",
        "mp4" => "video/mp4",
        _ => return None,
    })
}
