//! How servers of OpenAI's dialect are told whether and how much to think: each has its own fields for it.

use serde_json::{Map, Value, json};

use crate::call::Error;
use crate::chat::{Feature, Reasoning};

/// How a model is told whether and how much to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Thinking {
    /// By `reasoning_effort`; `none` is not at all.
    Words,
    /// By `reasoning_effort`; it always thinks.
    Always,
    /// By `thinking.type`, which is `enabled` or `disabled`.
    Switch {
        /// Whether it understands `reasoning_effort` beside it.
        words: bool,
    },
    /// By `enable_thinking` and `thinking_budget`.
    Budget {
        /// Whether it understands `reasoning_effort` too, which then takes the budget's place.
        words: bool,
    },
    /// Not at all: it never thinks.
    Never,
}

/// OpenAI's field.
const EFFORT: &str = "reasoning_effort";

impl Thinking {
    /// Says in a body, where OpenAI's field may be already, what is wanted.
    ///
    /// # Errors
    /// When the model cannot do so.
    pub(crate) fn say(
        self,
        wanted: Option<&Reasoning>,
        body: &mut Map<String, Value>,
        dialect: &'static str,
    ) -> Result<(), Error> {
        let Some(wanted) = wanted else { return Ok(()) };
        let off = *wanted == Reasoning::Off;
        let mut drop_word = || drop(body.shift_remove(EFFORT));
        match self {
            Thinking::Words => {}
            Thinking::Always if off => return Err(unsaid(dialect)),
            Thinking::Always => {}
            Thinking::Never if off => drop_word(),
            Thinking::Never => return Err(unsaid(dialect)),
            Thinking::Switch { words } => {
                if off || !words {
                    drop_word();
                }
                let kind = if off { "disabled" } else { "enabled" };
                body.insert("thinking".to_owned(), json!({ "type": kind }));
            }
            Thinking::Budget { words } => {
                let budget = match wanted {
                    Reasoning::Budget(tokens) => Some(*tokens),
                    Reasoning::Effort(word) if !words => budget_of(word),
                    _ => None,
                };
                if !words || !matches!(wanted, Reasoning::Effort(_)) {
                    drop_word();
                }
                body.insert("enable_thinking".to_owned(), (!off).into());
                if let Some(tokens) = budget {
                    body.insert("thinking_budget".to_owned(), tokens.into());
                }
            }
        }
        Ok(())
    }

    /// Says OpenAI's field anew in a client's body, unless that has the server's own. What the model cannot do is left for
    /// the server to refuse. Tells whether anything changed.
    pub(crate) fn translate(self, body: &mut Map<String, Value>, dialect: &'static str) -> bool {
        let foreign = matches!(self, Thinking::Switch { .. } | Thinking::Budget { .. });
        let own =
            ["thinking", "enable_thinking", "thinking_budget"].iter().any(|name| body.contains_key(*name));
        let Some(word) = body.get(EFFORT).and_then(Value::as_str).filter(|_| foreign && !own) else {
            return false;
        };
        let wanted = match word {
            "none" => Reasoning::Off,
            word => Reasoning::Effort(word.to_owned()),
        };
        self.say(Some(&wanted), body, dialect).is_ok()
    }
}

fn unsaid(dialect: &'static str) -> Error {
    Error::Unsaid { what: Feature::Reasoning.into(), dialect: dialect.into() }
}

/// A word as a budget: the bounds by which budgets become words elsewhere. More than those is as much as the model likes.
fn budget_of(word: &str) -> Option<u64> {
    match word {
        "minimal" | "low" => Some(1_024),
        "medium" => Some(8_192),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(thinking: Thinking, wanted: &Reasoning) -> String {
        let mut body = Map::new();
        body.insert(EFFORT.to_owned(), "high".into());
        match thinking.say(Some(wanted), &mut body, "test") {
            Ok(()) => Value::Object(body).to_string(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn each_server_is_told_in_its_own_words() {
        let high = Reasoning::Effort("high".to_owned());
        let switch = |words| Thinking::Switch { words };
        let budget = |words| Thinking::Budget { words };
        assert_eq!(said(Thinking::Words, &high), r#"{"reasoning_effort":"high"}"#);
        assert_eq!(said(switch(false), &high), r#"{"thinking":{"type":"enabled"}}"#);
        assert_eq!(said(switch(true), &high), r#"{"reasoning_effort":"high","thinking":{"type":"enabled"}}"#);
        assert_eq!(said(switch(true), &Reasoning::Off), r#"{"thinking":{"type":"disabled"}}"#);
        assert_eq!(said(budget(true), &high), r#"{"reasoning_effort":"high","enable_thinking":true}"#);
        assert_eq!(said(budget(false), &high), r#"{"enable_thinking":true}"#);
        assert_eq!(said(budget(false), &Reasoning::Off), r#"{"enable_thinking":false}"#);
        let tokens = Reasoning::Budget(500);
        assert_eq!(said(budget(true), &tokens), r#"{"enable_thinking":true,"thinking_budget":500}"#);
    }

    #[test]
    fn what_a_model_cannot_do_is_told() {
        assert!(said(Thinking::Always, &Reasoning::Off).contains("`reasoning_effort`"));
        assert!(said(Thinking::Never, &Reasoning::On).contains("`reasoning_effort`"));
        assert_eq!(said(Thinking::Never, &Reasoning::Off), "{}");
    }

    #[test]
    fn a_clients_own_words_for_the_server_are_left_alone() {
        let switch = Thinking::Switch { words: false };
        let mut body = Map::new();
        body.insert(EFFORT.to_owned(), "none".into());
        assert!(switch.translate(&mut body, "test"));
        assert_eq!(Value::Object(body.clone()).to_string(), r#"{"thinking":{"type":"disabled"}}"#);
        body.insert(EFFORT.to_owned(), "high".into());
        assert!(!switch.translate(&mut body, "test"));
        assert!(!Thinking::Words.translate(&mut body, "test"));
    }
}
