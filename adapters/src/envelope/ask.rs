//! A question in an envelope. Its `parameters` are those of OpenAI's chats, with one text, `prompt`, in place of the
//! conversation; who has a conversation may send it as `messages`.

use serde_json::{Map, Value, json};

use crate::call::Error;
use crate::chat::Ask;
use crate::openai::chat;
use crate::read::Fields;

pub(super) fn ask(body: &[u8]) -> Result<Ask, Error> {
    let mut fields = Fields::body(body)?;
    let model = fields.need_text("model")?;
    let request_id = fields.text("request_id")?;
    refuse_later(&mut fields)?;
    let missing = fields.wrong("parameters", "is missing: it must be an object with a `prompt`");
    let parameters = fields.object_value("parameters")?.ok_or(missing)?;
    let (user, mut hints) = user(&mut fields)?;
    let stream = fields.flag("stream")?;
    let mut ask = parameters_ask(parameters, model)?;
    one_text(&ask)?;
    ask.stream |= stream.unwrap_or(false);
    // Envelopes tell what was used without being asked.
    ask.stream_usage = true;
    ask.user = user.or(ask.user);
    ask.hints.append(&mut hints);
    ask.echo.extend(request_id.map(|id| ("request_id".to_owned(), id.into())));
    ask.rest.extend(fields.rest());
    Ok(ask)
}

/// Refuses calls whose answer is to be fetched or sent later.
fn refuse_later(fields: &mut Fields) -> Result<(), Error> {
    let hint =
        "cannot be used yet: answers come with the call; leave it out, or send `stream` as true for pieces";
    if fields.flag("async")? == Some(true) {
        return Err(fields.wrong("async", hint));
    }
    match ["callback", "callback_url"].into_iter().find(|name| fields.has(name)) {
        Some(name) => Err(fields.wrong(name, hint)),
        None => Ok(()),
    }
}

/// The end user's name. The role does not change the answer: what one may do, the key tells.
fn user(fields: &mut Fields) -> Result<(Option<String>, Vec<String>), Error> {
    let Some(mut info) = fields.object("user_info")? else { return Ok((None, Vec::new())) };
    let (user, role) = (info.text("user_id")?, info.text("user_role")?);
    let mut hints: Vec<String> = role.map(|_| info.path("user_role")).into_iter().collect();
    // Whatever else is told of a user does not change the answer either.
    hints.extend(info.rest().into_iter().map(|(path, _)| path));
    Ok((user, hints))
}

/// Reads the parameters as a chat of OpenAI's; what is wrong is told by its path in the envelope.
fn parameters_ask(parameters: Value, model: String) -> Result<Ask, Error> {
    let mut fields = Fields::of(parameters, "parameters")?;
    if fields.has("prompt_id") {
        let hint = "cannot be used yet: there are no stored prompts; send the text as `parameters.prompt`";
        return Err(fields.wrong("prompt_id", hint));
    }
    let messages = match (fields.text("prompt")?, fields.list("messages")?) {
        (Some(_), Some(_)) => {
            return Err(fields.wrong("messages", "cannot be used together with `parameters.prompt`"));
        }
        (Some(prompt), None) => json!([{ "role": "user", "content": prompt }]),
        (None, Some(messages)) => messages.into(),
        (None, None) => return Err(fields.wrong("prompt", "is missing: it is what the model answers to")),
    };
    const AT: &str = "parameters.";
    let mut body: Map<String, Value> = fields
        .rest()
        .into_iter()
        .map(|(path, value)| (path.strip_prefix(AT).unwrap_or(&path).to_owned(), value))
        .collect();
    body.insert("model".to_owned(), model.into());
    body.insert("messages".to_owned(), messages);
    let mut ask = chat::ask(Fields::of(Value::Object(body), "")?).map_err(|error| match error {
        Error::Field { param, hint } => Error::field(format!("{AT}{param}"), hint),
        other => other,
    })?;
    for path in ask.rest.iter_mut().map(|(path, _)| path).chain(&mut ask.hints) {
        path.insert_str(0, AT);
    }
    Ok(ask)
}

/// Refuses what the envelope of an answer has no place for.
fn one_text(ask: &Ask) -> Result<(), Error> {
    let asked = [
        ("parameters.tools", !ask.tools.is_empty()),
        ("parameters.n", ask.choices.is_some_and(|n| n > 1)),
        ("parameters.logprobs", ask.logprobs.is_some()),
    ];
    match asked.into_iter().find(|(_, asked)| *asked) {
        Some((path, _)) => {
            let hint =
                "cannot be used here, where an answer is one text: leave it out, or use /v1/chat/completions";
            Err(Error::field(path, hint))
        }
        None => Ok(()),
    }
}
