//! No queue and no book over its bound, as far as nodes show them: calls under way, and what actors remember.

use actors::Directory;
use domain::NodeId;

/// What an actor remembers for whoever observes it.
const RECENT_MAX: usize = 32;
/// Replicas without a place that a scheduler shows.
const UNPLACED_MAX: usize = 64;

/// Looks at a node; tells what is over its bound. `in_flight_max` is what its configuration allows for each target.
pub fn look(me: NodeId, directory: &Directory, in_flight_max: usize) -> Option<String> {
    let replicas = directory.replicas();
    let replicas =
        replicas.iter().map(|((id, n), handle)| (format!("replica {id}/{n}"), handle.load().in_flight));
    let providers = directory.providers();
    let providers =
        providers.iter().map(|(name, handle)| (format!("provider {name}"), handle.load().in_flight));
    let scheduler = directory.scheduler().observe();
    let membership = directory.membership().observe();
    let mut counts: Vec<(String, usize, usize)> =
        replicas.chain(providers).map(|(what, count)| (what, count as usize, in_flight_max)).collect();
    counts.push(("the scheduler's book".to_owned(), scheduler.recent.len(), RECENT_MAX));
    counts.push(("replicas without a place".to_owned(), scheduler.unplaced.len(), UNPLACED_MAX));
    counts.push(("the book of raft's membership".to_owned(), membership.recent.len(), RECENT_MAX));
    let over = counts.into_iter().find(|(_, count, most)| count > most)?;
    Some(format!("{me}: {} has {} of {} at most", over.0, over.1, over.2))
}
