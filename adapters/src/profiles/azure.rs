//! OpenAI's models at Microsoft Azure: deployments under names of one's own, versions of the interface by date, and the newer
//! surface below `/openai/v1`, which is OpenAI's own.

use std::fmt::Write;

use crate::call::{Operation, Target};
use crate::failure::FailureKind;
use crate::openai::compatible::{Auth, COMMON, Place};
use crate::openai::{OPENAI, Profile};

/// The version that is asked for where the target's option `api_version` does not tell: the last stable one by date.
const API_VERSION: &str = "2024-10-21";

/// The base URL of the newer surface ends so.
const V1: &str = "/openai/v1";

/// Azure. Base URLs: `https://RESOURCE.openai.azure.com`, or the same with `/openai/v1`. A model is a deployment's name.
pub const AZURE: Profile = Profile {
    name: "azure",
    auth: Auth::HeaderOrBearer("api-key"),
    operations: &[
        Operation::Chat,
        Operation::Completions,
        Operation::Embeddings,
        Operation::Models,
        Operation::Images,
        Operation::Speech,
        Operation::Transcriptions,
    ],
    output_max: "max_completion_tokens",
    says: COMMON,
    // Deployments are commonly called as the model they are of.
    models: OPENAI.models,
    place: Place::Deployments,
    codes: &[
        // Its front door says the status once more.
        ("401", FailureKind::Authentication),
        ("429", FailureKind::RateLimited),
        ("DeploymentNotFound", FailureKind::NotFound),
        ("content_filter", FailureKind::BadRequest),
        ("insufficient_quota", FailureKind::QuotaExceeded),
        ("PermissionDenied", FailureKind::Authentication),
        ("RequestTimeout", FailureKind::Timeout),
        ("NoCapacity", FailureKind::Unavailable),
    ],
    ..Profile::PLAIN
};

/// Where an operation is, below the base URL.
pub(crate) fn path(model: &str, operation: &str, target: &Target<'_>) -> String {
    if is_v1(target) {
        return versioned(operation.to_owned(), target, None);
    }
    let deployment = format!("{}/deployments/{}{operation}", root(target), escaped(model));
    versioned(deployment, target, Some(API_VERSION))
}

/// Where the list of models is.
pub(crate) fn models_path(target: &Target<'_>) -> String {
    if is_v1(target) {
        return versioned("/models".to_owned(), target, None);
    }
    versioned(format!("{}/models", root(target)), target, Some(API_VERSION))
}

fn is_v1(target: &Target<'_>) -> bool {
    target.base_url.trim_end_matches('/').ends_with(V1)
}

/// The portal shows some addresses with this part and some without.
fn root(target: &Target<'_>) -> &'static str {
    if target.base_url.trim_end_matches('/').ends_with("/openai") { "" } else { "/openai" }
}

fn versioned(mut path: String, target: &Target<'_>, usual: Option<&str>) -> String {
    if let Some(version) = target.options.get("api_version").map(String::as_str).or(usual) {
        path.push_str("?api-version=");
        path.push_str(version);
    }
    path
}

/// A name as a part of a path.
fn escaped(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(byte.into());
        } else {
            // Writing to a text does not fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::dialect::Dialect;

    fn options(list: &[(&str, &str)]) -> BTreeMap<String, String> {
        list.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn an_operation_is_below_its_deployment() {
        let target = Target::at("https://r.openai.azure.com/");
        let chat = "/chat/completions";
        assert_eq!(
            path("my gpt/4", chat, &target),
            "/openai/deployments/my%20gpt%2F4/chat/completions?api-version=2024-10-21"
        );
        let target = Target::at("https://r.openai.azure.com/openai");
        assert_eq!(path("m", chat, &target), "/deployments/m/chat/completions?api-version=2024-10-21");
        let own = options(&[("api_version", "2025-04-01-preview")]);
        let target = Target { options: &own, ..target };
        assert_eq!(
            path("m", chat, &target),
            "/deployments/m/chat/completions?api-version=2025-04-01-preview"
        );
        let target = Target::at("https://r.openai.azure.com/openai/v1/");
        assert_eq!(path("m", chat, &target), chat);
        let target = Target { options: &own, ..target };
        assert_eq!(path("m", chat, &target), "/chat/completions?api-version=2025-04-01-preview");
    }

    #[test]
    fn the_probe_asks_for_models_with_the_key_as_wanted() {
        let target = Target { secret: Some("k"), ..Target::at("https://r.openai.azure.com") };
        let request = AZURE.probe(&target).unwrap();
        assert_eq!(request.uri(), "https://r.openai.azure.com/openai/models?api-version=2024-10-21");
        assert_eq!(request.headers()["api-key"], "k");
        assert!(request.headers()["api-key"].is_sensitive());
        let bearer = options(&[("auth", "bearer")]);
        let target = Target { options: &bearer, base_url: "https://r.openai.azure.com/openai/v1", ..target };
        let request = AZURE.probe(&target).unwrap();
        assert_eq!(request.uri(), "https://r.openai.azure.com/openai/v1/models");
        assert_eq!(request.headers()["authorization"], "Bearer k");
        assert!(!request.headers().contains_key("api-key"));
    }
}
