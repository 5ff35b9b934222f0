//! Configuration values through the API: bytes in, bytes out, revisions as entity tags.

use bytes::Bytes;
use domain::key::Scope;
use http::{Method, Request};
use http_body_util::Full;

use super::bed::*;

const PATH: &str = "/api/config/app/theme";

async fn put(bed: &Bed, path: &str, body: &'static [u8], condition: Option<(&str, &str)>) -> Got {
    let mut request = Request::builder()
        .method(Method::PUT)
        .uri(path)
        .header("authorization", format!("Bearer {}", key_text(Scope::Admin)));
    if let Some((name, value)) = condition {
        request = request.header(name, value);
    }
    bed.send(request.body(Full::new(Bytes::from_static(body))).unwrap()).await
}

#[tokio::test(start_paused = true)]
async fn a_value_comes_back_byte_for_byte_with_its_revision() {
    let bed = Bed::new();
    assert_eq!(bed.get(PATH).await.status, 404);
    let written = put(&bed, PATH, b"dark\0\xff", None).await;
    assert_eq!(written.status, 200);
    let read = bed.get(PATH).await;
    assert_eq!((read.status.as_u16(), &read.body[..]), (200, &b"dark\0\xff"[..]));
    assert_eq!(read.headers["etag"], written.headers["etag"]);
    assert_eq!(format!("\"{}\"", written.json()["revision"]), read.headers["etag"].to_str().unwrap());
}

#[tokio::test(start_paused = true)]
async fn a_change_that_expects_something_else_is_a_conflict() {
    let bed = Bed::new();
    let first = put(&bed, PATH, b"1", Some(("if-none-match", "*"))).await;
    let revision = first.headers["etag"].to_str().unwrap();
    assert_eq!(put(&bed, PATH, b"2", Some(("if-none-match", "*"))).await.status, 409);
    assert_eq!(put(&bed, PATH, b"2", Some(("if-match", revision))).await.status, 200);
    let late = put(&bed, PATH, b"3", Some(("if-match", revision))).await;
    assert_eq!(late.status, 409);
    assert!(late.text().contains("read it again"), "{}", late.text());
    assert_eq!(put(&bed, PATH, b"3", Some(("if-match", "new"))).await.status, 400);
    assert_eq!(bed.ask(Method::DELETE, PATH, Scope::Admin, "").await.status, 200);
    assert_eq!(bed.ask(Method::DELETE, PATH, Scope::Admin, "").await.status, 404);
}

#[tokio::test(start_paused = true)]
async fn keys_are_listed_by_prefix_and_page_by_page() {
    let bed = Bed::new();
    for key in ["a", "b/1", "b/2", "b/3", "c"] {
        put(&bed, &format!("/api/config/{key}"), b"v", None).await;
    }
    let keys = |got: &Got| -> Vec<String> {
        let body = got.json();
        body["keys"].as_array().unwrap().iter().map(|k| k["key"].as_str().unwrap().to_owned()).collect()
    };
    let first = bed.get("/api/config?prefix=b%2F&limit=2").await;
    assert_eq!(keys(&first), ["b/1", "b/2"]);
    let next = first.json()["next"].as_str().unwrap().to_owned();
    let second = bed.get(&format!("/api/config?prefix=b/&limit=2&after={next}")).await;
    assert_eq!((keys(&second), second.json()["next"].is_null()), (vec!["b/3".to_owned()], true));
    assert_eq!(keys(&bed.get("/api/config").await).len(), 5);
    for wrong in ["limit=0", "limit=1001", "limit=x"] {
        assert_eq!(bed.get(&format!("/api/config?{wrong}")).await.status, 400, "{wrong}");
    }
}
