//! Plans of calls: what is left out, what comes first by which policy, and what moves when something changes.

use std::collections::{BTreeMap, BTreeSet};

use domain::decide::breaker;
use domain::decide::limiter::Tokens;
use domain::decide::routing::plan::{Ability, Ask, Knowledge, Needs, Plan, plan};
use domain::decide::routing::{Load, Reason, Target};
use domain::deployment::Phase;
use domain::price::Rates;
use domain::provider::{Kind, Provider};
use domain::route::{self, Caller, Policy, Preferred, Route, Share, Step};
use domain::{Command, KeyId, View, provider};
use proptest::prelude::*;

use crate::world::{World, a_spec};

/// What is known of targets: of providers by name, of replicas by ordinal.
#[derive(Default)]
struct Known {
    loads: BTreeMap<String, Load>,
    open: BTreeMap<String, breaker::State>,
    abilities: BTreeMap<String, Ability>,
}

fn name_of(target: &Target) -> String {
    match target {
        Target::Replica { ordinal, .. } => ordinal.to_string(),
        Target::Provider(name) => name.to_string(),
    }
}

impl Knowledge for Known {
    fn load(&self, target: &Target) -> Load {
        self.loads.get(&name_of(target)).copied().unwrap_or_default()
    }
    fn breaker(&self, target: &Target) -> breaker::State {
        self.open.get(&name_of(target)).copied().unwrap_or_default()
    }
    fn ability(&self, target: &Target, _: &str) -> Option<Ability> {
        self.abilities.get(&name_of(target)).copied()
    }
}

impl Known {
    fn busy(mut self, target: &str, in_flight: u32, latency_us: u64) -> Self {
        self.loads.insert(target.into(), Load { in_flight, latency_us, avoid: false });
        self
    }
    fn able(mut self, target: &str, ability: Ability) -> Self {
        self.abilities.insert(target.into(), ability);
        self
    }
}

/// A cluster with the deployment `x` of so many replicas, and a provider for each name, which offers `m` and `m-` with its
/// name.
fn world(replicas: u32, providers: &[&str]) -> World {
    let mut world = World::with_nodes(&[("a", 0), ("b", 0), ("c", 0), ("d", 0)]);
    if replicas > 0 {
        world.deploy(a_spec("x", replicas));
        world.place();
        world.report_all(Phase::Ready);
    }
    for name in providers {
        let models = vec!["m".to_owned(), format!("m-{name}")];
        let row = Provider { name: (*name).into(), kind: Kind::Mock, models, revision: 0, created_at: 0 };
        world.apply(Command::Provider(provider::Command::Put(row))).unwrap();
    }
    world
}

fn step(policy: Policy, shares: &[(&str, u32)]) -> Step {
    let share = |(model, weight): &(&str, u32)| Share { model: (*model).into(), weight: *weight };
    Step { targets: shares.iter().map(share).collect(), policy }
}

fn put(world: &mut World, name: &str, chain: Vec<Step>) {
    let route = Route { name: name.into(), chain, ..Route::default() };
    world.apply(Command::Route(route::Command::Put(Box::new(route)))).unwrap();
}

fn ask(model: &str) -> Ask<'_> {
    Ask { model, ..Ask::default() }
}

fn planned(view: &View, ask: &Ask<'_>, known: &Known, draw: u64) -> Plan {
    plan(view, ask, known, draw).unwrap()
}

fn order(plan: &Plan) -> Vec<String> {
    plan.targets.iter().map(|planned| name_of(&planned.target)).collect()
}

fn words(plan: &Plan) -> Vec<String> {
    let targets = plan.targets.iter().map(ToString::to_string);
    targets.chain(plan.left_out.iter().map(ToString::to_string)).collect()
}

#[test]
fn a_name_without_a_route_goes_to_all_that_offer_it_own_replicas_first_the_least_busy_first() {
    let mut world = world(2, &["p", "q"]);
    let row =
        Provider { name: "x".into(), kind: Kind::Mock, models: vec!["x".into()], revision: 0, created_at: 0 };
    world.apply(Command::Provider(provider::Command::Put(row))).unwrap();
    let known = Known::default().busy("0", 3, 10).busy("1", 1, 10);
    let plan = planned(&world.view(), &ask("x"), &known, 7);
    assert_eq!(order(&plan), ["1", "0", "x"]);
    assert!(words(&plan)[0].starts_with("x/1@n-"), "{:?}", words(&plan));
    assert!(words(&plan)[0].ends_with(": own replica, 1 under way"));
    assert_eq!(words(&plan)[2], "x/x: provider, 0 under way");
    assert_eq!(order(&planned(&world.view(), &ask("q/m"), &known, 7)), ["q"]);
    assert_eq!(planned(&world.view(), &ask("q/m"), &known, 7).targets[0].model, "m");
}

#[test]
fn what_cannot_take_the_call_is_left_out_and_what_is_known_to_fail_comes_last() {
    let mut world = world(0, &["a", "b", "c", "d", "e"]);
    let all = [("m-a", 1), ("m-b", 0), ("m-c", 0), ("m-d", 0), ("m-e", 0), ("no-such", 0)];
    put(&mut world, "chat", vec![step(Policy::Weighted, &all)]);
    let sees = Ability { vision: true, ..Ability::default() };
    let mut known = Known::default()
        .able("a", sees)
        .able("b", Ability { context_tokens: Some(100), ..sees })
        .able("c", Ability::default());
    known.open.insert("a".into(), breaker::State::Open { left_ms: 4_250 });
    known.open.insert("e".into(), breaker::State::HalfOpen { free: 0 });
    let needs = Needs { vision: true, context_tokens: 101, ..Needs::default() };
    let ask = Ask { needs, ..ask("chat") };
    assert_eq!(
        words(&planned(&world.view(), &ask, &known, 0)),
        [
            "d/m-d: weight 0 of 1, follows",
            "e/m-e put last: breaker half open, being tried",
            "a/m-a put last: breaker open for 4.2 s",
            "b/m-b left out: takes 100 tokens, 101 needed",
            "c/m-c left out: no vision",
            "no-such left out: no deployment and no provider offers it",
        ]
    );
}

#[test]
fn where_nothing_can_answer_it_is_told_why() {
    let mut world = world(0, &["a"]);
    put(&mut world, "chat", vec![step(Policy::Weighted, &[("m-a", 1), ("later", 1)])]);
    let known = Known::default().able("a", Ability::default());
    let needs = Needs { tools: true, ..Needs::default() };
    let ask = Ask { needs, ..ask("chat") };
    let nothing = plan(&world.view(), &ask, &known, 0).unwrap_err();
    assert_eq!(nothing.reason, None);
    assert!(nothing.to_string().contains("a/m-a left out: no tools"), "{nothing}");
    world.deploy(a_spec("later", 1));
    let nothing = plan(&world.view(), &ask, &known, 0).unwrap_err();
    assert!(matches!(nothing.reason, Some(Reason::NoneReady { .. })), "it may soon");
    let unknown = plan(&world.view(), &Ask { model: "nobody", ..ask }, &known, 0).unwrap_err();
    assert_eq!(unknown.reason, Some(Reason::UnknownModel));
}

#[test]
fn steps_follow_each_other_routes_lead_to_routes_and_nothing_is_tried_twice() {
    let mut world = world(1, &["a", "b", "c"]);
    put(
        &mut world,
        "inner",
        vec![step(Policy::Weighted, &[("m-b", 1)]), step(Policy::Weighted, &[("m-a", 1)])],
    );
    put(
        &mut world,
        "x",
        vec![step(Policy::LeastLatency, &[("x", 1)]), step(Policy::Weighted, &[("inner", 1), ("m-a", 0)])],
    );
    assert_eq!(order(&planned(&world.view(), &ask("x"), &Known::default(), 3)), ["0", "b", "a"]);
    let shares = [("inner", 1), ("m-c", 1), ("x/m", 1)];
    put(&mut world, "cheap", vec![step(Policy::Cheapest, &shares)]);
    let able = |rate| Ability { rates: Some(Rates { input: rate, output: rate }), ..Ability::default() };
    let known =
        Known::default().able("a", able(9_000_000)).able("b", able(2_000_000)).able("c", able(3_000_000));
    let ask = Ask { tokens: Tokens { prompt: 900_000, completion: 100_000 }, ..ask("cheap") };
    let plan = planned(&world.view(), &ask, &known, 3);
    assert_eq!(order(&plan), ["b", "a", "c"], "another route's targets stay together");
    assert_eq!(
        words(&plan),
        [
            "b/m-b: expected to cost 2",
            "a/m-a: weight 1 of 1, drawn",
            "c/m-c: expected to cost 3",
            "x/m left out: no deployment and no provider offers it",
        ]
    );
}

#[test]
fn the_cheapest_comes_first_by_what_the_call_costs_and_unknown_prices_last() {
    let mut world = world(1, &["a", "b", "c"]);
    put(&mut world, "chat", vec![step(Policy::Cheapest, &[("m", 1), ("x", 1)])]);
    let able = |input, output| Ability { rates: Some(Rates { input, output }), ..Ability::default() };
    let known = Known::default().able("a", able(1, 1_000_000)).able("b", able(1_000_000, 1));
    let with = |prompt, completion| Ask { tokens: Tokens { prompt, completion }, ..ask("chat") };
    assert_eq!(order(&planned(&world.view(), &with(10, 1_000), &known, 0)), ["0", "b", "a", "c"]);
    assert_eq!(order(&planned(&world.view(), &with(1_000, 10), &known, 0)), ["0", "a", "b", "c"]);
}

#[test]
fn by_latency_the_worst_is_never_first_and_the_best_most_often() {
    let mut world = world(0, &["a", "b", "c", "d"]);
    put(&mut world, "chat", vec![step(Policy::LeastLatency, &[("m", 1)])]);
    let known =
        Known::default().busy("a", 0, 9_000).busy("b", 1, 1_000).busy("c", 0, 5_000).busy("d", 9, 1_000);
    let mut first: BTreeMap<String, u32> = BTreeMap::new();
    for draw in 0..1_200 {
        let order = order(&planned(&world.view(), &ask("chat"), &known, draw));
        *first.entry(order[0].clone()).or_default() += 1;
        let rest = ["b", "c", "a", "d"].into_iter().filter(|name| *name != order[0]);
        assert!(order[1..].iter().eq(rest));
    }
    let [b, c, a] = ["b", "c", "a"].map(|name| first[name]);
    assert!(!first.contains_key("d"));
    assert!(b.abs_diff(600) < 80 && c.abs_diff(400) < 80 && a.abs_diff(200) < 80, "{first:?}");
}

#[test]
fn what_is_preferred_for_a_caller_comes_first_for_that_one_alone() {
    let mut world = world(0, &["a", "b"]);
    let prefer = |caller, model: &str| Preferred { caller, models: vec![model.into()] };
    let route = Route {
        name: "chat".into(),
        chain: vec![step(Policy::Weighted, &[("m-a", 1)])],
        preferred: vec![prefer(Caller::Key(KeyId(5)), "b/m"), prefer(Caller::Label("batch".into()), "m-b")],
        ..Route::default()
    };
    world.apply(Command::Route(route::Command::Put(Box::new(route)))).unwrap();
    let known = Known::default();
    let mine = planned(&world.view(), &Ask { key: Some(KeyId(5)), ..ask("chat") }, &known, 0);
    assert_eq!(words(&mine), ["b/m: preferred for key-0000000000000005", "a/m-a: weight 1 of 1, drawn"]);
    let labels = ["batch".to_owned()];
    let labelled = planned(&world.view(), &Ask { labels: &labels, ..ask("chat") }, &known, 0);
    assert_eq!(words(&labelled)[0], "b/m-b: preferred for label batch");
    let other = planned(&world.view(), &Ask { key: Some(KeyId(6)), ..ask("chat") }, &known, 0);
    assert_eq!(order(&other), ["a"]);
}

#[test]
fn weights_are_shares_of_the_draws() {
    let mut world = world(0, &["a", "b", "c"]);
    put(&mut world, "chat", vec![step(Policy::Weighted, &[("m-a", 60), ("m-b", 30), ("m-c", 10)])]);
    let mut first: BTreeMap<String, u32> = BTreeMap::new();
    for draw in 0..3_000 {
        let plan = planned(&world.view(), &ask("chat"), &Known::default(), draw);
        *first.entry(order(&plan)[0].clone()).or_default() += 1;
        assert_eq!(plan.targets.len(), 3);
    }
    for (name, expected) in [("a", 1_800), ("b", 900), ("c", 300)] {
        assert!(first[name].abs_diff(expected) < 120, "{first:?}");
    }
}

#[test]
fn a_user_keeps_its_target_and_another_weight_moves_only_the_changed_share() {
    let mut world = world(0, &["a", "b", "c"]);
    let mut firsts = |weights: [u32; 3]| -> Vec<String> {
        let [a, b, c] = weights;
        put(&mut world, "chat", vec![step(Policy::StickyByUser, &[("m-a", a), ("m-b", b), ("m-c", c)])]);
        let first = |user: u64| {
            let user = format!("user-{user}");
            let ask = Ask { user: Some(&user), ..ask("chat") };
            order(&planned(&world.view(), &ask, &Known::default(), user.len() as u64 ^ 99)).remove(0)
        };
        (0..2_000).map(first).collect()
    };
    let before = firsts([50, 30, 20]);
    assert_eq!(before, firsts([50, 30, 20]));
    let after = firsts([50, 30, 40]);
    let moved: Vec<(&String, &String)> = before.iter().zip(&after).filter(|(old, new)| old != new).collect();
    assert!(moved.iter().all(|(_, new)| *new == "c"), "only to what weighs more");
    // From 20 of 100 to 40 of 120.
    assert!(moved.len().abs_diff(2_000 * 2 / 15) < 70, "{}", moved.len());
}

#[test]
fn a_lost_replicas_prefixes_are_spread_and_no_others_move() {
    let mut world = world(4, &[]);
    put(&mut world, "chat", vec![step(Policy::PrefixAware, &[("x", 1)])]);
    let firsts = |view: &View, known: &Known| -> Vec<String> {
        let first = |prefix: u64| {
            let prefixes = [prefix];
            order(&planned(view, &Ask { prefixes: &prefixes, ..ask("chat") }, known, prefix ^ 5)).remove(0)
        };
        (0..1_000).map(first).collect()
    };
    let before = firsts(&world.view(), &Known::default());
    let mut known = Known::default();
    known.open.insert("2".into(), breaker::State::Open { left_ms: 100 });
    let after = firsts(&world.view(), &known);
    let (mut lost, mut heirs) = (0, BTreeSet::new());
    for (old, new) in before.iter().zip(after) {
        if old == "2" {
            lost += 1;
            heirs.insert(new);
        } else {
            assert_eq!(*old, new);
        }
    }
    assert!((150..350).contains(&lost), "{lost}");
    assert_eq!(heirs.len(), 3, "its share is spread");
    let view = world.view();
    let plan = planned(&view, &Ask { prefixes: &[1], ..ask("chat") }, &Known::default(), 0);
    assert!(words(&plan)[0].ends_with("has read what it begins with"), "{:?}", words(&plan));
}

#[test]
fn a_replica_that_is_much_busier_than_the_others_is_passed_over() {
    let mut world = world(2, &[]);
    put(&mut world, "chat", vec![step(Policy::PrefixAware, &[("x", 1)])]);
    let view = world.view();
    let prefixes = [11, 12, 13, 14];
    let first = |known: &Known| planned(&view, &Ask { prefixes: &prefixes[..1], ..ask("chat") }, known, 0);
    let home = order(&first(&Known::default()))[0].clone();
    let other = if home == "0" { "1" } else { "0" };
    let busy = |mine, others| Known::default().busy(&home, mine, 1).busy(other, others, 1);
    assert_eq!(order(&first(&busy(8, 0)))[0], home, "1.5 times the mean of 4 and 2");
    assert_eq!(order(&first(&busy(9, 0)))[0], other);
    assert!(words(&first(&busy(9, 0)))[0].contains("has 9 under way, more than"));
    // Another beginning of the same prompt may have a home that has room: it sticks to that.
    let known = busy(9, 0);
    let plan = planned(&view, &Ask { prefixes: &prefixes, ..ask("chat") }, &known, 0);
    assert_eq!(order(&plan)[0], other);
}

fn policies() -> impl Strategy<Value = Policy> {
    prop::sample::select(Policy::ALL)
}

proptest! {
    #[test]
    fn a_plan_has_each_target_that_can_answer_once_and_those_that_fail_last(
        shape in proptest::collection::vec((policies(), proptest::collection::vec((0..7usize, 0..4u32), 1..5)), 1..4),
        nested in policies(), open in 0..64u8, blind in 0..64u8, busy in proptest::collection::vec(0..20u32, 6),
        draw: u64, prefix: u64,
    ) {
        let names = ["m-a", "m-b", "m-c", "x", "m", "inner", "no-such"];
        let mut world = world(3, &["a", "b", "c"]);
        put(&mut world, "inner", vec![step(nested, &[("m", 1), ("x", 2)])]);
        let chain = shape.iter().map(|(policy, shares)| {
            let shares: BTreeMap<&str, u32> = shares.iter().map(|(name, w)| (names[*name], *w)).collect();
            let mut shares: Vec<(&str, u32)> = shares.into_iter().collect();
            shares[0].1 += 1;
            step(*policy, &shares)
        });
        put(&mut world, "chat", chain.collect());
        let mut known = Known::default();
        for (place, name) in ["a", "b", "c", "0", "1", "2"].into_iter().enumerate() {
            known = known.busy(name, busy[place], u64::from(busy[place]) * 100);
            if open >> place & 1 == 1 {
                known.open.insert(name.into(), breaker::State::Open { left_ms: 1 });
            }
            let vision = blind >> place & 1 == 0;
            known = known.able(name, Ability { vision, ..Ability::default() });
        }
        let (view, prefixes) = (world.view(), [prefix]);
        let needs = Needs { vision: true, ..Needs::default() };
        let ask = Ask { needs, prefixes: &prefixes, user: Some("u"), ..ask("chat") };
        let found = plan(&view, &ask, &known, draw);
        prop_assert_eq!(&found, &plan(&view, &ask, &known, draw));
        let Ok(found) = found else { return Ok(()) };
        let keys: BTreeSet<_> = found.targets.iter().map(|t| (t.target.clone(), t.model.clone())).collect();
        prop_assert_eq!(keys.len(), found.targets.len());
        for planned in &found.targets {
            prop_assert!(known.abilities[&name_of(&planned.target)].vision);
            let is_open = known.open.contains_key(&name_of(&planned.target));
            prop_assert_eq!(planned.late.is_some(), is_open);
        }
        prop_assert!(found.targets.windows(2).all(|pair| pair[0].late <= pair[1].late));
    }
}
