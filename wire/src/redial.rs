//! A connection that is dialled when it is first needed and again when it broke. Used by clients that keep one per peer.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::sync::Mutex;

/// The connection, and why it could not be had the last time.
pub(crate) struct Redial<T, E> {
    state: Mutex<State<T, E>>,
    /// Dials that failed so far.
    failures: AtomicUsize,
}

struct State<T, E> {
    connection: Option<T>,
    failure: Option<E>,
}

impl<T, E> Default for Redial<T, E> {
    fn default() -> Self {
        let state = State { connection: None, failure: None };
        Self { state: Mutex::new(state), failures: AtomicUsize::new(0) }
    }
}

impl<T: Clone, E: Clone> Redial<T, E> {
    /// The connection if there is one that works; nothing also while one is being dialled.
    pub(crate) fn have(&self, works: impl Fn(&T) -> bool) -> Option<T> {
        self.state.try_lock().ok()?.connection.clone().filter(works)
    }

    /// The connection if it works, else a new one; whoever comes while one is being dialled shares its fate.
    pub(crate) async fn get(
        &self,
        works: impl Fn(&T) -> bool,
        dial: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let failures = self.failures.load(Ordering::SeqCst);
        let mut state = self.state.lock().await;
        if let Some(connection) = state.connection.as_ref().filter(|connection| works(connection)) {
            return Ok(connection.clone());
        }
        if self.failures.load(Ordering::SeqCst) != failures
            && let Some(failure) = &state.failure
        {
            return Err(failure.clone());
        }
        state.connection = None;
        match dial.await {
            Ok(connection) => Ok(state.connection.insert(connection).clone()),
            Err(failure) => {
                self.failures.fetch_add(1, Ordering::SeqCst);
                Err(state.failure.insert(failure).clone())
            }
        }
    }
}
