//! A chat as Anthropic's clients ask it: everything but its messages.

use serde_json::Value;

use super::blocks::{self, Notes};
use crate::call::{Call, Error, Operation};
use crate::chat::{Ask, Format, Message, Reasoning, Role, Sampling, Tool, ToolChoice};
use crate::read::Fields;

/// Reads a body. One that counts tokens asks the same without saying how much may be answered.
pub(super) fn ask(call: &Call) -> Result<Ask, Error> {
    let mut fields = Fields::body(&call.body)?;
    let mut notes = Notes::default();
    let mut messages = system(&mut fields, &mut notes)?;
    for (n, value) in fields.list("messages")?.unwrap_or_default().into_iter().enumerate() {
        let message = Fields::of(value, format!("messages[{n}]"))?;
        blocks::message(message, &mut messages, &mut notes)?;
    }
    let output_max = fields.count("max_tokens")?;
    if output_max.is_none() && call.operation != Operation::CountTokens {
        return Err(fields.wrong("max_tokens", "is missing: say how many tokens the answer may have"));
    }
    let (tool_choice, parallel_tools) = tool_choice(&mut fields, &mut notes)?;
    let (format, reasoning) = output(&mut fields, &mut notes)?;
    let mut ask = Ask {
        model: fields.need_text("model")?,
        messages,
        tools: tools(&mut fields, &mut notes)?,
        tool_choice,
        parallel_tools,
        format,
        output_max,
        sampling: Sampling {
            temperature: fields.number_in("temperature", 0.0, 1.0)?,
            top_p: fields.number_in("top_p", 0.0, 1.0)?,
            top_k: fields.count("top_k")?,
            stop: fields.texts("stop_sequences")?,
            ..Sampling::default()
        },
        reasoning,
        user: user(&mut fields, &mut notes)?,
        stream: fields.flag("stream")?.unwrap_or(false),
        // Always told by this protocol.
        stream_usage: true,
        ..Ask::default()
    };
    notes.cached(&mut fields);
    if fields.take("service_tier").is_some() {
        notes.hint("service_tier");
    }
    notes.rest.extend(fields.rest());
    (ask.rest, ask.hints) = (notes.rest, notes.hints);
    Ok(ask)
}

fn system(fields: &mut Fields, notes: &mut Notes) -> Result<Vec<Message>, Error> {
    let parts = match fields.take("system") {
        None => return Ok(Vec::new()),
        Some(Value::String(text)) => return Ok(vec![Message::text(Role::System, text)]),
        Some(Value::Array(list)) => blocks::texts(list, &fields.path("system"), notes)?,
        Some(_) => return Err(fields.wrong("system", "must be a string or a list of text blocks")),
    };
    Ok(vec![Message { role: Role::System, name: None, parts }])
}

fn user(fields: &mut Fields, notes: &mut Notes) -> Result<Option<String>, Error> {
    let Some(mut metadata) = fields.object("metadata")? else { return Ok(None) };
    let user = metadata.text("user_id")?;
    notes.rest.extend(metadata.rest());
    Ok(user)
}

fn tools(fields: &mut Fields, notes: &mut Notes) -> Result<Vec<Tool>, Error> {
    let list = fields.list("tools")?.unwrap_or_default();
    let mut tools = Vec::with_capacity(list.len());
    for (n, value) in list.into_iter().enumerate() {
        let mut fields = Fields::of(value, format!("tools[{n}]"))?;
        if fields.text("type")?.is_some_and(|kind| kind != "custom") {
            // Tools that Anthropic runs itself, or has taught its models: only it knows them.
            notes.rest.push((format!("tools[{n}]"), Value::Null));
            continue;
        }
        tools.push(Tool {
            name: fields.need_text("name")?,
            description: fields.text("description")?,
            parameters: fields.object_value("input_schema")?,
            strict: fields.flag("strict")?,
        });
        notes.cached(&mut fields);
        if fields.take("eager_input_streaming").is_some() {
            notes.hint("tools.eager_input_streaming");
        }
        // What these say when they are given their defaults goes without saying.
        let direct = serde_json::json!(["direct"]);
        notes.unless(&mut fields, "allowed_callers", |value| *value == direct);
        notes.unless(&mut fields, "defer_loading", |value| *value == Value::Bool(false));
        notes.rest.extend(fields.rest());
    }
    Ok(tools)
}

type Choice = (Option<ToolChoice>, Option<bool>);

fn tool_choice(fields: &mut Fields, notes: &mut Notes) -> Result<Choice, Error> {
    let Some(mut choice) = fields.object("tool_choice")? else { return Ok((None, None)) };
    let which = match choice.need_text("type")?.as_str() {
        "auto" => ToolChoice::Auto,
        "any" => ToolChoice::Required,
        "none" => ToolChoice::Never,
        "tool" => ToolChoice::Named(choice.need_text("name")?),
        other => {
            let hint = format!("`{other}` is not known: use auto, any, tool or none");
            return Err(choice.wrong("type", hint));
        }
    };
    let alone = choice.flag("disable_parallel_tool_use")?;
    notes.rest.extend(choice.rest());
    Ok((Some(which), alone.map(|alone| !alone)))
}

type Output = (Option<Format>, Option<Reasoning>);

/// `output_config` and `thinking`: the effort of the one says how much the other does.
fn output(fields: &mut Fields, notes: &mut Notes) -> Result<Output, Error> {
    // Its name before November 2025's beta was over.
    let mut form = fields.object("output_format")?;
    let mut effort = None;
    if let Some(mut config) = fields.object("output_config")? {
        form = config.object("format")?.or(form);
        effort = config.text("effort")?;
        notes.rest.extend(config.rest());
    }
    let form = form.map(|form| format(form, notes)).transpose()?;
    let Some(mut thinking) = fields.object("thinking")? else {
        return Ok((form, effort.map(Reasoning::Effort)));
    };
    let kind = thinking.need_text("type")?;
    let reasoning = match (kind.as_str(), effort) {
        ("adaptive", None) => Reasoning::On,
        ("adaptive", Some(effort)) => Reasoning::Effort(effort),
        ("enabled" | "disabled", Some(effort)) => {
            // Then it is about the words of the answer, for which there is no place.
            notes.rest.push(("output_config.effort".to_owned(), effort.into()));
            steady(&kind, &mut thinking)?
        }
        ("enabled" | "disabled", None) => steady(&kind, &mut thinking)?,
        (other, _) => {
            let hint = format!("`{other}` is not known: use enabled, disabled or adaptive");
            return Err(thinking.wrong("type", hint));
        }
    };
    // Whether thoughts are shown; the thinking is the same.
    if thinking.take("display").is_some() {
        notes.hint("thinking.display");
    }
    notes.rest.extend(thinking.rest());
    Ok((form, Some(reasoning)))
}

fn steady(kind: &str, thinking: &mut Fields) -> Result<Reasoning, Error> {
    if kind == "disabled" {
        return Ok(Reasoning::Off);
    }
    let budget = thinking.count("budget_tokens")?;
    let missing = || thinking.wrong("budget_tokens", "is missing: it must be a whole number");
    Ok(Reasoning::Budget(budget.ok_or_else(missing)?))
}

fn format(mut form: Fields, notes: &mut Notes) -> Result<Format, Error> {
    let kind = form.need_text("type")?;
    if kind != "json_schema" {
        return Err(form.wrong("type", format!("`{kind}` is not known: use json_schema")));
    }
    let schema = form.object_value("schema")?;
    let schema = schema.ok_or_else(|| form.wrong("schema", "is missing: it must be an object"))?;
    notes.rest.extend(form.rest());
    // Anthropic holds its models to it.
    Ok(Format::Schema { name: Format::NAME.to_owned(), description: None, schema, strict: Some(true) })
}
