//! What an operator orders while the cluster is being broken: the driver hands orders in, the clients' host carries them out
//! over HTTP and tells what came of them. A change that is refused for now is asked for again for a while.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use domain::NodeId;
use domain::rotation::Kind;

use crate::workload::Clients;
use crate::workload::operator::{self, Parting};
use crate::world::{World, lock};

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Order {
    /// A node is to go, and whether it leaves in order or is taken out.
    Part(NodeId, Parting),
    /// A key of the cluster is to be replaced.
    Rotate(Kind),
}

/// The orders of a run.
#[derive(Default)]
pub(super) struct Orders {
    waiting: Mutex<VecDeque<Order>>,
    /// Those that wait or are being carried out.
    open: AtomicU32,
    /// How many there were.
    given: AtomicU32,
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
    pub(super) fn carry_out(self: &Arc<Self>, clients: &Clients, world: &Arc<World>) {
        for order in std::mem::take(&mut *lock(&self.waiting)) {
            let (orders, clients, world) = (self.clone(), clients.clone(), world.clone());
            let number = self.given.fetch_add(1, Ordering::Relaxed);
            tokio::spawn(async move {
                let done = match &order {
                    Order::Part(node, how) => operator::part(&clients, &node.to_string(), *how).await,
                    Order::Rotate(kind) => operator::rotate(&clients, *kind, number).await,
                };
                tracing::info!(?order, done, "order");
                orders.open.fetch_sub(1, Ordering::Relaxed);
                if done && order == Order::Rotate(Kind::Authority) {
                    // Tokens name the authority that signs: those made before are no good any more.
                    operator::renew_token(&clients, |token| *lock(&world.token) = Some(token)).await;
                }
            });
        }
    }
}
