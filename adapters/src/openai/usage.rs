//! Tokens used, found without reading a whole answer.

use serde::Deserialize;

use crate::usage::Usage;

/// How far from an answer's end its usage is looked for, in bytes. Servers write it after the choices.
const WINDOW: usize = 8 * 1024;
const KEY: &[u8] = b"\"usage\"";

/// As servers write it, each with what it has.
#[derive(Deserialize)]
struct Told {
    prompt_tokens: Option<u64>,
    completion_tokens: Option<u64>,
    total_tokens: Option<u64>,
    /// What pictures, speech and transcripts are told to have used, beside all of it.
    input_tokens: Option<u64>,
    output_tokens: Option<u64>,
    #[serde(default)]
    prompt_tokens_details: Option<PromptDetails>,
    #[serde(default)]
    completion_tokens_details: Option<CompletionDetails>,
    /// DeepSeek's word for tokens out of its cache.
    #[serde(default)]
    prompt_cache_hit_tokens: Option<u64>,
    /// Kimi's and Qianfan's word for the same, and Kimi's for those put there.
    #[serde(default)]
    cached_tokens: Option<u64>,
    #[serde(default)]
    cache_write_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct PromptDetails {
    cached_tokens: Option<u64>,
}

#[derive(Deserialize)]
struct CompletionDetails {
    reasoning_tokens: Option<u64>,
}

impl Told {
    /// What it tells; nothing where the tokens read are not among it.
    fn usage(&self) -> Option<Usage> {
        let completion_tokens = self.completion_tokens.or(self.output_tokens).unwrap_or(0);
        let rest = self.total_tokens.map(|total| total.saturating_sub(completion_tokens));
        let cached = self.prompt_tokens_details.as_ref().and_then(|details| details.cached_tokens);
        let thoughts = self.completion_tokens_details.as_ref().and_then(|details| details.reasoning_tokens);
        Some(Usage {
            prompt_tokens: self.prompt_tokens.or(self.input_tokens.filter(|_| rest.is_some())).or(rest)?,
            completion_tokens,
            cached_tokens: cached.or(self.prompt_cache_hit_tokens).or(self.cached_tokens).unwrap_or(0),
            cache_write_tokens: self.cache_write_tokens.unwrap_or(0),
            reasoning_tokens: thoughts.unwrap_or(0),
        })
    }
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
            && let Some(Ok(Some(told))) =
                serde_json::Deserializer::from_slice(value).into_iter::<Option<Told>>().next()
        {
            return told.usage();
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
        let two = Some(Usage::of(1, 2));
        assert_eq!(usage_of(br#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":2}}"#), two);
        assert_eq!(
            usage_of(br#"{"usage" : {"prompt_tokens":1,"completion_tokens":2,"x":{}},"id":"usage"}"#),
            two
        );
        let talk = br#"{"choices":[{"text":"say \"usage\": {\"prompt_tokens\":9}"}]}"#;
        assert_eq!(usage_of(talk), None);
        assert_eq!(usage_of(br#"{"usage":null}"#), None);
        assert_eq!(usage_of(b""), None);
        let embeddings = Some(Usage::of(4, 0));
        assert_eq!(usage_of(br#"{"usage":{"prompt_tokens":4,"total_tokens":4}}"#), embeddings);
        assert_eq!(usage_of(br#"{"usage":{"total_tokens":4}}"#), embeddings);
        let drawn = br#"{"data":[],"usage":{"total_tokens":9,"input_tokens":4,"output_tokens":5}}"#;
        assert_eq!(usage_of(drawn), Some(Usage::of(4, 5)));
        for nothing in
            [r#"{"usage":{}}"#, r#"{"usage":{"input_tokens":4}}"#, r#"{"usage":{"completion_tokens":4}}"#]
        {
            assert_eq!(usage_of(nothing.as_bytes()), None, "{nothing}");
        }
    }
}
