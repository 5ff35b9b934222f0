//! Where a node's actors are found: one object per node, read without locks. The reconciler writes it; the gateway, the
//! relay and the API read it. It hands out handles, never actors.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use domain::{DeploymentId, Epoch, ProviderName};

use crate::{deployment, gpu, membership, provider, reconciler, scheduler};

/// The actors of a node.
pub struct Directory {
    providers: ArcSwap<BTreeMap<ProviderName, provider::Handle>>,
    replicas: ArcSwap<BTreeMap<(DeploymentId, u32), deployment::Handle>>,
    gpu: gpu::Handle,
    membership: membership::Handle,
    scheduler: scheduler::Handle,
    reconciler: reconciler::Handle,
}

impl Directory {
    pub(crate) fn new(
        gpu: gpu::Handle,
        membership: membership::Handle,
        scheduler: scheduler::Handle,
        reconciler: reconciler::Handle,
    ) -> Self {
        let (providers, replicas) = (ArcSwap::default(), ArcSwap::default());
        Self { providers, replicas, gpu, membership, scheduler, reconciler }
    }

    /// The provider of that name.
    pub fn provider(&self, name: &ProviderName) -> Option<provider::Handle> {
        self.providers.load().get(name).cloned()
    }
    /// All providers.
    pub fn providers(&self) -> Arc<BTreeMap<ProviderName, provider::Handle>> {
        self.providers.load_full()
    }
    /// The replica of that number, if it runs on this node.
    pub fn replica(&self, id: DeploymentId, ordinal: u32) -> Option<deployment::Handle> {
        self.replicas.load().get(&(id, ordinal)).cloned()
    }
    /// All replicas that run on this node.
    pub fn replicas(&self) -> Arc<BTreeMap<(DeploymentId, u32), deployment::Handle>> {
        self.replicas.load_full()
    }
    /// The node's GPUs.
    pub fn gpu(&self) -> &gpu::Handle {
        &self.gpu
    }
    /// The node's lease and Raft's membership.
    pub fn membership(&self) -> &membership::Handle {
        &self.membership
    }
    /// The scheduler, which acts on the leader only.
    pub fn scheduler(&self) -> &scheduler::Handle {
        &self.scheduler
    }
    /// The reconciler.
    pub fn reconciler(&self) -> &reconciler::Handle {
        &self.reconciler
    }

    // Only the reconciler writes, one message at a time, so reading and storing needs no more than this.

    pub(crate) fn clear(&self) {
        self.providers.store(Arc::default());
        self.replicas.store(Arc::default());
    }

    pub(crate) fn put_provider(&self, handle: provider::Handle) {
        let mut providers = (**self.providers.load()).clone();
        providers.insert(handle.name().clone(), handle);
        self.providers.store(Arc::new(providers));
    }

    pub(crate) fn drop_provider(&self, name: &ProviderName, revision: u64) {
        let mut providers = (**self.providers.load()).clone();
        if providers.get(name).is_some_and(|handle| handle.revision() == revision) {
            providers.remove(name);
            self.providers.store(Arc::new(providers));
        }
    }

    pub(crate) fn put_replica(&self, handle: deployment::Handle) {
        let identity = handle.identity();
        let mut replicas = (**self.replicas.load()).clone();
        replicas.insert((identity.id, identity.ordinal), handle);
        self.replicas.store(Arc::new(replicas));
    }

    pub(crate) fn drop_replica(&self, id: DeploymentId, ordinal: u32, epoch: Epoch) {
        let mut replicas = (**self.replicas.load()).clone();
        if replicas.get(&(id, ordinal)).is_some_and(|handle| handle.identity().epoch == epoch) {
            replicas.remove(&(id, ordinal));
            self.replicas.store(Arc::new(replicas));
        }
    }
}
