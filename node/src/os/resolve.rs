//! Names of peers to addresses, remembered, since gossip sends several datagrams a second to the same few names. A name
//! that was resolved once is never waited for again: its last address serves until the name server has told the next one.
//! Only `network` uses it.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// How long an answer is good before it is asked for again.
const REMEMBERED: Duration = Duration::from_secs(10);
/// Names remembered at most.
const NAMES_MAX: usize = 1024;

/// What came of asking for a name.
type Answer = Result<SocketAddr, String>;

/// Resolved names; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Names {
    known: Arc<Mutex<BTreeMap<String, Name>>>,
    remembered: Duration,
}

impl Default for Names {
    fn default() -> Self {
        Self { known: Arc::default(), remembered: REMEMBERED }
    }
}

/// One name.
#[derive(Debug, Default)]
struct Name {
    /// Its last address, and when it was told.
    last: Option<(SocketAddr, Instant)>,
    /// While it is asked for: where the answer will be.
    asked: Option<watch::Receiver<Option<Answer>>>,
}

impl Names {
    /// An address of `host:port` that a socket bound to `like` can reach.
    ///
    /// # Errors
    /// What the resolver says, with the name.
    pub(crate) async fn find(&self, addr: &str, like: SocketAddr) -> io::Result<SocketAddr> {
        if let Ok(literal) = addr.parse() {
            return Ok(literal);
        }
        let ask = |name: String| async move {
            let found: Vec<SocketAddr> =
                tokio::net::lookup_host(name).await.map_err(|error| error.to_string())?.collect();
            let fitting = found.iter().find(|a| a.is_ipv4() == like.is_ipv4()).or(found.first());
            fitting.copied().ok_or_else(|| "it has no address".to_owned())
        };
        self.find_with(addr, ask).await.map_err(|reason| unknown(addr, &reason))
    }

    /// The last address, or the answer that is being waited for; asks where nobody does.
    async fn find_with<F>(&self, addr: &str, ask: impl FnOnce(String) -> F) -> Answer
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let mut answer = {
            let mut known = self.lock();
            make_room(&mut known, addr);
            let name = known.entry(addr.to_owned()).or_default();
            let fresh = name.last.is_some_and(|(_, since)| since.elapsed() < self.remembered);
            if !fresh && name.asked.is_none() {
                name.asked = Some(self.start(addr.to_owned(), ask(addr.to_owned())));
            }
            match (name.last, &name.asked) {
                (Some((address, _)), _) => return Ok(address),
                (None, Some(asked)) => asked.clone(),
                (None, None) => return Err("it was not asked for".to_owned()),
            }
        };
        // A task of its own asks, so an answer that comes too late for this caller is there for the next one.
        let told = answer.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
        told.unwrap_or_else(|| Err("asking for it was broken off".to_owned()))
    }

    fn start<F>(&self, addr: String, asking: F) -> watch::Receiver<Option<Answer>>
    where
        F: Future<Output = Answer> + Send + 'static,
    {
        let (tell, asked) = watch::channel(None);
        let names = self.clone();
        tokio::spawn(async move {
            let answer = asking.await;
            names.learn(&addr, &answer);
            tell.send_replace(Some(answer));
        });
        asked
    }

    fn learn(&self, addr: &str, answer: &Answer) {
        let mut known = self.lock();
        let Some(name) = known.get_mut(addr) else { return };
        name.asked = None;
        name.last = match (answer, name.last) {
            (Ok(address), _) => Some((*address, Instant::now())),
            // What it was is the best guess; it is asked for again after a while.
            (Err(_), Some((address, _))) => Some((address, Instant::now())),
            (Err(_), None) => None,
        };
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Name>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Forgets what was told longest ago when there is no room for another name.
fn make_room(known: &mut BTreeMap<String, Name>, addr: &str) {
    if known.len() < NAMES_MAX || known.contains_key(addr) {
        return;
    }
    let oldest = known.iter().min_by_key(|(_, name)| name.last.map(|(_, since)| since));
    if let Some(oldest) = oldest.map(|(name, _)| name.clone()) {
        known.remove(&oldest);
    }
}

fn unknown(addr: &str, reason: &dyn std::fmt::Display) -> io::Error {
    io::Error::new(
        io::ErrorKind::NotFound,
        format!("{addr} cannot be resolved: {reason}; write it as host:port"),
    )
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use tokio::sync::oneshot;

    use super::*;

    fn address(last: u8) -> SocketAddr {
        ([10, 0, 0, last], 7602).into()
    }

    /// Names whose answers are old at once.
    fn forgetful() -> Names {
        Names { remembered: Duration::ZERO, ..Names::default() }
    }

    /// Asks a name server that answers when it is told to.
    async fn find(names: &Names, answer: impl Future<Output = Answer> + Send + 'static) -> Answer {
        names.find_with("peer:7602", |_| answer).await
    }

    async fn no() -> Answer {
        Err("no such name".to_owned())
    }

    #[tokio::test]
    async fn an_old_address_serves_while_a_slow_name_server_is_asked_for_the_new_one() {
        let names = forgetful();
        assert_eq!(find(&names, async { Ok(address(1)) }).await, Ok(address(1)));
        let (tell, told) = oneshot::channel();
        assert_eq!(find(&names, async { told.await.unwrap() }).await, Ok(address(1)));
        let nobody_else = || async { panic!("it is asked for already") };
        assert_eq!(find(&names, nobody_else()).await, Ok(address(1)));
        tell.send(Ok(address(2))).unwrap();
        while find(&names, pending()).await != Ok(address(2)) {
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn an_answer_that_comes_too_late_for_its_asker_is_there_for_the_next_one() {
        let names = Names::default();
        let (tell, told) = oneshot::channel();
        let mut first = Box::pin(find(&names, async { told.await.unwrap() }));
        assert!(futures::poll!(first.as_mut()).is_pending());
        drop(first);
        tell.send(Ok(address(1))).unwrap();
        assert_eq!(find(&names, pending()).await, Ok(address(1)));
        assert_eq!(find(&names, pending()).await, Ok(address(1)));
    }

    #[tokio::test]
    async fn a_name_server_that_fails_leaves_the_address_as_it_was() {
        let names = forgetful();
        assert_eq!(find(&names, no()).await, no().await);
        assert_eq!(find(&names, async { Ok(address(1)) }).await, Ok(address(1)));
        for _ in 0..8 {
            assert_eq!(find(&names, no()).await, Ok(address(1)));
            tokio::task::yield_now().await;
        }
    }

    #[tokio::test]
    async fn no_more_names_are_remembered_than_may_be() {
        let names = Names::default();
        for number in 0..NAMES_MAX + 10 {
            let found = names.find_with(&format!("host{number}:1"), |_| async { Ok(address(1)) }).await;
            assert_eq!(found, Ok(address(1)));
        }
        assert_eq!(names.lock().len(), NAMES_MAX);
    }
}
