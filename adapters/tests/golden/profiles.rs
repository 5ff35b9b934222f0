//! Providers that speak OpenAI's dialect with ways of their own.

use std::collections::BTreeMap;

use adapters::dialect::{check, named};
use adapters::{Call, Operation, Target};
use bytes::Bytes;
use serde_json::Value;

use super::harness;

const PROFILES: [(&str, &str); 7] = [
    ("azure", "https://resource.openai.azure.com"),
    ("deepseek", "https://api.deepseek.com"),
    ("moonshot", "https://api.moonshot.cn/v1"),
    ("zhipu", "https://open.bigmodel.cn/api/paas/v4"),
    ("qianfan", "https://qianfan.baidubce.com/v2"),
    ("dashscope-compatible", "https://dashscope.aliyuncs.com/compatible-mode/v1"),
    ("spark", "https://spark-api-open.xf-yun.com/v2"),
];

/// A model that thinks where it is told to.
fn target(name: &str, base_url: &'static str) -> Target<'static> {
    let model = if name == "spark" { "spark-x" } else { "upstream-model" };
    Target { secret: Some("key"), model: Some(model), ..Target::at(base_url) }
}

#[test]
fn questions_become_requests() {
    for (name, base_url) in PROFILES {
        harness::requests(name, &target(name, base_url));
    }
}

#[test]
fn answers_and_streams_are_understood() {
    for (name, _) in PROFILES {
        harness::answers(name);
        harness::streams(name);
    }
}

#[test]
fn errors_are_classified_by_the_providers_own_codes() {
    for (name, _) in PROFILES {
        harness::errors(name);
    }
}

#[test]
fn every_model_is_known_with_a_source() {
    for (name, _) in PROFILES {
        for model in named(name).unwrap().models().iter() {
            assert!(model.context > 0 && model.output_max <= model.context, "{}", model.name);
            assert!(model.source.starts_with("https://") && model.date.len() == 7, "{}", model.name);
        }
    }
}

/// What becomes of a client's bytes that are relayed.
fn passed(name: &str, target: &Target<'_>, body: &'static str) -> Option<(String, Value)> {
    let call = Call::parse(Operation::Chat, Bytes::from_static(body.as_bytes())).ok()?;
    let request = named(name)?.pass(&call, target).ok()?;
    Some((request.uri().to_string(), serde_json::from_slice(request.body()).ok()?))
}

#[test]
fn relayed_bytes_are_put_as_the_provider_wants_them() {
    let body = r#"{"model":"m","messages":[{"role":"developer","content":"x"}],"max_completion_tokens":9,
        "temperature":1.5,"stop":"x","user":"u","reasoning_effort":"none","web_search":{"enable":true}}"#;
    let (uri, got) = passed("zhipu", &target("zhipu", PROFILES[3].1), body).unwrap();
    assert_eq!(uri, "https://open.bigmodel.cn/api/paas/v4/chat/completions");
    assert_eq!(got["messages"][0]["role"], "system");
    assert_eq!((&got["max_tokens"], &got["max_completion_tokens"]), (&9.into(), &Value::Null));
    assert_eq!((&got["temperature"], &got["stop"][0]), (&1.0.into(), &"x".into()));
    assert_eq!((&got["user"], &got["user_id"]), (&Value::Null, &Value::Null));
    assert_eq!((&got["thinking"]["type"], &got["reasoning_effort"]), (&"disabled".into(), &Value::Null));
    assert_eq!(got["web_search"]["enable"], true);
    let (_, got) =
        passed("dashscope-compatible", &target("dashscope-compatible", PROFILES[5].1), body).unwrap();
    assert_eq!((&got["enable_thinking"], &got["temperature"]), (&false.into(), &1.5.into()));
    let (_, got) = passed("deepseek", &target("deepseek", PROFILES[1].1), body).unwrap();
    assert_eq!((&got["thinking"]["type"], &got["stop"]), (&"disabled".into(), &"x".into()));
}

#[test]
fn azure_finds_the_deployment_for_relayed_bytes() {
    let body = r#"{"model":"gpt","messages":[],"data_sources":[]}"#;
    let target = Target { model: None, ..target("azure", PROFILES[0].1) };
    let (uri, got) = passed("azure", &target, body).unwrap();
    let path = "/openai/deployments/gpt/chat/completions?api-version=2024-10-21";
    assert_eq!(uri, format!("https://resource.openai.azure.com{path}"));
    assert_eq!(got.to_string(), body);
}

#[test]
fn what_only_some_models_or_addresses_do_is_refused_by_name_elsewhere() {
    let refused = |name: &str, target: &Target<'_>, body: &str| {
        let ask = harness::ask(Operation::Chat, body.as_bytes());
        let dialect = named(name).unwrap();
        check(&ask, dialect).and_then(|()| dialect.encode(&ask, target)).map_err(|error| error.to_string())
    };
    let off = r#"{"model":"m","messages":[],"reasoning_effort":"none"}"#;
    let high = r#"{"model":"m","messages":[],"reasoning_effort":"high"}"#;
    let kimi = Target { model: Some("kimi-k3"), ..target("moonshot", PROFILES[2].1) };
    assert!(refused("moonshot", &kimi, off).unwrap_err().contains("`reasoning_effort`"));
    let body = refused("moonshot", &kimi, high).unwrap().into_body();
    assert_eq!(body, r#"{"model":"kimi-k3","messages":[],"reasoning_effort":"high"}"#);
    let lite = Target { model: Some("lite"), ..target("spark", PROFILES[6].1) };
    assert!(refused("spark", &lite, high).unwrap_err().contains("`reasoning_effort`"));
    assert_eq!(refused("spark", &lite, off).unwrap().into_body(), r#"{"model":"lite","messages":[]}"#);
    let prefill = r#"{"model":"m","messages":[{"role":"assistant","content":"1."}]}"#;
    let plain = target("deepseek", PROFILES[1].1);
    assert!(refused("deepseek", &plain, prefill).unwrap_err().contains("`messages`"));
    let beta = Target { base_url: "https://api.deepseek.com/beta/", ..plain };
    let body = refused("deepseek", &beta, prefill).unwrap().into_body();
    assert!(body.ends_with(br#"[{"role":"assistant","content":"1.","prefix":true}]}"#));
}

#[test]
fn qwen_is_told_budgets_and_words_as_each_model_takes_them() {
    let body = |model: &'static str| {
        let target = Target { model: Some(model), ..target("dashscope-compatible", PROFILES[5].1) };
        let ask = br#"{"model":"m","messages":[],"reasoning_effort":"medium"}"#;
        let request =
            named("dashscope-compatible").unwrap().encode(&harness::ask(Operation::Chat, ask), &target);
        serde_json::from_slice::<Value>(request.unwrap().body()).unwrap()
    };
    let told = body("qwen-plus");
    assert_eq!((&told["enable_thinking"], &told["thinking_budget"]), (&true.into(), &8_192.into()));
    let told = body("qwen3.8-max");
    assert_eq!((&told["reasoning_effort"], &told["thinking_budget"]), (&"medium".into(), &Value::Null));
}

#[test]
fn embeddings_are_asked_only_where_they_are_offered() {
    let ask = adapters::embed::Ask { inputs: vec!["a".to_owned()], ..Default::default() };
    let options = BTreeMap::from([("api_version".to_owned(), "2025-01-01".to_owned())]);
    let azure = Target { options: &options, ..target("azure", PROFILES[0].1) };
    let request = named("azure").unwrap().embed(&ask, &azure).unwrap();
    assert_eq!(
        request.uri().path_and_query().unwrap(),
        "/openai/deployments/upstream-model/embeddings?api-version=2025-01-01"
    );
    for (name, base_url) in [PROFILES[1], PROFILES[2], PROFILES[6]] {
        let error = named(name).unwrap().embed(&ask, &target(name, base_url)).unwrap_err();
        assert!(error.to_string().contains("embeddings"), "{name}");
    }
}
