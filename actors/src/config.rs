//! What the actors are told at start: who this node is, what its configuration allows, and the ports. Passed by value;
//! nothing here is global and nothing changes while the node runs.

use std::collections::BTreeMap;
use std::sync::Arc;

use domain::{Incarnation, Millis, NodeId};
use serde::{Deserialize, Serialize};

use crate::engine::{self, Engine};
use crate::ports::{
    Clock, Custodian, Electorate, Entropy, Gpus, Http, PeerLink, Processes, Proposer, Vault, ViewCell,
};

/// Calls under way to one target at most, unless the configuration says otherwise.
const IN_FLIGHT_MAX: usize = 1024;
/// How long a replica that is to stop may finish its calls, unless the configuration says otherwise.
const DRAIN_MS: Millis = 10_000;

/// Everything an actor may reach outside itself.
#[derive(Clone)]
pub struct Ports {
    /// The node's present view.
    pub view: ViewCell,
    /// Changes metadata.
    pub proposer: Arc<dyn Proposer>,
    /// Asks other nodes' actors.
    pub peers: Arc<dyn PeerLink>,
    /// Raft's membership.
    pub electorate: Arc<dyn Electorate>,
    /// Wraps the data key for new voters.
    pub custodian: Arc<dyn Custodian>,
    /// Opens providers' keys.
    pub vault: Arc<dyn Vault>,
    /// Calls engines and providers.
    pub http: Arc<dyn Http>,
    /// Starts engines.
    pub processes: Arc<dyn Processes>,
    /// Reads GPUs.
    pub gpus: Arc<dyn Gpus>,
    /// The time of day.
    pub clock: Arc<dyn Clock>,
    /// Random numbers.
    pub entropy: Arc<dyn Entropy>,
}

/// What the actors of a node are told at start.
#[derive(Debug, Clone)]
pub struct Config {
    /// This node.
    pub me: NodeId,
    /// This start of it; what `Register` said.
    pub incarnation: Incarnation,
    /// The part that comes from the configuration file.
    pub settings: Settings,
}

/// The actors' part of the configuration file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// Engines by name, beside the built-in ones; an engine of a built-in's name replaces it.
    pub engines: BTreeMap<String, Engine>,
    /// Environment variables a deployment may set.
    pub env_allow: Vec<String>,
    /// How long a replica that is to stop may finish its calls, in milliseconds.
    pub drain_ms: Millis,
    /// Calls under way to one replica or provider at most, on this node.
    pub in_flight_max: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            engines: BTreeMap::new(),
            env_allow: Vec::new(),
            drain_ms: DRAIN_MS,
            in_flight_max: IN_FLIGHT_MAX,
        }
    }
}

impl Settings {
    /// The engine of that name, the configuration's before the built-in.
    pub fn engine(&self, name: &str) -> Option<Engine> {
        self.engines.get(name).cloned().or_else(|| engine::builtin(name))
    }

    /// Names of the engines this node offers: what its row in the nodes table tells.
    pub fn engine_names(&self) -> Vec<String> {
        let mut names: Vec<String> = engine::BUILTIN.iter().map(|name| (*name).to_owned()).collect();
        names.extend(self.engines.keys().filter(|name| !engine::BUILTIN.contains(&name.as_str())).cloned());
        names.sort();
        names
    }

    /// What is wrong, as a field and what to do about it.
    ///
    /// # Errors
    /// One sentence that names the field to correct.
    pub fn validate(&self) -> Result<(), String> {
        for (name, engine) in &self.engines {
            domain::ids::check_name(name).map_err(|hint| format!("engines.{name}: {hint}"))?;
            engine.validate().map_err(|hint| format!("engines.{name}.{hint}"))?;
        }
        if let Some(name) = self.env_allow.iter().find(|n| n.is_empty() || n.contains(['=', '\0'])) {
            return Err(format!("env_allow: `{name}` is not a variable's name"));
        }
        if self.in_flight_max == 0 {
            return Err("in_flight_max: allow at least 1 call".to_owned());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_engines_are_offered_and_can_be_replaced() {
        let mut settings = Settings::default();
        assert_eq!(settings.engine_names(), ["llama", "mock"]);
        let own = Engine { program: "/opt/llama".to_owned(), ..engine::builtin("llama").unwrap() };
        settings.engines.insert("llama".to_owned(), own.clone());
        assert_eq!(settings.engine("llama"), Some(own));
        assert_eq!(settings.engine_names(), ["llama", "mock"]);
        assert_eq!(settings.engine("vllm"), None);
        assert_eq!(settings.validate(), Ok(()));
    }

    #[test]
    fn a_mistake_is_told_with_its_field() {
        let bad = Settings { env_allow: vec!["A=B".to_owned()], ..Settings::default() };
        assert!(bad.validate().unwrap_err().starts_with("env_allow: "));
        let unknown = serde_json::from_str::<Settings>(r#"{"env_alow": []}"#);
        assert!(unknown.unwrap_err().to_string().contains("env_alow"));
    }
}
