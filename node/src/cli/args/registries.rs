//! The shape of the commands about providers, API keys and join tokens.

use clap::{Args, Subcommand};
use domain::Money;
use domain::limit::Limit;

use super::{Named, SECRET, Target};
use crate::cli::target::Access;

/// `llmhub provider`.
#[derive(Debug, Subcommand)]
pub(crate) enum ProviderCommand {
    /// Add a provider, or replace the one of that name
    Add(Box<ProviderAdd>),
    /// List providers
    List(Target),
    /// Remove a provider
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        target: Target,
    },
}

/// `llmhub provider add`.
#[derive(Debug, Args)]
pub(crate) struct ProviderAdd {
    /// Its name
    #[arg(long)]
    pub(crate) name: String,
    /// What it speaks: compatible (any server of OpenAI's dialect), openai, anthropic, gemini and others that docs/providers.md
    /// lists, or mock
    #[arg(long, default_value = "compatible")]
    pub(crate) kind: String,
    /// Its base URL; may be left out where the kind has one for everybody
    #[arg(long)]
    pub(crate) url: Option<String>,
    /// The key it asks for
    #[arg(long, env = "LLMHUB_PROVIDER_KEY", hide_env_values = true, long_help = format!("The key it asks for: {SECRET}"))]
    pub(crate) api_key: Option<String>,
    /// A model it offers, NAME or NAME=ITS-OWN-NAME; may be given several times
    #[arg(long, required = true, num_args = 1..)]
    pub(crate) model: Vec<String>,
    /// What else its kind needs to know, such as api_version=2024-10-21; may be given several times
    #[arg(long, value_name = "NAME=VALUE")]
    pub(crate) option: Vec<String>,
    /// Address of a node [env: LLMHUB_URL] [default: http://127.0.0.1:6602]
    #[arg(long, value_name = "URL")]
    pub(crate) node_url: Option<String>,
    #[command(flatten)]
    pub(crate) access: Access,
}

/// `llmhub key`.
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Make a key and print it, once
    Create {
        /// What it is for
        #[arg(long)]
        name: String,
        /// What it allows: inference, read, deploy or admin; may be given several times (default: inference)
        #[arg(long, value_parser = ["inference", "read", "deploy", "admin"])]
        scope: Vec<String>,
        /// What it may use over the whole cluster, such as 100req/1m, 50000tok/1h or 2.5money/1d; may be given several times
        #[arg(long, value_name = "LIMIT")]
        limit: Vec<Limit>,
        #[command(flatten)]
        target: Target,
    },
    /// List keys
    List(Target),
    /// Show a key, its limits and what is used of them
    Show(Named),
    /// Set all limits of a key, or take them away
    Limit {
        /// Its name or id
        name: String,
        /// What it may use over the whole cluster, such as 100req/1m, 50000tok/1h or 2.5money/1d: `req`, `tok` or `money`, and a window in s, m, h or d
        #[arg(value_name = "LIMIT", required_unless_present = "none")]
        limit: Vec<Limit>,
        /// Take all its limits away
        #[arg(long, conflicts_with = "limit")]
        none: bool,
        #[command(flatten)]
        target: Target,
    },
    /// Revoke a key
    Revoke(Named),
}

/// `llmhub price`.
#[derive(Debug, Subcommand)]
pub(crate) enum PriceCommand {
    /// Set what a million tokens of a model cost: it holds for calls from then on
    Set {
        /// The model, by the name clients ask for
        model: String,
        /// Price of a million tokens read, such as 0.15
        #[arg(long, value_name = "MONEY")]
        input: Money,
        /// Price of a million tokens written
        #[arg(long, value_name = "MONEY")]
        output: Money,
        #[command(flatten)]
        target: Target,
    },
    /// List prices
    List(Target),
    /// Take a model's price away: keys with a limit in money cannot call it any more
    Remove {
        /// The model
        model: String,
        #[command(flatten)]
        target: Target,
    },
}

/// `llmhub token`.
#[derive(Debug, Subcommand)]
pub(crate) enum TokenCommand {
    /// Make a token and print it, once
    Create {
        /// How long it is good, in seconds
        #[arg(long, default_value_t = 3600, value_name = "SECONDS")]
        ttl: u64,
        /// How many nodes it lets in
        #[arg(long, default_value_t = 1)]
        uses: u32,
        #[command(flatten)]
        target: Target,
    },
    /// List tokens
    List(Target),
    /// Revoke a token
    Revoke {
        /// Its id, as `llmhub token list` shows it
        id: String,
        #[command(flatten)]
        target: Target,
    },
}
