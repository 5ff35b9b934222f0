//! A small request that asks a target whether it is well. Used by actors; reads no more of the answer than it takes to
//! keep the connection.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode, header};
use http_body_util::BodyExt;

use crate::ports::Http;
use crate::secret::Secret;

/// Bytes of an answer read at most; a longer one costs its connection.
const BODY_MAX: usize = 64 * 1024;

/// Gets an address and tells the answer's status, or why there was none.
pub(crate) async fn get(
    client: &dyn Http,
    url: &str,
    bearer: Option<&Secret>,
    timeout: Duration,
) -> Result<StatusCode, String> {
    let mut request = Request::get(url);
    if let Some(bearer) = bearer {
        let mut value = header::HeaderValue::try_from(format!("Bearer {}", bearer.expose()))
            .map_err(|_| "its key holds characters that no header may hold".to_owned())?;
        value.set_sensitive(true);
        request = request.header(header::AUTHORIZATION, value);
    }
    let request = request.body(Bytes::new()).map_err(|e| format!("`{url}` is no address: {e}"))?;
    ask(client, request, timeout).await.map(|(status, _)| status)
}

/// Sends a small request and tells the answer's status and body, or why there was none. A body that is longer than
/// [`BODY_MAX`] is cut.
pub(crate) async fn ask(
    client: &dyn Http,
    request: Request<Bytes>,
    timeout: Duration,
) -> Result<(StatusCode, Vec<u8>), String> {
    let asking = async {
        let answer = client.send(request, timeout).await.map_err(|e| e.to_string())?;
        let (head, mut body) = answer.into_parts();
        let mut read = Vec::new();
        while let Some(Ok(frame)) = body.frame().await {
            read.extend_from_slice(frame.data_ref().map_or(&[][..], |bytes| bytes));
            if read.len() > BODY_MAX {
                read.truncate(BODY_MAX);
                break;
            }
        }
        Ok((head.status, read))
    };
    tokio::time::timeout(timeout, asking)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
}
