//! Which dialect a name stands for: what the program knows, what was put into the cluster, what is shipped with the program,
//! in this order.

use std::sync::Arc;

use adapters::declared::{Declared, Wrong, shipped};
use adapters::dialect::{Spoken, named};
use domain::State;

/// The dialect of a name; `None` where there is none.
///
/// # Errors
/// When its declaration makes none that this program understands.
pub fn spoken(state: &State, name: &str) -> Option<Result<Spoken, Wrong>> {
    if let Some(known) = named(name) {
        return Some(Ok(Spoken::Known(known)));
    }
    let put = state.adapters.get(&name.to_owned()).and_then(|adapter| adapter.spoken());
    let ours = || shipped().iter().find(|(shipped, _)| *shipped == name).map(|(_, text)| *text);
    let text = put.map(|version| version.declaration.as_str()).or_else(ours)?;
    Some(Declared::parse(text).map(|declared| Spoken::Declared(Arc::new(declared))))
}
