//! Alibaba's Model Studio in its compatible mode: Qwen and others. Documents: <https://help.aliyun.com/zh/model-studio>.

use crate::call::Operation;
use crate::chat::Feature;
use crate::failure::FailureKind;
use crate::models::{Known, ListPrice};
use crate::openai::compatible::Prefill;
use crate::openai::{Profile, Rule, Thinking};

/// DashScope. Base URLs: `https://dashscope.aliyuncs.com/compatible-mode/v1` and those of other regions.
pub const DASHSCOPE: Profile = Profile {
    name: "dashscope-compatible",
    home: Some("https://dashscope.aliyuncs.com/compatible-mode/v1"),
    operations: &[Operation::Chat, Operation::Completions, Operation::Embeddings, Operation::Models],
    rules: &[
        Rule::Rename { from: "max_completion_tokens", to: "max_tokens" },
        // Less than 2, and more than 0.
        Rule::Clamp { field: "temperature", min: 0.0, max: 1.99 },
        Rule::Clamp { field: "top_p", min: 0.01, max: 1.0 },
        Rule::Clamp { field: "presence_penalty", min: -2.0, max: 2.0 },
        Rule::Clamp { field: "seed", min: 0.0, max: 2_147_483_647.0 },
        Rule::System,
    ],
    says: &[
        Feature::Tools,
        Feature::ToolChoice,
        Feature::SingleTool,
        Feature::Json,
        Feature::JsonSchema,
        Feature::Image,
        Feature::ImageUrl,
        Feature::Choices,
        Feature::Logprobs,
        Feature::Reasoning,
        Feature::Temperature,
        Feature::TopP,
        Feature::TopK,
        Feature::PresencePenalty,
        Feature::RepetitionPenalty,
        Feature::Seed,
        Feature::Stop,
        Feature::Prefill,
    ],
    models: MODELS,
    thinking: &[
        ("qwen3.8-max", Thinking::Budget { words: true }),
        ("glm-5", Thinking::Budget { words: true }),
        ("deepseek-v4", Thinking::Budget { words: true }),
        ("", Thinking::Budget { words: false }),
    ],
    prefill: Prefill::Marked("partial"),
    tool_choices: &["none", "function"],
    codes: &[
        ("Arrearage", FailureKind::QuotaExceeded),
        ("AllocationQuota.FreeTierOnly", FailureKind::QuotaExceeded),
        ("PrepaidBillOverdue", FailureKind::QuotaExceeded),
        ("PostpaidBillOverdue", FailureKind::QuotaExceeded),
        ("CommodityNotPurchased", FailureKind::QuotaExceeded),
        ("Throttling*", FailureKind::RateLimited),
        ("LimitRequests", FailureKind::RateLimited),
        ("limit_requests", FailureKind::RateLimited),
        ("limit_burst_rate", FailureKind::RateLimited),
        // Tokens a minute here, not money.
        ("insufficient_quota", FailureKind::RateLimited),
        ("DataInspectionFailed", FailureKind::BadRequest),
        ("data_inspection_failed", FailureKind::BadRequest),
        ("InvalidApiKey", FailureKind::Authentication),
        ("invalid_api_key", FailureKind::Authentication),
        ("AccessDenied*", FailureKind::Authentication),
        ("access_denied", FailureKind::Authentication),
        ("ModelNotFound", FailureKind::NotFound),
        ("model_not_found", FailureKind::NotFound),
        ("model_not_supported", FailureKind::NotFound),
        ("ModelUnavailable", FailureKind::Unavailable),
        ("ModelServingError", FailureKind::Unavailable),
        ("InternalError.Timeout", FailureKind::Timeout),
        ("RequestTimeOut", FailureKind::Timeout),
    ],
    ..Profile::PLAIN
};

const QWEN: Known = Known {
    name: "qwen3.8-max*",
    context: 1_000_000,
    output_max: 131_072,
    vision: true,
    tools: true,
    json_schema: true,
    price: Some(ListPrice::cny(12_000_000, 36_000_000)),
    source: "https://help.aliyun.com/zh/model-studio/model-pricing",
    date: "2026-08",
};

/// Prices are those of short questions in mainland China: for most models, longer ones cost more.
const MODELS: &[Known] = &[
    QWEN,
    Known {
        name: "qwen3.8-flash*",
        price: Some(ListPrice::cny(800_000, 2_700_000)),
        source: "https://help.aliyun.com/zh/model-studio/qwen3-8-flash",
        ..QWEN
    },
    Known { name: "qwen3.7-flash*", output_max: 65_536, price: None, ..QWEN },
    Known { name: "qwen3.7-plus*", output_max: 65_536, price: None, ..QWEN },
    Known {
        name: "qwen3.5-plus*",
        output_max: 65_536,
        price: Some(ListPrice::cny(800_000, 4_800_000)),
        date: "2026-02",
        ..QWEN
    },
    Known {
        name: "qwen3-max*",
        context: 262_144,
        output_max: 65_536,
        vision: false,
        price: Some(ListPrice::cny(2_500_000, 10_000_000)),
        date: "2026-02",
        ..QWEN
    },
    Known {
        name: "qwen-max*",
        context: 32_768,
        output_max: 8_192,
        vision: false,
        price: Some(ListPrice::cny(2_400_000, 9_600_000)),
        date: "2026-02",
        ..QWEN
    },
    Known {
        name: "qwen-plus*",
        output_max: 32_768,
        vision: false,
        price: Some(ListPrice::cny(800_000, 2_000_000)),
        date: "2026-02",
        ..QWEN
    },
    Known { name: "qwen-flash*", output_max: 32_768, vision: false, price: None, ..QWEN },
];
