//! The wall clock. Only `runtime` and the actors ask it, through their port; it may jump and nothing here hides that.

use std::time::{SystemTime, UNIX_EPOCH};

use actors::ports::Clock;
use domain::Millis;

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct OsClock;

impl Clock for OsClock {
    fn now(&self) -> Millis {
        // A clock before 1970 reads as 1970; a duration of milliseconds fits 64 bits for half a billion years.
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |d| Millis::try_from(d.as_millis()).unwrap_or(Millis::MAX))
    }
}
