//! All that others see of the root: how the fixed actors stand.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use super::Part;
use crate::supervision::Record;

/// The fixed actors as they are.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Observed {
    /// How each one stands.
    pub parts: BTreeMap<Part, Record>,
}

/// The node's root.
#[derive(Clone, Default)]
pub struct Handle {
    pub(super) shown: Arc<ArcSwap<Observed>>,
}

impl Handle {
    /// How the fixed actors stand.
    pub fn observe(&self) -> Observed {
        (**self.shown.load()).clone()
    }
}
