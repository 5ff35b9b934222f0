//! The gateway's part of the configuration file.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Largest body limit that may be configured, in bytes: what nodes relay to each other (`wire::relay`), so that no body is
/// taken that only some targets could be given.
const BODY_LIMIT_MAX: usize = 64 << 20;
/// Longest time-out that may be configured, in milliseconds: one day.
const TIMEOUT_MAX_MS: u64 = 24 * 3_600_000;

/// How the gateway treats clients.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The largest request body, in bytes.
    pub body_limit_bytes: usize,
    /// How long a client may take to send its request's body, in milliseconds.
    pub body_timeout_ms: u64,
    /// How long a streamed call may take until the first byte of its answer, over all attempts, in milliseconds.
    pub first_byte_timeout_ms: u64,
    /// How long a plain call may take until the whole answer is there, over all attempts, in milliseconds: its first byte
    /// comes when the model is done.
    pub answer_timeout_ms: u64,
    /// How long a target may be silent in the middle of an answer, or a client take nothing of it, in milliseconds.
    pub idle_timeout_ms: u64,
    /// How long a connection may wait for its first or its next request, in milliseconds.
    pub keep_alive_ms: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            body_limit_bytes: 32 << 20,
            body_timeout_ms: 60_000,
            first_byte_timeout_ms: 120_000,
            answer_timeout_ms: 600_000,
            idle_timeout_ms: 120_000,
            keep_alive_ms: 75_000,
        }
    }
}

/// A setting that cannot be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{field}` is {value}: use {hint}")]
pub struct ConfigError {
    /// Which setting.
    pub field: &'static str,
    /// What it is.
    pub value: u64,
    /// What it may be.
    pub hint: String,
}

impl Config {
    /// Checks every setting; tells the first that cannot be.
    pub fn validate(&self) -> Result<(), ConfigError> {
        let limit = self.body_limit_bytes;
        if !(1024..=BODY_LIMIT_MAX).contains(&limit) {
            let hint = format!("1024 to {BODY_LIMIT_MAX} bytes");
            return Err(ConfigError { field: "body_limit_bytes", value: limit as u64, hint });
        }
        let times = [
            ("body_timeout_ms", self.body_timeout_ms),
            ("first_byte_timeout_ms", self.first_byte_timeout_ms),
            ("answer_timeout_ms", self.answer_timeout_ms),
            ("idle_timeout_ms", self.idle_timeout_ms),
            ("keep_alive_ms", self.keep_alive_ms),
        ];
        match times.into_iter().find(|(_, ms)| *ms == 0 || *ms > TIMEOUT_MAX_MS) {
            Some((field, value)) => {
                Err(ConfigError { field, value, hint: format!("1 to {TIMEOUT_MAX_MS} milliseconds") })
            }
            None => Ok(()),
        }
    }

    pub(crate) fn body_timeout(&self) -> Duration {
        Duration::from_millis(self.body_timeout_ms)
    }
    /// How long a call may wait for the part of its answer that it cannot go on without.
    pub(crate) fn patience(&self, stream: bool) -> Duration {
        Duration::from_millis(if stream { self.first_byte_timeout_ms } else { self.answer_timeout_ms })
    }
    pub(crate) fn idle_timeout(&self) -> Duration {
        Duration::from_millis(self.idle_timeout_ms)
    }
    pub(crate) fn keep_alive(&self) -> Duration {
        Duration::from_millis(self.keep_alive_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_setting_is_told_by_name() {
        assert_eq!(Config::default().validate(), Ok(()));
        let error = Config { idle_timeout_ms: 0, ..Config::default() }.validate().unwrap_err();
        assert_eq!(error.to_string(), "`idle_timeout_ms` is 0: use 1 to 86400000 milliseconds");
        assert!(Config { body_limit_bytes: 1, ..Config::default() }.validate().is_err());
        assert!(Config { body_limit_bytes: BODY_LIMIT_MAX + 1, ..Config::default() }.validate().is_err());
    }

    #[test]
    fn a_setting_with_a_typo_is_refused() {
        let error = serde_json::from_str::<Config>(r#"{"body_limit_byte": 5000}"#).unwrap_err();
        assert!(error.to_string().contains("body_limit_byte"));
    }
}
