//! How a deployment comes back from a backup: checked like a new one, and placed anew.

use super::check::check_spec;
use super::{Deployment, Reject};
use crate::State;
use crate::ids::DeploymentId;
use crate::tables::Context;

/// Takes a deployment back in from a backup. Quotas are not looked at: what ran under them runs again. Nor are pins: the nodes
/// and zones they name may join later, and until then it waits.
pub(in crate::tables) fn restore(
    state: &mut State,
    (key, row): (DeploymentId, Deployment),
    base: u64,
    ctx: &mut Context<'_>,
) -> Result<(), String> {
    let row = (*row.unplaced()).clone();
    if let Some(old) = state.deployments.get(&key) {
        return if *old.unplaced() == row { Ok(()) } else { Err("it was changed here meanwhile".to_owned()) };
    }
    if key != row.id || key.0.max(row.generation) > base {
        return Err("its number is not one of the backup's".to_owned());
    }
    check_spec(&row.spec).map_err(|e| e.to_string())?;
    if let Some(id) = state.names.get(&row.spec.name) {
        return Err(Reject::NameTaken { name: row.spec.name.clone(), id: *id }.to_string());
    }
    if !state.models.contains(&row.spec.model) {
        return Err(Reject::NoModel(row.spec.model.clone()).to_string());
    }
    state.names.insert(row.spec.name.clone(), key);
    state.deployments.put(ctx.out, key, row);
    Ok(())
}
