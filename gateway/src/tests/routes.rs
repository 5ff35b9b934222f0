//! Routes as operators set them, and what would become of a call.

use domain::key::Scope;
use domain::provider::{Api, Kind};
use http::Method;
use serde_json::{Value, json};

use super::bed::*;
use crate::api::docs::schemas;

async fn admin(bed: &Bed, method: Method, path: &str, body: Value) -> Got {
    bed.ask(method, path, Scope::Admin, &body.to_string()).await
}

async fn set(bed: &Bed, name: &str, route: Value) -> Got {
    admin(bed, Method::PUT, &format!("/api/routes/{name}"), route).await
}

#[tokio::test(start_paused = true)]
async fn a_route_is_set_shown_listed_and_removed() {
    let bed = Bed::new();
    let route = schemas()["RouteRequest"]["example"].clone();
    let mut set = set(&bed, "team/best", route.clone()).await.json();
    assert_eq!((&set["name"], &set["set_at"]), (&json!("team/best"), &json!("2023-11-14T22:13:20.000Z")));
    assert_eq!(bed.get("/api/routes/team/best").await.json(), set);
    assert_eq!(bed.get("/api/routes").await.json(), json!({ "routes": [set], "next": null }));
    // What is shown can be set again, as it is but for its name and time.
    let fields = set.as_object_mut().unwrap();
    fields.remove("name");
    fields.remove("set_at");
    let mut expected = route;
    expected["chain"][1]["targets"][0]["weight"] = json!(1);
    assert_eq!(set, expected);
    assert_eq!(admin(&bed, Method::PUT, "/api/routes/other", set).await.status, 200);
    let removed = admin(&bed, Method::DELETE, "/api/routes/team/best", json!({})).await.json();
    assert_eq!(removed, json!({ "deleted": "team/best" }));
    let gone = bed.get("/api/routes/team/best").await;
    gone.is_error(404, "not_found", "there is no route `team/best`: list them with GET /api/routes");
    let again = admin(&bed, Method::DELETE, "/api/routes/team/best", json!({})).await;
    again.is_error(404, "not_found", "there is no route");
}

#[tokio::test(start_paused = true)]
async fn a_route_of_which_nothing_is_said_is_the_usual_one() {
    let bed = Bed::new();
    let route = json!({ "chain": [{ "targets": [{ "model": "api" }] }] });
    let set = set(&bed, "best", route).await.json();
    let step = json!({ "targets": [{ "model": "api", "weight": 1 }], "policy": "weighted" });
    assert_eq!(set["chain"], json!([step]));
    assert!(set["attempts_max"].is_null() && set["fallback_answer"].is_null());
}

#[tokio::test(start_paused = true)]
async fn what_is_wrong_with_a_route_is_told_by_its_field() {
    let bed = Bed::new();
    let step = |targets: Value| json!({ "chain": [{ "targets": targets }] });
    for (route, param, says) in [
        (json!({ "retries": 3 }), "retries", "unknown field"),
        (json!({ "chain": [{ "targets": [], "polcy": "weighted" }] }), "polcy", "unknown field"),
        (
            json!({ "chain": [{ "targets": [{ "model": "a" }], "policy": "best" }] }),
            "policy",
            "sticky_by_user",
        ),
        (json!({ "fusion": { "models": ["a", "b"], "how": "vote" } }), "fusion", "unknown field"),
        (json!({ "chain": "api" }), "chain", "invalid type"),
        (step(json!([])), "chain[0].targets", "name 1 to 16 models"),
        (
            step(json!([{ "model": "a" }, { "model": "a" }])),
            "chain[0].targets[1].model",
            "add the weights up",
        ),
        (json!({ "attempts_max": 0 }), "attempts_max", "set 1 to 16"),
        (json!({ "times": { "total_ms": 0 } }), "times.total_ms", "set 1 to"),
        (json!({ "fallback_answer": "" }), "fallback_answer", "leave it out"),
        (
            json!({ "preferred": [{ "caller": {}, "models": ["a"] }] }),
            "preferred[0].caller",
            "give one of `key` and `label`",
        ),
        (
            json!({ "preferred": [{ "caller": { "key": "x" }, "models": ["a"] }] }),
            "preferred[0].caller.key",
            "key id",
        ),
    ] {
        let got = set(&bed, "best", route.clone()).await;
        got.is_error(400, "invalid_value", says);
        assert_eq!(got.json()["error"]["param"], param, "{route}");
    }
    assert_eq!(set(&bed, "one", step(json!([{ "model": "two" }]))).await.status, 200);
    let back = set(&bed, "two", step(json!([{ "model": "one" }]))).await;
    back.is_error(400, "invalid_value", "leads back to itself");
    assert_eq!(back.json()["error"]["param"], "chain");
}

#[tokio::test(start_paused = true)]
async fn a_call_is_explained_by_the_route_of_its_model() {
    let bed = Bed::new();
    let route = json!({
        "chain": [
            { "targets": [{ "model": "b/api" }, { "model": "nobody" }] },
            { "targets": [{ "model": "a/api" }] },
        ],
        "preferred": [{ "caller": { "label": "research" }, "models": ["a/api"] }],
    });
    assert_eq!(set(&bed, "best", route).await.status, 200);
    let got = bed.get("/api/explain?model=best").await.json();
    let targets: Vec<&Value> = got["targets"].as_array().unwrap().iter().map(|t| &t["target"]).collect();
    assert_eq!((targets, &got["route"]), (vec![&json!("b/api"), &json!("a/api")], &json!(true)));
    assert_eq!(got["targets"][0]["why"], "weight 1 of 1, drawn");
    assert_eq!(
        got["left_out"],
        json!([{ "name": "nobody", "why": "no deployment and no provider offers it" }])
    );
    let got = bed.get("/api/explain?model=best&label=ops,research").await.json();
    assert_eq!(
        (&got["targets"][0]["target"], &got["targets"][0]["why"]),
        (&json!("a/api"), &json!("preferred for label research"))
    );
    bed.doors.avoided.lock().unwrap().insert("b".to_owned());
    let got = bed.get("/api/explain?model=best").await.json();
    assert_eq!(
        (&got["targets"][0]["target"], &got["targets"][1]["late"]),
        (&json!("a/api"), &json!("failed a moment ago"))
    );
    let got = bed.get("/api/explain?model=none").await.json();
    assert_eq!((&got["targets"], &got["route"]), (&json!([]), &json!(false)));
    assert_eq!(got["reason"], "no deployment and no provider offers it");
}

#[tokio::test(start_paused = true)]
async fn what_a_model_is_known_not_to_do_leaves_it_out_of_an_explanation() {
    let bed = Bed::new();
    let api = Api {
        dialect: "openai".to_owned(),
        url: "https://c.test/v1".to_owned(),
        api_key: None,
        options: Default::default(),
        own_names: [("api".to_owned(), "gpt-4o".to_owned())].into(),
    };
    bed.provider_of("c", Kind::Api(Box::new(api)), &["api"]);
    let asked = |query: &'static str| {
        let bed = &bed;
        async move { bed.get(&format!("/api/explain?model=c/api{query}")).await.json() }
    };
    assert_eq!(asked("&vision=true&tools=true&user=u&tokens=1000").await["targets"][0]["target"], "c/api");
    let got = asked("&tokens=100000000").await;
    assert_eq!(got["targets"], json!([]));
    assert!(got["left_out"][0]["why"].as_str().unwrap().contains("100000000 needed"), "{got}");
    assert!(got["reason"].as_str().unwrap().contains("can take this call"), "{got}");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_makes_no_sense_is_not_explained() {
    let bed = Bed::new();
    for query in ["", "?model=a&vision=maybe", "?model=a&tokens=-1", "?model=a&key=x"] {
        assert_eq!(bed.get(&format!("/api/explain{query}")).await.error().0, 400, "{query}");
    }
}
