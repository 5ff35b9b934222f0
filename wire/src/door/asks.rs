//! The asking side.

use std::sync::Arc;
use std::time::Duration;

use actors::ports::PeerError;
use bytes::Bytes;
use domain::NodeId;
use ractor::rpc::CallResult;

use super::envelope::{self, Answer};
use super::{BODY_BYTES_MAX, Inner};

impl Inner {
    pub(super) async fn ask(
        self: &Arc<Self>,
        to: NodeId,
        topic: &'static str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, PeerError> {
        let refused = |reason| PeerError::Refused { node: to, reason };
        if body.len() > BODY_BYTES_MAX {
            return Err(refused(format!("the message has {} bytes, {BODY_BYTES_MAX} at most", body.len())));
        }
        if to == self.me {
            return self.ask_self(topic, body, deadline).await;
        }
        let session = self.sessions.with(to).ok_or(PeerError::Unreachable(to))?;
        let passage = session.admit(body.len()).ok_or(PeerError::Busy(to))?;
        match session.call(topic, body, deadline).await {
            Ok(CallResult::Success(bytes)) => {
                passage.passed();
                match envelope::decode(&bytes) {
                    Ok(Answer::Done(body)) => Ok(body),
                    Ok(Answer::Refused(reason)) | Err(reason) => Err(refused(reason)),
                    Ok(Answer::Busy) => Err(PeerError::Busy(to)),
                }
            }
            // Either may have been handled: the answer was late, or the session broke before it came.
            Ok(CallResult::Timeout | CallResult::SenderError) => Err(PeerError::Timeout(to)),
            Err(_) => Err(PeerError::Unreachable(to)),
        }
    }

    async fn ask_self(&self, topic: &str, body: Bytes, deadline: Duration) -> Result<Bytes, PeerError> {
        let refused = |reason| PeerError::Refused { node: self.me, reason };
        let handler = self.service(topic).map_err(refused)?;
        let _place = self.handlers.try_acquire().map_err(|_| PeerError::Busy(self.me))?;
        match tokio::time::timeout(deadline, handler(self.me, body)).await {
            Ok(answer) => answer.map_err(refused),
            Err(_) => Err(PeerError::Timeout(self.me)),
        }
    }
}
