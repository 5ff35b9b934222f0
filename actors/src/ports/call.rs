//! HTTP towards engines and providers. Bodies stream with back-pressure; implementations keep the connections.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;

/// Any error a body may end with.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// A streamed answer.
pub type Body = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;
/// A request, whose body is known whole.
pub type Request = http::Request<Bytes>;
/// An answer, whose body streams.
pub type Response = http::Response<Body>;

/// Why a call failed before its answer's head arrived.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// No connection: the call certainly did not happen.
    #[error("cannot connect to {target}: {reason}")]
    Connect {
        /// Host and port, or node.
        target: String,
        /// What the network said.
        reason: String,
    },
    /// The connection broke or answered nonsense: the call may have happened.
    #[error("call to {target} broke: {reason}")]
    Broken {
        /// Host and port, or node.
        target: String,
        /// What the network said.
        reason: String,
    },
    /// No answer in time: the call may have happened.
    #[error("{target} did not answer within {waited:?}")]
    Timeout {
        /// Host and port, or node.
        target: String,
        /// How long was waited.
        waited: Duration,
    },
    /// The address may not be called.
    #[error("calls to {target} are not allowed: {reason}")]
    Forbidden {
        /// Host and port.
        target: String,
        /// Why.
        reason: String,
    },
}

/// An HTTP client with connection pools.
#[async_trait]
pub trait Http: Send + Sync + 'static {
    /// Sends a request with an absolute URI; resolves with the answer's head. Dropping the answer cancels the call.
    async fn send(&self, request: Request, timeout: Duration) -> Result<Response, CallError>;
}

/// Calls that another node's engines answer, over the cluster port.
#[async_trait]
pub trait Relay: Send + Sync + 'static {
    /// Sends a request to a peer's relay service; resolves with the answer's head. Dropping the answer cancels the call there.
    async fn send(
        &self,
        to: domain::NodeId,
        request: Request,
        timeout: Duration,
    ) -> Result<Response, CallError>;
}
