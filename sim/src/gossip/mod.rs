//! Gossip alone, at sizes that whole nodes would be too heavy for: the real agent of `wire` on each of many nodes, over
//! simulated datagrams on one paused clock. Measures how soon a dead node is known to all, how often a live one is
//! suspected, and what it costs. Used by `sim gossip`; nothing of gossip is repeated here.

mod air;
mod cluster;
mod figures;
mod plot;

use std::time::Duration;

use crate::Dice;
use cluster::Cluster;
pub use figures::{Figures, table};
pub use plot::svg;

/// How long nobody is hurt, while false suspicions and bytes are counted.
const QUIET: Duration = Duration::from_secs(60);
/// How long the nodes may take to find each other, or to hear of a return.
const MEET_MAX: Duration = Duration::from_secs(300);
/// How long a death may take to become known.
const KNOWN_MAX: Duration = Duration::from_secs(60);
/// Deaths come so far apart at most, beyond what they take, so that they fall at any moment of the nodes' periods.
const PAUSE_MS_MAX: u64 = 2_000;

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Plan {
    /// How many nodes there are.
    pub nodes: usize,
    /// Of a thousand datagrams, how many are lost.
    pub lost_permille: u64,
    /// How many nodes die, one after the other.
    pub deaths: usize,
    /// What chance follows from.
    pub seed: u64,
}

/// Why nothing could be measured.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No runtime.
    #[error("the runtime cannot be started: {0}")]
    Runtime(#[from] std::io::Error),
    /// It does not converge.
    #[error("{what} within {} s, with {} nodes and {} of a thousand datagrams lost", limit.as_secs(), plan.nodes, plan.lost_permille)]
    TooLong {
        /// What did not happen.
        what: &'static str,
        /// In what time.
        limit: Duration,
        /// With what.
        plan: Plan,
    },
}

/// Runs a plan.
///
/// # Errors
/// When the nodes do not find each other, or do not all learn of a death.
pub fn measure(plan: Plan) -> Result<Figures, Error> {
    let seed = tokio::runtime::RngSeed::from_bytes(&plan.seed.to_le_bytes());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .rng_seed(seed)
        .build()?;
    runtime.block_on(run(plan))
}

async fn run(plan: Plan) -> Result<Figures, Error> {
    let late = |what, limit| move || Error::TooLong { what, limit, plan };
    let mut dice = Dice::of(plan.seed, "deaths");
    let mut figures = Figures::new(plan);
    let mut cluster = Cluster::start(plan);
    cluster.until_all_alive(MEET_MAX).await.ok_or_else(late("not all nodes find each other", MEET_MAX))?;
    let (sent, heard) = (cluster.sent(), cluster.heard());
    tokio::time::sleep(QUIET).await;
    figures.quiet(QUIET, sent, cluster.sent(), &heard, &cluster.heard());
    for _ in 0..plan.deaths {
        tokio::time::sleep(Duration::from_millis(dice.between(0, PAUSE_MS_MAX))).await;
        let victim = dice.between(0, plan.nodes as u64) as usize;
        let times = cluster.kill(victim, KNOWN_MAX).await;
        figures.death(times.ok_or_else(late("a death is not known to all", KNOWN_MAX))?);
        cluster.restart(victim);
        cluster.until_all_alive(MEET_MAX).await.ok_or_else(late("a return is not known to all", MEET_MAX))?;
    }
    Ok(figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the documentation promises of a dead node: no router sends anything to it after this.
    const KNOWN_WITHIN: Duration = Duration::from_secs(2);

    fn measured(nodes: usize, lost_permille: u64) -> Figures {
        measure(Plan { nodes, lost_permille, deaths: 3, seed: 1 }).unwrap()
    }

    #[test]
    fn a_hundred_nodes_know_of_a_death_within_two_seconds_and_suspect_nobody_else() {
        let figures = measured(100, 0);
        assert!(figures.known_to_all_max() <= KNOWN_WITHIN, "{figures:?}");
        assert_eq!((figures.suspicions, figures.given_up), (0, 0));
    }

    #[test]
    fn lost_datagrams_make_nobody_give_up_a_live_node() {
        let figures = measured(30, 50);
        assert!(figures.known_to_all_max() <= KNOWN_WITHIN, "{figures:?}");
        assert_eq!(figures.given_up, 0);
    }

    #[test]
    fn a_seed_gives_the_same_figures_twice() {
        assert_eq!(measured(10, 50), measured(10, 50));
    }
}
