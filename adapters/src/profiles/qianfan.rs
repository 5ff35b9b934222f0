//! Baidu's Qianfan, second version: ERNIE and others. Documents: <https://cloud.baidu.com/doc/qianfan-api>.

use crate::call::Operation;
use crate::chat::Feature;
use crate::failure::FailureKind;
use crate::models::Known;
use crate::openai::{Profile, Rule, Thinking};

/// Qianfan. Base URL: `https://qianfan.baidubce.com/v2`.
pub const QIANFAN: Profile = Profile {
    name: "qianfan",
    home: Some("https://qianfan.baidubce.com/v2"),
    operations: &[
        Operation::Chat,
        Operation::Completions,
        Operation::Embeddings,
        Operation::Models,
        Operation::Rerank,
        Operation::Images,
    ],
    output_max: "max_completion_tokens",
    rules: &[
        Rule::Clamp { field: "penalty_score", min: 1.0, max: 2.0 },
        Rule::Clamp { field: "seed", min: 1.0, max: 2_147_483_646.0 },
        Rule::List { field: "stop" },
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
        Feature::Reasoning,
        Feature::Temperature,
        Feature::TopP,
        Feature::PresencePenalty,
        Feature::FrequencyPenalty,
        Feature::RepetitionPenalty,
        Feature::Seed,
        Feature::Stop,
    ],
    models: MODELS,
    thinking: &[("", Thinking::Budget { words: true })],
    stop_max: 4,
    codes: &[
        ("invalid_model", FailureKind::NotFound),
        ("model_not_found", FailureKind::NotFound),
        ("invalid_iam_token", FailureKind::Authentication),
        ("invalid_appid", FailureKind::Authentication),
        ("no_parameter_permission", FailureKind::Authentication),
        ("rpm_rate_limit_exceeded", FailureKind::RateLimited),
        ("tpm_rate_limit_exceeded", FailureKind::RateLimited),
        ("insufficient_quota", FailureKind::QuotaExceeded),
        ("BILLING_INSUFFICIENT_BALANCE", FailureKind::QuotaExceeded),
        // Types of errors, of which there are many codes.
        ("unsafe_request", FailureKind::BadRequest),
        ("rate_limit_exceeded", FailureKind::RateLimited),
        ("access_denied", FailureKind::Authentication),
        ("invalid_request_error", FailureKind::BadRequest),
    ],
    ..Profile::PLAIN
};

const ERNIE: Known = Known {
    name: "ernie-5.1",
    context: 131_072,
    output_max: 65_536,
    vision: false,
    tools: true,
    json_schema: true,
    price: None,
    source: "https://cloud.baidu.com/doc/qianfan-api/s/3m7of64lb",
    date: "2026-11",
};

const MODELS: &[Known] = &[
    ERNIE,
    Known { name: "ernie-5.0*", vision: true, ..ERNIE },
    Known { name: "ernie-4.5-turbo-128k*", output_max: 0, ..ERNIE },
    Known { name: "ernie-4.5-turbo-32k*", context: 32_768, output_max: 0, ..ERNIE },
    Known { name: "ernie-4.5-turbo-vl*", context: 32_768, output_max: 0, vision: true, ..ERNIE },
    // It takes no form for its answers.
    Known { name: "ernie-x1-turbo*", context: 32_768, output_max: 0, json_schema: false, ..ERNIE },
];
