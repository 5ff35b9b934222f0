//! What a replica's machine takes in and what it asks for.

use domain::Millis;
use domain::deployment::Phase;

#[cfg(doc)]
use super::machine::RETRY;
use super::reporting::Answer;
use crate::gate::Work;

/// What happened. `run` numbers the engine's starts: what is told of an older one is ignored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Begin.
    Begin,
    /// The file was looked at.
    FileChecked(Result<(), String>),
    /// The engine was started.
    Spawned {
        /// Which start.
        run: u32,
    },
    /// The engine could not be started.
    SpawnFailed {
        /// Which start.
        run: u32,
        /// Why.
        reason: String,
        /// Whether trying again here makes no sense.
        for_good: bool,
    },
    /// The engine was asked whether it is well.
    Probed {
        /// Which start.
        run: u32,
        /// What it answered, or what went wrong.
        answer: Result<(), String>,
        /// How far its calls had come then.
        work: Work,
    },
    /// It was looked at how much memory the engine holds.
    Weighed {
        /// Which start.
        run: u32,
        /// What it holds, in MiB.
        used_mib: u64,
        /// Its replica's share, in MiB; 0 sets no bound.
        share_mib: u64,
    },
    /// The engine ended.
    Exited {
        /// Which start.
        run: u32,
        /// Its status in words.
        status: String,
        /// Its last log lines.
        tail: Vec<String>,
    },
    /// A time is over.
    Due(Timer),
    /// No call is under way any more, or the time for that is over.
    Drained,
    /// A report was answered.
    Reported(Answer),
    /// The tables show this phase for it.
    Seen(Phase),
    /// It is not wanted here any more.
    Stop,
}

/// What a time was for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timer {
    /// Start the engine again.
    Retry {
        /// After which start.
        run: u32,
    },
    /// Ask the engine.
    Probe {
        /// Which start.
        run: u32,
    },
    /// The engine should be ready by now.
    ReadyTimeout {
        /// Which start.
        run: u32,
    },
    /// The engine should have ended by now.
    Grace {
        /// Which start.
        run: u32,
    },
    /// Try the report again.
    Report,
}

/// What is to be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Look at the model file.
    CheckFile,
    /// Start the engine.
    Spawn {
        /// Which start.
        run: u32,
    },
    /// Ask the engine whether it is well.
    Probe {
        /// Which start.
        run: u32,
    },
    /// Come back after this many milliseconds.
    After(Millis, Timer),
    /// Come back after a pause of [`RETRY`].
    Pause {
        /// Which attempt comes then.
        attempt: u32,
        /// After which start.
        run: u32,
    },
    /// Let calls pass.
    Open,
    /// Let no more calls pass.
    Close(String),
    /// Wait until no call is under way, but not for ever.
    Drain,
    /// Ask the engine to end.
    Terminate,
    /// End the engine.
    Kill,
    /// Tell the tables.
    Report(Phase),
    /// Stop being.
    End,
}
