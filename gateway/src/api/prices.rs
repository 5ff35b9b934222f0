//! What models cost, for limits in money.

use axum::Json;
use axum::extract::{Path, State};
use domain::limits::PRICE_MAX;
use domain::price::{Command, Price, Rates};
use domain::{Command as Change, Money};
use serde::Deserialize;
use serde_json::{Value, json};

use super::Answer;
use super::page::Page;
use crate::extract::{App, Fresh, MayAdmin, MayRead, Shaped};
use crate::problem::Problem;
use crate::time_text::rfc3339;

/// What a million tokens of a model cost.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceRequest {
    input: f64,
    output: f64,
}

fn shape(price: &Price) -> Value {
    let Price { model, rates, set_at } = price;
    let [input, output] = [rates.input, rates.output].map(|rate| Money(rate).to_number());
    json!({ "model": model, "input": input, "output": output, "set_at": rfc3339(*set_at) })
}

pub(crate) async fn list(_: MayRead, Fresh(view): Fresh, page: Page) -> Answer {
    let (rows, next) = page.of(&view.state.prices)?;
    let prices: Vec<Value> = rows.into_iter().map(|price| shape(price)).collect();
    Ok(Json(json!({ "prices": prices, "next": next })))
}

pub(crate) async fn set(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(model): Path<String>,
    Shaped(ask): Shaped<PriceRequest>,
) -> Answer {
    let rate = |field: &str, number: f64| {
        let wrong = |hint: &str| Problem::bad_param(field, format!("{field}: {hint}"));
        match Money::from_number(number) {
            Ok(Money(rate)) if rate <= PRICE_MAX => Ok(rate),
            Ok(_) => Err(wrong(&format!("a million tokens cost {} at most", Money(PRICE_MAX)))),
            Err(hint) => Err(wrong(hint)),
        }
    };
    let rates = Rates { input: rate("input", ask.input)?, output: rate("output", ask.output)? };
    changes.commit(&app, Change::Price(Command::Set { model: model.clone(), rates })).await?;
    let view = app.deps.view.load();
    let price = view.state.prices.get(&model);
    Ok(Json(price.map_or(Value::Null, |price| shape(price))))
}

pub(crate) async fn remove(
    State(app): State<App>,
    MayAdmin(changes): MayAdmin,
    Path(model): Path<String>,
) -> Answer {
    changes.commit(&app, Change::Price(Command::Remove(model.clone()))).await?;
    Ok(Json(json!({ "deleted": model })))
}
