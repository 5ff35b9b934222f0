//! The project's chores as a program, run as `cargo xtask …`: checks a compiler cannot make, the proof that the
//! simulator finds bugs, and pages that keep figures. Used by the Makefile and by CI; it imports none of the project's crates, so that it still
//! runs when they do not compile.

mod bugs;
mod section;
mod tidy;
mod tree;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "cargo xtask", about = "The project's chores")]
struct Arguments {
    #[command(subcommand)]
    chore: Chore,
}

#[derive(Subcommand)]
enum Chore {
    /// Check the rules of the tree that a compiler cannot see
    Tidy,
    /// Apply each planted bug to a scratch copy and require that the simulator finds it
    Bugs {
        /// Only the bugs whose file name contains this
        #[arg(long)]
        only: Option<String>,
        /// Seeds run at the same time
        #[arg(long, default_value_t = 2)]
        jobs: usize,
    },
    /// Put what comes from standard input into a section of a page of the documentation
    Section {
        /// The page
        page: PathBuf,
        /// The section: what is between the marks `<!-- NAME -->` and `<!-- /NAME -->`
        name: String,
    },
}

fn main() -> ExitCode {
    let done = match Arguments::parse().chore {
        Chore::Tidy => tidy::run(),
        Chore::Bugs { only, jobs } => bugs::run(only.as_deref(), jobs),
        Chore::Section { page, name } => section::run(&page, &name),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
