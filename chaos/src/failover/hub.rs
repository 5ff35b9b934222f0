//! LLMHub as a store: three nodes, each in a zone of its own, written through `PUT /api/config/{key}`.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use sim::history::History;
use sim::scenario::Scenario;
use sim::workload::{Ask, Clients, operator};

use super::{MEMBERS, Store, Write, agreed};
use crate::cluster::{Age, Cluster};
use crate::lab::Lab;
use crate::outside::RealOutside;
use crate::place::{self, Spread};

pub(super) struct Hub {
    cluster: Cluster,
    clients: Clients,
}

impl Hub {
    /// A fresh cluster below a folder, ready.
    ///
    /// # Errors
    /// When it does not get there.
    pub(super) async fn start(llmhub: &Path, folder: &Path) -> anyhow::Result<Self> {
        let scenario = Scenario::nodes(MEMBERS);
        let places = place::places(&scenario, folder, Spread::Ports(std::process::id()))?;
        let outside = RealOutside::new(places.iter().map(|place| place.http).collect(), 1);
        let mut cluster =
            Cluster::new(&llmhub.to_owned().into(), Age::New, Lab::new(&scenario, folder, None, 1)?, places);
        let clients = cluster.assemble(Arc::new(outside), Arc::new(History::default())).await?;
        Ok(Self { cluster, clients })
    }

    fn now(&self) -> Duration {
        self.clients.outside.now()
    }
}

#[async_trait]
impl Store for Hub {
    fn name(&self) -> &'static str {
        "llmhub"
    }

    fn clients(&self) -> &Clients {
        &self.clients
    }

    fn write(&self) -> Write {
        |key, value| {
            let ask = Ask::put(&format!("/api/config/failover/{key}"), json!(format!("value-{value:018}")));
            ask.once(&format!("write {value}"))
        }
    }

    async fn is_well(&mut self) -> anyhow::Result<bool> {
        self.cluster.keep_up(&self.clients).await?;
        Ok(self.cluster.pending(&self.clients).await.is_empty())
    }

    async fn leader(&self) -> Option<usize> {
        let mut leaders = Vec::new();
        for member in 0..MEMBERS {
            leaders.push(operator::leader(&self.clients, member).await);
        }
        self.cluster.named(&agreed(leaders)?)
    }

    async fn kill(&mut self, member: usize) {
        self.cluster.kill(member, self.now()).await;
    }

    fn restart(&mut self, member: usize) -> anyhow::Result<()> {
        self.cluster.start(member)
    }

    fn complaint(&self) -> Option<String> {
        let surprises = &self.cluster.surprises;
        (!surprises.is_empty()).then(|| format!("llmhub: {}", surprises.join("; ")))
    }
}
