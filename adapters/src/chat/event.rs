//! An answer in pieces.

use super::answer::{Answer, Choice, Finish, TokenLogprob};
use super::ask::{Part, ToolCall};
use crate::openai::ErrorBody;
use crate::usage::Usage;

/// What a stream tells next. Decoders give them in this order: one `Begin`, `Delta`s, for each choice a `Finish`, `Usage`
/// where it is told (also in between: each replaces what the last one said), `Done`. A stream that ends without `Done` or
/// `Error` was cut.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The answer begins.
    Begin {
        /// By which the provider knows it; empty where it gave none.
        id: String,
        /// The model that answers, by the provider's name; empty where it gave none.
        model: String,
    },
    /// A piece of a choice.
    Delta {
        /// Which, from 0.
        choice: u32,
        /// What.
        delta: Delta,
    },
    /// A choice is complete.
    Finish {
        /// Which, from 0.
        choice: u32,
        /// Why.
        reason: Finish,
    },
    /// What was used so far.
    Usage(Usage),
    /// The provider gave up.
    Error(ErrorBody),
    /// The answer is complete.
    Done,
}

/// A piece of an answer.
#[derive(Debug, Clone, PartialEq)]
pub enum Delta {
    /// Words.
    Text(String),
    /// Thoughts in words.
    Thinking(String),
    /// By which the provider knows the thoughts before it again.
    Signature(String),
    /// Words that say why it does not answer.
    Refusal(String),
    /// The call of a tool begins. Its index, from 0, counts the calls of this choice in order.
    ToolCall {
        /// Which call.
        index: u32,
        /// Its id; never empty: decoders of protocols without ids make one.
        id: String,
        /// The tool.
        name: String,
    },
    /// A piece of the arguments of a call that began.
    Arguments {
        /// Which call.
        index: u32,
        /// JSON text, cut anywhere.
        text: String,
    },
    /// The probabilities of the tokens just told.
    Logprobs(Vec<TokenLogprob>),
}

/// Puts a streamed answer together again: for clients that want it whole from targets that stream, and for comparing the two.
#[derive(Debug, Default)]
pub struct Collector {
    answer: Answer,
    error: Option<ErrorBody>,
    done: bool,
}

impl Collector {
    /// The next event.
    pub fn push(&mut self, event: Event) {
        match event {
            Event::Begin { id, model } => (self.answer.id, self.answer.model) = (id, model),
            Event::Delta { choice, delta } => add(self.choice(choice), delta),
            Event::Finish { choice, reason } => self.choice(choice).finish = reason,
            Event::Usage(usage) => self.answer.usage = Some(usage),
            Event::Error(error) => self.error = Some(error),
            Event::Done => self.done = true,
        }
    }

    /// The answer; the error that the provider told; `None` for one that was cut.
    pub fn finish(self) -> Option<Result<Answer, ErrorBody>> {
        match (self.error, self.done) {
            (Some(error), _) => Some(Err(error)),
            (None, true) => Some(Ok(self.answer)),
            (None, false) => None,
        }
    }

    /// Choices of a stream are few: OpenAI allows 128.
    fn choice(&mut self, index: u32) -> &mut Choice {
        const CHOICES_MAX: usize = 128;
        let index = (index as usize).min(CHOICES_MAX - 1);
        while self.answer.choices.len() <= index {
            self.answer.choices.push(Choice { parts: Vec::new(), finish: Finish::Stop, logprobs: None });
        }
        &mut self.answer.choices[index]
    }
}

fn add(choice: &mut Choice, delta: Delta) {
    match (delta, choice.parts.last_mut()) {
        (Delta::Text(more), Some(Part::Text(text))) => text.push_str(&more),
        (Delta::Text(text), _) => choice.parts.push(Part::Text(text)),
        (Delta::Refusal(more), Some(Part::Refusal(text))) => text.push_str(&more),
        (Delta::Refusal(text), _) => choice.parts.push(Part::Refusal(text)),
        (Delta::Thinking(more), Some(Part::Thinking { text, signature: None })) => text.push_str(&more),
        (Delta::Thinking(text), _) => choice.parts.push(Part::Thinking { text, signature: None }),
        (Delta::Signature(of), Some(Part::Thinking { signature, .. })) => {
            signature.get_or_insert_default().push_str(&of);
        }
        (Delta::Signature(of), _) => {
            choice.parts.push(Part::Thinking { text: String::new(), signature: Some(of) });
        }
        (Delta::ToolCall { id, name, .. }, _) => {
            choice.parts.push(Part::ToolCall(ToolCall { id, name, arguments: String::new() }));
        }
        (Delta::Arguments { index, text }, _) => {
            let calls = choice.parts.iter_mut().filter_map(|part| match part {
                Part::ToolCall(call) => Some(call),
                _ => None,
            });
            if let Some(call) = calls.into_iter().nth(index as usize) {
                call.arguments.push_str(&text);
            }
        }
        (Delta::Logprobs(more), _) => choice.logprobs.get_or_insert_default().extend(more),
    }
}
