//! Whether a majority answers this node: by the lease that it renews, and by what it asks of the leader meanwhile.

use actors::membership;
use consensus::Consensus;
use domain::decide::mode::Contact;

pub(crate) struct Heard {
    pub(crate) membership: membership::Handle,
    pub(crate) consensus: Consensus,
}

impl gateway::Contacts for Heard {
    fn contact(&self) -> Contact {
        let lease = self.membership.contact();
        match self.consensus.heard_ms() {
            Some(age_ms) => Contact { age_ms: lease.age_ms.min(age_ms), ever: true },
            None => lease,
        }
    }
}
