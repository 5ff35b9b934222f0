//! The command line's commands: each asks a node over its HTTP interface, like any other client, and prints the answer.

pub(crate) mod admin;
pub(crate) mod api;
pub(crate) mod args;
pub(crate) mod backup;
pub(crate) mod chat;
pub(crate) mod deploy;
pub(crate) mod deployments;
mod drain;
pub(crate) mod events;
pub(crate) mod failure;
pub(crate) mod output;
pub(crate) mod recover;
pub(crate) mod registries;
pub(crate) mod restore;
pub(crate) mod rotations;
pub(crate) mod routing;
pub(crate) mod scheduling;
pub(crate) mod secret;
pub(crate) mod show;
pub(crate) mod target;
mod unreachable;

use std::io::Write;

use serde_json::Value;

use failure::Failure;
use output::Column;

/// Writes to standard output; a reader that went away (`| head`) is no failure.
///
/// # Errors
/// When it cannot be written for another reason.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(()),
    }
}

/// Prints an answer as JSON.
///
/// # Errors
/// When it cannot be written.
pub(crate) fn print_json(answer: &Value) -> Result<(), Failure> {
    print(&format!("{answer:#}\n"))
}

/// Prints a listing: as JSON, or as a table.
fn print_rows(answer: &Value, json: bool, field: &str, columns: &[Column]) -> Result<(), Failure> {
    if json {
        return print_json(answer);
    }
    print(&output::table(output::rows(answer, field), columns))
}

/// Prints one thing: as JSON, or in a line.
fn print_one(answer: &Value, json: bool, line: &str) -> Result<(), Failure> {
    if json { print_json(answer) } else { print(&format!("{line}\n")) }
}
