//! Inference by way of the router. The server goes past it for these paths; both end in the pipeline.

use adapters::Operation;
use axum::extract::{Request, State};

use crate::extract::App;
use crate::pipeline::infer;

type Answer = axum::response::Response;

pub(crate) async fn chat(State(app): State<App>, request: Request) -> Answer {
    infer(&app, Operation::Chat, request).await.map(axum::body::Body::new)
}

pub(crate) async fn completions(State(app): State<App>, request: Request) -> Answer {
    infer(&app, Operation::Completions, request).await.map(axum::body::Body::new)
}

pub(crate) async fn embeddings(State(app): State<App>, request: Request) -> Answer {
    infer(&app, Operation::Embeddings, request).await.map(axum::body::Body::new)
}
