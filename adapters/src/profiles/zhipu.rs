//! Zhipu: GLM. Documents: <https://docs.bigmodel.cn> and <https://docs.z.ai>.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use super::broken_off;
use crate::call::{Error, Operation};
use crate::chat::Feature;
use crate::failure::FailureKind;
use crate::models::{Known, ListPrice};
use crate::openai::compatible::Auth;
use crate::openai::{ErrorBody, Profile, Rule, Thinking};

/// How long a token is good for. Clocks may differ, and a call takes one with it at once.
const TOKEN_S: u64 = 300;

/// Zhipu. Base URLs: `https://open.bigmodel.cn/api/paas/v4` and `https://api.z.ai/api/paas/v4`.
///
/// The key is `id.secret`. It is good as it is; where the target's option `auth` is `token`, a token goes in its place.
pub const ZHIPU: Profile = Profile {
    name: "zhipu",
    home: Some("https://open.bigmodel.cn/api/paas/v4"),
    auth: Auth::BearerOrToken,
    operations: &[
        Operation::Chat,
        Operation::Embeddings,
        Operation::Models,
        Operation::Rerank,
        Operation::Images,
        Operation::Speech,
        Operation::Transcriptions,
    ],
    rules: &[
        Rule::Rename { from: "max_completion_tokens", to: "max_tokens" },
        Rule::Rename { from: "user", to: "user_id" },
        Rule::Length { field: "user_id", min: 6, max: 128 },
        Rule::Clamp { field: "temperature", min: 0.0, max: 1.0 },
        Rule::Clamp { field: "top_p", min: 0.01, max: 1.0 },
        Rule::List { field: "stop" },
        Rule::System,
    ],
    says: &[
        Feature::Tools,
        Feature::Json,
        Feature::Image,
        Feature::ImageUrl,
        Feature::Reasoning,
        Feature::Temperature,
        Feature::TopP,
        Feature::Stop,
    ],
    models: MODELS,
    thinking: &[
        ("glm-5.2", Thinking::Switch { words: true }),
        ("glm-5.3", Thinking::Switch { words: true }),
        ("", Thinking::Switch { words: false }),
    ],
    tool_choices: &[],
    stop_max: 4,
    codes: CODES,
    fault: Some(fault),
    ..Profile::PLAIN
};

/// Of <https://docs.bigmodel.cn/cn/api/api-code>.
const CODES: &[(&str, FailureKind)] = &[
    ("100*", FailureKind::Authentication),
    ("1110", FailureKind::Authentication),
    ("1111", FailureKind::Authentication),
    ("1112", FailureKind::Authentication),
    ("1113", FailureKind::QuotaExceeded),
    ("1120", FailureKind::Unavailable),
    ("1121", FailureKind::Authentication),
    ("1211", FailureKind::NotFound),
    ("1220", FailureKind::Authentication),
    ("1221", FailureKind::NotFound),
    ("1222", FailureKind::NotFound),
    ("1230", FailureKind::Server),
    ("1234", FailureKind::Unavailable),
    ("1261", FailureKind::BadRequest),
    ("1300", FailureKind::BadRequest),
    ("1301", FailureKind::BadRequest),
    ("1302", FailureKind::RateLimited),
    ("1303", FailureKind::RateLimited),
    ("1304", FailureKind::QuotaExceeded),
    ("1305", FailureKind::Unavailable),
    ("1308", FailureKind::QuotaExceeded),
    ("1309", FailureKind::QuotaExceeded),
    ("1310", FailureKind::QuotaExceeded),
    ("1311", FailureKind::Authentication),
    ("1312", FailureKind::Unavailable),
    ("1313", FailureKind::RateLimited),
    ("network_error", FailureKind::Unavailable),
];

fn fault(value: &Value) -> Option<ErrorBody> {
    broken_off(value, &["network_error"])
}

/// A token in place of the key, good for a while from now.
///
/// # Errors
/// When the key is not `id.secret`.
pub(crate) fn token(key: &str, now_s: u64) -> Result<String, Error> {
    let wrong = || Error::Target("its API key must be `id.secret` to be made a token".to_owned());
    let (id, secret) = key.split_once('.').ok_or_else(wrong)?;
    let now = now_s.saturating_mul(1_000);
    let head = json!({ "alg": "HS256", "sign_type": "SIGN" }).to_string();
    let said =
        json!({ "api_key": id, "exp": now.saturating_add(TOKEN_S * 1_000), "timestamp": now }).to_string();
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(head), URL_SAFE_NO_PAD.encode(said));
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).map_err(|_| wrong())?;
    mac.update(text.as_bytes());
    Ok(format!("{text}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())))
}

const GLM: Known = Known {
    name: "glm-5.3",
    context: 1_000_000,
    output_max: 131_072,
    vision: false,
    tools: true,
    json_schema: false,
    // As at z.ai; bigmodel.cn's prices depend on how long the question is.
    price: Some(ListPrice::usd(1_400_000, 4_400_000)),
    source: "https://docs.z.ai/guides/overview/pricing",
    date: "2026-08",
};

const GLM_4: Known = Known {
    name: "glm-4.7",
    context: 200_000,
    price: Some(ListPrice::usd(600_000, 2_200_000)),
    source: "https://docs.bigmodel.cn/cn/guide/start/model-overview",
    date: "2026-11",
    ..GLM
};

const MODELS: &[Known] = &[
    GLM,
    Known { name: "glm-5.2", ..GLM },
    Known { name: "glm-5.1", context: 200_000, ..GLM },
    Known { name: "glm-5", price: Some(ListPrice::usd(1_000_000, 3_200_000)), ..GLM_4 },
    Known { name: "glm-5v-turbo", vision: true, price: Some(ListPrice::usd(1_200_000, 4_000_000)), ..GLM_4 },
    GLM_4,
    Known { name: "glm-4.7-flashx", price: None, ..GLM_4 },
    Known { name: "glm-4.7-flash", price: Some(ListPrice::cny(0, 0)), ..GLM_4 },
    Known { name: "glm-4.6", ..GLM_4 },
    Known {
        name: "glm-4.6v",
        context: 131_072,
        output_max: 32_768,
        vision: true,
        price: Some(ListPrice::usd(300_000, 900_000)),
        ..GLM_4
    },
    Known {
        name: "glm-4.5-air",
        context: 131_072,
        output_max: 98_304,
        price: Some(ListPrice::usd(200_000, 1_100_000)),
        ..GLM_4
    },
    Known { name: "glm-4.5-airx", context: 131_072, output_max: 98_304, price: None, ..GLM_4 },
    Known { name: "glm-4-long", context: 1_000_000, output_max: 4_096, price: None, ..GLM_4 },
    Known { name: "glm-4-flashx*", context: 131_072, output_max: 16_384, price: None, ..GLM_4 },
    Known {
        name: "glm-4-flash-*",
        context: 131_072,
        output_max: 16_384,
        price: Some(ListPrice::cny(0, 0)),
        ..GLM_4
    },
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::call::Target;
    use crate::dialect::Dialect;

    /// Worked out by other means: the standard library of Python.
    const TOKEN: &str = "eyJhbGciOiJIUzI1NiIsInNpZ25fdHlwZSI6IlNJR04ifQ.\
        eyJhcGlfa2V5IjoiaWQxMjMiLCJleHAiOjE3MDAwMDAzMDAwMDAsInRpbWVzdGFtcCI6MTcwMDAwMDAwMDAwMH0.\
        vfjpnJVOIdTaQNlJSUO3T1KT2lhyVMMGgW6TCSY5T4k";

    #[test]
    fn a_token_is_signed_with_the_secret() {
        assert_eq!(token("id123.secret456", 1_700_000_000).unwrap(), TOKEN);
    }

    #[test]
    fn a_key_without_a_secret_makes_no_token() {
        let error = token("id123", 0).unwrap_err().to_string();
        assert!(error.contains("id.secret") && !error.contains("id123"), "{error}");
    }

    #[test]
    fn the_key_goes_as_it_is_unless_a_token_is_wanted() {
        let base = "https://open.bigmodel.cn/api/paas/v4";
        let target = Target { secret: Some("id123.secret456"), now_s: 1_700_000_000, ..Target::at(base) };
        let request = ZHIPU.probe(&target).unwrap();
        assert_eq!(request.uri(), "https://open.bigmodel.cn/api/paas/v4/models");
        assert_eq!(request.headers()["authorization"], "Bearer id123.secret456");
        let options = BTreeMap::from([("auth".to_owned(), "token".to_owned())]);
        let request = ZHIPU.probe(&Target { options: &options, ..target }).unwrap();
        assert_eq!(request.headers()["authorization"], format!("Bearer {TOKEN}").as_str());
        assert!(request.headers()["authorization"].is_sensitive());
    }
}
