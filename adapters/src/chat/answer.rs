//! An answer.

use super::ask::{Part, ToolCall, texts};
use super::event::{Delta, Event};
use crate::usage::Usage;

/// What a model answered, whole.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Answer {
    /// By which the provider knows it; empty where it gave none.
    pub id: String,
    /// The model that answered, by the provider's name; empty where it gave none.
    pub model: String,
    /// One for each answer asked for.
    pub choices: Vec<Choice>,
    /// What was used, where the provider tells.
    pub usage: Option<Usage>,
}

impl Answer {
    /// The same in pieces, as a stream would have told it.
    pub fn events(&self) -> Vec<Event> {
        let mut events = vec![Event::Begin { id: self.id.clone(), model: self.model.clone() }];
        for (n, choice) in self.choices.iter().enumerate() {
            let index = u32::try_from(n).unwrap_or(u32::MAX);
            let deltas = choice.deltas().into_iter().map(|delta| Event::Delta { choice: index, delta });
            events.extend(deltas);
            events.push(Event::Finish { choice: index, reason: choice.finish.clone() });
        }
        events.extend(self.usage.map(Event::Usage));
        events.push(Event::Done);
        events
    }
}

/// One of the answers.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// What it says, in order: thoughts, texts, calls of tools.
    pub parts: Vec<Part>,
    /// Why it ended.
    pub finish: Finish,
    /// The probabilities of its tokens, where they were wanted.
    pub logprobs: Option<Vec<TokenLogprob>>,
}

impl Choice {
    /// What it says, piece by piece.
    fn deltas(&self) -> Vec<Delta> {
        let mut deltas = Vec::new();
        let mut calls = 0;
        for part in &self.parts {
            match part {
                Part::Text(text) => deltas.push(Delta::Text(text.clone())),
                Part::Refusal(why) => deltas.push(Delta::Refusal(why.clone())),
                Part::Thinking { text, signature } => {
                    deltas.push(Delta::Thinking(text.clone()));
                    deltas.extend(signature.clone().map(Delta::Signature));
                }
                Part::ToolCall(call) => {
                    let (id, name) = (call.id.clone(), call.name.clone());
                    deltas.push(Delta::ToolCall { index: calls, id, name });
                    deltas.push(Delta::Arguments { index: calls, text: call.arguments.clone() });
                    calls += 1;
                }
                // Models do not answer with these in chats.
                Part::Image { .. } | Part::Audio(_) | Part::File { .. } | Part::ToolResult(_) => {}
            }
        }
        deltas.extend(self.logprobs.clone().map(Delta::Logprobs));
        deltas
    }

    /// All its text.
    pub fn all_text(&self) -> String {
        texts(&self.parts)
    }

    /// Everything it thought, in words.
    pub fn all_thoughts(&self) -> String {
        let thoughts = self.parts.iter().map(|part| match part {
            Part::Thinking { text, .. } => text.as_str(),
            _ => "",
        });
        thoughts.collect()
    }

    /// The tools it calls.
    pub fn tool_calls(&self) -> impl Iterator<Item = &ToolCall> {
        self.parts.iter().filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None })
    }

    /// Why it does not answer, if it said so.
    pub fn refusal(&self) -> Option<&str> {
        self.parts
            .iter()
            .find_map(|part| if let Part::Refusal(why) = part { Some(why.as_str()) } else { None })
    }
}

/// Why an answer ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finish {
    /// The model was done.
    Stop,
    /// It came to this text, at which it was to stop. Protocols that do not tell which say [`Finish::Stop`].
    StopText(String),
    /// It came to the most tokens it may have.
    Length,
    /// It calls tools.
    Tools,
    /// What it said, or was about to say, is not allowed by the provider.
    Filtered,
}

/// How likely a token was.
#[derive(Debug, Clone, PartialEq)]
pub struct TokenLogprob {
    /// Itself, and how likely it was.
    pub token: TopLogprob,
    /// Others that could have been there, likeliest first.
    pub top: Vec<TopLogprob>,
}

/// A token and how likely it is.
#[derive(Debug, Clone, PartialEq)]
pub struct TopLogprob {
    /// Its text.
    pub token: String,
    /// The natural logarithm of its probability.
    pub logprob: f64,
    /// Its bytes, where the provider tells them: a token may be half a character.
    pub bytes: Option<Vec<u8>>,
}
