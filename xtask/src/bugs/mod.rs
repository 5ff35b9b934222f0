//! Planted bugs: the proof that the simulator finds what it is there to find. Each patch in `sim/bugs` puts one known
//! bug into a scratch copy of the tree; the simulator must fail on the seeds that the patch names, and must not fail
//! on them without it. Nothing here touches the work tree.

mod patch;
mod run;
mod scratch;
mod warm;

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};

use crate::tree;
use patch::Patch;
use run::{Outcome, Simulator};
use scratch::Scratch;

const FOLDER: &str = "sim/bugs";

/// Tries every planted bug whose file name contains `only`, with `jobs` seeds at a time, and prints a table.
///
/// # Errors
/// When a bug is not found, a patch does not apply or does not build, or a seed fails without any bug.
pub(crate) fn run(only: Option<&str>, jobs: usize) -> Result<()> {
    let root = tree::root()?;
    let patches = Patch::read_all(&root.join(FOLDER), only)?;
    if patches.is_empty() {
        bail!("no planted bug to try: {FOLDER} has no patch of that name");
    }
    let target = tree::target(&root).join("bugs");
    let scratch = Scratch::new(root, target.join("tree"));
    let simulator = Simulator::new(target.join("build"), jobs);

    scratch.reset()?;
    warm::take_over(&tree::target(scratch.root()), simulator.target(), scratch.root())?;
    println!("building the simulator without a bug");
    simulator.build(scratch.tree()).context("the tree does not build before any bug is planted")?;
    check_seeds_pass(&simulator, &scratch, &patches)?;

    let mut rows = Vec::new();
    for patch in &patches {
        println!("planting {}", patch.name);
        rows.push((patch, plant(&simulator, &scratch, patch)));
    }
    scratch.reset()?;
    report(&rows)
}

/// Seeds that fail anyway would prove nothing.
fn check_seeds_pass(simulator: &Simulator, scratch: &Scratch, patches: &[Patch]) -> Result<()> {
    let runs: BTreeSet<_> = patches.iter().map(|patch| (&patch.scenario, &patch.seeds)).collect();
    for (scenario, seeds) in runs {
        let outcome = simulator.run(scratch.tree(), scenario, seeds, None)?;
        if outcome != Outcome::Passed {
            bail!("{scenario} seeds {seeds} fails without any bug ({outcome}): mend that first");
        }
    }
    Ok(())
}

fn plant(simulator: &Simulator, scratch: &Scratch, patch: &Patch) -> Result<Outcome> {
    scratch.reset()?;
    scratch.apply(&patch.path)?;
    simulator.build(scratch.tree()).context("does not build")?;
    simulator.run(scratch.tree(), &patch.scenario, &patch.seeds, patch.invariant.as_deref())
}

fn report(rows: &[(&Patch, Result<Outcome>)]) -> Result<()> {
    let width = rows.iter().map(|(patch, _)| patch.name.len()).max().unwrap_or(0).max("bug".len());
    println!("\n{:width$}  {:24}  found", "bug", "looked for in");
    let mut missed = 0;
    for (patch, result) in rows {
        let place = format!("{} {}", patch.scenario, patch.seeds);
        let found = match result {
            Ok(outcome) => outcome.to_string(),
            Err(error) => format!("NO: {error:#}"),
        };
        // a compiler's or a run's last words go under the row, not into it
        println!("{:width$}  {place:24}  {}", patch.name, found.replace('\n', "\n    "));
        missed += usize::from(!matches!(result, Ok(Outcome::Found { .. })));
    }
    if missed > 0 {
        bail!("{missed} of {} planted bugs were not found: see the table", rows.len());
    }
    println!("\nall {} planted bugs were found", rows.len());
    Ok(())
}
