//! A node's HTTP interface as the commands call it. One connection a call: a command makes a handful at most.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use url::Url;

use super::args::{Access, Target};
use super::failure::Failure;
use super::secret;
use crate::os::outward::Outward;

/// How long an answer may take to begin; a streamed one then may go on for as long as it likes.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer that is read whole, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A node to ask.
pub(crate) struct Api {
    base: Url,
    key: Option<String>,
    outward: Outward,
}

impl Api {
    /// The node that the arguments name.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub(crate) fn new(target: &Target) -> Result<Self, Failure> {
        Self::at(&target.url, &target.access)
    }

    /// The node at this address.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub(crate) fn at(url: &str, access: &Access) -> Result<Self, Failure> {
        // A variable that is set to nothing means none.
        let key = access.key.as_deref().filter(|key| !key.is_empty());
        let key = key.map(|given| secret::read(given, "--key")).transpose();
        let mut api = Self::open(url, key.map_err(Failure::Usage)?)?;
        if let Some(ca_file) = &access.ca_file {
            api.outward = Outward::unchecked(Some(ca_file)).map_err(|e| Failure::Usage(e.to_string()))?;
        }
        Ok(api)
    }

    /// The node at this address, asked with this key.
    ///
    /// # Errors
    /// When the address is none.
    pub(crate) fn open(url: &str, key: Option<String>) -> Result<Self, Failure> {
        let wrong = || Failure::Usage(format!("`{url}` is no address of a node: write http://HOST:PORT"));
        let base = Url::parse(url).map_err(|_| wrong())?;
        if !matches!(base.scheme(), "http" | "https") || base.host_str().is_none() {
            return Err(wrong());
        }
        Ok(Self { base, key, outward: Outward::unchecked(None)? })
    }

    /// Asks and reads the answer.
    ///
    /// # Errors
    /// What the node, or the network, said.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        let response = self.send(method, path, body).await?;
        let bytes = whole(response).await?;
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(&bytes).map_err(|e| {
            Failure::Failed(format!("{} answered no JSON ({e}): is it an LLMHub node?", self.base))
        })
    }

    /// Asks; the answer's body is still to be read.
    ///
    /// # Errors
    /// What the node, or the network, said.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Response<Incoming>, Failure> {
        let exchange = self.exchange(self.request(method, path, body)?);
        let late = || Failure::Unavailable(format!("{} did not answer within {ANSWER_TIMEOUT:?}", self.base));
        let response = tokio::time::timeout(ANSWER_TIMEOUT, exchange).await.map_err(|_| late())??;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = whole(response).await.unwrap_or_default();
        Err(self.refusal(status, &body))
    }

    fn request(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let prefix = self.base.path().trim_end_matches('/');
        let mut request = Request::builder().method(method).uri(format!("{prefix}{path}"));
        request = request.header(HOST, self.base.authority()).header(ACCEPT, "*/*");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        let body = match body {
            Some(body) => {
                request = request.header(CONTENT_TYPE, "application/json");
                Full::from(body.to_string())
            }
            None => Full::default(),
        };
        // Only a key with line breaks or the like cannot be a header.
        request
            .body(body)
            .map_err(|e| Failure::Usage(format!("the request cannot be made ({e}): check --key")))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Failure> {
        let (host, tls) = (self.base.host_str().unwrap_or_default(), self.base.scheme() == "https");
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = self.base.port_or_known_default().unwrap_or(80);
        let unreachable = |e: &dyn std::fmt::Display| {
            Failure::Unreachable(format!(
                "no node answers at {} ({e}): is it running? name another with --url or LLMHUB_URL",
                self.base
            ))
        };
        let io = self.outward.connect(host, port, tls).await.map_err(|e| unreachable(&e))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(io)).await.map_err(|e| unreachable(&e))?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|e| unreachable(&e))
    }

    fn refusal(&self, status: StatusCode, body: &[u8]) -> Failure {
        let said: Value = serde_json::from_slice(body).unwrap_or_default();
        let said = said["error"]["message"].as_str().map(str::to_owned);
        let mut message = said.unwrap_or_else(|| format!("{} answered HTTP {}", self.base, status.as_u16()));
        if status.is_server_error() {
            return Failure::Unavailable(message);
        }
        if status == StatusCode::UNAUTHORIZED {
            message.push_str("; on the command line: --key KEY, --key @FILE or LLMHUB_KEY");
        }
        Failure::Refused { status: status.as_u16(), message }
    }
}

async fn whole(response: Response<Incoming>) -> Result<Bytes, Failure> {
    let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
    let broken = |reason: String| Failure::Unavailable(format!("the answer broke off: {reason}"));
    match tokio::time::timeout(ANSWER_TIMEOUT, body).await {
        Ok(body) => Ok(body.map_err(|e| broken(e.to_string()))?.to_bytes()),
        Err(_) => Err(broken(format!("nothing came for {ANSWER_TIMEOUT:?}"))),
    }
}

/// A name or id as part of a path.
pub(crate) fn escape(name: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~:@".contains(&byte);
    name.bytes().map(|b| if plain(b) { char::from(b).to_string() } else { format!("%{b:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that gives one answer and tells what it was asked.
    async fn asked(answer: &'static str) -> (Result<Value, Failure>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api =
            Api::open(&format!("http://{}", listener.local_addr().unwrap()), Some("sk-x".into())).unwrap();
        let serve = async {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut heard = vec![0; 4096];
            let len = stream.read(&mut heard).await.unwrap();
            stream.write_all(answer.as_bytes()).await.unwrap();
            String::from_utf8_lossy(&heard[..len]).into_owned()
        };
        tokio::join!(api.call(Method::GET, "/api/nodes", None), serve)
    }

    #[tokio::test]
    async fn a_call_carries_the_key_and_gives_the_answer() {
        let (answer, heard) = asked("HTTP/1.1 200 OK\r\ncontent-length: 13\r\n\r\n{\"nodes\": []}").await;
        assert_eq!(answer.unwrap()["nodes"], serde_json::json!([]));
        assert!(heard.starts_with("GET /api/nodes HTTP/1.1\r\n"), "{heard}");
        assert!(heard.contains("authorization: Bearer sk-x\r\n"), "{heard}");
    }

    #[tokio::test]
    async fn refusals_and_outages_have_codes_of_their_own() {
        let body = "{\"error\":{\"message\":\"no\"}}";
        assert_eq!(body.len(), 26);
        let (refused, _) =
            asked("HTTP/1.1 409 X\r\ncontent-length: 26\r\n\r\n{\"error\":{\"message\":\"no\"}}").await;
        let refused = refused.unwrap_err();
        assert_eq!((refused.code(), refused.to_string().as_str()), (4, "no (HTTP 409)"));
        let (down, _) = asked("HTTP/1.1 503 X\r\ncontent-length: 0\r\n\r\n").await;
        assert_eq!(down.unwrap_err().code(), 5);
        let (no_key, _) = asked("HTTP/1.1 401 X\r\ncontent-length: 0\r\n\r\n").await;
        assert!(no_key.unwrap_err().to_string().contains("LLMHUB_KEY"));
        let nobody = Api::open("http://127.0.0.1:1", None).unwrap();
        assert_eq!(nobody.call(Method::GET, "/", None).await.unwrap_err().code(), 3);
        assert_eq!(Api::open("ftp://x", None).err().unwrap().code(), 2);
    }

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(escape("meta/llama-3:8b"), "meta%2Fllama-3:8b");
        assert_eq!(escape("a b?c"), "a%20b%3Fc");
    }
}
