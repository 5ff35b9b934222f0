//! Inference by way of the router. The server goes past it for these paths; both end in the pipeline.

use adapters::Operation;
use axum::extract::{Request, State};

use crate::extract::App;
use crate::pipeline::infer;

/// Answers a call of the operation whose path it is.
pub(crate) async fn answer(State(app): State<App>, request: Request) -> axum::response::Response {
    let operation = Operation::of_path(request.uri().path()).unwrap_or(Operation::Chat);
    infer(&app, operation, request).await.map(axum::body::Body::new)
}
