//! A deployment's policy: whose it is, where its replicas may be, and what they may displace. Chosen by the user; the
//! scheduler keeps to it.

use serde::{Deserialize, Serialize};

/// The tenant of what names none.
pub const TENANT_DEFAULT: &str = "default";

/// How replicas of a deployment keep away from each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AntiAffinity {
    /// Over zones and nodes as evenly as may be; two on one node before one has none.
    #[default]
    Preferred,
    /// Never two on one node.
    Required,
}

/// Whose a deployment is, where it may run, and what it may displace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Policy {
    /// The tenant whose quota it counts against.
    pub tenant: String,
    /// The higher goes first, and takes the room of the lower where there is no other.
    pub priority: i32,
    /// How its replicas keep away from each other.
    pub anti_affinity: AntiAffinity,
    /// Names or ids of the only nodes it may be on; none is all.
    pub nodes: Vec<String>,
    /// The only zones it may be in; none is all.
    pub zones: Vec<String>,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            tenant: TENANT_DEFAULT.to_owned(),
            priority: 0,
            anti_affinity: AntiAffinity::Preferred,
            nodes: Vec::new(),
            zones: Vec::new(),
        }
    }
}

impl Policy {
    /// Whether it says nothing.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Whether a node of this id, name and zone is among those it may be on.
    pub fn admits(&self, id: crate::NodeId, name: &str, zone: &str) -> bool {
        let among =
            |pins: &[String], is: &dyn Fn(&str) -> bool| pins.is_empty() || pins.iter().any(|pin| is(pin));
        among(&self.nodes, &|pin| pin == name || pin.parse() == Ok(id))
            && among(&self.zones, &|pin| pin == zone)
    }
}
