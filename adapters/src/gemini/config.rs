//! How Gemini is to answer: drawing of tokens, the answer's form, thoughts, tools.

use serde_json::{Map, Value, json};

use super::NAME;
use crate::call::Error;
use crate::chat::{Ask, Feature, Format, Reasoning, Tool, ToolChoice};

/// The first generation that thinks by levels; those before it think by budgets.
const LEVELS_SINCE: u32 = 3;

/// Which generation a model is of, by its name; 0 where it does not tell.
pub(super) fn generation_of(model: &str) -> u32 {
    let name = model.rsplit('/').next().unwrap_or(model);
    let number = name.strip_prefix("gemini-").unwrap_or_default();
    let digits = number.split(|char: char| !char.is_ascii_digit()).next().unwrap_or_default();
    digits.parse().unwrap_or(0)
}

/// `generationConfig`.
///
/// # Errors
/// When the question asks for what Gemini has no word for.
pub(super) fn generation(ask: &Ask, model: &str) -> Result<Map<String, Value>, Error> {
    let mut config = Map::new();
    let mut put = |name: &str, value: Option<Value>| {
        if let Some(value) = value {
            config.insert(name.to_owned(), value);
        }
    };
    let sampling = &ask.sampling;
    // Gemini's seeds have 32 bits.
    let seed =
        sampling.seed.map(|seed| i32::try_from(seed).map_err(|_| Error::unsaid("seed", NAME))).transpose()?;
    put("maxOutputTokens", ask.output_max.map(Value::from));
    put("temperature", sampling.temperature.map(Value::from));
    put("topP", sampling.top_p.map(Value::from));
    put("topK", sampling.top_k.map(Value::from));
    put("seed", seed.map(Value::from));
    put("stopSequences", (!sampling.stop.is_empty()).then(|| sampling.stop.clone().into()));
    put("candidateCount", ask.choices.filter(|n| *n != 1).map(Value::from));
    put("presencePenalty", sampling.presence_penalty.map(Value::from));
    put("frequencyPenalty", sampling.frequency_penalty.map(Value::from));
    if let Some(top) = ask.logprobs {
        put("responseLogprobs", Some(true.into()));
        put("logprobs", (top > 0).then(|| top.into()));
    }
    if let Some(format) = &ask.format {
        put("responseMimeType", Some("application/json".into()));
        put("responseJsonSchema", schema(format));
    }
    if let Some(reasoning) = &ask.reasoning {
        put("thinkingConfig", Some(thinking(reasoning, model)?));
    }
    Ok(config)
}

/// Answers are held to a schema always, and schemas have no names.
fn schema(format: &Format) -> Option<Value> {
    let Format::Schema { schema, description, .. } = format else { return None };
    let mut schema = schema.clone();
    if let (Some(description), Some(fields)) = (description, schema.as_object_mut()) {
        fields.entry("description").or_insert_with(|| description.as_str().into());
    }
    Some(schema)
}

/// Words are levels for models that have them, and the budgets that Google publishes for them for others.
fn thinking(reasoning: &Reasoning, model: &str) -> Result<Value, Error> {
    Ok(match reasoning {
        Reasoning::Off => json!({ "thinkingBudget": 0 }),
        Reasoning::On => json!({ "includeThoughts": true }),
        Reasoning::Budget(most) => json!({ "includeThoughts": true, "thinkingBudget": most }),
        Reasoning::Effort(word) => {
            let budget = match word.as_str() {
                "minimal" | "low" => 1_024,
                "medium" => 8_192,
                "high" => 24_576,
                _ => return Err(Error::Unsaid { what: Feature::Reasoning.into(), dialect: NAME.into() }),
            };
            if generation_of(model) >= LEVELS_SINCE {
                json!({ "includeThoughts": true, "thinkingLevel": word })
            } else {
                json!({ "includeThoughts": true, "thinkingBudget": budget })
            }
        }
    })
}

/// `tools`.
pub(super) fn tools(ask: &Ask) -> Value {
    let declarations: Vec<Value> = ask.tools.iter().map(declaration).collect();
    json!([{ "functionDeclarations": declarations }])
}

fn declaration(tool: &Tool) -> Value {
    // A description must be there.
    let mut out =
        json!({ "name": tool.name, "description": tool.description.as_deref().unwrap_or_default() });
    if let Some(parameters) = &tool.parameters {
        out["parametersJsonSchema"] = parameters.clone();
    }
    out
}

/// `functionCallingConfig`. Where the model may choose and a tool is strict, its calls are validated; where it must call,
/// they are in any case.
pub(super) fn tool_choice(ask: &Ask) -> Option<Value> {
    let strict = ask.tools.iter().any(|tool| tool.strict == Some(true));
    Some(match &ask.tool_choice {
        None | Some(ToolChoice::Auto) if strict => json!({ "mode": "VALIDATED" }),
        None => return None,
        Some(ToolChoice::Auto) => json!({ "mode": "AUTO" }),
        Some(ToolChoice::Never) => json!({ "mode": "NONE" }),
        Some(ToolChoice::Required) => json!({ "mode": "ANY" }),
        Some(ToolChoice::Named(name)) => json!({ "mode": "ANY", "allowedFunctionNames": [name] }),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_models_generation_is_in_its_name() {
        assert_eq!(generation_of("gemini-2.5-pro"), 2);
        assert_eq!(generation_of("models/gemini-3-flash-preview"), 3);
        assert_eq!(generation_of("gemini-3.1-pro-preview"), 3);
        assert_eq!(generation_of("gemini-pro-latest"), 0);
        assert_eq!(generation_of("gemma-3-27b-it"), 0);
        assert_eq!(generation_of("gemini-99999999999"), 0);
    }
}
