//! The command line's shape, and nothing but that: what each command does is in the modules named after them.

mod backup;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

use super::target::Target;
pub(crate) use backup::{BackupCommand, BackupKey, RecoverArgs, RestoreArgs};

mod registries;
mod rotations;
mod routing;
mod scheduling;

pub(crate) use registries::{KeyCommand, PriceCommand, ProviderAdd, ProviderCommand, TokenCommand};
pub(crate) use rotations::{AuthorityCommand, KeyRotation, RewrapArgs, RotateArgs, SecretsCommand};
pub(crate) use routing::{AdapterCommand, RouteCommand, RouteExplain, RouteSet};
pub(crate) use scheduling::{
    DrainArgs, EventsArgs, MovesArgs, PolicyArgs, PolicyChange, QuotaCommand, RebalanceArgs,
};

const EXIT_CODES: &str = "Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 the node cannot be reached, \
                          4 the node refused the request, 5 the cluster cannot do it just now";
/// How a secret may be given.
pub(super) const SECRET: &str = "as it is, @FILE, or - for standard input";

/// One gateway for large language models, on a cluster of identical nodes.
#[derive(Debug, Parser)]
#[command(name = "llmhub", version, after_help = EXIT_CODES, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(
        flatten,
        next_help_heading = "Options of commands that ask a node, before the command or after it"
    )]
    pub(crate) before: Target,
    /// What to do.
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a cluster on this machine, for development
    Dev(DevArgs),
    /// Run a node; or keep work off one, empty it, have it leave
    Node(Box<NodeCommand>),
    /// Check a configuration file
    #[command(subcommand)]
    Config(ConfigCommand),
    /// Repair a stopped node
    #[command(subcommand)]
    Admin(AdminCommand),
    /// Keep what the cluster needs to be made again, outside it
    #[command(subcommand)]
    Backup(BackupCommand),
    /// Restore a backup into a new cluster
    Restore(Box<RestoreArgs>),
    /// Go on with one stopped node's data when the majority is lost for good
    Recover(RecoverArgs),
    /// Deploy a model
    Deploy(Box<DeployArgs>),
    /// List deployments, or change one
    #[command(args_conflicts_with_subcommands = true)]
    Deployments {
        /// What to do with one.
        #[command(subcommand)]
        action: Option<DeploymentCommand>,
        #[command(flatten)]
        target: Target,
    },
    /// Providers of models outside the cluster
    #[command(subcommand)]
    Provider(ProviderCommand),
    /// Dialects of providers that are declared to the cluster
    #[command(subcommand)]
    Adapter(AdapterCommand),
    /// Who answers calls for a model, in which order and on what conditions
    #[command(subcommand)]
    Route(RouteCommand),
    /// API keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Tokens with which new nodes join
    #[command(subcommand)]
    Token(TokenCommand),
    /// The cluster at a glance
    Status(Target),
    /// List the cluster's nodes
    Nodes(Target),
    /// Tell why a deployment's replicas are where they are, or nowhere
    Explain(Named),
    /// List what happened in the cluster
    Events(EventsArgs),
    /// Spread replicas better over zones and nodes
    Rebalance(RebalanceArgs),
    /// Show or set how many replicas may move at once
    Moves(MovesArgs),
    /// What tenants may ask for
    #[command(subcommand)]
    Quota(QuotaCommand),
    /// What models cost, for limits in money
    #[command(subcommand)]
    Price(PriceCommand),
    /// Write what the cluster's decisions look at to a file, without any secret
    Export {
        /// The file, or - for standard output
        #[arg(long, value_name = "FILE")]
        view: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// The key that secrets are sealed under, and what a node's own key is wrapped by
    #[command(subcommand)]
    Secrets(SecretsCommand),
    /// The key of the nodes' gossip
    #[command(subcommand)]
    Gossip(KeyRotation),
    /// The authority that signs the nodes' certificates
    #[command(subcommand)]
    Ca(AuthorityCommand),
    /// List the cluster's keys, and how far the replacement of each is
    Rotations(Target),
    /// Chat with a model
    Chat(ChatArgs),
    /// Print a completion script for a shell
    Completion {
        /// Which shell.
        shell: Shell,
    },
    /// The engine that needs no model, for development and tests
    #[command(hide = true)]
    MockEngine(MockEngineArgs),
}

/// `llmhub dev`.
#[derive(Debug, Clone, Args)]
pub(crate) struct DevArgs {
    /// How many nodes
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u16).range(1..=9))]
    pub(crate) nodes: u16,
    /// Where their data goes
    #[arg(long, default_value = ".data/dev", value_name = "DIR")]
    pub(crate) data: PathBuf,
    /// The first node's port for clients; each further node's is 10 higher
    #[arg(long, default_value_t = 6602, value_parser = clap::value_parser!(u16).range(1..=65_400))]
    pub(crate) http_port: u16,
    /// The first node's port for other nodes; each further node's is 10 higher
    #[arg(long, default_value_t = 7602, value_parser = clap::value_parser!(u16).range(1..=65_400))]
    pub(crate) cluster_port: u16,
}

/// `llmhub node`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct NodeCommand {
    /// Instead of running one.
    #[command(subcommand)]
    pub(crate) action: Option<NodeAction>,
    #[command(flatten)]
    pub(crate) run: NodeArgs,
}

/// What can be done to a node of a running cluster.
#[derive(Debug, Subcommand)]
pub(crate) enum NodeAction {
    /// Have a node hand over its work and leave for good
    Leave {
        /// Its id or name; the node that is asked, by default
        id: Option<String>,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a node that is gone for good
    Remove {
        /// Its id or name
        id: String,
        #[command(flatten)]
        target: Target,
    },
    /// Keep new work off a node
    Cordon(Named),
    /// Keep new work off a node, and move what it has elsewhere
    Drain(DrainArgs),
    /// Let a node have work again
    Uncordon(Named),
    /// Have a node get a new certificate now
    Renew(Named),
}

/// How a node runs; what is missing comes from the configuration file. The default leaves all of it to that file; unlike a
/// command line without arguments, it reads no environment and names no log filter.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct NodeArgs {
    /// Configuration file
    #[arg(long, value_name = "FILE")]
    pub(crate) config: Option<PathBuf>,
    /// Its name, unique in the cluster (default: this machine's)
    #[arg(long)]
    pub(crate) name: Option<String>,
    /// Its zone (default: `default`)
    #[arg(long)]
    pub(crate) zone: Option<String>,
    /// Its data directory (default: ./llmhub-data)
    #[arg(long, value_name = "DIR")]
    pub(crate) data: Option<PathBuf>,
    /// Where to listen for clients (default: 127.0.0.1:6602)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) http: Option<String>,
    /// Where to listen for other nodes (default: 127.0.0.1:7602)
    #[arg(long, value_name = "ADDRESS:PORT")]
    pub(crate) cluster: Option<String>,
    /// Where other nodes reach it, if not there
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) advertise: Option<String>,
    /// Where clients reach it, if not where it listens
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) http_advertise: Option<String>,
    /// Cluster port of a node to join by; may be given several times
    #[arg(long, value_name = "HOST:PORT", num_args = 1..)]
    pub(crate) join: Vec<String>,
    /// Token to join with
    #[arg(long, env = "LLMHUB_TOKEN", hide_env_values = true, long_help = format!("Token to join with: {SECRET}"))]
    pub(crate) token: Option<String>,
    /// Certificate chain for clients (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_cert: Option<PathBuf>,
    /// Key of that certificate (PEM)
    #[arg(long, value_name = "FILE")]
    pub(crate) tls_key: Option<PathBuf>,
    /// What its own key is wrapped by on disk: file:/PATH, env:NAME or command:/PATH [ARGUMENTS] (default: nothing)
    #[arg(long, env = "LLMHUB_KEY_WRAP", value_name = "BY")]
    pub(crate) key_wrap: Option<String>,
    /// What its own key was wrapped by before, to change that at this start
    #[arg(long, env = "LLMHUB_KEY_WRAP_OLD", value_name = "BY")]
    pub(crate) key_wrap_old: Option<String>,
    /// Let clients beyond this machine come without TLS
    #[arg(long)]
    pub(crate) allow_plain_http: bool,
    /// Folder below which model files may lie; may be given several times (default: DIR/models)
    #[arg(long, value_name = "DIR")]
    pub(crate) model_root: Vec<PathBuf>,
    /// Offer the built-in mock provider in a new cluster
    #[arg(long)]
    pub(crate) mock_provider: bool,
    #[command(flatten)]
    pub(crate) logs: LogArgs,
}

/// What a node writes to standard error.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct LogArgs {
    /// What to log, such as `debug` or `info,wire=trace`
    #[arg(long, env = "LLMHUB_LOG", default_value = crate::logs::USUAL, value_name = "FILTER")]
    pub(crate) log: String,
    /// How to log
    #[arg(long, default_value = "text", value_name = "FORMAT")]
    pub(crate) log_format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    /// For people.
    #[default]
    Text,
    /// For collectors, one object a line.
    Json,
}

/// `llmhub config`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigCommand {
    /// Say what is wrong with a configuration file
    Check {
        /// Which.
        file: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `llmhub admin`.
#[derive(Debug, Subcommand)]
pub(crate) enum AdminCommand {
    /// Make a new admin key with a stopped node's data; it is good once that node has started again
    ResetKey {
        /// The node's data directory
        #[arg(long, value_name = "DIR")]
        data: PathBuf,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

/// `llmhub deploy`.
#[derive(Debug, Args)]
pub(crate) struct DeployArgs {
    /// A model file (a path or file:// URL on the nodes that run it), or the id of a registered model
    #[arg(long, value_name = "PATH|ID")]
    pub(crate) model: String,
    /// The name clients ask for
    #[arg(long)]
    pub(crate) name: String,
    /// How many replicas
    #[arg(long, default_value_t = 1)]
    pub(crate) replicas: u32,
    /// GPUs of each replica
    #[arg(long, default_value_t = 0)]
    pub(crate) gpus: u32,
    /// CPUs of each replica
    #[arg(long, default_value_t = 0)]
    pub(crate) cpus: u32,
    /// Memory of each replica, in MiB: its node keeps so much for it, and starts its engine anew when that allocates more
    #[arg(long, default_value_t = 0)]
    pub(crate) memory_mib: u64,
    /// Engine that runs it, of those in the nodes' configuration (default: by the file's kind)
    #[arg(long)]
    pub(crate) engine: Option<String>,
    /// Environment variable of the engine; may be given several times
    #[arg(long, value_name = "K=V")]
    pub(crate) env: Vec<String>,
    /// Further argument of the engine; may be given several times
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    pub(crate) arg: Vec<String>,
    /// Whose quota it counts against (default: `default`)
    #[arg(long, value_name = "NAME")]
    pub(crate) tenant: Option<String>,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Wait until it answers
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, in seconds
    #[arg(long, default_value_t = 600, value_name = "SECONDS", requires = "wait")]
    pub(crate) timeout: u64,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// What can be done to a deployment.
#[derive(Debug, Subcommand)]
pub(crate) enum DeploymentCommand {
    /// Show one in full
    Show(Named),
    /// Stop its replicas and keep it
    Stop(Named),
    /// Start it again
    Start(Named),
    /// Start its engines anew
    Restart(Named),
    /// Change the number of its replicas
    Scale {
        #[command(flatten)]
        named: Named,
        /// How many
        #[arg(long)]
        replicas: u32,
    },
    /// Change where it may run, and what it may displace
    Policy(PolicyChange),
    /// Delete it
    Delete(Named),
    /// Show a replica's last log lines
    Logs {
        #[command(flatten)]
        named: Named,
        /// Which replica
        #[arg(long, default_value_t = 0)]
        replica: u32,
        /// How many lines
        #[arg(long, default_value_t = 100)]
        tail: u32,
    },
}

/// Something with an id or a name.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its name or id
    pub(crate) name: String,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `llmhub chat`.
#[derive(Debug, Args)]
pub(crate) struct ChatArgs {
    /// Which model
    #[arg(long, short)]
    pub(crate) model: String,
    /// What to say first
    #[arg(long)]
    pub(crate) system: Option<String>,
    /// What to say; without it, a conversation starts
    pub(crate) text: Option<String>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `llmhub mock-engine`.
#[derive(Debug, Args)]
pub(crate) struct MockEngineArgs {
    /// Port on loopback
    #[arg(long)]
    pub(crate) port: u16,
    /// Key that calls must carry
    #[arg(long, env = "LLMHUB_ENGINE_KEY", hide_env_values = true)]
    pub(crate) key: Option<String>,
}

/// The arguments of `llmhub node`, for tests of what is made of them.
#[cfg(test)]
pub(crate) fn node_args(args: &[&str]) -> NodeArgs {
    match Cli::try_parse_from([&["llmhub", "node"], args].concat()).unwrap().command {
        Command::Node(command) => command.run,
        other => panic!("{other:?}"),
    }
}

#[cfg(test)]
mod documented;
#[cfg(test)]
mod tests;
