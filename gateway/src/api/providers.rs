//! Providers: APIs outside the cluster. Their keys are sealed before they leave this node, and never shown.

use std::collections::BTreeMap;
use std::net::IpAddr;

use ::adapters::dialect::{self, Dialect, Spoken};
use ::adapters::openai::COMPATIBLE;
use axum::Json;
use axum::extract::{Path, State};
use domain::provider::{Api, Command, Kind, Provider};
use domain::secret::Sealed;
use domain::{Command as Change, ProviderName, State as Tables};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::page::Page;
use super::{Answer, adapters};
use crate::extract::{App, Fresh, MayAdmin, MayRead, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// The kind that needs no network.
pub(super) const MOCK: &str = "mock";

/// A provider to be added or replaced.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderRequest {
    name: String,
    /// Absent: its kind's own, if it has one.
    url: Option<String>,
    /// Absent: the key it has is kept, as long as its URL stays.
    api_key: Option<String>,
    models: Vec<Offer>,
    /// A dialect's name, programmed or declared, or `mock`.
    #[serde(default)]
    kind: Option<String>,
    #[serde(default)]
    options: BTreeMap<String, String>,
}

/// A model that a provider offers.
#[derive(Deserialize)]
#[serde(untagged)]
enum Offer {
    /// Called the same by clients and by the provider.
    Name(String),
    /// Called otherwise by the provider.
    Renamed { name: String, own_name: String },
}

fn shape(provider: &Provider) -> Value {
    let (kind, options) = match &provider.kind {
        Kind::OpenAi { .. } => (COMPATIBLE.name, None),
        Kind::Mock => (MOCK, None),
        Kind::Api(api) => (api.dialect.as_str(), Some(&api.options)),
    };
    let models = provider.models.iter().map(|name| match provider.own_name(name) {
        own if own == name => json!(name),
        own => json!({ "name": name, "own_name": own }),
    });
    json!({
        "name": provider.name,
        "kind": kind,
        "url": provider.kind.url(),
        "has_key": provider.sealed().is_some(),
        "models": models.collect::<Vec<_>>(),
        "options": options.cloned().unwrap_or_default(),
        "created_at": rfc3339(provider.created_at),
    })
}

pub(crate) async fn list(_: MayRead, Fresh(view): Fresh, page: Page) -> Answer {
    let (rows, next) = page.of(&view.state.providers)?;
    let providers: Vec<Value> = rows.into_iter().map(|p| shape(p)).collect();
    Ok(Json(json!({ "providers": providers, "next": next })))
}

pub(crate) async fn put(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Shaped(ask): Shaped<ProviderRequest>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let name = ProviderName(ask.name.clone());
    let (models, own_names) = offers(ask.models);
    let kind = match ask.kind.as_deref() {
        Some(MOCK) => Kind::Mock,
        kind => {
            let dialect = known(&app.deps.view.load().state, kind.unwrap_or(COMPATIBLE.name))?;
            let url = base_url(&*dialect, ask.url)?;
            let api_key = seal(&app, &name, &url, ask.api_key).await?;
            let plain = ask.options.is_empty() && own_names.is_empty();
            // Also programs that know no other dialects understand this one.
            if dialect.name() == COMPATIBLE.name && plain {
                Kind::OpenAi { url, api_key }
            } else {
                Kind::Api(Box::new(Api {
                    dialect: dialect.name().to_owned(),
                    url,
                    api_key,
                    options: ask.options,
                    own_names,
                }))
            }
        }
    };
    let row = Provider { name: name.clone(), kind, models, revision: 0, created_at: 0 };
    changes.commit(&app, Change::Provider(Command::Put(row.clone()))).await?;
    let view = app.deps.view.load();
    Ok((StatusCode::CREATED, Json(shape(view.state.providers.get(&name).map_or(&row, |row| &**row)))))
}

/// Models by the names clients ask for, and the provider's own names where they differ.
fn offers(offers: Vec<Offer>) -> (Vec<String>, BTreeMap<String, String>) {
    let mut own_names = BTreeMap::new();
    let models = offers.into_iter().map(|offer| match offer {
        Offer::Name(name) => name,
        Offer::Renamed { name, own_name } => {
            own_names.insert(name.clone(), own_name);
            name
        }
    });
    (models.collect(), own_names)
}

fn known(tables: &Tables, kind: &str) -> Result<Spoken, Problem> {
    adapters::spoken(tables, kind).unwrap_or_else(|| {
        let programmed = dialect::ALL.iter().map(|dialect| dialect.name());
        let names: Vec<&str> = programmed.chain(adapters::names(tables)).collect();
        let hint = format!("`{kind}` is not known: use {} or {MOCK}", names.join(", "));
        Err(Problem::bad_param("kind", hint))
    })
}

fn base_url(dialect: &dyn Dialect, given: Option<String>) -> Result<String, Problem> {
    let Some(url) = given.or_else(|| dialect.home().map(str::to_owned)) else {
        return Err(Problem::bad_param("url", "name the provider's base URL in `url`"));
    };
    let url = url.trim_end_matches('/').to_owned();
    check_url(&url)
        .map_err(|hint| Problem::bad_param("url", format!("the provider's URL is wrong: {hint}")))?;
    Ok(url)
}

async fn seal(
    app: &App,
    name: &ProviderName,
    url: &str,
    api_key: Option<String>,
) -> Result<Option<Sealed>, Problem> {
    match api_key.filter(|key| !key.is_empty()) {
        Some(key) if !key.bytes().all(|b| b.is_ascii_graphic()) => {
            Err(Problem::bad_param("api_key", "the API key has characters that a header cannot carry"))
        }
        Some(key) => Ok(Some(app.deps.vault.seal(name.as_str(), key.as_bytes()).await?)),
        // Kept for the same URL only: a key must not be sent where it was not meant to go.
        None => Ok(app
            .deps
            .view
            .load()
            .state
            .providers
            .get(name)
            .filter(|old| old.kind.url() == Some(url))
            .and_then(|old| old.sealed().cloned())),
    }
}

/// What can be told of a URL before its name is resolved; the HTTP client looks at the addresses.
fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
    if !matches!(uri.scheme_str(), Some("http" | "https" | "ws" | "wss")) {
        return Err("start it with http:// or https://");
    }
    if uri.authority().is_none_or(|a| a.as_str().contains('@')) {
        return Err("leave out user and password, and give the key as `api_key`");
    }
    if uri.query().is_some() {
        return Err("leave out what follows `?`");
    }
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    match host.parse::<IpAddr>() {
        Ok(IpAddr::V4(ip)) if ip.is_link_local() || ip.is_unspecified() || ip.is_multicast() => {
            Err("link-local and metadata addresses are not called")
        }
        Ok(IpAddr::V6(ip)) if ip.is_unicast_link_local() || ip.is_unspecified() || ip.is_multicast() => {
            Err("link-local and metadata addresses are not called")
        }
        _ => Ok(()),
    }
}

pub(crate) async fn remove(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(name): Path<String>,
) -> Answer {
    changes.commit(&app, Change::Provider(Command::Remove(ProviderName(name.clone())))).await?;
    Ok(Json(json!({ "deleted": name })))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_that_must_not_be_called_is_refused() {
        for good in ["https://api.example.com/v1", "http://127.0.0.1:8080/v1", "http://[::1]:1/v1"] {
            assert_eq!(check_url(good), Ok(()), "{good}");
        }
        for bad in [
            "ftp://a/v1",
            "a",
            "https://u:p@a/v1",
            "http://169.254.169.254/latest",
            "http://[fe80::1]/v1",
            "http://0.0.0.0/v1",
            "https://a/v1?key=x",
        ] {
            assert!(check_url(bad).is_err(), "{bad}");
        }
    }
}
