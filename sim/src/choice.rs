//! Which scenario is run: a named one or the seed's own, at its own size or another. Part of the command line, and passed on
//! to the processes that run single seeds.

use crate::scenario::{NAMES, Scenario, named};
use crate::swarm;

/// A choice.
#[derive(Debug, Clone, PartialEq, Eq, clap::Args)]
pub struct Choice {
    /// A named scenario, or `swarm`: whatever the seed says
    #[arg(long, default_value = swarm::NAME)]
    pub scenario: String,
    /// So many nodes instead of the scenario's own number
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=100))]
    pub nodes: Option<u16>,
}

/// Why a choice cannot be run here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Nobody called a scenario that.
    #[error("there is no scenario `{0}`: use {swarm} or one of {names}", swarm = swarm::NAME, names = NAMES.join(", "))]
    Unknown(String),
    /// What it breaks is not simulated.
    #[error("`{0}` needs real processes: use `chaos run --scenario {0}`")]
    NeedsProcesses(String),
}

impl Choice {
    /// What happens under a seed.
    ///
    /// # Errors
    /// When there is no scenario of that name, or only real processes can run it.
    pub fn scenario(&self, seed: u64) -> Result<Scenario, Unfit> {
        let nodes = self.nodes.map(usize::from);
        let scenario = match self.scenario.as_str() {
            swarm::NAME => swarm::sized(seed, nodes),
            name => {
                let named = named(name).ok_or_else(|| Unfit::Unknown(name.to_owned()))?;
                Scenario { nodes: nodes.unwrap_or(named.nodes), ..named }
            }
        };
        if scenario.needs_processes() {
            return Err(Unfit::NeedsProcesses(scenario.name));
        }
        Ok(scenario)
    }

    /// The arguments that choose the same.
    pub fn arguments(&self) -> Vec<String> {
        let mut arguments = vec!["--scenario".to_owned(), self.scenario.clone()];
        if let Some(nodes) = self.nodes {
            arguments.extend(["--nodes".to_owned(), nodes.to_string()]);
        }
        arguments
    }
}
