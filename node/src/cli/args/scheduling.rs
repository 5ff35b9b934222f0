//! The shape of the commands about what runs where.

use clap::{Args, Subcommand, ValueEnum};

use super::{Named, Target};

/// How replicas keep away from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AntiAffinity {
    /// As evenly as may be.
    Preferred,
    /// Never two on one node.
    Required,
}

impl AntiAffinity {
    /// As the interface spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            AntiAffinity::Preferred => "preferred",
            AntiAffinity::Required => "required",
        }
    }
}

/// Where a deployment may run, and what it may displace.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct PolicyArgs {
    /// The higher goes first, and takes the room of the lower where there is no other: -1000 to 1000 (default: 0)
    #[arg(long, allow_hyphen_values = true)]
    pub(crate) priority: Option<i32>,
    /// Whether two replicas may be on one node (default: preferred)
    #[arg(long, value_name = "HOW")]
    pub(crate) anti_affinity: Option<AntiAffinity>,
    /// Node it may be on, by name or id; may be given several times (default: all)
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Vec<String>,
    /// Zone it may be in; may be given several times (default: all)
    #[arg(long)]
    pub(crate) zone: Vec<String>,
}

/// `llmhub deployments policy`.
#[derive(Debug, Args)]
pub(crate) struct PolicyChange {
    #[command(flatten)]
    pub(crate) named: Named,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
    /// Let it be on every node again
    #[arg(long, conflicts_with = "node")]
    pub(crate) any_node: bool,
    /// Let it be in every zone again
    #[arg(long, conflicts_with = "zone")]
    pub(crate) any_zone: bool,
}

/// `llmhub node drain`.
#[derive(Debug, Args)]
pub(crate) struct DrainArgs {
    #[command(flatten)]
    pub(crate) named: Named,
    /// Wait until it runs nothing
    #[arg(long)]
    pub(crate) wait: bool,
    /// How long to wait, in seconds
    #[arg(long, default_value_t = 3600, value_name = "SECONDS", requires = "wait")]
    pub(crate) timeout: u64,
}

/// `llmhub rebalance`.
#[derive(Debug, Args)]
pub(crate) struct RebalanceArgs {
    /// Only show what would move
    #[arg(long)]
    pub(crate) dry_run: bool,
    /// End the one that runs
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) stop: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `llmhub events`.
#[derive(Debug, Args)]
pub(crate) struct EventsArgs {
    /// Only of this deployment, by name or id
    #[arg(long, value_name = "NAME")]
    pub(crate) deployment: Option<String>,
    /// Only of this node, by name or id
    #[arg(long, value_name = "NAME")]
    pub(crate) node: Option<String>,
    /// How many of the newest
    #[arg(long, default_value_t = 50, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) limit: u32,
    /// Go on with what happens, until interrupted
    #[arg(long, short)]
    pub(crate) follow: bool,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `llmhub moves`.
#[derive(Debug, Args)]
pub(crate) struct MovesArgs {
    /// Set how many replicas are under way at once for drains, policies, rebalances and others' priorities
    #[arg(long, value_name = "N")]
    pub(crate) planned_max: Option<u32>,
    /// Set how many replicas without a node are given one in one round
    #[arg(long, value_name = "N")]
    pub(crate) urgent_max: Option<u32>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `llmhub quota`.
#[derive(Debug, Subcommand)]
pub(crate) enum QuotaCommand {
    /// Set what a tenant's deployments may ask for together; what is not given has no limit
    Set {
        /// The tenant
        tenant: String,
        /// Replicas
        #[arg(long, value_name = "N")]
        replicas: Option<u64>,
        /// GPUs
        #[arg(long, value_name = "N")]
        gpus: Option<u64>,
        /// Main memory, in MiB
        #[arg(long, value_name = "N")]
        memory_mib: Option<u64>,
        #[command(flatten)]
        target: Target,
    },
    /// List tenants, their quotas and what they use
    List(Target),
    /// Take a tenant's quota away
    Remove {
        /// The tenant
        tenant: String,
        #[command(flatten)]
        target: Target,
    },
}
