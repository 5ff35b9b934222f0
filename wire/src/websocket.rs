//! One exchange over a WebSocket of its own: opened, one text sent, and every message that comes back passed on as a line of
//! the answer's body, until the server closes. For providers that speak so; a request says it by its scheme.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use actors::ports::{BoxError, CallError, Request, Response};
use bytes::{Bytes, BytesMut};
use futures::{SinkExt, Stream};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Uri};
use http_body::Frame;
use http_body_util::{BodyExt, Full};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::net::BoxIo;

/// The longest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 4 << 20;
/// What the answer's body is.
const LINES: HeaderValue = HeaderValue::from_static("application/x-ndjson");

/// Whether a request is one for a WebSocket.
pub(crate) fn is_meant(uri: &Uri) -> bool {
    matches!(uri.scheme_str(), Some("ws" | "wss"))
}

/// Opens a socket over a connection, sends the request's body as one text, and gives what comes back. A server that refuses
/// to open it answers as servers do.
pub(crate) async fn exchange(io: BoxIo, target: &str, request: Request) -> Result<Response, CallError> {
    let broken = |error: &Error| CallError::Broken { target: target.to_owned(), reason: error.to_string() };
    let (parts, body) = request.into_parts();
    let mut opening = parts.uri.into_client_request().map_err(|error| broken(&error))?;
    opening.headers_mut().extend(parts.headers);
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES_MAX))
        .max_frame_size(Some(MESSAGE_BYTES_MAX));
    let mut socket = match client_async_with_config(opening, Lenient(io), Some(config)).await {
        Ok((socket, _)) => socket,
        Err(Error::Http(refusal)) => {
            let body = |bytes: Option<Vec<u8>>| Bytes::from(bytes.unwrap_or_default());
            return Ok(
                refusal.map(|bytes| Full::new(body(bytes)).map_err(|never| match never {}).boxed_unsync())
            );
        }
        Err(error) => return Err(broken(&error)),
    };
    let text = String::from_utf8(body.into()).map_err(|_| CallError::Broken {
        target: target.to_owned(),
        reason: "what is to be sent is no text".to_owned(),
    })?;
    socket.send(Message::text(text)).await.map_err(|error| broken(&error))?;
    let mut response = http::Response::new(Messages { socket, over: false }.boxed_unsync());
    response.headers_mut().insert(CONTENT_TYPE, LINES);
    Ok(response)
}

/// A connection to a server that closes at once and waits for no replies to its pings and its closing: that they cannot be
/// sent must not keep anybody from reading what it said before.
struct Lenient(BoxIo);

impl AsyncRead for Lenient {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buf)
    }
}

impl AsyncWrite for Lenient {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = ready!(Pin::new(&mut self.0).poll_write(cx, buf));
        Poll::Ready(written.or_else(|error| if is_closed(&error) { Ok(buf.len()) } else { Err(error) }))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = ready!(Pin::new(&mut self.0).poll_flush(cx));
        Poll::Ready(flushed.or_else(|error| if is_closed(&error) { Ok(()) } else { Err(error) }))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}

fn is_closed(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::BrokenPipe | io::ErrorKind::ConnectionReset)
}

/// What comes back.
struct Messages {
    socket: WebSocketStream<Lenient>,
    over: bool,
}

impl http_body::Body for Messages {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        loop {
            if self.over {
                return Poll::Ready(None);
            }
            let mut line = match ready!(Pin::new(&mut self.socket).poll_next(cx)) {
                Some(Ok(Message::Text(text))) => BytesMut::from(text.as_bytes()),
                Some(Ok(Message::Binary(bytes))) => BytesMut::from(&bytes[..]),
                // Answered by the library; nothing of the answer.
                Some(Ok(Message::Ping(_) | Message::Pong(_) | Message::Frame(_))) => continue,
                Some(Ok(Message::Close(_)) | Err(Error::ConnectionClosed | Error::AlreadyClosed)) | None => {
                    self.over = true;
                    return Poll::Ready(None);
                }
                Some(Err(error)) => {
                    self.over = true;
                    return Poll::Ready(Some(Err(io::Error::other(error).into())));
                }
            };
            line.extend_from_slice(b"\n");
            return Poll::Ready(Some(Ok(Frame::data(line.freeze()))));
        }
    }
}
