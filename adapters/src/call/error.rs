//! Why a call cannot be made.

use std::borrow::Cow;

use crate::chat::Feature;
use crate::protocol::Protocol;

/// Why a call cannot be made. The client must change its request.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The body is no JSON.
    #[error(
        "the body is not valid JSON: {reason} at line {line} column {column}; correct it and send it again"
    )]
    Json {
        /// What is wrong there.
        reason: String,
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// A field is missing or of the wrong type.
    #[error("`{param}` {hint}")]
    Field {
        /// Which field, by its path: `messages[0].content`.
        param: Cow<'static, str>,
        /// What is wrong with it and what to send instead.
        hint: Cow<'static, str>,
    },
    /// The target has no word for something that the question uses. Another target may.
    #[error("{}", unsaid(what.param(Protocol::OpenAi), dialect))]
    Unsaid {
        /// What.
        what: Unsaid,
        /// What the target speaks.
        dialect: Cow<'static, str>,
    },
    /// The target does not do what the client asks for at all. Another one may.
    #[error("this model's provider ({dialect}) does not offer {what}: ask for another model")]
    Cannot {
        /// What the client asks for.
        what: &'static str,
        /// What the target speaks.
        dialect: Cow<'static, str>,
    },
    /// The target's address or key cannot be put into a request. The cluster's administrator must change it.
    #[error("the target cannot be called: {0}")]
    Target(String),
}

/// What a target has no word for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Unsaid {
    /// Something that protocols ask for by different names.
    Feature(Feature),
    /// A field of the client's protocol.
    Field(String),
}

impl Unsaid {
    /// The field that asks for it in a client's protocol.
    pub fn param(&self, protocol: Protocol) -> &str {
        match self {
            Unsaid::Feature(feature) => feature.param(protocol),
            Unsaid::Field(field) => field,
        }
    }
}

fn unsaid(param: &str, dialect: &str) -> String {
    format!(
        "this model's provider ({dialect}) has no word for `{param}`: leave it out, or ask for another model"
    )
}

impl From<Feature> for Unsaid {
    fn from(feature: Feature) -> Self {
        Unsaid::Feature(feature)
    }
}

impl Error {
    /// A field is wrong.
    pub fn field(param: impl Into<Cow<'static, str>>, hint: impl Into<Cow<'static, str>>) -> Self {
        Error::Field { param: param.into(), hint: hint.into() }
    }

    /// A target of this dialect has no word for a field.
    pub fn unsaid(field: impl Into<String>, dialect: &str) -> Self {
        Error::Unsaid { what: Unsaid::Field(field.into()), dialect: Cow::Owned(dialect.to_owned()) }
    }

    /// A target of this dialect does not do that at all.
    pub fn cannot(what: &'static str, dialect: &str) -> Self {
        Error::Cannot { what, dialect: Cow::Owned(dialect.to_owned()) }
    }

    /// What it says to a client of this protocol.
    pub fn message(&self, protocol: Protocol) -> String {
        match self {
            Error::Unsaid { what, dialect } => unsaid(what.param(protocol), dialect),
            other => other.to_string(),
        }
    }

    /// Whether a target of another dialect could be asked instead.
    pub fn is_of_target(&self) -> bool {
        matches!(self, Error::Unsaid { .. } | Error::Cannot { .. } | Error::Target(_))
    }
}
