//! The routes table: what is taken, what is refused and by which name, and that routes never lead back to themselves.

use domain::event::Kind;
use domain::limits::{ROUTE_DEPTH_MAX, ROUTE_STEPS_MAX, ROUTE_TIME_MAX_MS};
use domain::route::{
    self, Caller, Fusion, Hedge, How, LEVEL, Policy, Preferred, Queue, Reject, Route, Share, Step, Times,
};
use domain::{Command, KeyId, Outcome, Reject as Refused, State, node};
use proptest::prelude::*;

use crate::world::{World, a_node};

fn share(model: &str, weight: u32) -> Share {
    Share { model: model.into(), weight }
}

fn step(policy: Policy, models: &[&str]) -> Step {
    Step { targets: models.iter().map(|model| share(model, 1)).collect(), policy }
}

/// A route with a step for each of these.
fn chain(name: &str, models: &[&str]) -> Route {
    let chain = models.iter().map(|model| step(Policy::Weighted, &[model])).collect();
    Route { name: name.into(), chain, ..Route::default() }
}

fn full() -> Route {
    Route {
        name: "chat-best".into(),
        chain: vec![
            Step { targets: vec![share("a", 70), share("p/b", 30)], policy: Policy::StickyByUser },
            step(Policy::Cheapest, &["chat-best", "c"]),
        ],
        preferred: vec![Preferred { caller: Caller::Key(KeyId(3)), models: vec!["p/b".into()] }],
        fallback_answer: Some("Nothing answers just now.".into()),
        fusion: Some(Fusion { models: vec!["a".into(), "c".into()], how: How::BestOf { judge: "j".into() } }),
        times: Times { first_token_ms: Some(2_000), total_ms: Some(60_000), ..Times::default() },
        attempts_max: Some(2),
        hedge: Some(Hedge { after_ms: Some(500) }),
        queue: Some(Queue::default()),
        set_at: 0,
    }
}

fn world() -> World {
    World::with_nodes(&[("a", 0)])
}

fn put(world: &mut World, route: Route) -> Outcome {
    world.apply(Command::Route(route::Command::Put(Box::new(route))))
}

fn refused(outcome: Outcome) -> Reject {
    match outcome {
        Err(Refused::Route(reject)) => reject,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_route_is_set_replaced_told_and_taken_away() {
    let mut world = world();
    put(&mut world, full()).unwrap();
    let kept = world.state.route("chat-best").unwrap().clone();
    assert_eq!(kept, Route { set_at: world.now, ..full() });
    let told = world.state.events.rows().next_back().unwrap().clone();
    assert_eq!(told.kind, Kind::RouteChanged);
    assert_eq!(
        told.text,
        "calls for chat-best go to a or p/b (sticky_by_user), then chat-best or c (cheapest)"
    );
    put(&mut world, chain("chat-best", &[])).unwrap();
    assert!(world.state.route("chat-best").unwrap().chain.is_empty());
    let mut loaded = State::default();
    for (key, value) in &world.rows {
        loaded.load(key, value).unwrap();
    }
    assert_eq!(loaded.route("chat-best"), world.state.route("chat-best"));
    let remove = Command::Route(route::Command::Remove("chat-best".into()));
    world.apply(remove.clone()).unwrap();
    assert_eq!(refused(world.apply(remove)), Reject::Unknown("chat-best".into()));
    assert!(world.rows.keys().all(|key| key[0] != 20));
}

#[test]
fn older_nodes_are_sent_no_route() {
    let mut world = World::new();
    let version = domain::level::stamp("0", LEVEL - 1);
    let row = node::Node { version, ..a_node(1, "a", 0) };
    world.apply(Command::Node(node::Command::Join(row))).unwrap();
    assert_eq!(put(&mut world, full()), Err(Refused::TooNew { version: LEVEL, known: LEVEL - 1 }));
}

/// What makes a route wrong, the part that is named, and a word of what to do.
type Case<'a> = (&'a dyn Fn(&mut Route), &'a str, &'a str);

#[test]
fn what_is_wrong_is_named_with_what_to_do() {
    let with = |change: &dyn Fn(&mut Route)| {
        let mut route = full();
        change(&mut route);
        route
    };
    let cases: [Case<'_>; 20] = [
        (&|r| r.name = "a b".into(), "the name", "letters, digits"),
        (&|r| r.chain = vec![step(Policy::Weighted, &["a"]); ROUTE_STEPS_MAX + 1], "chain", "8 steps"),
        (&|r| r.chain[1].targets.clear(), "chain[1].targets", "1 to 16"),
        (&|r| r.chain[0].targets[1].model = String::new(), "chain[0].targets[1].model", "1 to 128"),
        (&|r| r.chain[0].targets[1].model = "a".into(), "chain[0].targets[1].model", "already"),
        (&|r| r.chain[0].targets[0].weight = u32::MAX, "chain[0].targets[0].weight", "0 to"),
        (&|r| r.chain[1].targets.iter_mut().for_each(|t| t.weight = 0), "chain[1].targets", "above 0"),
        (&|r| r.preferred[0].models.clear(), "preferred[0].models", "1 to 8"),
        (&|r| r.preferred[0].models[0] = "?".into(), "preferred[0].models[0]", "a model's name"),
        (&|r| r.preferred.push(r.preferred[0].clone()), "preferred[1].caller", "already"),
        (&|r| r.preferred[0].caller = Caller::Label(" ".into()), "preferred[0].caller", "a label"),
        (&|r| r.fallback_answer = Some("  ".into()), "fallback_answer", "leave it out"),
        (&|r| r.fusion.as_mut().unwrap().models.truncate(1), "fusion.models", "2 to 8"),
        (
            &|r| r.fusion.as_mut().unwrap().how = How::Merge { model: "-".into() },
            "fusion.how.model",
            "start with",
        ),
        (&|r| r.times.first_token_ms = Some(60_001), "times.first_token_ms", "60000"),
        (&|r| r.times.total_ms = Some(ROUTE_TIME_MAX_MS + 1), "times.total_ms", "86400000"),
        (&|r| r.attempts_max = Some(0), "attempts_max", "1 to 16"),
        (&|r| r.hedge = Some(Hedge { after_ms: Some(0) }), "hedge.after_ms", "1 to"),
        (&|r| r.queue.as_mut().unwrap().in_flight_max = 0, "queue.in_flight_max", "1 to"),
        (&|r| r.queue.as_mut().unwrap().waiting_max = 10_001, "queue.waiting_max", "0 to 10000"),
    ];
    let mut world = world();
    for (change, part, todo) in cases {
        match refused(put(&mut world, with(change))) {
            Reject::Bad { field, hint, .. } => {
                assert_eq!(field, part);
                assert!(hint.contains(todo), "{field}: {hint}");
            }
            other => panic!("{part}: {other:?}"),
        }
    }
    assert!(world.state.routes.is_empty());
}

#[test]
fn routes_that_lead_back_to_themselves_are_refused_and_the_own_name_is_the_model_behind() {
    let mut world = world();
    put(&mut world, chain("a", &["a", "b"])).unwrap();
    put(&mut world, chain("b", &["c"])).unwrap();
    let reject = refused(put(&mut world, chain("c", &["x", "a"])));
    assert_eq!(reject, Reject::Loop { name: "c".into(), path: "c > a > b > c".into() });
    let judge = Fusion { models: vec!["x".into(), "y".into()], how: How::BestOf { judge: "a".into() } };
    let reject = refused(put(&mut world, Route { fusion: Some(judge), ..chain("c", &[]) }));
    assert!(matches!(reject, Reject::Loop { .. }), "judges count too");
    put(&mut world, chain("c", &["x"])).unwrap();
}

#[test]
fn routes_lie_no_deeper_than_they_may_whichever_end_comes_last() {
    let name = |n: usize| format!("r{n}");
    let link = |n: usize| chain(&name(n), &[&name(n + 1)]);
    for order in [[0, 1, 2, 3, 4], [4, 3, 2, 1, 0], [0, 1, 4, 3, 2]] {
        let mut world = world();
        for n in &order[..4] {
            put(&mut world, link(*n)).unwrap();
        }
        let reject = refused(put(&mut world, link(order[4])));
        assert!(matches!(reject, Reject::TooDeep { depth: 5, .. }), "{order:?}: {reject}");
        assert!(reject.to_string().contains("r0 > r1 > r2 > r3 > r4"), "{reject}");
    }
}

/// How many routes lie behind one another from here on; `None` when they lead back.
fn depth(state: &State, name: &str, left: usize) -> Option<usize> {
    let Some(row) = state.route(name) else { return Some(0) };
    let left = left.checked_sub(1)?;
    let below: Option<Vec<usize>> =
        row.names().filter(|(_, next)| *next != row.name).map(|(_, next)| depth(state, next, left)).collect();
    Some(below?.into_iter().max().unwrap_or(0) + 1)
}

proptest! {
    #[test]
    fn whatever_is_set_and_removed_no_route_leads_back_or_too_deep(
        commands in proptest::collection::vec(
            (0..8u8, proptest::collection::btree_set(0..8u8, 0..3), proptest::bool::weighted(0.2)), 1..60,
        ),
    ) {
        let mut world = world();
        for (name, models, remove) in commands {
            let name = format!("r{name}");
            if remove {
                let _ = world.apply(Command::Route(route::Command::Remove(name)));
                continue;
            }
            let models: Vec<String> = models.iter().map(|model| format!("r{model}")).collect();
            let models: Vec<&str> = models.iter().map(String::as_str).collect();
            let before = world.state.routes.clone();
            if put(&mut world, chain(&name, &models)).is_err() {
                prop_assert_eq!(&before, &world.state.routes);
            }
            for row in world.state.routes.rows() {
                let found = depth(&world.state, &row.name, 20);
                prop_assert!(found.is_some_and(|depth| depth <= ROUTE_DEPTH_MAX), "{:?}", found);
            }
        }
    }
}
