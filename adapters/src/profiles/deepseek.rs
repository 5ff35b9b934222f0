//! DeepSeek. Documents: <https://api-docs.deepseek.com>.

use serde_json::Value;

use super::broken_off;
use crate::call::Operation;
use crate::chat::Feature;
use crate::failure::FailureKind;
use crate::models::{Known, ListPrice};
use crate::openai::compatible::Prefill;
use crate::openai::{ErrorBody, Profile, Rule, Thinking};

/// DeepSeek. Base URLs: `https://api.deepseek.com`, the same with `/v1`, or with `/beta`, where answers can be begun.
///
/// It keeps waiting clients with comments in streams and blank lines before whole answers. While it thinks, temperature and
/// penalties are taken and do nothing.
pub const DEEPSEEK: Profile = Profile {
    name: "deepseek",
    home: Some("https://api.deepseek.com"),
    operations: &[Operation::Chat, Operation::Models],
    rules: &[
        Rule::Rename { from: "max_completion_tokens", to: "max_tokens" },
        Rule::Clamp { field: "temperature", min: 0.0, max: 2.0 },
        Rule::Clamp { field: "top_p", min: 0.0, max: 1.0 },
        Rule::System,
    ],
    says: &[
        Feature::Tools,
        Feature::ToolChoice,
        Feature::Json,
        Feature::Image,
        Feature::ImageUrl,
        Feature::Logprobs,
        Feature::Reasoning,
        Feature::Temperature,
        Feature::TopP,
        Feature::PresencePenalty,
        Feature::FrequencyPenalty,
        Feature::Stop,
        Feature::Prefill,
    ],
    models: MODELS,
    thinking: &[("", Thinking::Switch { words: true })],
    prefill: Prefill::MarkedAt { mark: "prefix", base: "/beta" },
    stop_max: 16,
    codes: &[("insufficient_system_resource", FailureKind::Unavailable)],
    fault: Some(fault),
    ..Profile::PLAIN
};

fn fault(value: &Value) -> Option<ErrorBody> {
    broken_off(value, &["insufficient_system_resource", "aborted"])
}

const FLASH: Known = Known {
    name: "deepseek-flash",
    context: 1_000_000,
    output_max: 384_000,
    vision: true,
    tools: true,
    json_schema: false,
    // By day; half of that outside 01:00 to 04:00 and 06:00 to 10:00 UTC.
    price: Some(ListPrice::usd(300_000, 1_200_000)),
    source: "https://api-docs.deepseek.com/quick_start/pricing",
    date: "2026-11",
};

const MODELS: &[Known] = &[
    FLASH,
    // The old name of the same.
    Known { name: "deepseek-v4-flash*", ..FLASH },
    Known {
        name: "deepseek-v4-pro*",
        vision: false,
        price: Some(ListPrice::usd(1_320_000, 3_960_000)),
        ..FLASH
    },
];
