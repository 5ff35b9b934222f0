//! Where Spark's models are, and what is known about them.

use crate::call::Target;
use crate::models::{Known, ListPrice};

/// Where iFlytek publishes them.
const SOURCE: &str = "https://www.xfyun.cn/doc/spark/Web.html";
/// Where it publishes the models that think.
const SOURCE_X: &str = "https://xfyun.cn/doc/spark/X1ws.html";

/// Where a model is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// What messages call it.
    pub(super) domain: &'a str,
    /// Its path.
    pub(super) path: &'static str,
    /// Whether it thinks before it answers, and takes what such models take.
    pub(super) thinks: bool,
}

/// By what names clients may know a model, and where it is.
type Row = (&'static [&'static str], Place<'static>);

const fn at(domain: &'static str, path: &'static str) -> Place<'static> {
    Place { domain, path, thinks: false }
}

const fn thinking(domain: &'static str, path: &'static str) -> Place<'static> {
    Place { domain, path, thinks: true }
}

const PLACES: &[Row] = &[
    (&["generalv3.5", "spark-max", "max"], at("generalv3.5", "/v3.5/chat")),
    (&["lite", "general", "spark-lite"], at("lite", "/v1.1/chat")),
    (&["generalv2"], at("generalv2", "/v2.1/chat")),
    (&["generalv3", "spark-pro", "pro"], at("generalv3", "/v3.1/chat")),
    (&["pro-128k", "spark-pro-128k"], at("pro-128k", "/chat/pro-128k")),
    (&["max-32k", "spark-max-32k"], at("max-32k", "/chat/max-32k")),
    (&["4.0Ultra", "spark-ultra", "spark-4.0-ultra"], at("4.0Ultra", "/v4.0/chat")),
    (&["x1", "spark-x1"], thinking("x1", "/v1/x1")),
    (&["spark-x", "spark-x1.5"], thinking("spark-x", "/v1/x1")),
    (&["spark-x2"], thinking("spark-x", "/x2")),
    (&["kjwx"], at("kjwx", "/v1.1/chat_kjwx")),
];

/// Where the model of a target is: by its name, else by the path of the base URL. Models that customers have tuned are known
/// by a `domain` of their own.
pub(super) fn place<'a>(target: &Target<'a>, model: &'a str) -> Place<'a> {
    let named = PLACES.iter().find(|(names, _)| names.iter().any(|name| name.eq_ignore_ascii_case(model)));
    let base = target.base_url.trim_end_matches('/');
    let found = named.or_else(|| PLACES.iter().find(|(_, place)| base.ends_with(place.path)));
    let place = match found {
        Some((_, place)) => *place,
        None => Place { domain: model, ..PLACES[0].1 },
    };
    Place { domain: target.option("domain").unwrap_or(place.domain), ..place }
}

const fn row(name: &'static str, context: u64, output_max: u64, tools: bool) -> Known<'static> {
    Known {
        name,
        context,
        output_max,
        vision: false,
        tools,
        json_schema: false,
        price: None,
        source: SOURCE,
        date: "2025-11",
    }
}

/// Tokens are sold in packages and have no price by the million, but for the model that is free.
pub(super) const KNOWN: &[Known] = &[
    Known {
        price: Some(ListPrice { currency: "CNY", prompt: 0, completion: 0 }),
        ..row("lite", 8_192, 4_096, false)
    },
    row("generalv3", 8_192, 8_192, false),
    row("pro-128k", 131_072, 4_096, false),
    row("generalv3.5", 8_192, 8_192, true),
    row("max-32k", 32_768, 8_192, false),
    row("4.0Ultra", 8_192, 8_192, true),
    Known { source: SOURCE_X, ..row("x1", 32_768, 32_768, false) },
    Known { source: SOURCE_X, ..row("spark-x*", 65_536, 65_536, false) },
];
