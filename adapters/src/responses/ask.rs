//! A response as OpenAI's clients ask for it.

use serde_json::Value;

use super::input;
use crate::call::Error;
use crate::chat::{Ask, Format, Reasoning, Sampling, Tool, ToolChoice};
use crate::read::Fields;

/// Fields that do not change what is answered: how it is billed, cached and told apart, and limits for tools that the
/// provider runs itself, of which there are none here.
const HINTS: [&str; 7] = [
    "max_tool_calls",
    "metadata",
    "prompt_cache_key",
    "prompt_cache_options",
    "prompt_cache_retention",
    "safety_identifier",
    "service_tier",
];

/// Fields that a response tells again.
pub(super) const ECHO: [&str; 15] = [
    "instructions",
    "max_output_tokens",
    "metadata",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning",
    "safety_identifier",
    "temperature",
    "text",
    "tool_choice",
    "tools",
    "top_logprobs",
    "top_p",
    "truncation",
    "user",
];

/// Others beside each token at most, as at OpenAI.
const TOP_LOGPROBS_MAX: u64 = 20;

type Rest = Vec<(String, Value)>;

pub(super) fn ask(body: &[u8]) -> Result<Ask, Error> {
    let mut fields = Fields::body(body)?;
    refuse_stored(&mut fields)?;
    let echo = ECHO.iter().filter_map(|name| Some(((*name).to_owned(), fields.get(name)?.clone())));
    let echo = echo.collect();
    let (mut rest, mut hints) = (Vec::new(), Vec::new());
    let messages = input::messages(&mut fields, &mut rest, &mut hints)?;
    let logprobs = logprobs(&mut fields, &mut rest)?;
    if let Some(mut options) = fields.object("stream_options")? {
        options.take("include_obfuscation");
        rest.extend(options.rest());
    }
    match fields.text("truncation")?.as_deref() {
        None => {}
        Some("disabled") => hints.push("truncation".to_owned()),
        Some(_) => rest.push(("truncation".to_owned(), Value::Null)),
    }
    let mut ask = Ask {
        model: fields.need_text("model")?,
        messages,
        tools: tools(&mut fields, &mut rest)?,
        tool_choice: tool_choice(&mut fields)?,
        parallel_tools: fields.flag("parallel_tool_calls")?,
        format: text(&mut fields, &mut rest)?,
        output_max: fields.count("max_output_tokens")?,
        sampling: Sampling {
            temperature: fields.number_in("temperature", 0.0, 2.0)?,
            top_p: fields.number_in("top_p", 0.0, 1.0)?,
            ..Sampling::default()
        },
        choices: None,
        logprobs,
        reasoning: reasoning(&mut fields, &mut rest, &mut hints)?,
        user: fields.text("user")?,
        stream: fields.flag("stream")?.unwrap_or(false),
        // Every response tells what was used.
        stream_usage: true,
        rest,
        hints,
        echo,
    };
    ask.hints.extend(HINTS.iter().filter(|hint| fields.take(hint).is_some()).map(|hint| (*hint).to_owned()));
    ask.rest.extend(fields.rest());
    Ok(ask)
}

/// Refuses what only a server can do that keeps responses.
fn refuse_stored(fields: &mut Fields) -> Result<(), Error> {
    let flags = [
        ("store", "must be false: this cluster does not store responses"),
        (
            "background",
            "must be false: this cluster does not store responses, so none could be fetched later",
        ),
    ];
    for (name, hint) in flags {
        if fields.flag(name)? == Some(true) {
            return Err(fields.wrong(name, hint));
        }
    }
    for name in ["previous_response_id", "conversation"] {
        if fields.has(name) {
            let hint = "cannot be used: this cluster does not store responses; send the whole conversation as `input`";
            return Err(fields.wrong(name, hint));
        }
    }
    if fields.has("prompt") {
        let hint = "cannot be used: this cluster stores neither prompts nor responses; send the text as `instructions` or `input`";
        return Err(fields.wrong("prompt", hint));
    }
    Ok(())
}

/// Whether the probabilities of tokens are wanted; what else is wanted beside the answer goes to the rest.
fn logprobs(fields: &mut Fields, rest: &mut Rest) -> Result<Option<u64>, Error> {
    let mut wanted = false;
    for (n, value) in fields.list("include")?.unwrap_or_default().into_iter().enumerate() {
        match value.as_str() {
            Some("message.output_text.logprobs") => wanted = true,
            // Thoughts always come with it where the provider tells it.
            Some("reasoning.encrypted_content") => {}
            Some(_) => rest.push((format!("include[{n}]"), value)),
            None => return Err(fields.wrong(format_args!("include[{n}]"), "must be a string")),
        }
    }
    let top = fields.count("top_logprobs")?;
    if top.is_some_and(|top| top > TOP_LOGPROBS_MAX) {
        return Err(fields.wrong("top_logprobs", format!("must be from 0 to {TOP_LOGPROBS_MAX}")));
    }
    Ok(match top {
        Some(top) if wanted || top > 0 => Some(top),
        _ => wanted.then_some(0),
    })
}

fn reasoning(
    fields: &mut Fields,
    rest: &mut Rest,
    hints: &mut Vec<String>,
) -> Result<Option<Reasoning>, Error> {
    let Some(mut fields) = fields.object("reasoning")? else { return Ok(None) };
    let effort = fields.text("effort")?.map(|effort| match effort.as_str() {
        "none" => Reasoning::Off,
        _ => Reasoning::Effort(effort),
    });
    for name in ["summary", "generate_summary"] {
        if fields.text(name)?.is_some() {
            hints.push(fields.path(name));
        }
    }
    rest.extend(fields.rest());
    Ok(effort)
}

/// The form of the answer.
fn text(fields: &mut Fields, rest: &mut Rest) -> Result<Option<Format>, Error> {
    let Some(mut text) = fields.object("text")? else { return Ok(None) };
    let verbosity = text.text("verbosity")?;
    // What models do unasked needs no word.
    if let Some(verbosity) = verbosity.filter(|word| word != "medium") {
        rest.push((text.path("verbosity"), verbosity.into()));
    }
    let format = text.object("format")?;
    rest.extend(text.rest());
    let Some(mut format) = format else { return Ok(None) };
    let read = match format.need_text("type")?.as_str() {
        "text" => None,
        "json_object" => Some(Format::Json),
        "json_schema" => Some(Format::Schema {
            name: format.need_text("name")?,
            description: format.text("description")?,
            schema: format
                .object_value("schema")?
                .ok_or_else(|| format.wrong("schema", "is missing: it must be an object"))?,
            strict: format.flag("strict")?,
        }),
        other => {
            let hint = format!("`{other}` is not known: use text, json_object or json_schema");
            return Err(format.wrong("type", hint));
        }
    };
    rest.extend(format.rest());
    Ok(read)
}

fn tools(fields: &mut Fields, rest: &mut Rest) -> Result<Vec<Tool>, Error> {
    let mut tools = Vec::new();
    for (n, value) in fields.list("tools")?.unwrap_or_default().into_iter().enumerate() {
        let at = format!("tools[{n}]");
        let mut fields = Fields::of(value, at.clone())?;
        let kind = fields.need_text("type")?;
        if kind != "function" {
            // Tools that the provider runs itself, or whose calls are no JSON: only it knows them.
            rest.push((at, kind.into()));
            continue;
        }
        tools.push(Tool {
            name: fields.need_text("name")?,
            description: fields.text("description")?,
            parameters: fields.object_value("parameters")?,
            strict: fields.flag("strict")?,
        });
        rest.extend(fields.rest());
    }
    Ok(tools)
}

fn tool_choice(fields: &mut Fields) -> Result<Option<ToolChoice>, Error> {
    let hint = "must be none, auto, required or an object that names a function";
    let choice = match fields.take("tool_choice") {
        None => return Ok(None),
        Some(Value::String(text)) => match text.as_str() {
            "auto" => ToolChoice::Auto,
            "none" => ToolChoice::Never,
            "required" => ToolChoice::Required,
            _ => return Err(fields.wrong("tool_choice", hint)),
        },
        Some(value) => {
            let mut choice = Fields::of(value, fields.path("tool_choice"))
                .map_err(|_| fields.wrong("tool_choice", hint))?;
            match choice.need_text("type")?.as_str() {
                "function" => ToolChoice::Named(choice.need_text("name")?),
                "allowed_tools" => {
                    let hint = "`allowed_tools` is not understood here: send only the tools that are allowed";
                    return Err(choice.wrong("type", hint));
                }
                other => {
                    let hint = format!("`{other}` is not known: use function");
                    return Err(choice.wrong("type", hint));
                }
            }
        }
    };
    Ok(Some(choice))
}
