//! What a model takes, told by its name: Anthropic's interface is one, but newer models refuse fields that older ones need.
//! After the pages on thinking, effort, structured outputs and mid-conversation system messages and the migration guides at
//! platform.claude.com, as of November 2026.

/// The words for families in names.
const FAMILIES: [&str; 5] = ["opus", "sonnet", "haiku", "fable", "mythos"];

/// A model's family and version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Generation {
    family: &'static str,
    /// `None` for models that are not Anthropic's own: nothing is kept from them.
    version: Option<(u32, u32)>,
}

/// How a model is told to think.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Thinking {
    /// It cannot.
    Never,
    /// By a number of tokens.
    Budget,
    /// As it thinks right, led by an effort in words.
    Adaptive,
}

impl Generation {
    /// Reads a name, also with what other clouds put before and after it.
    pub(super) fn of(model: &str) -> Self {
        let Some((_, name)) = model.split_once("claude-") else { return Self { family: "", version: None } };
        let words: Vec<&str> = name.split(['-', '@', '.', ':', '_']).collect();
        let family = words.iter().find_map(|word| FAMILIES.into_iter().find(|family| family == word));
        // Longer numbers are dates.
        let number = |word: &&str| if word.len() <= 2 { word.parse::<u32>().ok() } else { None };
        let version = words.iter().position(|word| number(word).is_some()).map_or((u32::MAX, 0), |at| {
            let minor = words.get(at + 1).and_then(number).unwrap_or(0);
            (number(&words[at]).unwrap_or(u32::MAX), minor)
        });
        Self { family: family.unwrap_or(""), version: Some(version) }
    }

    fn before(self, major: u32, minor: u32) -> bool {
        self.version.is_some_and(|version| version < (major, minor))
    }

    fn since(self, major: u32, minor: u32) -> bool {
        self.version.is_some_and(|version| version >= (major, minor))
    }

    pub(super) fn thinking(self) -> Thinking {
        if self.before(3, 7) {
            Thinking::Never
        } else if self.since(4, 6) {
            Thinking::Adaptive
        } else {
            Thinking::Budget
        }
    }

    /// Whether it takes a number of tokens to think with.
    pub(super) fn takes_budget(self) -> bool {
        self.thinking() != Thinking::Never && !self.since(4, 7)
    }

    /// Whether it can be told not to think.
    pub(super) fn can_stop_thinking(self) -> bool {
        let always = matches!(self.family, "fable" | "mythos") || self.family == "opus" && self.since(5, 5);
        !always
    }

    /// Whether it takes `temperature`, `top_p` and `top_k`.
    pub(super) fn samples(self) -> bool {
        !self.since(4, 7)
    }

    /// Whether it goes on from its own last words.
    pub(super) fn prefills(self) -> bool {
        !self.since(4, 6)
    }

    /// Whether answers and arguments can be held to a schema.
    pub(super) fn holds_to_schemas(self) -> bool {
        !self.before(4, 5)
    }

    /// Whether it can be made to call a tool.
    pub(super) fn can_be_made_to_call(self) -> bool {
        !(self.family == "opus" && self.since(5, 5))
    }

    /// Whether it takes instructions in the middle of a conversation.
    pub(super) fn takes_late_instructions(self) -> bool {
        self.family == "opus" && self.since(4, 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_tells_its_version_however_it_is_dressed() {
        let version = |name: &str| Generation::of(name).version;
        assert_eq!(version("claude-3-7-sonnet-20250219"), Some((3, 7)));
        assert_eq!(version("claude-3-haiku-20240307"), Some((3, 0)));
        assert_eq!(version("claude-opus-4-20250514"), Some((4, 0)));
        assert_eq!(version("us.anthropic.claude-haiku-4-5-20251001-v1:0"), Some((4, 5)));
        assert_eq!(version("claude-opus-4@20250514"), Some((4, 0)));
        assert_eq!(version("anthropic/claude-opus-4.6"), Some((4, 6)));
        assert_eq!(version("claude-fable-5"), Some((5, 0)));
        assert_eq!(version("deepseek-chat"), None);
        assert_eq!(Generation::of("claude-mythos-preview").thinking(), Thinking::Adaptive);
    }

    #[test]
    fn what_a_model_takes_follows_from_its_version() {
        let of = Generation::of;
        assert_eq!(of("claude-3-5-sonnet-20241022").thinking(), Thinking::Never);
        assert_eq!(of("claude-haiku-4-5").thinking(), Thinking::Budget);
        assert!(of("claude-opus-4-6").takes_budget() && !of("claude-opus-4-7").takes_budget());
        assert!(of("claude-sonnet-4-6").samples() && !of("claude-sonnet-5").samples());
        assert!(of("claude-opus-5").can_stop_thinking() && !of("claude-opus-5-5").can_stop_thinking());
        assert!(of("claude-opus-4-5").prefills() && !of("claude-sonnet-4-6").prefills());
        let other = of("some-model");
        assert!(other.samples() && other.takes_budget() && other.prefills() && other.holds_to_schemas());
    }
}
