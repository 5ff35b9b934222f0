//! The OpenAPI document knows every path and every body, and the page needs nothing from elsewhere.

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::bed::*;
use crate::api::docs::schemas;
use crate::api::{
    adapters, deploy, deployments, keys, prices, providers, registry, restore, rotations, routes, settings,
    tokens,
};
use crate::routes::ROUTES;

async fn open(bed: &Bed, method: Method, path: &str) -> Got {
    bed.send(http::Request::builder().method(method).uri(path).body(Default::default()).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn every_route_is_in_the_document_with_its_scope() {
    let bed = Bed::new();
    let document = open(&bed, Method::GET, "/openapi.json").await.json();
    for route in ROUTES {
        let operation = &document["paths"][route.path.replace("{*", "{")][route.method];
        assert_eq!(operation["summary"], route.summary, "{}", route.path);
        assert_eq!(operation["x-scope"].as_str(), route.scope.map(|s| s.as_str()), "{}", route.path);
    }
    let count: usize =
        document["paths"].as_object().unwrap().values().map(|p| p.as_object().unwrap().len()).sum();
    assert_eq!(count, ROUTES.len());
}

#[tokio::test(start_paused = true)]
async fn the_document_tells_what_can_be_asked_beside_the_body() {
    let bed = Bed::new();
    let document = open(&bed, Method::GET, "/openapi.json").await.json();
    let names = |path: &str, method: &str| -> Vec<String> {
        let parameters =
            document["paths"][path][method]["parameters"].as_array().cloned().unwrap_or_default();
        parameters.iter().map(|p| format!("{} {}", p["in"], p["name"]).replace('"', "")).collect()
    };
    assert_eq!(names("/api/nodes", "get"), ["query consistent"]);
    assert_eq!(names("/api/actors", "get"), ["query consistent", "query node"]);
    let lists =
        ["adapters", "deployments", "keys", "models", "prices", "providers", "quotas", "routes", "tokens"];
    for list in lists {
        let expected = ["query consistent", "query after", "query limit"];
        assert_eq!(names(&format!("/api/{list}"), "get"), expected, "{list}");
    }
    assert_eq!(
        names("/api/deployments/{id}/logs", "get"),
        ["path id", "query consistent", "query replica", "query tail"]
    );
    assert_eq!(names("/api/deployments/{id}", "delete"), ["path id", "header Idempotency-Key"]);
    assert_eq!(names("/v1/deploy", "post"), ["header Idempotency-Key"]);
    assert!(names("/v1/chat/completions", "post").is_empty() && names("/health", "get").is_empty());
    let required = |path: &str| document["paths"][path]["post"]["requestBody"]["required"].clone();
    assert_eq!((required("/api/tokens"), required("/api/keys")), (false.into(), true.into()));
}

#[tokio::test(start_paused = true)]
async fn every_route_asks_for_the_key_that_its_table_says() {
    let bed = Bed::new();
    for route in ROUTES {
        let path = route
            .path
            .replace("{id}", "x")
            .replace("{*id}", "x")
            .replace("{*name}", "x")
            .replace("{*key}", "x");
        let method: Method = route.method.to_uppercase().parse().unwrap();
        let got = open(&bed, method.clone(), &path).await;
        assert_eq!(got.status == 401, route.scope.is_some(), "{method} {path}: {}", got.status);
        let Some(scope) = route.scope else { continue };
        let others = domain::key::Scope::ALL.into_iter().map(|(_, s)| s).filter(|other| {
            !(*other == scope
                || *other == domain::key::Scope::Admin
                || (*other == domain::key::Scope::Deploy && scope == domain::key::Scope::Read))
        });
        for other in others {
            let got = bed.ask(method.clone(), &path, other, "").await;
            assert_eq!(got.status, 403, "{method} {path} with {}", other.as_str());
        }
    }
}

#[test]
fn every_body_has_a_schema_whose_example_is_understood() {
    let schemas = schemas();
    fn check<T: DeserializeOwned>(schemas: &Value, name: &str) {
        let schema = &schemas[name];
        let example = schema["example"].as_object().unwrap_or_else(|| panic!("{name} has an example"));
        serde_json::from_value::<T>(schema["example"].clone()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let properties = schema["properties"].as_object().unwrap();
        assert!(properties.keys().eq(example.keys()), "{name}: the example has every property");
    }
    check::<deploy::DeployRequest>(&schemas, "DeployRequest");
    check::<deployments::ScaleRequest>(&schemas, "ScaleRequest");
    check::<registry::ModelRequest>(&schemas, "ModelRequest");
    check::<providers::ProviderRequest>(&schemas, "ProviderRequest");
    check::<keys::KeyRequest>(&schemas, "KeyRequest");
    check::<keys::LimitsRequest>(&schemas, "LimitsRequest");
    check::<tokens::TokenRequest>(&schemas, "TokenRequest");
    check::<restore::RestoreRequest>(&schemas, "RestoreRequest");
    check::<restore::RestoreRows>(&schemas, "RestoreRows");
    check::<restore::RestoreEnd>(&schemas, "RestoreEnd");
    check::<deployments::PolicyRequest>(&schemas, "PolicyRequest");
    check::<settings::MovesRequest>(&schemas, "MovesRequest");
    check::<rotations::RotationRequest>(&schemas, "RotationRequest");
    check::<settings::QuotaRequest>(&schemas, "QuotaRequest");
    check::<prices::PriceRequest>(&schemas, "PriceRequest");
    check::<routes::RouteRequest>(&schemas, "RouteRequest");
    check::<adapters::RollbackRequest>(&schemas, "RollbackRequest");
    check::<::adapters::declared::Declaration>(&schemas, "AdapterDeclaration");
    for body in ROUTES.iter().filter_map(|route| route.body) {
        assert!(schemas[body].is_object(), "{body}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_page_needs_nothing_from_elsewhere() {
    let bed = Bed::new();
    let got = open(&bed, Method::GET, "/docs").await;
    assert!(got.headers["content-type"].to_str().unwrap().starts_with("text/html"));
    assert!(!got.text().contains("http://") && !got.text().contains("https://"));
}

#[tokio::test(start_paused = true)]
async fn every_line_of_the_metrics_page_has_its_form() {
    let bed = Bed::new();
    bed.targets.then(json("{\"choices\":[]}"));
    bed.chat("api").await;
    let page = bed.get("/metrics").await;
    assert!(page.headers["content-type"].to_str().unwrap().starts_with("text/plain; version=0.0.4"));
    for line in page.text().lines() {
        let fine = line.starts_with("# HELP llmhub_")
            || line.starts_with("# TYPE llmhub_")
            || (line.starts_with("llmhub_") && line.rsplit(' ').next().unwrap().parse::<f64>().is_ok());
        assert!(fine, "{line}");
    }
}
