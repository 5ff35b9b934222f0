//! What a question may use and not every provider can say.

use super::ask::{Ask, Format, Part, Reasoning, Role, Source, ToolChoice};
use crate::protocol::Protocol;

macro_rules! features {
    ($($(#[$doc:meta])* $name:ident $text:literal: $openai:literal $responses:literal $anthropic:literal $ollama:literal;)*) => {
        /// Something that a question uses and a provider may have no word for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
        pub enum Feature {
            $($(#[$doc])* $name,)*
        }

        impl Feature {
            /// All of them.
            pub const ALL: &[Feature] = &[$(Feature::$name),*];

            /// What declarations call it.
            pub fn as_str(self) -> &'static str {
                match self { $(Feature::$name => $text,)* }
            }

            /// The feature that declarations call so.
            pub fn named(text: &str) -> Option<Self> {
                match text {
                    $($text => Some(Feature::$name),)*
                    _ => None,
                }
            }

            /// The field that asks for it in a client's protocol.
            pub fn param(self, protocol: Protocol) -> &'static str {
                let [openai, responses, anthropic, ollama] = match self {
                    $(Feature::$name => [$openai, $responses, $anthropic, $ollama],)*
                };
                match protocol {
                    Protocol::OpenAi | Protocol::Envelope => openai,
                    Protocol::Responses => responses,
                    Protocol::Anthropic => anthropic,
                    Protocol::Ollama => ollama,
                }
            }
        }
    };
}

features! {
    /// Tools that the model may call, their calls and results.
    Tools "tools": "tools" "tools" "tools" "tools";
    /// That it must call none, some or a certain one.
    ToolChoice "tool_choice": "tool_choice" "tool_choice" "tool_choice" "tool_choice";
    /// That it must call one at a time.
    SingleTool "single_tool": "parallel_tool_calls" "parallel_tool_calls" "tool_choice.disable_parallel_tool_use" "tools";
    /// That arguments must fit a tool's schema exactly.
    StrictTools "strict_tools": "tools.function.strict" "tools.strict" "tools.strict" "tools";
    /// Any JSON object as answer.
    Json "json": "response_format" "text.format" "output_config.format" "format";
    /// JSON of a schema as answer.
    JsonSchema "json_schema": "response_format" "text.format" "output_config.format" "format";
    /// Pictures that come with the question.
    Image "image": "messages.content.image_url" "input.content.image_url" "messages.content.source" "messages.images";
    /// Pictures that the provider fetches.
    ImageUrl "image_url": "messages.content.image_url" "input.content.image_url" "messages.content.source" "messages.images";
    /// Sound that comes with the question.
    Audio "audio": "messages.content.input_audio" "input.content.input_audio" "messages.content" "messages.content";
    /// Documents that come with the question.
    File "file": "messages.content.file" "input.content.file_data" "messages.content.source" "messages.content";
    /// Documents that the provider fetches.
    FileUrl "file_url": "messages.content.file" "input.content.file_url" "messages.content.source" "messages.content";
    /// What was uploaded to one provider before.
    UploadedFile "uploaded_file": "messages.content.file.file_id" "input.content.file_id" "messages.content.source" "messages.content";
    /// Pictures or documents as the result of a tool.
    RichResult "rich_result": "messages.content" "input.output" "messages.content" "messages.content";
    /// Several answers.
    Choices "choices": "n" "n" "n" "n";
    /// Probabilities of tokens.
    Logprobs "logprobs": "logprobs" "top_logprobs" "logprobs" "logprobs";
    /// Whether and how much to think.
    Reasoning "reasoning": "reasoning_effort" "reasoning" "thinking" "think";
    /// `temperature`
    Temperature "temperature": "temperature" "temperature" "temperature" "options.temperature";
    /// `top_p`
    TopP "top_p": "top_p" "top_p" "top_p" "options.top_p";
    /// `top_k`
    TopK "top_k": "top_k" "top_k" "top_k" "options.top_k";
    /// `min_p`
    MinP "min_p": "min_p" "min_p" "min_p" "options.min_p";
    /// `presence_penalty`
    PresencePenalty "presence_penalty": "presence_penalty" "presence_penalty" "presence_penalty" "options.presence_penalty";
    /// `frequency_penalty`
    FrequencyPenalty "frequency_penalty": "frequency_penalty" "frequency_penalty" "frequency_penalty" "options.frequency_penalty";
    /// A factor against repetition.
    RepetitionPenalty "repetition_penalty": "repetition_penalty" "repetition_penalty" "repetition_penalty" "options.repeat_penalty";
    /// `seed`
    Seed "seed": "seed" "seed" "seed" "options.seed";
    /// Texts to stop at.
    Stop "stop": "stop" "stop" "stop_sequences" "options.stop";
    /// Likelier and less likely tokens.
    LogitBias "logit_bias": "logit_bias" "logit_bias" "logit_bias" "options.logit_bias";
    /// An answer that goes on from the model's own last words.
    Prefill "prefill": "messages" "input" "messages" "messages";
}

impl Ask {
    /// What it uses of that which not every provider can say, each once, in the order of [`Feature::ALL`].
    pub fn features(&self) -> Vec<Feature> {
        Feature::ALL.iter().copied().filter(|feature| self.uses(*feature)).collect()
    }

    /// Whether it uses something that not every provider can say.
    pub fn uses(&self, feature: Feature) -> bool {
        let sampling = &self.sampling;
        match feature {
            Feature::Tools => {
                !self.tools.is_empty()
                    || self.any_part(|part| matches!(part, Part::ToolCall(_) | Part::ToolResult(_)))
            }
            Feature::ToolChoice => {
                !self.tools.is_empty() && !matches!(self.tool_choice, None | Some(ToolChoice::Auto))
            }
            Feature::SingleTool => !self.tools.is_empty() && self.parallel_tools == Some(false),
            Feature::StrictTools => self.tools.iter().any(|tool| tool.strict == Some(true)),
            Feature::Json => matches!(self.format, Some(Format::Json)),
            Feature::JsonSchema => matches!(self.format, Some(Format::Schema { .. })),
            Feature::Image => {
                self.any_part(|part| matches!(part, Part::Image { source: Source::Inline { .. }, .. }))
            }
            Feature::ImageUrl => {
                self.any_part(|part| matches!(part, Part::Image { source: Source::Url(_), .. }))
            }
            Feature::Audio => self.any_part(|part| matches!(part, Part::Audio(_))),
            Feature::File => {
                self.any_part(|part| matches!(part, Part::File { source: Source::Inline { .. }, .. }))
            }
            Feature::FileUrl => {
                self.any_part(|part| matches!(part, Part::File { source: Source::Url(_), .. }))
            }
            Feature::UploadedFile => self.any_part(|part| {
                matches!(
                    part,
                    Part::File { source: Source::Id(_), .. }
                        | Part::Image { source: Source::Id(_), .. }
                        | Part::Audio(Source::Id(_))
                )
            }),
            Feature::RichResult => self.any_part(|part| match part {
                Part::ToolResult(result) => result.parts.iter().any(|part| !matches!(part, Part::Text(_))),
                _ => false,
            }),
            Feature::Choices => self.choices.is_some_and(|n| n != 1),
            Feature::Logprobs => self.logprobs.is_some(),
            Feature::Reasoning => !matches!(self.reasoning, None | Some(Reasoning::Off)),
            Feature::Temperature => sampling.temperature.is_some(),
            Feature::TopP => sampling.top_p.is_some_and(|p| p != 1.0),
            Feature::TopK => sampling.top_k.is_some(),
            Feature::MinP => sampling.min_p.is_some_and(|p| p != 0.0),
            Feature::PresencePenalty => sampling.presence_penalty.is_some_and(|p| p != 0.0),
            Feature::FrequencyPenalty => sampling.frequency_penalty.is_some_and(|p| p != 0.0),
            Feature::RepetitionPenalty => sampling.repetition_penalty.is_some_and(|p| p != 1.0),
            Feature::Seed => sampling.seed.is_some(),
            Feature::Stop => !sampling.stop.is_empty(),
            Feature::LogitBias => sampling.logit_bias.is_some(),
            Feature::Prefill => self.messages.last().is_some_and(|last| last.role == Role::Assistant),
        }
    }

    /// Whether any part of any message, or of a tool's result, is such.
    fn any_part(&self, is: impl Fn(&Part) -> bool) -> bool {
        let mut parts = self.messages.iter().flat_map(|message| &message.parts);
        parts.any(|part| is(part) || matches!(part, Part::ToolResult(result) if result.parts.iter().any(&is)))
    }
}
