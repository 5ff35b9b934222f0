//! Providers, API keys and join tokens: adding, listing, taking away.

use http::Method;
use serde_json::{Value, json};

use super::api::{Api, escape};
use super::args::{KeyCommand, Named, ProviderAdd, ProviderCommand, Target, TokenCommand};
use super::failure::Failure;
use super::output::Column;
use super::secret;

const PROVIDERS: &[Column] = &[
    ("NAME", &["/name"]),
    ("KIND", &["/kind"]),
    ("URL", &["/url"]),
    ("KEY", &["/has_key"]),
    ("MODELS", &["/models"]),
    ("CREATED", &["/created_at"]),
];
const KEYS: &[Column] = &[
    ("ID", &["/id"]),
    ("NAME", &["/name"]),
    ("PREFIX", &["/prefix"]),
    ("SCOPES", &["/scopes"]),
    ("CREATED", &["/created_at"]),
];
const TOKENS: &[Column] = &[
    ("ID", &["/id"]),
    ("USES LEFT", &["/uses_left"]),
    ("EXPIRES", &["/expires_at"]),
    ("CREATED", &["/created_at"]),
];

/// `llmhub provider`.
///
/// # Errors
/// What the node said.
pub(crate) async fn provider(command: ProviderCommand) -> Result<(), Failure> {
    match command {
        ProviderCommand::Add(add) => add_provider(*add).await,
        ProviderCommand::List(target) => list(&target, "providers", PROVIDERS).await,
        ProviderCommand::Remove(named) => remove(&named, "providers", "provider").await,
    }
}

async fn add_provider(add: ProviderAdd) -> Result<(), Failure> {
    if add.api_key.as_deref() == Some("-") && add.access.key.as_deref() == Some("-") {
        let reason = "standard input holds one secret: give --key or --api-key in another way";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let mut body = json!({ "name": add.name, "url": add.url, "models": add.model });
    if let Some(given) = &add.api_key {
        body["api_key"] = Value::from(secret::read(given, "--api-key").map_err(Failure::Usage)?);
    }
    let api = Api::at(&add.node_url, &add.access)?;
    let answer = api.call(Method::POST, "/api/providers", Some(&body)).await?;
    let line = format!("provider {} offers {}", add.name, add.model.join(", "));
    super::print_one(&answer, add.access.json, &line)
}

/// `llmhub key`.
///
/// # Errors
/// What the node said.
pub(crate) async fn key(command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Create { name, scope, target } => {
            let mut body = json!({ "name": name });
            if !scope.is_empty() {
                body["scopes"] = json!(scope);
            }
            create(&target, "keys", &body, "key").await
        }
        KeyCommand::List(target) => list(&target, "keys", KEYS).await,
        KeyCommand::Revoke(named) => remove(&named, "keys", "key").await,
    }
}

/// `llmhub token`.
///
/// # Errors
/// What the node said.
pub(crate) async fn token(command: TokenCommand) -> Result<(), Failure> {
    match command {
        TokenCommand::Create { ttl, uses, target } => {
            create(&target, "tokens", &json!({ "ttl_s": ttl, "uses": uses }), "token").await
        }
        TokenCommand::List(target) => list(&target, "tokens", TOKENS).await,
        TokenCommand::Revoke(named) => remove(&named, "tokens", "token").await,
    }
}

/// Makes something whose text is shown once: alone on standard output, so that scripts can take it from there.
async fn create(target: &Target, registry: &str, body: &Value, field: &str) -> Result<(), Failure> {
    let answer = Api::new(target)?.call(Method::POST, &format!("/api/{registry}"), Some(body)).await?;
    let text =
        answer[field].as_str().ok_or_else(|| Failure::Failed(format!("the node answered no {field}")))?;
    if !target.access.json {
        eprintln!("{} is made; its text is shown this once:", answer["id"].as_str().unwrap_or(field));
    }
    super::print_one(&answer, target.access.json, text)
}

async fn list(target: &Target, registry: &str, columns: &[Column]) -> Result<(), Failure> {
    let answer = Api::new(target)?.call(Method::GET, &format!("/api/{registry}"), None).await?;
    super::print_rows(&answer, target.access.json, registry, columns)
}

async fn remove(named: &Named, registry: &str, what: &str) -> Result<(), Failure> {
    let path = format!("/api/{registry}/{}", escape(&named.name));
    let answer = Api::new(&named.target)?.call(Method::DELETE, &path, None).await?;
    super::print_one(&answer, named.target.access.json, &format!("{what} {} is removed", named.name))
}
