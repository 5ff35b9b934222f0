//! The page that Prometheus reads.

use axum::extract::State;
use axum::response::IntoResponse;
use http::header::CONTENT_TYPE;

use crate::extract::{App, MayRead};
use crate::metrics::render;

pub(crate) async fn page(State(app): State<App>, _: MayRead) -> impl IntoResponse {
    let text = render(&app, &app.deps.view.load());
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text)
}
