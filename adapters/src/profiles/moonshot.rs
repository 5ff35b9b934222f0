//! Moonshot AI: Kimi. Documents: <https://platform.kimi.ai/docs> and <https://platform.moonshot.cn/docs>.

use crate::call::Operation;
use crate::chat::Feature;
use crate::failure::FailureKind;
use crate::models::{Known, ListPrice};
use crate::openai::compatible::Prefill;
use crate::openai::{Profile, Rule, Thinking};

/// Moonshot. Base URLs: `https://api.moonshot.cn/v1` and `https://api.moonshot.ai/v1`.
///
/// Newer models have one temperature and refuse any other; that is theirs to tell.
pub const MOONSHOT: Profile = Profile {
    name: "moonshot",
    home: Some("https://api.moonshot.cn/v1"),
    operations: &[Operation::Chat, Operation::Models],
    output_max: "max_completion_tokens",
    rules: &[
        Rule::Clamp { field: "temperature", min: 0.0, max: 1.0 },
        Rule::Clamp { field: "top_p", min: 0.0, max: 1.0 },
        Rule::System,
    ],
    says: &[
        Feature::Tools,
        Feature::ToolChoice,
        Feature::Json,
        Feature::JsonSchema,
        // Such that comes with the question only: it fetches none.
        Feature::Image,
        Feature::Choices,
        Feature::Reasoning,
        Feature::Temperature,
        Feature::TopP,
        Feature::PresencePenalty,
        Feature::FrequencyPenalty,
        Feature::Stop,
        Feature::Prefill,
    ],
    models: MODELS,
    thinking: &[
        ("kimi-k3", Thinking::Always),
        ("moonshot-v1", Thinking::Never),
        ("", Thinking::Switch { words: false }),
    ],
    prefill: Prefill::Marked("partial"),
    tool_choices: &["none"],
    stop_max: 5,
    codes: &[
        ("exceeded_current_quota_error", FailureKind::QuotaExceeded),
        ("rate_limit_reached_error", FailureKind::RateLimited),
        ("engine_overloaded_error", FailureKind::Unavailable),
        ("content_filter", FailureKind::BadRequest),
        ("invalid_authentication_error", FailureKind::Authentication),
        ("incorrect_api_key_error", FailureKind::Authentication),
        ("resource_not_found_error", FailureKind::NotFound),
    ],
    ..Profile::PLAIN
};

const K3: Known = Known {
    name: "kimi-k3",
    context: 1_048_576,
    output_max: 1_048_576,
    vision: true,
    tools: true,
    json_schema: true,
    price: Some(ListPrice::usd(3_000_000, 15_000_000)),
    source: "https://platform.kimi.ai/docs/pricing/chat-k3",
    date: "2026-07",
};

const K2: Known = Known {
    name: "kimi-k2.6",
    context: 262_144,
    output_max: 262_144,
    price: Some(ListPrice::usd(950_000, 4_000_000)),
    source: "https://platform.kimi.com/docs/pricing/chat-k26",
    date: "2026-04",
    ..K3
};

const V1: Known = Known {
    name: "moonshot-v1-128k*",
    context: 131_072,
    output_max: 0,
    vision: false,
    json_schema: false,
    price: None,
    source: "https://platform.kimi.ai/docs/api/models-overview",
    date: "2026-11",
    ..K3
};

const MODELS: &[Known] = &[
    K3,
    K2,
    Known { name: "kimi-k2.5", price: None, ..K2 },
    Known { name: "kimi-k2.7-code*", price: None, ..K2 },
    V1,
    Known { name: "moonshot-v1-32k*", context: 32_768, ..V1 },
    Known { name: "moonshot-v1-8k*", context: 8_192, ..V1 },
    Known { name: "moonshot-v1-128k-vision*", vision: true, ..V1 },
    Known { name: "moonshot-v1-32k-vision*", context: 32_768, vision: true, ..V1 },
    Known { name: "moonshot-v1-8k-vision*", context: 8_192, vision: true, ..V1 },
];
