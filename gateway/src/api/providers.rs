//! Providers: APIs outside the cluster. Their keys are sealed before they leave this node, and never shown.

use std::net::IpAddr;

use axum::Json;
use axum::extract::{Path, State};
use domain::provider::{Command, Kind, Provider};
use domain::{Command as Change, ProviderName};
use http::{StatusCode, Uri};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use super::page::Page;
use crate::extract::{App, Fresh, MayAdmin, MayRead, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// A provider to be added or replaced.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProviderRequest {
    name: String,
    url: Option<String>,
    /// Absent: the key it has is kept, as long as its URL stays.
    api_key: Option<String>,
    models: Vec<String>,
    #[serde(default)]
    kind: KindRequest,
}

/// What a provider speaks.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum KindRequest {
    #[default]
    OpenAi,
    Mock,
}

fn shape(provider: &Provider) -> Value {
    let (kind, url, has_key) = match &provider.kind {
        Kind::OpenAi { url, api_key } => ("openai", Some(url), api_key.is_some()),
        Kind::Mock => ("mock", None, false),
    };
    json!({
        "name": provider.name,
        "kind": kind,
        "url": url,
        "has_key": has_key,
        "models": provider.models,
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
    let name = ProviderName(ask.name);
    let kind = match ask.kind {
        KindRequest::Mock => Kind::Mock,
        KindRequest::OpenAi => open_ai(&app, &name, ask.url, ask.api_key).await?,
    };
    let row = Provider { name: name.clone(), kind, models: ask.models, revision: 0, created_at: 0 };
    changes.commit(&app, Change::Provider(Command::Put(row.clone()))).await?;
    let view = app.deps.view.load();
    Ok((StatusCode::CREATED, Json(shape(view.state.providers.get(&name).map_or(&row, |row| &**row)))))
}

async fn open_ai(
    app: &App,
    name: &ProviderName,
    url: Option<String>,
    api_key: Option<String>,
) -> Result<Kind, Problem> {
    let url = url.ok_or_else(|| Problem::bad_param("url", "name the provider's base URL in `url`"))?;
    let url = url.trim_end_matches('/').to_owned();
    check_url(&url)
        .map_err(|hint| Problem::bad_param("url", format!("the provider's URL is wrong: {hint}")))?;
    let api_key = match api_key.filter(|key| !key.is_empty()) {
        Some(key) if !key.bytes().all(|b| b.is_ascii_graphic()) => {
            return Err(Problem::bad_param(
                "api_key",
                "the API key has characters that a header cannot carry",
            ));
        }
        Some(key) => Some(app.deps.vault.seal(name.as_str(), key.as_bytes()).await?),
        None => match app.deps.view.load().state.providers.get(name).map(|old| &old.kind) {
            // Kept for the same URL only: a key must not be sent where it was not meant to go.
            Some(Kind::OpenAi { url: old, api_key }) if *old == url => api_key.clone(),
            _ => None,
        },
    };
    Ok(Kind::OpenAi { url, api_key })
}

/// What can be told of a URL before its name is resolved; the HTTP client looks at the addresses.
fn check_url(url: &str) -> Result<(), &'static str> {
    let uri: Uri = url.parse().map_err(|_| "it is not a URL")?;
    if !matches!(uri.scheme_str(), Some("http" | "https")) {
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
