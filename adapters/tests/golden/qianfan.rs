//! Baidu Qianfan's first interface.

use adapters::dialect::Dialect;
use adapters::models::find;
use adapters::qianfan::QIANFAN_V1;
use adapters::{FailureKind, Target, Usage, embed};
use http::Method;

use super::harness;
use super::noise;

const BASE: &str = "https://aip.example.com";

/// After the exchange.
fn target() -> Target<'static> {
    Target { secret: Some("24.6c5e1ff107f0e8bcef8c46d3424a0e78"), ..Target::at(BASE) }
}

#[test]
fn questions_become_requests() {
    harness::requests("qianfan-v1", &target());
}

#[test]
fn answers_streams_and_errors_are_understood() {
    harness::answers("qianfan-v1");
    harness::streams("qianfan-v1");
    harness::errors("qianfan-v1");
}

#[test]
fn a_key_is_exchanged_for_a_token() {
    let target = Target { secret: Some("the key:the+secret"), ..Target::at(BASE) };
    let request = QIANFAN_V1.exchange(&target).unwrap().unwrap();
    assert_eq!(request.method(), Method::POST);
    assert_eq!(
        request.uri(),
        "https://aip.example.com/oauth/2.0/token?grant_type=client_credentials&client_id=the%20key&client_secret=the%2Bsecret"
    );
    let body = br#"{"refresh_token":"25.a","expires_in":2592000,"session_key":"9m","access_token":"24.b","scope":"public","session_secret":"c"}"#;
    let granted = QIANFAN_V1.exchanged(body).unwrap();
    assert_eq!((granted.token.as_str(), granted.lives_s), ("24.b", 2_592_000));
    assert!(!format!("{granted:?}").contains("24.b"));
}

#[test]
fn a_key_that_is_not_known_is_told() {
    let kind = |body: &str| QIANFAN_V1.exchanged(body.as_bytes()).unwrap_err().failure.kind;
    let body = r#"{"error":"invalid_client","error_description":"Client authentication failed"}"#;
    assert_eq!(kind(body), FailureKind::Authentication);
    assert_eq!(
        QIANFAN_V1.exchanged(body.as_bytes()).unwrap_err().error.message,
        "Client authentication failed"
    );
    assert_eq!(
        kind(r#"{"error_code":18,"error_msg":"Open api qps request limit reached"}"#),
        FailureKind::RateLimited
    );
    for nonsense in ["", "{}", r#"{"access_token":"a"}"#, r#"{"access_token":"","expires_in":3}"#, "[1]"] {
        assert_eq!(kind(nonsense), FailureKind::Server, "{nonsense}");
    }
}

#[test]
fn a_token_is_not_exchanged_and_a_key_never_asks() {
    assert!(QIANFAN_V1.exchange(&target()).is_none());
    let ask = harness::ask(
        adapters::Operation::Chat,
        br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#,
    );
    let error =
        QIANFAN_V1.encode(&ask, &Target { secret: Some("k:secret"), ..Target::at(BASE) }).unwrap_err();
    assert!(!error.to_string().contains("secret"));
    assert!(QIANFAN_V1.exchange(&Target::at(BASE)).unwrap().is_err());
    assert!(QIANFAN_V1.exchange(&Target { secret: Some("k:"), ..Target::at(BASE) }).unwrap().is_err());
}

#[test]
fn each_model_has_its_path() {
    let ask = harness::ask(
        adapters::Operation::Chat,
        br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#,
    );
    for (model, path) in [
        ("ERNIE-4.0-8K", "completions_pro"),
        ("ernie-3.5-8k", "completions"),
        ("ERNIE-Speed-8K", "ernie_speed"),
        ("my_deployment", "my_deployment"),
        ("../oauth", "..%2Foauth"),
    ] {
        let request = QIANFAN_V1.encode(&ask, &Target { model: Some(model), ..target() }).unwrap();
        let want = format!("/rpc/2.0/ai_custom/v1/wenxinworkshop/chat/{path}");
        assert_eq!(request.uri().path(), want);
    }
    let probe = QIANFAN_V1.probe(&target()).unwrap();
    assert_eq!(probe.uri().path(), "/rpc/2.0/ai_custom/v1/wenxinworkshop/tokenizer/erniebot");
}

#[test]
fn texts_become_vectors() {
    let ask = embed::Ask {
        model: "Embedding-V1".to_owned(),
        inputs: vec!["a".to_owned()],
        user: Some("u".to_owned()),
        ..embed::Ask::default()
    };
    let request = QIANFAN_V1.embed(&ask, &target()).unwrap();
    assert_eq!(request.uri().path(), "/rpc/2.0/ai_custom/v1/wenxinworkshop/embeddings/embedding-v1");
    assert_eq!(request.body().as_ref(), br#"{"input":["a"],"user_id":"u"}"#);
    assert!(QIANFAN_V1.embed(&embed::Ask { dimensions: Some(3), ..ask }, &target()).is_err());
    let body = br#"{"id":"as-1","object":"embedding_list","created":1,"data":[{"object":"embedding","embedding":[0.5,1],"index":0}],"usage":{"prompt_tokens":2,"total_tokens":2}}"#;
    let answer = QIANFAN_V1.embedded(body).unwrap();
    assert_eq!((answer.vectors, answer.usage), (vec![vec![0.5, 1.0]], Some(Usage::of(2, 0))));
    let refused =
        QIANFAN_V1.embedded(br#"{"error_code":110,"error_msg":"Access token invalid or no longer valid"}"#);
    assert_eq!(refused.unwrap_err().failure.kind, FailureKind::Authentication);
}

#[test]
fn prices_are_known() {
    let price = find(&QIANFAN_V1.models(), "ERNIE-4.0-8K-Latest").and_then(|known| known.price).unwrap();
    assert_eq!((price.currency, price.prompt, price.completion), ("CNY", 30_000_000, 90_000_000));
}

#[test]
fn noise_is_survived() {
    noise::survived(&QIANFAN_V1, "qianfan-v1");
}
