//! Which dialect a name stands for: what the program knows, what was put into the cluster, what is shipped with the program,
//! in this order.

use std::sync::Arc;

use adapters::declared::{Declared, shipped};
use adapters::dialect::{Spoken, named};
use domain::View;

/// The dialect of a name.
///
/// # Errors
/// When there is none, or its declaration makes none: what to do.
pub fn spoken(view: &View, name: &str) -> Result<Spoken, String> {
    if let Some(known) = named(name) {
        return Ok(Spoken::Known(known));
    }
    let put = view.state.adapters.get(&name.to_owned()).and_then(|adapter| adapter.spoken());
    let ours = || shipped().iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text);
    let Some(text) = put.map(|version| version.declaration.as_str()).or_else(ours) else {
        return Err(format!(
            "no dialect is called `{name}` here: upgrade this node's program, or declare it with `llmhub adapter put`"
        ));
    };
    match Declared::parse(text) {
        Ok(declared) => Ok(Spoken::Declared(Arc::new(declared))),
        Err(wrong) => Err(format!("the declaration of the dialect `{name}` cannot be used: {wrong}")),
    }
}
