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
    let asking = async {
        let answer = client.send(request, timeout).await.map_err(|e| e.to_string())?;
        let (head, mut body) = answer.into_parts();
        let mut read = 0;
        while let Some(Ok(frame)) = body.frame().await {
            read += frame.data_ref().map_or(0, Bytes::len);
            if read > BODY_MAX {
                break;
            }
        }
        Ok(head.status)
    };
    tokio::time::timeout(timeout, asking)
        .await
        .unwrap_or_else(|_| Err(format!("no answer within {timeout:?}")))
}
