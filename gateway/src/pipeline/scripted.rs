//! The built-in mock provider, run in the process: waits and sends what its script says.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actors::ports::{Body, BoxError};
use adapters::mock::{Script, Step};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, Response, StatusCode};
use http_body::Frame;
use http_body_util::BodyExt;
use tokio::time::{Sleep, sleep};

/// The answer that a script describes, after the wait it asks for.
pub async fn response(script: Script) -> Response<Body> {
    if !script.delay.is_zero() {
        sleep(script.delay).await;
    }
    let status = StatusCode::from_u16(script.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let kind = HeaderValue::from_static(script.content_type);
    let retry_after = script.retry_after;
    let mut response = Response::new(Scripted { script, waiting: None }.boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, kind);
    if let Some(seconds) = retry_after {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    response
}

struct Scripted {
    script: Script,
    waiting: Option<(Pin<Box<Sleep>>, Bytes)>,
}

impl http_body::Body for Scripted {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if let Some((wait, bytes)) = &mut self.waiting {
                ready!(wait.as_mut().poll(cx));
                let bytes = std::mem::take(bytes);
                self.waiting = None;
                return Poll::Ready(Some(Ok(Frame::data(bytes))));
            }
            match self.script.step() {
                Step::Send { after, bytes } if after.is_zero() => {
                    return Poll::Ready(Some(Ok(Frame::data(bytes))));
                }
                Step::Send { after, bytes } => self.waiting = Some((Box::pin(sleep(after)), bytes)),
                Step::Cut => return Poll::Ready(Some(Err("the mock broke off as it was told".into()))),
                Step::End => return Poll::Ready(None),
            }
        }
    }
}
