//! Providers, prices, API keys and join tokens: adding, listing, taking away.

use domain::limit::{Limit, Unit, window_text};
use domain::{KeyId, Money};
use http::Method;
use serde_json::{Value, json};

use super::api::{Api, escape};
use super::args::{KeyCommand, Named, PriceCommand, ProviderAdd, ProviderCommand, TokenCommand};
use super::failure::Failure;
use super::output::{self, Column};
use super::secret;
use super::target::Target;

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
    ("LIMITS", &["/limits"]),
    ("CREATED", &["/created_at"]),
];
const PRICES: &[Column] =
    &[("MODEL", &["/model"]), ("INPUT", &["/input"]), ("OUTPUT", &["/output"]), ("SET", &["/set_at"])];
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
        ProviderCommand::Remove { name, target } => {
            remove(&Api::new(&target)?, &target, ("providers", "provider"), &name).await
        }
    }
}

async fn add_provider(add: ProviderAdd) -> Result<(), Failure> {
    let key = add.access.key(|name| std::env::var(name).ok());
    if add.api_key.as_deref() == Some("-") && key.as_deref() == Some("-") {
        let reason = "standard input holds one secret: give --key or --api-key in another way";
        return Err(Failure::Usage(reason.to_owned()));
    }
    let mut body = provider_body(&add)?;
    // A variable that is set to nothing means none.
    if let Some(given) = add.api_key.as_deref().filter(|given| !given.is_empty()) {
        body["api_key"] = Value::from(secret::read(given, "--api-key").map_err(Failure::Usage)?);
    }
    let api = Api::at(add.node_url.as_deref(), &add.access)?;
    let answer = api.call(Method::POST, "/api/providers", Some(&body)).await?;
    let line = format!("provider {} offers {}", add.name, add.model.join(", "));
    super::print_one(&answer, add.access.json, &line)
}

/// The provider as the node wants it told, without its key.
fn provider_body(add: &ProviderAdd) -> Result<Value, Failure> {
    let models: Vec<Value> = add
        .model
        .iter()
        .map(|model| match model.split_once('=') {
            Some((name, own)) => json!({ "name": name, "own_name": own }),
            None => json!(model),
        })
        .collect();
    let mut options = serde_json::Map::new();
    for option in &add.option {
        let (name, value) = option.split_once('=').ok_or_else(|| {
            Failure::Usage(format!("--option {option} has no value: write it as NAME=VALUE"))
        })?;
        options.insert(name.to_owned(), value.into());
    }
    let mut body = json!({ "name": add.name, "kind": add.kind, "models": models });
    if let Some(url) = &add.url {
        body["url"] = url.as_str().into();
    }
    if !options.is_empty() {
        body["options"] = options.into();
    }
    Ok(body)
}

#[cfg(test)]
mod provider_tests {
    use clap::Parser;

    use super::*;
    use crate::cli::args::{Cli, Command};

    fn body(line: &str) -> Result<Value, Failure> {
        let Command::Provider(ProviderCommand::Add(add)) =
            Cli::try_parse_from(line.split(' ')).unwrap().command
        else {
            panic!("{line}")
        };
        provider_body(&add)
    }

    #[test]
    fn a_provider_is_told_with_its_own_names_and_options() {
        let line = "llmhub provider add --name a --kind azure --url https://r.example.com --model gpt=deployment-1 \
                    --model plain --option api_version=2024-10-21";
        let told = body(&line.split_whitespace().collect::<Vec<_>>().join(" ")).unwrap();
        let expected = json!({
            "name": "a", "kind": "azure", "url": "https://r.example.com",
            "models": [{ "name": "gpt", "own_name": "deployment-1" }, "plain"],
            "options": { "api_version": "2024-10-21" },
        });
        assert_eq!(told, expected);
        assert!(body("llmhub provider add --name a --model m --option x").is_err());
    }
}

/// `llmhub key`.
///
/// # Errors
/// What the node said.
pub(crate) async fn key(command: KeyCommand) -> Result<(), Failure> {
    match command {
        KeyCommand::Create { name, scope, limit, target } => {
            let mut body = json!({ "name": name });
            if !scope.is_empty() {
                body["scopes"] = json!(scope);
            }
            if !limit.is_empty() {
                body["limits"] = limits(&limit);
            }
            create(&target, "keys", &body, "key").await
        }
        KeyCommand::List(target) => {
            let mut answer = Api::new(&target)?.list("/api/keys", "keys").await?;
            if !target.access.json {
                for key in answer["keys"].as_array_mut().into_iter().flatten() {
                    key["limits"] = Value::from(used_of(key));
                }
            }
            super::print_rows(&answer, target.access.json, "keys", KEYS)
        }
        KeyCommand::Show(Named { name, target }) => {
            let api = Api::new(&target)?;
            let path = format!("/api/keys/{}", escape(&key_id(&api, &name).await?));
            let answer = api.call(Method::GET, &path, None).await?;
            let print = || super::print(&output::outline(&answer, 0));
            if target.access.json { super::print_json(&answer) } else { print() }
        }
        KeyCommand::Limit { name, limit, none: _, target } => {
            let api = Api::new(&target)?;
            let path = format!("/api/keys/{}/limits", escape(&key_id(&api, &name).await?));
            let body = json!({ "limits": limits(&limit) });
            let answer = api.call(Method::PUT, &path, Some(&body)).await?;
            let line = match &used_of(&answer)[..] {
                "" => format!("key {name} has no limits any more"),
                limits => format!("key {name} is limited: {limits}"),
            };
            super::print_one(&answer, target.access.json, &line)
        }
        KeyCommand::Revoke(named) => {
            let api = Api::new(&named.target)?;
            let id = key_id(&api, &named.name).await?;
            remove(&api, &named.target, ("keys", "key"), &id).await
        }
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
        TokenCommand::Revoke { id, target } => {
            remove(&Api::new(&target)?, &target, ("tokens", "token"), &id).await
        }
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
    let answer = Api::new(target)?.list(&format!("/api/{registry}"), registry).await?;
    super::print_rows(&answer, target.access.json, registry, columns)
}

async fn remove(
    api: &Api,
    target: &Target,
    (registry, what): (&str, &str),
    name: &str,
) -> Result<(), Failure> {
    let answer = api.call(Method::DELETE, &format!("/api/{registry}/{}", escape(name)), None).await?;
    super::print_one(&answer, target.access.json, &format!("{what} {name} is removed"))
}

/// `llmhub price`.
///
/// # Errors
/// What the node said.
pub(crate) async fn price(command: PriceCommand) -> Result<(), Failure> {
    match command {
        PriceCommand::Set { model, input, output, target } => {
            let body = json!({ "input": input.to_number(), "output": output.to_number() });
            let path = format!("/api/prices/{}", escape(&model));
            let answer = Api::new(&target)?.call(Method::PUT, &path, Some(&body)).await?;
            let line = format!("a million tokens of {model} cost {input} read and {output} written");
            super::print_one(&answer, target.access.json, &line)
        }
        PriceCommand::List(target) => {
            let mut answer = Api::new(&target)?.list("/api/prices", "prices").await?;
            if !target.access.json {
                for price in answer["prices"].as_array_mut().into_iter().flatten() {
                    for field in ["input", "output"] {
                        price[field] = Value::from(money(&price[field]));
                    }
                }
            }
            super::print_rows(&answer, target.access.json, "prices", PRICES)
        }
        PriceCommand::Remove { model, target } => {
            remove(&Api::new(&target)?, &target, ("prices", "the price of"), &model).await
        }
    }
}

/// Limits as requests have them.
fn limits(limits: &[Limit]) -> Value {
    let each = |limit: &Limit| {
        let amount = match limit.unit {
            Unit::Requests | Unit::Tokens => json!(limit.amount),
            Unit::Money => json!(Money(limit.amount).to_number()),
        };
        json!({ limit.unit.as_str(): amount, "window": window_text(limit.window_ms) })
    };
    limits.iter().map(each).collect()
}

/// A key's limits as people write them, each after what is used of it.
fn used_of(key: &Value) -> String {
    let text = |limit: &Value| {
        let of = |unit: &Unit| limit.get(unit.as_str()).is_some();
        let unit = Unit::ALL.into_iter().find(of).unwrap_or(Unit::Requests);
        let amount = |field: &str| match unit {
            Unit::Money => money(&limit[field]),
            Unit::Requests | Unit::Tokens => output::plain(&limit[field]),
        };
        let (amount, used, window) = (amount(unit.as_str()), amount("used"), output::plain(&limit["window"]));
        format!("{used} of {amount}{}/{window}", unit.short())
    };
    output::rows(key, "limits").iter().map(text).collect::<Vec<_>>().join(", ")
}

/// An amount of money as people write it.
fn money(amount: &Value) -> String {
    let money = amount.as_f64().and_then(|number| Money::from_number(number).ok());
    money.map_or_else(|| output::plain(amount), |money| money.to_string())
}

/// The id of a key that is named by it, or by its name.
async fn key_id(api: &Api, name: &str) -> Result<String, Failure> {
    match name.parse::<KeyId>() {
        Ok(_) => Ok(name.to_owned()),
        Err(_) => id_of(&api.list("/api/keys", "keys").await?, name),
    }
}

/// The id of the one key of this name.
fn id_of(answer: &Value, name: &str) -> Result<String, Failure> {
    let named = |key: &&Value| key["name"].as_str() == Some(name);
    let ids = output::rows(answer, "keys").iter().filter(named).filter_map(|key| key["id"].as_str());
    match ids.collect::<Vec<_>>()[..] {
        [id] => Ok(id.to_owned()),
        [] => Err(Failure::Usage(format!("there is no key `{name}`: `llmhub key list` shows names and ids"))),
        ref ids => Err(Failure::Usage(format!(
            "{} keys are named `{name}` ({}): name the one that is meant by its id",
            ids.len(),
            ids.join(", ")
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_by_its_name_when_only_one_has_it() {
        let keys = json!({ "keys": [
            { "id": "key-1", "name": "ci" }, { "id": "key-2", "name": "web" }, { "id": "key-3", "name": "web" },
        ]});
        assert_eq!(id_of(&keys, "ci").unwrap(), "key-1");
        assert!(id_of(&keys, "web").unwrap_err().to_string().contains("key-2, key-3"));
        assert!(id_of(&keys, "app").unwrap_err().to_string().contains("llmhub key list"));
    }
}
