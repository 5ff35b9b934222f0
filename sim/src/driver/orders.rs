//! What an operator orders while the cluster is being broken: the driver hands orders in, the clients' host carries them out
//! over HTTP and tells what came of them. A change that is refused for now is asked for again for a while.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use domain::NodeId;

use crate::workload::Clients;
use crate::workload::operator::{self, Parting};
use crate::world::lock;

/// A node is to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Order {
    /// Which node.
    pub(super) node: NodeId,
    /// Whether it leaves in order or is taken out.
    pub(super) how: Parting,
}

/// The orders of a run.
#[derive(Default)]
pub(super) struct Orders {
    waiting: Mutex<VecDeque<Order>>,
    /// Those that wait or are being carried out.
    open: AtomicU32,
}

impl Orders {
    /// Hands one in.
    pub(super) fn give(&self, order: Order) {
        self.open.fetch_add(1, Ordering::Relaxed);
        lock(&self.waiting).push_back(order);
    }

    /// Whether none waits and none is being carried out.
    pub(super) fn are_done(&self) -> bool {
        self.open.load(Ordering::Relaxed) == 0
    }

    /// Begins to carry out what waits.
    pub(super) fn carry_out(self: &Arc<Self>, clients: &Clients) {
        for order in std::mem::take(&mut *lock(&self.waiting)) {
            let (orders, clients) = (self.clone(), clients.clone());
            tokio::spawn(async move {
                let done = operator::part(&clients, &order.node.to_string(), order.how).await;
                tracing::info!(?order, done, "order");
                orders.open.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }
}
