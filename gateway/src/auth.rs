//! Who calls, and what they may do. The key's text is hashed and looked up in the view; nothing is asked of anyone.

use domain::View;
use domain::key::{Key, Scope};
use http::HeaderMap;
use http::header::AUTHORIZATION;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use crate::inner::Inner;
use crate::problem::Problem;

/// What every key's text begins with.
pub(crate) const KEY_PREFIX: &str = "sk-llmhub-";
/// The longest header that is looked at, in bytes.
const LEN_MAX: usize = 512;

/// SHA-256 of a key's whole text.
pub(crate) fn hash(text: &[u8]) -> [u8; 32] {
    Sha256::digest(text).into()
}

/// The key of a request.
pub(crate) fn key<'a>(view: &'a View, headers: &HeaderMap) -> Result<&'a Key, Problem> {
    let text = given(headers).ok_or_else(Problem::no_key)?;
    let hash = hash(text);
    let key = view.state.key_by_hash(&hash).ok_or_else(Problem::wrong_key)?;
    // The index is ordered, so finding a row tells how far hashes agree; only full equality lets in.
    if bool::from(key.hash.as_slice().ct_eq(&hash)) { Ok(key) } else { Err(Problem::wrong_key()) }
}

/// The text of a request's key, whatever it is worth.
pub(crate) fn text(headers: &HeaderMap) -> Option<&str> {
    std::str::from_utf8(given(headers)?).ok()
}

/// Where official clients put keys: those of OpenAI and Ollama, of Anthropic, of Azure.
fn given(headers: &HeaderMap) -> Option<&[u8]> {
    if let Some(header) = headers.get(AUTHORIZATION) {
        return bearer(header.as_bytes());
    }
    let text = headers.get("x-api-key").or_else(|| headers.get("api-key"))?.as_bytes().trim_ascii();
    (!text.is_empty() && text.len() <= LEN_MAX).then_some(text)
}

fn bearer(header: &[u8]) -> Option<&[u8]> {
    let (scheme, text) = header.split_at_checked(7)?;
    let text = text.trim_ascii();
    (scheme.eq_ignore_ascii_case(b"bearer ") && !text.is_empty() && text.len() <= LEN_MAX).then_some(text)
}

/// Lets a request with this scope pass; counts those that may not.
pub(crate) fn allow(
    inner: &Inner,
    view: &View,
    headers: &HeaderMap,
    scope: Scope,
) -> Result<domain::KeyId, Problem> {
    let outcome = key(view, headers)
        .and_then(|key| if key.allows(scope) { Ok(key.id) } else { Err(Problem::missing_scope(scope)) });
    if outcome.is_err() {
        inner.metrics.refused_keys.add(1);
    }
    outcome
}
