//! Names of things. Every id is a newtype that prints one way, parses that way, and orders the way its rows do.
//! Used everywhere; an id never carries meaning beyond identity.

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Milliseconds: since the Unix epoch where it is a moment, otherwise a duration; the name of the field tells.
pub type Millis = u64;

/// The fencing number of a piece of exclusive work: the log index at which it was handed out, so it only grows.
pub type Epoch = u64;

/// An id that did not parse.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {kind}: {hint}")]
pub struct ParseError {
    /// What was expected.
    pub kind: &'static str,
    /// What was given.
    pub text: String,
    /// How it should look.
    pub hint: &'static str,
}

macro_rules! hex_id {
    ($(#[$doc:meta])* $name:ident($int:ty), $prefix:literal, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $int);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "{:0width$x}"), self.0, width = <$int>::BITS as usize / 4)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }
        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                let bad = || ParseError { kind: $kind, text: text.to_owned(), hint: concat!("expected `", $prefix, "` and hexadecimal digits") };
                let digits = text.strip_prefix($prefix).ok_or_else(bad)?;
                <$int>::from_str_radix(digits, 16).map(Self).map_err(|_| bad())
            }
        }
    };
}

macro_rules! text_id {
    ($(#[$doc:meta])* $name:ident, $kind:literal) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub String);

        impl $name {
            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl From<&str> for $name {
            fn from(text: &str) -> Self {
                Self(text.to_owned())
            }
        }
        impl FromStr for $name {
            type Err = ParseError;
            fn from_str(text: &str) -> Result<Self, ParseError> {
                check_name(text)
                    .map(|()| Self(text.to_owned()))
                    .map_err(|hint| ParseError { kind: $kind, text: text.chars().take(80).collect(), hint })
            }
        }
    };
}

hex_id!(
    /// A node: persisted on its disk, the same number Raft knows it by. A wiped disk means a new id.
    NodeId(u64), "n-", "node id");
hex_id!(
    /// One start of a node. Gossip tells an old life from a new one by it.
    Incarnation(u64), "i-", "incarnation");
hex_id!(
    /// A deployment; the number is the log index of the command that created it.
    DeploymentId(u64), "dep-", "deployment id");
hex_id!(
    /// An API key; the number is the log index of the command that created it.
    KeyId(u64), "key-", "key id");
hex_id!(
    /// A join token; drawn by the node that made the token, because the token's text carries it.
    TokenId(u64), "tok-", "token id");
hex_id!(
    /// Something that happened; the number is the log index of its command times sixteen, plus its place among that
    /// command's events, so that later events have larger ids.
    EventId(u64), "evt-", "event id");
hex_id!(
    /// Makes a command idempotent: the same id is applied once, and every retry gets the first outcome.
    RequestId(u128), "req-", "request id");

/// An id is drawn by chance, or made of three parts: a client's key, what that client asked for under it, and the step of
/// the request that this command is. So retries are known, and so is a key that is used for something else.
impl RequestId {
    /// The id of one step (told by a hash) of a request (by the lower 48 bits of its hash) under a client's key (by its
    /// hash).
    pub fn of_key(key: u64, request: u64, step: u16) -> Self {
        Self((u128::from(key) << 64) | u128::from((request << 16) | u64::from(step)))
    }

    /// All ids under the same key; none where the id has none.
    pub(crate) fn under_its_key(self) -> Option<RangeInclusive<Self>> {
        let key = (self.0 >> 64) << 64;
        (key != 0).then(|| Self(key)..=Self(key | u128::from(u64::MAX)))
    }

    /// Whether two ids under the same key are of the same request.
    pub(crate) fn is_same_request(self, other: Self) -> bool {
        self.0 >> 16 == other.0 >> 16
    }
}

impl EventId {
    /// The first event of the command at this place in the log.
    pub(crate) fn of(index: Epoch) -> Self {
        Self(index << 4)
    }
}

text_id!(
    /// A registered model.
    ModelId, "model id");
text_id!(
    /// A provider, by its name.
    ProviderName, "provider name");

/// The longest name accepted, in bytes.
pub const NAME_LEN_MAX: usize = 128;

/// Names are what people type into URLs and clients: letters, digits and `._:/-`, starting with a letter or digit.
pub fn check_name(text: &str) -> Result<(), &'static str> {
    if text.is_empty() || text.len() > NAME_LEN_MAX {
        return Err("use 1 to 128 characters");
    }
    if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
        return Err("start with a letter or a digit");
    }
    if !text.chars().all(|c| c.is_ascii_alphanumeric() || "._:/-@".contains(c)) {
        return Err("use letters, digits and . _ : / - @ only");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_reads_back_what_it_prints() {
        assert_eq!(NodeId(0x2a).to_string(), "n-000000000000002a");
        assert_eq!("n-2a".parse(), Ok(NodeId(0x2a)));
        assert!("x-2a".parse::<NodeId>().is_err());
        assert!("n-zz".parse::<NodeId>().is_err());
    }

    #[test]
    fn names_are_what_a_url_can_carry() {
        for good in ["tiny", "qwen2.5:7b", "meta-llama/Llama-3", "a@b"] {
            assert!(good.parse::<ModelId>().is_ok(), "{good}");
        }
        for bad in ["", "-x", "a b", "ü", &"x".repeat(129)] {
            assert!(bad.parse::<ModelId>().is_err(), "{bad}");
        }
    }
}
