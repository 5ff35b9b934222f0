//! An answer for people.

use std::fmt::{self, Display, Formatter};

use domain::Millis;

use super::{Answer, Fault, Place, lease_s};

/// Replicas listed one by one at most.
const LISTED_MAX: usize = 40;

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Zone(name) => write!(f, "zone {name}"),
            Fault::Node(name) => write!(f, "node {name}"),
        }
    }
}

impl Display for Place {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.zone)
    }
}

fn listed(things: &[impl Display]) -> String {
    things.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
}

fn s(time: Millis) -> String {
    format!("{:.1} s", time as f64 / 1000.0)
}

impl Display for Answer {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "If {} were lost now: {}", listed(&self.faults), listed(&self.lost))?;
        writeln!(f, "{} nodes in {} zones would be left", self.nodes_left, self.zones_left)?;
        if !self.not_alive_before.is_empty() {
            writeln!(f, "not alive already: {}", listed(&self.not_alive_before))?;
        }
        self.write_quorum(f)?;
        self.write_times(f)?;
        self.write_replicas(f)?;
        writeln!(f, "\n{} providers would go on as they are", self.providers)
    }
}

impl Answer {
    fn write_quorum(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let quorum = &self.quorum;
        let (left, voters) = (quorum.left, quorum.voters);
        if !quorum.survives {
            writeln!(f, "\nThe quorum would be lost: {left} of {voters} voters are left.")?;
            return writeln!(
                f,
                "Nothing moves and no metadata can change until a majority is back; what runs goes on answering."
            );
        }
        writeln!(f, "\nThe quorum would survive: {left} of {voters} voters are left.")?;
        if quorum.leader_lost {
            writeln!(f, "The leader is among the lost: another is elected within about a second.")?;
        }
        match &quorum.voters_then {
            Some(voters) => writeln!(f, "Voters become: {}", voters.join(", ")),
            None => Ok(()),
        }
    }

    fn write_times(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "\n{:>8}  no router sends anything to what is lost", s(self.routed_around_ms))?;
        if let Some(taken) = self.taken_ms {
            let lease = lease_s();
            writeln!(
                f,
                "{:>8}  their leases of {lease} s have run out, and their work is taken from them",
                s(taken)
            )?;
        }
        match self.settled_ms {
            Some(settled) => writeln!(
                f,
                "{:>8}  the last of {} replicas that move answers, if an engine starts in {}",
                s(settled),
                self.moves.len(),
                s(self.start_ms)
            ),
            None => writeln!(f, "          no replica moves"),
        }
    }

    fn write_replicas(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if !self.moves.is_empty() {
            writeln!(f, "\nMoves:")?;
        }
        for moved in self.moves.iter().take(LISTED_MAX) {
            let from = moved.from.as_ref().map_or_else(|| "nowhere".to_owned(), ToString::to_string);
            let (name, ordinal, to, at) = (&moved.deployment, moved.ordinal, &moved.to, s(moved.decided_ms));
            writeln!(f, "  {name}/{ordinal}: {from} -> {to}, decided after {at}: {}", moved.why)?;
        }
        further(f, self.moves.len())?;
        if !self.unplaced.is_empty() {
            writeln!(f, "\nWithout a place:")?;
        }
        for one in self.unplaced.iter().take(LISTED_MAX) {
            writeln!(f, "  {}/{}: {}", one.deployment, one.ordinal, one.why)?;
        }
        further(f, self.unplaced.len())?;
        if !self.deployments.is_empty() {
            writeln!(
                f,
                "\nDeployments (replicas that answer: before, at once, in the end; of how many wanted):"
            )?;
        }
        for one in self.deployments.iter().take(LISTED_MAX) {
            let (name, before, at_once, then) = (&one.deployment, one.before, one.at_once, one.then);
            writeln!(f, "  {name}: {before}, {at_once}, {then}; of {}", one.wanted)?;
        }
        further(f, self.deployments.len())
    }
}

fn further(f: &mut Formatter<'_>, all: usize) -> fmt::Result {
    match all.saturating_sub(LISTED_MAX) {
        0 => Ok(()),
        more => writeln!(f, "  … and {more} more (--json lists all)"),
    }
}
