//! Lists in pages: nothing is left out and nothing comes twice.

use domain::key::Scope;
use http::Method;
use serde_json::{Value, json};

use super::bed::*;

const LISTS: [&str; 9] =
    ["adapters", "deployments", "keys", "models", "prices", "providers", "quotas", "routes", "tokens"];

async fn admin(bed: &Bed, method: Method, path: &str, body: Value) -> Got {
    bed.ask(method, path, Scope::Admin, &body.to_string()).await
}

async fn page(bed: &Bed, list: &str, query: &str) -> Got {
    bed.ask(Method::GET, &format!("/api/{list}?{query}"), Scope::Admin, "").await
}

#[tokio::test(start_paused = true)]
async fn a_list_read_page_by_page_is_the_whole_list() {
    let bed = Bed::new();
    for n in 0..3 {
        bed.deployment(&format!("d{n}"), &[ME]);
        for (list, body) in [
            ("keys", json!({ "name": "k" })),
            ("tokens", json!({})),
            ("models", json!({ "id": format!("org/m{n}") })),
            ("providers", json!({ "name": format!("p{n}"), "kind": "mock", "models": ["m"] })),
        ] {
            assert_eq!(admin(&bed, Method::POST, &format!("/api/{list}"), body).await.status, 201, "{list}");
        }
        admin(&bed, Method::PUT, &format!("/api/routes/org/m{n}"), json!({})).await;
        admin(&bed, Method::PUT, &format!("/api/quotas/t{n}"), json!({ "replicas": 1 })).await;
        let price = json!({ "input": 0.15, "output": 0.6 });
        admin(&bed, Method::PUT, &format!("/api/prices/org/m{n}"), price).await;
    }
    for list in LISTS {
        let whole = page(&bed, list, "limit=1000").await.json();
        assert!(whole["next"].is_null(), "{whole}");
        let (mut rows, mut after) = (Vec::new(), String::new());
        loop {
            let got = page(&bed, list, &format!("limit=2{after}")).await.json();
            let some = got[list].as_array().unwrap();
            assert!(some.len() <= 2);
            rows.extend_from_slice(some);
            let Some(next) = got["next"].as_str() else { break };
            after = format!("&after={next}");
        }
        assert!(rows.len() >= 3, "{list}: {rows:?}");
        assert_eq!(Value::from(rows), whole[list], "{list}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_page_that_makes_no_sense_is_refused() {
    let bed = Bed::new();
    for list in LISTS {
        for wrong in ["limit=0", "limit=1001", "limit=x"] {
            assert_eq!(page(&bed, list, wrong).await.status, 400, "{list} {wrong}");
        }
    }
    page(&bed, "keys", "after=x").await.is_error(400, "invalid_value", "key id");
}
