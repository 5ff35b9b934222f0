//! An engine that needs no model: OpenAI's interface over the mock provider's answers, one connection at a time. `llmhub
//! mock-engine` serves it as a process of its own, the simulator as one of its world's engines.

use std::convert::Infallible;
use std::sync::Arc;

use actors::ports::Body;
use adapters::Operation;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

/// The largest request body it takes, in bytes.
const BODY_BYTES_MAX: usize = 64 << 20;

/// Serves one connection until it ends. With a `key`, calls must carry it as a bearer token.
pub async fn serve<I>(io: I, key: Option<Arc<str>>)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let service = service_fn(move |request| {
        let key = key.clone();
        async move { Ok::<_, Infallible>(answer(request, key.as_deref()).await) }
    });
    let served = http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(io), service);
    if let Err(error) = served.await {
        tracing::debug!(%error, "a connection of the mock engine ended");
    }
}

async fn answer(request: Request<Incoming>, key: Option<&str>) -> Response<Body> {
    let (head, body) = request.into_parts();
    match (&head.method, head.uri.path()) {
        (&Method::GET, "/health") => return json(StatusCode::OK, r#"{"status":"ok"}"#),
        (&Method::GET, "/v1/models") => {
            return json(StatusCode::OK, r#"{"object":"list","data":[{"id":"mock","object":"model"}]}"#);
        }
        _ => {}
    }
    let bearer = head.headers.get(AUTHORIZATION).and_then(|v| v.to_str().ok());
    if key.is_some_and(|key| bearer.and_then(|b| b.strip_prefix("Bearer ")) != Some(key)) {
        return json(StatusCode::UNAUTHORIZED, r#"{"error":{"message":"wrong engine key"}}"#);
    }
    let Some(operation) = Operation::of_path(head.uri.path()).filter(|_| head.method == Method::POST) else {
        return json(StatusCode::NOT_FOUND, r#"{"error":{"message":"the mock engine has no such path"}}"#);
    };
    match Limited::new(body, BODY_BYTES_MAX).collect().await {
        Ok(body) => gateway::scripted(adapters::mock::answer(operation, &body.to_bytes())).await,
        Err(_) => json(StatusCode::PAYLOAD_TOO_LARGE, r#"{"error":{"message":"the body is too large"}}"#),
    }
}

fn json(status: StatusCode, text: &'static str) -> Response<Body> {
    let body = Full::new(Bytes::from_static(text.as_bytes())).map_err(|never| match never {});
    let mut response = Response::new(body.boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
