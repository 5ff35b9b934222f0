//! Gemini's answers. Each event of a stream is a whole `GenerateContentResponse`, and a whole answer is a stream of one.

use std::collections::BTreeMap;

use serde_json::Value;

use super::classify::{classify, read_error};
use super::contents::OWN;
use crate::chat::{Answer, Collector, Delta, Event, Finish, TokenLogprob, TopLogprob};
use crate::dialect::{Decoder, Refusal};
use crate::frames::Sse;
use crate::usage::Usage;

/// Reads events.
#[derive(Default)]
pub(super) struct EventDecoder {
    sse: Sse,
    state: State,
}

#[derive(Default)]
struct State {
    begun: bool,
    over: bool,
    /// Names the answer in ids of calls that came without one.
    id: String,
    choices: BTreeMap<u32, Progress>,
    usage: Option<Usage>,
}

/// How far a choice came.
#[derive(Default)]
struct Progress {
    calls: u32,
    /// Told at the end only: some models say it in every event.
    finish: Option<Finish>,
}

impl Decoder for EventDecoder {
    fn push(&mut self, bytes: &[u8], out: &mut Vec<Event>) {
        let Self { sse, state } = self;
        sse.push(bytes, |_, data| {
            if data.is_empty() {
                return;
            }
            match serde_json::from_slice(data) {
                Ok(value) => state.event(&value, out),
                Err(error) => state.fail(&format!("an event is no JSON: {error}"), out),
            }
        });
    }

    fn finish(&mut self, out: &mut Vec<Event>) {
        self.state.end(out);
    }
}

impl State {
    fn event(&mut self, value: &Value, out: &mut Vec<Event>) {
        if self.over {
            return;
        }
        if let Some((_, error)) = read_error(value) {
            self.over = true;
            return out.push(Event::Error(error));
        }
        if !value.is_object() {
            return self.fail("an event is no object", out);
        }
        if !std::mem::replace(&mut self.begun, true) {
            let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
            self.id = text("responseId");
            out.push(Event::Begin { id: text("responseId"), model: text("modelVersion") });
        }
        for candidate in value["candidates"].as_array().into_iter().flatten() {
            if let Err(what) = self.candidate(candidate, out) {
                return self.fail(&what, out);
            }
        }
        // The question was not let through: there are no candidates, and the answer is empty.
        if value["promptFeedback"]["blockReason"].is_string() && self.choices.is_empty() {
            self.choices.entry(0).or_default().finish = Some(Finish::Filtered);
        }
        self.usage = usage(value).or(self.usage);
    }

    fn candidate(&mut self, value: &Value, out: &mut Vec<Event>) -> Result<(), String> {
        let choice = value["index"].as_u64().and_then(|index| u32::try_from(index).ok()).unwrap_or(0);
        let progress = self.choices.entry(choice).or_default();
        let mut tell = |delta| out.push(Event::Delta { choice, delta });
        for part in value["content"]["parts"].as_array().into_iter().flatten() {
            tell_part(part, &self.id, &mut progress.calls, &mut tell)?;
        }
        if let Some(tokens) = logprobs(&value["logprobsResult"]) {
            tell(Delta::Logprobs(tokens));
        }
        match value["finishReason"].as_str() {
            None => {}
            Some(word) => progress.finish = Some(finish(word, &value["finishMessage"])?),
        }
        Ok(())
    }

    /// There is no mark of an end: a stream is complete when it ended in order and all its choices said why.
    fn end(&mut self, out: &mut Vec<Event>) {
        if self.over || self.choices.is_empty() || self.choices.values().any(|one| one.finish.is_none()) {
            return;
        }
        self.over = true;
        for (choice, progress) in std::mem::take(&mut self.choices) {
            let reason = match progress.finish {
                Some(Finish::Stop) | None if progress.calls > 0 => Finish::Tools,
                Some(reason) => reason,
                None => continue,
            };
            out.push(Event::Finish { choice, reason });
        }
        out.extend(self.usage.map(Event::Usage));
        out.push(Event::Done);
    }

    fn fail(&mut self, what: &str, out: &mut Vec<Event>) {
        if !std::mem::replace(&mut self.over, true) {
            out.push(Event::Error(Refusal::nonsense(what).error));
        }
    }
}

fn tell_part(value: &Value, id: &str, calls: &mut u32, tell: &mut impl FnMut(Delta)) -> Result<(), String> {
    // What nobody asked for here, and clients' protocols have no place for in an answer.
    for kind in ["inlineData", "fileData", "executableCode", "codeExecutionResult"] {
        if !value[kind].is_null() {
            return Err(format!("it holds `{kind}`, which was not asked for"));
        }
    }
    let thought = value["thought"].as_bool() == Some(true);
    let signature = || value["thoughtSignature"].as_str().filter(|signature| !signature.is_empty());
    let text = value["text"].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    if thought && let Some(text) = &text {
        tell(Delta::Thinking(text.clone()));
    }
    // Signs what it stands at, by all that was thought before it.
    if let Some(signature) = signature() {
        tell(Delta::Signature(format!("{OWN}{signature}")));
    }
    if !thought && let Some(text) = text {
        tell(Delta::Text(text));
    }
    let call = &value["functionCall"];
    if call.is_null() {
        return Ok(());
    }
    let Some(name) = call["name"].as_str().filter(|name| !name.is_empty()) else {
        return Err("a call names no function".to_owned());
    };
    let index = *calls;
    *calls = calls.saturating_add(1);
    let id = match call["id"].as_str() {
        Some(id) if !id.is_empty() => id.to_owned(),
        _ if id.is_empty() => format!("call_{index}"),
        _ => format!("call_{id}_{index}"),
    };
    tell(Delta::ToolCall { index, id, name: name.to_owned() });
    if !call["args"].is_null() {
        tell(Delta::Arguments { index, text: call["args"].to_string() });
    }
    Ok(())
}

/// Why it ended. What the model did wrong itself is no answer; what is not known here was kept back for some reason.
fn finish(word: &str, message: &Value) -> Result<Finish, String> {
    match word {
        "STOP" => Ok(Finish::Stop),
        "MAX_TOKENS" => Ok(Finish::Length),
        "MALFORMED_FUNCTION_CALL"
        | "MALFORMED_RESPONSE"
        | "UNEXPECTED_TOOL_CALL"
        | "TOO_MANY_TOOL_CALLS"
        | "MISSING_THOUGHT_SIGNATURE" => {
            let message = message.as_str().unwrap_or_default();
            Err(format!("the model went wrong ({word}) {message}").trim_end().to_owned())
        }
        _ => Ok(Finish::Filtered),
    }
}

/// Reads a whole answer.
///
/// # Errors
/// When it is an error that came as a success, or is not complete.
pub(super) fn decode(body: &[u8]) -> Result<Answer, Refusal> {
    let value: Value = serde_json::from_slice(body)
        .map_err(|error| Refusal::nonsense(&format!("it is no JSON: {error}")))?;
    if let Some((status, _)) = read_error(&value) {
        return Err(classify(status, &http::HeaderMap::new(), body));
    }
    let (mut state, mut events, mut collector) = (State::default(), Vec::new(), Collector::default());
    state.event(&value, &mut events);
    if state.choices.is_empty() && !state.over {
        return Err(Refusal::nonsense("it has no `candidates`"));
    }
    state.end(&mut events);
    events.into_iter().for_each(|event| collector.push(event));
    match collector.finish() {
        Some(Ok(answer)) => Ok(answer),
        Some(Err(error)) => Err(Refusal::new(crate::failure::FailureKind::Server, error)),
        None => Err(Refusal::nonsense("a candidate has no `finishReason`")),
    }
}

/// What was used. Thoughts are written too, and counted apart.
pub(super) fn usage(value: &Value) -> Option<Usage> {
    let told = value["usageMetadata"].as_object()?;
    let count = |name: &str| told.get(name).and_then(Value::as_u64).unwrap_or(0);
    let thoughts = count("thoughtsTokenCount");
    Some(Usage {
        prompt_tokens: count("promptTokenCount").saturating_add(count("toolUsePromptTokenCount")),
        completion_tokens: count("candidatesTokenCount").saturating_add(thoughts),
        cached_tokens: count("cachedContentTokenCount"),
        cache_write_tokens: 0,
        reasoning_tokens: thoughts,
    })
}

fn logprobs(value: &Value) -> Option<Vec<TokenLogprob>> {
    let chosen = value["chosenCandidates"].as_array().filter(|chosen| !chosen.is_empty())?;
    let one = |value: &Value| TopLogprob {
        token: value["token"].as_str().unwrap_or_default().to_owned(),
        logprob: value["logProbability"].as_f64().unwrap_or_default(),
        bytes: None,
    };
    let tokens = chosen.iter().enumerate().map(|(n, token)| TokenLogprob {
        token: one(token),
        top: value["topCandidates"][n]["candidates"].as_array().into_iter().flatten().map(one).collect(),
    });
    Some(tokens.collect())
}
