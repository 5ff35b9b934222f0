//! The program `llmhub`: arguments, configuration, the command line's commands, and the ports of the operating system that
//! `runtime` is started with. No business rules: those are the crates' below.

mod backup;
mod cli;
mod config;
mod data_dir;
mod dev;
mod logs;
mod os;
mod run;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};
use cli::args::{AdminCommand, Cli, Command, ConfigCommand};
use cli::failure::Failure;
use cli::{
    admin, chat, deploy, deployments, events, recover, registries, restore, rotations, routing, scheduling,
    show,
};

/// Serves RocksDB too. Beside the C library's it saves a tenth to a quarter of a durable write's processor time, and holds no more
/// memory at rest as long as it is kept off huge pages.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    match Cli::parse().settle().and_then(run_command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("error: {failure}");
            failure.into()
        }
    }
}

fn run_command(command: Command) -> Result<(), Failure> {
    match command {
        Command::Node(node) if node.action.is_none() => run::run(node.run),
        Command::Config(ConfigCommand::Check { file, json }) => admin::check(&file, json),
        Command::Completion { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut Cli::command(), "llmhub", &mut script);
            cli::print(&String::from_utf8_lossy(&script))
        }
        // On the main thread throughout: the nodes that `dev` starts are killed when the thread that did ends.
        command => tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?
            .block_on(Box::pin(ask(command))),
    }
}

/// The commands that wait for something.
async fn ask(command: Command) -> Result<(), Failure> {
    match command {
        Command::Dev(args) => dev::run(args).await,
        Command::Node(node) => match node.action {
            Some(action) => show::node(action).await,
            None => Ok(()),
        },
        Command::Admin(AdminCommand::ResetKey { data, json }) => admin::reset_key(&data, json).await,
        Command::Backup(command) => cli::backup::run(command).await,
        Command::Restore(args) => restore::run(*args).await,
        Command::Recover(args) => recover::run(args).await,
        Command::Deploy(args) => deploy::run(*args).await,
        Command::Deployments { action, target } => deployments::run(action, &target).await,
        Command::Provider(command) => registries::provider(command).await,
        Command::Adapter(command) => routing::adapter(command).await,
        Command::Route(command) => routing::route(command).await,
        Command::Key(command) => registries::key(command).await,
        Command::Token(command) => registries::token(command).await,
        Command::Status(target) => show::status(&target).await,
        Command::Nodes(target) => show::nodes(&target).await,
        Command::Explain(named) => scheduling::explain(&named).await,
        Command::Events(args) => events::run(&args).await,
        Command::Rebalance(args) => scheduling::rebalance(&args).await,
        Command::Moves(args) => scheduling::moves(&args).await,
        Command::Quota(command) => scheduling::quota(command).await,
        Command::Price(command) => registries::price(command).await,
        Command::Export { view, target } => show::export(&view, &target).await,
        Command::Secrets(command) => rotations::secrets(command).await,
        Command::Gossip(command) => rotations::gossip(command).await,
        Command::Ca(command) => rotations::authority(command).await,
        Command::Rotations(target) => rotations::list(&target).await,
        Command::Chat(args) => chat::run(args).await,
        Command::MockEngine(args) => admin::mock_engine(args).await,
        Command::Config(_) | Command::Completion { .. } => Ok(()),
    }
}
