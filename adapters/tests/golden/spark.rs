//! iFlytek's Spark by WebSocket.

use std::collections::BTreeMap;

use adapters::dialect::Dialect;
use adapters::spark::SPARK;
use adapters::{Operation, Target};
use http::Method;

use super::harness;
use super::noise;

fn options(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn target<'a>(base_url: &'a str, options: &'a BTreeMap<String, String>) -> Target<'a> {
    Target { secret: Some("key:secret"), options, now_s: 1_683_283_419, ..Target::at(base_url) }
}

#[test]
fn questions_become_requests() {
    let options = options(&[("app_id", "12345")]);
    harness::requests("spark-ws", &target("wss://spark-api.xf-yun.com", &options));
}

#[test]
fn answers_streams_and_errors_are_understood() {
    harness::answers("spark-ws");
    harness::streams("spark-ws");
    harness::errors("spark-ws");
}

/// The expected value was computed with Python's `hmac`, `base64` and `urllib.parse.quote` from the example of iFlytek's
/// document.
#[test]
fn an_address_is_signed_as_the_document_signs_it() {
    let options = options(&[("app_id", "12345")]);
    let target = Target {
        secret: Some("addd2272b6d8b7c8abdd79531420ca3b:MjlmNzkzNmZkMDQ2OTc0ZDdmNGE2ZTZi"),
        ..target("wss://spark-api.xf-yun.com/v1.1/chat", &options)
    };
    let ask =
        harness::ask(Operation::Chat, br#"{"model":"lite","messages":[{"role":"user","content":"hi"}]}"#);
    let request = SPARK.encode(&ask, &target).unwrap();
    assert_eq!(request.method(), Method::GET);
    assert_eq!(
        request.uri(),
        "wss://spark-api.xf-yun.com/v1.1/chat?authorization=YXBpX2tleT0iYWRkZDIyNzJiNmQ4YjdjOGFiZGQ3OTUzMTQyMGNhM2IiLCBhbGdvcml0aG09ImhtYWMtc2hhMjU2IiwgaGVhZGVycz0iaG9zdCBkYXRlIHJlcXVlc3QtbGluZSIsIHNpZ25hdHVyZT0iejVnSGR1M3B4VlY0QURNeWs0Njd3T1dEUTlxNkJRelIzbmZNVGpjL0RhUT0i&date=Fri%2C%2005%20May%202023%2010%3A43%3A39%20GMT&host=spark-api.xf-yun.com"
    );
    let probe = SPARK.probe(&target).unwrap();
    assert_eq!(probe.uri().scheme_str(), Some("https"));
    assert_eq!(probe.uri().path_and_query(), request.uri().path_and_query());
    assert!(probe.body().is_empty());
}

#[test]
fn path_and_domain_follow_the_model_the_address_and_the_option() {
    let place = |model: &str, base: &str, domain: Option<&str>| {
        let mut options = options(&[("app_id", "12345")]);
        options.extend(domain.map(|domain| ("domain".to_owned(), domain.to_owned())));
        let ask =
            harness::ask(Operation::Chat, br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#);
        let request = SPARK.encode(&ask, &Target { model: Some(model), ..target(base, &options) }).unwrap();
        let body: serde_json::Value = serde_json::from_slice(request.body()).unwrap();
        let domain = body["parameter"]["chat"]["domain"].as_str().unwrap().to_owned();
        (request.uri().host().unwrap().to_owned() + request.uri().path(), domain)
    };
    let is = |place: (String, String), path: &str, domain: &str| {
        assert_eq!(place, (path.to_owned(), domain.to_owned()));
    };
    is(place("4.0Ultra", "wss://h", None), "h/v4.0/chat", "4.0Ultra");
    is(place("spark-pro", "ws://h/", None), "h/v3.1/chat", "generalv3");
    is(place("x1", "https://h", None), "h/v1/x1", "x1");
    is(place("anything", "wss://h/chat/max-32k", None), "h/chat/max-32k", "max-32k");
    is(place("xop3", "wss://maas/v9/chat", None), "maas/v9/chat", "xop3");
    is(place("tuned", "wss://maas/v1.1/chat", Some("patch")), "maas/v1.1/chat", "patch");
}

#[test]
fn what_cannot_be_called_is_told() {
    let ask = harness::ask(Operation::Chat, br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#);
    let (none, some) = (options(&[]), options(&[("app_id", "12345")]));
    assert!(SPARK.encode(&ask, &target("wss://h", &none)).unwrap_err().to_string().contains("app_id"));
    assert!(SPARK.encode(&ask, &target("ftp://h", &some)).is_err());
    assert!(SPARK.encode(&ask, &target("h", &some)).is_err());
    for secret in [None, Some("key"), Some("key:"), Some(":secret")] {
        let error = SPARK.encode(&ask, &Target { secret, ..target("wss://h", &some) }).unwrap_err();
        assert!(!error.to_string().contains("secret"), "{error}");
    }
}

#[test]
fn noise_is_survived() {
    noise::survived(&SPARK, "spark-ws");
}
