//! A text that must not be shown: an engine's random key, a provider's key in clear. Whoever sends it asks for it by
//! name; printing the value or anything around it shows nothing.

use std::fmt;

/// A secret text.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// Guards a text.
    pub fn new(text: String) -> Self {
        Self(text)
    }
    /// The text, to be sent and never stored or logged.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("secret")
    }
}
