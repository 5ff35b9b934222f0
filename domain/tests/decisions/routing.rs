//! Routing: who can answer, and who is asked first.

use std::sync::Arc;

use domain::decide::routing::{Load, Reason, Target, order, targets};
use domain::deployment::Phase;
use domain::provider::{Kind, Provider};
use domain::{Command, Health, Liveness, NodeId, ProviderName, View, provider};

use crate::world::{World, a_spec};

fn suspect(view: &mut View, nodes: &[u64]) {
    let mut liveness = Liveness { nodes: view.liveness.nodes.clone() };
    for node in nodes {
        liveness.nodes.get_mut(&NodeId(*node)).unwrap().0 = Health::Suspect;
    }
    view.liveness = Arc::new(liveness);
}

fn served(replicas: u32) -> World {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
    world.deploy(a_spec("x", replicas));
    world.place();
    world.report_all(Phase::Ready);
    world
}

#[test]
fn a_suspect_is_left_out_until_too_many_are() {
    let world = served(3);
    let mut view = world.view();
    suspect(&mut view, &[2]);
    assert_eq!(targets(&view, "x").unwrap().len(), 2);
    suspect(&mut view, &[2, 3]);
    assert_eq!(targets(&view, "x").unwrap().len(), 3, "the observer is the one that is cut off");
}

#[test]
fn what_cannot_answer_says_why() {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0)]);
    assert_eq!(targets(&world.view(), "x"), Err(Reason::UnknownModel));
    let id = world.deploy(a_spec("x", 1));
    assert!(matches!(targets(&world.view(), "x"), Err(Reason::NoneReady { wanted: 1, .. })));
    world.place();
    world.report_all(Phase::Failed { reason: "no such file".into() });
    let why = targets(&world.view(), "x").unwrap_err().to_string();
    assert!(why.contains("no such file"), "{why}");
    world.apply(Command::Deployment(domain::deployment::Command::Stop(id))).unwrap();
    assert_eq!(targets(&world.view(), "x"), Err(Reason::Stopped(id)));
}

#[test]
fn own_replicas_come_before_providers_and_a_provider_can_be_named() {
    let mut world = served(1);
    let provider = Provider {
        name: ProviderName::from("p"),
        kind: Kind::Mock,
        models: vec!["x".into()],
        revision: 0,
        created_at: 0,
    };
    world.apply(Command::Provider(provider::Command::Put(provider))).unwrap();
    let found = targets(&world.view(), "x").unwrap();
    assert!(matches!(found[..], [Target::Replica { .. }, Target::Provider(_)]));
    assert_eq!(targets(&world.view(), "p/x").unwrap(), [Target::Provider(ProviderName::from("p"))]);
    let mut loaded: Vec<_> = found.into_iter().rev().map(|t| (t, Load::default())).collect();
    order(&mut loaded, 7);
    assert!(matches!(loaded[0].0, Target::Replica { .. }));
    loaded[0].1.avoid = true;
    order(&mut loaded, 7);
    assert!(matches!(loaded[0].0, Target::Provider(_)));
}

#[test]
fn the_least_loaded_is_asked_first_and_equals_share() {
    let world = served(3);
    let all = targets(&world.view(), "x").unwrap();
    let load = |in_flight, latency_us| Load { in_flight, latency_us, avoid: false };
    let mut loaded = vec![
        (all[0].clone(), load(3, 100)),
        (all[1].clone(), load(1, 90_000)),
        (all[2].clone(), load(1, 100)),
    ];
    order(&mut loaded, 1);
    assert_eq!(loaded[0].0, all[2]);
    let mut first = std::collections::BTreeMap::new();
    for draw in 0..3_000u64 {
        let mut equal: Vec<_> = all.iter().cloned().map(|t| (t, Load::default())).collect();
        order(&mut equal, draw.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        *first.entry(equal[0].0.clone()).or_insert(0) += 1;
    }
    assert!(first.len() == 3 && first.values().all(|n| *n > 500), "{first:?}");
}
