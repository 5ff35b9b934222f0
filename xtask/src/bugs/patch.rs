//! A planted bug's file: a patch whose first lines say where it must be found.
//!
//! ```text
//! # A follower acknowledges before its log is durable.
//! # finds: leader_killed seeds 0..40
//! # invariant: no_acknowledged_write_lost
//! diff --git a/… b/…
//! ```
//!
//! `any` instead of a scenario's name lets the seed choose. The invariant is optional: with it, the run must name it.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

/// One planted bug.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Patch {
    pub(crate) name: String,
    pub(crate) path: PathBuf,
    /// A scenario's name, or `any`.
    pub(crate) scenario: String,
    /// `A..B`, as the simulator takes it.
    pub(crate) seeds: String,
    /// What the failing run must name.
    pub(crate) invariant: Option<String>,
}

impl Patch {
    /// The patches in a folder whose file name contains `only`, by name.
    pub(crate) fn read_all(folder: &Path, only: Option<&str>) -> Result<Vec<Patch>> {
        let entries = std::fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))?;
        let mut patches = Vec::new();
        for entry in entries {
            let path = entry?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let wanted = only.is_none_or(|only| name.contains(only));
            if wanted && path.extension().is_some_and(|extension| extension == "patch") {
                let text =
                    std::fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
                patches.push(Patch::parse(name, path, &text)?);
            }
        }
        patches.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(patches)
    }

    fn parse(name: String, path: PathBuf, text: &str) -> Result<Patch> {
        let header = || text.lines().map_while(|line| line.strip_prefix('#')).map(str::trim);
        let field = |key: &str| header().find_map(|line| line.strip_prefix(key)).map(str::trim);
        let Some(finds) = field("finds:") else {
            bail!("{name}: the patch must begin with a line `# finds: SCENARIO seeds A..B`");
        };
        let words: Vec<&str> = finds.split_whitespace().collect();
        let [scenario, "seeds", seeds] = words[..] else {
            bail!("{name}: `{finds}` should read `SCENARIO seeds A..B`");
        };
        if !is_range(seeds) {
            bail!("{name}: `{seeds}` is no range of seeds: write A..B with A less than B");
        }
        let (scenario, seeds) = (scenario.to_string(), seeds.to_string());
        Ok(Patch { name, path, scenario, seeds, invariant: field("invariant:").map(str::to_string) })
    }
}

fn is_range(text: &str) -> bool {
    let ends = text.split_once("..").map(|(a, b)| (a.parse::<u64>(), b.parse::<u64>()));
    matches!(ends, Some((Ok(first), Ok(end))) if first < end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Patch> {
        Patch::parse("bug".to_string(), PathBuf::from("bug.patch"), text)
    }

    #[test]
    fn the_first_lines_say_where_the_bug_is_found() {
        let patch = parse("# Why.\n# finds: any seeds 0..40\n# invariant: one_leader\ndiff --git a/x b/x\n")
            .expect("a patch");
        assert_eq!((patch.scenario.as_str(), patch.seeds.as_str()), ("any", "0..40"));
        assert_eq!(patch.invariant.as_deref(), Some("one_leader"));
    }

    #[test]
    fn a_patch_that_does_not_say_so_is_refused() {
        assert!(
            parse("diff --git a/x b/x\n# finds: any seeds 0..1\n").is_err(),
            "the header ends where the patch begins"
        );
        assert!(parse("# finds: any 0..40\n").is_err());
        assert!(parse("# finds: any seeds 40..40\n").is_err());
    }
}
