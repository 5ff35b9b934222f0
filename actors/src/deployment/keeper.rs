//! Holds an engine's process: passes signals on, drains its output, tells when it ended. Whoever drops the keeper ends
//! the process. Used by the replica's actor, whose mailbox no log line ever passes.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;

use super::handle::Shared;
use super::log_ring::clean;
use crate::aside;
use crate::ports::{Exit, Process, Processes};
use crate::secret::Secret;

/// Signals that wait to be passed on.
const SIGNALS_MAX: usize = 4;
/// How long the last lines may take after the process ended: a grandchild may hold its output open.
const LAST_LINES: Duration = Duration::from_millis(500);
/// Lines handed on with the end.
const TAIL: usize = 8;

enum Signal {
    Terminate,
    Kill,
}

/// A process that runs.
pub(crate) struct Keeper {
    signals: mpsc::Sender<Signal>,
    pub(super) pid: u32,
}

impl Keeper {
    /// Asks the process to end.
    pub(super) fn terminate(&self) {
        // A full queue holds signals of the same kind already.
        let _ = self.signals.try_send(Signal::Terminate);
    }
    /// Ends the process.
    pub(super) fn kill(&self) {
        let _ = self.signals.try_send(Signal::Kill);
    }
}

/// Keeps a process; `ended` is called once with its end and its last lines.
pub(super) fn keep(
    mut process: Box<dyn Process>,
    shared: Arc<Shared>,
    processes: Arc<dyn Processes>,
    key: Secret,
    ended: impl FnOnce(Exit, Vec<String>) + Send + 'static,
) -> Keeper {
    let (signals, mut wanted) = mpsc::channel(SIGNALS_MAX);
    let pid = process.pid();
    let reader = process.lines().map(|lines| {
        let shared = shared.clone();
        tokio::spawn(read(lines, shared, processes, key))
    });
    tokio::spawn(async move {
        let waiting = async move {
            loop {
                tokio::select! {
                    biased;
                    signal = wanted.recv() => match signal {
                        Some(Signal::Terminate) => process.terminate(),
                        Some(Signal::Kill) => process.kill(),
                        None => {
                            process.kill();
                            break process.wait().await;
                        }
                    },
                    exit = process.wait() => break exit,
                }
            }
        };
        // The process is dropped, and so ended, where waiting for it panics.
        let exit = aside::outcome(waiting, |status| Exit { status }).await;
        if let Some(reader) = reader {
            let _ = tokio::time::timeout(LAST_LINES, reader).await;
        }
        ended(exit, shared.log.tail(TAIL));
    });
    Keeper { signals, pid }
}

async fn read(
    mut lines: mpsc::Receiver<String>,
    shared: Arc<Shared>,
    processes: Arc<dyn Processes>,
    key: Secret,
) {
    let label = shared.identity.label();
    while let Some(line) = lines.recv().await {
        let line = clean(&line, key.expose());
        processes.log(&label, &line).await;
        shared.log.push(line);
    }
}
