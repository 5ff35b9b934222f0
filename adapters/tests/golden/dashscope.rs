//! Alibaba's DashScope.

use adapters::dashscope::DASHSCOPE;
use adapters::dialect::Dialect;
use adapters::models::find;
use adapters::{FailureKind, Target, Usage, embed};

use super::harness;
use super::noise;

fn target() -> Target<'static> {
    Target {
        secret: Some("sk-test"),
        model: Some("upstream-model"),
        ..Target::at("https://dashscope.example.com/")
    }
}

#[test]
fn questions_become_requests() {
    harness::requests("dashscope", &target());
}

#[test]
fn answers_streams_and_errors_are_understood() {
    harness::answers("dashscope");
    harness::streams("dashscope");
    harness::errors("dashscope");
}

#[test]
fn the_path_follows_the_model_and_the_option() {
    let ask = harness::ask(
        adapters::Operation::Chat,
        br#"{"model":"m","messages":[{"role":"user","content":"hi"}]}"#,
    );
    let path = |model, option: Option<&str>| {
        let options = option.map(|word| ("interface".to_owned(), word.to_owned())).into_iter().collect();
        let target = Target { model: Some(model), options: &options, ..target() };
        DASHSCOPE.encode(&ask, &target).map(|request| request.uri().path().to_owned())
    };
    let (text, multimodal) = (
        "/api/v1/services/aigc/text-generation/generation".to_owned(),
        "/api/v1/services/aigc/multimodal-generation/generation".to_owned(),
    );
    assert_eq!(path("qwen-plus", None), Ok(text.clone()));
    assert_eq!(path("qwen3-vl-plus", None), Ok(multimodal.clone()));
    assert_eq!(path("qwen-audio-turbo", None), Ok(multimodal.clone()));
    assert_eq!(path("my-own", Some("multimodal")), Ok(multimodal));
    assert_eq!(path("qwen3-vl-plus", Some("text")), Ok(text));
    assert!(path("m", Some("video")).is_err());
}

#[test]
fn a_base_url_with_the_version_is_as_good() {
    let target = Target { secret: Some("k"), ..Target::at("https://dashscope.example.com/api/v1/") };
    let request = DASHSCOPE.probe(&target).unwrap();
    assert_eq!(request.uri(), "https://dashscope.example.com/api/v1/models?page_no=1&page_size=1");
}

#[test]
fn texts_become_vectors() {
    let ask = embed::Ask {
        model: "text-embedding-v4".to_owned(),
        inputs: vec!["a".to_owned(), "b".to_owned()],
        dimensions: Some(2),
        ..embed::Ask::default()
    };
    let request = DASHSCOPE.embed(&ask, &Target { model: None, ..target() }).unwrap();
    assert_eq!(request.uri().path(), "/api/v1/services/embeddings/text-embedding/text-embedding");
    assert_eq!(
        request.body().as_ref(),
        br#"{"model":"text-embedding-v4","input":{"texts":["a","b"]},"parameters":{"output_type":"dense","dimension":2}}"#
    );
    let body = br#"{"output":{"embeddings":[{"text_index":1,"embedding":[0.5,1]},{"text_index":0,"embedding":[-1,2]}]},"usage":{"total_tokens":4},"request_id":"r"}"#;
    let answer = DASHSCOPE.embedded(body).unwrap();
    assert_eq!(answer.vectors, [[-1.0, 2.0], [0.5, 1.0]]);
    assert_eq!(answer.usage, Some(Usage::of(4, 0)));
    let refused = DASHSCOPE.embedded(br#"{"code":"Throttling","message":"slow down","request_id":"r"}"#);
    assert_eq!(refused.unwrap_err().failure.kind, FailureKind::RateLimited);
    let body = br#"{"output":{"embeddings":[{"embedding":["a"]}]}}"#;
    assert_eq!(DASHSCOPE.embedded(body).unwrap_err().error.code.as_deref(), Some("upstream_nonsense"));
}

#[test]
fn models_are_known_by_the_beginning_of_their_names() {
    let price = |model| find(&DASHSCOPE.models(), model).and_then(|known| known.price).unwrap();
    assert_eq!(price("qwen-max-latest").completion, 9_600_000);
    assert_eq!(price("qwen3-max").prompt, 3_200_000);
    assert!(find(&DASHSCOPE.models(), "qwen3-vl-plus-2025-09-23").unwrap().vision);
    assert!(!find(&DASHSCOPE.models(), "qwen3-32b").unwrap().vision);
}

#[test]
fn noise_is_survived() {
    noise::survived(&DASHSCOPE, "dashscope");
}
