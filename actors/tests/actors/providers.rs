//! Providers: their keys, their health, their successors.

use std::time::Duration;

use actors::provider::Health;
use actors::{Finish, Refused};
use domain::provider::{self, Kind, Provider};
use domain::secret::Sealed;
use domain::{Command, ProviderName};

use crate::world::{World, until};

const URL: &str = "http://api.example.com/v1";

fn put(world: &World, kind: Kind) -> ProviderName {
    let name = ProviderName::from("example");
    let row = Provider { name: name.clone(), kind, models: vec!["m".to_owned()], revision: 0, created_at: 0 };
    world.cluster.apply(Command::Provider(provider::Command::Put(row))).unwrap();
    name
}

fn openai(url: &str) -> Kind {
    let sealed = Sealed { nonce: vec![0; 12], bytes: vec![1], key: None };
    Kind::OpenAi { url: url.to_owned(), api_key: Some(sealed) }
}

async fn handle(world: &World, name: &ProviderName) -> actors::provider::Handle {
    until("the provider is there", || world.directory().provider(name).is_some()).await;
    world.directory().provider(name).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_mock_takes_calls_without_any_network() {
    let world = World::start().await;
    let name = put(&world, Kind::Mock);
    let handle = handle(&world, &name).await;
    assert_eq!((handle.speaks(), handle.observe().health), ("mock", Health::Well));
    assert_eq!(handle.acquire().unwrap().endpoint().base_url, "");
}

#[tokio::test(start_paused = true)]
async fn a_provider_takes_calls_once_its_key_is_open() {
    let world = World::start().await;
    world.machine.answer("http://api.example.com/v1/models", 200);
    world.cluster.inner.lock().unwrap().sealed = true;
    let name = put(&world, openai("http://api.example.com/v1/"));
    let handle = handle(&world, &name).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(matches!(handle.acquire(), Err(Refused::Closed(why)) if why.contains("no voter answers")));
    world.cluster.inner.lock().unwrap().sealed = false;
    until("it takes calls", || handle.acquire().is_ok()).await;
    let slot = handle.acquire().unwrap();
    assert_eq!(slot.endpoint().base_url, URL);
    assert_eq!(slot.endpoint().secret.as_ref().unwrap().expose(), "provider-key");
    until("it was asked", || handle.observe().health == Health::Well).await;
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_is_avoided_and_comes_back() {
    let world = World::start().await;
    world.machine.answer("http://api.example.com/v1/models", 502);
    let name = put(&world, openai(URL));
    let handle = handle(&world, &name).await;
    until("it is avoided", || handle.load().avoid).await;
    assert!(matches!(handle.observe().health, Health::Failing { .. }));
    assert!(handle.acquire().is_ok(), "where there is no other, calls still pass");
    world.machine.answer("http://api.example.com/v1/models", 404);
    until("it is well", || !handle.load().avoid && handle.observe().health == Health::Well).await;
    handle.acquire().unwrap().finish(Finish::Failed { reason: "it answered 500".to_owned() });
    assert!(handle.load().avoid);
    let failing = Health::Failing { reason: "it answered 500".to_owned() };
    until("its failure is noticed", || handle.observe().health == failing).await;
    until("it is well again", || handle.observe().health == Health::Well && !handle.load().avoid).await;
}

#[tokio::test(start_paused = true)]
async fn a_changed_provider_is_another_and_a_removed_one_is_gone() {
    let world = World::start().await;
    let name = put(&world, Kind::Mock);
    let old = handle(&world, &name).await;
    let call = old.acquire().unwrap();
    put(&world, openai(URL));
    until("it was replaced", || {
        world.directory().provider(&name).is_some_and(|p| p.revision() > old.revision())
    })
    .await;
    assert!(old.acquire().is_err());
    drop(call);
    world.cluster.apply(Command::Provider(provider::Command::Remove(name.clone()))).unwrap();
    until("it is gone", || world.directory().provider(&name).is_none()).await;
}
