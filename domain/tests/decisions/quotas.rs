//! Tenants' quotas: what would exceed one is refused with what is used and what is allowed.

use domain::deployment::{self, Policy, Resources, Spec};
use domain::setting::{self, Quota, Usage, usages};
use domain::{Command, Outcome, Reject};

use crate::world::{World, a_spec};

fn set(world: &mut World, tenant: &str, quota: Quota) {
    let set = setting::Command::SetQuota { tenant: tenant.into(), quota };
    world.apply(Command::Setting(set)).unwrap();
}

fn of(tenant: &str, name: &str, replicas: u32) -> Spec {
    let resources = Resources { gpus: 1, memory_mib: 100, ..Resources::default() };
    let policy = Policy { tenant: tenant.into(), ..Policy::default() };
    Spec { resources, policy, ..a_spec(name, replicas) }
}

fn create(world: &mut World, spec: Spec) -> Outcome {
    world.apply(Command::Deployment(deployment::Command::create(spec)))
}

fn over(outcome: &Outcome) -> Option<(&str, u64, u64, u64)> {
    match outcome {
        Err(Reject::Deployment(deployment::Reject::OverQuota { what, used, asked, allowed, .. })) => {
            Some((what.as_str(), *used, *asked, *allowed))
        }
        _ => None,
    }
}

#[test]
fn each_limit_is_kept_by_itself() {
    let mut world = World::with_nodes(&[("a", 0)]);
    for (quota, what, allowed) in [
        (Quota { replicas: Some(3), ..Quota::default() }, "replicas", 3),
        (Quota { gpus: Some(3), ..Quota::default() }, "GPUs", 3),
        (Quota { memory_mib: Some(300), ..Quota::default() }, "MiB of memory", 300),
    ] {
        set(&mut world, "t", quota);
        let id = world.deploy(of("t", "x", 2));
        let unit = allowed / 3;
        assert_eq!(over(&create(&mut world, of("t", "y", 2))), Some((what, 2 * unit, 2 * unit, allowed)));
        assert!(create(&mut world, of("u", "y", 2)).is_ok(), "another tenant's is not counted");
        let scale = |replicas| Command::Deployment(deployment::Command::Scale { id, replicas });
        assert_eq!(over(&world.apply(scale(4))), Some((what, 0, 4 * unit, allowed)));
        world.apply(scale(3)).unwrap();
        let names: Vec<_> = world.state.deployments.rows().map(|d| d.id).collect();
        for id in names {
            world.apply(Command::Deployment(deployment::Command::Delete(id))).unwrap();
        }
    }
}

#[test]
fn what_rests_is_not_counted_and_not_started_beyond_the_limit() {
    let mut world = World::with_nodes(&[("a", 0)]);
    set(&mut world, "t", Quota { replicas: Some(2), ..Quota::default() });
    let first = world.deploy(of("t", "x", 2));
    world.apply(Command::Deployment(deployment::Command::Stop(first))).unwrap();
    let second = world.deploy(of("t", "y", 1));
    let refused = world.apply(Command::Deployment(deployment::Command::Start(first)));
    assert_eq!(over(&refused), Some(("replicas", 1, 2, 2)));
    let refused = world.apply(Command::Deployment(deployment::Command::Restart(first)));
    assert_eq!(over(&refused), Some(("replicas", 1, 2, 2)));
    world.apply(Command::Deployment(deployment::Command::Restart(second))).unwrap();
    world.apply(Command::Deployment(deployment::Command::Delete(second))).unwrap();
    world.apply(Command::Deployment(deployment::Command::Start(first))).unwrap();
}

#[test]
fn a_quota_below_what_is_used_takes_nothing_away_and_lets_it_shrink() {
    let mut world = World::with_nodes(&[("a", 0)]);
    let id = world.deploy(of("t", "x", 5));
    set(&mut world, "t", Quota { replicas: Some(2), ..Quota::default() });
    assert_eq!(usages(&world.state)["t"], Usage { replicas: 5, gpus: 5, memory_mib: 500 });
    let scale = |replicas| Command::Deployment(deployment::Command::Scale { id, replicas });
    world.apply(scale(4)).unwrap();
    assert!(over(&world.apply(scale(5))).is_some());
    let remove = setting::Command::RemoveQuota("t".into());
    world.apply(Command::Setting(remove.clone())).unwrap();
    assert!(matches!(
        world.apply(Command::Setting(remove)),
        Err(Reject::Setting(setting::Reject::NoQuota(_)))
    ));
    world.apply(scale(9)).unwrap();
}

#[test]
fn a_quota_of_the_default_tenant_holds_for_what_names_none() {
    let mut world = World::with_nodes(&[("a", 0)]);
    set(&mut world, "default", Quota { replicas: Some(1), ..Quota::default() });
    assert_eq!(over(&create(&mut world, a_spec("x", 2))), Some(("replicas", 0, 2, 1)));
    let said = create(&mut world, a_spec("x", 2)).unwrap_err().to_string();
    assert!(said.contains("tenant `default` may have 1 replicas") && said.contains("asks for 2"), "{said}");
}
