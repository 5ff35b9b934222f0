//! API keys: made here, shown once, kept as hashes; and what each may use.

use axum::Json;
use axum::extract::{Path, State};
use domain::decide::limiter::turned;
use domain::key::{Command, Key, Scope};
use domain::limit::{self, Limit, Unit, parse_window, window_text};
use domain::{Command as Change, KeyId, Millis, Money, Reply, View};
use http::StatusCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use super::page::Page;
use crate::auth::{KEY_PREFIX, hash};
use crate::extract::{App, Fresh, MayAdmin, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// Characters of a key's text that are kept to recognise it by.
const SHOWN: usize = KEY_PREFIX.len() + 6;

/// A key to be made.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyRequest {
    name: String,
    scopes: Option<Vec<String>>,
    #[serde(default)]
    limits: Vec<LimitRequest>,
}

/// What a key may use in each window: requests, tokens or money.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitRequest {
    requests: Option<u64>,
    tokens: Option<u64>,
    money: Option<f64>,
    window: String,
}

/// All limits that a key is to have.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LimitsRequest {
    limits: Vec<LimitRequest>,
}

/// A key as it is shown; `now` is the time of day.
fn shape(view: &View, key: &Key, now: Millis) -> Value {
    let limits: Vec<Value> = key.limits.iter().map(|limit| limit_shape(view, key.id, limit, now)).collect();
    json!({
        "id": key.id.to_string(),
        "name": key.name,
        "prefix": key.prefix,
        "scopes": key.scopes,
        "limits": limits,
        "created_at": rfc3339(key.created_at),
    })
}

/// A limit, and what its window has used: what nodes hold and have not used is apart.
fn limit_shape(view: &View, key: KeyId, limit: &Limit, now: Millis) -> Value {
    let id = limit.counter(key);
    let now = now.max(view.state.clock());
    let counter = turned(view.state.limit_counters.get(&id).map(|c| &**c), limit, now);
    let leases = limit::leases(&view.state, id).filter(|lease| lease.window == counter.window);
    let leased: u64 = leases.map(|lease| lease.granted.saturating_sub(lease.used)).sum();
    let number = |amount| number(limit.unit, amount);
    json!({
        limit.unit.as_str(): number(limit.amount),
        "window": window_text(limit.window_ms),
        "used": number(counter.given.saturating_sub(leased)),
        "leased": number(leased),
        "left": number(limit.amount.saturating_sub(counter.given)),
        "resets_at": rfc3339(counter.window + limit.window_ms),
    })
}

/// An amount of a unit as it is shown.
fn number(unit: Unit, amount: u64) -> Value {
    match unit {
        Unit::Requests | Unit::Tokens => json!(amount),
        Unit::Money => json!(Money(amount).to_number()),
    }
}

pub(crate) async fn list(State(app): State<App>, _: MayAdmin, Fresh(view): Fresh, page: Page) -> Answer {
    let (rows, next) = page.of(&view.state.keys)?;
    let now = app.deps.clock.now();
    let keys: Vec<Value> = rows.into_iter().map(|key| shape(&view, key, now)).collect();
    Ok(Json(json!({ "keys": keys, "next": next })))
}

pub(crate) async fn get(
    State(app): State<App>,
    _: MayAdmin,
    Fresh(view): Fresh,
    Path(id): Path<String>,
) -> Answer {
    show(&app, &view, parse_id(&id)?)
}

fn show(app: &App, view: &View, id: KeyId) -> Answer {
    let key = view.state.keys.get(&id);
    let key =
        key.ok_or_else(|| Problem::not_found(format!("there is no key {id}: GET /api/keys lists them")))?;
    Ok(Json(shape(view, key, app.deps.clock.now())))
}

fn parse_id(id: &str) -> Result<KeyId, Problem> {
    id.parse().map_err(|e: domain::ids::ParseError| Problem::bad_param("id", e.to_string()))
}

pub(crate) async fn set_limits(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(id): Path<String>,
    Shaped(ask): Shaped<LimitsRequest>,
) -> Answer {
    let (id, limits) = (parse_id(&id)?, limits(ask.limits)?);
    changes.commit(&app, Change::Key(Command::SetLimits { id, limits })).await?;
    show(&app, &app.deps.view.load(), id)
}

/// The limits that a request asks for; what is wrong is told by its place.
fn limits(asked: Vec<LimitRequest>) -> Result<Vec<Limit>, Problem> {
    let wrong = |n: usize, field: &str, hint: &str| {
        Problem::bad_param(&format!("limits[{n}].{field}"), format!("limit {} of the key: {hint}", n + 1))
    };
    let mut limits = Vec::new();
    for (n, LimitRequest { requests, tokens, money, window }) in asked.into_iter().enumerate() {
        let (unit, amount) = match (requests, tokens, money) {
            (Some(amount), None, None) => (Unit::Requests, amount),
            (None, Some(amount), None) => (Unit::Tokens, amount),
            (None, None, Some(amount)) => {
                (Unit::Money, Money::from_number(amount).map_err(|hint| wrong(n, "money", hint))?.0)
            }
            _ => return Err(wrong(n, "requests", "give one of `requests`, `tokens` and `money`")),
        };
        let window_ms = parse_window(&window).map_err(|hint| wrong(n, "window", &hint))?;
        let limit = Limit { unit, amount, window_ms };
        limit
            .check()
            .map_err(|(field, hint)| wrong(n, if field == "amount" { unit.as_str() } else { field }, hint))?;
        limits.push(limit);
    }
    limit::check(&limits).map_err(|(_, hint)| Problem::bad_param("limits", hint))?;
    Ok(limits)
}

pub(crate) async fn create(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Shaped(ask): Shaped<KeyRequest>,
) -> Result<(StatusCode, Json<Value>), Problem> {
    let scopes = scopes(ask.scopes)?;
    let mut secret = [0; 32];
    app.deps.entropy.fill(&mut secret);
    let text = format!("{KEY_PREFIX}{}", hex::encode(secret));
    let hash = hash(text.as_bytes()).to_vec();
    let prefix = text[..SHOWN].to_owned();
    let limits = limits(ask.limits)?;
    let command = Command::create(ask.name, hash.clone(), prefix, scopes, limits);
    let reply = changes.commit(&app, Change::Key(command)).await?;
    let view = app.deps.view.load();
    let row = match reply {
        Reply::Key(id) => view.state.keys.get(&id).filter(|row| row.hash == hash),
        _ => None,
    };
    // A repeated request gets the first outcome, whose text was shown then and cannot be shown again.
    let row = row.ok_or_else(|| {
        Problem::conflict(
            "this request made its key before: if its text was lost, revoke it and make another",
        )
    })?;
    let mut body = shape(&view, row, app.deps.clock.now());
    body["key"] = json!(text);
    Ok((StatusCode::CREATED, Json(body)))
}

fn scopes(asked: Option<Vec<String>>) -> Result<Vec<Scope>, Problem> {
    let Some(asked) = asked else { return Ok(vec![Scope::Inference]) };
    let mut scopes = Vec::new();
    for text in asked {
        let scope = Scope::parse(&text).ok_or_else(|| {
            Problem::bad_param("scopes", "name scopes of `inference`, `read`, `deploy` and `admin`")
        })?;
        if !scopes.contains(&scope) {
            scopes.push(scope);
        }
    }
    Ok(scopes)
}

pub(crate) async fn revoke(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(id): Path<String>,
) -> Answer {
    let id = parse_id(&id)?;
    changes.commit(&app, Change::Key(Command::Revoke(id))).await?;
    Ok(Json(json!({ "deleted": id.to_string() })))
}
