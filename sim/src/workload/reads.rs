//! Linearizable reads of all registers at once.

use super::{Ask, Clients, REGISTERS, Reply, register};
use crate::history::What;

/// One read. Recorded for each register, only when it was answered: a read that was not says nothing.
pub(super) async fn registers(clients: Clients) {
    let (node, start) = (clients.any_node(), clients.outside.now());
    let reply = clients.ask(node, &Ask::get("/api/providers?consistent=true")).await;
    if reply == Reply::Hung {
        clients.record(node, start, What::Hang { path: "/api/providers".to_owned() });
    }
    let Some(body) = reply.ok() else { return };
    let Some(rows) = body["providers"].as_array() else { return };
    for number in 0..REGISTERS {
        let name = register(number);
        let row = rows.iter().find(|row| row["name"] == *name);
        let value = row.and_then(|row| row["models"][0].as_str()?.strip_prefix("value-")?.parse().ok());
        clients.record(node, start, What::Get { register: name, value });
    }
}
