//! Whether a spec makes sense. Every refusal names the field and says what to do.

use super::{Policy, Reject, Spec};
use crate::State;
use crate::ids::{NAME_LEN_MAX, NodeId, check_name};
use crate::limits::{ARGS_MAX, ENV_MAX, PINS_MAX, PRIORITY_MAX, REPLICAS_MAX, SPEC_BYTES_MAX};

pub(super) fn check_replicas(replicas: u32) -> Result<(), Reject> {
    if replicas > REPLICAS_MAX {
        return Err(bad("replicas", format!("ask for 0 to {REPLICAS_MAX}")));
    }
    Ok(())
}

pub(super) fn check_spec(spec: &Spec) -> Result<(), Reject> {
    check_name(&spec.name).map_err(|hint| bad("name", hint.to_owned()))?;
    check_name(&spec.engine).map_err(|hint| bad("engine", hint.to_owned()))?;
    check_replicas(spec.replicas)?;
    if spec.env.len() > ENV_MAX {
        return Err(bad("env", format!("set at most {ENV_MAX} variables")));
    }
    if let Some(name) = spec.env.keys().find(|k| k.is_empty() || k.contains(['=', '\0'])) {
        return Err(bad("env", format!("`{name}` is not a variable's name")));
    }
    if spec.args.len() > ARGS_MAX {
        return Err(bad("args", format!("pass at most {ARGS_MAX} arguments")));
    }
    let bytes: usize = spec.env.iter().flat_map(|(k, v)| [k, v]).chain(&spec.args).map(String::len).sum();
    if bytes > SPEC_BYTES_MAX {
        let hint =
            format!("they take {bytes} bytes together, {SPEC_BYTES_MAX} at most: put more into a file");
        return Err(bad("env or args", hint));
    }
    if spec.env.values().chain(&spec.args).any(|v| v.contains('\0')) {
        return Err(bad("env or args", "leave out NUL characters".to_owned()));
    }
    check_policy(&spec.policy)
}

pub(super) fn check_policy(policy: &Policy) -> Result<(), Reject> {
    check_name(&policy.tenant).map_err(|hint| bad("tenant", hint.to_owned()))?;
    if policy.priority.unsigned_abs() > PRIORITY_MAX.unsigned_abs() {
        return Err(bad("priority", format!("give -{PRIORITY_MAX} to {PRIORITY_MAX}")));
    }
    for (field, pins) in [("nodes", &policy.nodes), ("zones", &policy.zones)] {
        if pins.len() > PINS_MAX || pins.iter().any(|pin| pin.len() > NAME_LEN_MAX) {
            let hint = format!("list at most {PINS_MAX}, of at most {NAME_LEN_MAX} characters each");
            return Err(bad(field, hint));
        }
    }
    Ok(())
}

/// Pins must name what there is: a slip of the pen would otherwise show only as a deployment that never runs.
pub(super) fn check_pins(state: &State, policy: &Policy) -> Result<(), Reject> {
    let is_node = |pin: &str| {
        state.node_named(pin).is_some() || pin.parse::<NodeId>().is_ok_and(|id| state.nodes.contains(&id))
    };
    if let Some(pin) = policy.nodes.iter().find(|pin| !is_node(pin)) {
        return Err(bad("nodes", format!("there is no node `{pin}`: list them with `llmhub nodes`")));
    }
    let is_zone = |zone: &str| state.nodes.rows().any(|node| node.zone == zone);
    if let Some(zone) = policy.zones.iter().find(|zone| !is_zone(zone)) {
        return Err(bad("zones", format!("no node is in zone `{zone}`: list them with `llmhub nodes`")));
    }
    Ok(())
}

fn bad(field: &str, hint: String) -> Reject {
    Reject::BadSpec { field: field.to_owned(), hint }
}
