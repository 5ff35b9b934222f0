//! All that others see of the GPUs' watcher: the last reading. It outlives the actor's restarts.

use std::sync::Arc;

use arc_swap::ArcSwap;

use super::Observed;

/// The node's GPUs.
#[derive(Clone, Default)]
pub struct Handle {
    pub(super) shown: Arc<ArcSwap<Observed>>,
}

impl Handle {
    /// How they are.
    pub fn observe(&self) -> Observed {
        (**self.shown.load()).clone()
    }
}
