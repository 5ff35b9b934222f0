//! Tokens used, found without reading a whole answer.

use serde::{Deserialize, Serialize};

/// How far from an answer's end its usage is looked for, in bytes. Servers write it after the choices.
const WINDOW: usize = 8 * 1024;
const KEY: &[u8] = b"\"usage\"";

/// Tokens that a call used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Usage {
    /// Tokens read.
    #[serde(default)]
    pub prompt_tokens: u64,
    /// Tokens written; none for embeddings.
    #[serde(default)]
    pub completion_tokens: u64,
}

/// The usage of a plain answer or of one event's data, if it tells.
///
/// Quotes inside JSON strings are escaped, so `"usage"` followed by a colon can only be a key.
pub fn usage_of(json: &[u8]) -> Option<Usage> {
    let mut end = json.len();
    let floor = end.saturating_sub(WINDOW);
    while end > floor {
        let at = floor + json[floor..end].windows(KEY.len()).rposition(|w| w == KEY)?;
        let rest = json[at + KEY.len()..].trim_ascii_start();
        if let Some(value) = rest.strip_prefix(b":")
            && let Some(Ok(Some(usage))) =
                serde_json::Deserializer::from_slice(value).into_iter::<Option<Usage>>().next()
        {
            return Some(usage);
        }
        end = at;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_is_found_wherever_servers_put_it() {
        let two = Some(Usage { prompt_tokens: 1, completion_tokens: 2 });
        assert_eq!(usage_of(br#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#), two);
        assert_eq!(
            usage_of(br#"{"usage" : {"prompt_tokens":1,"completion_tokens":2,"x":{}},"id":"usage"}"#),
            two
        );
        let talk = br#"{"choices":[{"text":"say \"usage\": {\"prompt_tokens\":9}"}]}"#;
        assert_eq!(usage_of(talk), None);
        assert_eq!(usage_of(br#"{"usage":null}"#), None);
        assert_eq!(usage_of(b""), None);
        let embeddings = Some(Usage { prompt_tokens: 4, completion_tokens: 0 });
        assert_eq!(usage_of(br#"{"usage":{"prompt_tokens":4,"total_tokens":4}}"#), embeddings);
    }
}
