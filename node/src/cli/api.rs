//! A node's HTTP interface as the commands call it. One connection a call: a command makes a handful at most.

use std::time::Duration;

use actors::ports::Entropy as _;
use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST};
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::time::timeout;
use url::Url;

use super::failure::Failure;
use super::target::{self, Access, Target};
use super::{secret, unreachable};
use crate::os::entropy::OsEntropy;
use crate::os::outward::Outward;

/// How long an answer about the cluster may take, and how long a model's may before it begins.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// How long a model may be silent, before its answer and in the middle of it: longer than a gateway waits unless it is
/// configured to, so that its own words arrive. There is no limit on the whole.
const SILENCE_MAX: Duration = Duration::from_secs(660);
/// The largest answer that is read whole, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Rows of a page of a list.
const PAGE_ROWS: usize = 1_000;
/// The header under which a change that is sent twice happens once.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A node to ask.
pub(crate) struct Api {
    base: Url,
    key: Option<String>,
    outward: Outward,
    entropy: OsEntropy,
}

/// What went wrong with one request.
enum Trouble {
    /// The node did not get it, or said what it thinks of it.
    Certain(Failure),
    /// Whether the node did what it was asked for is not known: it said nothing, or not all of it.
    Unclear(Failure),
    /// The node does not know either, and says so.
    Untold(Failure),
}

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Certain(failure) | Trouble::Unclear(failure) | Trouble::Untold(failure) => failure,
        }
    }
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Certain(failure)
    }
}

impl Api {
    /// The node that the arguments name.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub(crate) fn new(target: &Target) -> Result<Self, Failure> {
        Self::at(target.url.as_deref(), &target.access)
    }

    /// The node at this address, or at the one that the environment names.
    ///
    /// # Errors
    /// What is wrong with the arguments.
    pub(crate) fn at(url: Option<&str>, access: &Access) -> Result<Self, Failure> {
        let environment = |name: &str| std::env::var(name).ok();
        let key = access.key(environment).map(|given| secret::read(&given, "--key")).transpose();
        let mut api = Self::open(&target::url(url, environment), key.map_err(Failure::Usage)?)?;
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
        Ok(Self { base, key, outward: Outward::unchecked(None)?, entropy: OsEntropy::default() })
    }

    /// Looks something up, or changes something, and reads the answer. A change of which it is not known whether it was
    /// made is asked for once more, under the same key, so that it is made once.
    ///
    /// # Errors
    /// What the node, or the network, said.
    pub(crate) async fn call(
        &self,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        if method == Method::GET {
            return Ok(self.once(&method, path, body, None).await?);
        }
        let key = format!("{:016x}{:016x}", self.entropy.draw(), self.entropy.draw());
        match self.once(&method, path, body, Some(&key)).await {
            Err(Trouble::Unclear(first) | Trouble::Untold(first)) => {
                match self.once(&method, path, body, Some(&key)).await {
                    Err(Trouble::Certain(Failure::Unreachable(_)) | Trouble::Unclear(_)) => {
                        Err(Failure::Unavailable(format!(
                            "{first}; the change may or may not have been made: look before you ask for it again"
                        )))
                    }
                    second => Ok(second?),
                }
            }
            first => Ok(first?),
        }
    }

    /// Lists all rows of this name, page by page.
    ///
    /// # Errors
    /// What the node, or the network, said.
    pub(crate) async fn list(&self, path: &str, rows: &str) -> Result<Value, Failure> {
        let page = |after: &str| format!("{path}?limit={PAGE_ROWS}{after}");
        let mut all = self.call(Method::GET, &page(""), None).await?;
        // A node of an older version gives all at once, and no `next`.
        while let Some(next) = all["next"].as_str().map(|next| format!("&after={}", escape(next))) {
            let mut more = self.call(Method::GET, &page(&next), None).await?;
            if let (Some(all), Some(more)) = (all[rows].as_array_mut(), more[rows].as_array_mut()) {
                all.append(more);
            }
            all["next"] = more["next"].take();
        }
        Ok(all)
    }

    /// Asks a model; its answer is still to be read.
    ///
    /// # Errors
    /// What the node, or the network, said.
    pub(crate) async fn infer(&self, path: &str, body: &Value) -> Result<Answer, Failure> {
        let request = self.request(&Method::POST, path, Some(body), None)?;
        let response = self.begin(request, SILENCE_MAX).await?;
        Ok(Answer(response.into_body()))
    }

    /// Asks for something long; it is still to be read.
    ///
    /// # Errors
    /// What the node, or the network, said.
    pub(crate) async fn download(&self, path: &str) -> Result<Answer, Failure> {
        let request = self.request(&Method::GET, path, None, None)?;
        Ok(Answer(self.begin(request, ANSWER_TIMEOUT).await?.into_body()))
    }

    async fn once(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Value, Trouble> {
        let request = self.request(method, path, body, idempotency_key)?;
        let body = self.begin(request, ANSWER_TIMEOUT).await?.into_body();
        let whole = timeout(ANSWER_TIMEOUT, Limited::new(body, ANSWER_BYTES_MAX).collect()).await;
        let bytes = match whole {
            Ok(body) => body.map_err(|e| Trouble::Unclear(broken(&e.to_string())))?.to_bytes(),
            Err(_) => return Err(Trouble::Unclear(late(ANSWER_TIMEOUT))),
        };
        Ok(self.json(&bytes)?)
    }

    /// Sends a request and waits for its answer to begin; an answer that is a refusal is read.
    async fn begin(
        &self,
        request: Request<Full<Bytes>>,
        patience: Duration,
    ) -> Result<Response<Incoming>, Trouble> {
        let Ok(response) = timeout(patience, self.exchange(request)).await else {
            let silent = format!("{} did not answer within {patience:?}", self.base);
            return Err(Trouble::Unclear(Failure::Unavailable(silent)));
        };
        let response = response?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body = timeout(ANSWER_TIMEOUT, body).await.ok().and_then(Result::ok);
        let failure = self.refusal(status, &body.map(|body| body.to_bytes()).unwrap_or_default());
        // The node could not find out whether the change was made.
        let untold = status == StatusCode::GATEWAY_TIMEOUT;
        Err(if untold { Trouble::Untold(failure) } else { Trouble::Certain(failure) })
    }

    fn json(&self, bytes: &[u8]) -> Result<Value, Failure> {
        if bytes.is_empty() {
            return Ok(Value::Null);
        }
        serde_json::from_slice(bytes).map_err(|e| {
            Failure::Failed(format!("{} answered no JSON ({e}): is it an LLMHub node?", self.base))
        })
    }

    fn request(
        &self,
        method: &Method,
        path: &str,
        body: Option<&Value>,
        idempotency_key: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, Failure> {
        let prefix = self.base.path().trim_end_matches('/');
        let mut request = Request::builder().method(method).uri(format!("{prefix}{path}"));
        request = request.header(HOST, self.base.authority()).header(ACCEPT, "*/*");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        if let Some(key) = idempotency_key {
            request = request.header(IDEMPOTENCY_KEY, key);
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

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>, Trouble> {
        let (host, tls) = (self.base.host_str().unwrap_or_default(), self.base.scheme() == "https");
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = self.base.port_or_known_default().unwrap_or(80);
        let io = self.outward.connect(host, port, tls).await;
        let io = io.map_err(|e| Failure::Unreachable(unreachable::words(&self.base, &e)))?;
        // What breaks from here on may have reached the node.
        let lost = |e: hyper::Error| {
            Trouble::Unclear(Failure::Unreachable(unreachable::words(&self.base, &std::io::Error::other(e))))
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(io)).await.map_err(lost)?;
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(lost)
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

/// An answer that is still coming.
pub(crate) struct Answer(Incoming);

impl Answer {
    /// The next bytes of it; `None` at its end.
    ///
    /// # Errors
    /// When it breaks off, or nothing comes for long.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Failure> {
        while let Some(frame) = timeout(SILENCE_MAX, self.0.frame()).await.map_err(|_| late(SILENCE_MAX))? {
            if let Ok(bytes) = frame.map_err(|e| broken(&e.to_string()))?.into_data() {
                return Ok(Some(bytes));
            }
        }
        Ok(None)
    }

    /// All of it, as JSON.
    ///
    /// # Errors
    /// When it breaks off, or is none.
    pub(crate) async fn json(mut self) -> Result<Value, Failure> {
        let mut whole = Vec::new();
        while let Some(bytes) = self.next().await? {
            whole.extend_from_slice(&bytes);
            if whole.len() > ANSWER_BYTES_MAX {
                return Err(broken("it is too long"));
            }
        }
        serde_json::from_slice(&whole).map_err(|e| broken(&format!("it is no JSON ({e})")))
    }
}

/// An answer that does not go on.
pub(crate) fn broken(reason: &str) -> Failure {
    Failure::Unavailable(format!("the answer broke off: {reason}"))
}

fn late(limit: Duration) -> Failure {
    broken(&format!("nothing came for {limit:?}"))
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

    /// The next request of a listener, cut off without an answer or answered.
    async fn heard(listener: &TcpListener, answer: Option<&str>) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 4096];
        let len = stream.read(&mut heard).await.unwrap();
        if let Some(answer) = answer {
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
        String::from_utf8_lossy(&heard[..len]).into_owned()
    }

    fn idempotency_key(heard: &str) -> Option<&str> {
        heard.lines().find_map(|line| line.strip_prefix("idempotency-key: "))
    }

    #[tokio::test]
    async fn a_change_whose_connection_broke_is_sent_once_more_under_the_same_key() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::open(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
        let served = async {
            let first = heard(&listener, None).await;
            (first, heard(&listener, Some("HTTP/1.1 201 X\r\ncontent-length: 2\r\n\r\n{}")).await)
        };
        let (answer, (first, second)) = tokio::join!(api.call(Method::POST, "/api/keys", None), served);
        assert!(answer.is_ok());
        assert!(idempotency_key(&first).is_some_and(|key| key.len() == 32), "{first}");
        assert_eq!(idempotency_key(&first), idempotency_key(&second));
        let asked_again = async {
            heard(&listener, None).await;
            drop(listener);
        };
        let (answer, ()) = tokio::join!(api.call(Method::DELETE, "/api/keys/key-1", None), asked_again);
        let failure = answer.unwrap_err();
        assert!(failure.code() == 5 && failure.to_string().contains("may or may not"), "{failure}");
    }

    /// The next request of a listener, which is given no answer for longer than it may take.
    async fn left_waiting(listener: &TcpListener) -> String {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut heard = vec![0; 4096];
        let len = stream.read(&mut heard).await.unwrap();
        tokio::time::pause();
        tokio::time::advance(ANSWER_TIMEOUT).await;
        tokio::time::resume();
        String::from_utf8_lossy(&heard[..len]).into_owned()
    }

    #[tokio::test]
    async fn a_change_that_is_not_answered_in_time_is_sent_once_more_and_then_told_as_unclear() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::open(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
        let served = async {
            let first = left_waiting(&listener).await;
            (first, heard(&listener, Some("HTTP/1.1 201 X\r\ncontent-length: 2\r\n\r\n{}")).await)
        };
        let (answer, (first, second)) = tokio::join!(api.call(Method::POST, "/api/keys", None), served);
        assert!(answer.is_ok());
        assert!(idempotency_key(&first).is_some());
        assert_eq!(idempotency_key(&first), idempotency_key(&second));
        let served = async {
            left_waiting(&listener).await;
            left_waiting(&listener).await;
        };
        let (answer, ()) = tokio::join!(api.call(Method::DELETE, "/api/keys/key-1", None), served);
        let failure = answer.unwrap_err();
        assert!(failure.code() == 5 && failure.to_string().contains("may or may not"), "{failure}");
    }

    #[test]
    fn a_model_may_be_silent_for_longer_than_a_gateway_waits_for_it() {
        let gateway = gateway::Config::default();
        let waits = [gateway.answer_timeout_ms, gateway.first_byte_timeout_ms, gateway.idle_timeout_ms];
        assert!(waits.iter().all(|ms| SILENCE_MAX > Duration::from_millis(*ms)), "{waits:?}");
    }

    #[tokio::test]
    async fn a_look_is_neither_repeated_nor_given_a_key() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::open(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
        let (answer, heard) = tokio::join!(api.call(Method::GET, "/", None), heard(&listener, None));
        assert_eq!((answer.unwrap_err().code(), idempotency_key(&heard)), (3, None));
    }

    #[tokio::test]
    async fn a_models_answer_is_asked_for_once_and_told_when_it_breaks_off() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::open(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
        let cut = Some("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n[1");
        let asked = async { api.infer("/v1/chat/completions", &Value::Null).await?.json().await };
        let (answer, heard) = tokio::join!(asked, heard(&listener, cut));
        assert_eq!((answer.unwrap_err().code(), idempotency_key(&heard)), (5, None));
    }

    #[tokio::test]
    async fn a_list_is_asked_for_page_by_page() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let api = Api::open(&format!("http://{}", listener.local_addr().unwrap()), None).unwrap();
        let page = |body: &str| format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len());
        let served = async {
            heard(&listener, Some(&page(r#"{"keys":[1,2],"next":"a/b"}"#))).await;
            heard(&listener, Some(&page(r#"{"keys":[3],"next":null}"#))).await
        };
        let (answer, second) = tokio::join!(api.list("/api/keys", "keys"), served);
        assert_eq!(answer.unwrap(), serde_json::json!({ "keys": [1, 2, 3], "next": null }));
        assert!(second.starts_with("GET /api/keys?limit=1000&after=a%2Fb HTTP/1.1\r\n"), "{second}");
    }

    #[test]
    fn names_are_escaped_in_paths() {
        assert_eq!(escape("meta/llama-3:8b"), "meta%2Fllama-3:8b");
        assert_eq!(escape("a b?c"), "a%20b%3Fc");
    }
}
