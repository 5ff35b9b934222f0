//! Keeps the node's [`View`] up to date: consensus posts what it applied, gossip posts who is alive. Both only swap a
//! snapshot; nobody waits.

use std::sync::Arc;

use actors::ports::ViewCell;
use consensus::Published;
use domain::{Liveness, View};

/// A function for consensus to post to.
pub(crate) fn metadata(view: ViewCell) -> consensus::Publish {
    Arc::new(move |news: Published| {
        view.update(|old| View {
            me: old.me,
            state: news.state.clone(),
            applied: news.applied,
            liveness: old.liveness.clone(),
            leader: news.leader,
            voters: news.voters.clone(),
        });
    })
}

/// A function for gossip to post to.
pub(crate) fn liveness(view: ViewCell) -> Arc<dyn Fn(Liveness) + Send + Sync> {
    Arc::new(move |news: Liveness| {
        let news = Arc::new(news);
        view.update(|old| View { liveness: news.clone(), ..old.clone() });
    })
}
