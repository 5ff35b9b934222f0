//! The shape of the commands about routes and declared dialects.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Target;

/// `llmhub route`.
#[derive(Debug, Subcommand)]
pub(crate) enum RouteCommand {
    /// List routes
    List(Target),
    /// Show a route
    Show {
        /// The name clients ask for
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Set all of a route, or replace the one of that name
    Set(Box<RouteSet>),
    /// Remove a route: calls for the name go to all that offer it
    Remove {
        /// The name clients ask for
        name: String,
        #[command(flatten)]
        target: Target,
    },
    /// Tell who would be asked for a call, in which order and why
    Explain(Box<RouteExplain>),
}

/// `llmhub route set`.
#[derive(Debug, Args)]
pub(crate) struct RouteSet {
    /// The name clients ask for
    pub(crate) name: String,
    /// Models of one step, MODEL or MODEL=WEIGHT with commas between; may be given several times: each step is tried after those before it
    #[arg(long, value_name = "MODELS")]
    pub(crate) step: Vec<String>,
    /// How each of these steps chooses (default: weighted)
    #[arg(long, value_name = "HOW", requires = "step")]
    pub(crate) policy: Option<StepPolicy>,
    /// What is answered, marked as such, when nothing else answers
    #[arg(long, value_name = "TEXT")]
    pub(crate) fallback_answer: Option<String>,
    /// All else, as JSON like `llmhub route show --json` prints; - is standard input. Steps and the answer given here come in place of its own
    #[arg(long, value_name = "FILE")]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// How a step chooses whom it asks first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum StepPolicy {
    /// By chance, in proportion to the weights.
    Weighted,
    /// The better of two drawn, by latency and calls under way.
    LeastLatency,
    /// What the call is expected to cost least at.
    Cheapest,
    /// In proportion to the weights, and always the same for one user.
    StickyByUser,
    /// The replica that has answered what begins alike.
    PrefixAware,
}

impl StepPolicy {
    /// As the interface spells it.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            StepPolicy::Weighted => "weighted",
            StepPolicy::LeastLatency => "least_latency",
            StepPolicy::Cheapest => "cheapest",
            StepPolicy::StickyByUser => "sticky_by_user",
            StepPolicy::PrefixAware => "prefix_aware",
        }
    }
}

/// `llmhub route explain`.
#[derive(Debug, Args)]
pub(crate) struct RouteExplain {
    /// The name that the call asks for
    pub(crate) name: String,
    /// Whom the caller acts for
    #[arg(long)]
    pub(crate) user: Option<String>,
    /// The id of the API key that it comes with
    #[arg(long, value_name = "ID")]
    pub(crate) of_key: Option<String>,
    /// A label of that key; may be given several times
    #[arg(long)]
    pub(crate) label: Vec<String>,
    /// There are pictures in it
    #[arg(long)]
    pub(crate) vision: bool,
    /// It brings tools
    #[arg(long)]
    pub(crate) tools: bool,
    /// Its answer has to fit a schema
    #[arg(long)]
    pub(crate) json_schema: bool,
    /// Tokens read and written that have to fit in
    #[arg(long, value_name = "N")]
    pub(crate) tokens: Option<u64>,
    #[command(flatten)]
    pub(crate) target: Target,
}

/// `llmhub adapter`.
#[derive(Debug, Subcommand)]
pub(crate) enum AdapterCommand {
    /// List declared dialects, those that come with the program among them
    List(Target),
    /// Print a declaration, as JSON
    Show {
        /// Its name
        name: String,
        /// One of its versions (default: the one that is spoken)
        #[arg(long, value_name = "N")]
        version: Option<u32>,
        #[command(flatten)]
        target: Target,
    },
    /// Put a declaration, or a new version of it; it is spoken at once
    Put {
        /// The declaration, as JSON; - is standard input
        #[arg(long, value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        target: Target,
    },
    /// Speak a version again that was put before
    Rollback {
        /// Its name
        name: String,
        /// Which version, as `llmhub adapter list` shows them
        #[arg(long, value_name = "N")]
        version: u32,
        #[command(flatten)]
        target: Target,
    },
    /// Remove a declaration, with all its versions
    Remove {
        /// Its name
        name: String,
        #[command(flatten)]
        target: Target,
    },
}
