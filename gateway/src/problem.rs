//! Errors as clients see them: OpenAI's shape, one status, and a message that says what to do. Every error of a port or of
//! the domain is mapped here, in exhaustive matches.

use std::borrow::Cow;
use std::time::Duration;

use actors::ports::{Body, PeerError, ProposeError, VaultError};
use adapters::openai::ErrorBody;
use adapters::{Operation, Protocol};
use axum::response::IntoResponse;
use domain::command::RejectClass;
use domain::key::Scope;
use domain::{Reject, route};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use http_body_util::{BodyExt, Full};

/// The header that tells which target answered.
pub(crate) const TARGET_HEADER: &str = "x-llmhub-target";

/// An error on its way to the client.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Problem {
    pub status: StatusCode,
    pub kind: Cow<'static, str>,
    pub code: Cow<'static, str>,
    pub message: Cow<'static, str>,
    pub param: Option<Box<str>>,
    pub retry_after: Option<Duration>,
    /// Whether official clients are told not to send the same again.
    pub in_vain: bool,
    /// Names the target that answered so, where one did.
    pub target: Option<Box<HeaderValue>>,
}

/// Tells official clients not to repeat what cannot succeed.
const SHOULD_RETRY: HeaderName = HeaderName::from_static("x-should-retry");

const INVALID: &str = "invalid_request_error";
const SERVER: &str = "server_error";
/// How long clients are asked to wait where nothing better is known.
pub(crate) const RETRY_SOON: Duration = Duration::from_secs(1);

impl Problem {
    pub(crate) fn new(
        status: StatusCode,
        kind: &'static str,
        code: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        let (kind, code) = (Cow::Borrowed(kind), Cow::Borrowed(code));
        let message = message.into();
        Self { status, kind, code, message, param: None, retry_after: None, in_vain: false, target: None }
    }

    pub(crate) fn bad_request(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, INVALID, code, message)
    }

    pub(crate) fn bad_param(param: &str, message: impl Into<Cow<'static, str>>) -> Self {
        Self { param: Some(param.into()), ..Self::bad_request("invalid_value", message) }
    }

    pub(crate) fn not_found(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::NOT_FOUND, INVALID, "not_found", message)
    }

    pub(crate) fn conflict(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::CONFLICT, INVALID, "conflict", message)
    }

    pub(crate) fn unavailable(code: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        let problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, SERVER, code, message);
        Self { retry_after: Some(RETRY_SOON), ..problem }
    }

    pub(crate) fn no_key() -> Self {
        let message = "no API key was given: send the header `Authorization: Bearer sk-llmhub-...`";
        Self::new(StatusCode::UNAUTHORIZED, INVALID, "invalid_api_key", message)
    }

    pub(crate) fn wrong_key() -> Self {
        let message = "the API key is not known to this cluster: was it revoked, or made by another cluster?";
        Self::new(StatusCode::UNAUTHORIZED, INVALID, "invalid_api_key", message)
    }

    pub(crate) fn missing_scope(scope: Scope) -> Self {
        let scope = scope.as_str();
        let message =
            format!("the API key lacks the scope `{scope}`: use a key that has it, or have one made");
        Self::new(StatusCode::FORBIDDEN, "insufficient_permissions", "missing_scope", message)
    }

    pub(crate) fn too_large(limit: usize) -> Self {
        let message =
            format!("the body is larger than {limit} bytes: send less, or raise `body_limit_bytes`");
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, "body_too_large", message)
    }

    pub(crate) fn no_route(path: &str) -> Self {
        let path: String = path.chars().take(200).collect();
        Self::not_found(format!("there is no path {path}: GET /docs lists what there is"))
    }

    pub(crate) fn wrong_method(path: &str) -> Self {
        let message = format!("{path} does not take this method: GET /docs lists what there is");
        Self::new(StatusCode::METHOD_NOT_ALLOWED, INVALID, "method_not_allowed", message)
    }

    /// What a provider said, told with this status.
    pub(crate) fn of_provider(status: StatusCode, error: ErrorBody) -> Self {
        let ErrorBody { message, kind, param, code } = error;
        let param = param.map(String::into_boxed_str);
        let known = if status.is_client_error() { INVALID } else { SERVER };
        let kind = kind.map_or(Cow::Borrowed(known), Cow::Owned);
        let code = code.map_or(Cow::Borrowed("upstream_error"), Cow::Owned);
        let message = Cow::Owned(message);
        Self { status, kind, code, message, param, retry_after: None, in_vain: false, target: None }
    }

    /// What an adapter has to say to a client of this protocol.
    pub(crate) fn of_adapter(error: &adapters::Error, protocol: Protocol) -> Self {
        let message = error.message(protocol);
        match error {
            adapters::Error::Json { .. } => Problem::bad_request("invalid_json", message),
            adapters::Error::Field { param, .. } => Problem::bad_param(param, message),
            adapters::Error::Unsaid { what, .. } => {
                let param = Some(what.param(protocol).into());
                Problem { param, ..Problem::bad_request("unsupported_parameter", message) }
            }
            adapters::Error::Cannot { .. } => Problem::bad_request("unsupported_operation", message),
            adapters::Error::Target(_) => {
                Problem::new(StatusCode::BAD_GATEWAY, SERVER, "bad_target", message)
            }
        }
    }

    /// The error as adapters know it.
    pub(crate) fn body(&self) -> ErrorBody {
        ErrorBody {
            message: self.message.to_string(),
            kind: Some(self.kind.to_string()),
            param: self.param.as_deref().map(str::to_owned),
            code: Some(self.code.to_string()),
        }
    }

    /// The answer in OpenAI's shape.
    pub(crate) fn into_answer(self) -> Response<Body> {
        self.answer_for(Operation::Models)
    }

    /// The answer in the shape that clients of an operation understand.
    pub(crate) fn answer_for(self, operation: Operation) -> Response<Body> {
        let body = adapters::client::error(operation, self.status.as_u16(), &self.body());
        let mut response = Response::new(Full::new(body).map_err(|never| match never {}).boxed_unsync());
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs_f64().ceil().max(1.0) as u64;
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds));
        }
        if self.in_vain {
            headers.insert(SHOULD_RETRY, HeaderValue::from_static("false"));
        }
        if let Some(target) = self.target {
            headers.insert(TARGET_HEADER, *target);
        }
        response
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> axum::response::Response {
        self.into_answer().map(axum::body::Body::new)
    }
}

impl From<ProposeError> for Problem {
    fn from(error: ProposeError) -> Self {
        let message = error.to_string();
        match error {
            ProposeError::Rejected(Reject::KeyReused) => {
                Problem::new(StatusCode::UNPROCESSABLE_ENTITY, INVALID, "idempotency_key_reused", message)
            }
            ProposeError::Rejected(reject) => match reject.class() {
                RejectClass::NotFound => Problem::not_found(message),
                RejectClass::Conflict => Problem::conflict(message),
                RejectClass::Invalid => {
                    let param = field(&reject).map(str::to_owned);
                    let param = param.map(String::into_boxed_str);
                    Problem { param, ..Problem::bad_request("invalid_value", message) }
                }
            },
            ProposeError::Unavailable { retry_after, .. } => {
                Problem { retry_after: Some(retry_after), ..Problem::unavailable("no_quorum", message) }
            }
            ProposeError::TooLarge { .. } => {
                Problem::new(StatusCode::PAYLOAD_TOO_LARGE, INVALID, "change_too_large", message)
            }
            ProposeError::Failed { .. } => {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, "change_failed", message)
            }
            ProposeError::Unknown { .. } => {
                Problem::new(StatusCode::GATEWAY_TIMEOUT, SERVER, "outcome_unknown", message)
            }
        }
    }
}

/// The field of the request that a refusal is about, where rows are sent as they are kept.
fn field(reject: &Reject) -> Option<&str> {
    match reject {
        Reject::Route(route::Reject::Bad { field, .. }) => {
            Some(if field == "the name" { "name" } else { field })
        }
        Reject::Route(route::Reject::Loop { .. } | route::Reject::TooDeep { .. }) => Some("chain"),
        _ => None,
    }
}

impl From<PeerError> for Problem {
    fn from(error: PeerError) -> Self {
        let message = error.to_string();
        match error {
            PeerError::Unreachable(_) | PeerError::Busy(_) => {
                Problem::unavailable("node_unreachable", message)
            }
            PeerError::Timeout(_) => {
                Problem::new(StatusCode::GATEWAY_TIMEOUT, SERVER, "node_timeout", message)
            }
            PeerError::Refused { .. } => Problem::conflict(message),
        }
    }
}

impl From<VaultError> for Problem {
    fn from(error: VaultError) -> Self {
        let message = error.to_string();
        match error {
            VaultError::Unavailable(_) => Problem::unavailable("vault_unavailable", message),
            VaultError::NotAllowed => {
                Problem::new(StatusCode::FORBIDDEN, "insufficient_permissions", "missing_scope", message)
            }
            VaultError::Damaged => {
                Problem::new(StatusCode::INTERNAL_SERVER_ERROR, SERVER, "secret_damaged", message)
            }
        }
    }
}
