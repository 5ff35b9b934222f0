//! What is read of answers and of pieces of them, by paths.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Wrong;
use super::declaration::{Calls, Finish, Reading, Used};
use super::path::{First, Path};
use crate::chat::{self, Answer, Choice, Part, TokenLogprob, ToolCall};
use crate::dialect::Refusal;
use crate::failure::FailureKind;
use crate::openai::chat::logprobs;
use crate::usage::Usage;

/// Words for why an answer ended, at most.
const WORDS_MAX: usize = 64;
/// Choices of an answer at most; OpenAI allows as many.
pub(super) const CHOICES_MAX: usize = 128;
/// Calls of tools of a choice at most; OpenAI allows as many tools.
pub(super) const CALLS_MAX: usize = 128;

/// Where things are in an answer or a piece of one.
#[derive(Debug)]
pub(super) struct Reader {
    pub(super) id: First,
    pub(super) model: First,
    choices: Option<Path>,
    pub(super) text: First,
    pub(super) thinking: First,
    pub(super) refusal: First,
    logprobs: First,
    pub(super) calls: Option<CallReader>,
    finish: Option<FinishReader>,
    usage: Option<UsageReader>,
}

/// Where calls of tools are.
#[derive(Debug)]
pub(super) struct CallReader {
    list: Path,
    pub(super) id: First,
    pub(super) name: First,
    arguments: First,
    pub(super) index: First,
}

#[derive(Debug)]
struct FinishReader {
    at: First,
    words: BTreeMap<String, Ended>,
    unfinished: Vec<String>,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Stop,
    Length,
    Tools,
    Filtered,
    Error,
}

/// Where it is told how many tokens were used.
#[derive(Debug)]
pub(super) struct UsageReader([First; 6]);

impl Reader {
    pub(super) fn new(said: &Reading, at: &str) -> Result<Self, Wrong> {
        let path = |name: &str| format!("{at}.{name}");
        Ok(Self {
            id: First::parse(&said.id, &path("id"))?,
            model: First::parse(&said.model, &path("model"))?,
            choices: said.choices.as_ref().map(|text| Path::parse(text, &path("choices"))).transpose()?,
            text: First::parse(&said.text, &path("text"))?,
            thinking: First::parse(&said.thinking, &path("thinking"))?,
            refusal: First::parse(&said.refusal, &path("refusal"))?,
            logprobs: First::parse(&said.logprobs, &path("logprobs"))?,
            calls: said.calls.as_ref().map(|calls| CallReader::new(calls, &path("calls"))).transpose()?,
            finish: said
                .finish
                .as_ref()
                .map(|finish| FinishReader::new(finish, &path("finish")))
                .transpose()?,
            usage: said.usage.as_ref().map(|usage| UsageReader::new(usage, &path("usage"))).transpose()?,
        })
    }

    /// Whether it tells why an answer ended.
    pub(super) fn tells_end(&self) -> bool {
        self.finish.is_some()
    }

    /// Whether it reads anything of what is said.
    pub(super) fn says_something(&self) -> bool {
        !self.text.is_empty() || self.calls.is_some()
    }

    /// Reads a whole answer.
    ///
    /// # Errors
    /// When it is not what the declaration says.
    pub(super) fn whole(&self, body: &Value) -> Result<Answer, Refusal> {
        let choices = self.choices(body).filter(|choices| !choices.is_empty());
        let Some(choices) = choices else {
            let at = self.choices.as_ref().map_or("", Path::text);
            return Err(Refusal::nonsense(&format!("it has no `{at}`")));
        };
        let choices = choices.into_iter().map(|choice| self.choice(choice, body));
        Ok(Answer {
            id: self.id.word(body, body).unwrap_or_default(),
            model: self.model.word(body, body).unwrap_or_default(),
            choices: choices.collect::<Result<_, _>>()?,
            usage: self.usage(body),
        })
    }

    /// The choices of an answer or a piece; `None` where it has none.
    pub(super) fn choices<'v>(&self, body: &'v Value) -> Option<Vec<&'v Value>> {
        let Some(path) = &self.choices else { return Some(vec![body]) };
        let list = path.first(body, body)?.as_array()?;
        Some(list.iter().take(CHOICES_MAX).collect())
    }

    fn choice(&self, here: &Value, root: &Value) -> Result<Choice, Refusal> {
        let mut parts = Vec::new();
        if let Some(text) = self.thinking.words(here, root) {
            parts.push(Part::Thinking { text, signature: None });
        }
        parts.extend(self.text.words(here, root).map(Part::Text));
        parts.extend(self.refusal.words(here, root).map(Part::Refusal));
        let calls = self.calls.as_ref().map(|reader| reader.whole(here, root)).transpose()?;
        let calls = calls.unwrap_or_default();
        let called = !calls.is_empty();
        parts.extend(calls.into_iter().map(Part::ToolCall));
        if parts.is_empty() && !self.text.is_empty() && !self.text.leads(here, root) && !called {
            return Err(Refusal::nonsense(&format!("a choice has no `{}`", self.text.text())));
        }
        let finish = match &self.finish {
            None if called => chat::Finish::Tools,
            None => chat::Finish::Stop,
            Some(finish) => finish
                .read(here, root, called)?
                .ok_or_else(|| Refusal::nonsense(&format!("a choice has no `{}`", finish.at.text())))?,
        };
        Ok(Choice { parts, finish, logprobs: self.logprobs(here, root) })
    }

    /// The probabilities of tokens.
    pub(super) fn logprobs(&self, here: &Value, root: &Value) -> Option<Vec<TokenLogprob>> {
        self.logprobs.values(here, root).find_map(logprobs)
    }

    /// Why a choice ended, if it did.
    pub(super) fn ended(
        &self,
        here: &Value,
        root: &Value,
        called: bool,
    ) -> Result<Option<chat::Finish>, Refusal> {
        self.finish.as_ref().map_or(Ok(None), |finish| finish.read(here, root, called))
    }

    /// What was used, if it is told.
    pub(super) fn usage(&self, body: &Value) -> Option<Usage> {
        self.usage.as_ref()?.read(body)
    }
}

impl CallReader {
    fn new(said: &Calls, at: &str) -> Result<Self, Wrong> {
        if said.name.all().is_empty() {
            return Err(Wrong::new(format!("{at}.name"), "must name a path: calls are known by their tool"));
        }
        Ok(Self {
            list: Path::parse(&said.list, &format!("{at}.list"))?,
            id: First::parse(&said.id, &format!("{at}.id"))?,
            name: First::parse(&said.name, &format!("{at}.name"))?,
            arguments: First::parse(&said.arguments, &format!("{at}.arguments"))?,
            index: First::parse(&said.index, &format!("{at}.index"))?,
        })
    }

    /// The calls of a choice: a list, or the only one itself.
    pub(super) fn list<'v>(&self, here: &'v Value, root: &'v Value) -> Vec<&'v Value> {
        let found = self.list.all(here, root);
        let calls = found.into_iter().flat_map(|value| match value {
            Value::Array(list) => list.iter().collect(),
            Value::Object(_) => vec![value],
            _ => Vec::new(),
        });
        calls.take(CALLS_MAX).collect()
    }

    fn whole(&self, here: &Value, root: &Value) -> Result<Vec<ToolCall>, Refusal> {
        let calls = self.list(here, root).into_iter().enumerate().map(|(n, call)| {
            let name = self.name.word(call, root);
            Ok(ToolCall {
                id: self.id.word(call, root).unwrap_or_else(|| format!("call_{n}")),
                name: name.ok_or_else(|| Refusal::nonsense("the call of a tool has no name"))?,
                arguments: self.arguments(call, root),
            })
        });
        calls.collect()
    }

    /// Arguments as text; an object is taken as it is.
    pub(super) fn arguments(&self, call: &Value, root: &Value) -> String {
        match self.arguments.values(call, root).next() {
            None => String::new(),
            Some(Value::String(text)) => text.clone(),
            Some(other) => other.to_string(),
        }
    }
}

impl FinishReader {
    fn new(said: &Finish, at: &str) -> Result<Self, Wrong> {
        if said.words.len() > WORDS_MAX || said.unfinished.len() > WORDS_MAX {
            return Err(Wrong::new(at, "has too many words: 64 at most"));
        }
        if said.at.all().is_empty() {
            return Err(Wrong::new(format!("{at}.at"), "must name a path"));
        }
        let words = said.words.iter().map(|(word, means)| {
            let ended = match means.as_str() {
                "stop" => Ended::Stop,
                "length" => Ended::Length,
                "tools" => Ended::Tools,
                "filtered" => Ended::Filtered,
                "error" => Ended::Error,
                _ => {
                    let hint = "must be stop, length, tools, filtered or error";
                    return Err(Wrong::new(format!("{at}.words.{word}"), hint));
                }
            };
            Ok((word.clone(), ended))
        });
        Ok(Self {
            at: First::parse(&said.at, &format!("{at}.at"))?,
            words: words.collect::<Result<_, _>>()?,
            unfinished: said.unfinished.clone(),
        })
    }

    /// Models that call tools do not always end by the word for that.
    fn read(&self, here: &Value, root: &Value, called: bool) -> Result<Option<chat::Finish>, Refusal> {
        let word = self.at.word(here, root).filter(|word| !self.unfinished.contains(word));
        let Some(word) = word else { return Ok(None) };
        Ok(Some(match self.words.get(&word).copied().unwrap_or(Ended::Stop) {
            Ended::Stop if called => chat::Finish::Tools,
            Ended::Stop => chat::Finish::Stop,
            Ended::Length => chat::Finish::Length,
            Ended::Tools => chat::Finish::Tools,
            Ended::Filtered => chat::Finish::Filtered,
            Ended::Error => {
                let told = format!("the provider gave up: {word}");
                return Err(Refusal::told(FailureKind::Server, word, told));
            }
        }))
    }
}

impl UsageReader {
    pub(super) fn new(said: &Used, at: &str) -> Result<Self, Wrong> {
        let path = |paths, name: &str| First::parse(paths, &format!("{at}.{name}"));
        Ok(Self([
            path(&said.prompt, "prompt")?,
            path(&said.completion, "completion")?,
            path(&said.total, "total")?,
            path(&said.cached, "cached")?,
            path(&said.cache_write, "cache_write")?,
            path(&said.reasoning, "reasoning")?,
        ]))
    }

    /// What was used, if it is told; what is only told together is told as read.
    pub(super) fn read(&self, body: &Value) -> Option<Usage> {
        let [prompt, completion, total, cached, cache_write, reasoning] =
            self.0.each_ref().map(|path| path.count(body, body));
        prompt.or(completion).or(total)?;
        let completion_tokens = completion.unwrap_or(0);
        let rest = total.map(|total| total.saturating_sub(completion_tokens));
        Some(Usage {
            prompt_tokens: prompt.or(rest).unwrap_or(0),
            completion_tokens,
            cached_tokens: cached.unwrap_or(0),
            cache_write_tokens: cache_write.unwrap_or(0),
            reasoning_tokens: reasoning.unwrap_or(0),
        })
    }
}
