//! What decisions look at, for `sim what-if`: without any secret, but with all that is where.

use axum::Json;
use axum::extract::State;
use domain::Export;

use crate::extract::{App, Fresh, MayAdmin};

pub(crate) async fn export(State(app): State<App>, _: MayAdmin, Fresh(view): Fresh) -> Json<Export> {
    Json(Export::of(&view, &app.deps.cluster))
}
