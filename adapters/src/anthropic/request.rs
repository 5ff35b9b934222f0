//! A chat as it is put to Anthropic.

use serde_json::{Map, Value, json};

use super::generation::{Generation, Thinking};
use super::{NAME, models, turns};
use crate::call::Error;
use crate::chat::{Ask, Feature, Format, Reasoning, Tool, ToolChoice};
use crate::models::find;

/// Tokens of an answer where neither the client nor the table of models tells how many it may have.
const OUTPUT_MAX: u64 = 4_096;
/// The fewest tokens to think with that Anthropic takes.
const BUDGET_MIN: u64 = 1_024;

/// That a model has no word for a feature.
pub(super) fn unsaid(feature: Feature) -> Error {
    Error::Unsaid { what: feature.into(), dialect: NAME.into() }
}

/// The body, for a model of this name.
///
/// # Errors
/// When the question holds what the model refuses.
pub(super) fn body(ask: &Ask, model: &str) -> Result<Map<String, Value>, Error> {
    let generation = Generation::of(model);
    refuse(ask, generation)?;
    let turns = turns::of(ask, generation)?;
    let output_max = ask.output_max.unwrap_or_else(|| output_max(model));
    let (thinking, effort) = reasoning(ask, generation, output_max)?;
    let mut body = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            body.insert(name.to_owned(), value);
        }
    };
    put("model", Some(model.into()));
    put("max_tokens", Some(output_max.into()));
    put("system", turns.system);
    put("messages", Some(turns.messages.into()));
    let sampling = &ask.sampling;
    // OpenAI's go to 2; the same is done where Anthropic's own servers speak OpenAI's dialect.
    put("temperature", sampling.temperature.map(|temperature| temperature.min(1.0).into()));
    put("top_p", sampling.top_p.map(Value::from));
    put("top_k", sampling.top_k.map(Value::from));
    put("stop_sequences", (!sampling.stop.is_empty()).then(|| sampling.stop.clone().into()));
    put("metadata", ask.user.as_ref().map(|user| json!({ "user_id": user })));
    if !ask.tools.is_empty() {
        put("tools", Some(ask.tools.iter().map(tool).collect()));
        put("tool_choice", tool_choice(ask));
    }
    put("thinking", thinking);
    let mut config = Map::new();
    config.extend(ask.format.as_ref().and_then(format).map(|format| ("format".to_owned(), format)));
    config.extend(effort.map(|effort| ("effort".to_owned(), effort.into())));
    put("output_config", (!config.is_empty()).then(|| config.into()));
    put("stream", ask.stream.then(|| true.into()));
    Ok(body)
}

/// The most tokens that a model may answer with.
fn output_max(model: &str) -> u64 {
    find(models::MODELS, model).map(|known| known.output_max).filter(|max| *max > 0).unwrap_or(OUTPUT_MAX)
}

/// Tells what this model refuses, though others take it.
fn refuse(ask: &Ask, generation: Generation) -> Result<(), Error> {
    let sampling = &ask.sampling;
    let forced = matches!(ask.tool_choice, Some(ToolChoice::Required | ToolChoice::Named(_)));
    let refused = [
        // Newer models take the defaults only, which are 1 or, for `top_p`, what rounds to it.
        (Feature::Temperature, !generation.samples() && sampling.temperature.is_some_and(|t| t < 1.0)),
        (Feature::TopP, !generation.samples() && sampling.top_p.is_some_and(|p| p < 0.99)),
        (Feature::TopK, !generation.samples() && sampling.top_k.is_some()),
        (Feature::Prefill, !generation.prefills() && ask.uses(Feature::Prefill)),
        (Feature::JsonSchema, !generation.holds_to_schemas() && ask.uses(Feature::JsonSchema)),
        (Feature::StrictTools, !generation.holds_to_schemas() && ask.uses(Feature::StrictTools)),
        (Feature::ToolChoice, !generation.can_be_made_to_call() && forced && !ask.tools.is_empty()),
    ];
    match refused.into_iter().find(|(_, refused)| *refused) {
        Some((feature, _)) => Err(unsaid(feature)),
        None => Ok(()),
    }
}

fn tool(tool: &Tool) -> Value {
    let mut schema = tool.parameters.clone().unwrap_or_else(|| json!({}));
    if let Some(map) = schema.as_object_mut() {
        map.entry("type").or_insert_with(|| "object".into());
    }
    let mut out = json!({ "name": tool.name });
    if let Some(description) = &tool.description {
        out["description"] = description.as_str().into();
    }
    out["input_schema"] = schema;
    if tool.strict == Some(true) {
        out["strict"] = true.into();
    }
    out
}

fn tool_choice(ask: &Ask) -> Option<Value> {
    let mut choice = match (&ask.tool_choice, ask.parallel_tools) {
        (None, Some(false)) | (Some(ToolChoice::Auto), _) => json!({ "type": "auto" }),
        (None, _) => return None,
        (Some(ToolChoice::Never), _) => return Some(json!({ "type": "none" })),
        (Some(ToolChoice::Required), _) => json!({ "type": "any" }),
        (Some(ToolChoice::Named(name)), _) => json!({ "type": "tool", "name": name }),
    };
    if ask.parallel_tools == Some(false) {
        choice["disable_parallel_tool_use"] = true.into();
    }
    Some(choice)
}

/// A schema has no name here; what it is for goes into itself.
fn format(format: &Format) -> Option<Value> {
    let Format::Schema { description, schema, .. } = format else { return None };
    let mut schema = schema.clone();
    if let (Some(description), Some(map)) = (description, schema.as_object_mut()) {
        map.entry("description").or_insert_with(|| description.as_str().into());
    }
    Some(json!({ "type": "json_schema", "schema": schema }))
}

/// `thinking` and the effort in words. What a client says in one way and the model takes in the other is translated by the
/// bounds that Google publishes for the same words.
fn reasoning(
    ask: &Ask,
    generation: Generation,
    output_max: u64,
) -> Result<(Option<Value>, Option<String>), Error> {
    let adaptive = Some(json!({ "type": "adaptive" }));
    let refused = Err(unsaid(Feature::Reasoning));
    Ok(match (ask.reasoning.as_ref(), generation.thinking()) {
        (None, _) | (Some(Reasoning::Off), Thinking::Never) => (None, None),
        (_, Thinking::Never) => return refused,
        (Some(Reasoning::Off), _) if generation.can_stop_thinking() => {
            (Some(json!({ "type": "disabled" })), None)
        }
        (Some(Reasoning::Off), _) => return refused,
        (Some(Reasoning::Budget(budget)), _) if generation.takes_budget() => (Some(enabled(*budget)), None),
        (Some(Reasoning::Budget(budget)), _) => (adaptive, Some(in_words(*budget).to_owned())),
        (Some(Reasoning::On), Thinking::Adaptive) => (adaptive, None),
        (Some(Reasoning::On), Thinking::Budget) => (Some(enabled(within("medium", output_max)?)), None),
        (Some(Reasoning::Effort(effort)), Thinking::Adaptive) => {
            (adaptive, Some(if effort == "minimal" { "low".to_owned() } else { effort.clone() }))
        }
        (Some(Reasoning::Effort(effort)), Thinking::Budget) => {
            (Some(enabled(within(effort, output_max)?)), None)
        }
    })
}

fn enabled(budget: u64) -> Value {
    json!({ "type": "enabled", "budget_tokens": budget })
}

fn in_words(budget: u64) -> &'static str {
    match budget {
        ..=1_024 => "low",
        1_025..=8_192 => "medium",
        _ => "high",
    }
}

/// So many tokens for an effort that at least half of the answer is left for what is said, where there is room for both.
fn within(effort: &str, output_max: u64) -> Result<u64, Error> {
    let budget = match effort {
        "minimal" | "low" => 1_024,
        "medium" => 8_192,
        "high" | "xhigh" | "max" => 24_576,
        _ => return Err(unsaid(Feature::Reasoning)),
    };
    if output_max <= BUDGET_MIN {
        return Err(unsaid(Feature::Reasoning));
    }
    Ok(budget.min((output_max / 2).max(BUDGET_MIN)))
}
