//! One flight for many: whoever asks while a flight is under way is carried by the next one, together with everyone else
//! who asked meanwhile. For questions whose answer is good for everyone who asked before the flight began.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::error::Error;

/// Those who wait for the next flight.
pub(crate) struct Shared<T>(Arc<Mutex<State<T>>>);

struct State<T> {
    waiting: Vec<oneshot::Sender<Result<T, Error>>>,
    flying: bool,
}

impl<T> Default for Shared<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(State { waiting: Vec::new(), flying: false })))
    }
}

impl<T: Copy + Send + 'static> Shared<T> {
    /// The answer of a flight that begins after this call. `fly` makes one; flights are made at `home`.
    pub(crate) async fn ask<F, Fut>(&self, home: &Handle, fly: F) -> Result<T, Error>
    where
        F: Fn() -> Fut + Send + 'static,
        Fut: Future<Output = Result<T, Error>> + Send,
    {
        let (tell, told) = oneshot::channel();
        let begin = {
            let mut state = lock(&self.0);
            state.waiting.push(tell);
            !std::mem::replace(&mut state.flying, true)
        };
        if begin {
            let state = Arc::clone(&self.0);
            drop(home.spawn(async move {
                while let Some(carried) = next(&state) {
                    let answer = fly().await;
                    for one in carried {
                        // Whoever does not wait any more does not need the answer.
                        let _ = one.send(answer.clone());
                    }
                }
            }));
        }
        // Only a runtime that stops drops the other half unanswered.
        told.await.unwrap_or_else(|_| Err(Error::unavailable("this node is shutting down")))
    }
}

/// Everyone who waits now; nobody ends the flights.
fn next<T>(state: &Mutex<State<T>>) -> Option<Vec<oneshot::Sender<Result<T, Error>>>> {
    let mut state = lock(state);
    state.waiting.retain(|one| !one.is_closed());
    if state.waiting.is_empty() {
        state.flying = false;
        return None;
    }
    Some(std::mem::take(&mut state.waiting))
}

fn lock<T>(state: &Mutex<State<T>>) -> MutexGuard<'_, State<T>> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use futures::future::join_all;
    use tokio::sync::Semaphore;

    use super::*;

    #[tokio::test]
    async fn who_asks_during_a_flight_is_carried_by_the_next_with_all_others() {
        let (shared, flights, gate) =
            (Shared::<u64>::default(), Arc::new(AtomicU64::new(0)), Arc::new(Semaphore::new(0)));
        let home = Handle::current();
        let ask = || {
            let (flights, gate) = (flights.clone(), gate.clone());
            shared.ask(&home, move || {
                let (flights, gate) = (flights.clone(), gate.clone());
                async move {
                    let flight = flights.fetch_add(1, Ordering::SeqCst);
                    gate.acquire().await.unwrap().forget();
                    Ok(flight)
                }
            })
        };
        let first = ask();
        tokio::pin!(first);
        while flights.load(Ordering::SeqCst) == 0 {
            assert!(futures::poll!(first.as_mut()).is_pending());
            tokio::task::yield_now().await;
        }
        let others = join_all((0..5).map(|_| ask()));
        gate.add_permits(2);
        let (first, others) = tokio::join!(first, others);
        assert_eq!((first, others), (Ok(0), vec![Ok(1); 5]));
    }
}
