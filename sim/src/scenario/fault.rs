//! Faults as data: what happens, and to whom. Drawn by [`crate::swarm`], written down in named scenarios, done by the
//! drivers. A fault knows nothing of how it is done.

use std::time::Duration;

use domain::rotation;
use serde::{Deserialize, Serialize};

/// Whom a fault hits; resolved when it happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Who {
    /// The node that leads.
    Leader,
    /// The node that runs the first ready replica of this deployment.
    HostOf(String),
    /// The node with this number, from 0.
    Node(usize),
    /// Every node of the zone with this number, from 0.
    Zone(usize),
    /// Whoever the last fault hit.
    Victim,
}

/// What ails the provider.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Ailment {
    /// Nobody takes connections.
    Down,
    /// Answers begin late.
    Slow,
    /// It says that there were too many calls.
    Limited,
    /// Its answers break off.
    Cut,
    /// Its answers stop in the middle, and do not end.
    Silent,
}

/// What happens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Fault {
    /// The process dies at once (SIGKILL); what was not durable may be gone.
    Kill(Who),
    /// The machine dies: as `Kill`, but nobody is told that its connections are gone. Simulator only.
    PowerOff(Who),
    /// It is started again on what is left of its disk.
    Restart(Who),
    /// It dies, loses its disk and comes back with a join token.
    Wipe(Who),
    /// It is frozen (SIGSTOP) for so long.
    Pause(Who, Duration),
    /// An operator tells it to leave for good. Simulator only.
    Leave(Who),
    /// An operator removes it, as soon as the cluster lets him. Simulator only.
    Remove(Who),
    /// A machine without a node gets one that joins: a spare one, or one whose node was removed. Simulator only.
    Join(Who),
    /// An operator has this key of the cluster replaced.
    Rotate(rotation::Kind),
    /// Its data directory is copied while it runs. Simulator only.
    Copy(Who),
    /// It dies, and comes back on the copy of its data directory. Simulator only.
    OldCopy(Who),
    /// It dies at the so-manieth write to its disk from now on. Simulator only.
    CrashAtWrite(Who, u32),
    /// A bit of what its disk holds flips, and it is started again. Simulator only.
    BitRot(Who),
    /// Its disk takes no more.
    FillDisk(Who),
    /// Its disk takes that long to make a write durable. Simulator only.
    SlowDisk(Who, Duration),
    /// No messages between it, or them, and the others, either way.
    Isolate(Who),
    /// Messages from the first node to the second vanish, those back arrive.
    OneWay(usize, usize),
    /// No messages between these two, while both hear all others. Simulator only.
    Cut(usize, usize),
    /// The link between these two goes and comes, each for so long. Simulator only.
    Flap(usize, usize, Duration),
    /// Messages between it and the others take that long.
    Delay(Who, Duration),
    /// Of a thousand packets between it and the others, so many vanish. Real processes only; the simulator has
    /// [`Weather`](super::Weather).
    Lose(Who, u16),
    /// Most messages between it and the others are quick, few take very long. Simulator only.
    HeavyTail(Who),
    /// It is slow and not dead: frozen for so long, then running for a moment, again and again. Simulator only.
    Slow(Who, Duration),
    /// Its wall clock jumps by so many milliseconds.
    ClockJump(Who, i64),
    /// The engine of a replica of this deployment dies.
    KillEngine(String),
    /// The engine of a replica of this deployment stops answering.
    HangEngine(String),
    /// The engine of a replica of this deployment answers garbage. Simulator only.
    GarbleEngine(String),
    /// The engine of a replica of this deployment leaks memory. Simulator only.
    LeakEngine(String),
    /// Engines of this deployment die as they start. Simulator only.
    BreakEngines(String),
    /// Its GPUs fall off the bus, and what ran on them dies. Simulator only.
    LoseGpus(Who),
    /// The provider outside is not well. Simulator only.
    Provider(Ailment),
    /// One node after the other is stopped gracefully and started again, each when the one before is well.
    RollingRestart,
    /// One node after the other is stopped gracefully and started with the newer of two programs. Real processes only: until
    /// then all run the older one.
    RollingUpgrade,
    /// This one alone is upgraded. Real processes only.
    Upgrade(Who),
    /// It is stopped gracefully and started with the older of two programs again. Real processes only.
    RollBack(Who),
    /// Links, disks, delays, engines, GPUs and the provider are as they should be again. Nodes stay down.
    Heal,
}

impl Fault {
    /// Whether it only mends what other faults did.
    pub fn mends(&self) -> bool {
        matches!(self, Fault::Restart(_) | Fault::Heal)
    }

    /// Whether only the simulator can do it.
    pub fn needs_simulator(&self) -> bool {
        use Fault::{
            BitRot, BreakEngines, Copy, CrashAtWrite, Cut, Flap, GarbleEngine, HeavyTail, Join, LeakEngine,
            Leave, LoseGpus, OldCopy, PowerOff, Provider, Remove, Slow, SlowDisk,
        };
        let disk = matches!(self, CrashAtWrite(..) | Copy(_) | OldCopy(_) | BitRot(_) | SlowDisk(..));
        let members = matches!(self, PowerOff(_) | Leave(_) | Remove(_) | Join(_) | Slow(..));
        let links = matches!(self, Cut(..) | Flap(..) | HeavyTail(_));
        disk || members
            || links
            || matches!(self, GarbleEngine(_) | LeakEngine(_) | BreakEngines(_) | LoseGpus(_) | Provider(_))
    }

    /// Whether only real processes can do it.
    pub fn needs_processes(&self) -> bool {
        self.changes_program() || matches!(self, Fault::Lose(..))
    }

    /// Whether it needs two programs.
    pub fn changes_program(&self) -> bool {
        matches!(self, Fault::RollingUpgrade | Fault::Upgrade(_) | Fault::RollBack(_))
    }

    /// Whether it takes replicas away from whom it hits, so that they must be made elsewhere.
    pub fn takes_away(&self) -> bool {
        use Fault::{
            BitRot, CrashAtWrite, FillDisk, Isolate, Kill, Leave, LoseGpus, OldCopy, PowerOff, Remove, Wipe,
        };
        let ends = matches!(self, Kill(_) | PowerOff(_) | CrashAtWrite(..) | Leave(_) | Remove(_));
        let harms = matches!(self, Wipe(_) | OldCopy(_) | BitRot(_) | FillDisk(_) | LoseGpus(_));
        ends || harms || matches!(self, Isolate(_))
    }

    /// Whether it may take what a disk held for good.
    pub fn takes_a_disk(&self) -> bool {
        use Fault::{BitRot, OldCopy, Remove, Wipe};
        matches!(self, Wipe(_) | Remove(_) | OldCopy(_) | BitRot(_))
    }
}
