//! One module per replicated table: its row, its commands, why they may be refused, and how they are applied.
//! Only [`crate::State::apply`] calls these `apply` functions.

pub mod adapter;
pub mod config;
pub mod deployment;
pub mod event;
pub mod key;
pub mod level;
pub mod limit;
pub mod model;
pub mod node;
pub mod price;
pub mod provider;
pub mod restore;
pub mod rotation;
pub mod route;
pub mod secret;
pub mod setting;
pub mod token;

use crate::ids::{Epoch, Millis};
use crate::table::Changes;

/// What a table's `apply` may use besides the tables: the command's place in the log, its time, and where changes go.
pub struct Context<'a> {
    /// Log index of the command: source of new ids and epochs.
    pub index: Epoch,
    /// Time of the command, never going back.
    pub now: Millis,
    /// Records what was written.
    pub out: &'a mut Changes,
}
