//! A whole answer for OpenAI's clients.

use serde_json::{Map, Value, json};

use crate::chat::{Answer, Ask, Choice, Finish, TokenLogprob, TopLogprob};
use crate::client::About;
use crate::usage::Usage;

/// The answer as JSON.
pub(crate) fn answer(ask: &Ask, answer: &Answer, about: &About) -> Value {
    let choices: Vec<Value> = answer.choices.iter().enumerate().map(|(n, one)| choice(n, one)).collect();
    let mut out = json!({
        "id": id(&answer.id, about),
        "object": "chat.completion",
        "created": about.now_s,
        "model": model(&answer.model, ask),
        "choices": choices,
    });
    if let Some(told) = &answer.usage {
        out["usage"] = usage(told);
    }
    out
}

/// The provider's id, or one of our own.
pub(super) fn id(of: &str, about: &About) -> String {
    if of.is_empty() { format!("chatcmpl-{}", about.id) } else { of.to_owned() }
}

/// The model that answered, by the name the provider gave, or the client.
pub(super) fn model<'a>(of: &'a str, ask: &'a Ask) -> &'a str {
    if of.is_empty() { &ask.model } else { of }
}

fn choice(index: usize, choice: &Choice) -> Value {
    let text = choice.all_text();
    let calls: Vec<Value> = choice
        .tool_calls()
        .map(|call| {
            json!({
                "id": call.id,
                "type": "function",
                "function": { "name": call.name, "arguments": call.arguments },
            })
        })
        .collect();
    let mut message = Map::new();
    message.insert("role".to_owned(), "assistant".into());
    let silent = text.is_empty() && (!calls.is_empty() || choice.refusal().is_some());
    message.insert("content".to_owned(), if silent { Value::Null } else { text.into() });
    message.insert("refusal".to_owned(), choice.refusal().into());
    let thoughts = choice.all_thoughts();
    if !thoughts.is_empty() {
        message.insert("reasoning_content".to_owned(), thoughts.into());
    }
    if !calls.is_empty() {
        message.insert("tool_calls".to_owned(), calls.into());
    }
    json!({
        "index": index,
        "message": message,
        "logprobs": choice.logprobs.as_deref().map(|tokens| json!({ "content": logprobs(tokens), "refusal": null })),
        "finish_reason": finish(&choice.finish),
    })
}

/// Why it ended.
pub(super) fn finish(finish: &Finish) -> &'static str {
    match finish {
        Finish::Stop | Finish::StopText(_) => "stop",
        Finish::Length => "length",
        Finish::Tools => "tool_calls",
        Finish::Filtered => "content_filter",
    }
}

/// What was used.
pub(crate) fn usage(usage: &Usage) -> Value {
    json!({
        "prompt_tokens": usage.prompt_tokens,
        "completion_tokens": usage.completion_tokens,
        "total_tokens": usage.total(),
        "prompt_tokens_details": { "cached_tokens": usage.cached_tokens },
        "completion_tokens_details": { "reasoning_tokens": usage.reasoning_tokens },
    })
}

/// The probabilities of tokens.
pub(super) fn logprobs(tokens: &[TokenLogprob]) -> Value {
    let one =
        |token: &TopLogprob| json!({ "token": token.token, "logprob": token.logprob, "bytes": token.bytes });
    let tokens = tokens.iter().map(|token| {
        let mut out = one(&token.token);
        out["top_logprobs"] = token.top.iter().map(one).collect();
        out
    });
    tokens.collect()
}
