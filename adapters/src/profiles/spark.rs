//! iFlytek's Spark over HTTP. Documents: <https://www.xfyun.cn/doc/spark/HTTP%E8%B0%83%E7%94%A8%E6%96%87%E6%A1%A3.html> and
//! <https://www.xfyun.cn/doc/spark/X1http.html>.

use serde_json::Value;

use crate::chat::Feature;
use crate::failure::FailureKind;
use crate::models::{Known, ListPrice};
use crate::openai::{ErrorBody, Profile, Rule, Thinking};

/// Spark. Base URLs: `https://spark-api-open.xf-yun.com/v1`, and `/v2` for the X models. The key is the console's APIPassword.
///
/// Its answers are not quite OpenAI's: errors come as successes with a `code`, and choices do not say why they ended. So
/// clients' bytes do not pass to it as they are.
pub const SPARK: Profile = Profile {
    name: "spark",
    home: Some("https://spark-api-open.xf-yun.com/v1"),
    rules: &[
        Rule::Clamp { field: "top_k", min: 1.0, max: 6.0 },
        // Else calls of tools come as one object, or as text.
        Rule::Beside { field: "tools", is: "tool_calls_switch" },
    ],
    says: &[
        Feature::Tools,
        Feature::ToolChoice,
        Feature::Json,
        Feature::Reasoning,
        Feature::Temperature,
        Feature::TopP,
        Feature::TopK,
    ],
    models: MODELS,
    thinking: &[
        ("spark-x", Thinking::Switch { words: false }),
        ("x1", Thinking::Switch { words: false }),
        ("", Thinking::Never),
    ],
    codes: &[
        ("10003", FailureKind::BadRequest),
        ("10004", FailureKind::BadRequest),
        ("10005", FailureKind::BadRequest),
        ("10006", FailureKind::RateLimited),
        ("10007", FailureKind::RateLimited),
        ("10008", FailureKind::Unavailable),
        ("10009", FailureKind::Unavailable),
        ("10013", FailureKind::BadRequest),
        ("10014", FailureKind::BadRequest),
        ("10015", FailureKind::Authentication),
        ("10016", FailureKind::Authentication),
        ("10019", FailureKind::BadRequest),
        ("10021", FailureKind::BadRequest),
        ("10110", FailureKind::Unavailable),
        ("10163", FailureKind::BadRequest),
        ("10222", FailureKind::Unavailable),
        ("10907", FailureKind::BadRequest),
        ("11200", FailureKind::QuotaExceeded),
        ("11201", FailureKind::QuotaExceeded),
        ("11202", FailureKind::RateLimited),
        ("11203", FailureKind::RateLimited),
    ],
    fault: Some(fault),
    ..Profile::PLAIN
};

/// Success is 0; anything else is an error, whatever stands beside it.
fn fault(value: &Value) -> Option<ErrorBody> {
    let code = match &value["code"] {
        Value::Number(code) => code.to_string(),
        Value::String(code) => code.clone(),
        _ => return None,
    };
    if code == "0" {
        return None;
    }
    let message = value["message"].as_str().unwrap_or("the provider does not say why").to_owned();
    Some(ErrorBody { message, kind: Some("api_error".to_owned()), param: None, code: Some(code) })
}

const ULTRA: Known = Known {
    name: "4.0Ultra",
    context: 65_536,
    output_max: 32_768,
    vision: false,
    tools: true,
    json_schema: false,
    price: None,
    source: "https://www.xfyun.cn/doc/spark/HTTP%E8%B0%83%E7%94%A8%E6%96%87%E6%A1%A3.html",
    date: "2026-11",
};

const MODELS: &[Known] = &[
    ULTRA,
    Known { name: "generalv3.5", context: 16_384, output_max: 8_192, ..ULTRA },
    Known { name: "max-32k", context: 40_960, output_max: 8_192, ..ULTRA },
    Known { name: "generalv3", context: 16_384, output_max: 8_192, tools: false, ..ULTRA },
    Known { name: "pro-128k", context: 135_168, output_max: 4_096, tools: false, ..ULTRA },
    Known {
        name: "lite",
        context: 12_288,
        output_max: 4_096,
        tools: false,
        price: Some(ListPrice::cny(0, 0)),
        ..ULTRA
    },
    Known {
        name: "spark-x",
        context: 131_072,
        output_max: 65_536,
        source: "https://www.xfyun.cn/doc/spark/X1http.html",
        ..ULTRA
    },
    Known {
        name: "spark-x2.5*",
        context: 262_144,
        output_max: 262_143,
        source: "https://www.xfyun.cn/doc/spark/Spark-X2.5.html",
        ..ULTRA
    },
];
